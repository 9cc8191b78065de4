//! JSON Schemas of a step's types. A type that derives `JsonSchema` is described, any other is not: nobody
//! has to. Called only by `describe`; a component whose types have none carries no code for it.
//!
//! The choice is made by method lookup. For `(&&Type::<T>::new()).schema()` it tries [`Anything`], which is
//! there for JSON itself, then [`Described`], for types with a schema, then [`Undescribed`], for all. The types
//! must be concrete where the method is called, so the attribute's expansion calls it.
//!
//! The manifest has a member for the input's schema and one for the output's. The config's schema stands in
//! the input's document, under `$defs`, where an older host does not look for it.

use std::marker::PhantomData;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// Where the config's schema stands in the document of the input's schema.
const CONFIG: &str = "pawl:config";

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Makes a type's schema: a reference to a definition, or all of it if it is a short one.
pub type Describe = fn(&mut SchemaGenerator) -> Schema;

/// A type to ask for its schema.
pub struct Type<T>(PhantomData<T>);

impl<T> Type<T> {
    #[allow(clippy::new_without_default, missing_docs)]
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// In place of what a step returns, a `Result`, of which the output is described.
pub struct Returned<R>(PhantomData<R>);

/// JSON as it is: a schema that says nothing is worth no code.
pub trait Anything {
    /// None.
    fn schema(&self) -> Option<Describe>;
}

/// Types with a schema.
pub trait Described {
    /// How it is made.
    fn schema(&self) -> Option<Describe>;
}

/// Types without one.
pub trait Undescribed {
    /// None.
    fn schema(&self) -> Option<Describe>;
}

impl Anything for &Type<Value> {
    #[inline(always)]
    fn schema(&self) -> Option<Describe> {
        None
    }
}

impl<E> Anything for &Type<Returned<Result<Value, E>>> {
    #[inline(always)]
    fn schema(&self) -> Option<Describe> {
        None
    }
}

impl<T: JsonSchema> Described for &&Type<T> {
    #[inline(always)]
    fn schema(&self) -> Option<Describe> {
        Some(SchemaGenerator::subschema_for::<T>)
    }
}

impl<O: JsonSchema, E> Described for &&Type<Returned<Result<O, E>>> {
    #[inline(always)]
    fn schema(&self) -> Option<Describe> {
        Some(SchemaGenerator::subschema_for::<O>)
    }
}

impl<T> Undescribed for Type<T> {
    #[inline(always)]
    fn schema(&self) -> Option<Describe> {
        None
    }
}

/// A type that the author wants described.
#[must_use]
pub fn described<T: JsonSchema>() -> Option<Describe> {
    Some(SchemaGenerator::subschema_for::<T>)
}

/// The schema of what a step reads: its input, and in the same document its config.
#[inline(always)]
#[must_use]
pub fn of_input(input: Option<Describe>, config: Option<Describe>) -> Option<String> {
    // Inlined, so that no code of this module is left where no type has a schema.
    if input.is_none() && config.is_none() { None } else { document(SchemaSettings::for_deserialize, input, config) }
}

/// The schema of what it writes.
#[inline(always)]
#[must_use]
pub fn of_output(output: Option<Describe>) -> Option<String> {
    if output.is_none() { None } else { document(SchemaSettings::for_serialize, output, None) }
}

#[inline(never)]
fn document(
    direction: fn(SchemaSettings) -> SchemaSettings,
    root: Option<Describe>,
    config: Option<Describe>,
) -> Option<String> {
    let mut generator = direction(SchemaSettings::draft2020_12()).into_generator();
    let mut document = root.map(|describe| describe(&mut generator)).unwrap_or_default();
    let config = config.map(|describe| describe(&mut generator));
    let mut definitions = generator.take_definitions(false);
    definitions.extend(config.map(|config| (CONFIG.to_owned(), config.to_value())));
    let members = document.ensure_object();
    if !definitions.is_empty() {
        members.insert("$defs".to_owned(), definitions.into());
    }
    // A type that takes anything has a schema that says nothing.
    if members.is_empty() {
        return None;
    }
    members.insert("$schema".to_owned(), DRAFT.into());
    Some(document.to_value().to_string())
}

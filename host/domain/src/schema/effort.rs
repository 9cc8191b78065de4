//! A bound for the work of a validation. Schemas that share and repeat definitions can ask for more visits than
//! anybody has time for, from a few lines: 2^40 for forty definitions that each refer twice to the next. All
//! that takes references: without them, a document's work is bounded by its size and the schema's. So before
//! every reference stands a keyword of ours, which counts, and gives up at the limit.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value, json};

/// The keyword.
pub(super) const KEYWORD: &str = "pawl:effort";

/// Keywords whose value is a schema or a list of schemas.
const SCHEMAS: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value is an object of schemas.
const NAMED_SCHEMAS: &[&str] =
    &["$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties"];

/// Keywords that lead to another place.
const REFERENCES: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef"];

/// What counts beside a `$ref` where it replaces all else.
const KEPT: &[&str] = &["$schema", "$id", "id", "$defs", "definitions"];

thread_local! {
    /// References that may still be followed by the validation under way on this thread.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// Thrown through the validator, which has no other way to be stopped.
struct TooMuch;

/// Runs a validation that may follow so many references; none if it would take more.
pub(super) fn within<T>(steps: u64, validate: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(steps);
    match catch_unwind(AssertUnwindSafe(validate)) {
        Ok(done) => Some(done),
        Err(thrown) if thrown.is::<TooMuch>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

fn step() {
    let left = LEFT.get();
    if left == 0 {
        resume_unwind(Box::new(TooMuch));
    }
    LEFT.set(left - 1);
}

/// The same schema, with every reference counted. `replaces` says that its draft has a `$ref` replace what
/// stands beside it.
pub(super) fn counted(schema: &Value, replaces: bool) -> Value {
    let members = match schema {
        Value::Array(schemas) => return schemas.iter().map(|schema| counted(schema, replaces)).collect(),
        Value::Object(members) => members,
        other => return other.clone(),
    };
    let refers = REFERENCES.iter().any(|keyword| members.contains_key(*keyword));
    let (references, others): (Vec<_>, Vec<_>) =
        members.iter().partition(|(key, _)| REFERENCES.contains(&key.as_str()));
    let others = others.into_iter().filter(|(key, _)| !(refers && replaces) || KEPT.contains(&key.as_str()));
    let mut counted: Map<String, Value> =
        others.map(|(key, value)| (key.clone(), inner(key, value, replaces))).collect();
    if refers {
        // Behind the count: the members of an `allOf` are visited in order, all keywords of a schema are not.
        let references: Map<String, Value> =
            references.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let both = json!({ "allOf": [{ KEYWORD: true }, references] });
        // Last, so that pointers to the others stay right; what is no list is refused by the compiler.
        if let Value::Array(all) = counted.entry("allOf").or_insert_with(|| json!([])) {
            all.push(both);
        }
    }
    counted.into()
}

/// A keyword's value.
fn inner(key: &str, value: &Value, replaces: bool) -> Value {
    match value {
        Value::Object(named) if NAMED_SCHEMAS.contains(&key) => {
            named.iter().map(|(name, schema)| (name.clone(), counted(schema, replaces))).collect::<Map<_, _>>().into()
        }
        value if SCHEMAS.contains(&key) => counted(value, replaces),
        value => value.clone(),
    }
}

/// Makes the keyword, for [`jsonschema::ValidationOptions::with_keyword`].
pub(super) fn keyword<'a>(
    _parent: &'a Map<String, Value>,
    _value: &'a Value,
    _path: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    Ok(Box::new(Count))
}

struct Count;

impl<'i> Keyword<'i> for Count {
    fn validate(&self, _instance: &'i Value) -> Result<(), ValidationError<'i>> {
        step();
        Ok(())
    }

    fn is_valid(&self, _instance: &'i Value) -> bool {
        step();
        true
    }
}

//! JSON Schemas of a component's documents: its input, its output, its step's config. Compiled once, then
//! asked for every document; what does not fit is named by its path, `$.items[3].price`.
//!
//! Schemas come with components, so from people who are trusted less than the host: nothing is fetched for a
//! `$ref`, patterns are matched in linear time, and there are limits to a schema's size and to the work that it
//! makes.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Value, json};

pub mod compare;
mod effort;
#[cfg(test)]
mod tests;

/// Largest schema, as compact JSON.
const SCHEMA_BYTES: usize = 256 << 10;

/// The stack of a thread that checks documents, bytes: the longest chain of schemas that may be pushed is followed link by
/// link, and unoptimised code takes some 700 bytes for each of three frames. What is not touched costs nothing.
pub const STACK_BYTES: usize = 16 << 20;

/// Longest chain of `$ref`s that lead to nothing but another one, and deepest schema.
const SCHEMA_DEPTH: usize = 100;

/// Largest compiled pattern.
const PATTERN_BYTES: usize = 1 << 20;

/// References that are followed for a document: so many, and some for each of its bytes.
const STEPS: u64 = 100_000;
const STEPS_PER_BYTE: u64 = 4;

/// References that are followed to find out where a document does not fit.
const STEPS_TO_TELL: u64 = 20_000;

/// A document with more misfits than this is said to have more.
const SHOWN_MISFITS: usize = 5;

/// Longest value that is shown as it is, bytes; longer ones by their kind.
const SHOWN_VALUE_BYTES: usize = 60;

/// Where a component's input schema holds the one of its config: the WIT has no member for it.
const CONFIG: &str = "pawl:config";

/// Keywords that say nothing about a document.
const SILENT: &[&str] = &["$schema", "$defs", "$id", "$comment", "title", "description"];

/// The schemas of one component. Without a schema, all JSON fits.
#[derive(Debug, Default)]
pub struct Schemas {
    /// Of what it takes.
    pub input: Option<Schema>,
    /// Of what it returns.
    pub output: Option<Schema>,
    /// Of its step's config.
    pub config: Option<Schema>,
}

impl Schemas {
    /// From what a component says of its input, with its config, and of its output.
    ///
    /// # Errors
    /// [`BadSchema`] if one of them is no schema that can be enforced.
    pub fn compile(input: Option<&Value>, output: Option<&Value>) -> Result<Self, BadSchema> {
        let config = input.and_then(config_of);
        let compile = |what, document: Option<&Value>| document.map(|document| Schema::compile(what, document));
        Ok(Self {
            input: compile("input", input.filter(|document| says_something(document))).transpose()?,
            output: compile("output", output.filter(|document| says_something(document))).transpose()?,
            config: compile("config", config.as_ref()).transpose()?,
        })
    }

    /// From a manifest as it is stored: JSON.
    ///
    /// # Errors
    /// [`BadSchema`] as for [`Schemas::compile`].
    pub fn of_manifest(manifest: &[u8]) -> Result<Self, BadSchema> {
        let manifest: Value = serde_json::from_slice(manifest).map_err(|error| BadSchema::new("manifest", &error))?;
        Self::compile(manifest.get("input_schema"), manifest.get("output_schema"))
    }
}

/// The config's schema as a document of its own, with the definitions that it may refer to.
fn config_of(input: &Value) -> Option<Value> {
    let definitions = input.get("$defs")?;
    definitions.get(CONFIG)?;
    let draft = input.get("$schema").map_or_else(Default::default, |draft| json!({ "$schema": draft }));
    let mut document = json!({ "$ref": format!("#/$defs/{CONFIG}"), "$defs": definitions });
    document.as_object_mut()?.extend(draft.as_object().cloned().unwrap_or_default());
    Some(document)
}

fn says_something(document: &Value) -> bool {
    document.as_object().is_none_or(|members| members.keys().any(|key| !SILENT.contains(&key.as_str())))
        && *document != Value::Null
}

/// Whether a `$ref` replaces what stands beside it, as it did until draft 7.
fn replaces(document: &Value) -> bool {
    let draft = document.get("$schema").and_then(Value::as_str).unwrap_or_default();
    ["draft-04", "draft-06", "draft-07"].iter().any(|old| draft.contains(old))
}

/// One schema, compiled.
#[derive(Debug)]
pub struct Schema {
    document: Value,
    validator: Validator,
}

impl Schema {
    fn compile(what: &'static str, document: &Value) -> Result<Self, BadSchema> {
        let size = document.to_string().len();
        if size > SCHEMA_BYTES {
            return Err(BadSchema { what, why: format!("it has {size} bytes, {SCHEMA_BYTES} are allowed") });
        }
        check_references(document, document, 0).map_err(|why| BadSchema { what, why })?;
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
            .with_keyword(effort::KEYWORD, effort::keyword)
            .build(&effort::counted(document, replaces(document)))
            .map_err(|error| BadSchema { what, why: format!("at {}: {error}", path(error.instance_path())) })?;
        Ok(Self { document: document.clone(), validator })
    }

    /// The schema itself.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Whether a document, JSON text, fits.
    ///
    /// # Errors
    /// [`Misfit`] names what does not, by its path.
    pub fn check(&self, json: &[u8]) -> Result<(), Misfit> {
        let document = match serde_json::from_slice(json) {
            Ok(document) => document,
            // JSON it is, so it is too deep or a number too large for a tree.
            Err(error) => return Err(Misfit(vec![format!("$: {error}")])),
        };
        let steps = STEPS.saturating_add(STEPS_PER_BYTE.saturating_mul(json.len() as u64));
        match effort::within(steps, || self.validator.is_valid(&document)) {
            Some(true) => Ok(()),
            Some(false) => Err(effort::within(STEPS_TO_TELL, || self.misfit(&document)).unwrap_or_else(|| {
                Misfit(vec!["$: it does not fit; the schema has too many alternatives to tell where".to_owned()])
            })),
            None => Err(Misfit(vec![
                "$: the schema makes too much work for this document: let fewer definitions refer to each other"
                    .to_owned(),
            ])),
        }
    }

    fn misfit(&self, document: &Value) -> Misfit {
        let mut misfits = Vec::new();
        for error in self.validator.iter_errors(document) {
            tell(&error, document, &mut misfits);
            if misfits.len() > SHOWN_MISFITS {
                misfits.truncate(SHOWN_MISFITS);
                misfits.push("and more".to_owned());
                break;
            }
        }
        Misfit(misfits)
    }
}

/// Why a schema can't be enforced.
#[derive(Debug, thiserror::Error)]
#[error("its {what} schema is no JSON Schema that can be enforced: {why}")]
pub struct BadSchema {
    what: &'static str,
    why: String,
}

impl BadSchema {
    fn new(what: &'static str, why: &dyn std::error::Error) -> Self {
        Self { what, why: why.to_string() }
    }
}

/// What of a document does not fit: a few lines, each with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit(pub Vec<String>);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// References lead into the document itself and come to an end: nothing else is loaded, and whoever follows
/// them needs a stack that is bounded.
fn check_references(node: &Value, root: &Value, depth: usize) -> Result<(), String> {
    if depth > SCHEMA_DEPTH {
        return Err(format!("it is deeper than {SCHEMA_DEPTH} levels"));
    }
    let members = match node {
        Value::Array(items) => return items.iter().try_for_each(|item| check_references(item, root, depth + 1)),
        Value::Object(members) => members,
        _ => return Ok(()),
    };
    for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
        let Some(Value::String(reference)) = members.get(keyword) else { continue };
        if !reference.starts_with('#') {
            let help = "put what it refers to under `$defs`";
            return Err(format!("{keyword} {reference:?} leads out of the document: {help}"));
        }
    }
    let mut at = node;
    for _ in 0..SCHEMA_DEPTH {
        let Some(Value::String(reference)) = at.get("$ref") else {
            return members.values().try_for_each(|value| check_references(value, root, depth + 1));
        };
        match reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
            Some(next) => at = next,
            // An anchor, or nothing: the compiler knows.
            None => return members.values().try_for_each(|value| check_references(value, root, depth + 1)),
        }
    }
    Err(format!("a chain of more than {SCHEMA_DEPTH} `$ref`s, or a circle of them, leads to no schema"))
}

/// Lines about one error. Of a choice between several schemas, what the nearest one wants is told: the one
/// that fits farthest into the document.
fn tell(error: &ValidationError<'_>, document: &Value, lines: &mut Vec<String>) {
    if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } = error.kind() {
        let own = depth(error.instance_path());
        let reach = |branch: &Vec<ValidationError<'static>>| branch.iter().map(|e| depth(e.instance_path())).max();
        let nearest = context.iter().max_by_key(|branch| reach(branch));
        if let Some(branch) = nearest.filter(|branch| reach(branch) > Some(own)) {
            branch.iter().for_each(|error| tell(error, document, lines));
            return;
        }
    }
    let found = document.pointer(error.instance_path().as_str()).map_or_else(|| "this".to_owned(), shown);
    let line = format!("{}: {}", path(error.instance_path()), error.masked_with(found));
    if !lines.contains(&line) {
        lines.push(line.replace(['\n', '\r'], " "));
    }
}

fn depth(location: &Location) -> usize {
    location.iter().count()
}

/// `$.items[3].price`, and `$["unit price"]` where a name is none.
fn path(location: &Location) -> String {
    let mut path = "$".to_owned();
    for segment in location {
        path += &match segment {
            LocationSegment::Index(index) => format!("[{index}]"),
            LocationSegment::Property(name) => member(&name),
        };
    }
    path
}

/// A member in a path.
fn member(name: &str) -> String {
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_word { format!(".{name}") } else { format!("[{name:?}]") }
}

/// A value as people recognise it.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.len() > SHOWN_VALUE_BYTES => format!("a string of {} bytes", text.len()),
        scalar => scalar.to_string(),
    }
}

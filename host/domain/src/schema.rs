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

use effort::{Counted, GivenUp, Seen, Wanted};

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

/// Largest compiled pattern, and the most that all patterns of a schema may take together.
const PATTERN_BYTES: usize = 1 << 20;
const PATTERNS_BYTES: usize = 16 << 20;

/// Steps that a document's validation may take: so many, and some for each of its bytes. A number of a list takes three,
/// and ten times as many if there are ten alternatives for it. Some hundred million steps are a second.
const STEPS: u64 = 100_000;
const STEPS_PER_BYTE: u64 = 64;

/// What is checked in passing, by a thread that has other things to do: a document of so many bytes, in so many steps.
const PASSING_BYTES: usize = 16 << 10;
const PASSING_STEPS: u64 = 20_000;

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

/// One schema, compiled.
#[derive(Debug)]
pub struct Schema {
    document: Value,
    validator: Validator<Counted>,
}

impl Schema {
    fn compile(what: &'static str, document: &Value) -> Result<Self, BadSchema> {
        let size = document.to_string().len();
        if size > SCHEMA_BYTES {
            return Err(BadSchema { what, why: format!("it has {size} bytes, {SCHEMA_BYTES} are allowed") });
        }
        check_references(document, document, 0).map_err(|why| BadSchema { what, why })?;
        let pattern_bytes = PATTERN_BYTES.min(PATTERNS_BYTES / patterns(document).max(1));
        let validator = jsonschema::options_for::<Counted>()
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(pattern_bytes))
            .build(document)
            .map_err(|error| BadSchema { what, why: format!("at {}: {error}", path(error.instance_path())) })?;
        Ok(Self { document: document.clone(), validator })
    }

    /// The schema itself.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Whether a document, JSON text, fits. A large one takes a second; whoever drives others must not wait for it.
    ///
    /// # Errors
    /// [`Misfit`] names what does not, by its path.
    pub fn check(&self, json: &[u8]) -> Result<(), Misfit> {
        self.check_within(steps_for(json), None, json).unwrap_or_else(|_| Err(too_much()))
    }

    /// The same, for as long as the answer is `wanted`, which is asked every millisecond or so.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn check_while(&self, json: &[u8], wanted: impl Fn() -> bool + 'static) -> Result<(), Unfit> {
        match self.check_within(steps_for(json), Some(Box::new(wanted)), json) {
            Ok(fits) => fits.map_err(Unfit::Misfit),
            Err(GivenUp::TooMuch) => Err(Unfit::Misfit(too_much())),
            Err(GivenUp::Unwanted) => Err(Unfit::Unwanted),
        }
    }

    /// The same, if it is a matter of microseconds; `None` if it is not.
    #[must_use]
    pub fn check_in_passing(&self, json: &[u8]) -> Option<Result<(), Misfit>> {
        if json.len() > PASSING_BYTES {
            return None;
        }
        self.check_within(PASSING_STEPS, None, json).ok()
    }

    /// The same for one of several documents, which share the steps that are `left`.
    ///
    /// # Errors
    /// As [`Schema::check`].
    pub fn check_as_one_of(&self, json: &[u8], left: &mut u64) -> Result<(), Misfit> {
        let steps = steps_for(json).min(*left);
        let checked = self.check_within(steps, None, json);
        *left -= steps - effort::left().min(steps);
        checked.unwrap_or_else(|_| Err(too_much()))
    }

    fn check_within(&self, steps: u64, wanted: Option<Wanted>, json: &[u8]) -> Result<Result<(), Misfit>, GivenUp> {
        let document = match serde_json::from_slice(json) {
            Ok(document) => document,
            // JSON it is, so it is too deep or a number too large for a tree.
            Err(error) => return Ok(Err(Misfit(vec![format!("$: {error}")]))),
        };
        if effort::within(steps, wanted, || self.validator.is_valid(Seen(&document)))? {
            return Ok(Ok(()));
        }
        // As much again to tell where: messages hold copies of what they are about. All places, or if that is too much, one.
        let told = effort::within(steps, None, || self.misfit(&document))
            .or_else(|_| effort::within(steps, None, || self.first_misfit(&document)));
        Ok(Err(told.unwrap_or_else(|_| {
            Misfit(vec!["$: it does not fit; the schema has too many alternatives to tell where".to_owned()])
        })))
    }

    fn misfit(&self, document: &Value) -> Misfit {
        let mut misfits = Vec::new();
        for error in self.validator.iter_errors(Seen(document)) {
            tell(&error, document, &mut misfits);
            if misfits.len() > SHOWN_MISFITS {
                misfits.truncate(SHOWN_MISFITS);
                misfits.push("and more".to_owned());
                break;
            }
        }
        Misfit(misfits)
    }

    fn first_misfit(&self, document: &Value) -> Misfit {
        let mut misfits = Vec::new();
        if let Err(error) = self.validator.validate(Seen(document)) {
            tell(&error, document, &mut misfits);
        }
        Misfit(misfits)
    }
}

fn steps_for(json: &[u8]) -> u64 {
    STEPS.saturating_add(STEPS_PER_BYTE.saturating_mul(json.len() as u64))
}

fn too_much() -> Misfit {
    Misfit(vec![
        "$: the schema makes too much work for this document: give it fewer alternatives, or let fewer definitions refer to \
         each other"
            .to_owned(),
    ])
}

/// How many patterns there are in a schema, or what looks like some.
fn patterns(node: &Value) -> usize {
    match node {
        Value::Array(items) => items.iter().map(patterns).sum(),
        Value::Object(members) => {
            let own = members.get("pattern").map_or(0, |_| 1)
                + members.get("patternProperties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
            own + members.values().map(patterns).sum::<usize>()
        }
        _ => 0,
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

/// Why a document was not found to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It does not.
    Misfit(Misfit),
    /// Nobody waits for the answer any more.
    Unwanted,
}

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

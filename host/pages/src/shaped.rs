//! A form for a JSON document, made of the document's schema: a field for each member that is a text, a number, a yes or no, or
//! one of some values; for what is nested or unusual, a field of JSON. Where a schema is no list of members, or there is none, one
//! field is for the whole.
//!
//! Schemas come with components: they may be of any size and shape, and refer to themselves. What is made of one is bounded, and
//! all that it says is text. Whether a document fits is for the API to say; what is refused comes back as it was typed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use maud::{Markup, html};
use pawl_api::types::Problem;
use serde_json::Value;
use serde_json::value::RawValue;

use super::forms::Fields;
use super::words::cut;

#[cfg(test)]
mod tests;

/// Members that get a field of their own, and values that one is chosen of: with more, the document is typed as JSON.
const MEMBERS: usize = 40;
const CHOICES: usize = 60;

/// Letters of a name or a value, and of what is said of a member.
const NAME: usize = 100;
const SAID: usize = 240;

/// References that are followed, one to the next.
const HOPS: usize = 8;

/// The field that is for the whole; fields of members begin otherwise.
const WHOLE: &str = "whole";
const MEMBER: &str = "of:";

/// The fields of a document.
#[derive(Debug, PartialEq)]
pub(super) struct Shape<'a> {
    /// None: one field is for the whole.
    members: Option<Vec<Member<'a>>>,
    said: Option<&'a str>,
}

#[derive(Debug, PartialEq)]
struct Member<'a> {
    name: &'a str,
    kind: Kind<'a>,
    is_required: bool,
    said: Option<&'a str>,
    /// What counts where nothing is said.
    default: Option<&'a Value>,
}

#[derive(Debug, PartialEq)]
enum Kind<'a> {
    Text,
    Number { is_whole: bool, least: Option<&'a Value>, most: Option<&'a Value> },
    Choice(Vec<Cow<'a, Value>>),
    Json,
}

impl<'a> Shape<'a> {
    /// Of what fits that schema, if there is one.
    pub(super) fn of(schema: Option<&'a Value>) -> Self {
        let Some(schema) = schema else { return Self { members: None, said: None } };
        let document = plain(schema, schema);
        Self { members: members(schema, document), said: text(document, "description") }
    }

    /// The fields, with what was typed into them before.
    pub(super) fn fields(&self, typed: &Fields) -> Markup {
        let whole = typed.raw(WHOLE).unwrap_or_default();
        html! {
            @if let Some(said) = self.said { p class="muted" { (cut(said, SAID)) } }
            @match &self.members {
                None => label {
                    "As JSON"
                    textarea name=(WHOLE) rows="6" required spellcheck="false" { @if whole.is_empty() { "null" } @else { (whole) } }
                },
                Some(members) => {
                    @for member in members { (member.field(typed)) }
                    details open[!whole.is_empty()] {
                        summary { "Or all of it as JSON" }
                        label {
                            span class="unseen" { "All of it, as JSON" }
                            textarea name=(WHOLE) rows="6" spellcheck="false" { (whole) }
                        }
                    }
                }
            }
        }
    }

    /// The document that was typed, as JSON.
    ///
    /// # Errors
    /// Which field is no JSON, or no number.
    pub(super) fn document(&self, typed: &Fields) -> Result<Box<RawValue>, Problem> {
        let members = match &self.members {
            Some(members) if typed.said(WHOLE).is_none() => members,
            _ => return typed.json(WHOLE),
        };
        let mut document: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
        for member in members {
            if let Some(value) = member.value(typed)? {
                document.insert(member.name, value);
            }
        }
        serde_json::value::to_raw_value(&document).map_err(|error| Problem::bad_request(error.to_string()))
    }
}

impl Member<'_> {
    fn key(&self) -> String {
        format!("{MEMBER}{}", self.name)
    }

    fn field(&self, typed: &Fields) -> Markup {
        let key = self.key();
        let was = typed.raw(&key).unwrap_or_default();
        let hint = self.default.map(|value| format!("{}, if nothing is said", cut(&shown(value), NAME)));
        html! {
            label {
                span { (cut(self.name, NAME)) @if self.is_required { span class="muted" { " (needed)" } } }
                @if let Some(said) = self.said { small { (cut(said, SAID)) } }
                @match &self.kind {
                    Kind::Text => { input name=(key) value=(was) placeholder=[hint] autocomplete="off" spellcheck="false"; }
                    Kind::Number { is_whole, least, most } => {
                        input type="number" name=(key) value=(was) step=(if *is_whole { "1" } else { "any" }) min=[least]
                            max=[most] placeholder=[hint] autocomplete="off";
                    }
                    Kind::Choice(values) => select name=(key) {
                        option value="" { (hint.as_deref().unwrap_or(if self.is_required { "choose" } else { "nothing" })) }
                        @for value in values {
                            @let json = value.to_string();
                            option value=(json) selected[json == was] { (cut(&shown(value), NAME)) }
                        }
                    },
                    Kind::Json => textarea name=(key) rows="3" spellcheck="false"
                        placeholder=(hint.as_deref().unwrap_or("JSON")) { (was) },
                }
            }
        }
    }

    /// What was typed, as JSON; none if nothing was. Whether something must be is for the API to say, since all of it may be typed
    /// at once as well.
    fn value(&self, typed: &Fields) -> Result<Option<Box<RawValue>>, Problem> {
        let key = self.key();
        let wrong = |what: &str| Problem::bad_request(format!("`{}`: {what}", cut(self.name, NAME)));
        if self.kind == Kind::Text {
            // Blanks belong to a text; an empty one is none.
            let text = typed.raw(&key).filter(|text| !text.is_empty());
            let json = text.map(serde_json::value::to_raw_value).transpose();
            return json.map_err(|error| wrong(&error.to_string()));
        }
        let Some(said) = typed.said(&key) else { return Ok(None) };
        let value: Box<RawValue> = serde_json::from_str(said).map_err(|error| match &self.kind {
            Kind::Number { .. } => wrong(&format!("{said:?} is no number")),
            _ => wrong(&format!("what you gave is not JSON: {error}; text stands between quotation marks")),
        })?;
        Ok(Some(value))
    }
}

/// The members of an object, those that are needed first; none if it is another thing, or has too many.
fn members<'a>(root: &'a Value, document: &'a Value) -> Option<Vec<Member<'a>>> {
    let properties = document.get("properties")?.as_object().filter(|all| (1..=MEMBERS).contains(&all.len()))?;
    let is_object = document.get("type").is_none_or(|kind| kind == "object");
    // What depends on several members at once is for whoever writes the whole.
    let is_plain = ["anyOf", "oneOf", "allOf", "if"].iter().all(|word| document.get(word).is_none());
    let required: Vec<&str> = document
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(10 * MEMBERS)
        .filter_map(Value::as_str)
        .collect();
    let has_all = required.iter().all(|name| properties.contains_key(*name));
    let are_short = properties.keys().all(|name| name.chars().nth(NAME).is_none());
    if !(is_object && is_plain && has_all && are_short) {
        return None;
    }
    let member = |(name, schema): (&'a String, &'a Value)| {
        let target = plain(root, schema);
        Member {
            name,
            kind: kind(root, target),
            is_required: required.contains(&name.as_str()),
            said: text(schema, "description").or_else(|| text(target, "description")),
            default: schema.get("default").or_else(|| target.get("default")).filter(|value| !value.is_null()),
        }
    };
    let mut members: Vec<Member<'a>> = properties.iter().map(member).collect();
    members.sort_by_key(|member| !member.is_required);
    Some(members)
}

/// What a schema refers to, and what is left of one that also takes `null`.
fn plain<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..HOPS {
        let referred = schema.get("$ref").and_then(Value::as_str);
        let target = match referred {
            Some(reference) => reference.strip_prefix('#').and_then(|path| root.pointer(path)),
            None => but_null(schema),
        };
        let Some(target) = target else { return schema };
        schema = target;
    }
    // It leads nowhere.
    &Value::Null
}

/// The other one, of two of which one is `null`.
fn but_null(schema: &Value) -> Option<&Value> {
    let either = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    match &either[..] {
        [one, other] if is_null(other) => Some(one),
        [one, other] if is_null(one) => Some(other),
        _ => None,
    }
}

fn kind<'a>(root: &'a Value, schema: &'a Value) -> Kind<'a> {
    if let Some(values) = choices(root, schema) {
        return Kind::Choice(values);
    }
    match type_of(schema) {
        Some("string") => Kind::Text,
        Some("boolean") => Kind::Choice(vec![Cow::Owned(true.into()), Cow::Owned(false.into())]),
        Some(number @ ("integer" | "number")) => {
            let bound = |word| schema.get(word).filter(|bound: &&Value| bound.is_number());
            Kind::Number { is_whole: number == "integer", least: bound("minimum"), most: bound("maximum") }
        }
        _ => Kind::Json,
    }
}

/// Its type, if it has one, or one and `null`.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) if kinds.len() <= 2 => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

/// The values that it may be, where they are listed: as `enum`, or each as a `const` of its own.
fn choices<'a>(root: &'a Value, schema: &'a Value) -> Option<Vec<Cow<'a, Value>>> {
    let listed: Vec<&Value> = match (schema.get("enum"), schema.get("const"), schema.get("oneOf")) {
        (Some(Value::Array(values)), ..) if values.len() <= CHOICES => values.iter().collect(),
        (None, Some(value), _) => vec![value],
        (None, None, Some(Value::Array(each))) if each.len() <= CHOICES => {
            each.iter().map(|one| plain(root, one).get("const")).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let is_short = |value: &&Value| match value {
        Value::String(text) => text.chars().nth(NAME).is_none(),
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    };
    let are_good = !listed.is_empty() && listed.iter().all(is_short);
    are_good.then(|| listed.into_iter().filter(|value| !value.is_null()).map(Cow::Borrowed).collect())
}

fn text<'a>(schema: &'a Value, word: &str) -> Option<&'a str> {
    schema.get(word).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

/// A value for people: texts without their quotation marks.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

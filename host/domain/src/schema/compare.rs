//! Whether what one step returns can be what the next one takes, judged by their schemas alone. That can't be
//! decided in general, so only what is certain is told: kinds of values that never meet, and members that are
//! required on one side and not there on the other. The rest shows at the step's start.

use serde_json::Value;

use super::member;

/// Levels that are compared: schemas may be endless.
const LEVELS: u32 = 8;

/// `$ref`s that are followed to one schema.
const HOPS: u32 = 16;

/// Kinds of JSON values, a bit each. An integer is a number, and a number may be an integer.
const KINDS: &[(&str, u8)] =
    &[("null", 1), ("boolean", 2), ("number", 4), ("integer", 4), ("string", 8), ("array", 16), ("object", 32)];
const OBJECT: u8 = 32;
const ANYTHING: u8 = 63;

/// Keywords that may give an object members which `properties` does not list.
const OPENING: &[&str] = &[
    "additionalProperties",
    "unevaluatedProperties",
    "patternProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "dependentSchemas",
    "$dynamicRef",
];

/// Why an output of the schema `given` never is an input of the schema `wanted`; none if it may be one.
#[must_use]
pub fn mismatch(given: &Value, wanted: &Value) -> Option<String> {
    differ(Place { root: given, at: given }, Place { root: wanted, at: wanted }, "$", LEVELS)
}

/// The same for a step that needs several: it takes an object with a member for each, by the step's name.
/// Without a schema, an output may be anything.
#[must_use]
pub fn mismatch_of_several(given: &[(&str, Option<&Value>)], wanted: &Value) -> Option<String> {
    let wanted = Place { root: wanted, at: wanted }.resolved();
    if wanted.kinds() & OBJECT == 0 {
        return Some(format!(
            "$: an object with the outputs of the needed steps is given, {} is taken",
            wanted.named()
        ));
    }
    for name in wanted.required() {
        if given.iter().all(|(step, _)| *step != name) {
            return Some(format!("$: the member `{name}` is required, and no needed step has that name"));
        }
    }
    given.iter().find_map(|(step, given)| {
        let (given, wanted) = ((*given)?, wanted.property(step)?);
        differ(Place { root: given, at: given }, wanted, &format!("${}", member(step)), LEVELS)
    })
}

/// A schema in its document.
#[derive(Clone, Copy)]
struct Place<'a> {
    root: &'a Value,
    at: &'a Value,
}

fn differ(given: Place<'_>, wanted: Place<'_>, path: &str, levels: u32) -> Option<String> {
    let (given, wanted) = (given.resolved(), wanted.resolved());
    if given.kinds() & wanted.kinds() == 0 {
        return Some(format!("{path}: {} is given, {} is taken", given.named(), wanted.named()));
    }
    if given.kinds() != OBJECT || levels == 0 {
        return None;
    }
    for name in wanted.required() {
        if given.property(name).is_none() && given.is_closed() {
            return Some(format!("{path}: the member `{name}` is required, and the output has none"));
        }
    }
    let always = given.required();
    always.into_iter().find_map(|name| {
        let (given, wanted) = (given.property(name)?, wanted.property(name)?);
        differ(given, wanted, &format!("{path}{}", member(name)), levels - 1)
    })
}

impl<'a> Place<'a> {
    /// The schema that it refers to. What stands beside a `$ref` is left out, which can only hide a mismatch.
    fn resolved(mut self) -> Self {
        for _ in 0..HOPS {
            let reference = self.at.get("$ref").and_then(Value::as_str);
            let Some(next) = reference.and_then(|text| self.root.pointer(text.strip_prefix('#')?)) else { break };
            self.at = next;
        }
        self
    }

    /// The kinds of values that may fit.
    fn kinds(self) -> u8 {
        self.kinds_within(HOPS)
    }

    fn kinds_within(self, hops: u32) -> u8 {
        let here = self.resolved();
        let Value::Object(members) = here.at else { return if *here.at == Value::Bool(false) { 0 } else { ANYTHING } };
        let mut kinds = match members.get("type") {
            Some(Value::String(name)) => kind(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(kind).fold(0, |all, one| all | one),
            _ => ANYTHING,
        };
        if let Some(value) = members.get("const") {
            kinds &= kind_of(value);
        }
        if let Some(Value::Array(values)) = members.get("enum") {
            kinds &= values.iter().map(kind_of).fold(0, |all, one| all | one);
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(Value::Array(schemas)) = members.get(choice).filter(|_| hops > 0) {
                let one = |at| Place { root: here.root, at }.kinds_within(hops - 1);
                kinds &= schemas.iter().map(one).fold(0, |all, one| all | one);
            }
        }
        kinds
    }

    fn named(self) -> String {
        let kinds = self.kinds();
        let names = KINDS.iter().filter(|(name, kind)| *name != "integer" && kinds & kind != 0).map(|(name, _)| *name);
        match names.collect::<Vec<_>>() {
            names if names.is_empty() => "nothing".to_owned(),
            names => names.join(" or "),
        }
    }

    fn required(self) -> Vec<&'a str> {
        let names = self.at.get("required").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn property(self, name: &str) -> Option<Self> {
        Some(Self { at: self.at.get("properties")?.get(name)?, ..self })
    }

    /// Whether its `properties` are all the members that its author had in mind.
    fn is_closed(self) -> bool {
        self.at.get("properties").is_some()
            && OPENING.iter().all(|keyword| self.at.get(keyword).is_none_or(|value| *value == Value::Bool(false)))
            && self.at.get("$ref").is_none()
    }
}

fn kind(name: &str) -> u8 {
    KINDS.iter().find(|(known, _)| *known == name).map_or(0, |(_, kind)| *kind)
}

fn kind_of(value: &Value) -> u8 {
    kind(match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_certain_is_told() {
        let day = json!({ "type": "object", "required": ["date"], "properties": { "date": { "type": "string" } } });
        let report = |members: Value| json!({ "type": "object", "required": ["day"], "properties": members });
        let given = json!({ "$ref": "#/$defs/R", "$defs": { "R": report(json!({ "day": day })) } });
        for (wanted, told) in [
            (json!({ "type": "string" }), Some("$: object is given, string is taken")),
            (json!({ "anyOf": [{ "type": "null" }, { "enum": [1, "a"] }] }), Some("null or number or string is taken")),
            (json!({ "required": ["city"] }), Some("$: the member `city` is required, and the output has none")),
            (report(json!({ "day": { "type": ["integer", "null"] } })), Some("$.day: object is given, null or number")),
            (report(json!({ "day": { "required": ["hours"] } })), Some("$.day: the member `hours` is required")),
            (report(json!({ "day": { "type": "object" } })), None),
            (json!({ "anyOf": [{ "type": "null" }, { "type": "object" }] }), None),
            (json!({}), None),
        ] {
            let found = mismatch(&given, &wanted);
            match told {
                Some(told) => assert!(found.clone().unwrap_or_default().contains(told), "{wanted}: {found:?}"),
                None => assert_eq!(found, None, "{wanted}"),
            }
        }
        let open = json!({ "type": "object", "properties": {}, "additionalProperties": { "type": "string" } });
        assert_eq!(mismatch(&open, &json!({ "required": ["city"] })), None);
        assert_eq!(mismatch(&json!({ "type": ["object", "null"] }), &json!({ "required": ["city"] })), None);
        assert_eq!(mismatch(&json!({ "type": "integer" }), &json!({ "type": "number" })), None);
    }

    #[test]
    fn several_outputs_are_members_by_step() {
        let (text, list) = (json!({ "type": "string" }), json!({ "type": "array" }));
        let wanted = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } });
        assert_eq!(mismatch_of_several(&[("a", Some(&text)), ("b", Some(&list))], &wanted), None);
        assert_eq!(mismatch_of_several(&[("a", None), ("b", None)], &wanted), None);
        let told = mismatch_of_several(&[("a", Some(&list)), ("b", None)], &wanted);
        assert_eq!(told.as_deref(), Some("$.a: array is given, string is taken"));
        let told = mismatch_of_several(&[("b", None), ("c", None)], &wanted);
        assert_eq!(told.as_deref(), Some("$: the member `a` is required, and no needed step has that name"));
        assert!(mismatch_of_several(&[("a", None), ("b", None)], &list).unwrap().contains("array is taken"));
    }
}

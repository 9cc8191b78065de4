//! Forms of schemas, good ones and hostile ones.

use serde_json::json;

use super::*;

const HOSTILE: &str = "</textarea><script>alert(1)</script>\"'";

fn form(schema: &Value, typed: &str) -> String {
    Shape::of(Some(schema)).fields(&Fields::of(typed.as_bytes())).into_string()
}

/// What is made of what was typed, or what is wrong with it.
fn given(schema: &Value, typed: &str) -> String {
    match Shape::of(Some(schema)).document(&Fields::of(typed.as_bytes())) {
        Ok(document) => document.get().to_owned(),
        Err(problem) => problem.detail,
    }
}

fn order() -> Value {
    json!({
        "description": "An order.",
        "type": "object",
        "required": ["city", "count", "kind"],
        "properties": {
            "city": {"type": "string", "description": "Where it goes to."},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "weight": {"type": ["number", "null"]},
            "fast": {"type": "boolean", "default": false},
            "kind": {"$ref": "#/$defs/Kind"},
            "lines": {"type": "array", "items": {"type": "object"}},
            "note": {"anyOf": [{"$ref": "#/$defs/Note"}, {"type": "null"}]},
        },
        "$defs": {
            "Kind": {"oneOf": [{"const": "gift", "description": "x"}, {"const": "plain"}]},
            "Note": {"type": "string", "description": "For whoever packs it."},
        },
    })
}

#[test]
fn members_have_fields_of_their_kind_those_that_are_needed_first() {
    let said = form(&order(), "");
    for part in [
        "An order.",
        "<input type=\"number\" name=\"of:count\" value=\"\" step=\"1\" min=\"1\" max=\"9\"",
        "<input type=\"number\" name=\"of:weight\" value=\"\" step=\"any\"",
        "<input name=\"of:city\"",
        "Where it goes to.",
        "<option value=\"&quot;gift&quot;\">gift</option>",
        "<option value=\"\">no, if nothing is said</option><option value=\"true\">yes</option>",
        "<textarea name=\"of:lines\"",
        "<input name=\"of:note\"",
        "For whoever packs it.",
        "<textarea name=\"whole\"",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(said.find("of:kind") < said.find("of:fast"), "{said}");
}

#[test]
fn what_was_typed_becomes_a_document_and_numbers_stay_as_they_are() {
    let typed =
        "of:city=+Bern&of:count=3&of:kind=%22gift%22&of:weight=12345678901234567890.10&of:fast=&of:lines=[1]&of:note=";
    let document = r#"{"city":" Bern","count":3,"kind":"gift","lines":[1],"weight":12345678901234567890.10}"#;
    assert_eq!(given(&order(), typed), document);
    assert_eq!(given(&order(), ""), "{}", "that something is missing is for the API to say");
    assert_eq!(given(&order(), "of:city=&of:note="), "{}", "an empty text is none");
    assert_eq!(given(&order(), "of:city=x&whole=[2]"), "[2]", "the whole comes first");
    assert!(given(&order(), "of:count=many").contains("`count`: \"many\" is no number"));
    assert!(given(&order(), "of:lines=[1").contains("`lines`: what you gave is not JSON"));
    assert!(given(&order(), "whole={").contains("is not JSON"));
}

#[test]
fn what_was_typed_is_kept() {
    let said = form(&order(), "of:city=Bern+%3Cb%3E&of:kind=%22plain%22&of:lines=[1");
    assert!(said.contains("value=\"Bern &lt;b&gt;\"") && said.contains(">[1</textarea>"), "{said}");
    assert!(said.contains("<option value=\"&quot;plain&quot;\" selected>"), "{said}");
    assert!(form(&order(), "whole=%7B").contains("<details open>"), "what was typed is seen");
}

#[test]
fn what_is_no_list_of_members_is_typed_as_json() {
    let member = json!({"a": {"type": "string"}});
    for schema in [
        json!({"type": "string"}),
        json!({"type": "array", "items": {"type": "string"}}),
        json!(true),
        json!(7),
        json!({"type": "object"}),
        json!({"type": "object", "properties": {}}),
        json!({"type": "object", "properties": member, "required": ["b"]}),
        json!({"type": "object", "properties": member, "oneOf": [{"required": ["a"]}]}),
        json!({"properties": {"x".repeat(101): {"type": "string"}}}),
        json!({"properties": (0..3_000).map(|number| (number.to_string(), json!({}))).collect::<Value>()}),
    ] {
        let said = form(&schema, "");
        assert!(said.contains("name=\"whole\"") && !said.contains("of:"), "{said}");
        assert_eq!(given(&schema, "whole=%5B1%5D"), "[1]");
    }
    assert!(Shape::of(None).fields(&Fields::of(b"")).into_string().contains(">null</textarea>"));
}

#[test]
fn hostile_schemas_are_bounded_and_what_they_say_is_text() {
    let loops = json!({"properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#/$defs/b"}, "c": {"$ref": "x:y"}},
                       "$defs": {"b": {"anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}]}}});
    let said = form(&loops, "");
    assert!(["a", "b", "c"].iter().all(|name| said.contains(&format!("<textarea name=\"of:{name}\""))), "{said}");
    let itself = json!({"$ref": "#"});
    assert!(form(&itself, "").contains("name=\"whole\""));
    let deep =
        (0..200).fold(json!({"type": "string"}), |inner, _| json!({"properties": {"a": inner}, "type": "object"}));
    assert!(form(&deep, "").contains("<textarea name=\"of:a\""));
    let marked = json!({
        "description": HOSTILE.repeat(100),
        "properties": {HOSTILE: {"enum": [HOSTILE, 1, null], "description": HOSTILE.repeat(100), "default": HOSTILE},
                       "many": {"enum": (0..5_000).collect::<Vec<_>>()},
                       "long": {"enum": ["x".repeat(100_000)]},
                       "odd": {"type": "integer", "minimum": HOSTILE, "default": {"a": HOSTILE.repeat(1_000)}}},
    });
    let said = form(&marked, "");
    let [begun, ended] = ["<textarea", "</textarea>"].map(|tag| said.matches(tag).count());
    assert!(!said.contains("<script") && begun == ended, "{said}");
    assert!(said.len() < 8_000, "{} bytes", said.len());
    assert!(said.contains("<textarea name=\"of:many\"") && said.contains("<textarea name=\"of:long\""), "{said}");
    let most: Value =
        (0..MEMBERS).map(|number| (format!("m{number}"), json!({"description": "x".repeat(9_999)}))).collect();
    assert!(form(&json!({ "properties": most }), "").len() < 30_000);
}

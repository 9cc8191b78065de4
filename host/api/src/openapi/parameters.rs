//! The parameters of a route: in its path, in its query, in headers.

use pawl_domain::id::{Digest, RunId, WorkerId};
use pawl_domain::name::{Name, Version};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::route::Route;
use crate::routes::LAST_EVENT_ID;
use crate::runs::KEY_LENGTH;
use crate::types::IDEMPOTENCY_KEY;

pub(super) fn of(route: &Route, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = route.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let mut all: Vec<Value> = names.map(|name| in_path(name, generator)).collect();
    if let Some(query) = route.query {
        all.extend(in_query(query(generator).as_value()));
    }
    all.extend(route.headers.iter().map(|name| header(name)));
    all
}

/// What stands in a path under a name means the same in every route.
///
/// # Panics
/// On a name that it does not know; a test makes the document.
fn in_path(name: &str, generator: &mut SchemaGenerator) -> Value {
    let (what, schema, example) = match name {
        "run" => ("A run's id.", schema_of::<RunId>(generator), json!("019a3c41-7b5e-7d02-9c1f-5a6e3b8d2f10")),
        "step" => ("A step's name.", schema_of::<Name>(generator), json!("load")),
        "pipeline" => ("A pipeline's name.", schema_of::<Name>(generator), json!("temperatures")),
        "plugin" => ("A plugin's name.", schema_of::<Name>(generator), json!("demo-load")),
        "version" => ("The version of a plugin.", schema_of::<Version>(generator), json!("1.2.0")),
        "digest" => (
            "A component's digest.",
            schema_of::<Digest>(generator),
            json!("4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"),
        ),
        "name" => {
            let pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$";
            ("A signal's name.", json!({"type": "string", "maxLength": 1024, "pattern": pattern}), json!("approved"))
        }
        "queue" => ("A queue's name.", schema_of::<Name>(generator), json!("default")),
        "worker" => ("A worker's id.", schema_of::<WorkerId>(generator), json!("019a3c40-0d31-7a55-8f0e-2f7c9be1d4a6")),
        "number" => {
            ("A signal's number in its run.", json!({"type": "integer", "minimum": 1, "maximum": i32::MAX}), json!(1))
        }
        _ => unreachable!("nobody has said what {{{name}}} in a path is"),
    };
    json!({"name": name, "in": "path", "required": true, "description": what, "schema": schema, "example": example})
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The members of a type as parameters.
fn in_query(members: &Value) -> Vec<Value> {
    let Some(properties) = members["properties"].as_object() else { return Vec::new() };
    let required = |name: &str| members["required"].as_array().is_some_and(|all| all.iter().any(|it| it == name));
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = as_text(schema.clone());
        let what = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        json!({"name": name, "in": "query", "required": required(name), "description": what, "schema": schema})
    };
    properties.iter().map(parameter).collect()
}

/// The schema of a member as that of a parameter, which may be missing and is never `null`, and whose number is no larger than
/// what it is read into.
fn as_text(mut schema: Value) -> Value {
    if let Some(types) = schema["type"].as_array() {
        schema["type"] = types.iter().find(|it| *it != "null").cloned().unwrap_or_default();
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        let form = forms.iter().find(|form| form["type"] != "null").cloned().unwrap_or_default();
        schema.as_object_mut().map(|schema| schema.remove("anyOf"));
        merge(&mut schema, form);
    }
    match schema["format"].as_str() {
        Some("uint32") => schema["maximum"] = json!(u32::MAX),
        Some("uint64") => schema["maximum"] = json!(u64::MAX),
        _ => {}
    }
    schema
}

fn merge(schema: &mut Value, form: Value) {
    let (Some(schema), Value::Object(form)) = (schema.as_object_mut(), form) else { return };
    schema.extend(form);
}

fn header(name: &str) -> Value {
    let (title, what, schema, example) = match name {
        IDEMPOTENCY_KEY => (
            "Idempotency-Key",
            "Makes the request safe to send again: the same key and body is the same, the same key with another body is refused.",
            // Blanks around a header's value are none of it.
            json!({"type": "string", "pattern": format!("^[!-~]([ -~]{{0,{}}}[!-~])?$", KEY_LENGTH - 2)}),
            json!("order-17"),
        ),
        LAST_EVENT_ID => (
            "Last-Event-ID",
            "The number of the last event, or line, that the reader of a stream has; before `after`.",
            json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            json!(3),
        ),
        _ => unreachable!("nobody has said what the header {name} is"),
    };
    json!({"name": title, "in": "header", "required": false, "description": what, "schema": schema, "example": example})
}

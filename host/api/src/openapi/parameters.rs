//! The parameters of a route: in its path, in its query, in headers.

use pawl_domain::id::{Digest, RunId, WorkerId};
use pawl_domain::name::{Name, Version};
use pawl_domain::namespace::Namespace;
use pawl_domain::trace::{TRACEPARENT, TRACESTATE};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::route::Route;
use crate::routes::LAST_EVENT_ID;
use crate::trusted::SIGNATURE;
use crate::types::{IDEMPOTENCY_KEY, KEY_LENGTH, NAMESPACE};

pub(super) fn of(route: &Route, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = route.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let mut all: Vec<Value> = names.map(|name| in_path(name, generator)).collect();
    if let Some(query) = route.query {
        all.extend(in_query(query(generator).as_value()));
    }
    all.extend(route.headers.iter().map(|name| header(name)));
    if route.is_scoped() {
        all.push(header(NAMESPACE));
    }
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
        "digits" => (
            "The first digits of a pipeline version's digest, or all 64.",
            json!({"type": "string", "pattern": "^[0-9a-f]{6,64}$"}),
            json!("af1349b9f5f9"),
        ),
        "queue" => ("A queue's name.", schema_of::<Name>(generator), json!("default")),
        "token" => ("A token's name.", schema_of::<Name>(generator), json!("ci")),
        "secret" => {
            let pattern = "^[A-Za-z_][A-Za-z0-9_]{0,63}$";
            ("A secret's name.", json!({"type": "string", "pattern": pattern}), json!("shop_token"))
        }
        "worker" => ("A worker's id.", schema_of::<WorkerId>(generator), json!("019a3c40-0d31-7a55-8f0e-2f7c9be1d4a6")),
        "namespace" => ("A namespace's name.", schema_of::<Namespace>(generator), json!("team-a")),
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
        NAMESPACE => (
            "Pawl-Namespace",
            "Whose things this is about, for tokens of all namespaces: of a run its own if nothing is said, else `default`. Others \
             are about their own.",
            json!({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"}),
            json!("default"),
        ),
        LAST_EVENT_ID => (
            "Last-Event-ID",
            "The number of the last event, or line, that the reader of a stream has; before `after`.",
            json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            json!(3),
        ),
        TRACEPARENT => (
            "traceparent",
            "The trace that the run is submitted in (W3C Trace Context); those of its attempts are linked to it. What is not of \
             the standard's form is ignored.",
            json!({"type": "string", "maxLength": 200}),
            json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ),
        SIGNATURE => (
            "Pawl-Signature",
            "A signature of the component, where the installation trusts only some (`trusted_keys`).",
            json!({"type": "string", "pattern": "^[0-9a-f]{128}$"}),
            json!(
                "04716dc230d56dc35fa2c95a6645b287186dcf9d9dbddf3a0a7c58e30802c5d28a437a539882743b8aa20c5ea9c4a62992510b7f1e98af60c5c1e8a9c7764405"
            ),
        ),
        TRACESTATE => (
            "tracestate",
            "What vendors say of that trace.",
            json!({"type": "string", "maxLength": 512}),
            json!("congo=t61rcWkgMzE"),
        ),
        _ => unreachable!("nobody has said what the header {name} is"),
    };
    json!({"name": title, "in": "header", "required": false, "description": what, "schema": schema, "example": example})
}

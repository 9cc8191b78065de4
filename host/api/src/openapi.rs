//! The API described for programs: an OpenAPI 3.1 document, made of the table of routes. It is served without a token: it tells
//! what this build of Pawl can do, which everybody may read in its source, and nothing of what is installed here.
//! <https://spec.openapis.org/oas/v3.1.1.html>

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::problem::is_for_later;
use super::problem::kind::{self, Kind};
use super::route::{Content, JSON, Route, Shape};
use super::routes;
use super::types::{PROBLEM_JSON, Problem};

mod page;
mod parameters;
#[cfg(test)]
mod tests;

pub use page::{access_table, problems_table, roles_table, routes_table};

/// Where schemas lie in the document.
const SCHEMAS: &str = "/components/schemas";

/// An example of each body, by the name of its schema.
static EXAMPLES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("openapi/examples.json")).expect("a test reads it"));

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| Document::new().of(&routes::all()));

/// The document of this build.
#[must_use]
pub fn document() -> &'static Value {
    &DOCUMENT
}

pub(super) async fn show() -> Response {
    Json(document()).into_response()
}

/// A document that is being made.
struct Document {
    /// What requests carry is described as it is read, what answers carry as it is written: a member with a default may be
    /// missing in the one and is always there in the other.
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Document {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        });
        Self {
            read: settings.clone().for_deserialize().into_generator(),
            written: settings.for_serialize().into_generator(),
        }
    }

    fn of(mut self, routes: &[(&str, Vec<Route>)]) -> Value {
        let links = links(routes);
        let mut paths = Map::new();
        for (tag, route) in routes.iter().flat_map(|(tag, routes)| routes.iter().map(move |route| (tag, route))) {
            let path = paths.entry(route.path).or_insert_with(|| json!({}));
            path[route.method.as_str().to_ascii_lowercase()] = self.operation(tag, route, &links);
        }
        let problem = self.written.subschema_for::<Problem>();
        assert_eq!(problem.get("$ref"), Some(&json!(reference("Problem"))), "problems are referred to by name");
        let mut schemas = self.read.take_definitions(true);
        schemas.extend(self.written.take_definitions(true));
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Pawl",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "A durable step executor. Times are in ms since 1970. Members of answers are only ever added.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": routes.iter().map(|(tag, _)| json!({"name": tag})).collect::<Vec<_>>(),
            "paths": paths,
            "components": {
                "schemas": schemas,
                "examples": kind::ALL.iter().map(|kind| (kind.name.to_owned(), example_of(kind))).collect::<Map<_, _>>(),
                "securitySchemes": {"token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token with the role that the operation names, or a greater one: read, submit, operate, deploy, admin.",
                }},
            },
        })
    }

    fn operation(&mut self, tag: &str, route: &Route, links: &Value) -> Value {
        let (summary, _) = route.what.split_once([':', ';']).unwrap_or((route.what, ""));
        let mut operation = json!({
            "operationId": route.id,
            "tags": [tag],
            "summary": sentence(summary),
            "description": format!("{}.", sentence(route.what)),
            "parameters": parameters::of(route, &mut self.read),
            "responses": self.responses(route, links),
            "security": route.role().map_or_else(|| json!([]), |role| json!([{"token": [role.as_str()]}])),
        });
        if !route.takes.is_empty() {
            let content = content(&mut self.read, &route.takes);
            operation["requestBody"] = json!({"required": !route.may_be_empty, "content": content});
        }
        operation
    }

    fn responses(&mut self, route: &Route, links: &Value) -> Value {
        let mut responses = Map::new();
        for (status, condition) in &route.statuses {
            let reason = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
            let description = if condition.is_empty() { reason.to_owned() } else { sentence(condition) };
            let mut response = json!({"description": description});
            if *status != StatusCode::NO_CONTENT {
                response["content"] = content(&mut self.written, &route.gives);
            }
            if route.has_location {
                let schema = json!({"type": "string", "format": "uri-reference"});
                response["headers"] =
                    json!({"Location": {"description": "Where it is.", "required": true, "schema": schema}});
                response["links"] = links.clone();
            }
            responses.insert(status.to_string(), response);
        }
        let refusals = route.refusals();
        let statuses: BTreeSet<u16> = refusals.iter().map(|(kind, _)| kind.status).collect();
        for status in statuses {
            let of_status: Vec<_> = refusals.iter().filter(|(kind, _)| kind.status == status).collect();
            let response =
                responses.entry(status.to_string()).or_insert_with(|| json!({"description": "", "content": {}}));
            let told = of_status.iter().map(|(kind, condition)| {
                let when = if condition.is_empty() { kind.when } else { condition };
                format!("`{}`: {when}.", kind.uri())
            });
            let said = response["description"].as_str().filter(|said| !said.is_empty()).map(|said| format!("{said}."));
            let description: Vec<String> = said.into_iter().chain(told).collect();
            response["description"] = description.join(" ").into();
            response["content"][PROBLEM_JSON] = problem_of(&of_status);
            if is_for_later(StatusCode::from_u16(status).unwrap_or_default()) {
                let schema = json!({"type": "integer", "minimum": 0});
                response["headers"] =
                    json!({"Retry-After": {"description": "When to try again, s.", "schema": schema}});
            }
            if status == StatusCode::UNAUTHORIZED {
                response["headers"] = json!({"WWW-Authenticate": {"required": true, "schema": {"const": "Bearer"}}});
            }
        }
        responses.into()
    }
}

/// A body in all its forms, by media type.
fn content(generator: &mut SchemaGenerator, forms: &[Content]) -> Value {
    let forms = forms.iter().map(|form| match form {
        Content::Json(shape) => (JSON.to_owned(), json_of(generator, *shape)),
        Content::Other(routes::WASM) => {
            (routes::WASM.to_owned(), json!({"schema": {"type": "string", "format": "binary"}}))
        }
        Content::Other(media_type) => ((*media_type).to_owned(), json!({"schema": {"type": "string"}})),
    });
    forms.collect::<Map<_, _>>().into()
}

fn json_of(generator: &mut SchemaGenerator, shape: Shape) -> Value {
    let schema = shape(generator).to_value();
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    match name.and_then(|name| EXAMPLES.get(name)) {
        Some(example) => json!({"schema": schema, "example": example}),
        None => json!({"schema": schema}),
    }
}

/// A problem of one of these kinds, which have one status.
fn problem_of(kinds: &[&(&'static Kind, &'static str)]) -> Value {
    let types: Vec<String> = kinds.iter().map(|(kind, _)| kind.uri()).collect();
    let status = kinds.first().map(|(kind, _)| kind.status);
    let of_kind = json!({"properties": {"type": {"enum": types}, "status": {"const": status}}});
    let example = |name: &str| (name.to_owned(), json!({"$ref": format!("#/components/examples/{name}")}));
    json!({
        "schema": {"allOf": [{"$ref": reference("Problem")}, of_kind]},
        "examples": kinds.iter().map(|(kind, _)| example(kind.name)).collect::<Map<_, _>>(),
    })
}

fn example_of(kind: &Kind) -> Value {
    json!({"summary": kind.title, "value": Problem::new(kind, kind.when)})
}

/// What may be asked of a run, whose id an answer tells.
fn links(routes: &[(&str, Vec<Route>)]) -> Value {
    let all = routes.iter().flat_map(|(_, routes)| routes);
    let of_run = all.filter(|route| route.path.contains("{run}") && route.path.matches('{').count() == 1);
    let link = |route: &Route| {
        (route.id.to_owned(), json!({"operationId": route.id, "parameters": {"run": "$response.body#/id"}}))
    };
    of_run.map(link).collect::<Map<_, _>>().into()
}

fn reference(name: &str) -> String {
    format!("#{SCHEMAS}/{name}")
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

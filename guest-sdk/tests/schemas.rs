//! What `describe` says of a step's types, made as the attribute's expansion makes it.

#![allow(clippy::needless_borrow)] // the borrows are what chooses the method

use pawl_sdk::__private::{
    Anything as _, Described as _, Returned, Type, Undescribed as _, described, of_input, of_output,
};
use pawl_sdk::Failure;
use pawl_sdk::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a customer wants.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "pawl_sdk::schemars")]
struct Order {
    lines: Vec<Line>,
    #[serde(default)]
    note: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "pawl_sdk::schemars")]
struct Line {
    price: f64,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "pawl_sdk::schemars")]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Config {
    shop: Option<Line>,
}

struct Plain;

fn read(document: Option<String>) -> Value {
    serde_json::from_str(&document.expect("there is a schema")).expect("it is JSON")
}

/// The schema that a document refers to.
fn order(schema: &Value) -> &Value {
    assert_eq!(schema["$ref"], "#/$defs/Order");
    &schema["$defs"]["Order"]
}

#[test]
fn a_type_that_derives_a_schema_is_described() {
    let schema = read(of_input((&&Type::<Order>::new()).schema(), None));
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(order(&schema)["description"], "What a customer wants.");
    assert_eq!(order(&schema)["required"], json!(["lines"]));
    assert_eq!(order(&schema)["properties"]["lines"]["items"]["$ref"], "#/$defs/Line");
    assert_eq!(schema["$defs"]["Line"]["properties"]["price"]["type"], "number");
}

#[test]
fn a_short_schema_stands_at_the_root() {
    let schema = read(of_input((&&Type::<u8>::new()).schema(), None));
    assert_eq!((&schema["type"], &schema["maximum"]), (&json!("integer"), &json!(255)));
}

#[test]
fn an_output_is_described_as_it_is_written() {
    let schema = read(of_output((&&Type::<Returned<Result<Order, Failure>>>::new()).schema()));
    assert_eq!(order(&schema)["required"], json!(["lines", "note"]), "what has a default is always written");
}

#[test]
fn other_types_and_plain_json_are_not_described() {
    assert_eq!(of_input((&&Type::<Plain>::new()).schema(), None), None);
    assert_eq!(of_output((&&Type::<Returned<Result<Plain, Failure>>>::new()).schema()), None);
    assert!((&&Type::<Value>::new()).schema().is_none());
    assert!((&&Type::<Returned<Result<Value, Failure>>>::new()).schema().is_none());
    assert_eq!(of_output((&&Type::<Option<Value>>::new()).schema()), None, "it would say nothing");
}

#[test]
fn the_configs_schema_stands_among_the_definitions_of_the_inputs() {
    let inputs = [(&&Type::<Order>::new()).schema(), (&&Type::<Plain>::new()).schema()];
    for (input, reference) in inputs.into_iter().zip([json!("#/$defs/Order"), Value::Null]) {
        let schema = read(of_input(input, described::<Config>()));
        assert_eq!(schema["$defs"]["pawl:config"]["$ref"], "#/$defs/Config");
        assert_eq!(schema["$defs"]["Config"]["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Line"]["required"], json!(["price"]));
        assert_eq!(schema["$ref"], reference, "an input without a schema may be anything");
    }
}

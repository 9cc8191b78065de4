use super::*;

fn schema(document: Value) -> Result<Schemas, BadSchema> {
    Schemas::compile(Some(&document), None)
}

fn misfits(document: Value, value: Value) -> Vec<String> {
    schema(document)
        .unwrap()
        .input
        .unwrap()
        .check(value.to_string().as_bytes())
        .map_or_else(|misfit| misfit.0, |()| Vec::new())
}

fn orders() -> Value {
    json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": { "type": "array", "items": { "$ref": "#/$defs/Item" } },
            "unit price": { "type": "integer", "minimum": 1 },
            "colour": { "enum": ["red", "blue"] },
            "note": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/Item" }] },
        },
        "$defs": { "Item": {
            "type": "object", "required": ["price"], "properties": { "price": { "type": "number" } },
        } },
    })
}

#[test]
fn what_fits_passes() {
    let value = json!({ "items": [{ "price": 1.5 }], "unit price": 2, "colour": "red", "note": null });
    assert_eq!(misfits(orders(), value), [""; 0]);
}

#[test]
fn a_misfit_is_named_by_its_path() {
    let price = json!({ "items": [{ "price": 1 }, { "price": "dear" }] });
    assert_eq!(misfits(orders(), price), [r#"$.items[1].price: "dear" is not of type "number""#]);
    assert_eq!(misfits(orders(), json!({ "items": [{}] })), [r#"$.items[0]: "price" is a required property"#]);
    assert_eq!(misfits(orders(), json!([])), [r#"$: a list is not of type "object""#]);
    let unit = json!({ "items": [], "unit price": 0 });
    assert_eq!(misfits(orders(), unit), [r#"$["unit price"]: 0 is less than the minimum of 1"#]);
}

#[test]
fn of_a_choice_the_nearest_is_told() {
    let note = json!({ "items": [], "note": { "price": true } });
    assert_eq!(misfits(orders(), note), [r#"$.note.price: true is not of type "number""#]);
}

#[test]
fn at_most_five_are_told_and_long_values_are_not() {
    let items: Vec<Value> = (0..9).map(|_| json!({ "price": "x".repeat(100) })).collect();
    let told = misfits(orders(), json!({ "items": items }));
    assert_eq!(told.len(), 6);
    assert_eq!(told[4], r#"$.items[4].price: a string of 100 bytes is not of type "number""#);
    assert_eq!(told[5], "and more");
}

#[test]
fn what_is_too_deep_for_a_tree_does_not_fit() {
    let deep = "[".repeat(1_000) + &"]".repeat(1_000);
    let misfit = schema(json!({ "type": "array" })).unwrap().input.unwrap().check(deep.as_bytes()).unwrap_err();
    assert!(misfit.to_string().contains("recursion limit"), "{misfit}");
}

#[test]
fn the_config_has_its_schema_in_the_document_of_the_input() {
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {
            "pawl:config": { "type": "object", "properties": { "unit": { "$ref": "#/$defs/Unit" } } },
            "Unit": { "enum": ["C", "F"] },
        },
    });
    let schemas = schema(document).unwrap();
    assert!(schemas.input.is_none(), "it says nothing of the input");
    let misfit = schemas.config.unwrap().check(br#"{"unit": "K"}"#).unwrap_err();
    assert_eq!(misfit.to_string(), r#"$.unit: "K" is not one of "C" or "F""#);
}

#[test]
fn what_is_no_schema_is_refused() {
    for (document, why) in [
        (json!({ "type": "strnig" }), "$.type"),
        (json!({ "properties": { "a": 1 } }), "$.properties.a"),
        (json!({ "$ref": "https://example.com/schema" }), "leads out of the document"),
        (json!({ "items": { "$ref": "other.json#/x" } }), "put what it refers to under `$defs`"),
        (json!({ "$ref": "#/$defs/Missing" }), "Missing"),
        (json!({ "$schema": "https://example.com/draft" , "type": "string" }), "example.com"),
        (json!({ "type": "string", "pattern": "(a)\\1" }), "$.pattern"),
        (json!({ "type": "string", "pattern": "((a{1000}){1000}){1000}" }), "$.pattern"),
        (json!({ "enum": ["x".repeat(SCHEMA_BYTES)] }), "262144 are allowed"),
        (json!({ "$ref": "#" }), "leads to no schema"),
        (json!("string"), ""),
    ] {
        let error = schema(document.clone()).unwrap_err().to_string();
        assert!(error.starts_with("its input schema") && error.contains(why), "{document}: {error}");
    }
}

#[test]
fn no_schema_overflows_the_stack_of_a_thread_that_checks() {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(check_deep_schemas);
    thread.unwrap().join().unwrap();
}

fn check_deep_schemas() {
    let chain = |length: usize, link: fn(String) -> Value| {
        let definitions = (0..length).map(|i| (format!("d{i}"), link(format!("#/$defs/d{}", i + 1))));
        let mut definitions: serde_json::Map<String, Value> = definitions.collect();
        definitions.insert(format!("d{length}"), json!({ "type": "null" }));
        json!({ "$ref": "#/$defs/d0", "$defs": definitions })
    };
    assert!(schema(chain(4_000, |to| json!({ "$ref": to }))).is_err());
    // Each leads one level deeper into the document, whose depth is bounded.
    let lists = schema(chain(3_000, |to| json!({ "items": { "$ref": to } }))).unwrap().input.unwrap();
    let deep = "[".repeat(120) + &"]".repeat(120);
    assert_eq!(lists.check(deep.as_bytes()), Ok(()));
    let all = schema(chain(3_000, |to| json!({ "allOf": [{ "$ref": to }] }))).unwrap().input.unwrap();
    assert!(all.check(b"1").is_err());
}

#[test]
fn no_schema_takes_time_without_end() {
    for choice in ["allOf", "anyOf", "oneOf"] {
        let twice = |to: String| json!({ choice: [{ "$ref": to }, { "$ref": to }] });
        let definitions = (0..40).map(|i| (format!("d{i}"), twice(format!("#/$defs/d{}", i + 1))));
        let mut definitions: serde_json::Map<String, Value> = definitions.collect();
        definitions.insert("d40".into(), json!({ "type": "null" }));
        let wide = schema(json!({ "$ref": "#/$defs/d0", "$defs": definitions })).unwrap().input.unwrap();
        wide.check(b"null").err();
        wide.check(b"1").unwrap_err();

        let member = json!({ "type": "object", "properties": { "a": { "$ref": "#" } } });
        let deep = schema(json!({ choice: [member, member] })).unwrap().input.unwrap();
        let document = r#"{"a": "#.repeat(100) + "1" + &"}".repeat(100);
        deep.check(document.as_bytes()).unwrap_err();
    }
}

#[test]
fn a_schema_of_itself_ends_with_the_document() {
    let tree = json!({ "type": "object", "additionalProperties": { "$ref": "#" } });
    assert_eq!(misfits(tree, json!({ "a": { "b": { "c": 1 } } })), [r#"$.a.b.c: 1 is not of type "object""#]);
}

/// Nothing of it refers to anything: it is the items that make the work.
#[test]
fn no_schema_takes_time_without_end_for_a_long_list_either() {
    let numbers = format!("[{}1]", "1,".repeat(50_000));
    let many = |one: Value| vec![one; 4_000];
    for each in [
        json!({ "allOf": many(json!({ "type": "number" })) }),
        json!({ "anyOf": ([many(json!({ "type": "string" })), vec![json!(true)]].concat()) }),
        json!({ "not": { "anyOf": many(json!({ "minimum": 2 })) } }),
        json!({ "if": { "enum": many(json!(2)) }, "else": { "allOf": many(json!({ "maximum": 1 })) } }),
    ] {
        let schema = schema(json!({ "items": each })).unwrap().input.unwrap();
        let misfit = schema.check(numbers.as_bytes()).unwrap_err();
        assert!(misfit.to_string().contains("too much work"), "{misfit}");
    }
}

#[test]
fn where_all_misfits_are_too_many_to_look_for_the_first_is_told() {
    let numbers = format!("[{}1]", "1,".repeat(50_000));
    let none = json!({ "anyOf": vec![json!({ "type": "string" }); 1_000] });
    let misfit = schema(json!({ "items": none })).unwrap().input.unwrap().check(numbers.as_bytes()).unwrap_err();
    assert!(misfit.to_string().starts_with("$[0]: 1 is not valid under any"), "{misfit}");
}

#[test]
fn a_long_list_of_what_people_write_is_checked_to_its_end() {
    let item = json!({ "type": "object", "required": ["id", "kind"], "properties": {
        "id": { "type": "integer", "minimum": 0 },
        "kind": { "enum": ["a", "b", "c", "d", "e", "f", "g", "h"] },
        "note": { "anyOf": [{ "type": "null" }, { "type": "string", "maxLength": 100, "pattern": "^[a-z ]*$" }] },
    } });
    let list = schema(json!({ "type": "array", "uniqueItems": true, "items": item })).unwrap().input.unwrap();
    let items: Vec<Value> = (0..5_000).map(|id| json!({ "id": id, "kind": "h", "note": "as you like it" })).collect();
    assert_eq!(list.check(json!(items).to_string().as_bytes()), Ok(()));
    let mut items = items;
    items[4_999]["kind"] = json!("i");
    let misfit = list.check(json!(items).to_string().as_bytes()).unwrap_err().to_string();
    assert!(misfit.starts_with("$[4999].kind: \"i\" is not one of"), "{misfit}");
    assert_eq!(list.check_in_passing(b"[]"), Some(Ok(())));
    assert_eq!(list.check_in_passing(json!(items).to_string().as_bytes()), None, "that takes a while");
}

#[test]
fn a_check_that_nobody_waits_for_is_given_up() {
    let numbers = format!("[{}1]", "1,".repeat(50_000));
    let some = json!({ "items": { "allOf": vec![json!({ "type": "number" }); 20] } });
    let schema = schema(some).unwrap().input.unwrap();
    assert_eq!(schema.check_while(numbers.as_bytes(), || true), Ok(()));
    assert_eq!(schema.check_while(numbers.as_bytes(), || false), Err(Unfit::Unwanted));
}

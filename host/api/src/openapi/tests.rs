//! The document against itself, the table of routes, and the page of the docs. What a running API answers is held against it in
//! tests/tests/api.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{EXAMPLES, access_table, document, problems_table, roles_table, routes_table};
use crate::problem::kind;
use crate::routes;

/// A schema of the document, with all that it refers to.
fn fits(schema: &Value, instance: &Value) -> Result<(), String> {
    let whole = json!({"allOf": [schema], "components": document()["components"]});
    let validator = jsonschema::options().should_validate_formats(true).build(&whole).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// Every value of the document below which lies a member of that name, with where it is.
fn all_with<'a>(value: &'a Value, member: &str, at: &str, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) => {
            if members.contains_key(member) {
                found.push((at.to_owned(), value));
            }
            members.iter().for_each(|(name, value)| all_with(value, member, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| all_with(value, member, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn with(member: &str) -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    all_with(document(), member, "", &mut found);
    found
}

#[test]
fn an_answer_tells_of_each_problem_once() {
    for (at, answer) in with("description") {
        let said = answer["description"].as_str().unwrap_or_default();
        for kind in kind::ALL {
            let told = said.matches(&format!("`{}`: ", kind.uri())).count();
            assert!(told <= 1, "{at} tells of {} {told} times: {said}", kind.uri());
        }
    }
}

#[test]
fn the_document_has_each_route_of_the_table_once_and_no_other() {
    let all = routes::all();
    let routes: Vec<_> = all.iter().flat_map(|(_, routes)| routes).collect();
    let table: BTreeSet<String> = routes.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(table.len(), routes.len(), "a route stands there twice");
    let paths = document()["paths"].as_object().expect("paths");
    let methods =
        paths.iter().flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |it| (path, it.0)));
    let told: BTreeSet<String> =
        methods.map(|(path, method)| format!("{} {path}", method.to_ascii_uppercase())).collect();
    assert_eq!(told, table);
    let ids: BTreeSet<&str> = routes.iter().map(|route| route.id).collect();
    assert!(ids.len() == routes.len() && !ids.contains(""), "each route has a name of its own: {ids:?}");
}

#[test]
fn no_route_is_made_beside_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(source).expect("the sources are there").map(|entry| entry.expect("an entry").path());
    let texts =
        files.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read_to_string(path).expect("text")));
    let made: BTreeSet<_> = texts.filter(|(_, text)| text.contains(".route(")).map(|(path, _)| path).collect();
    let named: Vec<_> = made.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    // A worker has no API: what it tells Prometheus is a small server of its own.
    assert_eq!(named, ["metrics.rs", "route.rs"]);
}

#[test]
fn all_that_is_referred_to_is_there_and_all_that_is_there_is_referred_to() {
    let referred: BTreeSet<&str> = with("$ref").iter().filter_map(|(_, value)| value["$ref"].as_str()).collect();
    for reference in &referred {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document().pointer(pointer).is_some(), "{reference} is not there");
    }
    for component in ["schemas", "examples"] {
        for name in document()["components"][component].as_object().expect("components").keys() {
            // What the document names is never answered with it.
            let is_beside = name == kind::METHOD_NOT_ALLOWED.name;
            assert!(
                is_beside || referred.contains(&*format!("#/components/{component}/{name}")),
                "nothing refers to {component}/{name}"
            );
        }
    }
}

#[test]
fn every_example_fits_its_schema_and_every_body_has_one() {
    for (place, value) in with("example") {
        fits(&value["schema"], &value["example"]).unwrap_or_else(|error| panic!("{place}: {error}"));
    }
    for (place, value) in with("examples").into_iter().filter(|(place, _)| place.contains("/content/")) {
        for name in value["examples"].as_object().expect("examples").keys() {
            let example = &document()["components"]["examples"][name]["value"];
            fits(&value["schema"], example).unwrap_or_else(|error| panic!("{place}: {name}: {error}"));
        }
    }
    let mut bodies = BTreeMap::new();
    for (place, value) in with("schema")
        .into_iter()
        .filter(|(place, _)| place.ends_with("/application~1json") || place.ends_with("/application/json"))
    {
        if let Some(reference) = value["schema"]["$ref"].as_str() {
            bodies.insert(reference.rsplit('/').next().expect("a name"), place);
        }
    }
    let told: BTreeSet<&str> = EXAMPLES.keys().map(String::as_str).collect();
    assert_eq!(told, bodies.keys().copied().collect(), "examples.json has one example for each body");
}

#[test]
fn every_parameter_and_every_member_of_a_body_is_described() {
    for (place, value) in with("in") {
        assert!(value["description"].as_str().is_some_and(|it| !it.is_empty()), "{place} has no description");
    }
    let schemas = document()["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema["description"].is_string(), "{name}.{member} has no description");
        }
    }
}

#[test]
fn the_tables_of_the_page_say_what_the_routes_say() {
    are_in("http.md", &[("| route |", routes_table()), ("| type |", problems_table())]);
    are_in("access.md", &[("| role |", roles_table()), ("| who asks for |", access_table())]);
}

/// Holds tables of a page, by the beginnings of their heads; writes them if that is wanted.
fn are_in(page: &str, tables: &[(&str, String)]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let written = std::fs::read_to_string(&file).expect("the page is there");
    let right = tables.iter().fold(written.clone(), |page, (head, table)| with_table(&page, head, table));
    if std::env::var_os("PAWL_BLESS").is_some() {
        std::fs::write(&file, &right).expect("the page can be written");
        return;
    }
    assert!(
        written == right,
        "docs/{page} is out of date: PAWL_BLESS=1 cargo nextest run --workspace -E 'test(the_tables_of_the_page)'"
    );
}

/// The page with another table in the place of the one with this head.
fn with_table(page: &str, head: &str, table: &str) -> String {
    let begin = page.find(&format!("\n{head}")).unwrap_or_else(|| panic!("a table begins with {head}")) + 1;
    let rows = page[begin..].split_inclusive('\n').take_while(|line| line.starts_with('|'));
    let end = begin + rows.map(str::len).sum::<usize>();
    format!("{}{table}{}", &page[..begin], &page[end..])
}

//! Which crate may depend on which. The compiler refuses circles and what is not listed in a `Cargo.toml`; what may be
//! listed there stands here. Only what a crate ships with counts: tests may use what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::tree;

/// Our crates, from the ground up. A crate may name those of lower floors, none of its own.
const FLOORS: [&[&str]; 9] = [
    &["pawl-base", "pawl-domain"],
    &["pawl-metrics"],
    &["pawl-traces"],
    &["pawl-store", "pawl-queue", "pawl-engine"],
    &["pawl-dispatch"],
    &["pawl-worker", "pawl-api"],
    &["pawl-pages"],
    &["pawl-rehearsal"],
    &["pawl"],
];

/// Lower, and nevertheless none of its business.
const NEVER: [(&str, &str, &str); 2] = [
    ("pawl-dispatch", "pawl-engine", "what is submitted is not executed there"),
    ("pawl-rehearsal", "pawl-worker", "it plays with real processes, never inside one"),
];

/// Who names an outside crate that only some may know. Each of them does: a reason that has gone must go from here, too.
const KNOWN_BY: [(&str, &[&str]); 12] = [
    // Only the store knows SQL. Rehearsals count commits and read history beside it, as an operator would.
    ("sqlx", &["pawl-rehearsal", "pawl-store"]),
    ("rusqlite", &["pawl-rehearsal", "pawl-store"]),
    // Only the queue knows Redis. Rehearsals count its round trips.
    ("redis", &["pawl-queue", "pawl-rehearsal"]),
    ("wasmtime", &["pawl-engine"]),
    ("wasmtime-wasi", &["pawl-engine"]),
    // Composing components executes nothing: `pawl plugin build` does it, too.
    ("wit-component", &["pawl", "pawl-engine"]),
    // HTTP is the API's, and the pages are made of HTTP.
    ("axum", &["pawl-api", "pawl-pages"]),
    ("maud", &["pawl-pages"]),
    // Only there do figures have names.
    ("prometheus", &["pawl-metrics"]),
    // … and only there have spans fields.
    ("prost", &["pawl-traces"]),
    ("hyper", &["pawl-api", "pawl-engine"]),
    // Below the command line an error is an enum that callers act on.
    ("anyhow", &["pawl", "pawl-rehearsal"]),
];

/// The ground does no I/O: no runtime, no sockets.
const NO_IO: [&str; 4] = ["tokio", "reqwest", "async-trait", "futures-util"];

/// What each crate of the workspace names in `[dependencies]`.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(tree::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    let named = |package: &Value| {
        let dependencies = package["dependencies"].as_array().expect("a list");
        dependencies.iter().filter(|it| it["kind"].is_null()).map(|it| text(&it["name"])).collect()
    };
    let packages = metadata["packages"].as_array().expect("a list");
    packages.iter().map(|package| (text(&package["name"]), named(package))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

#[test]
fn crates_name_only_lower_floors() {
    let dependencies = dependencies();
    for name in FLOORS.iter().copied().flatten() {
        let own = floor(name);
        let named = dependencies.get(*name).unwrap_or_else(|| panic!("there is no crate {name}"));
        for other in named.iter().filter(|other| floor(other).is_some()) {
            assert!(floor(other) < own, "{name} must not depend on {other}: it stands no lower");
        }
    }
    for (name, other, reason) in NEVER {
        assert!(!dependencies[name].contains(other), "{name} must not depend on {other}: {reason}");
    }
}

#[test]
fn every_crate_of_the_host_has_a_floor() {
    let ours = dependencies().into_keys().filter(|name| name.starts_with("pawl"));
    let beside = ["pawl-tests", "pawl-fuzz", "pawl-sdk", "pawl-sdk-macros"];
    let homeless: Vec<String> = ours.filter(|name| floor(name).is_none() && !beside.contains(&name.as_str())).collect();
    assert!(homeless.is_empty(), "give these a floor: {homeless:?}");
}

#[test]
fn only_one_layer_knows_each_outside_thing() {
    let dependencies = dependencies();
    for (outside, allowed) in KNOWN_BY {
        let knows = |name: &&str| dependencies[*name].contains(outside);
        let known_by: BTreeSet<&str> = FLOORS.iter().copied().flatten().copied().filter(knows).collect();
        assert_eq!(known_by, allowed.iter().copied().collect(), "who depends on {outside}");
    }
    for name in FLOORS[0] {
        let io: Vec<&str> = NO_IO.into_iter().filter(|outside| dependencies[*name].contains(*outside)).collect();
        assert!(io.is_empty(), "{name} does no I/O, and depends on {io:?}");
    }
}

#[test]
fn steps_know_nothing_of_the_host() {
    for (name, named) in dependencies() {
        if floor(&name).is_none() && name != "pawl-tests" {
            let host: Vec<&String> = named.iter().filter(|other| floor(other).is_some()).collect();
            assert!(host.is_empty(), "{name} is on the guests' side, and depends on {host:?}");
        }
    }
}

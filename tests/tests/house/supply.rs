//! What the program is made of is told to those who install it, and that it was not looked at is said where people read.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::tree;

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} is missing in {value}"))
}

/// Name and version of each crate that cargo links into the program.
fn linked() -> BTreeSet<(String, String)> {
    let words = "tree --locked --offline -p pawl -e normal,no-proc-macro --prefix none --format {p} --target x86_64-unknown-linux-gnu";
    let output =
        Command::new(env!("CARGO")).args(words.split(' ')).current_dir(tree::root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    let read = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        Some((name.to_owned(), version.trim_start_matches('v').to_owned()))
    };
    lines.lines().filter_map(read).collect()
}

#[test]
fn the_list_of_parts_has_each_crate_that_is_linked_with_its_licence_and_its_checksum() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sbom.json");
    let written = Command::new(tree::root().join(".ci/sbom")).arg(&file).output().expect("it starts");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let list: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is JSON");
    assert_eq!((text(&list, "bomFormat"), text(&list, "specVersion")), ("CycloneDX", "1.5"));
    let root = &list["metadata"]["component"];
    let components = list["components"].as_array().expect("a list");
    let identity = |it: &Value| (text(it, "name").to_owned(), text(it, "version").to_owned());
    let listed: BTreeSet<_> = components.iter().chain([root]).map(identity).collect();
    let missing: Vec<_> = linked().difference(&listed).cloned().collect();
    assert!(missing.is_empty(), "linked, and not listed: {missing:?}");
    for component in components {
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        let is_ours = text(component, "name").starts_with("pawl");
        let hash = component["hashes"][0]["content"].as_str().unwrap_or_default();
        assert!(is_ours || hash.len() == 64, "{component}");
    }
    let references: BTreeSet<&str> = components.iter().chain([root]).map(|it| text(it, "bom-ref")).collect();
    for node in list["dependencies"].as_array().expect("a list") {
        let on = node["dependsOn"].as_array().expect("a list").iter().filter_map(Value::as_str);
        assert!(on.chain([text(node, "ref")]).all(|it| references.contains(it)), "{node}");
    }
}

/// `.ci/licences`, with a cargo that fetches nothing, or all.
fn licences(folder: &Path, words: &[&str], fetches: bool, wants: &str) -> Output {
    let cargo = folder.join("cargo");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in \"deny fetch db\") echo 'no network' >&2; exit {} ;; esac\n",
        i32::from(!fetches)
    );
    fs::write(&cargo, script).expect("written");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("it is executable");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("there is one"));
    let mut script = Command::new(tree::root().join(".ci/licences"));
    script.args(words).env("PATH", path).env("CARGO_TARGET_DIR", folder).env("PAWL_ADVISORIES", wants);
    script.output().expect("it starts")
}

#[test]
fn advisories_that_were_not_checked_are_said_at_the_end_and_refused_where_they_are_required() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let unchecked = licences(folder, &[], false, "");
    assert!(unchecked.status.success() && said(&unchecked).contains("NOT checked"), "{}", said(&unchecked));
    let closing = licences(folder, &["warn"], false, "");
    assert!(said(&closing).contains("WARNING: advisories were NOT checked"), "{}", said(&closing));
    let required = licences(folder, &[], false, "required");
    assert!(!required.status.success(), "{}", said(&required));
    assert!(said(&required).contains("(no network)") && !said(&required).contains("WARNING"), "{}", said(&required));
    licences(folder, &[], false, "");
    assert!(licences(folder, &[], true, "").status.success());
    assert_eq!(said(&licences(folder, &["warn"], true, "")), "", "what was checked since is not warned of");

    let makefile = fs::read_to_string(tree::root().join("Makefile")).expect("it is there");
    let test = makefile.split("\ntest: ").nth(1).expect("there is the target");
    assert!(test.contains("trap '.ci/licences warn' EXIT"), "the closing lines of `make test` say it");
}

//! A crate that is published carries what it is built from: a package ends at its folder. What lies outside comes in by
//! links, which a package has as files.

use crate::pointers::joined;
use crate::tree;

/// What brings a file into the build; the path after it begins at the file that names it, or at the crate's folder.
const FROM_FILE: [&str; 2] = ["include_str!(\"", "include_bytes!(\""];
const FROM_CRATE: [&str; 2] = ["migrate!(\"", "path: \""];

/// Only for `cargo test --doc`, which no package is asked for.
const DOCTESTS: &str = "guest-sdk/src/guide.rs";

#[test]
fn what_a_crate_is_built_from_lies_in_its_folder() {
    let crates = published();
    assert!(crates.len() > 10 && crates.contains(&"host/store".to_owned()), "{crates:?}");
    let (mut outside, mut seen) = (Vec::new(), 0);
    for (path, text) in tree::texts() {
        // The innermost: crates lie below each other's folders.
        let home = crates.iter().filter(|home| path.starts_with(&format!("{home}/src/"))).max_by_key(|home| home.len());
        let Some(home) = home.filter(|_| path != DOCTESTS) else { continue };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (words, from) in [(FROM_FILE, folder), (FROM_CRATE, home.as_str())] {
            for named in words.iter().flat_map(|word| product.split(word).skip(1)) {
                let named = named.split('"').next().unwrap_or_default();
                seen += 1;
                if !joined(from, named).is_some_and(|path| path.starts_with(&format!("{home}/"))) {
                    outside.push(format!("{path}: {named}"));
                }
            }
        }
    }
    assert!(seen > 10, "{seen} places in all");
    assert!(outside.is_empty(), "make a link in the crate's folder:\n{}", outside.join("\n"));
}

/// The folders of crates that may be published.
fn published() -> Vec<String> {
    let manifests = tree::texts().into_iter().filter_map(|(path, text)| {
        let folder = path.strip_suffix("/Cargo.toml")?;
        (text.contains("[package]") && !text.contains("publish.workspace = true")).then(|| folder.to_owned())
    });
    manifests.collect()
}

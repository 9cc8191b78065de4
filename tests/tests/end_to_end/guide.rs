//! The examples of the guide for authors as what they are examples of: components. That they do what the guide says is
//! shown by the SDK's own tests, which run them; but those are native programs, and have what a component lacks.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use pawl_tests::binary;

/// What an item at the top of a file may begin with, or go on with.
const ITEMS: [&str; 17] = [
    "use ", "fn ", "struct ", "enum ", "impl ", "const ", "static ", "type ", "mod ", "pub ", "#[", "//", "}", ")",
    " ", "trait ", "# ",
];

/// A step of the guide: the first part of an example, before what would stand in a test.
fn step_of(example: &str) -> Option<String> {
    let is_test = |line: &&str| {
        let is_item = line.is_empty() || ITEMS.iter().any(|item| line.starts_with(item));
        !is_item || (line.starts_with("use pawl_sdk::") && line.contains("testing"))
    };
    let source: String = example.lines().take_while(|line| !is_test(line)).flat_map(|line| [line, "\n"]).collect();
    // Some have closures in place of steps.
    example.lines().find(|line| line.starts_with("fn ") && line.contains("&mut Context"))?;
    // Examples of mistakes do without the attribute.
    Some(if source.contains("step]") || source.contains("#[step(") {
        source
    } else {
        let at = source.find("\nfn ").map_or(0, |at| at + 1);
        let signature = source[at..].lines().next().unwrap_or_default();
        assert!(signature.contains("&mut Context"), "a step comes first, and then its test: {example}");
        format!("{}#[pawl_sdk::step]\n{}", &source[..at], &source[at..])
    })
}

fn examples(page: &str) -> impl Iterator<Item = &str> {
    page.split("\n```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("rust\n"))
}

fn write(dir: &Path, file: &str, text: &str) -> Result<()> {
    let file = dir.join(file);
    std::fs::create_dir_all(file.parent().expect("it lies in the folder"))?;
    Ok(std::fs::write(file, text)?)
}

#[test]
fn every_example_of_the_guide_is_a_component() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let repository = binary::repository();
    let mut crates = Vec::new();
    for entry in std::fs::read_dir(repository.join("docs/guide"))? {
        let path = entry?.path();
        let Some(page) = path.extension().filter(|it| *it == "md").and(path.file_stem()) else { continue };
        let text = std::fs::read_to_string(&path)?;
        for (number, step) in examples(&text).filter_map(step_of).enumerate() {
            let name = format!("{}-{}", page.to_string_lossy().to_lowercase(), number + 1);
            // What `pawl plugin new` lets a step depend on, and no more.
            let manifest = format!(
                "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n\
                 [dependencies]\npawl-sdk = {{ path = {:?} }}\nschemars = \"1\"\n\
                 serde = {{ version = \"1\", features = [\"derive\"] }}\n",
                repository.join("guest-sdk")
            );
            write(dir.path(), &format!("{name}/Cargo.toml"), &manifest)?;
            write(dir.path(), &format!("{name}/src/lib.rs"), &step)?;
            crates.push(name);
        }
    }
    crates.sort();
    assert!(crates.len() > 20, "the guide has more steps than {crates:?}");
    let mut workspace = String::from("[workspace]\nresolver = \"3\"\nmembers = [");
    for name in &crates {
        write!(workspace, "{name:?}, ")?;
    }
    write(
        dir.path(),
        "Cargo.toml",
        &format!("{workspace}]\n[profile.guest]\ninherits = \"dev\"\npanic = \"abort\"\n"),
    )?;
    std::fs::copy(repository.join("Cargo.lock"), dir.path().join("Cargo.lock"))?;
    // The standard library need not be compiled for each run of this test.
    let target = binary::programs()?.join("tests/guide-target");
    let built = binary::pawl()?
        .args(["plugin", "build", "--out-dir", "components"])
        .args(&crates)
        .current_dir(dir.path())
        .env("CARGO_TARGET_DIR", target)
        .output()?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(std::fs::read_dir(dir.path().join("components"))?.count(), crates.len());
    Ok(())
}

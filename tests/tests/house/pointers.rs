//! Dead pointers: docs and comments that name a file, a test or a fault point which has moved or gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree;

/// What a file's name ends with, if somebody may point to it.
const ENDINGS: [&str; 8] = [".rs", ".sql", ".md", ".toml", ".wit", ".py", ".js", ".json"];

/// Files of others: of a plugin that the reader writes, of a folder that a command makes, of an example.
const NOT_OURS: [&str; 7] = [
    ".pawl/dev.json",
    "src/lib.rs",
    "pawl.toml",
    "temperatures.toml",
    "charge.json",
    "recovery_summary.json",
    "../Cargo.toml",
];

/// The repository as pointers see it.
struct House {
    texts: BTreeMap<String, String>,
    folders: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl House {
    fn read() -> Self {
        let texts = tree::texts();
        let folders = texts.keys().flat_map(|path| ancestors(path)).map(ToOwned::to_owned).collect();
        let names = texts.keys().map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect();
        Self { texts, folders, names }
    }

    fn has(&self, path: &str) -> bool {
        let is_picture = || path.ends_with(".png") && tree::root().join(path).is_file();
        self.texts.contains_key(path) || self.folders.contains(path) || is_picture()
    }

    /// Whether a path that stands in the file `from` leads somewhere: from the root, from the file's folder or one above
    /// it, or, if it is a mere name, anywhere.
    fn leads(&self, from: &str, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.has(path)
            || (!path.contains('/') && self.names.contains(path))
            || ancestors(from).any(|folder| joined(folder, path).is_some_and(|path| self.has(&path)))
    }

    /// Whether this is meant to be a file or a folder of this repository.
    fn is_pointer(&self, word: &str) -> bool {
        let top = word.split('/').next().unwrap_or_default();
        let is_file = ENDINGS.iter().any(|ending| word.len() > ending.len() && word.ends_with(ending));
        let is_folder = word.contains('/') && self.folders.contains(top);
        (is_file || is_folder) && !NOT_OURS.contains(&word) && top != "target"
    }

    /// Texts that are not prose: whatever prose may point into.
    fn is_in_code(&self, what: &str) -> bool {
        self.texts.iter().any(|(path, text)| !path.ends_with(".md") && text.contains(what))
    }
}

/// The folders that a path lies in, the innermost first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(folder, _)| folder.rsplit_once('/')).map(|(folder, _)| folder)
}

/// The path as it is seen from a folder; `None` if it leaves the repository.
pub(crate) fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The prose of a file, line by line with their numbers: all of a page but its examples, the comments of code.
fn prose<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    let numbered = (1..).zip(text.lines());
    let mark = match path.rsplit_once('.').map_or(path, |(_, ending)| ending) {
        "md" => {
            let mut is_example = false;
            let keep = |(_, line): &(usize, &str)| {
                let is_fence = line.trim_start().starts_with("```");
                is_example ^= is_fence;
                !is_fence && !is_example
            };
            return numbered.filter(keep).collect();
        }
        "rs" | "wit" | "js" => "//",
        "sql" => "--",
        "toml" | "py" => "#",
        _ if path == "Makefile" || path.starts_with(".ci/") => "#",
        _ => return Vec::new(),
    };
    let comment = |(number, line): (usize, &'a str)| {
        let at = line.match_indices(mark).map(|(at, _)| at).find(|at| !line[..*at].ends_with(':'))?;
        Some((number, &line[at + mark.len()..]))
    };
    numbered.filter_map(comment).collect()
}

/// What may be a path: runs of the characters that paths have, without the end of a sentence.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./*:".contains(c);
    let words = line.split(move |c| !is_path(c)).map(|word| word.trim_end_matches(['.', ':']));
    words.filter(|word| !word.contains("://") && !word.contains('*') && !word.starts_with('/'))
}

/// Where the links of a page lead within the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// What stands between backticks.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_name(word: &str, joints: &[char], at_least: usize) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || joints.contains(&c);
    word.chars().all(fits) && word.matches(joints).count() >= at_least && !word.ends_with(joints)
}

#[test]
fn files_that_are_pointed_to_are_there() {
    let house = House::read();
    let mut dead = Vec::new();
    for (path, text) in &house.texts {
        for (number, line) in prose(path, text) {
            let links = links(line).filter(|_| path.ends_with(".md"));
            let pointers = words(line).filter(|word| house.is_pointer(word)).chain(links);
            let gone: BTreeSet<&str> = pointers.filter(|word| !house.leads(path, word)).collect();
            dead.extend(gone.iter().map(|word| format!("{path}:{number}: {word}")));
        }
    }
    assert!(dead.is_empty(), "these point to nothing:\n{}", dead.join("\n"));
}

#[test]
fn tests_and_functions_that_docs_name_are_there() {
    let house = House::read();
    let mut dead = Vec::new();
    for (path, text) in house.texts.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (number, line) in prose(path, text) {
            let gone = quoted(line).filter(|word| is_name(word, &['_'], 2) && !house.is_in_code(word));
            let no_test =
                quoted(line).filter(|word| is_name(word, &['_'], 5) && !house.is_in_code(&format!("fn {word}(")));
            dead.extend(gone.chain(no_test).map(|word| format!("{path}:{number}: {word}")));
        }
    }
    assert!(dead.is_empty(), "no code has these names:\n{}", dead.join("\n"));
}

#[test]
fn fault_points_that_docs_name_are_in_the_code() {
    let house = House::read();
    let (path, text) = house.texts.get_key_value("docs/protocol.md").expect("the page is there");
    let points = prose(path, text).into_iter().filter_map(|(_, line)| quoted(line.strip_prefix("| ")?).next());
    let points: Vec<&str> = points.filter(|word| is_name(word, &['.'], 1)).collect();
    assert!(points.len() > 10, "the table of fault points is there: {points:?}");
    let dead: Vec<&str> = points.into_iter().filter(|point| !house.is_in_code(&format!("(\"{point}\")"))).collect();
    assert!(dead.is_empty(), "nothing strikes at {dead:?}");
}

#[test]
fn a_dead_pointer_is_seen() {
    let house = House::read();
    let from = "docs/protocol.md";
    for alive in ["Makefile", "../migrations/", "README.md", "lib.rs", "guide/README.md", "tests/tests/house/main.rs"] {
        assert!(house.leads(from, alive), "{alive}");
    }
    for dead in ["host/src/gone.rs", "../../README.md/x", "nobody_has_this.rs", "migrations/0000_gone.sql"] {
        assert!(house.is_pointer(dead) != dead.ends_with('x') && !house.leads(from, dead), "{dead}");
    }
    let code = concat!("let x = \"https://a.b/c.rs\"; /", "/ see host/src/gone.rs.");
    let found: Vec<&str> = prose("a.rs", code).iter().flat_map(|(_, line)| words(line)).collect();
    assert!(found.contains(&"host/src/gone.rs"), "{found:?}");
    assert_eq!(links("[a](../x.md#part), [b](#here), [c](https://d.e)").collect::<Vec<_>>(), ["../x.md"]);
}

//! Files of pipelines, several at a time: which there are in a folder, and whether two of them have one name. `pawl dev` and
//! `pawl pipeline` ask here; whether a file is a good pipeline is for others.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use pawl_domain::pipeline_file::Format;

/// What such files end with.
const ENDINGS: [&str; 2] = ["toml", "json"];

/// Files with such an ending that say something else: whoever names a plugin's folder does not mean them.
const OTHERS: [&str; 8] = [
    "pawl.toml",
    "Cargo.toml",
    "pyproject.toml",
    "rustfmt.toml",
    "rust-toolchain.toml",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
];

/// Whether it is called as a pipeline's file is: not hidden, with an ending of one, and no file of a tool's.
pub(super) fn is_one(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_others = name.starts_with('.') || OTHERS.contains(&&*name);
    !is_others && path.extension().is_some_and(|ending| ENDINGS.iter().any(|it| ending == *it))
}

/// Those in a folder, by name.
pub(super) fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if is_one(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The name that a file gives to its pipeline, if it can be read so far.
pub(super) fn name_in(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    match Format::of_file(&file.to_string_lossy()) {
        Format::Toml => Some(text.parse::<toml::Table>().ok()?.get("name")?.as_str()?.to_owned()),
        Format::Json => Some(serde_json::from_str::<serde_json::Value>(&text).ok()?.get("name")?.as_str()?.to_owned()),
    }
}

/// Files that give one name to their pipelines: each would take the place of the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SharedName {
    name: String,
    pub(super) files: Vec<PathBuf>,
}

impl fmt::Display for SharedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        write!(
            f,
            "{} have a pipeline of one name, `{}`, and each would take the other's place: change `name` in all of them but one",
            files.join(" and "),
            self.name
        )
    }
}

/// The names that several of these files share.
pub(super) fn shared_names(files: &[PathBuf]) -> Vec<SharedName> {
    let mut named: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        if let Some(name) = name_in(file) {
            named.entry(name).or_default().push(file.clone());
        }
    }
    let shared = named.into_iter().filter(|(_, files)| files.len() > 1);
    shared.map(|(name, files)| SharedName { name, files }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_with_one_name_are_told_by_both_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let files = [
            write("a.toml", "name = \"hello\"\n"),
            write("b.json", r#"{"name": "hello"}"#),
            write("c.toml", "name = \"other\"\n"),
            write("d.toml", "not = [valid"),
        ];
        let shared = shared_names(&files);
        assert_eq!(shared.len(), 1);
        assert_eq!(shared[0].files, files[..2]);
        let said = shared[0].to_string();
        assert!(said.contains("a.toml and ") && said.contains("b.json have a pipeline of one name, `hello`"), "{said}");
        assert_eq!(shared_names(&files[1..]), Vec::new());
        write(".a.toml.json", "");
        write("notes.md", "");
        for other in OTHERS {
            write(other, "");
        }
        assert_eq!(in_folder(dir.path()).unwrap(), files);
    }
}

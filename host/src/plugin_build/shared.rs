//! What plugins beside each other share of their compilation: the SDK and what it depends on, compiled once for all of them. Their
//! SDK lies outside of each of them, in the project's folder; so does what is shared, whoever builds, and from where.
//!
//! Cargo tells crates of one name apart in a shared folder only while it compiles: what the first has become is taken for the
//! second. So such crates share nothing.

use std::path::{Path, PathBuf};

use super::package::Package;
use super::sdk::Sdk;
use super::{is_source, name_of};
use crate::here;

/// In the folder that `pawl dev` has there, too, which shares what it compiles in `target`: that is optimised otherwise.
const TARGET: &str = "release";

/// What a plugin shares with those beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shared {
    /// The folder of the project: paths in it are kept out of components.
    pub(super) root: PathBuf,
    /// Where cargo builds.
    pub(super) target: PathBuf,
}

impl Shared {
    /// That of a crate that stands alone, if its SDK does not lie in it and the project's folder can be written to.
    pub(super) fn by(package: &Package) -> Option<Self> {
        let dir = package.manifest.parent()?;
        let root = Sdk::of(dir)?.root_beside(dir).filter(|_| package.workspace == dir && !has_namesake(dir))?;
        let data = root.join(here::DATA);
        here::keep_data(&data).ok()?;
        Some(Self { target: data.join(TARGET), root })
    }
}

/// Whether another plugin beside it has its name.
pub(super) fn has_namesake(dir: &Path) -> bool {
    let Some(parent) = dir.parent() else { return false };
    let others = sources_in(parent).into_iter().filter(|other| other != dir);
    let name = name_of(dir);
    others.into_iter().any(|other| name_of(&other) == name)
}

/// The folders in `folder` that look like the sources of plugins, by name.
#[must_use]
pub fn sources_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sources: Vec<PathBuf> = entries.filter(|path| is_source(path)).collect();
    sources.sort();
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_with_one_name_share_nothing() {
        let root = tempfile::tempdir().unwrap();
        let plugin = |folder: &str, name: &str| {
            let dir = root.path().join(folder);
            std::fs::create_dir(&dir).unwrap();
            let manifest = format!("[package]\nname = \"{name}\"\n[lib]\ncrate-type = [\"cdylib\"]\n");
            std::fs::write(dir.join("Cargo.toml"), manifest).unwrap();
            dir
        };
        let (one, two, same) = (plugin("one", "one"), plugin("two", "two"), plugin("copy", "two"));
        assert!(!has_namesake(&one) && has_namesake(&two) && has_namesake(&same));
        assert_eq!(sources_in(root.path()), [same, one, two]);
    }
}

//! Which API belongs to the folder that somebody is in. A running `pawl dev` says in `.pawl/dev.json` where it listens,
//! and holds a lock on that file, so that what a killed one has left is not believed. Commands that were told no
//! address find it there, in their folder or the nearest one above, and name the folder in each request: another
//! folder's `pawl dev`, which may have taken the address since, refuses them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::plugin_build;

/// Where `pawl dev` keeps what it needs, unless it is told otherwise.
pub(super) const DATA: &str = ".pawl";

/// In the folder with the data.
const FILE: &str = "dev.json";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) url: String,
    /// Where `pawl dev` was started.
    pub(super) folder: PathBuf,
}

/// Says it as long as it lives.
#[derive(Debug)]
pub(super) struct Announced {
    _locked: File,
    path: PathBuf,
}

impl Announced {
    /// Says it to those who look into the folder of that `data`.
    pub(super) fn in_data(data: &Path, said: &Said) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        let write = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            // Somebody may be looking whether it is locked, which takes a moment.
            file.lock()?;
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(serde_json::to_string(said)?.as_bytes())?;
            Ok(file)
        };
        let file = write().with_context(|| format!("can't write {}", path.display()))?;
        Ok(Self { _locked: file, path })
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // If it stays, nobody believes it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What a running `pawl dev` says in a folder's `.pawl`.
fn said_in(folder: &Path) -> Option<Said> {
    let mut file = File::open(folder.join(DATA).join(FILE)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        // Nobody holds it, or the file system has no locks to tell by.
        Ok(()) | Err(TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The API of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Here {
    /// One runs.
    Runs(Said),
    /// This folder would have its own; none runs.
    Silent(PathBuf),
    /// There is nothing of Pawl in this folder; `None`: an address was named, or where this is can't be told.
    Nothing(Option<PathBuf>),
}

/// Looks around in `from`, which is absolute.
pub(super) fn look(from: &Path) -> Here {
    if let Some(said) = from.ancestors().find_map(said_in) {
        return Here::Runs(said);
    }
    let own = from.ancestors().find(|folder| plugin_build::is_source(folder));
    own.map_or_else(|| Here::Nothing(Some(from.to_owned())), |folder| Here::Silent(folder.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_finds_its_own_pawl_dev_as_long_as_that_lives() {
        let root = tempfile::tempdir().unwrap();
        let (plugin, deep) = (root.path().join("hello"), root.path().join("hello/src/deep"));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(plugin.join(DATA)).unwrap();
        assert_eq!(look(&deep), Here::Nothing(Some(deep.clone())));
        std::fs::write(plugin.join("Cargo.toml"), "[lib]\ncrate-type = [\"cdylib\"]\n").unwrap();
        assert_eq!(look(&deep), Here::Silent(plugin.clone()));

        let said = Said { url: "http://127.0.0.1:1".to_owned(), folder: plugin.clone() };
        let announced = Announced::in_data(&plugin.join(DATA), &said).unwrap();
        assert_eq!(look(&deep), Here::Runs(said.clone()));
        assert_eq!(look(root.path()), Here::Nothing(Some(root.path().to_owned())));
        drop(announced);
        assert_eq!(look(&deep), Here::Silent(plugin.clone()));

        // One that was killed leaves the file, and no lock.
        std::fs::write(plugin.join(DATA).join(FILE), serde_json::to_string(&said).unwrap()).unwrap();
        assert_eq!(look(&deep), Here::Silent(plugin));
    }
}

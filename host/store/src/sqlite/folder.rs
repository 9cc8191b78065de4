//! The folder of a database: held by one process, and its owner's alone, with all that lies in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use pawl_base::owner_only::{self, Kept};

use super::FILE;
use crate::{Error, Result};

/// What SQLite keeps beside a file while it is written, with the rights of that file.
pub(super) const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// What `pawl dev` calls the folder, if nobody says otherwise: there is nothing but Pawl's in it.
const OWN_FOLDER: &str = ".pawl";

/// What the disk must have room for, bytes: a commit that finds room in the log proves nothing about the next one.
const PROBE_BYTES: usize = 64 << 10;

/// Makes the folder, if need be, and holds it against all other processes.
pub(super) fn lock_folder(folder: &Path) -> Result<File> {
    // One that was named for it and holds a database is as much Pawl's.
    let is_own = folder.ends_with(OWN_FOLDER) || folder.join(FILE).exists();
    let kept = if is_own { Kept::ForPawl } else { Kept::WithOthers };
    owner_only::folder(folder, kept).map_err(|error| unusable(folder, &error))?;
    let path = folder.join("lock");
    let lock = owner_only::open(OpenOptions::new().write(true).create(true).truncate(true), &path);
    let lock = lock.map_err(|error| unusable(folder, &error))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            let folder = folder.display();
            Error::Config(format!("another pawl uses {folder}: stop it, or choose another folder with --data"))
        }
        TryLockError::Error(error) => unusable(folder, &error),
    })?;
    Ok(lock)
}

pub(super) fn unusable(folder: &Path, error: &dyn std::error::Error) -> Error {
    Error::Config(format!("can't use the folder {}: {error}", folder.display()))
}

/// Makes the database's file, if need be: SQLite would make one that all may read, and gives its log the rights of the file.
pub(super) fn keep_from_others(file: &Path) -> std::io::Result<()> {
    if !file.exists() {
        owner_only::open(OpenOptions::new().write(true).create(true).truncate(false), file)?;
    }
    owner_only::tighten(file)?;
    BESIDE.iter().try_for_each(|end| owner_only::tighten(&beside(file, end)))
}

/// The path with something after its name.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

pub(super) fn nothing_left(folder: &Path, error: &std::io::Error) -> Error {
    Error::Config(format!("`pawl dev` has left nothing in {}: {error}", folder.display()))
}

pub(super) fn has_room(probe: &Path) -> Result<()> {
    let written = owner_only::write(probe, &[0; PROBE_BYTES]);
    let _ = std::fs::remove_file(probe);
    written.map_err(|error| Error::Unavailable("room on the disk of the database", error.into()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Sqlite;
    use super::*;

    fn rights(path: &Path) -> u32 {
        path.metadata().expect("it is there").permissions().mode() & 0o777
    }

    fn loosen(path: &Path, rights: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(rights)).expect("it is ours");
    }

    fn all_in(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    }

    fn is_its_owners_alone(folder: &Path) {
        assert!(
            all_in(folder).len() >= 4,
            "the file, its log and the index of that, and the lock: {:?}",
            all_in(folder)
        );
        for path in all_in(folder) {
            assert_eq!(rights(&path), 0o600, "{}", path.display());
        }
        assert_eq!(rights(folder), 0o700);
    }

    #[test]
    fn a_database_and_what_is_beside_it_are_their_owners_alone() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("data");
        let _opened = Sqlite::open(&folder).expect("it opens");
        is_its_owners_alone(&folder);
    }

    #[test]
    fn what_an_earlier_pawl_has_left_open_to_others_is_closed_to_them() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join(FILE);
        for path in [root.path().join("lock"), beside(&file, "-wal"), beside(&file, "-shm"), file] {
            std::fs::write(&path, "").expect("it is ours");
            loosen(&path, 0o644);
        }
        loosen(root.path(), 0o755);
        let _opened = Sqlite::open(root.path()).expect("it opens");
        is_its_owners_alone(root.path());
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_with_the_fix() {
        let root = tempfile::tempdir().expect("a folder");
        loosen(root.path(), 0o777);
        let error = Sqlite::open(root.path()).expect_err("others may write to it").to_string();
        assert!(error.contains(&format!("run `chmod go-w {}`", root.path().display())), "{error}");
    }
}

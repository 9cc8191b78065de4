//! Files and folders that are their owner's alone. Whatever Pawl keeps for itself (a database, its log, a token, a backup,
//! compiled components) is made here, so that one place decides who else may read it: nobody. What an earlier Pawl has made
//! with wider rights is tightened; what others may write to is refused, since they could put their own in its place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unsafe {
    /// The system's word.
    #[error(transparent)]
    System(#[from] io::Error),
    /// It is this user's, and open to others on purpose.
    #[error(
        "others may write to it, and could put files of their own in place of Pawl's: run `chmod go-w {}`, or name a folder \
         that is yours alone",
        .0.display()
    )]
    Open(PathBuf),
    /// It is somebody else's.
    #[error(
        "it belongs to another user (uid {owner}), and others than its owner may write to it: name a folder of your own, or let \
         its owner run `chmod go-w {}`",
        folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
    },
}

/// Whose a folder is, beside whoever gave its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Pawl's alone: nobody else enters it.
    ForPawl,
    /// There may be more in it than Pawl's: who may enter it is not changed.
    WithOthers,
}

/// Makes a folder for its owner alone. One that is there and Pawl's alone is tightened, if it is this user's.
///
/// # Errors
/// [`Unsafe`], also if others may write to it.
pub fn folder(folder: &Path, kept: Kept) -> Result<(), Unsafe> {
    if !folder.is_dir() {
        make(folder)?;
    }
    rights::look_at_folder(folder, kept)
}

fn make(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, rights::FOLDER);
    builder.create(folder)
}

/// Opens a file as the options say. If it is made, it is for its owner alone; one of this user's that was there is tightened.
///
/// # Errors
/// As the system says.
pub fn open(options: &mut OpenOptions, file: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, rights::FILE);
    let opened = options.open(file)?;
    tighten(file)?;
    Ok(opened)
}

/// Writes a file that is its owner's alone, in place of what was there.
///
/// # Errors
/// As the system says.
pub fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    io::Write::write_all(&mut open(OpenOptions::new().write(true).create(true).truncate(true), file)?, bytes)
}

/// Takes a file's rights from everybody but its owner, if that is this user and it is there. Nothing is opened: closing a
/// database's file would end the locks that this process has on it.
///
/// # Errors
/// As the system says.
pub fn tighten(file: &Path) -> io::Result<()> {
    rights::look_at_file(file)
}

#[cfg(unix)]
mod rights {
    use std::fs::{Metadata, Permissions, set_permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::path::Path;

    use super::{Kept, Unsafe};

    pub(super) const FOLDER: u32 = 0o700;
    pub(super) const FILE: u32 = 0o600;

    /// What a folder like /tmp has: all may make files in it, and nobody takes another's away.
    const STICKY: u32 = 0o1000;
    const OTHERS: u32 = 0o077;
    const OTHERS_WRITE: u32 = 0o022;

    fn is_own(found: &Metadata) -> bool {
        found.uid() == rustix::process::geteuid().as_raw()
    }

    pub(super) fn look_at_folder(folder: &Path, kept: Kept) -> Result<(), Unsafe> {
        let found = folder.metadata()?;
        let mode = found.mode();
        let is_pawls = kept == Kept::ForPawl && mode & STICKY == 0;
        match is_own(&found) {
            true if is_pawls && mode & OTHERS != 0 => Ok(set_permissions(folder, Permissions::from_mode(FOLDER))?),
            true if mode & OTHERS_WRITE != 0 => Err(Unsafe::Open(folder.to_owned())),
            false if mode & OTHERS_WRITE != 0 => Err(Unsafe::Foreign { folder: folder.to_owned(), owner: found.uid() }),
            _ => Ok(()),
        }
    }

    pub(super) fn look_at_file(file: &Path) -> io::Result<()> {
        match file.symlink_metadata() {
            Ok(found) if found.is_file() && is_own(&found) && found.mode() & OTHERS != 0 => {
                set_permissions(file, Permissions::from_mode(FILE))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(not(unix))]
mod rights {
    use std::io;
    use std::path::Path;

    use super::{Kept, Unsafe};

    pub(super) fn look_at_folder(_: &Path, _: Kept) -> Result<(), Unsafe> {
        Ok(())
    }

    pub(super) fn look_at_file(_: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("it is there").permissions().mode() & 0o7777
    }

    fn loosen(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    }

    #[test]
    fn what_is_made_is_its_owners_alone_and_what_was_wider_is_tightened() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("deep/.pawl");
        let file = data.join("file");
        folder(&data, Kept::ForPawl).unwrap();
        write(&file, b"secret").unwrap();
        assert_eq!((mode(&data), mode(&file)), (0o700, 0o600));
        loosen(&data, 0o775);
        loosen(&file, 0o644);
        folder(&data, Kept::ForPawl).unwrap();
        open(OpenOptions::new().read(true), &file).unwrap();
        assert_eq!((mode(&data), mode(&file)), (0o700, 0o600));
        tighten(&data.join("none")).unwrap();
    }

    #[test]
    fn a_folder_with_more_in_it_stays_as_it_is_and_one_that_others_write_to_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let shared = root.path().join("shared");
        create_dir(&shared).unwrap();
        loosen(&shared, 0o755);
        folder(&shared, Kept::WithOthers).unwrap();
        assert_eq!(mode(&shared), 0o755);
        for (rights, kept) in [(0o775, Kept::WithOthers), (0o757, Kept::WithOthers), (0o1777, Kept::ForPawl)] {
            loosen(&shared, rights);
            let why = folder(&shared, kept).unwrap_err().to_string();
            assert!(why.contains(&format!("run `chmod go-w {}`", shared.display())), "{rights:o}: {why}");
            assert_eq!(mode(&shared), rights, "it is not Pawl's to change");
        }
    }

    #[test]
    fn a_folder_of_somebody_else_is_used_only_if_nobody_but_its_owner_writes_to_it() {
        // The system's own: everybody's to write to, and root's.
        let why = folder(Path::new("/tmp"), Kept::ForPawl).unwrap_err().to_string();
        assert!(why.contains("chmod go-w /tmp"), "{why}");
        folder(Path::new("/"), Kept::WithOthers).unwrap();
    }
}

//! A backup, while somebody works on the database or nobody does: `vacuum into`.
//!
//! It reads in one transaction, and so holds all as it stood at one moment. In this mode of SQLite a reader is in no writer's
//! way; what is committed meanwhile stays in the log until it has ended. SQLite's other way, copying the pages, would take the
//! free ones along: what was deleted would lie in each backup for as long as that is kept.
//!
//! It never changes the database, and works on that of an older build, too: that is backed up before the new build touches it.

use std::fs::File;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{FILE, NAME, SCHEMA, Sqlite, nothing_left, pragma, seal, thread, version};
use crate::backup::Contents;
use crate::{Error, Result};

impl Sqlite {
    /// Writes all that the database in `folder` holds into `file`, which is empty or not there. What was committed when this
    /// was called is in it, and on the disk.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no database, [`Error::Schema`] or [`Error::ForeignSchema`] if a newer or another build made
    /// it; [`Error::Unavailable`], for example if the disk is full. What is in `file` then is of no use.
    pub async fn back_up(folder: &Path, file: &Path) -> Result<Contents> {
        let (folder, file) = (folder.to_owned(), file.to_owned());
        aside(move || {
            let database = folder.join(FILE);
            // Opening it would make one.
            drop(File::open(&database).map_err(|error| nothing_left(&folder, &error))?);
            write(&thread::open(&database)?, &file)?;
            seal::put(&file).map_err(|error| on_disk(error.into()))?;
            contents(&file)
        })
        .await
    }
}

fn write(conn: &Connection, file: &Path) -> Result<()> {
    if version(pragma(conn, "user_version")?, pragma(conn, "application_id")?, &SCHEMA)? == 0 {
        return Err(Error::Config("the database has no tables yet: there is nothing to back up".to_owned()));
    }
    let unnamed = || Error::Config(format!("{} can't be told to SQLite: its name is no UTF-8", file.display()));
    conn.execute("vacuum into ?1", [file.to_str().ok_or_else(unnamed)?])?;
    Ok(())
}

fn contents(file: &Path) -> Result<Contents> {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let size_bytes = std::fs::metadata(file).map_err(|error| on_disk(error.into()))?.len();
    Ok(Contents { runs: runs(&conn)?, size_bytes })
}

/// How many runs there are.
pub(super) fn runs(conn: &Connection) -> Result<u64> {
    let count: i64 = conn.query_row("select count(*) from run", [], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// What the disk says of a file beside the database.
pub(super) fn on_disk(error: crate::error::Source) -> Error {
    Error::Unavailable("the disk of the backup", error)
}

/// Does what waits for a disk for long on a thread of its own.
pub(crate) async fn aside<T: Send + 'static>(job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(job).await;
    ended.unwrap_or_else(|error| Err(Error::Unavailable(NAME, error.into())))
}

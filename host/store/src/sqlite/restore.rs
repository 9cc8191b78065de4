//! A backup on its way back. Nobody works on the file itself: a copy of it is brought up to this build's schema, and what was
//! of the old installation's processes is taken out, by the state machines that all changes go through. Then the copy becomes
//! the database of a folder, or is read into Postgres.
//!
//! ```text
//!  file ──header──▶ copy ──whole? ──▶ schema ──▶ steps that ran are handed back ──┬──▶ renamed: the database
//!                                               leases, workers are gone          └──▶ carried into Postgres
//! ```
//!
//! What is killed in the middle leaves the copy behind, which nobody takes for a database; the next restore writes it anew.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pawl_base::{fault, owner_only};
use pawl_domain::event::EventKind;
use pawl_domain::id::{RunId, StepId};
use pawl_domain::transition::StepChange;
use rusqlite::Connection;

use super::backup::{aside, on_disk, runs};
use super::folder::{BESIDE, beside, lock_folder};
use super::ledger::{Happened, Ledger, Plans};
use super::{FILE, SCHEMA, Sqlite, pragma, rows, seal, sweeps, thread, upgrade, version};
use crate::backup::Restored;
use crate::{Error, Result};
use head::Head;

mod head;

/// How the copy is called that becomes a database.
const COPY: &str = "restoring";

/// What the history tells of a step that ran when the backup was made.
const NOTE: &str = "restored from a backup";

impl Sqlite {
    /// Makes what a backup holds the database of `folder`, which has none yet, or an empty one. All of it is there, or nothing.
    ///
    /// # Errors
    /// [`Error::Config`] if the file is no whole backup that this build can read, or a process has the folder;
    /// [`Error::Conflict`] if the folder's database holds something; [`Error::Unavailable`].
    pub async fn restore(backup: &Path, folder: &Path) -> Result<Restored> {
        check(backup)?;
        let lock = lock_folder(folder)?;
        let target = folder.join(FILE);
        let copy = WorkingCopy::at(beside(&target, &format!(".{COPY}")))?;
        let (folder, backup, path) = (folder.to_owned(), backup.to_owned(), copy.path.clone());
        aside(move || {
            let _lock = lock;
            must_be_empty(&folder, &target)?;
            let (conn, handed_back) = fill(&backup, &path)?;
            let restored = Restored { runs: runs(&conn)?, handed_back };
            conn.close().map_err(|(_, error)| error)?;
            put_in_place(&path, &target, &folder).map_err(|error| on_disk(error.into()))?;
            Ok(restored)
        })
        .await
    }
}

fn put_in_place(copy: &Path, target: &Path, folder: &Path) -> std::io::Result<()> {
    File::open(copy)?.sync_all()?;
    fault::point("restore.taken_in.before_commit");
    // A log of the empty database would be taken for one of this.
    BESIDE.iter().try_for_each(|end| remove(&beside(target, end)))?;
    std::fs::rename(copy, target)?;
    File::open(folder)?.sync_all()
}

/// Nothing is written over.
fn must_be_empty(folder: &Path, database: &Path) -> Result<()> {
    if !database.exists() {
        return Ok(());
    }
    let conn = thread::open(database)?;
    if version(pragma(&conn, "user_version")?, pragma(&conn, "application_id")?, &SCHEMA)? == 0 {
        return Ok(());
    }
    for table in ["run", "plugin", "pipeline"] {
        let found = conn.query_row(&format!("select exists (select 1 from {table})"), [], |row| row.get(0))?;
        if found {
            return Err(Error::Conflict(format!(
                "{} holds {table}s already, and nothing is written over: move it away, or name another folder with --data",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// A file that a backup is copied to. It goes with its owner.
#[derive(Debug)]
pub(crate) struct WorkingCopy {
    path: PathBuf,
    /// Held, so that no other restore uses it.
    _lock: File,
}

impl WorkingCopy {
    /// Beside a backup.
    pub(crate) fn beside(backup: &Path) -> Result<Self> {
        Self::at(beside(backup, &format!(".{COPY}")))
    }

    fn at(path: PathBuf) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Error::Config(format!("can't write {}, the copy that is worked on: {error}", path.display()))
        };
        let lock = owner_only::open(OpenOptions::new().write(true).create(true).truncate(false), &path);
        let lock = lock.map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::Config(format!("another `pawl restore` works on {}", path.display())),
            TryLockError::Error(error) => unusable(error),
        })?;
        Ok(Self { path, _lock: lock })
    }

    /// Fills it with what a backup holds, as [`Sqlite::restore`] does; how many steps were handed back.
    pub(crate) async fn filled(&self, backup: &Path) -> Result<(Connection, u64)> {
        let (backup, path) = (backup.to_owned(), self.path.clone());
        aside(move || fill(&backup, &path)).await
    }
}

impl Drop for WorkingCopy {
    fn drop(&mut self) {
        // What can't be removed is written anew by the next restore.
        let _ = remove(&self.path);
        BESIDE.iter().for_each(|end| drop(remove(&beside(&self.path, end))));
    }
}

fn fill(backup: &Path, copy: &Path) -> Result<(Connection, u64)> {
    let copying = || {
        // That of a restore that was killed would be rolled back into this one.
        BESIDE.iter().try_for_each(|end| remove(&beside(copy, end)))?;
        seal::copy(backup, copy)
    };
    if !copying().map_err(|error| on_disk(error.into()))? {
        return Err(refused(backup, "it is damaged, or its end is missing: it is not what `pawl backup` has written"));
    }
    let conn = Connection::open(copy)?;
    // All of it lies in one file.
    let whole = conn
        .execute_batch("pragma journal_mode = delete; pragma foreign_keys = on; pragma cache_size = -16384")
        .and_then(|()| conn.query_row("pragma integrity_check(1)", [], |row| row.get::<_, String>(0)));
    match whole {
        Ok(word) if word == "ok" => {}
        Ok(what) => return Err(refused(backup, &format!("it is damaged: {}", what.replace('\n', " ")))),
        Err(error) => return Err(refused(backup, &format!("it is damaged: {error}"))),
    }
    upgrade(&conn, &SCHEMA)?;
    conn.execute_batch("begin")?;
    let handed_back = end_processes(&conn)?;
    conn.execute_batch("commit")?;
    Ok((conn, handed_back))
}

/// Takes out what was of the old installation's processes: its workers and their leases, the turn to delete, probes under way.
/// Steps that ran are handed back, as by a worker that drains: no crash is counted. Their fence is raised besides.
fn end_processes(conn: &Connection) -> Result<u64> {
    let plans = Plans::default();
    let ledger = Ledger::new(conn, &plans);
    let ran = rows(
        conn,
        "select run_id, step_no from step where status = 'running' order by run_id, step_no",
        [],
        sweeps::step_of,
    )?;
    for steps in ran.chunk_by(|one, other| one.run == other.run) {
        hand_back(&ledger, steps[0].run, steps)?;
    }
    conn.execute_batch(
        "delete from worker_component; delete from worker; delete from gone_worker; update retention set until = 0;
         update circuit set probed_by = null, probe_until = null",
    )?;
    Ok(ran.len() as u64)
}

fn hand_back(ledger: &Ledger<'_>, run: RunId, steps: &[StepId]) -> Result<()> {
    let mut happened = Vec::with_capacity(steps.len());
    for id in steps {
        let Some(mut step) = ledger.step(*id)? else { continue };
        step.change(StepChange::HandedBack, ledger.now_ms)?;
        step.fence += 1;
        step.alone = false;
        step.write(ledger.conn)?;
        let told = Happened::to(&step, EventKind::StepHandedBack).noting(NOTE);
        happened.push(Happened { worker: step.worker, ..told });
    }
    if ledger.run(run)?.is_some_and(|run| run.failing) {
        happened.extend(ledger.stop_what_does_not_run(run, "another step failed")?);
    }
    ledger.record(&happened)?;
    Ok(())
}

/// Whether a file may be a backup, by its first bytes and its length.
pub(crate) fn check(backup: &Path) -> Result<()> {
    let unread = |error: std::io::Error| Error::Config(format!("can't read {}: {error}", backup.display()));
    let head = Head::read(backup).map_err(unread)?;
    head.judge(&SCHEMA).map_err(|why| refused(backup, &why))
}

fn refused(backup: &Path, why: &str) -> Error {
    Error::Config(format!("{} is no backup that can be restored: {why}", backup.display()))
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

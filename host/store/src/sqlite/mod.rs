//! The store of `pawl dev`: one SQLite file, used by one process. It keeps the promises of the production store
//! with the means of a single writer: there are no locks, and every change is a job on one thread
//! ([`thread`]), which decides with the state machines of `domain` and writes row by row ([`ledger`]).

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pawl_base::lock;
use pawl_domain::id::{Digest, WorkerId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::{Error, Link, Result, Schema, Store};
use folder::{has_room, keep_from_others, lock_folder, nothing_left, unusable};
use ledger::{Ledger, Plans};
use thread::Thread;

mod audit;
pub(crate) mod backup;
mod circuits;
mod components;
mod control;
mod dead_letters;
mod doctor;
mod events;
mod folder;
mod history;
mod inbox;
mod incidents;
mod inspect;
mod journal;
mod leases;
mod ledger;
mod link;
mod live;
mod logs;
mod namespaces;
mod pauses;
mod pipelines;
mod plugins;
mod readiness;
mod recoveries;
pub(crate) mod restore;
mod retention;
mod rows;
mod runs;
mod seal;
mod sealing;
mod secrets;
mod signals;
mod space;
mod stored;
mod submit;
mod sweeps;
mod thread;
mod tokens;
mod traces;
mod waits;
mod workers;
mod write;

/// The database, in its folder.
const FILE: &str = "pawl.sqlite";

/// For people.
const NAME: &str = "SQLite";

/// The tables, and each change of them since: a file's `user_version` counts what it has been through. What has landed
/// is frozen, as migrations are.
const SCHEMA: [&str; 21] = [
    include_str!("schema/0001_tables.sql"),
    include_str!("schema/0002_listed.sql"),
    include_str!("schema/0003_inbox.sql"),
    include_str!("schema/0004_rollback.sql"),
    include_str!("schema/0005_parked.sql"),
    include_str!("schema/0006_recovery.sql"),
    include_str!("schema/0007_gone_workers.sql"),
    include_str!("schema/0008_retention.sql"),
    include_str!("schema/0009_logs.sql"),
    include_str!("schema/0010_dead_letters.sql"),
    include_str!("schema/0011_pause.sql"),
    include_str!("schema/0012_traces.sql"),
    include_str!("schema/0013_circuits.sql"),
    include_str!("schema/0014_incidents.sql"),
    include_str!("schema/0015_tokens.sql"),
    include_str!("schema/0016_audit_retention.sql"),
    include_str!("schema/0017_secrets.sql"),
    include_str!("schema/0018_namespaces.sql"),
    include_str!("schema/0019_sealing.sql"),
    include_str!("schema/0020_stored_bytes.sql"),
    include_str!("schema/0021_pipeline_versions.sql"),
];

/// A database file that this process owns; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: Thread,
    reader: Thread,
    plans: Arc<Plans>,
    /// Written and removed to see whether the disk has room.
    probe: Arc<PathBuf>,
    /// Workers that somebody has asked to drain. They are of this process, and go with it.
    drains: Arc<Mutex<HashSet<WorkerId>>>,
    /// Held for as long as anybody may write.
    _lock: Arc<File>,
}

impl Sqlite {
    /// Opens the database in `folder`, or makes it. All workers that it knows are dead: nobody else can have run
    /// since, so their steps may be taken over at once.
    ///
    /// # Errors
    /// [`Error::Config`] if the folder can't be used, others may write to it, or another process has it; [`Error::Schema`] if
    /// it was made by another version.
    pub fn open(folder: &Path) -> Result<Self> {
        let lock = lock_folder(folder)?;
        let file = folder.join(FILE);
        keep_from_others(&file).map_err(|error| unusable(folder, &error))?;
        let conn = thread::open(&file)?;
        prepare(&conn)?;
        Ok(Self {
            writer: Thread::writing(conn)?,
            reader: Thread::reading(thread::open(&file)?)?,
            plans: Arc::default(),
            probe: Arc::new(folder.join("probe")),
            drains: Arc::default(),
            _lock: Arc::new(lock),
        })
    }

    /// The database in `folder` to be looked at, also while a process works on it. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Config`] if there is none; [`Error::Schema`] or [`Error::ForeignSchema`] if it was made by another version.
    pub fn look(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        // Opening it would make one.
        let kept = File::open(&file).map_err(|error| nothing_left(folder, &error))?;
        let reading = || {
            let conn = thread::open(&file)?;
            conn.execute_batch("pragma query_only = on")?;
            is_ours(&conn, &SCHEMA)?;
            Thread::reading(conn)
        };
        Ok(Self {
            writer: reading()?,
            reader: reading()?,
            plans: Arc::default(),
            probe: Arc::new(folder.join("probe")),
            drains: Arc::default(),
            _lock: Arc::new(kept),
        })
    }

    /// Notes that a worker is to drain; whether it was not so before.
    fn note_drain(&self, worker: WorkerId) -> bool {
        lock(&self.drains).insert(worker)
    }

    fn is_asked_to_drain(&self, worker: WorkerId) -> bool {
        lock(&self.drains).contains(&worker)
    }

    fn asked_to_drain(&self) -> HashSet<WorkerId> {
        lock(&self.drains).clone()
    }

    /// Reads.
    async fn read<T: Send + 'static>(&self, job: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        self.reader.run(job).await
    }

    /// Changes something, in one commit with others.
    async fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Ledger<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let plans = Arc::clone(&self.plans);
        self.writer.run(move |conn| job(&Ledger::new(conn, &plans))).await
    }
}

/// Whether the tables are those of this build.
fn is_ours(conn: &Connection, schema: &[&str]) -> Result<()> {
    let (found, needed) = (pragma(conn, "user_version")?, schema.len() as i64);
    if found != needed {
        return Err(Error::Schema { found, needed });
    }
    version(found, pragma(conn, "application_id")?, schema).map(drop)
}

/// How many of the changes tables have been through that say so, and bear that mark.
fn version(found: i64, mark: i64, schema: &[&str]) -> Result<usize> {
    let newer = || Error::Schema { found, needed: schema.len() as i64 };
    let through = usize::try_from(found).ok().and_then(|count| schema.get(..count)).ok_or_else(newer)?;
    if found > 0 && mark != mark_of(through) {
        return Err(Error::ForeignSchema { version: found });
    }
    Ok(through.len())
}

/// A number that SQLite tells of a file.
fn pragma(conn: &Connection, name: &str) -> Result<i64> {
    Ok(conn.pragma_query_value(None, name, |row| row.get(0))?)
}

/// Brings the tables up to date, and ends the leases of a process that was here before.
fn prepare(conn: &Connection) -> Result<()> {
    upgrade(conn, &SCHEMA)?;
    space::prepare(conn)?;
    conn.execute("update worker set expires_at = min(expires_at, ?1)", [ledger::now_ms()])?;
    Ok(())
}

fn upgrade(conn: &Connection, schema: &[&str]) -> Result<()> {
    let through = version(pragma(conn, "user_version")?, pragma(conn, "application_id")?, schema)?;
    let missing = &schema[through..];
    if !missing.is_empty() {
        let (missing, mark, needed) = (missing.concat(), mark_of(schema), schema.len());
        conn.execute_batch(&format!(
            "begin; {missing} pragma user_version = {needed}; pragma application_id = {mark}; commit"
        ))?;
    }
    Ok(())
}

/// Tells this build's tables from others of the same version, as checksums of migrations do for Postgres.
fn mark_of(schema: &[&str]) -> i64 {
    let [a, b, c, d, ..] = Digest::of(schema.concat().as_bytes()).0;
    i64::from(u32::from_be_bytes([a, b, c, d]) >> 1)
}

impl Store for Sqlite {}

#[async_trait]
impl Schema for Sqlite {
    fn name(&self) -> &'static str {
        NAME
    }

    /// The tables were made when it was opened.
    async fn migrate(&self) -> Result<()> {
        Ok(())
    }

    async fn check_schema(&self) -> Result<()> {
        self.read(|_| Ok(())).await
    }

    /// A file that can't be written to is not opened; the disk may be full since.
    async fn check_writes(&self) -> Result<()> {
        let probe = Arc::clone(&self.probe);
        self.read(move |_| has_room(&probe)).await
    }

    async fn check_connections(&self) -> Result<()> {
        Ok(())
    }

    fn link(&self) -> Box<dyn Link> {
        Box::new(link::SqliteLane(self.clone()))
    }

    fn link_of(&self, _worker: WorkerId) -> Box<dyn Link> {
        self.link()
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            // They pass: somebody reads with another program, or the disk has to be given room.
            Some(
                Code::DatabaseBusy | Code::DatabaseLocked | Code::DiskFull | Code::SystemIoFailure | Code::CannotOpen,
            ) => Self::Unavailable(NAME, error.into()),
            _ => Self::Refused(NAME, error.into()),
        }
    }
}

/// A commit that failed for all that were in it.
fn unavailable(error: &rusqlite::Error) -> Error {
    Error::Unavailable(NAME, error.to_string().into())
}

fn digest_of(row: &Row<'_>, column: &str) -> Result<Digest> {
    let bytes = row.get_ref(column)?.as_blob().unwrap_or_default();
    Digest::try_from(bytes).map_err(|_| Error::Damaged(format!("the column {column}")))
}

fn maybe_digest_of(row: &Row<'_>, column: &str) -> Result<Option<Digest>> {
    let is_null = matches!(row.get_ref(column)?, ValueRef::Null);
    if is_null { Ok(None) } else { digest_of(row, column).map(Some) }
}

/// A word of ours; the tables' CHECKs admit no others.
fn parse<T>(row: &Row<'_>, column: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let word: String = row.get(column)?;
    word.parse().map_err(|error| Error::Refused(NAME, Box::new(error)))
}

/// Texts of a JSON array.
fn texts(row: &Row<'_>, column: &str) -> Result<Vec<String>> {
    Ok(serde_json::from_str(&row.get::<_, String>(column)?).unwrap_or_default())
}

/// All rows of a statement.
fn rows<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut of: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(of(row)?);
    }
    Ok(all)
}

/// The row of a statement, if there is one.
fn row<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    of: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(of).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "create table a (n integer) strict;";
    const SECOND: &str = "alter table a add column m integer;";

    #[test]
    fn a_disk_without_room_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let probe = folder.path().join("probe");
        has_room(&probe).expect("there is room");
        assert!(!probe.exists(), "nothing is left of it");
        std::os::unix::fs::symlink("/dev/full", &probe).expect("a link to a device that is always full");
        let full = has_room(&probe).expect_err("there is none");
        assert!(full.is_passing() && full.to_string().contains("room on the disk"), "{full}");
    }

    #[test]
    fn a_file_is_brought_up_to_date_and_one_of_another_build_is_left_alone() {
        let conn = Connection::open_in_memory().expect("a database");
        upgrade(&conn, &[FIRST]).expect("new tables");
        conn.execute("insert into a (n) values (1)", []).expect("a row");
        upgrade(&conn, &[FIRST, SECOND]).expect("a change");
        upgrade(&conn, &[FIRST, SECOND]).expect("nothing to do");
        let kept: (i64, Option<i64>) =
            conn.query_row("select n, m from a", [], |row| Ok((row.get(0)?, row.get(1)?))).expect("the row");
        assert_eq!(kept, (1, None));
        let older = upgrade(&conn, &[FIRST]).expect_err("it is newer than that build");
        assert!(matches!(older, Error::Schema { found: 2, needed: 1 }), "{older}");
        let foreign = upgrade(&conn, &["", SECOND]).expect_err("it is of others");
        assert!(matches!(foreign, Error::ForeignSchema { version: 2 }), "{foreign}");
    }
}

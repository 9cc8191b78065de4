//! A connection on a thread of its own. SQLite works in the caller's thread and waits for the disk there, so
//! no thread of the runtime may; what is asked of it is a closure, which runs here.
//!
//! The writing thread commits in groups, as Postgres does: all that has arrived while a commit was under way
//! shares the next one. Each job has a savepoint, so that one that fails undoes only what it did itself.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::{Error, Result};

/// Jobs in one commit.
const TOGETHER: usize = 64;

/// Something to do, which returns how its caller is told after the commit.
type Job = Box<dyn FnOnce(&Connection) -> Reply + Send>;
type Reply = Box<dyn FnOnce(std::result::Result<(), &rusqlite::Error>) + Send>;

/// The way to a thread's connection.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    jobs: Sender<Job>,
}

impl Thread {
    /// A thread whose jobs write, in groups.
    pub(super) fn writing(conn: Connection) -> Result<Self> {
        Self::start("store-writer", move |jobs| {
            while let Ok(first) = jobs.recv() {
                commit(&conn, std::iter::once(first).chain(jobs.try_iter()).take(TOGETHER));
            }
        })
    }

    /// A thread whose jobs read; each sees the database as it stood at one moment.
    pub(super) fn reading(conn: Connection) -> Result<Self> {
        Self::start("store-reader", move |jobs| {
            while let Ok(job) = jobs.recv() {
                commit(&conn, std::iter::once(job));
            }
        })
    }

    fn start(name: &str, run: impl FnOnce(Receiver<Job>) + Send + 'static) -> Result<Self> {
        let (jobs, receiver) = channel();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(receiver));
        thread.map_err(|error| Error::Unavailable("a thread for SQLite", error.into()))?;
        Ok(Self { jobs })
    }

    /// Does something in a transaction, and waits for its commit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job = move |conn: &Connection| -> Reply {
            let done = in_savepoint(conn, job);
            Box::new(move |committed| {
                // Whoever asked may have gone away.
                let _ = answer.send(match committed {
                    Ok(()) => done,
                    Err(error) => Err(done.err().unwrap_or_else(|| super::unavailable(error))),
                });
            })
        };
        self.jobs.send(Box::new(job)).map_err(|_| ended())?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn commit(conn: &Connection, jobs: impl Iterator<Item = Job>) {
    let begun = conn.execute_batch("begin");
    let replies: Vec<Reply> = jobs.map(|job| job(conn)).collect();
    let committed = begun.and_then(|()| conn.execute_batch("commit"));
    if committed.is_err() && !conn.is_autocommit() {
        // What can't be rolled back is so with the next `begin`, which fails and says why.
        let _ = conn.execute_batch("rollback");
    }
    replies.into_iter().for_each(|reply| reply(committed.as_ref().copied()));
}

fn in_savepoint<T>(conn: &Connection, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    conn.execute_batch("savepoint job")?;
    let done = job(conn);
    conn.execute_batch(if done.is_ok() { "release job" } else { "rollback to job; release job" })?;
    done
}

fn ended() -> Error {
    Error::Unavailable(super::NAME, "its thread has ended".into())
}

/// Opens a connection to the database file.
pub(super) fn open(file: &Path) -> Result<Connection> {
    let conn = Connection::open(file)?;
    conn.set_prepared_statement_cache_capacity(128);
    // A commit is on the disk when it is answered: https://www.sqlite.org/pragma.html#pragma_synchronous
    conn.execute_batch(super::space::TRACKED)?;
    conn.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma temp_store = memory;
         pragma busy_timeout = 2000; pragma cache_size = -65536",
    )?;
    Ok(conn)
}

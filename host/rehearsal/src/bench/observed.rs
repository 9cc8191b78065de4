//! What a load is measured beside: the servers of an installation, or the folder of a `pawl dev`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pawl_base::owner_only;
use pawl_queue::RedisConfig;

use crate::observer::Observer;

/// Where the floor is, and what counts.
pub enum Observed {
    /// Postgres and Redis.
    Servers(Box<Observer>),
    /// A folder on the disk that SQLite writes to; nobody else counts its commits.
    Embedded(PathBuf),
}

/// A look at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) counted: Option<Counted>,
}

/// Counters of both servers, or what they grew by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// Transactions that wrote.
    pub(super) commits: i64,
    /// Round trips to Redis.
    pub(super) redis_reads: i64,
}

impl Observed {
    /// Connects to both servers.
    ///
    /// # Errors
    /// If one of them can't be reached.
    pub async fn servers(database_url: &str, redis: &RedisConfig) -> anyhow::Result<Self> {
        Ok(Self::Servers(Box::new(Observer::connect(database_url, redis).await?)))
    }

    pub(super) async fn look(&mut self) -> anyhow::Result<Look> {
        match self {
            Self::Servers(observer) => {
                let counters = observer.counters().await?;
                let counted = Counted { commits: counters.commits, redis_reads: counters.redis_reads };
                Ok(Look { at: counters.at, counted: Some(counted) })
            }
            Self::Embedded(_) => Ok(Look { at: Instant::now(), counted: None }),
        }
    }

    /// Single-row commits of one client a second, measured for `time`.
    pub(super) async fn floor(&mut self, time: Duration) -> anyhow::Result<f64> {
        match self {
            Self::Servers(observer) => observer.floor(time).await,
            Self::Embedded(folder) => sqlite_floor(folder, time),
        }
    }
}

impl Look {
    /// What has been counted since `begin`, less the observer's own read of Redis.
    pub(super) fn since(&self, begin: &Self) -> Option<Counted> {
        let (begin, end) = (begin.counted?, self.counted?);
        Some(Counted {
            commits: end.commits - begin.commits,
            redis_reads: (end.redis_reads - begin.redis_reads - 1).max(0),
        })
    }
}

/// In a file of its own beside the store's, with the store's settings.
fn sqlite_floor(folder: &Path, time: Duration) -> anyhow::Result<f64> {
    let file = scratch(folder)?;
    let conn = rusqlite::Connection::open(&file.0)?;
    conn.execute_batch("pragma journal_mode = wal; pragma synchronous = full; create table floor (n integer)")?;
    let begin = Instant::now();
    let mut commits = 0_i64;
    while begin.elapsed() < time {
        conn.execute("insert into floor values (?1)", [commits])?;
        commits += 1;
    }
    Ok(commits as f64 / begin.elapsed().as_secs_f64())
}

/// A database that is deleted with the value.
struct Scratch(PathBuf);

fn scratch(folder: &Path) -> anyhow::Result<Scratch> {
    anyhow::ensure!(folder.is_dir(), "there is no folder {}: give that of a running `pawl dev`", folder.display());
    let file = folder.join(format!("floor-{}.sqlite", std::process::id()));
    owner_only::write(&file, b"").with_context(|| format!("can't write {}", file.display()))?;
    Ok(Scratch(file))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

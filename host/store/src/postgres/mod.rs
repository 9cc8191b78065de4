//! The store of production: Postgres.
//!
//! Reads and rare writes are plain statements, one verb and one transaction each, in files by noun. The hot
//! paths are server-side functions, versioned by name, one round trip each: see `migrations/`.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{Digest, InstallationId, RunId, StepId, StepNo, WorkerId};
use pawl_domain::ready::Ready;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{Error, Link, Result, Schema, Store, within};

mod audit;
mod circuits;
mod components;
mod control;
mod dead_letters;
mod doctor;
mod error;
mod events;
mod history;
mod inbox;
mod incidents;
mod inspect;
mod leases;
mod link;
mod live;
mod logs;
mod namespaces;
mod pauses;
mod pipelines;
mod plugins;
mod pool;
mod readiness;
mod recoveries;
mod restore;
mod retention;
mod roles;
mod runs;
mod sealing;
mod secrets;
mod servers;
mod stored;
mod submit;
mod tls;
mod tokens;
mod traces;
mod waits;
mod workers;
mod write;

use servers::Servers;

/// For people.
const NAME: &str = "Postgres";

/// Access to the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: pool::Pool,
    /// For sweeps over what may have grown large: nobody's lease or answer waits for them.
    sweeps: pool::Pool,
    servers: Servers,
}

/// Connections for sweeps, and how much longer than others' their statements may take.
const SWEEPS: u32 = 2;
const SWEEP_PATIENCE: u32 = 12;

/// Keepalives of the server's side, seconds: it notices soon that a client's host has died, and gives back what that
/// client holds.
const KEEPALIVE_AFTER: &str = "5";
const KEEPALIVE_EVERY: &str = "2";

/// The schema that this build of Pawl reads and writes.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

impl Postgres {
    /// Host and port of each server that a database's URL names; sockets have none, and what is no URL neither.
    #[must_use]
    pub fn endpoints(database_url: &str) -> Vec<(String, u16)> {
        servers::endpoints(database_url)
    }

    /// Prepares access; connects when first used. `session_timeout` bounds every statement, lock wait and
    /// idle transaction: below half a lease, so that nothing hangs past it. A quarter more, and the server is taken to be
    /// gone, and the connection is closed.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL is not one.
    pub fn new(database_url: &str, connections: u32, session_timeout: Duration) -> Result<Self> {
        let ms = |time: Duration| time.as_millis().to_string();
        let text = |value: &str| value.to_owned();
        let servers = Servers::of(
            database_url,
            vec![
                ("synchronous_commit", text("on")),
                // What a statement reads is decided under locks that were taken before: whatever the database's default.
                ("default_transaction_isolation", text("read committed")),
                ("statement_timeout", ms(session_timeout)),
                ("lock_timeout", ms(session_timeout)),
                ("idle_in_transaction_session_timeout", ms(session_timeout)),
                ("tcp_user_timeout", ms(session_timeout)),
                ("tcp_keepalives_idle", text(KEEPALIVE_AFTER)),
                ("tcp_keepalives_interval", text(KEEPALIVE_EVERY)),
                // All hot statements look rows up by key, a few to a few hundred at a time. Their plans are
                // made once, also while tables are still empty, and must not change with statistics.
                ("plan_cache_mode", text("force_generic_plan")),
                ("enable_seqscan", text("off")),
                ("enable_hashjoin", text("off")),
                ("enable_mergejoin", text("off")),
                ("jit", text("off")),
            ],
        )?;
        let sweep_timeout = session_timeout * SWEEP_PATIENCE;
        let sweeping = servers.clone().with("statement_timeout", ms(sweep_timeout));
        let pool = |servers: &Servers, connections, statement: Duration| {
            pool::Pool::new(servers.clone(), connections, statement + statement / 4)
        };
        Ok(Self {
            pool: pool(&servers, connections, session_timeout),
            sweeps: pool(&sweeping, SWEEPS, sweep_timeout),
            servers,
        })
    }

    /// A connection of its own, outside the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database can't be reached.
    pub async fn connect(&self) -> Result<PgConnection> {
        let connecting = async { Ok(self.servers.connect().await?) };
        within(self.pool.patience(), connecting).await
    }

    /// A session as it is for anybody who has the URL: nothing is set in it. For those who look at the database beside Pawl.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL is not one, [`Error::Unavailable`] and the like if there is no session.
    pub async fn session(database_url: &str) -> Result<PgConnection> {
        Ok(Servers::of(database_url, Vec::new())?.open().await?)
    }

    /// The schema whose builds still work with this one, if that is newer than this build's: a newer schema says so itself.
    async fn oldest_build(&self) -> Result<i64> {
        let told = sqlx::query_scalar::<_, i32>("select oldest from works_with").fetch_optional(&self.pool).await;
        Ok(i64::from(told?.unwrap_or(i32::MAX)))
    }

    /// Which installation this database is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database can't be reached.
    pub async fn installation(&self) -> Result<InstallationId> {
        let asking = sqlx::query_scalar("select id from installation");
        Ok(InstallationId(asking.fetch_one(&self.pool).await?))
    }
}

impl Store for Postgres {}

/// The version of this build's schema.
fn needed_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

#[async_trait]
impl Schema for Postgres {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn migrate(&self) -> Result<()> {
        let count = u32::try_from(MIGRATIONS.iter().count()).unwrap_or(u32::MAX);
        let migrating = async {
            let mut own = self.connect().await?;
            Ok(MIGRATIONS.run_direct(None, &mut own, false).await?)
        };
        within(self.pool.patience().saturating_mul(count + 1), migrating).await
    }

    async fn check_schema(&self) -> Result<()> {
        let needed = needed_version();
        let found: std::result::Result<Vec<(i64, Vec<u8>)>, _> =
            sqlx::query_as("select version, checksum from _sqlx_migrations where success order by version")
                .fetch_all(&self.pool)
                .await;
        let applied = match found {
            Ok(applied) => applied,
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let found = applied.last().map_or(0, |(version, _)| *version);
        if found < needed || (found > needed && needed < self.oldest_build().await?) {
            return Err(Error::Schema { found, needed });
        }
        let ours = |(version, checksum): &(i64, Vec<u8>)| {
            MIGRATIONS.iter().any(|known| known.version == *version && *known.checksum == **checksum)
        };
        match applied.iter().filter(|(version, _)| *version <= needed).find(|migration| !ours(migration)) {
            Some((version, _)) => Err(Error::ForeignSchema { version: *version }),
            None => Ok(()),
        }
    }

    async fn check_writes(&self) -> Result<()> {
        if self.pool.takes_writes().await? { Ok(()) } else { Err(Error::ReadOnly(NAME)) }
    }

    async fn check_connections(&self) -> Result<()> {
        within(self.pool.patience(), self.servers.check_sessions()).await.map_err(|error| match error {
            Error::Silent => {
                let silent = format!("{} did not answer in time", self.servers.addresses());
                Error::Unavailable(NAME, silent.into())
            }
            error => error,
        })
    }

    fn link(&self) -> Box<dyn Link> {
        Box::new(link::PostgresLane::new(self.clone(), None))
    }

    fn link_of(&self, worker: WorkerId) -> Box<dyn Link> {
        Box::new(link::PostgresLane::new(self.clone(), Some(worker)))
    }
}

/// `pawl_ready_v1`, see `migrations/0002_record.sql`.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_ready_v1")]
struct ReadyRow {
    run_id: Uuid,
    step_no: i32,
    queue: String,
    priority: String,
    ready_at_ms: i64,
}

impl ReadyRow {
    fn into_ready(self) -> Ready {
        Ready {
            id: StepId { run: RunId(self.run_id), step: StepNo(self.step_no) },
            queue: self.queue,
            priority: self.priority.parse().unwrap_or_default(),
            ready_at_ms: self.ready_at_ms,
            start: None,
        }
    }
}

fn ready_of(row: &PgRow) -> Result<Ready> {
    let priority: &str = row.try_get("priority")?;
    Ok(Ready {
        id: StepId { run: RunId(row.try_get("run_id")?), step: StepNo(row.try_get("step_no")?) },
        queue: row.try_get("queue")?,
        priority: priority.parse().unwrap_or_default(),
        ready_at_ms: row.try_get("ready_at_ms")?,
        start: None,
    })
}

fn digest_of(row: &PgRow, column: &str) -> Result<Digest> {
    let bytes: &[u8] = row.try_get(column)?;
    Digest::try_from(bytes).map_err(|_| Error::Damaged(format!("the column {column}")))
}

fn maybe_digest_of(row: &PgRow, column: &str) -> Result<Option<Digest>> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(|_| digest_of(row, column)).transpose()
}

/// A word of ours; the database's CHECKs admit no others.
fn parse<T>(row: &PgRow, column: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let word: &str = row.try_get(column)?;
    word.parse().map_err(|error| Error::Refused(NAME, Box::new(error)))
}

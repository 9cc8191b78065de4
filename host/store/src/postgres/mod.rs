//! The store of production: Postgres.
//!
//! Reads and rare writes are plain statements, one verb and one transaction each, in files by noun. The hot
//! paths are server-side functions, versioned by name, one round trip each: see `migrations/`.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::id::{Digest, InstallationId, RunId, StepId, StepNo};
use pawl_domain::ready::Ready;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use crate::{Error, Link, Result, Schema, Store, within};

mod components;
mod control;
mod doctor;
mod error;
mod events;
mod history;
mod inbox;
mod leases;
mod link;
mod live;
mod pipelines;
mod plugins;
mod pool;
mod readiness;
mod runs;
mod submit;
mod workers;
mod write;

/// For people.
const NAME: &str = "Postgres";

/// Access to the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: pool::Pool,
    /// For sweeps over what may have grown large: nobody's lease or answer waits for them.
    sweeps: pool::Pool,
    options: PgConnectOptions,
}

/// Connections for sweeps, and how much longer than others' their statements may take.
const SWEEPS: u32 = 2;
const SWEEP_PATIENCE: u32 = 12;

/// Keepalives of the server's side, seconds: it notices soon that a client's host has died, and gives back what that
/// client holds.
const KEEPALIVE_AFTER: &str = "5";
const KEEPALIVE_EVERY: &str = "2";

/// The schema that this build of Pawl reads and writes.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

impl Postgres {
    /// Prepares access; connects when first used. `session_timeout` bounds every statement, lock wait and
    /// idle transaction: below half a lease, so that nothing hangs past it. A quarter more, and the server is taken to be
    /// gone, and the connection is closed.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL is not one.
    pub fn new(database_url: &str, connections: u32, session_timeout: Duration) -> Result<Self> {
        let timeout_ms = session_timeout.as_millis().to_string();
        let options = PgConnectOptions::from_str(database_url)
            .map_err(|error| Error::Config(format!("the database URL is not valid: {error}")))?
            .application_name("pawl")
            .options([
                ("synchronous_commit", "on"),
                ("statement_timeout", timeout_ms.as_str()),
                ("lock_timeout", timeout_ms.as_str()),
                ("idle_in_transaction_session_timeout", timeout_ms.as_str()),
                ("tcp_user_timeout", timeout_ms.as_str()),
                ("tcp_keepalives_idle", KEEPALIVE_AFTER),
                ("tcp_keepalives_interval", KEEPALIVE_EVERY),
                // All hot statements look rows up by key, a few to a few hundred at a time. Their plans are
                // made once, also while tables are still empty, and must not change with statistics.
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("jit", "off"),
            ]);
        let sweep_timeout = session_timeout * SWEEP_PATIENCE;
        let sweep_timeout_ms = sweep_timeout.as_millis().to_string();
        let sweeping = options.clone().options([("statement_timeout", sweep_timeout_ms.as_str())]);
        let pool = |options: &PgConnectOptions, connections, statement: Duration| {
            pool::Pool::new(options.clone(), connections, statement + statement / 4)
        };
        Ok(Self {
            pool: pool(&options, connections, session_timeout),
            sweeps: pool(&sweeping, SWEEPS, sweep_timeout),
            options,
        })
    }

    /// A connection of its own, outside the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database can't be reached.
    pub async fn connect(&self) -> Result<PgConnection> {
        let connecting = async { Ok(PgConnection::connect_with(&self.options).await?) };
        within(self.pool.patience(), connecting).await
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

#[async_trait]
impl Schema for Postgres {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn migrate(&self) -> Result<()> {
        let count = u32::try_from(MIGRATIONS.iter().count()).unwrap_or(u32::MAX);
        let migrating = async {
            let own = PgPoolOptions::new().max_connections(1).connect_with(self.options.clone()).await?;
            Ok(MIGRATIONS.run(&own).await?)
        };
        within(self.pool.patience().saturating_mul(count + 1), migrating).await
    }

    async fn check_schema(&self) -> Result<()> {
        let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
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
        if found != needed {
            return Err(Error::Schema { found, needed });
        }
        let ours = |(version, checksum): &(i64, Vec<u8>)| {
            MIGRATIONS.iter().any(|known| known.version == *version && *known.checksum == **checksum)
        };
        match applied.iter().find(|migration| !ours(migration)) {
            Some((version, _)) => Err(Error::ForeignSchema { version: *version }),
            None => Ok(()),
        }
    }

    fn link(&self) -> Box<dyn Link> {
        Box::new(link::PostgresLane::new(self.clone()))
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

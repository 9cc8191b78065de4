//! A test's own eyes in Postgres: it reads what Pawl wrote, and never writes a state of Pawl's; [`crate::Crowd`] does.

use pawl_domain::id::RunId;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::runtime::block_on;

/// A transaction that stays open.
#[derive(Debug)]
pub struct Held {
    transaction: Option<sqlx::Transaction<'static, sqlx::Postgres>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        // On a runtime, as the pool wants it.
        block_on(async { drop(self.transaction.take()) });
    }
}

impl Held {
    /// Commits it.
    ///
    /// # Errors
    /// As the database says.
    pub fn commit(mut self) -> anyhow::Result<()> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        Ok(block_on(transaction.commit())?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// As the database says.
    pub fn release(mut self) -> anyhow::Result<()> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        Ok(block_on(transaction.rollback())?)
    }
}

/// Access to a database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
}

/// A session that keeps the database as it stands now, until it is dropped: a dump, a replica's feedback. What is changed
/// or deleted meanwhile stays in tables and indexes.
#[derive(Debug)]
pub struct Snapshot {
    _session: PgConnection,
}

impl Database {
    /// Keeps the database as it stands now.
    ///
    /// # Errors
    /// As the database says.
    pub fn snapshot(&self) -> anyhow::Result<Snapshot> {
        block_on(async {
            let mut session = PgConnection::connect_with(&self.pool.connect_options()).await?;
            sqlx::raw_sql("begin isolation level repeatable read; select count(*) from worker")
                .execute(&mut session)
                .await?;
            Ok(Snapshot { _session: session })
        })
    }

    /// Connects when first used, and again after the server was away.
    ///
    /// # Errors
    /// If the URL is not one.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        // A pool starts its housekeeping on the runtime that it is made on.
        let pool = block_on(async { PgPoolOptions::new().max_connections(4).connect_lazy(url) })?;
        Ok(Self { pool })
    }

    /// For a query with a row of several columns.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The one value of a query.
    ///
    /// # Errors
    /// As the database says.
    pub fn value<T>(&self, sql: &str) -> anyhow::Result<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
        (T,): for<'r> sqlx::FromRow<'r, PgRow>,
    {
        Ok(block_on(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool))?)
    }

    /// A query's rows, each as the text of its one column.
    ///
    /// # Errors
    /// As the database says.
    pub fn lines(&self, sql: &str) -> anyhow::Result<Vec<String>> {
        Ok(block_on(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&self.pool))?)
    }

    /// Executes a statement that isn't Pawl's: resetting statistics, ending connections.
    ///
    /// # Errors
    /// As the database says.
    pub fn execute(&self, sql: &str) -> anyhow::Result<()> {
        block_on(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool))?;
        Ok(())
    }

    /// Executes a query in a transaction that stays open: what it locks is held until [`Held::release`].
    ///
    /// # Errors
    /// As the database says.
    pub fn hold(&self, sql: &str) -> anyhow::Result<Held> {
        let mut transaction = block_on(self.pool.begin())?;
        block_on(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *transaction))?;
        Ok(Held { transaction: Some(transaction) })
    }

    /// How many transactions have written so far: only those get an id. The difference of two calls is the
    /// number of commits that budgets count; the call itself doesn't write.
    ///
    /// # Errors
    /// As the database says.
    pub fn writes(&self) -> anyhow::Result<u64> {
        let id: String = self.value("select pg_snapshot_xmax(pg_current_snapshot())::text")?;
        Ok(id.parse()?)
    }

    /// Which worker process executes a step now: its pid.
    ///
    /// # Errors
    /// As the database says.
    pub fn pid_of_step(&self, run: RunId, step: &str) -> anyhow::Result<Option<u32>> {
        let sql = "select worker.pid from step join worker on worker.id = step.worker_id \
                   where step.run_id = $1 and step.status = 'running' and step.step_no = $2";
        let Some(number) = self.step_number(run, step)? else { return Ok(None) };
        let row = block_on(sqlx::query(sql).bind(run.0).bind(number).fetch_optional(&self.pool))?;
        row.map(|row| Ok(u32::try_from(row.try_get::<i32, _>(0)?)?)).transpose()
    }

    /// A step's number in its pipeline.
    ///
    /// # Errors
    /// As the database says.
    pub fn step_number(&self, run: RunId, step: &str) -> anyhow::Result<Option<i32>> {
        let sql = "select spec from pipeline_version \
                   join run on run.pipeline_digest = pipeline_version.digest where run.id = $1";
        let spec: Option<Vec<u8>> = block_on(sqlx::query_scalar(sql).bind(run.0).fetch_optional(&self.pool))?;
        let Some(spec) = spec else { return Ok(None) };
        let pipeline: pawl_domain::pipeline::Pipeline = serde_json::from_slice(&spec)?;
        Ok(pipeline.step_named(step).map(|number| number.0))
    }

    /// How many of these runs there are.
    ///
    /// # Errors
    /// As the database says.
    pub fn count_runs(&self, runs: &[RunId]) -> anyhow::Result<usize> {
        let ids: Vec<uuid::Uuid> = runs.iter().map(|run| run.0).collect();
        let count: i64 = block_on(
            sqlx::query_scalar("select count(*) from run where id = any($1)").bind(ids).fetch_one(&self.pool),
        )?;
        Ok(usize::try_from(count)?)
    }
}

//! An observer's eyes in Postgres and Redis: what `pawl bench` counts and `pawl drill` verifies.
//!
//! It is the one place beside `store` and `queue` that talks to the servers, and that is on purpose: what
//! Pawl is measured and checked by must not be what Pawl says of itself. It never writes a table of Pawl's.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use pawl_queue::RedisConfig;
use pawl_store::Postgres;
use redis::aio::MultiplexedConnection;
use sqlx::Executor as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// One connection to Postgres and one to Redis.
pub struct Observer {
    database: PgConnection,
    redis: MultiplexedConnection,
}

/// Counters of both servers at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    /// When.
    pub(crate) at: Instant,
    /// Transactions that have written: only those get an id. Reading the counter does not write.
    pub(crate) commits: i64,
    /// Reads that the Redis server did from its clients' sockets. A pipeline of commands is one read, so
    /// this counts round trips, where the statistics by command count commands.
    pub(crate) redis_reads: i64,
}

/// A step as the database has it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct StepRow {
    /// Its state.
    pub(crate) status: String,
    /// Attempts that were begun.
    pub(crate) attempts: i32,
    /// Attempts that failed.
    pub(crate) failures: i32,
    /// How many checkpoints were saved.
    pub(crate) checkpoints: i32,
    /// The last claim, in ms since 1970.
    pub(crate) claimed_at_ms: Option<i64>,
    /// The process that has it or had it last, on its machine.
    pub(crate) worker_pid: Option<i32>,
}

impl Observer {
    /// Connects to both, as safely as Pawl itself does.
    pub(crate) async fn connect(database_url: &str, redis: &RedisConfig) -> anyhow::Result<Self> {
        let database = Postgres::session(database_url).await.context("can't connect to Postgres")?;
        let redis = redis.client()?.get_multiplexed_async_connection().await.context("can't connect to Redis")?;
        Ok(Self { database, redis })
    }

    /// The counters now.
    pub(crate) async fn counters(&mut self) -> anyhow::Result<Counters> {
        let commits = sqlx::query_scalar("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            .fetch_one(&mut self.database)
            .await?;
        let info: String = redis::cmd("INFO").arg("stats").query_async(&mut self.redis).await?;
        let redis_reads = info
            .lines()
            .find_map(|line| line.strip_prefix("total_reads_processed:")?.trim().parse().ok())
            .context("Redis does not count reads; it must be version 6 or newer")?;
        Ok(Counters { at: Instant::now(), commits, redis_reads })
    }

    /// Commits single rows, one after the other on one connection, for `time`; returns commits per second.
    /// What one client gets from this machine's disk and scheduler: the unit of all ratios.
    pub(crate) async fn floor(&mut self, time: Duration) -> anyhow::Result<f64> {
        let database = &mut self.database;
        database.execute("set synchronous_commit = on").await?;
        database.execute("create table if not exists pawl_bench_floor (id uuid primary key, n bigint)").await?;
        let begin = Instant::now();
        let mut commits = 0_i64;
        while begin.elapsed() < time {
            sqlx::query("insert into pawl_bench_floor values ($1, $2)")
                .bind(Uuid::now_v7())
                .bind(commits)
                .execute(&mut *database)
                .await?;
            commits += 1;
        }
        let per_second = commits as f64 / begin.elapsed().as_secs_f64();
        database.execute("drop table pawl_bench_floor").await?;
        Ok(per_second)
    }

    /// Now, by the database's clock, in ms since 1970.
    pub(crate) async fn now_ms(&mut self) -> anyhow::Result<i64> {
        let sql = "select (extract(epoch from clock_timestamp()) * 1000)::bigint";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.database).await?)
    }

    /// The status of a run.
    pub(crate) async fn run_status(&mut self, run: Uuid) -> anyhow::Result<String> {
        let sql = "select status from run where id = $1";
        Ok(sqlx::query_scalar(sql).bind(run).fetch_one(&mut self.database).await?)
    }

    /// A step of a run.
    pub(crate) async fn step(&mut self, run: Uuid, step_no: i32) -> anyhow::Result<StepRow> {
        let sql = "
            select s.status, s.attempts, s.failures, s.checkpoint_ordinal as checkpoints,
                   (extract(epoch from s.claimed_at) * 1000)::bigint as claimed_at_ms,
                   w.pid as worker_pid
              from step s left join worker w on w.id = s.worker_id
             where s.run_id = $1 and s.step_no = $2";
        Ok(sqlx::query_as(sql).bind(run).bind(step_no).fetch_one(&mut self.database).await?)
    }
}

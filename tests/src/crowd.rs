//! Many at once: what users would take hours to submit stands in the database, and in the streams, after seconds, put
//! there by the calls that the API makes, thousands of steps a commit. And many that run at a worker who isn't there.
//!
//! What of Pawl's tables this knows stands here alone: [`Crowd::run_elsewhere`], [`Crowd::forget`], [`Sweep`].

use std::time::Duration;

use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::ready::Ready;
use pawl_queue::{Queue as _, RedisConfig, RedisStreams};
use pawl_store::submit::NewRun;
use pawl_store::{Link, Postgres, Schema as _};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::runtime::{block_on, handle};
use crate::{Cluster, Database};

/// Steps in one commit.
const TOGETHER: usize = 10_000;

/// How long one such commit may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A question of Pawl's background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Renews a lease.
    Heartbeat,
    /// Asks what there is to do.
    Look,
    /// Searches for steps whose message is gone.
    Lost,
    /// Makes ready what is due.
    Wake,
    /// Makes ready what the dead held.
    Takeover,
    /// Asks what the worker runs by the database's account.
    Comparison,
}

impl Sweep {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Heartbeat, Self::Look, Self::Lost, Self::Wake, Self::Takeover, Self::Comparison];

    /// A regular expression for its text.
    fn text(self) -> &'static str {
        match self {
            Self::Heartbeat => "pawl_heartbeat",
            Self::Look => "pawl_look",
            Self::Lost => "pawl_lost",
            Self::Wake => "pawl_wake",
            Self::Takeover => "pawl_takeover",
            Self::Comparison => "pawl_reconcile",
        }
    }
}

/// What Pawl asked since [`Crowd::count_from_now`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    /// How often.
    pub calls: i64,
    /// Pages in all.
    pub pages: i64,
    /// Mean time, ms.
    pub mean_ms: f64,
}

impl Asked {
    /// Pages of each.
    #[must_use]
    pub fn pages_each(self) -> i64 {
        self.pages / self.calls.max(1)
    }
}

/// Hands in an installation that move many at once.
pub struct Crowd {
    link: Box<dyn Link>,
    queue: RedisStreams,
    database: Database,
    elsewhere: WorkerId,
}

impl Crowd {
    /// For a cluster, which counts its statements from now on.
    ///
    /// # Errors
    /// If it can't be reached.
    pub fn of(cluster: &Cluster) -> anyhow::Result<Self> {
        let _runtime = handle().enter();
        cluster.database.execute("create extension if not exists pg_stat_statements")?;
        let store = Postgres::new(&cluster.postgres.url(), 1, PATIENCE)?;
        let installation = block_on(store.installation())?;
        Ok(Self {
            link: store.link(),
            queue: RedisStreams::of(&RedisConfig::new(cluster.redis_server.url()), installation)?,
            database: cluster.database.clone(),
            elsewhere: WorkerId::new(),
        })
    }

    /// Submits runs of a pipeline of so many steps with this input, and hands over, piece by piece, what is ready and not
    /// delivered yet.
    ///
    /// # Errors
    /// If they are not taken.
    pub fn submit(
        &mut self,
        (pipeline, steps): (&str, usize),
        input: &Value,
        runs: usize,
        mut then: impl FnMut(&mut Self, Vec<Ready>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (input, namespace) = (serde_json::to_vec(input)?, Namespace::default());
        let together = (TOGETHER / steps).max(1);
        let mut left = runs;
        while left > 0 {
            let count = left.min(together);
            left -= count;
            let piece: Vec<NewRun> =
                (0..count).map(|_| NewRun::new(namespace.clone(), pipeline.to_owned(), input.clone(), None)).collect();
            let (_, ready) = block_on(self.link.submit(&piece))?;
            anyhow::ensure!(!ready.is_empty(), "nothing of {pipeline} is ready");
            then(self, ready)?;
        }
        Ok(())
    }

    /// The same, and what is ready is delivered.
    ///
    /// # Errors
    /// If they are not taken.
    pub fn submit_and_deliver(&mut self, pipeline: (&str, usize), input: &Value, runs: usize) -> anyhow::Result<()> {
        self.submit(pipeline, input, runs, |crowd, ready| crowd.deliver(&ready))
    }

    /// Tells workers of ready steps.
    ///
    /// # Errors
    /// If Redis is away.
    pub fn deliver(&self, ready: &[Ready]) -> anyhow::Result<()> {
        ready.chunks(1_000).try_for_each(|piece| Ok(block_on(self.queue.publish(piece))?))
    }

    /// All ready steps of these runs run at a worker that lives, but for which there is no process.
    ///
    /// # Errors
    /// As the database says.
    pub fn run_elsewhere(&self, runs: &[RunId]) -> anyhow::Result<()> {
        let runs: Vec<String> = runs.iter().map(|run| format!("'{run}'")).collect();
        self.database.execute(&format!(
            "insert into worker (id, host, pid, slots, queues, expires_at)
             values ('{worker}', 'elsewhere', 0, 1, '{{}}', now() + interval '1 day') on conflict do nothing;
             with held as (
                 update step set status = 'running', ready_at = null, fence = 1, attempts = 1, claimed_at = now(),
                                 started_at = now(), worker_id = '{worker}'
                 where run_id = any (array[{runs}]::uuid[]) and status = 'ready'
                 returning run_id, step_no
             ), claimed as (
                 insert into claim (worker_id, runs, steps)
                 select '{worker}', array_agg(run_id), array_agg(step_no) from held having count(*) > 0
             ), counted as (select run_id, count(*) as steps from held group by run_id)
             update run r set status = 'running', running = r.running + c.steps,
                              started_at = coalesce(r.started_at, now())
             from counted c where r.id = c.run_id",
            worker = self.elsewhere,
            runs = runs.join(","),
        ))
    }

    /// Nothing is left of a pipeline's runs, nor of the worker elsewhere.
    ///
    /// # Errors
    /// As the database says.
    pub fn forget(&self, pipeline: &str) -> anyhow::Result<()> {
        let of = |table: &str| {
            format!("delete from {table} t using run r where r.id = t.run_id and r.pipeline = '{pipeline}'")
        };
        ["event", "journal", "recovery", "step"].iter().try_for_each(|table| self.database.execute(&of(table)))?;
        self.database.execute(&format!(
            "delete from run where pipeline = '{pipeline}';
             delete from claim where worker_id = '{worker}'; delete from worker where id = '{worker}'",
            worker = self.elsewhere
        ))
    }

    /// Forgets what Pawl has asked so far.
    ///
    /// # Errors
    /// As the database says.
    pub fn count_from_now(&self) -> anyhow::Result<()> {
        self.database.execute("select pg_stat_statements_reset()")
    }

    /// How often this was asked since, and what it cost.
    ///
    /// # Errors
    /// As the database says.
    pub fn asked(&self, sweep: Sweep) -> anyhow::Result<Asked> {
        let (calls, pages, mean_ms) = block_on(
            sqlx::query_as(AssertSqlSafe(
                "select coalesce(sum(calls), 0)::bigint,
                        coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint,
                        coalesce(sum(total_exec_time) / sum(calls), 0)::float8
                 from pg_stat_statements where userid = 'pawl'::regrole and query ~ $1",
            ))
            .bind(sweep.text())
            .fetch_one(self.database.pool()),
        )?;
        Ok(Asked { calls, pages, mean_ms })
    }
}

/// The runs of these steps, each once, if steps of a run stand together.
#[must_use]
pub fn runs_of(ready: &[Ready]) -> Vec<RunId> {
    let mut runs: Vec<RunId> = ready.iter().map(|ready| ready.id.run).collect();
    runs.sort();
    runs.dedup();
    runs
}

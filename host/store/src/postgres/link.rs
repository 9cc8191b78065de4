//! One loop's connection: made when it is first needed, kept while it works, and made anew after a call that
//! failed or was given up in the middle.

use async_trait::async_trait;
use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::ready::Ready;
use pawl_metrics::figures;
use sqlx::PgConnection;

use super::{Postgres, events, leases, submit, write};
use crate::events::RunMark;
use crate::leases::{Heartbeat, Renewal, Watch};
use crate::submit::{NewRun, Submission};
use crate::write::{Batch, Written};
use crate::{Link, Result, within};

/// A connection outside the pool.
pub(super) struct PostgresLane {
    postgres: Postgres,
    /// Whose sessions its are: while one of them lasts, that worker is there.
    worker: Option<WorkerId>,
    kept: Option<Kept>,
    /// It has had a connection: to make another one, that must have been lost.
    had_one: bool,
}

/// The connection, and what its session is.
struct Kept {
    conn: PgConnection,
    /// It watches the sessions of others, or waits for its turn; and which of the two.
    watching: Option<bool>,
}

impl PostgresLane {
    pub(super) fn new(postgres: Postgres, worker: Option<WorkerId>) -> Self {
        Self { postgres, worker, kept: None, had_one: false }
    }

    async fn open(&mut self) -> Result<Kept> {
        if std::mem::take(&mut self.had_one) {
            figures().store_connections_lost.one();
        }
        let mut conn = self.postgres.connect().await?;
        if let Some(worker) = self.worker {
            within(self.postgres.pool.patience(), leases::session(&mut conn, worker)).await?;
        }
        self.had_one = true;
        Ok(Kept { conn, watching: None })
    }

    /// Does something on the connection. It is put back only after a success: whoever gives up waiting drops
    /// it with what it was in the middle of.
    async fn on<T>(&mut self, call: impl AsyncFnOnce(&mut Kept) -> Result<T>) -> Result<T> {
        let mut kept = match self.kept.take() {
            Some(kept) => kept,
            None => self.open().await?,
        };
        let answer = call(&mut kept).await?;
        self.kept = Some(kept);
        Ok(answer)
    }
}

#[async_trait]
impl Link for PostgresLane {
    async fn connect(&mut self) -> Result<()> {
        self.on(async |_| Ok(())).await
    }

    async fn write(&mut self, worker: WorkerId, batch: &Batch) -> Result<Written> {
        self.on(async |kept| write::write(&mut kept.conn, worker, batch).await).await
    }

    async fn submit(&mut self, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)> {
        self.on(async |kept| submit::submit(&mut kept.conn, runs).await).await
    }

    async fn run_marks(&mut self, runs: &[RunId]) -> Result<Vec<RunMark>> {
        self.on(async |kept| events::run_marks(&mut kept.conn, runs).await).await
    }

    async fn heartbeat(&mut self, beat: &Heartbeat<'_>) -> Result<Renewal> {
        self.on(async |kept| leases::heartbeat(&mut kept.conn, beat).await).await
    }

    async fn confirm(&mut self, worker: WorkerId) -> Result<bool> {
        self.on(async |kept| leases::is_alive(&mut kept.conn, worker).await).await
    }

    async fn watch(&mut self, watch: &Watch) -> Result<Vec<WorkerId>> {
        self.on(async |kept| leases::watch(&mut kept.conn, watch, &mut kept.watching).await).await
    }
}

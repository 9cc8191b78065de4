//! One loop's connection: made when it is first needed, kept while it works, and made anew after a call that
//! failed or was given up in the middle.

use async_trait::async_trait;
use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::ready::Ready;
use sqlx::PgConnection;

use super::{Postgres, events, leases, submit, write};
use crate::events::RunMark;
use crate::leases::{Heartbeat, Renewal};
use crate::submit::{NewRun, Submission};
use crate::write::{Batch, Written};
use crate::{Link, Result};

/// A connection outside the pool.
pub(super) struct PostgresLane {
    postgres: Postgres,
    kept: Option<PgConnection>,
}

impl PostgresLane {
    pub(super) fn new(postgres: Postgres) -> Self {
        Self { postgres, kept: None }
    }

    /// Does something on the connection. It is put back only after a success: whoever gives up waiting drops
    /// it with what it was in the middle of.
    async fn on<T>(&mut self, call: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let mut conn = match self.kept.take() {
            Some(conn) => conn,
            None => self.postgres.connect().await?,
        };
        let answer = call(&mut conn).await?;
        self.kept = Some(conn);
        Ok(answer)
    }
}

#[async_trait]
impl Link for PostgresLane {
    async fn connect(&mut self) -> Result<()> {
        self.on(async |_| Ok(())).await
    }

    async fn write(&mut self, worker: WorkerId, batch: &Batch) -> Result<Written> {
        self.on(async |conn| write::write(conn, worker, batch).await).await
    }

    async fn submit(&mut self, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)> {
        self.on(async |conn| submit::submit(conn, runs).await).await
    }

    async fn run_marks(&mut self, runs: &[RunId]) -> Result<Vec<RunMark>> {
        self.on(async |conn| events::run_marks(conn, runs).await).await
    }

    async fn heartbeat(&mut self, beat: &Heartbeat<'_>) -> Result<Renewal> {
        self.on(async |conn| leases::heartbeat(conn, beat).await).await
    }
}

//! The way in of one loop. All links lead to the one writing thread, which commits in groups.

use async_trait::async_trait;
use pawl_domain::id::{RunId, WorkerId};
use pawl_domain::ready::Ready;

use super::{Sqlite, leases, submit, write};
use crate::events::{Events as _, RunMark};
use crate::leases::{Heartbeat, Renewal, Watch};
use crate::submit::{NewRun, Submission};
use crate::write::{Batch, Written};
use crate::{Link, Result};

/// A link is the store itself.
pub(super) struct SqliteLane(pub(super) Sqlite);

#[async_trait]
impl Link for SqliteLane {
    async fn connect(&mut self) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, worker: WorkerId, batch: &Batch) -> Result<Written> {
        let batch = batch.clone();
        self.0.change(move |ledger| write::write(ledger, worker, &batch)).await
    }

    async fn submit(&mut self, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>)> {
        let runs = runs.to_vec();
        self.0.change(move |ledger| submit::submit(ledger, &runs)).await
    }

    async fn run_marks(&mut self, runs: &[RunId]) -> Result<Vec<RunMark>> {
        self.0.run_marks(runs).await
    }

    async fn heartbeat(&mut self, beat: &Heartbeat<'_>) -> Result<Renewal> {
        let queues = serde_json::Value::from(beat.queues).to_string();
        let (host, beat) = (beat.host.to_owned(), Heartbeat { host: "", queues: &[], version: "", ..beat.clone() });
        let worker = beat.worker;
        let renewal = self.0.change(move |ledger| leases::heartbeat(ledger, &beat, &host, &queues)).await?;
        Ok(Renewal { drain: self.0.is_asked_to_drain(worker), ..renewal })
    }

    async fn confirm(&mut self, worker: WorkerId) -> Result<bool> {
        self.0.read(move |conn| leases::is_alive(conn, worker)).await
    }

    /// All workers are of this process.
    async fn watch(&mut self, watch: &Watch) -> Result<Vec<WorkerId>> {
        tokio::time::sleep(watch.time).await;
        Ok(Vec::new())
    }
}

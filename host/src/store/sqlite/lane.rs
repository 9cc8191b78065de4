//! The way in of one loop. All lanes lead to the one writing thread, which commits in groups.

use async_trait::async_trait;

use super::{Sqlite, leases, submit, write};
use crate::domain::id::{RunId, WorkerId};
use crate::domain::ready::Ready;
use crate::store::events::{Events as _, RunMark};
use crate::store::leases::{Heartbeat, Pulse};
use crate::store::submit::{NewRun, Submission};
use crate::store::write::{Batch, Written};
use crate::store::{Lane, Result};

/// A lane is the store itself.
pub(super) struct SqliteLane(pub(super) Sqlite);

#[async_trait]
impl Lane for SqliteLane {
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

    async fn heartbeat(&mut self, beat: &Heartbeat<'_>) -> Result<Pulse> {
        let queues = serde_json::Value::from(beat.queues).to_string();
        let (host, beat) = (beat.host.to_owned(), Heartbeat { host: "", queues: &[], ..beat.clone() });
        self.0.change(move |ledger| leases::heartbeat(ledger, &beat, &host, &queues)).await
    }
}

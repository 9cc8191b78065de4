//! Submissions at a steady rate, whatever has become of those before them: an installation's users do not wait for each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pawl_api::types::SubmittedRun;
use pawl_domain::id::RunId;
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

use crate::{Client, bounds, runtime};

/// How long one of them waits before it asks again, where nobody answered.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs of one pipeline that are submitted until it is stopped. Each has a number, from 0, and a key made of it.
#[derive(Debug)]
pub struct Load {
    pipeline: &'static str,
    stop: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<BTreeMap<usize, RunId>>>,
}

impl Load {
    /// Begins to submit a run each `period`, with the input of its number.
    pub fn start(
        client: &Client,
        pipeline: &'static str,
        period: Duration,
        input: impl Fn(usize) -> Value + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, stopped) = (client.clone(), Arc::clone(&stop));
        let task = runtime::handle().spawn(async move {
            let (mut submissions, mut runs) = (JoinSet::new(), BTreeMap::new());
            let mut ticks = tokio::time::interval(period);
            for number in 0.. {
                ticks.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                submissions.spawn(submit(client.clone(), pipeline, input(number), number));
                while let Some(answered) = submissions.try_join_next() {
                    runs.extend([answered??]);
                }
            }
            while let Some(answered) = submissions.join_next().await {
                runs.extend([answered??]);
            }
            Ok(runs)
        });
        Self { pipeline, stop, task }
    }

    /// Whose runs it submits.
    #[must_use]
    pub fn pipeline(&self) -> &'static str {
        self.pipeline
    }

    /// Ends it when the last submission is answered; all runs by their numbers.
    ///
    /// # Errors
    /// If one was not answered.
    pub fn stop(self) -> anyhow::Result<Vec<RunId>> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(runtime::block_on(self.task).context("the load panicked")??.into_values().collect())
    }
}

/// Submits one run, again and again under the same key until somebody answers, as clients do.
async fn submit(client: Client, pipeline: &'static str, input: Value, number: usize) -> anyhow::Result<(usize, RunId)> {
    let (key, end) = (format!("{pipeline} {number}"), Instant::now() + bounds::RECOVERY);
    loop {
        let answer = client.try_submit(pipeline, &input, Some(&key)).await;
        match answer.and_then(|answer| answer.read::<SubmittedRun>()) {
            Ok(run) => return Ok((number, run.id)),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

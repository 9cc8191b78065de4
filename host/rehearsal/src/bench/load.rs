//! A closed loop of runs: so many are in flight at any time; when one ends, the next is submitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pawl_api::client::Client;
use pawl_api::types::{RunStatus, SubmitRun, SubmittedRun};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use super::observed::{Counted, Look, Observed};

/// How long the end of a run is waited for.
const WAIT: Duration = Duration::from_secs(120);

/// What is submitted, how many at once, and for how long.
#[derive(Debug)]
pub(super) struct Load {
    /// The pipeline.
    pub(super) pipeline: &'static str,
    /// JSON.
    pub(super) input: String,
    /// How many runs at once.
    pub(super) in_flight: usize,
    /// When it is over.
    pub(super) extent: Extent,
}

/// When a load is over.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// After a time; runs that end in `warm_up` before it are not counted.
    Time { warm_up: Duration, measured: Duration },
    /// After so many runs; `warm_up` runs before them are not counted.
    Runs { warm_up: usize, measured: usize },
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Measured {
    /// Of each counted run, sorted.
    pub(super) latencies: Vec<Duration>,
    /// The measured time.
    pub(super) elapsed: Duration,
    /// What the servers counted in it.
    pub(super) counted: Option<Counted>,
}

/// A run that has ended.
#[derive(Debug, Clone, Copy)]
struct Sample {
    ended: Instant,
    latency: Duration,
}

impl Load {
    /// Loads the installation.
    pub(super) async fn run(&self, client: &Client, observer: &mut Observed) -> anyhow::Result<Measured> {
        let body = Arc::new(SubmitRun {
            pipeline: self.pipeline.to_owned(),
            input: RawValue::from_string(self.input.clone()).context("a bench's input is JSON")?,
        });
        match self.extent {
            Extent::Time { warm_up, measured } => {
                // The first run compiles its components: it must not eat the time.
                one_run(client, &body).await?;
                let stop = Arc::new(AtomicBool::new(false));
                let clients = self.start(client, &body, {
                    let stop = Arc::clone(&stop);
                    move || !stop.load(Ordering::Relaxed)
                });
                let counted = window(observer, warm_up, measured).await;
                stop.store(true, Ordering::Relaxed);
                let samples = finish(clients).await?;
                let (begin, end) = counted?;
                let measured = Measured::new(&samples, &begin, &end);
                anyhow::ensure!(!measured.latencies.is_empty(), "no run ended in time; give a longer --duration");
                Ok(measured)
            }
            Extent::Runs { warm_up, measured } => {
                finish(self.start(client, &body, at_most(warm_up))).await?;
                let begin = observer.look().await?;
                let samples = finish(self.start(client, &body, at_most(measured))).await?;
                let end = observer.look().await?;
                Ok(Measured::new(&samples, &begin, &end))
            }
        }
    }

    /// Starts one task per run in flight; each goes on while `next` says so.
    fn start(
        &self,
        client: &Client,
        body: &Arc<SubmitRun>,
        next: impl Fn() -> bool + Send + Sync + Clone + 'static,
    ) -> JoinSet<anyhow::Result<Vec<Sample>>> {
        let mut clients = JoinSet::new();
        for _ in 0..self.in_flight {
            let (client, body, next) = (client.clone(), Arc::clone(body), next.clone());
            clients.spawn(async move {
                let mut samples = Vec::new();
                while next() {
                    samples.push(one_run(&client, &body).await?);
                }
                Ok(samples)
            });
        }
        clients
    }
}

/// True so many times.
fn at_most(count: usize) -> impl Fn() -> bool + Send + Sync + Clone + 'static {
    let begun = Arc::new(AtomicUsize::new(0));
    move || begun.fetch_add(1, Ordering::Relaxed) < count
}

async fn window(observer: &mut Observed, before: Duration, time: Duration) -> anyhow::Result<(Look, Look)> {
    tokio::time::sleep(before).await;
    let begin = observer.look().await?;
    tokio::time::sleep(time).await;
    Ok((begin, observer.look().await?))
}

async fn finish(mut clients: JoinSet<anyhow::Result<Vec<Sample>>>) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    while let Some(client) = clients.join_next().await {
        samples.extend(client.context("a client of the load ended early")??);
    }
    Ok(samples)
}

async fn one_run(client: &Client, body: &SubmitRun) -> anyhow::Result<Sample> {
    let begin = Instant::now();
    let SubmittedRun { id, status, .. } = client.post_waiting(&["v1", "runs"], body, WAIT).await?;
    let ended = Instant::now();
    match status {
        RunStatus::Succeeded => Ok(Sample { ended, latency: ended - begin }),
        status if status.is_ended() => anyhow::bail!("run {id} ended as {status}; see `pawl run get {id}`"),
        _ => anyhow::bail!("run {id} has not ended for {} s; see `pawl run explain {id}`", WAIT.as_secs()),
    }
}

impl Measured {
    fn new(samples: &[Sample], begin: &Look, end: &Look) -> Self {
        let counted = samples.iter().filter(|sample| (begin.at..=end.at).contains(&sample.ended));
        let mut latencies: Vec<Duration> = counted.map(|sample| sample.latency).collect();
        latencies.sort();
        Self { latencies, elapsed: end.at - begin.at, counted: end.since(begin) }
    }

    /// The latency that so many percent of the runs did not pass.
    pub(super) fn percentile_ms(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.latencies.len() as f64).ceil() as usize;
        self.latencies.get(rank.saturating_sub(1)).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latencies = (1..=200).map(Duration::from_millis).collect();
        let measured = Measured { latencies, elapsed: Duration::from_secs(1), counted: None };
        let found = [50.0, 95.0, 99.0, 100.0].map(|percent| measured.percentile_ms(percent).round());
        assert_eq!(found, [100.0, 190.0, 198.0, 200.0]);
    }
}

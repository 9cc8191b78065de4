//! One fault, by whom it is told and how soon, and how soon what it held up is through.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pawl_tests::{Cluster, Prometheus, wait};

/// Within this a fault is told, by each way.
const TOLD: Duration = Duration::from_secs(15);

/// Within this after a fault's end the throughput is back.
const BACK: i64 = 10;

/// That is: at this share of what it was before.
const SHARE: f64 = 0.95;

/// Seconds over which a rate is taken, before a fault and after it.
const BEFORE: i64 = 30;
const AFTER: i64 = 5;

/// How long nothing happens between two faults.
const STEADY: Duration = Duration::from_secs(45);

/// What is expected of a fault.
pub(super) struct Fault {
    /// What it is.
    pub(super) what: &'static str,
    /// How long it lasts.
    pub(super) lasts: Duration,
    /// The alert that fires.
    pub(super) alert: &'static str,
    /// An expression that grows.
    pub(super) metric: &'static str,
    /// What is recorded of it.
    pub(super) event: Event,
}

/// What is recorded of a fault, by its kind.
#[derive(Clone, Copy)]
pub(super) enum Event {
    /// In the history of a run.
    OfRun(&'static str),
    /// As what has happened to the whole installation.
    Incident(&'static str),
    /// The same, once the fault is over: that much later, and no more.
    AfterIt(&'static str),
}

impl Event {
    fn kind(self) -> &'static str {
        match self {
            Self::OfRun(kind) | Self::Incident(kind) | Self::AfterIt(kind) => kind,
        }
    }

    /// Whether one is recorded that began after that.
    fn is_told(self, cluster: &Cluster, since: &str) -> Result<bool> {
        let kind = self.kind();
        cluster.database.value(&match self {
            Self::OfRun(_) => {
                format!("select exists (select from event where at > '{since}' and '{kind}' = any (kinds))")
            }
            Self::Incident(_) | Self::AfterIt(_) => {
                format!("select exists (select from incident where began_at > '{since}' and kind = '{kind}')")
            }
        })
    }
}

/// What was seen of it.
pub(super) struct Seen {
    what: &'static str,
    ended_at: i64,
    began_at: i64,
    told: [(&'static str, Option<Duration>); 3],
}

impl Fault {
    /// Lets it happen, once nothing of the one before is left, and looks who tells.
    pub(super) fn happen(
        self,
        cluster: &mut Cluster,
        prometheus: &Prometheus,
        begin: impl FnOnce(&mut Cluster) -> Result<()>,
        end: impl FnOnce(&mut Cluster) -> Result<()>,
    ) -> Result<Seen> {
        // That time is what the rate before is taken from.
        std::thread::sleep(STEADY);
        wait::until_true(Duration::from_secs(90), &format!("{} to be silent", self.alert), || {
            Ok(!prometheus.firing()?.contains(self.alert))
        })?;
        let measured = prometheus.sum(self.metric)?;
        let since: String = cluster.database.value("select clock_timestamp()::text")?;
        let (began, began_at) = (Instant::now(), wait::now_ms() / 1_000);
        begin(cluster)?;
        let (mut alert, mut metric, mut event) = (None, None, None);
        let (mut end, mut ended_at, mut lasted) = (Some(end), 0, Duration::ZERO);
        loop {
            let since_then = began.elapsed();
            if since_then >= self.lasts
                && let Some(end) = end.take()
            {
                end(cluster)?;
                ended_at = wait::now_ms() / 1_000;
                lasted = began.elapsed();
            }
            let note = |at: &mut Option<Duration>, holds: bool| {
                if holds {
                    at.get_or_insert(began.elapsed());
                }
            };
            note(&mut alert, prometheus.firing()?.contains(self.alert));
            note(&mut metric, prometheus.sum(self.metric)? > measured);
            // While Postgres is away, nobody knows: whoever asks then waits for it, and looks at nothing else meanwhile.
            if end.is_none() || !matches!(self.event, Event::AfterIt(_)) {
                note(&mut event, self.event.is_told(cluster, &since).unwrap_or(false));
            }
            let all = alert.is_some() && metric.is_some() && event.is_some();
            if end.is_none() && (all || since_then > self.lasts + 2 * TOLD) {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        if matches!(self.event, Event::AfterIt(_)) {
            event = event.map(|at| at.saturating_sub(lasted));
        }
        let told = [(self.alert, alert), (self.metric, metric), (self.event.kind(), event)];
        Ok(Seen { what: self.what, ended_at, began_at, told })
    }
}

impl Seen {
    /// Says what was seen, and holds it against what is promised. `ended` is how many runs ended in each second.
    pub(super) fn judge(&self, ended: &BTreeMap<i64, i64>) -> Result<()> {
        let rate = |from: i64, seconds: i64| {
            let all: i64 = (from..from + seconds).filter_map(|second| ended.get(&second)).sum();
            all as f64 / seconds as f64
        };
        let before = rate(self.began_at - BEFORE, BEFORE);
        let back = (0..120).find(|after| rate(self.ended_at + after, AFTER) >= SHARE * before);
        let lowest = (self.began_at..self.ended_at + AFTER).map(|at| rate(at, 1)).fold(f64::MAX, f64::min);
        let told: Vec<String> = self
            .told
            .iter()
            .map(|(by, at)| format!("{by} {}", at.map_or("-".to_owned(), |at| format!("{:.1} s", at.as_secs_f64()))))
            .collect();
        eprintln!(
            "| {} | {} s | {before:.0} runs/s | {lowest:.0} | {} | {} |",
            self.what,
            self.ended_at - self.began_at,
            back.map_or("never".to_owned(), |back| format!("{back} s")),
            told.join(" | ")
        );
        ensure!(back.is_some_and(|back| back <= BACK), "{}: back after {back:?} s", self.what);
        for (by, at) in self.told {
            ensure!(at.is_some_and(|at| at <= TOLD), "{}: told by {by} after {at:?}", self.what);
        }
        Ok(())
    }
}

//! Who did what when, for a reader: workers by name, times since the submission, one line an event.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pawl::api::types::Event;
use pawl::domain::id::WorkerId;
use pawl_tests::{Cluster, wait};

use crate::interruption::Interruption;
use crate::soon;

/// The workers' names.
pub(crate) struct Story {
    names: BTreeMap<WorkerId, &'static str>,
    pids: BTreeMap<&'static str, u32>,
}

impl Story {
    /// Starts workers A and B, with the settings that users get, and learns their ids.
    pub(crate) fn begin(cluster: &mut Cluster) -> anyhow::Result<Self> {
        let mut pids = BTreeMap::new();
        for name in ["A", "B"] {
            cluster.worker(name).default_lease().default_slots().start()?;
            pids.insert(name, cluster.the(name)?.pid());
        }
        let names = soon("both workers to be ready", || {
            let workers = cluster.client.workers()?.workers;
            let named: BTreeMap<WorkerId, &'static str> = workers
                .iter()
                .filter_map(|worker| Some((worker.id, *pids.iter().find(|(_, pid)| **pid == worker.pid)?.0)))
                .collect();
            Ok(if named.len() == 2 { wait::Look::Done(named) } else { wait::Look::NotYet(format!("{}", named.len())) })
        })?;
        Ok(Self { names, pids })
    }

    /// Both, with their pids.
    pub(crate) fn workers(&self) -> String {
        let workers: Vec<String> = self.pids.iter().map(|(name, pid)| format!("{name} (pid {pid})")).collect();
        format!("workers {}", workers.join(" and "))
    }

    /// The name of a worker.
    pub(crate) fn name(&self, worker: Option<WorkerId>) -> &'static str {
        worker.and_then(|worker| self.names.get(&worker).copied()).unwrap_or("")
    }

    /// The pid of a worker.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.pids.get(name).copied().unwrap_or_default()
    }

    /// The run's history, with the kill where it happened.
    pub(crate) fn timeline(&self, events: &[Event], interruption: &Interruption) -> String {
        let began = events.first().map_or(0, |event| event.at_ms);
        let seconds = |at_ms: i64| (at_ms - began) as f64 / 1_000.0;
        let mut lines: Vec<(i64, String)> = events
            .iter()
            .filter(|event| event.kind != "step.ready")
            .map(|event| (event.at_ms, self.line(event, interruption)))
            .collect();
        let kill = format!("{:<20} worker {}", "kill -9", interruption.victim);
        let place = lines.partition_point(|(at_ms, _)| *at_ms <= interruption.killed_ms);
        lines.insert(place, (interruption.killed_ms, kill));
        let mut text = String::new();
        for (at_ms, line) in lines {
            let _ = writeln!(text, "  {:>6.2} s  {}", seconds(at_ms), line.trim_end());
        }
        text.trim_end().to_owned()
    }

    fn line(&self, event: &Event, interruption: &Interruption) -> String {
        let step = event.step.as_deref().unwrap_or("");
        let worker = self.name(event.worker);
        let by = if worker.is_empty() { String::new() } else { format!("on {worker}") };
        let saved = interruption.saved_rows().get(step).filter(|_| event.kind == "step.resumed");
        let from = saved.map(|rows| format!(", from row {rows}")).unwrap_or_default();
        format!("{:<20} {step:<16} {by}{from}", event.kind)
    }
}

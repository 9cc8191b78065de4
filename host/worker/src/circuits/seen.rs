//! What one worker has seen of outside hosts: which are down, and how many calls of others have failed in a row. What is down for
//! the steps of one namespace is no other one's matter.

use std::collections::{HashMap, HashSet};

use pawl_domain::decision::circuit::{Failures, Open};
use pawl_domain::id::{Fence, StepId};
use pawl_domain::namespace::Namespace;

/// Hosts whose failures are counted; of more, those that failed longest ago are forgotten.
const HOSTS: usize = 1_000;

/// An outside host, as one namespace's steps know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Host {
    pub(super) namespace: Namespace,
    pub(super) origin: String,
}

/// What a worker has seen of them.
#[derive(Default)]
pub(super) struct Seen {
    /// By host: the circuit's number, and what is known of it.
    pub(super) open: HashMap<Host, (i64, Open)>,
    pub(super) failures: HashMap<Host, Failures>,
    /// Secrets and journals that this process has, or can read, and has told others of, who could not.
    pub(super) told: HashSet<Host>,
    /// How often this worker has changed what is open.
    pub(super) changes: u64,
}

impl Seen {
    /// One more failed call of that host.
    pub(super) fn count(&mut self, host: &Host, attempt: (StepId, Fence), now_ms: i64) -> Failures {
        if self.failures.len() >= HOSTS && !self.failures.contains_key(host) {
            let stalest = self.failures.iter().min_by_key(|(_, failures)| failures.last_ms());
            if let Some(stalest) = stalest.map(|(host, _)| host.clone()) {
                self.failures.remove(&stalest);
            }
        }
        let failures = self.failures.entry(host.clone()).or_default();
        failures.add(attempt, now_ms);
        failures.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{RunId, StepNo};

    #[test]
    fn of_too_many_hosts_those_that_failed_longest_ago_are_forgotten() {
        let attempt = (StepId { run: RunId::new(), step: StepNo(0) }, Fence(1));
        let host = |name: &str| Host { namespace: Namespace::default(), origin: format!("http://{name}:80") };
        let mut seen = Seen::default();
        for (at_ms, number) in (0..).zip(0..HOSTS) {
            seen.count(&host(&format!("host-{number}")), attempt, at_ms);
        }
        assert_eq!(seen.count(&host("host-0"), attempt, 5_000).count, 2);
        let elsewhere = Host { namespace: "team-b".parse().unwrap(), ..host("host-0") };
        assert_eq!(seen.count(&elsewhere, attempt, 5_001).count, 1, "it is another one to another namespace");
        assert_eq!(seen.failures.len(), HOSTS);
        assert!(!seen.failures.contains_key(&host("host-1")) && seen.failures.contains_key(&host("host-0")));
    }
}

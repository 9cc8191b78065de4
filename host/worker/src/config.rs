//! How a worker is set up, and the times that follow from it.

use std::time::Duration;

use pawl_base::envelope::Keys;
use pawl_domain::decision::circuit::Rules;
use pawl_domain::retention::Policy;
use pawl_domain::retry::LONGEST_WISH_MS;
use pawl_domain::suspicion::Suspicion;

/// How a worker is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Steps executed at once.
    pub slots: usize,
    /// Queues served.
    pub queues: Vec<String>,
    /// How long the worker's right to its steps outlives its last sign of life.
    pub lease: Duration,
    /// How long a drain waits for running steps before it hands them back.
    pub drain: Duration,
    /// Connections of the group writer; a run belongs to one.
    pub lanes: usize,
    /// Successors taken in a row while others wait.
    pub in_a_row: u32,
    /// Whether steps may begin before their claims, and before the commits of those that they follow. Nothing that can
    /// be seen from outside depends on it but speed.
    pub run_ahead: bool,
    /// The longest delay that a guest may ask for before its next attempt.
    pub longest_retry_delay: Duration,
    /// When a step is blamed for the deaths of its workers.
    pub suspicion: Suspicion,
    /// How long what has ended is kept.
    pub retention: Policy,
    /// When outside hosts are not called for a while.
    pub circuits: Rules,
    /// Plans of pipeline versions kept in memory.
    pub plans: usize,
    /// Whether what steps say is kept in the store.
    pub step_logs: bool,
    /// What opens secrets of the store.
    pub secrets: Keys,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Many short steps make large batches; long ones wait for the outside, or share the cores.
            slots: 256,
            queues: vec![pawl_domain::pipeline::default_queue()],
            lease: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            lanes: 1,
            in_a_row: 16,
            run_ahead: true,
            longest_retry_delay: Duration::from_millis(LONGEST_WISH_MS),
            suspicion: Suspicion::default(),
            retention: Policy::default(),
            circuits: Rules::default(),
            plans: 1_000,
            step_logs: true,
            secrets: Keys::default(),
        }
    }
}

impl Config {
    /// How long an answer of the store is waited for: so that nothing hangs past the lease.
    pub(crate) fn patience(&self) -> Duration {
        self.lease / 2
    }
}

/// The longest time that a worker's statement may take: less than half a lease, so that nothing hangs past it.
#[must_use]
pub fn session_timeout(lease: Duration) -> Duration {
    lease / 2 - lease / 20
}

/// Pauses of a loop whose other side is away.
pub(crate) const OUTAGE_PAUSE: Duration = Duration::from_millis(500);

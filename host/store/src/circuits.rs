//! Circuits of outside hosts, as workers share them: what is open, who probes, and the steps that are deferred by them. What
//! opens one, and what follows from a probe, is decided in [`pawl_domain::decision::circuit`].

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::decision::circuit::{Open, Probe};
use pawl_domain::id::WorkerId;
use pawl_domain::namespace::Namespace;

use super::Result;

/// Circuits that are open at once, at most: each worker reads them all. What would be one more stays closed.
pub const MOST_CIRCUITS: u32 = 200;

/// Deferred steps of a circuit that are counted.
pub const DEFERRED_COUNTED: u32 = 10_000;

/// What opens a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening<'a> {
    /// Whose steps call the host.
    pub namespace: &'a Namespace,
    /// The host: scheme, name and port.
    pub origin: &'a str,
    /// What the last call has come to.
    pub reason: &'a str,
    /// How many failed in a row.
    pub failures: u32,
    /// Who has seen it.
    pub worker: WorkerId,
    /// For how long.
    pub first: Duration,
}

/// A circuit as workers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its number. A host whose circuit opens another time gets another one.
    pub id: i64,
    /// Whose steps call the host.
    pub namespace: Namespace,
    /// The host.
    pub origin: String,
    /// What may be done; `None`: it has closed, and what was deferred by it is being released.
    pub open: Option<Open>,
}

/// The answer to who asks for a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probing {
    /// It is his.
    Won(Probe),
    /// It is not time, or somebody else has it.
    Held(Open),
    /// The circuit is not open any more.
    Closed,
}

/// What a probe has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed<'a> {
    /// The host has answered: the circuit closes.
    Up,
    /// It has not: the circuit is open for longer.
    Down {
        /// What the call has come to.
        reason: &'a str,
        /// The longest that it may be.
        longest: Duration,
    },
    /// It was stopped, or says nothing: somebody else probes.
    Nothing,
}

/// What looking after circuits has found, and done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tended {
    /// All that there are.
    pub circuits: Vec<Known>,
    /// Steps are due by this.
    pub due: bool,
}

/// A circuit that is open, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitRow {
    /// Whose steps call the host.
    pub namespace: Namespace,
    /// The host.
    pub origin: String,
    /// What the last call has come to.
    pub reason: String,
    /// Calls that have failed since one was answered.
    pub failures: u32,
    /// Since when, ms since 1970.
    pub opened_at_ms: i64,
    /// Who has opened it.
    pub opened_by: Option<WorkerId>,
    /// When it may be probed.
    pub retry_at_ms: i64,
    /// Who probes it now.
    pub probed_by: Option<WorkerId>,
    /// Steps that are deferred by it, at most [`DEFERRED_COUNTED`].
    pub deferred: u32,
}

/// Circuits.
#[async_trait]
pub trait Circuits {
    /// Opens the circuit of a host, unless it is open; `None` if there are [`MOST_CIRCUITS`].
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: it may be open.
    async fn open_circuit(&self, opening: Opening<'_>) -> Result<Option<Known>>;

    /// Asks for the probe of a circuit, for so long at most; it ends with the worker's lease.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: it may be won, and is lost by that until its time is over.
    async fn probe_circuit(&self, circuit: i64, worker: WorkerId, lease: Duration) -> Result<Probing>;

    /// Tells what a probe has come to. Returns when the circuit may be probed again, ms since 1970; `None` if it is not open
    /// any more. Of an older probe nothing is taken.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: if it was not taken, somebody else probes when its time is over.
    async fn probed_circuit(&self, probe: Probe, told: Probed<'_>) -> Result<Option<i64>>;

    /// Closes circuits that nobody probes any more, makes a step due of each that may be probed, and up to `limit` of those
    /// whose circuit has closed.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: nothing is lost by trying again.
    async fn tend_circuits(&self, limit: usize) -> Result<Tended>;

    /// Closes a circuit by a person's word; false if it is not open.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn close_circuit(&self, namespace: &Namespace, origin: &str) -> Result<bool>;

    /// Those that are open, by host.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn circuits(&self, namespace: &Namespace) -> Result<Vec<CircuitRow>>;
}

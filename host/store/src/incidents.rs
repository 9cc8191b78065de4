//! Incidents: what happened to the whole installation, as processes have seen it and people read it. What of it is one is decided
//! in [`pawl_domain::incident`].
//!
//! Who sees one tells it by how long ago it was, for each process has a clock of its own. Two kinds are recorded where they
//! happen, by the store itself: a worker that died, with the takeover of its steps, and a circuit, with its row.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::incident::{Kind, Span};
use pawl_domain::namespace::Namespace;

use super::Result;

/// Incidents that are kept, the newest: the tables see to it.
pub const MOST_INCIDENTS: u32 = 1_000;

/// Queues that are looked through for work that nobody takes.
pub const MOST_QUEUES: u32 = 300;

/// What a process has seen of an incident of the whole installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting<'a> {
    /// What it is.
    pub kind: Kind,
    /// Of what: a server, a queue.
    pub subject: &'a str,
    /// For people: who has seen it.
    pub detail: &'a str,
    /// How long ago it was first seen, …
    pub began: Duration,
    /// … last seen, …
    pub seen: Duration,
    /// … and over; `None`: it lasts.
    pub ended: Option<Duration>,
}

/// Which incidents are listed.
#[derive(Debug, Clone, Copy)]
pub struct IncidentFilter<'a> {
    /// Those of the whole installation, and this one's.
    pub namespace: &'a Namespace,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only those that lasted, or ended, within this time.
    pub within: Option<Duration>,
    /// Only those before this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// An incident, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its number.
    pub id: i64,
    /// What has happened.
    pub kind: Kind,
    /// To what: a server, a queue, a worker, an outside host.
    pub subject: String,
    /// What else is known of it.
    pub detail: String,
    /// Of a worker that died: steps that it had in hand.
    pub steps: Option<u32>,
    /// When.
    pub span: Span,
}

/// Incidents.
#[async_trait]
pub trait Incidents {
    /// Records what a process has seen: as a new one, or as what others have seen of the same.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`]: told again, it is no second one.
    async fn record_incident(&self, seen: Sighting<'_>) -> Result<()>;

    /// Ends those that nobody sees any more; tells the queues in which steps wait, or were in the hands of the dead, and that no
    /// live worker serves, of the first [`MOST_QUEUES`]. It costs what there is of queues, not of steps. A store that takes no
    /// writes fails.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`], [`super::Error::ReadOnly`].
    async fn unattended(&self) -> Result<Vec<String>>;

    /// A page of them, newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn incidents(&self, filter: IncidentFilter<'_>) -> Result<Vec<IncidentRow>>;
}

//! The invariants, checked over the whole database: by `pawl doctor` and after every end-to-end test; and what else it asks.

use std::time::Duration;

use async_trait::async_trait;
use pawl_domain::namespace::Namespace;

use super::Result;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Its number in `docs/protocol.md`.
    pub invariant: i32,
    /// What was found.
    pub what: String,
}

/// The whole database, checked.
#[async_trait]
pub trait Invariants {
    /// All violations; none in a sound database. A lease may have ended up to `grace` ago. `quiet` says that
    /// nothing is going on, so that what workers say of themselves can be compared too.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn doctor(&self, grace: Duration, quiet: bool) -> Result<Vec<Violation>>;
}

/// How the database itself is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its clock, ms since 1970.
    pub now_ms: i64,
    /// Sessions in use, of all who use the server, and how many there may be; none if it has no sessions.
    pub sessions: Option<(u32, u32)>,
    /// What the database takes on its disk, bytes.
    pub size_bytes: u64,
    /// For how long the oldest transaction has been open, ms; none if none is. What it may still look at is not given free.
    pub oldest_transaction_ms: Option<u64>,
}

/// Runs and steps that wait for a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Steps that are parked, of the first [`super::live::PARKED_LOOKED_AT`] that ever were.
    pub parked: u32,
    /// Those of them that were parked since then.
    pub parked_since: u32,
    /// Runs that have failed since then, of the last [`FAILED_LOOKED_AT`] by submission that have failed.
    pub failed_since: u32,
}

impl std::ops::AddAssign for Troubles {
    fn add_assign(&mut self, other: Self) {
        self.parked += other.parked;
        self.parked_since += other.parked_since;
        self.failed_since += other.failed_since;
    }
}

/// How many runs that have failed are looked at.
pub const FAILED_LOOKED_AT: u32 = 1_000;

/// What an operator looks at besides. It costs what the answer has, not what is there.
#[async_trait]
pub trait Inspections {
    /// How the database is.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn condition(&self) -> Result<Condition>;

    /// What waits for a person, and what came of it within the last `since`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn troubles(&self, namespace: &Namespace, since: Duration) -> Result<Troubles>;
}

//! The invariants, checked over the whole database: by `pawl doctor` and after every end-to-end test.

use std::time::Duration;

use async_trait::async_trait;

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

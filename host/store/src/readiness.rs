//! Which worker can load which component: what makes an activation safe.
//!
//! ```text
//!  API: want ──▶ workers: compile ahead ──▶ report ──▶ API: all that live can load it ──▶ activate
//! ```

use async_trait::async_trait;
use pawl_domain::id::{Digest, WorkerId};

use super::Result;

/// What a worker has found out about a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The component.
    pub digest: Digest,
    /// Why it can't be loaded there; none if it can.
    pub refusal: Option<String>,
}

/// A worker that lives, and what it says of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveWorker {
    /// Its id.
    pub id: WorkerId,
    /// Its machine.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// None: nothing yet. Then why it can't load the component, if it can't.
    pub report: Option<Option<String>>,
}

/// What is compiled ahead, and by whom.
#[async_trait]
pub trait Readiness {
    /// Says that a component is about to be activated: workers look for it.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn want(&self, digest: Digest) -> Result<()>;

    /// Components that `worker` should have compiled and has not reported: those of active versions, and those that
    /// were wanted in the last minutes.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn wanted_components(&self, worker: WorkerId) -> Result<Vec<Digest>>;

    /// Reports of a worker. Those of one that is not there any more are dropped.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn report_components(&self, worker: WorkerId, reports: &[Report]) -> Result<()>;

    /// All workers whose lease is good and that are not draining, with what they say of a component.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn live_workers_and(&self, digest: Digest) -> Result<Vec<LiveWorker>>;
}

//! What a trace of an attempt is linked to: asked for when its spans are sent, for many attempts at once, and never on a step's
//! way.

use async_trait::async_trait;
use pawl_domain::id::{Fence, RunId, StepId};
use pawl_domain::trace::TraceContext;

use super::Result;

/// Of a run's history, so many of its newest rows are looked at for a claim: an attempt whose spans are sent has just ended.
pub(super) const LOOKED_AT: i64 = 200;

/// What came before an attempt. Times are ms since 1970 by the store's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Before {
    /// The claim before it, if it is among the newest that the history tells.
    pub fence: Option<Fence>,
    /// If a takeover lies in between: when the lease ended, and when that was seen.
    pub lease_ended_ms: Option<(i64, i64)>,
}

/// Where attempts come from.
#[async_trait]
pub trait Traces {
    /// The trace contexts that some of these runs were submitted in.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn submitted_in(&self, runs: &[RunId]) -> Result<Vec<(RunId, TraceContext)>>;

    /// What came before each of these claims, in their order.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn before(&self, claims: &[(StepId, Fence)]) -> Result<Vec<Before>>;
}

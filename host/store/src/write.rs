//! The group writer's batch: what the concurrent steps of a worker want to write, in one round trip and one
//! commit (see [`Link::write`](super::Link::write)), and its answer.

use std::time::Duration;

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, Fence, RunId, StepId};
use pawl_domain::journal::Checkpoint;
use pawl_domain::ready::{Moved, Ready};
use pawl_domain::recovery::Recovered;
use pawl_domain::succession::Succession;

pub use pawl_domain::decision::outcome::Settlement;
pub use pawl_domain::journal::Segment;

/// Everything that is sent at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// One for each step that writes.
    pub members: Vec<Member>,
    /// Ready steps that the worker wants.
    pub claims: Vec<StepId>,
}

/// One step's share of a batch.
#[derive(Debug, Clone)]
pub struct Member {
    /// The step.
    pub id: StepId,
    /// The worker's right to it.
    pub fence: Fence,
    /// Its step was run ahead of its claim: both the claim and the success are written by it.
    pub ahead: Option<Ahead>,
    /// The step runs alone on its worker from now on: it is a suspect.
    pub alone: bool,
    /// Drop the journal's rows from this position on first; signals that they had taken return to the inbox.
    pub cut: Option<u32>,
    /// Entries to append.
    pub segment: Option<Segment>,
    /// State to save.
    pub checkpoint: Option<Checkpoint>,
    /// How far the step is, from 0 to 1, and a word about it.
    pub progress: Option<(f32, String)>,
    /// How the attempt ended.
    pub settlement: Option<Settlement>,
    /// After a takeover, once: how its recovery went.
    pub recovered: Option<Recovered>,
}

/// How the step of a member was run ahead. It succeeds, and writes no checkpoint. What was guessed for it must be true
/// at the commit, or nothing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// A head start: the step is ready, and nobody has claimed it before.
    Start {
        /// The component that it ran on.
        component: Digest,
        /// The pipeline version.
        pipeline: Digest,
        /// [`Digest::of_request`] of the run: it says that the input is the run's.
        request: Digest,
    },
    /// A follower: the step is still blocked, and its only need is the step of the member before it in the batch.
    Follows {
        /// The component that it ran on.
        component: Digest,
    },
}

impl Ahead {
    /// The component that the step ran on.
    #[must_use]
    pub fn component(&self) -> Digest {
        match self {
            Self::Start { component, .. } | Self::Follows { component } => *component,
        }
    }
}

impl Member {
    /// Nothing to write yet.
    #[must_use]
    pub fn bare(id: StepId, fence: Fence) -> Self {
        Self {
            id,
            fence,
            ahead: None,
            alone: false,
            cut: None,
            segment: None,
            checkpoint: None,
            progress: None,
            settlement: None,
            recovered: None,
        }
    }

    /// Whether it goes with the member before it in the batch.
    #[must_use]
    pub fn follows(&self) -> bool {
        matches!(self.ahead, Some(Ahead::Follows { .. }))
    }

    /// Whether its step was given a head start.
    #[must_use]
    pub fn starts_ahead(&self) -> bool {
        matches!(self.ahead, Some(Ahead::Start { .. }))
    }

    /// Whether the step's attempt ends with it.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.settlement.is_some()
    }

    /// Whether it adds to the history of its run, whose row it needs for that.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.ends() || self.recovered.is_some()
    }

    /// What follows the step's success.
    #[must_use]
    pub fn succession(&self) -> Option<&Succession> {
        match &self.settlement {
            Some(Settlement::Succeeded { then, .. }) => Some(then),
            _ => None,
        }
    }

    /// After how long its step wakes at the latest, if it waits for a time.
    #[must_use]
    pub fn due_after(&self) -> Option<Duration> {
        match &self.settlement {
            Some(Settlement::Retry { delay_ms, .. }) => Some(Duration::from_millis(*delay_ms)),
            Some(Settlement::Suspended { wait, .. }) => wait.due_after_ms().map(Duration::from_millis),
            _ => None,
        }
    }

    /// Whether its step waits for a time or a signal from now on.
    #[must_use]
    pub fn suspends(&self) -> bool {
        matches!(self.settlement, Some(Settlement::Suspended { .. }))
    }

    /// What it adds to a batch.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.segment.as_ref().map_or(0, |segment| segment.bytes.len())
            + self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.state.len())
            + self.settlement.as_ref().and_then(Settlement::payload).map_or(0, <[u8]>::len)
    }
}

/// The answer to a batch, after its commit.
#[derive(Debug, Default)]
pub struct Written {
    /// By place in the batch.
    pub members: Vec<Verdict>,
    /// Claimed steps: those asked for, and successors.
    pub claimed: Vec<Claim>,
    /// Asked for, and not ready (any more).
    pub not_ready: Vec<StepId>,
    /// Asked for, and locked by somebody: ask again.
    pub busy: Vec<StepId>,
    /// To be delivered.
    pub ready: Vec<Ready>,
    /// Runs that have ended.
    pub ended: Vec<RunId>,
}

/// What became of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Written.
    Written,
    /// The step is no longer this worker's: nothing was written.
    LeaseLost,
    /// The segment does not start where the journal ends: nothing was written. A fault of the worker.
    Gap,
    /// Somebody else holds its run, or its step: nothing was written. To be sent again.
    Busy,
}

impl Written {
    /// Runs of `batch` that moved: those whose steps ended, were claimed, or told of a recovery.
    #[must_use]
    pub fn moved(&self, batch: &Batch) -> Vec<Moved> {
        let settled = batch
            .members
            .iter()
            .zip(&self.members)
            .filter(|(member, verdict)| member.tells() && **verdict == Verdict::Written);
        let mut runs: Vec<RunId> = settled.map(|(member, _)| member.id.run).collect();
        runs.extend(self.claimed.iter().map(Claim::run));
        runs.sort_unstable();
        runs.dedup();
        runs.into_iter().map(|run| Moved { run, ended: self.ended.contains(&run) }).collect()
    }
}

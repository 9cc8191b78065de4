//! Why something is not done to a run, in the words that people read, whichever store it lies in.

use crate::id::{RunId, StepNo};
use crate::status::StepStatus;
use crate::transition::Illegal;

/// Why a verb is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such step.
    #[error("run {0} has no step {1}")]
    NoStep(RunId, StepNo),
    /// It needs a run that has not ended.
    #[error("run {0} has ended already")]
    HasEnded(RunId),
    /// No step has failed or is parked.
    #[error("nothing to retry in run {0}: no step has failed or is parked; `pawl run explain {0}` says how it stands")]
    NothingToRetry(RunId),
    /// Nor has the one that was named.
    #[error(
        "nothing to retry in run {0}: that step has not failed, and is not parked; without a step, all is opened that was \
         stopped with the run"
    )]
    StepNotToRetry(RunId),
    /// A running step needs no help.
    #[error("the step is running: nothing to resume")]
    IsRunning,
    /// It would see a resumption as the end of its time.
    #[error("the step waits for a signal: send it with `pawl run signal`; `pawl run explain` names it")]
    AwaitsSignal,
    /// Its needs come first.
    #[error("the step waits for the steps that it needs")]
    IsBlocked,
    /// What has ended is retried.
    #[error("the step has ended: use `retry`, with `--latest` on the version that is active now")]
    StepHasEnded,
    /// Whoever works has no need of a person's output.
    #[error("the step is {0}: only one that has failed or is parked is skipped")]
    NotToSkip(StepStatus),
    /// Its journal was read under a fence that was raised since.
    #[error("the step has moved on while its journal was read: look at it, and ask again")]
    HasMoved,
    /// One key is for one signal.
    #[error(
        "the idempotency key {1:?} was used before for another signal to run {0}: send what was sent then, or take a new \
         key"
    )]
    KeyReused(RunId, String),
    /// No step will wait for it any more.
    #[error("run {0} has ended: nobody would take the signal")]
    NobodyTakes(RunId),
    /// Nobody reads what lies there.
    #[error(
        "{1} signals lie in the inbox of run {0} that no step has taken (`limit_inbox`), and none waits for this one; \
         `pawl run explain {0}` names those that are waited for"
    )]
    InboxFull(RunId, u32),
    /// No such signal, or no longer.
    #[error("run {0} has no signal {1} in its inbox, and none that was rejected; `pawl run inbox list {0}` shows all")]
    NoSignal(RunId, u32),
    /// A step has it, and goes by it.
    #[error("signal {1} of run {0} was taken by a step: what it carried stands in that step's journal")]
    SignalTaken(RunId, u32),
    /// What was read does not fit together.
    #[error(transparent)]
    Illegal(#[from] Illegal),
}

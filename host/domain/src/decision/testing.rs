//! Runs for the table tests of decisions.

use super::{Changes, Known, RunState, StepState, Waits};
use crate::event::EventKind;
use crate::id::{Digest, Fence, RunId, StepNo};
use crate::status::{RunStatus, StepStatus};

/// A step in this state, with fence 7; one that waits sleeps.
pub(super) fn step(status: StepStatus) -> StepState {
    StepState {
        status,
        needs: Vec::new(),
        unmet: u32::from(status == StepStatus::Blocked),
        fence: Fence(7),
        component: Some(Digest::of(b"pinned")),
        recorded_by: None,
        waits: (status == StepStatus::Waiting).then_some(Waits { position: 3, signal: None }),
    }
}

/// A step that waits for a signal, or was stopped while it did.
pub(super) fn awaiting(status: StepStatus, signal: &str) -> StepState {
    StepState { waits: Some(Waits { position: 3, signal: Some(signal.to_owned()) }), ..step(status) }
}

/// A run with these steps.
pub(super) fn known<const N: usize>(status: RunStatus, steps: [StepState; N]) -> Known {
    let count = |is_counted: fn(StepStatus) -> bool| steps.iter().filter(|step| is_counted(step.status)).count() as u32;
    let run = RunState {
        id: RunId(uuid::Uuid::nil()),
        status,
        live: count(|status| !status.is_ended()),
        running: count(|status| status == StepStatus::Running),
        failing: count(|status| status == StepStatus::Failed) > 0,
        started: status != RunStatus::Pending,
        paused: false,
        event_count: 20,
        signal_count: 2,
    };
    Known {
        run,
        steps: (0..).map(StepNo).zip(steps).collect(),
        inbox: Vec::new(),
        taken: Vec::new(),
        unread: 0,
        sent: None,
        signal: None,
    }
}

/// Numbers, states and fences of the steps that are changed.
pub(super) fn changed(changes: &Changes<'_>) -> Vec<(i32, StepStatus, i64)> {
    changes.steps.iter().map(|step| (step.no.0, step.status, step.fence.0)).collect()
}

/// What is told, and of which step.
pub(super) fn told(changes: &Changes<'_>) -> Vec<(EventKind, Option<i32>)> {
    changes.told.iter().map(|told| (told.kind, told.step.map(|(no, _)| no.0))).collect()
}

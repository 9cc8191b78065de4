//! What the end of its worker's lease means for a step. `pawl_takeover_v2` decides the same in sets
//! (`migrations/0009_leases.sql`).

use crate::event::EventKind;
use crate::suspicion::Suspicion;
use crate::transition::StepChange;

/// A step whose worker's lease has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    /// Deaths of its workers in a row, without durable progress.
    pub crashes: u32,
    /// It has written something since the last of them.
    pub has_progressed: bool,
    /// It ran alone on its worker.
    pub ran_alone: bool,
    /// Nothing new starts in its run.
    pub run_fails: bool,
}

/// How a step changes, what the history tells of it, and how many crashes it has by now.
#[must_use]
pub fn ended(step: Orphan, suspicion: Suspicion) -> (StepChange, EventKind, u32) {
    let crashes = suspicion.after_crash(step.crashes, step.has_progressed, step.ran_alone);
    let (change, told) = match step.run_fails {
        true => (StepChange::Stopped, EventKind::StepCancelled),
        false if suspicion.is_poison(crashes) => (StepChange::Poisoned, EventKind::StepParked),
        false => (StepChange::LeaseEnded, EventKind::StepReady),
    };
    (change, told, crashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_goes_on_unless_its_run_fails_or_it_kills_its_workers() {
        let suspicion = Suspicion { suspect_from: 1, crash_limit: 2 };
        let orphan =
            |crashes, has_progressed, run_fails| Orphan { crashes, has_progressed, ran_alone: true, run_fails };
        for (step, expected) in [
            (orphan(0, false, false), (StepChange::LeaseEnded, EventKind::StepReady, 1)),
            (orphan(1, true, false), (StepChange::LeaseEnded, EventKind::StepReady, 0)),
            (orphan(1, false, false), (StepChange::Poisoned, EventKind::StepParked, 2)),
            (orphan(1, false, true), (StepChange::Stopped, EventKind::StepCancelled, 2)),
        ] {
            assert_eq!(ended(step, suspicion), expected, "{step:?}");
        }
    }
}

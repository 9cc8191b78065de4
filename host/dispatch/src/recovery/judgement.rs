//! What became of runs that were resumed, by the records of their takeovers. Pure.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pawl_domain::id::{RunId, StepId};
use pawl_domain::recovery::Outcome;
use pawl_store::recoveries::RecoveryRow;

/// What became of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// They go on, or have ended by themselves.
    pub recovered: Vec<RunId>,
    /// A step of theirs was parked, or failed, before it came to anything new: a person decides.
    pub failed: Vec<RunId>,
    /// Nobody knows yet: no worker has come so far.
    pub pending: Vec<RunId>,
    /// Steps that were begun again by a replacement.
    pub steps_again: u32,
    /// Journal entries that these have executed again.
    pub entries_again: u64,
    /// From the end of a lease to the first new call, on average over those that are recovered.
    pub mean: Option<Duration>,
    /// Nothing of theirs was taken over.
    pub(super) silent: Vec<RunId>,
}

/// Judges runs by the records that there are of them, of each step the newest.
pub(super) fn judge(runs: &[RunId], records: &[RecoveryRow]) -> Judged {
    let mut newest: BTreeMap<StepId, &RecoveryRow> = BTreeMap::new();
    for record in records {
        let known = newest.entry(record.id.step).or_insert(record);
        if record.id.fence > known.id.fence {
            *known = record;
        }
    }
    let mut judged = Judged::default();
    let mut outcomes: HashMap<RunId, Vec<Option<Outcome>>> = HashMap::new();
    let mut times_ms = Vec::new();
    for record in newest.values() {
        outcomes.entry(record.id.step.run).or_default().push(record.outcome);
        judged.steps_again += u32::from(record.replacement.is_some());
        judged.entries_again += u64::from(record.replayed.unwrap_or(0));
        times_ms.extend(record.ready_ms.map(|at_ms| at_ms - record.lease_ended_ms.unwrap_or(record.taken_over_ms)));
    }
    for run in runs {
        let of_run = match outcomes.get(run) {
            None => &mut judged.silent,
            Some(found) if found.iter().any(|it| matches!(it, Some(Outcome::Failed | Outcome::Stopped))) => {
                &mut judged.failed
            }
            Some(found) if found.iter().all(|it| *it == Some(Outcome::Recovered)) => &mut judged.recovered,
            Some(_) => &mut judged.pending,
        };
        of_run.push(*run);
    }
    let sum_ms: u64 = times_ms.iter().map(|ms| u64::try_from(*ms).unwrap_or(0)).sum();
    judged.mean = (!times_ms.is_empty()).then(|| Duration::from_millis(sum_ms / times_ms.len() as u64));
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{Digest, Fence, StepNo, WorkerId};
    use pawl_store::recoveries::RecoveryId;

    fn record(run: RunId, step: i32, fence: i64, ready_ms: Option<i64>, outcome: Option<Outcome>) -> RecoveryRow {
        RecoveryRow {
            id: RecoveryId { step: StepId { run, step: StepNo(step) }, fence: Fence(fence) },
            pipeline: "p".into(),
            pipeline_digest: Digest::of(b"p"),
            worker: WorkerId::new(),
            lease_ended_ms: Some(100),
            taken_over_ms: 110,
            checkpoint_position: None,
            to_replay: 4,
            replacement: ready_ms.map(|_| WorkerId::new()),
            claimed_ms: ready_ms.map(|_| 120),
            reloaded_ms: ready_ms,
            replayed_ms: ready_ms,
            ready_ms,
            replayed: ready_ms.map(|_| 4),
            outcome,
        }
    }

    #[test]
    fn the_newest_record_of_each_step_decides() {
        let [good, bad, open, silent] = [(); 4].map(|()| RunId::new());
        let records = [
            record(good, 0, 2, None, Some(Outcome::Lost)),
            record(good, 0, 4, Some(300), Some(Outcome::Recovered)),
            record(good, 1, 2, Some(500), Some(Outcome::Recovered)),
            record(bad, 0, 2, Some(400), Some(Outcome::Recovered)),
            record(bad, 1, 2, None, Some(Outcome::Failed)),
            record(open, 0, 4, None, None),
            record(open, 0, 2, None, Some(Outcome::Lost)),
        ];
        let expected = Judged {
            recovered: vec![good],
            failed: vec![bad],
            pending: vec![open],
            steps_again: 3,
            entries_again: 12,
            mean: Some(Duration::from_millis(300)),
            silent: vec![silent],
        };
        assert_eq!(judge(&[good, bad, open, silent], &records), expected);
        assert_eq!(judge(&[], &[]), Judged::default());
    }
}

//! A *recovery*: one takeover of a step, from the end of its worker's lease to the first new call of its replacement. Its
//! stages, what a replacement tells of them, and how it ends. Pure: times are handed in.
//!
//! ```text
//!  lease expired ──▶ checkpoint reload ──▶ replay ──▶ ready for dispatch
//!  (taken over)      restore() answered    the last    the first new call,
//!                                          old entry   or the attempt's end
//! ```

use super::decision::outcome::Settlement;
use super::event::EventKind;

/// What a step goes through from the death of its worker to its next new call, in this order.
///
/// ```
/// use pawl_domain::recovery::Stage;
/// assert!(Stage::ALL.is_sorted());
/// assert_eq!(Stage::ALL.map(Stage::as_str), ["lease_expired", "checkpoint_reload", "replay", "ready_for_dispatch"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The lease of its worker has ended, and the step was taken over.
    LeaseExpired,
    /// The replacement has its last checkpoint; or there is none.
    CheckpointReload,
    /// Everything that the journal holds after it was answered from there.
    Replay,
    /// It makes its first new call, or has ended without one.
    ReadyForDispatch,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::LeaseExpired, Self::CheckpointReload, Self::Replay, Self::ReadyForDispatch];

    /// The word in JSON and in log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaseExpired => "lease_expired",
            Self::CheckpointReload => "checkpoint_reload",
            Self::Replay => "replay",
            Self::ReadyForDispatch => "ready_for_dispatch",
        }
    }

    /// How the history of a run tells it.
    #[must_use]
    pub fn event(self) -> EventKind {
        match self {
            Self::LeaseExpired => EventKind::StepLeaseExpired,
            Self::CheckpointReload => EventKind::StepCheckpointReloaded,
            Self::Replay => EventKind::StepReplayed,
            Self::ReadyForDispatch => EventKind::StepReadyForDispatch,
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a recovery has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The step goes on, or has ended by itself.
    Recovered,
    /// The step was parked, or failed for good, before it came to anything new.
    Failed,
    /// Its run had failed by then: there was nothing to go on with.
    Stopped,
    /// Its replacement has gone, too: there is a newer record.
    Lost,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Recovered, Self::Failed, Self::Stopped, Self::Lost];

    /// The word in SQL and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }

    /// That of a takeover which has left the step with such an event, if it is known at once.
    #[must_use]
    pub fn of_takeover(told: EventKind) -> Option<Self> {
        match told {
            EventKind::StepParked => Some(Self::Failed),
            EventKind::StepCancelled => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// No word for how a recovery ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no end of a recovery that this version knows")]
pub struct UnknownOutcome(String);

impl std::str::FromStr for Outcome {
    type Err = UnknownOutcome;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|end| end.as_str() == word).ok_or_else(|| UnknownOutcome(word.to_owned()))
    }
}

/// What a replacement has passed so far. Times are ms since 1970, by the store's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    reloaded_ms: Option<i64>,
    replayed_ms: Option<i64>,
    ready_ms: Option<i64>,
    /// Entries that were answered from the journal.
    replayed: u32,
}

/// What a replacement tells of its recovery, once, when that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// When it had its checkpoint.
    pub reloaded_ms: Option<i64>,
    /// When everything recorded had been answered from the journal.
    pub replayed_ms: Option<i64>,
    /// When it made its first new call, or ended.
    pub ready_ms: Option<i64>,
    /// Entries that were executed again: answered from the journal.
    pub replayed: u32,
    /// How it has ended.
    pub outcome: Outcome,
}

impl Passed {
    /// It has passed a stage, and with it all before: whoever has replayed everything needed no checkpoint to come. Only the
    /// first time counts, and no stage is passed before an earlier one.
    pub fn pass(&mut self, stage: Stage, at_ms: i64) {
        let mut at_ms = at_ms;
        let stages = [
            (Stage::CheckpointReload, &mut self.reloaded_ms),
            (Stage::Replay, &mut self.replayed_ms),
            (Stage::ReadyForDispatch, &mut self.ready_ms),
        ];
        for (_, passed) in stages.into_iter().filter(|(this, _)| *this <= stage) {
            at_ms = *passed.get_or_insert(at_ms).max(&mut at_ms);
        }
    }

    /// So many entries were answered from the journal by now.
    pub fn replay(&mut self, entries: u32) {
        self.replayed = self.replayed.max(entries);
    }

    /// Whether the step has made a new call.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready_ms.is_some()
    }

    /// What is told, if the recovery has ended: with a new call, or with the attempt, which has ended like this at `at_ms`.
    /// An attempt that ended in the middle of its replay and is tried again tells nothing: the next one may come through.
    #[must_use]
    pub fn told(mut self, end: Option<&Settlement>, at_ms: i64) -> Option<Recovered> {
        let outcome = match end {
            _ if self.is_ready() => Outcome::Recovered,
            None | Some(Settlement::Released) => return None,
            Some(Settlement::Parked(_)) => Outcome::Failed,
            Some(Settlement::Failed { .. }) if self.replayed_ms.is_none() => Outcome::Failed,
            Some(Settlement::Retry { .. }) if self.replayed_ms.is_none() => return None,
            Some(_) => {
                self.pass(Stage::ReadyForDispatch, at_ms);
                Outcome::Recovered
            }
        };
        let Self { reloaded_ms, replayed_ms, ready_ms, replayed } = self;
        Some(Recovered { reloaded_ms, replayed_ms, ready_ms, replayed, outcome })
    }
}

/// A record's times and what it has found, as the history of the run tells them. Times are ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When the lease ended, or, if nobody knows that any more, when the step was taken over.
    pub lease_ended_ms: i64,
    /// Where the checkpoint stands.
    pub checkpoint_position: Option<u32>,
    /// When the replacement claimed the step.
    pub claimed_ms: i64,
}

impl Recovered {
    /// The same on the record's clock: nothing was passed before the claim, which the store has timed itself.
    #[must_use]
    pub fn after_claim(self, claimed_ms: i64) -> Self {
        let later = |passed: Option<i64>| passed.map(|at_ms| at_ms.max(claimed_ms));
        let (reloaded_ms, replayed_ms) = (later(self.reloaded_ms), later(self.replayed_ms));
        Self { reloaded_ms, replayed_ms, ready_ms: later(self.ready_ms), ..self }
    }

    /// How long each stage took that was passed after the takeover, ms: from the one before it, the first from the begin of
    /// the attempt.
    pub fn durations(&self, begun_ms: i64) -> impl Iterator<Item = (Stage, u64)> {
        let mut before_ms = begun_ms;
        [
            (Stage::CheckpointReload, self.reloaded_ms),
            (Stage::Replay, self.replayed_ms),
            (Stage::ReadyForDispatch, self.ready_ms),
        ]
        .into_iter()
        .map_while(|(stage, passed)| passed.map(|at_ms| (stage, at_ms)))
        .map(move |(stage, at_ms)| {
            let took_ms = at_ms.saturating_sub(std::mem::replace(&mut before_ms, at_ms));
            (stage, u64::try_from(took_ms).unwrap_or(0))
        })
    }

    /// The stages that were passed after the takeover, with what the history notes of each.
    #[must_use]
    pub fn stages(&self, record: &Record) -> Vec<(Stage, String)> {
        let checkpoint = record.checkpoint_position.map_or_else(|| "none".to_owned(), |position| position.to_string());
        let after_ms = self.ready_ms.unwrap_or_default() - record.lease_ended_ms;
        [
            (Stage::CheckpointReload, self.reloaded_ms, format!("checkpoint={checkpoint}")),
            (Stage::Replay, self.replayed_ms, format!("entries={}", self.replayed)),
            (Stage::ReadyForDispatch, self.ready_ms, format!("{after_ms} ms after the end of the lease")),
        ]
        .into_iter()
        .filter_map(|(stage, passed, note)| passed.map(|_| (stage, note)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::succession::Succession;
    use crate::wait::Wait;

    fn passed(reloaded_ms: Option<i64>, replayed_ms: Option<i64>, ready_ms: Option<i64>) -> Passed {
        Passed { reloaded_ms, replayed_ms, ready_ms, replayed: 3 }
    }

    #[test]
    fn stages_are_passed_in_their_order_and_once() {
        let mut all = Passed::default();
        all.pass(Stage::CheckpointReload, 10);
        all.pass(Stage::CheckpointReload, 11);
        all.pass(Stage::Replay, 20);
        all.replay(3);
        all.pass(Stage::ReadyForDispatch, 30);
        assert_eq!(all, passed(Some(10), Some(20), Some(30)));

        let mut at_once = Passed::default();
        at_once.pass(Stage::ReadyForDispatch, 5);
        assert_eq!(at_once, Passed { replayed: 0, ..passed(Some(5), Some(5), Some(5)) }, "those before it come along");

        let mut back = Passed::default();
        back.pass(Stage::CheckpointReload, 10);
        back.pass(Stage::ReadyForDispatch, 9);
        assert_eq!(back, Passed { replayed: 0, ..passed(Some(10), Some(10), Some(10)) }, "a clock that was set back");
    }

    #[test]
    fn a_recovery_is_told_when_it_has_ended() {
        let succeeded = Settlement::Succeeded { output: Vec::new(), then: Succession::default() };
        let failed = Settlement::Failed { error: Vec::new(), rejects_signal: false };
        let retry = Settlement::Retry { error: Vec::new(), delay_ms: 1 };
        let suspended = Settlement::Suspended { wait: Wait::Sleep { duration_ms: 1 }, position: 3 };
        let parked = Settlement::Parked(Vec::new());
        let (in_replay, replayed) = (passed(Some(1), None, None), passed(Some(1), Some(2), None));
        let ready = passed(Some(1), Some(2), Some(3));
        for (so_far, end, told) in [
            (in_replay, None, None),
            (replayed, None, None),
            (ready, None, Some((Outcome::Recovered, Some(3)))),
            (ready, Some(&failed), Some((Outcome::Recovered, Some(3)))),
            (in_replay, Some(&Settlement::Released), None),
            (replayed, Some(&Settlement::Released), None),
            (in_replay, Some(&retry), None),
            (replayed, Some(&retry), Some((Outcome::Recovered, Some(9)))),
            (in_replay, Some(&failed), Some((Outcome::Failed, None))),
            (replayed, Some(&failed), Some((Outcome::Recovered, Some(9)))),
            (in_replay, Some(&parked), Some((Outcome::Failed, None))),
            (replayed, Some(&succeeded), Some((Outcome::Recovered, Some(9)))),
            (replayed, Some(&suspended), Some((Outcome::Recovered, Some(9)))),
        ] {
            let found = so_far.told(end, 9).map(|told| (told.outcome, told.ready_ms));
            assert_eq!(found, told, "{so_far:?}, {end:?}");
        }
    }

    #[test]
    fn the_history_tells_the_stages_that_were_passed_and_none_before_the_claim() {
        let told = passed(Some(90), Some(120), Some(130)).told(None, 0).unwrap().after_claim(100);
        assert_eq!((told.reloaded_ms, told.replayed_ms, told.ready_ms), (Some(100), Some(120), Some(130)));
        let record = Record { lease_ended_ms: 50, checkpoint_position: Some(4), claimed_ms: 100 };
        let stages = told.stages(&record);
        assert_eq!(
            stages,
            [
                (Stage::CheckpointReload, "checkpoint=4".to_owned()),
                (Stage::Replay, "entries=3".to_owned()),
                (Stage::ReadyForDispatch, "80 ms after the end of the lease".to_owned()),
            ]
        );
        let parked = passed(Some(110), None, None).told(Some(&Settlement::Parked(Vec::new())), 0).unwrap();
        let record = Record { checkpoint_position: None, ..record };
        assert_eq!(parked.stages(&record), [(Stage::CheckpointReload, "checkpoint=none".to_owned())]);
    }

    #[test]
    fn each_stage_takes_from_the_one_before() {
        let all = passed(Some(110), Some(150), Some(151)).told(None, 0).unwrap();
        let took: Vec<_> = all.durations(100).collect();
        assert_eq!(took, [(Stage::CheckpointReload, 10), (Stage::Replay, 40), (Stage::ReadyForDispatch, 1)]);
        let parked = passed(Some(110), None, None).told(Some(&Settlement::Parked(Vec::new())), 0).unwrap();
        assert_eq!(
            parked.durations(120).collect::<Vec<_>>(),
            [(Stage::CheckpointReload, 0)],
            "a clock that was set back"
        );
    }

    #[test]
    fn every_word_is_found() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
        }
        assert!("gone".parse::<Outcome>().is_err());
        let mut kinds = Stage::ALL.map(Stage::event).to_vec();
        kinds.dedup();
        assert_eq!(kinds.len(), 4, "each has an event of its own");
    }
}

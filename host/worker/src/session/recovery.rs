//! What a session notes of its recovery, if its step was taken over: when it passed which stage, by the clock of the store.
//! It is told once, with whatever the step writes next, and is never a reason for a batch. Sessions of other steps have
//! nothing to note, and read no clock for it.

use std::time::Duration;

use pawl_domain::recovery::{Recovered, Stage};
use pawl_metrics::figures;
use pawl_store::write::Settlement;

use super::Session;
use super::state::State;

impl Session {
    /// So many entries were answered from the journal by the end of the attempt.
    pub fn has_replayed(&self, entries: u32) {
        if self.claim.recovers
            && let Some(passed) = &mut self.state().recovering
        {
            passed.replay(entries);
        }
    }

    pub(super) fn pass(&self, stage: Stage, replayed: u32) {
        self.trace_stage(stage, replayed);
        self.tell_parts();
        let mut state = self.state();
        let at_ms = self.now_ms();
        if let Some(passed) = &mut state.recovering {
            passed.replay(replayed);
            passed.pass(stage, at_ms);
        }
    }

    /// The step has made something new.
    pub(super) fn makes_news(&self, state: &mut State) {
        if let Some(passed) = &mut state.recovering {
            passed.pass(Stage::ReadyForDispatch, self.now_ms());
            self.recovery_ends(state, None);
        }
    }

    /// What is told of the recovery, if it has ended: with news, or with the attempt.
    pub(super) fn recovery_ends(&self, state: &mut State, end: Option<&Settlement>) {
        if let Some(passed) = state.recovering.take() {
            state.recovered = passed.told(end, self.now_ms());
            if let Some(Recovered { ready_ms: Some(_), replayed, .. }) = state.recovered {
                self.trace_stage(Stage::ReadyForDispatch, replayed);
            }
            if state.recovered.is_none() {
                state.recovering = Some(passed);
            }
        }
    }

    /// By the clock of the store.
    pub(super) fn now_ms(&self) -> i64 {
        self.trust.clock.unix_ms()
    }
}

/// A recovery is on record.
pub(super) fn count(recovered: &Recovered, begun_ms: i64) {
    figures().recoveries.of(&[recovered.outcome.as_str()]).one();
    for (stage, took_ms) in recovered.durations(begun_ms) {
        figures().recovery_seconds.of(&[stage.as_str()]).took(Duration::from_millis(took_ms));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use pawl_domain::attempt::Claim;
    use pawl_domain::id::{Fence, RunId, StepId, StepNo};
    use pawl_domain::journal::Entry;
    use pawl_domain::recovery::{Outcome, Stage};
    use pawl_domain::succession::Succession;
    use pawl_engine::recorder::Recorder;
    use pawl_store::write::{Member, Settlement, Verdict};

    use crate::outbox::Outbox;
    use crate::session::{Session, Taken};
    use crate::trust::{Trust, boottime_ms};

    fn session(recovers: bool) -> Arc<Session> {
        let bare = Claim::bare(StepId { run: RunId::new(), step: StepNo(0) }, Fence(3));
        let trust = Arc::new(Trust::default());
        trust.renewed(boottime_ms(), Duration::from_secs(60));
        Session::new(Claim { journal_length: 5, recovers, ..bare }, 0, Outbox::new().0, trust)
    }

    fn taken(session: &Session) -> Option<Member> {
        session.take().map(|taken| match taken {
            Taken::Member(member) => *member,
            Taken::Claim(_) => panic!("it is claimed"),
        })
    }

    fn entry() -> Entry {
        Entry::Now { unix_ns: 1 }
    }

    #[test]
    fn a_recovery_is_told_once_with_the_first_thing_that_is_written() {
        let session = session(true);
        session.passed(Stage::CheckpointReload, 0);
        session.passed(Stage::Replay, 4);
        assert!(taken(&session).is_none(), "it is no reason to write");
        session.record(&entry()).expect("recorded");
        let member = taken(&session).expect("an entry");
        let told = member.recovered.expect("with the entry");
        assert_eq!((told.outcome, told.replayed), (Outcome::Recovered, 4));
        let times = [told.reloaded_ms, told.replayed_ms, told.ready_ms];
        assert!(times.is_sorted() && times.iter().all(Option::is_some), "{times:?}");
        session.written(&member, Verdict::Written);
        session.record(&entry()).expect("recorded");
        session.hand_over(Settlement::Succeeded { output: b"1".to_vec(), then: Succession::default() }, None);
        assert_eq!(taken(&session).expect("the outcome").recovered, None);
    }

    #[test]
    fn an_attempt_that_ends_in_its_replay_tells_of_it_if_it_is_for_good() {
        let parked = session(true);
        parked.passed(Stage::CheckpointReload, 0);
        parked.has_replayed(2);
        parked.hand_over(Settlement::Parked(b"{}".to_vec()), None);
        let told = taken(&parked).expect("the outcome").recovered.expect("it can't go on");
        assert_eq!((told.outcome, told.replayed, told.replayed_ms), (Outcome::Failed, 2, None));
        let handed_back = session(true);
        handed_back.hand_over(Settlement::Released, None);
        assert_eq!(taken(&handed_back).expect("the outcome").recovered, None, "the next one may come through");
    }

    #[test]
    fn what_was_not_taken_over_has_nothing_to_tell() {
        let session = session(false);
        assert!(!session.awaits_stages());
        session.passed(Stage::Replay, 4);
        session.record(&entry()).expect("recorded");
        assert_eq!(taken(&session).expect("an entry").recovered, None);
    }
}

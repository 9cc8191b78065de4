//! Sleeps and signals. A wait that is not in the journal ends the attempt: the engine suspends the step, and
//! the entry is recorded by that commit. So whoever replays the entry stands behind the wait, however it ended.
//!
//! ```text
//!  attempt 1   … entries …  sleep ─▶ suspended, `Slept` recorded
//!  attempt 2   … replayed …  sleep ─▶ the journal's next entry: goes on, live
//! ```

use super::call::Call;
use super::{Called, Refused, Replay, Step};
use crate::journal::Entry;

impl Replay {
    /// The guest lets time pass. [`Step::Live`]: suspend the step.
    ///
    /// # Errors
    /// [`Fault`](super::Fault) if the journal holds another call here, or an effect is open.
    pub fn sleep(&mut self, duration_ms: u64) -> Called<Step<()>> {
        self.wait(Call::Sleep(duration_ms))
    }

    /// The guest waits for a signal; recorded is what it carries, or none if the time was over first.
    /// [`Step::Live`]: suspend the step.
    ///
    /// # Errors
    /// As [`Replay::sleep`].
    pub fn await_signal(&mut self, name: &str, timeout_ms: Option<u64>) -> Called<Step<Option<Vec<u8>>>> {
        let position = self.position;
        Ok(match self.wait(Call::AwaitSignal { name, timeout_ms })? {
            Step::Recorded(()) => {
                let there = self.signals.remove(&position);
                let read = || self.recorded.ask(|rest| rest.signal(position)).flatten();
                let signal = there.or_else(read);
                self.readable()?;
                if signal.is_some() {
                    self.signalled_at = Some(position);
                }
                Step::Recorded(signal)
            }
            Step::Live => Step::Live,
        })
    }

    /// What a new reading of the wall clock shows at least, ns since 1970: no guest sees it go back, or a sleep that was
    /// shorter than it asked for, whatever the clocks of the machines on which its attempts were executed.
    #[must_use]
    #[inline]
    pub fn earliest_ns(&self) -> u64 {
        self.earliest_ns
    }

    /// What an entry says about the time at which the next one is made.
    #[inline]
    pub(super) fn pass_time(&mut self, entry: &Entry) {
        match entry {
            Entry::Now { unix_ns } => self.earliest_ns = self.earliest_ns.max(*unix_ns),
            Entry::Slept { duration_ms } => {
                self.earliest_ns = self.earliest_ns.saturating_add(duration_ms.saturating_mul(1_000_000));
            }
            _ => {}
        }
    }

    /// Time passes at a wait: whoever asks for the facts afterwards gets new ones, a deadline that is still to
    /// come. Those who don't ask still know the old ones.
    fn wait(&mut self, call: Call<'_>) -> Called<Step<()>> {
        if let Some(open) = &self.once {
            return Err(Refused::WaitInOnce { call: call.to_string(), once: open.name.clone() }.into());
        }
        // Before the entry is taken: notes that follow it may hold newer facts.
        self.facts_aged = true;
        self.next(call, |_| Some(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RunId, StepId, StepNo};
    use crate::journal::History;
    use crate::replay::{Facts, Fault};

    fn replay(entries: Vec<Entry>, signals: Vec<(u32, Vec<u8>)>) -> Replay {
        let step = StepId { run: RunId(uuid::Uuid::from_u128(7)), step: StepNo(3) };
        let length = entries.len() as u32;
        Replay::new(step, History { segments: vec![(0, entries)], length, signals, ..History::default() })
    }

    #[test]
    fn the_wall_clock_never_goes_back_and_a_sleep_takes_its_time() {
        let mut replay = replay(vec![Entry::Now { unix_ns: 7_000_000 }, Entry::Slept { duration_ms: 5 }], vec![]);
        assert_eq!(replay.earliest_ns(), 0, "nothing was read");
        replay.now().unwrap();
        assert_eq!(replay.earliest_ns(), 7_000_000);
        replay.sleep(5).unwrap();
        assert_eq!(replay.earliest_ns(), 12_000_000);
        replay.record(&Entry::Now { unix_ns: 20_000_000 });
        replay.record(&Entry::Now { unix_ns: 19_000_000 });
        assert_eq!(replay.earliest_ns(), 20_000_000, "an older worker read its own clock");
    }

    fn awaited(timeout_ms: Option<u64>) -> Entry {
        Entry::Awaited { name: "approved".into(), timeout_ms }
    }

    fn facts(deadline_ms: u64) -> Facts {
        Facts { attempt: 1, deadline_ms }
    }

    #[test]
    fn a_recorded_wait_is_over_and_a_new_one_suspends() {
        let mut replay = replay(vec![Entry::Slept { duration_ms: 5 }], vec![]);
        assert_eq!(replay.sleep(5), Ok(Step::Recorded(())));
        assert_eq!(replay.sleep(5), Ok(Step::Live));
    }

    #[test]
    fn each_awaited_entry_has_the_signal_of_its_position_or_none() {
        let entries = vec![awaited(None), Entry::Now { unix_ns: 1 }, awaited(Some(9)), awaited(None)];
        let mut replay = replay(entries, vec![(3, b"2".to_vec()), (0, b"1".to_vec())]);
        assert_eq!(replay.await_signal("approved", None), Ok(Step::Recorded(Some(b"1".to_vec()))));
        replay.now().unwrap();
        assert_eq!(replay.await_signal("approved", Some(9)), Ok(Step::Recorded(None)));
        assert_eq!(replay.await_signal("approved", None), Ok(Step::Recorded(Some(b"2".to_vec()))));
    }

    #[test]
    fn a_guest_fails_by_the_signal_that_it_was_given_last_if_the_world_told_nothing_since() {
        let now = Entry::Now { unix_ns: 1 };
        let failed_by = |entries: Vec<Entry>, given: &[u32], asks: &dyn Fn(&mut Replay)| {
            let mut replay = replay(entries, given.iter().map(|at| (*at, b"1".to_vec())).collect());
            asks(&mut replay);
            replay.cut(false).failed_by
        };
        let awaits = |replay: &mut Replay| drop(replay.await_signal("approved", None));
        let two = || vec![awaited(None), awaited(None)];
        assert_eq!(failed_by(two(), &[0, 1], &|replay| (awaits(replay), awaits(replay)).1), Some(1));
        assert_eq!(failed_by(two(), &[0, 1], &awaits), None, "it has not come to the last one");
        assert_eq!(failed_by(two(), &[0], &|replay| (awaits(replay), awaits(replay)).1), None, "its time was over");
        let reads_the_clock = |replay: &mut Replay| {
            awaits(replay);
            replay.now().unwrap();
        };
        assert_eq!(failed_by(vec![awaited(None), now], &[0], &reads_the_clock), Some(0), "the clock is not at fault");
        let slept = |replay: &mut Replay| {
            awaits(replay);
            replay.sleep(5).unwrap();
        };
        assert_eq!(failed_by(vec![awaited(None), Entry::Slept { duration_ms: 5 }], &[0], &slept), None);
        let saved = |replay: &mut Replay| {
            awaits(replay);
            replay.checkpoint(vec![]).unwrap();
        };
        assert_eq!(failed_by(vec![awaited(None)], &[0], &saved), None, "it has kept what it was told");
    }

    #[test]
    fn waits_are_matched_exactly() {
        let differs = |recorded: Entry, called: &dyn Fn(&mut Replay) -> Fault| {
            let Fault::Diverged(divergence) = called(&mut replay(vec![recorded], vec![])) else { panic!("refused") };
            divergence.difference
        };
        let slept = Entry::Slept { duration_ms: 5 };
        let found = differs(slept.clone(), &|replay| replay.sleep(6).unwrap_err());
        assert_eq!(found.as_deref(), Some("duration: recorded 5 ms, now 6 ms"));
        let found = differs(awaited(None), &|replay| replay.await_signal("approved", Some(6)).unwrap_err());
        assert_eq!(found.as_deref(), Some("timeout: recorded none, now 6 ms"));
        let found = differs(awaited(None), &|replay| replay.await_signal("refused", None).unwrap_err());
        assert_eq!(found.as_deref(), Some(r#"name: recorded "approved", now "refused""#));
        assert_eq!(differs(slept, &|replay| replay.now().unwrap_err()), None, "another call altogether");
    }

    #[test]
    fn waits_are_refused_inside_once() {
        let mut replay = replay(vec![], vec![]);
        replay.once_begin("charge").unwrap();
        for refused in [replay.sleep(1).unwrap_err(), replay.await_signal("a", None).map(drop).unwrap_err()] {
            assert!(matches!(refused, Fault::Refused(Refused::WaitInOnce { .. })), "{refused:?}");
        }
    }

    /// A deadline that was told before a sleep of hours has passed when the guest asks again.
    #[test]
    fn facts_that_are_asked_for_after_a_wait_are_new_and_then_stay() {
        let before = Entry::Context { attempt: 1, deadline_ms: 10 };
        let mut woken = replay(vec![before.clone(), Entry::Slept { duration_ms: 5 }], vec![]);
        assert_eq!(woken.context(facts(20)), facts(10), "as before the wait");
        woken.sleep(5).unwrap();
        assert_eq!(woken.context(facts(20)), facts(20));
        let after = woken.unrecorded_facts().unwrap();
        let entries = vec![before, Entry::Slept { duration_ms: 5 }, after, Entry::Now { unix_ns: 1 }];
        let mut resumed = replay(entries, vec![]);
        assert_eq!(resumed.context(facts(30)), facts(10));
        resumed.sleep(5).unwrap();
        assert_eq!(resumed.context(facts(30)), facts(20), "those of the attempt that is replayed");
        resumed.now().unwrap();
        assert_eq!(resumed.context(facts(30)), facts(20));
    }

    #[test]
    fn a_guest_that_does_not_ask_again_still_knows_the_old_facts() {
        let entries = vec![Entry::Context { attempt: 1, deadline_ms: 10 }, Entry::Slept { duration_ms: 5 }];
        let mut woken = replay(entries, vec![]);
        woken.sleep(5).unwrap();
        woken.checkpoint(vec![]).unwrap();
        assert_eq!(woken.unrecorded_facts(), Some(Entry::Context { attempt: 1, deadline_ms: 10 }));
    }
}

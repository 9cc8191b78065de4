//! A replay in this process: a step's component against the step's journal. Nothing is written and no effect leaves: where the
//! journal ends, or at an entry that somebody picks, the guest does. `pawl run replay` calls it, and the process in which the
//! API has it done.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use pawl_domain::attempt::Outcome;
use pawl_domain::id::Digest;
use pawl_domain::journal::{Entry, History, Unreadable};
use pawl_domain::replay::{Told, tell};
use pawl_engine::read_only::{ReadOnly, Said};
use pawl_engine::{Attempt, Engine, Executed, GuestThreads, LoadError, Secrets};
use serde_json::value::RawValue;

use crate::types::{ReplayEnd, ReplayHow, ReplayedCall, ReplayedLine, StepJournal, StepReplay};

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    /// The journal is that of a newer build.
    #[error("the journal can't be read: this `pawl` is older than what has written it")]
    Unreadable(#[from] Unreadable),
    /// The component can't be executed.
    #[error("the component is no step")]
    NoStep(#[from] LoadError),
    /// This machine's doing.
    #[error("there is no thread for the guest")]
    NoThread(#[from] std::io::Error),
    /// A bug.
    #[error("{0}")]
    Broken(&'static str),
}

/// Executes a component against a step's journal, up to the entry `to`, if there is one.
///
/// # Errors
/// [`NotReplayed`].
pub fn replay(
    engine: Arc<Engine>,
    journal: &StepJournal,
    component: &[u8],
    secrets: Secrets,
    to: Option<u32>,
) -> Result<StepReplay, NotReplayed> {
    let (history, remark) = up_to(journal.history()?, to);
    let (digest, recorder) = (Digest::of(component), Arc::new(ReadOnly::default()));
    let attempt = Attempt {
        step: journal.id,
        step_name: journal.step.clone(),
        failures: journal.failures,
        config: journal.config.get().to_owned(),
        secrets,
        allow: None,
        timeout: Duration::from_millis(journal.timeout_ms),
        input: journal.input.get().as_bytes().to_vec(),
        history: history.clone(),
        past: None,
    };
    let executed = execute(engine, digest, component, attempt, &recorder)?;
    let (position, resumed_from) = (executed.position, executed.resumed_from);
    Ok(StepReplay {
        run: journal.id.run,
        step: journal.step.clone(),
        component: digest,
        recorded_by: journal.recorded_by,
        length: journal.length,
        resumed_from,
        calls: calls(&history, position, resumed_from),
        calls_left_out: 0,
        lines: recorder.take_said().into_iter().map(line).collect(),
        lines_left_out: 0,
        end: end_of(executed.outcome, history.length, journal.length, recorder.live())?,
        remarks: remark.into_iter().collect(),
    })
}

/// The journal as if it ended there; what to say if it can't.
fn up_to(history: History, to: Option<u32>) -> (History, Option<String>) {
    let Some(to) = to.filter(|to| *to < history.length) else { return (history, None) };
    let checkpoint = history.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position);
    let (to, remark) = if to < checkpoint {
        let remark = format!(
            "what the step did before its checkpoint at entry {checkpoint} is not executed again: the replay stops there"
        );
        (checkpoint, Some(remark))
    } else {
        (to, None)
    };
    let cut = |(first, mut entries): (u32, Vec<Entry>)| {
        entries.truncate(to.saturating_sub(first) as usize);
        (!entries.is_empty()).then_some((first, entries))
    };
    let segments = history.segments.into_iter().filter_map(cut).collect();
    (History { segments, length: to, ..history }, remark)
}

/// Executes on a guest thread, as a worker does.
fn execute(
    engine: Arc<Engine>,
    digest: Digest,
    component: &[u8],
    attempt: Attempt,
    recorder: &Arc<ReadOnly>,
) -> Result<Executed, NotReplayed> {
    let prepared = engine.prepare(digest, component)?;
    let threads = GuestThreads::new(1)?;
    let (done, executed) = mpsc::channel();
    let recorder = Arc::clone(recorder);
    threads.submit(Box::new(move || {
        let _ = done.send(engine.execute(&prepared, attempt, recorder));
    }));
    executed.recv().map_err(|_| NotReplayed::Broken("the guest's thread has ended"))
}

/// What an outcome means where the guest was given a journal of `given` entries, of `all` that there are; `live` is what it
/// asked for that was not in it.
fn end_of(outcome: Outcome, given: u32, all: u32, live: Option<&str>) -> Result<ReplayEnd, NotReplayed> {
    let how = if given < all { ReplayHow::Stopped } else { ReplayHow::Live };
    let none = ReplayEnd { how, position: None, call: None, output: None, failure: None, divergence: None };
    let at = |call: String| ReplayEnd { position: Some(given), call: Some(call), ..none.clone() };
    Ok(match outcome {
        Outcome::Succeeded(output) => {
            let output = String::from_utf8(output).ok().and_then(|text| RawValue::from_string(text).ok());
            let output = output.ok_or(NotReplayed::Broken("the output is no JSON"))?;
            ReplayEnd { how: ReplayHow::Returned, output: Some(output), ..none }
        }
        Outcome::Failed(failure) => {
            let failure = serde_json::to_value(&failure).map_err(|_| NotReplayed::Broken("the failure is no JSON"))?;
            ReplayEnd { how: ReplayHow::Failed, failure: Some(failure), ..none }
        }
        Outcome::Diverged(divergence) => ReplayEnd { how: ReplayHow::Diverged, divergence: Some(divergence), ..none },
        Outcome::Suspended(wait) => at(tell(&wait.entry(), None).call),
        Outcome::HandedBack | Outcome::Deferred(_) | Outcome::LeaseLost => {
            at(live.unwrap_or("a call that is not recorded").to_owned())
        }
    })
}

/// The entries that were gone through, up to `position`, and the jump to the checkpoint.
fn calls(history: &History, position: u32, resumed_from: Option<u32>) -> Vec<ReplayedCall> {
    let prelude = history.checkpoint.as_ref().and_then(|checkpoint| checkpoint.prelude).unwrap_or(0);
    let entries = history.segments.iter().flat_map(|(first, entries)| (*first..).zip(entries));
    let told = |(at, entry)| {
        let signal = history.signals.iter().find(|(given, _)| *given == at).map(|(_, payload)| payload.as_slice());
        let Told { call, answer } = tell(entry, signal);
        ReplayedCall { position: Some(at), call, answer }
    };
    let Some(resumed_from) = resumed_from else {
        return entries.filter(|(at, _)| *at < position).map(told).collect();
    };
    let restored = ReplayedCall {
        position: None,
        call: "durable.restore()".to_owned(),
        answer: format!("the checkpoint at entry {resumed_from}"),
    };
    let before = entries.clone().filter(|(at, _)| *at < prelude).map(told);
    let after = entries.filter(|(at, _)| (resumed_from..position).contains(at)).map(told);
    before.chain([restored]).chain(after).collect()
}

fn line(said: Said) -> ReplayedLine {
    let Said { position, level, message, fields } = said;
    ReplayedLine { position, level, message, fields }
}

#[cfg(test)]
mod tests {
    use pawl_domain::journal::{Checkpoint, Held};
    use pawl_domain::wait::Wait;

    use super::*;

    fn slept(duration_ms: u64) -> Entry {
        Entry::Slept { duration_ms }
    }

    fn history(checkpoint: Option<u32>) -> History {
        let checkpoint = checkpoint.map(|position| Checkpoint {
            ordinal: 1,
            position,
            random_position: 0,
            effect_ordinal: 0,
            prelude: Some(1),
            state: vec![],
            held: Held::default(),
        });
        let segments = vec![(0, vec![slept(0)]), (2, vec![slept(2), slept(3)]), (4, vec![slept(4)])];
        History { checkpoint, segments, length: 5, ..History::default() }
    }

    #[test]
    fn a_journal_ends_where_somebody_picks_but_not_before_its_checkpoint() {
        for (to, given) in
            [(None, 5), (Some(9), 5), (Some(5), 5), (Some(4), 4), (Some(3), 3), (Some(2), 2), (Some(0), 2)]
        {
            let (cut, remark) = up_to(history(Some(2)), to);
            assert_eq!(cut.length, given, "{to:?}");
            assert_eq!(remark.is_some(), to == Some(0), "{to:?}: {remark:?}");
            let last = cut.segments.last().map(|(first, entries)| first + u32::try_from(entries.len()).unwrap());
            assert!(last.unwrap() <= given, "{to:?}: {cut:?}");
        }
        let (none, remark) = up_to(history(None), Some(0));
        assert!(none.segments.is_empty() && remark.is_none(), "{none:?}");
    }

    #[test]
    fn a_guest_that_asks_for_more_was_stopped_if_there_is_more() {
        let wait = || Outcome::Suspended(Wait::Sleep { duration_ms: 7 });
        let stopped = end_of(wait(), 3, 5, None).unwrap();
        assert_eq!((stopped.how, stopped.position), (ReplayHow::Stopped, Some(3)));
        assert!(stopped.call.unwrap().contains('7'));
        let live = end_of(Outcome::LeaseLost, 5, 5, Some("http.send()")).unwrap();
        assert_eq!((live.how, live.position, live.call.as_deref()), (ReplayHow::Live, Some(5), Some("http.send()")));
        let returned = end_of(Outcome::Succeeded(b"[1]".to_vec()), 3, 5, None).unwrap();
        assert_eq!((returned.how, returned.output.unwrap().get()), (ReplayHow::Returned, "[1]"));
    }

    #[test]
    fn calls_are_those_before_the_first_restore_and_those_after_the_checkpoint() {
        let told = |position, resumed_from| -> Vec<Option<u32>> {
            calls(&history(Some(2)), position, resumed_from).iter().map(|call| call.position).collect()
        };
        assert_eq!(told(4, Some(2)), [Some(0), None, Some(2), Some(3)]);
        assert_eq!(told(1, None), [Some(0)], "it has not asked for its state");
    }
}

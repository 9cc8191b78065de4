//! What an answer says besides what was asked for: lines for a person who would otherwise go on under a wrong
//! assumption. Pure; whoever answers knows what to tell.

use std::time::Duration;

use pawl_domain::decision::SignalState;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::pipeline_file::closest;
use pawl_store::inbox::SignalRow;
use pawl_store::live::LiveStep;

use super::problem::followed;

/// A run goes on with its own version of its pipeline, and `current` is another one.
pub(super) fn keeps_pipeline(pipeline: &str, own: Digest, current: Digest) -> Option<String> {
    (own != current).then(|| {
        format!(
            "the run keeps version {} of its pipeline, and {} is the current one: for that, submit anew with `pawl run submit \
             {pipeline}`; `--latest` changes only the components of the steps",
            own.short(),
            current.short()
        )
    })
}

/// A signal lies in the inbox, and the steps that wait now wait for others.
pub(super) fn nobody_awaits(run: RunId, signal: &str, live: &[LiveStep]) -> Option<String> {
    let awaited = awaited(live);
    if awaited.is_empty() || awaited.contains(&signal) {
        return None;
    }
    let told = format!("no step waits for {signal:?} now; {}", wait_for(&[signal], &awaited));
    Some(followed(&told, &format!("`pawl run inbox list {run}` shows what waits for a step")))
}

/// Names among those that lie in an inbox that are told one by one.
const NAMED: usize = 3;

/// Signals lie in the inbox, and the steps that wait now wait for others: one may have a name that is misspelt.
pub(super) fn not_awaited(run: RunId, inbox: &[SignalRow], live: &[LiveStep]) -> Option<String> {
    let awaited = awaited(live);
    let lies_there =
        |signal: &&SignalRow| signal.state == SignalState::InInbox && !awaited.contains(&signal.name.as_str());
    let others: Vec<&SignalRow> = inbox.iter().filter(lies_there).collect();
    let newest = others.last().filter(|_| !awaited.is_empty())?;
    let mut names: Vec<&str> = Vec::new();
    for signal in others.iter().rev() {
        if !names.contains(&&*signal.name) {
            names.push(&signal.name);
        }
    }
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        1 => " and one more name".to_owned(),
        count => format!(" and {count} more names"),
    };
    names.truncate(NAMED);
    let lie = match others.len() {
        1 => "a signal lies in the inbox".to_owned(),
        count => format!("{count} signals lie in the inbox"),
    };
    let told = format!(
        "{lie} for which no step waits now, {}{more} (the newest is number {}); {}",
        quoted(&names),
        newest.number,
        wait_for(&names, &awaited)
    );
    let what_to_do = format!(
        "`pawl run inbox list {run}` shows {}; send it under the other name, and take this one away with \
         `pawl run inbox remove {run} {}`",
        if others.len() == 1 { "it" } else { "them" },
        newest.number
    );
    Some(followed(&told, &what_to_do))
}

/// The names for which steps wait, each once.
fn awaited(live: &[LiveStep]) -> Vec<&str> {
    let mut awaited: Vec<&str> = live.iter().filter_map(|step| step.awaits.as_deref()).collect();
    awaited.sort_unstable();
    awaited.dedup();
    awaited
}

/// What steps wait for, and which of these may have been meant by one of `sent`.
fn wait_for(sent: &[&str], awaited: &[&str]) -> String {
    let meant = sent.iter().find_map(|sent| closest(sent, awaited.iter().copied()));
    let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
    format!("steps of the run wait for {}{meant}", quoted(awaited))
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// The queue is away, which holds up the delivery of steps.
pub(super) fn queue_away(why: &str) -> String {
    format!("{why}: steps that become ready are not delivered until it is back, and nothing is lost")
}

/// A submission has waited for something that `pawl dev` was building.
pub(super) fn waited_for_build(waited: Duration) -> String {
    format!("what has changed was being built: the submission waited for it, {:.1} s", waited.as_secs_f64())
}

/// What the pipeline stands on has changed, and did not build.
pub(super) fn on_version_before(failed: &str) -> String {
    format!("{failed} did not build: the run is on the version before; the output of `pawl dev` says why")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::StepNo;
    use pawl_domain::pipeline::Priority;
    use pawl_domain::status::StepStatus;

    fn awaiting(signal: Option<&str>) -> LiveStep {
        LiveStep {
            no: StepNo(0),
            status: StepStatus::Waiting,
            worker: None,
            lease_end_ms: None,
            due_at_ms: None,
            awaits: signal.map(str::to_owned),
            ready_at_ms: None,
            queue: "default".into(),
            priority: Priority::Normal,
            queue_workers: 1,
            ready_before: 0,
            error: None,
            down: None,
            doing: None,
            now_ms: 0,
        }
    }

    #[test]
    fn a_signal_that_nobody_awaits_is_told_with_those_that_are() {
        let run = RunId(uuid::Uuid::nil());
        let live = [awaiting(Some("approved")), awaiting(None), awaiting(Some("paid")), awaiting(Some("approved"))];
        assert_eq!(nobody_awaits(run, "paid", &live), None);
        assert_eq!(nobody_awaits(run, "aproved", &[awaiting(None)]), None, "nobody waits for any: it may come");
        let told = nobody_awaits(run, "aproved", &live).unwrap();
        let wanted = "no step waits for \"aproved\" now; steps of the run wait for \"approved\", \"paid\"; \
                      did you mean \"approved\"? `pawl run inbox list ";
        assert!(told.starts_with(wanted), "{told}");
    }

    #[test]
    fn what_lies_in_an_inbox_and_nobody_awaits_is_told_with_what_may_have_been_meant() {
        let run = RunId(uuid::Uuid::nil());
        let signal = |number, name: &str, state| SignalRow {
            number,
            name: name.into(),
            key: None,
            size_bytes: 4,
            sent_at_ms: 0,
            state,
            rejected_by: None,
            error: None,
        };
        let lies = |number, name| signal(number, name, SignalState::InInbox);
        let live = [awaiting(Some("approved"))];
        let told = not_awaited(run, &[lies(1, "aproved")], &live).unwrap();
        let wanted = "a signal lies in the inbox for which no step waits now, \"aproved\" (the newest is number 1); steps of \
                      the run wait for \"approved\"; did you mean \"approved\"? `pawl run inbox list ";
        assert!(told.starts_with(wanted) && told.ends_with(&format!("remove {run} 1`")), "{told}");
        let several = [lies(1, "a"), lies(2, "b"), lies(3, "c"), lies(4, "b"), lies(5, "d")];
        let told = not_awaited(run, &several, &live).unwrap();
        assert!(told.starts_with("5 signals lie in the inbox"), "{told}");
        assert!(told.contains("\"d\", \"b\", \"c\" and one more name (the newest is number 5)"), "{told}");
        // One that was rejected is told elsewhere, and one that nobody awaits yet may be awaited.
        assert_eq!(not_awaited(run, &[signal(1, "aproved", SignalState::Rejected)], &live), None);
        assert_eq!(not_awaited(run, &[lies(1, "aproved")], &[awaiting(None)]), None);
    }

    #[test]
    fn a_run_on_an_older_pipeline_is_told_with_both_versions_and_what_to_do() {
        let (own, current) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(keeps_pipeline("hello", own, own), None);
        let told = keeps_pipeline("hello", own, current).unwrap();
        for part in [&*own.short(), &*current.short(), "`pawl run submit hello`", "`--latest` changes only"] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
}

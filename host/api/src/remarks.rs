//! What an answer says besides what was asked for: lines for a person who would otherwise go on under a wrong
//! assumption. Pure; whoever answers knows what to tell.

use std::time::Duration;

use pawl_domain::id::{Digest, RunId};
use pawl_domain::pipeline_file::closest;
use pawl_store::live::LiveStep;

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
    let mut awaited: Vec<&str> = live.iter().filter_map(|step| step.awaits.as_deref()).collect();
    awaited.sort_unstable();
    awaited.dedup();
    if awaited.is_empty() || awaited.contains(&signal) {
        return None;
    }
    let meant = closest(signal, awaited.iter().copied()).map(|meant| format!("; did you mean {meant:?}?"));
    let names: Vec<String> = awaited.iter().map(|name| format!("{name:?}")).collect();
    Some(format!(
        "no step waits for {signal:?} now; steps of the run wait for {}{}; `pawl run inbox list {run}` shows what \
         waits for a step",
        names.join(", "),
        meant.unwrap_or_default()
    ))
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
                      did you mean \"approved\"?; ";
        assert!(told.starts_with(wanted), "{told}");
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

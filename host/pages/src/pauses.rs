//! Pauses, as pages tell them: what waits for the end of one, and who began it.

use axum::http::Method;
use pawl_api::types::{Change, ChangeList, Pause, PausedSteps};
use percent_encoding::percent_decode_str;

use super::times::rough;
use super::visit::Visit;
use super::words::{count, figure};

/// Where it is asked who did what.
const CHANGES: &str = "/v1/audit";

/// A line is written a moment before its change is made, with the clock of another machine. Lines that are looked at.
const AROUND_MS: i64 = 10_000;
const LINES: u32 = 20;

/// `37 steps wait, the oldest for 2 min`; none if it was not counted.
pub(super) fn waits(pause: &Pause, now: i64) -> Option<String> {
    let PausedSteps { steps, more, since_ms } = pause.waiting.as_ref()?;
    let Some(since) = since_ms else { return Some("no step waits".to_owned()) };
    let steps = match more {
        true => format!("{} steps or more wait", figure((*steps).into())),
        false => count((*steps).into(), "step waits", "steps wait"),
    };
    Some(format!("{steps}, the oldest for {}", rough((now - since).max(0))))
}

/// Who paused a queue, for those who may see what others have done; none if it is not known.
pub(super) async fn who_paused_queue(visit: &Visit, queue: &str, pause: &Pause) -> Option<String> {
    who(visit, "pauseQueue", &format!("/v1/queues/{queue}/pause"), pause.since_ms).await
}

/// The same of a pipeline.
pub(super) async fn who_paused_pipeline(visit: &Visit, pipeline: &str, pause: &Pause) -> Option<String> {
    who(visit, "pausePipeline", &format!("/v1/pipelines/{pipeline}/pause"), pause.since_ms).await
}

async fn who(visit: &Visit, what: &str, target: &str, at_ms: i64) -> Option<String> {
    if !visit.may(&Method::GET, CHANGES) {
        return None;
    }
    let (since_ms, until_ms) = (at_ms.saturating_sub(AROUND_MS), at_ms.saturating_add(AROUND_MS));
    let path = format!("{CHANGES}?what={what}&since_ms={since_ms}&until_ms={until_ms}&limit={LINES}");
    let list: ChangeList = visit.read(&path).await.ok()?;
    list.changes.into_iter().find(|change| is_it(change, target)).and_then(|change| change.who)
}

/// Whether a change was made, and is the one of that path; clients write names in it in more than one way.
fn is_it(change: &Change, target: &str) -> bool {
    let path = change.target.split('?').next().unwrap_or_default();
    change.status.is_some_and(|status| (200..300).contains(&status))
        && percent_decode_str(path).decode_utf8_lossy() == target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_end_of_a_pause_is_told_with_its_age() {
        let pause = |waiting| Pause { since_ms: 0, reason: None, waiting };
        let told = |steps, more, since_ms| waits(&pause(Some(PausedSteps { steps, more, since_ms })), 130_000);
        assert_eq!(waits(&pause(None), 0), None);
        assert_eq!(told(0, false, None).as_deref(), Some("no step waits"));
        assert_eq!(told(1, false, Some(10_000)).as_deref(), Some("1 step waits, the oldest for 2 min"));
        assert_eq!(told(10_000, true, Some(0)).as_deref(), Some("10,000 steps or more wait, the oldest for 2 min"));
    }
}

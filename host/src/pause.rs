//! How pauses look to people, whatever is paused.

use pawl_api::types::{Pause, PauseChanged, PausedSteps};

use super::output::{Answer, ago, duration, fields, now_ms};

/// Since when, why, and what waits for its end: for a line, or a cell.
pub(super) fn since_when(pause: &Pause) -> String {
    let mut text = ago(pause.since_ms);
    text.extend(pause.reason.as_ref().map(|reason| format!(": {reason}")));
    text.extend(pause.waiting.as_ref().map(|waiting| format!(" ({})", waits(waiting, now_ms()))));
    text
}

fn waits(waiting: &PausedSteps, now_ms: i64) -> String {
    let Some(since_ms) = waiting.since_ms else { return "no step waits".to_owned() };
    let steps = match (waiting.steps, waiting.more) {
        (steps, true) => format!("{steps} steps or more wait"),
        (1, false) => "one step waits".to_owned(),
        (steps, false) => format!("{steps} steps wait"),
    };
    format!("{steps}, the oldest for {}", duration((now_ms - since_ms).max(0)))
}

impl Answer for PauseChanged {
    fn ids(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn text(&self) -> String {
        match (&self.paused, self.changed) {
            (Some(pause), true) => {
                format!("{} is paused: nothing of it starts until it is unpaused{}", self.name, why(pause))
            }
            (Some(pause), false) => {
                format!("{} was paused before\n{}", self.name, fields(&[("since", since_when(pause))]))
            }
            (None, true) => format!("{} goes on", self.name),
            (None, false) => format!("{} is not paused", self.name),
        }
    }
}

fn why(pause: &Pause) -> String {
    pause.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_with_its_age() {
        for (steps, more, since_ms, told) in [
            (0, false, None, "no step waits"),
            (1, false, Some(1_000), "one step waits, the oldest for 2.0 s"),
            (37, false, Some(1_000), "37 steps wait, the oldest for 2.0 s"),
            (10_000, true, Some(1_000), "10000 steps or more wait, the oldest for 2.0 s"),
        ] {
            assert_eq!(waits(&PausedSteps { steps, more, since_ms }, 3_000), told);
        }
    }
}

//! How pauses look to people, whatever is paused.

use pawl_api::types::{Pause, PauseChanged};

use super::output::{Answer, ago, fields};

/// Since when, and why: for a line, or a cell.
pub(super) fn since_when(pause: &Pause) -> String {
    let since = ago(pause.since_ms);
    pause.reason.as_ref().map_or_else(|| since.clone(), |reason| format!("{since}: {reason}"))
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

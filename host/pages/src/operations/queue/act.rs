//! What is done to a queue: it is paused, and unpaused with a word on what that starts.

use axum::extract::{Path, RawForm};
use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{Pause, PausedSteps, QueueDetail};
use serde_json::{Value, json};

use super::{encoded, page, path};
use crate::forms::Fields;
use crate::panel::{Panel, hidden, line};
use crate::query::Query;
use crate::said;
use crate::visit::Visit;
use crate::words::count;

const PAUSE: &str = "/v1/queues/{queue}/pause";
const UNPAUSE: &str = "/v1/queues/{queue}/unpause";

/// That it was done.
pub(super) fn done(query: &Query, queue: &str) -> Markup {
    let (paused, unpaused) = (format!("{queue} is paused."), format!("{queue} is unpaused."));
    said::done(query, &[("pause", paused.as_str()), ("unpause", unpaused.as_str())])
}

pub(crate) async fn act(visit: Visit, Path(queue): Path<String>, RawForm(form): RawForm) -> Response {
    let fields = Fields::of(&form);
    let (did, route, body) = match fields.said("act") {
        Some("unpause") => ("unpause", UNPAUSE, None),
        _ => ("pause", PAUSE, fields.said("reason").map(|reason| json!({ "reason": reason }))),
    };
    match visit.change::<Value>(Method::POST, &route.replace("{queue}", &encoded(&queue)), body).await {
        Ok(_) => said::go(&path(&queue), did),
        Err(problem) => {
            let sheet = page(&visit, &queue, &said::refused(&problem)).await;
            said::answer(&visit, problem, sheet)
        }
    }
}

/// Its form: to pause it, or to unpause it.
pub(super) fn panels(visit: &Visit, found: &QueueDetail, who: Option<&str>) -> Markup {
    let action = path(&found.queue);
    match &found.paused {
        Some(pause) => {
            let what = unpaused(pause, who);
            let (label, weight) = ("Unpause", "primary");
            Panel { route: (Method::POST, UNPAUSE), action: &action, label, weight, what: &what }
                .with(visit, &hidden("act", "unpause"))
        }
        None => {
            let what =
                "Starts no step of this queue until it is unpaused, whoever serves it. What runs goes on to its end.";
            Panel { route: (Method::POST, PAUSE), action: &action, label: "Pause", weight: "", what }
                .with(visit, &html! { (hidden("act", "pause")) (line("reason", "Reason", false)) })
        }
    }
}

/// What the end of a pause does, and what is to be known before: `11 steps can start at once. Paused by kim: see chat`.
fn unpaused(pause: &Pause, who: Option<&str>) -> String {
    let starts = match &pause.waiting {
        Some(PausedSteps { steps: 1.., more: true, .. }) => "Many steps can start at once".to_owned(),
        Some(PausedSteps { steps: steps @ 1.., .. }) => {
            format!("{} at once", count((*steps).into(), "step can start", "steps can start"))
        }
        _ => "Lets its steps start again".to_owned(),
    };
    match (who, &pause.reason) {
        (Some(who), Some(reason)) => format!("{starts}. Paused by {who}: {reason}"),
        (Some(who), None) => format!("{starts}. Paused by {who}."),
        (None, Some(reason)) => format!("{starts}. Paused: {reason}"),
        (None, None) => format!("{starts}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_pause_is_told_with_what_it_starts_and_why_it_was_paused() {
        let pause = |steps, more, reason: Option<&str>| Pause {
            since_ms: 0,
            reason: reason.map(str::to_owned),
            waiting: Some(PausedSteps { steps, more, since_ms: None }),
        };
        let said = |steps, more, reason, who| unpaused(&pause(steps, more, reason), who);
        assert_eq!(
            said(11, false, Some("see chat"), Some("kim")),
            "11 steps can start at once. Paused by kim: see chat"
        );
        assert_eq!(said(1, false, None, Some("kim")), "1 step can start at once. Paused by kim.");
        assert_eq!(said(10_000, true, None, None), "Many steps can start at once.");
        assert_eq!(said(0, false, Some("see chat"), None), "Lets its steps start again. Paused: see chat");
    }
}

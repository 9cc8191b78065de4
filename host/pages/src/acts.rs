//! What a person can do about a run, as forms: each becomes a request to one route of the API, and is offered to
//! whoever that route is for. A form is folded into its button, and says what it will do before it does it; that needs
//! no script.

use axum::http::Method;
use maud::{Markup, html};
use pawl_api::types::{Because, InboxSignal, Reason, Run, RunStatus, StepStatus, WayOut};
use pawl_domain::id::RunId;

use super::visit::Visit;

/// Something that a person can do.
pub(super) struct Act {
    /// In the path of its form.
    pub(super) name: &'static str,
    /// The API's route.
    pub(super) route: &'static str,
    /// How it is asked.
    how: How,
    /// On its button.
    pub(super) label: &'static str,
    /// What will happen.
    pub(super) what: &'static str,
    /// What has happened.
    done: &'static str,
    /// How much it looks like what is meant: `primary`, `danger`, or neither.
    weight: &'static str,
}

/// The method of a route; a form is sent by `POST` whatever that is.
#[derive(Clone, Copy)]
enum How {
    Post,
    Put,
    Delete,
}

impl Act {
    /// The method of its route.
    pub(super) fn method(&self) -> Method {
        match self.how {
            How::Post => Method::POST,
            How::Put => Method::PUT,
            How::Delete => Method::DELETE,
        }
    }
}

const fn act(
    name: &'static str,
    route: &'static str,
    label: &'static str,
    weight: &'static str,
    what: &'static str,
    done: &'static str,
) -> Act {
    Act { name, route, how: How::Post, label, what, done, weight }
}

pub(super) const RETRY: Act = act(
    "retry",
    "/v1/runs/{run}/retry",
    "Retry",
    "primary",
    "Opens the run again, with all its failed and parked steps, and what was stopped with them. Each goes on from its last \
     checkpoint.",
    "The run is open again.",
);
pub(super) const CANCEL: Act = act(
    "cancel",
    "/v1/runs/{run}/cancel",
    "Cancel",
    "danger",
    "Stops the run. A retry opens it again.",
    "The run is cancelled.",
);
const FAIL: Act = act(
    "fail",
    "/v1/runs/{run}/fail",
    "Fail",
    "danger",
    "Ends the run as failed, with a reason for its history. A retry opens it again.",
    "The run has failed, as you said.",
);
pub(super) const PAUSE: Act = act(
    "pause",
    "/v1/runs/{run}/pause",
    "Pause",
    "",
    "Starts no new step of the run until it is unpaused. What runs goes on to its end; what waits keeps its time.",
    "The run is paused.",
);
pub(super) const UNPAUSE: Act =
    act("unpause", "/v1/runs/{run}/unpause", "Unpause", "primary", "Lets start what is ready.", "The run goes on.");
const RESUME: Act = act(
    "resume",
    "/v1/runs/{run}/resume",
    "Resume",
    "",
    "For a run that nobody moves: what its worker has left is taken over, what is past its time is woken, what is ready is \
     delivered again.",
    "The run was given a push.",
);
const SIGNAL: Act = act(
    "signal",
    "/v1/runs/{run}/signals/{name}",
    "Send signal",
    "primary",
    "Sends a signal with what it carries. Without a step that waits for it, it waits for a step.",
    "The signal is sent.",
);
const RETRY_STEP: Act = act(
    "retry-step",
    "/v1/runs/{run}/steps/{step}/retry",
    "Retry step",
    "primary",
    "Opens this step again: it goes on from its last checkpoint.",
    "The step is open again.",
);
const RESUME_STEP: Act = act(
    "resume-step",
    "/v1/runs/{run}/steps/{step}/resume",
    "Resume step",
    "primary",
    "Lets the parked step go on.",
    "The step goes on.",
);
const SKIP: Act = act(
    "skip",
    "/v1/runs/{run}/steps/{step}/skip",
    "Skip step",
    "",
    "Gives the step the output that it has not got. Those who need it go on with that.",
    "The step has the output that you gave.",
);

const RETURN_SIGNAL: Act = act(
    "return-signal",
    "/v1/runs/{run}/inbox/{number}/return",
    "Return",
    "primary",
    "Puts the signal into the inbox again, as it is: the next step that waits for it takes it.",
    "The signal waits again.",
);
const REPLACE_SIGNAL: Act = Act {
    how: How::Put,
    ..act(
        "replace-signal",
        "/v1/runs/{run}/inbox/{number}",
        "Replace",
        "",
        "Lets the signal carry something else. One that was rejected returns to the inbox.",
        "The signal carries what you gave.",
    )
};
const REMOVE_SIGNAL: Act = Act {
    how: How::Delete,
    ..act(
        "remove-signal",
        "/v1/runs/{run}/inbox/{number}",
        "Take away",
        "danger",
        "Takes the signal away. Its key stays used.",
        "The signal is gone.",
    )
};

/// All of them.
pub(super) const ALL: [&Act; 13] = [
    &RETRY,
    &CANCEL,
    &FAIL,
    &PAUSE,
    &UNPAUSE,
    &RESUME,
    &SIGNAL,
    &RETRY_STEP,
    &RESUME_STEP,
    &SKIP,
    &RETURN_SIGNAL,
    &REPLACE_SIGNAL,
    &REMOVE_SIGNAL,
];

/// What to say after it was done; nothing of what else stands in an address.
pub(super) fn done(name: &str) -> Option<&'static str> {
    ALL.iter().find(|act| act.name == name).map(|act| act.done)
}

/// What can be done about the run as a whole. A signal that a reason asks for is sent there.
pub(super) fn of_run(visit: &Visit, run: &Run, is_signal_awaited: bool) -> Markup {
    let id = run.summary.id;
    let steps: Vec<&str> = run.steps.iter().take(STEPS).map(|step| &*step.name).collect();
    let from = html! {
        label { "From"
            select name="from" {
                option value="" { "where it stopped" }
                @for step in &steps { option value=(step) { "the start of " (step) } }
            }
        }
        (on())
    };
    let nothing = html! {};
    html! {
        @match run.summary.status {
            RunStatus::Failed | RunStatus::Cancelled => (form(visit, id, &RETRY, &from)),
            RunStatus::Succeeded => (form(visit, id, &Act { label: "Do again", weight: "", ..RETRY }, &again(&steps))),
            RunStatus::Pending | RunStatus::Running => {
                @if run.summary.paused.is_some() { (form(visit, id, &UNPAUSE, &nothing)) }
                @else { (form(visit, id, &PAUSE, &line("reason", "Reason", false))) }
                @if !is_signal_awaited { (form(visit, id, &Act { weight: "", ..SIGNAL }, &signal(None))) }
                (form(visit, id, &RESUME, &nothing))
                (form(visit, id, &FAIL, &line("message", "Reason", true)))
                (form(visit, id, &CANCEL, &nothing))
            }
        }
    }
}

/// Steps that a retry may be chosen to begin at.
const STEPS: usize = 40;

fn again(steps: &[&str]) -> Markup {
    html! {
        label { "From the start of" select name="from" required { @for step in steps { option { (step) } } } }
        (on())
    }
}

/// What can be done about one reason.
pub(super) fn of_reason(visit: &Visit, run: &Run, reason: &Reason) -> Markup {
    if reason.because == Because::Signal {
        let step = run.steps.iter().find(|step| step.name == reason.step);
        let awaited = step.and_then(|step| step.awaits.as_deref());
        return html! {
            div class="acts" {
                (form(visit, run.summary.id, &SIGNAL, &signal(awaited)))
                (commands(&reason.ways_out))
            }
        };
    }
    of_step(visit, run.summary.id, &reason.step, reason.status, &reason.ways_out)
}

/// What can be done about a step that stands there.
pub(super) fn of_step(visit: &Visit, run: RunId, step: &str, status: StepStatus, ways_out: &[WayOut]) -> Markup {
    let step = html! { input type="hidden" name="step" value=(step); };
    let skip = html! { (step) (json("output", "Output")) };
    html! {
        div class="acts" {
            @match status {
                StepStatus::Parked => {
                    (form(visit, run, &RESUME_STEP, &html! { (step) (components()) }))
                    (form(visit, run, &SKIP, &skip))
                }
                StepStatus::Failed => {
                    (form(visit, run, &RETRY_STEP, &html! { (step) (on()) }))
                    (form(visit, run, &SKIP, &skip))
                }
                _ => {}
            }
            (commands(ways_out))
        }
    }
}

/// What can be done about a signal that no step has.
pub(super) fn of_signal(visit: &Visit, run: RunId, signal: &InboxSignal) -> Markup {
    let number = html! { input type="hidden" name="number" value=(signal.number); };
    html! {
        div class="acts" {
            @if signal.rejected.is_some() { (form(visit, run, &RETURN_SIGNAL, &number)) }
            (form(visit, run, &REPLACE_SIGNAL, &html! { (number) (json("payload", "What it carries")) }))
            (form(visit, run, &REMOVE_SIGNAL, &number))
        }
    }
}

/// The same for a terminal.
fn commands(ways_out: &[WayOut]) -> Markup {
    html! {
        @if !ways_out.is_empty() {
            details class="act" {
                summary class="quiet" { "As commands" }
                dl class="panel ways" { @for way in ways_out { dt { code data-copy { (way.command) } } dd { (way.what) } } }
            }
        }
    }
}

/// The button of something, with its form in it, for whoever may.
fn form(visit: &Visit, run: RunId, act: &Act, fields: &Markup) -> Markup {
    if !visit.may(&act.method(), act.route) {
        return html! {};
    }
    html! {
        details class="act" name="act" {
            summary class={ "button " (act.weight) } { (act.label) "…" }
            form class="panel" method="post" action={ "/runs/" (run) "/" (act.name) } {
                p { (act.what) }
                (fields)
                button class={ "button " (if act.weight.is_empty() { "primary" } else { act.weight }) } { (act.label) }
            }
        }
    }
}

fn line(name: &str, label: &str, required: bool) -> Markup {
    html! { label { (label) input name=(name) required[required] maxlength="1000" autocomplete="off"; } }
}

fn json(name: &str, label: &str) -> Markup {
    html! { label { (label) ", as JSON" textarea name=(name) rows="3" required spellcheck="false" { "null" } } }
}

fn signal(name: Option<&str>) -> Markup {
    html! {
        label { "Name" input name="name" value=[name] required maxlength="200" autocomplete="off" spellcheck="false"; }
        (json("payload", "What it carries"))
    }
}

/// On which component.
fn on() -> Markup {
    html! {
        label { "On"
            select name="on" {
                option value="pinned" { "the versions that it has" }
                option value="latest" { "the versions that are active now" }
            }
        }
    }
}

fn components() -> Markup {
    html! {
        (on())
        label class="check" {
            input type="checkbox" name="from_checkpoint" value="true";
            " forget what it did after its last checkpoint"
        }
    }
}

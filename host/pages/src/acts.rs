//! What a person can do about a run, as forms: each becomes a request to one route of the API, and is offered to
//! whoever that route is for.

use maud::{Markup, html};
use pawl_api::types::{Because, InboxSignal, Reason, Run, RunStatus, Step, StepStatus, WayOut};
use pawl_domain::id::RunId;

use super::panel::{Panel, hidden, line};
use super::poison;
use super::visit::Visit;
use known::{FAIL, REMOVE_SIGNAL, REPLACE_SIGNAL, RESUME, RESUME_STEP, RETRY_STEP, RETURN_SIGNAL, SIGNAL, SKIP};

mod known;
mod pin;

pub(super) use known::{ALL, Act, CANCEL, PAUSE, RETRY, UNPAUSE};
pub(super) use pin::Versions;

/// What to say after each was done.
pub(super) fn done() -> [(&'static str, &'static str); ALL.len()] {
    ALL.map(|act| (act.name, act.done))
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
pub(super) fn of_reason(visit: &Visit, run: &Run, reason: &Reason, versions: &Versions) -> Markup {
    let step = run.steps.iter().find(|step| step.name == reason.step);
    if reason.because == Because::Signal {
        let awaited = step.and_then(|step| step.awaits.as_deref());
        return html! {
            div class="acts" {
                (form(visit, run.summary.id, &SIGNAL, &signal(awaited)))
                (commands(&reason.ways_out))
            }
        };
    }
    match step {
        Some(step) => of_step(visit, run.summary.id, step, &reason.ways_out, versions),
        None => html! { div class="acts" { (commands(&reason.ways_out)) } },
    }
}

/// What can be done about a step that stands there.
pub(super) fn of_step(visit: &Visit, run: RunId, step: &Step, ways_out: &[WayOut], versions: &Versions) -> Markup {
    let name = hidden("step", &step.name);
    let skip = html! { (name) (json("output", "Output")) };
    let is_poison = poison::is(step);
    html! {
        @if is_poison { (poison::warning("this", Some(step.crashes))) }
        div class="acts" {
            @match step.status {
                StepStatus::Parked => {
                    // What may end another worker is not what is advised.
                    @if is_poison { (form(visit, run, &Act { weight: "primary", ..SKIP }, &skip)) }
                    (form(visit, run, &Act { weight: if is_poison { "" } else { RESUME_STEP.weight }, ..RESUME_STEP }, &html! {
                        (name) (versions.choice(step)) (from_checkpoint())
                    }))
                    @if !is_poison { (form(visit, run, &SKIP, &skip)) }
                }
                StepStatus::Failed => {
                    (form(visit, run, &RETRY_STEP, &html! { (name) (on()) }))
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
    let number = hidden("number", &signal.number.to_string());
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

/// The form of something.
fn form(visit: &Visit, run: RunId, act: &Act, fields: &Markup) -> Markup {
    let action = format!("/runs/{run}/{}", act.name);
    let route = (act.method(), act.route);
    Panel { route, action: &action, label: act.label, weight: act.weight, what: act.what }.with(visit, fields)
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

fn from_checkpoint() -> Markup {
    html! {
        label class="check" {
            input type="checkbox" name="from_checkpoint" value="true";
            " forget what it did after its last checkpoint"
        }
    }
}

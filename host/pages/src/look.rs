//! How states look: each has a colour and a shape, so that whoever does not tell colours apart tells states apart. One
//! list for chips, graphs and timelines.

use maud::{Markup, html};
use pawl_api::types::{Because, RunStatus, RunSummary, Standing, StepStatus};

/// A way to look: class of the stylesheet, shape of the sprite, word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Look {
    /// The colour's class.
    pub(super) class: &'static str,
    /// The shape's id.
    pub(super) shape: &'static str,
    /// What is said.
    pub(super) word: &'static str,
}

const fn look(class: &'static str, shape: &'static str, word: &'static str) -> Look {
    Look { class, shape, word }
}

/// A step of a run waits for a person, or the run stands still.
pub(super) const PARKED: Look = look("warn", "s-warn", "parked");
/// It has failed for good.
pub(super) const FAILED: Look = look("bad", "s-bad", "failed");
/// A person has paused it.
pub(super) const PAUSED: Look = look("wait", "s-pause", "paused");
/// Something that has no trouble.
pub(super) const GOOD: Look = look("ok", "s-ok", "good");
/// Something that is down or dead.
pub(super) const BAD: Look = look("bad", "s-bad", "bad");

/// The version that counts now.
pub(super) const CURRENT: Look = look("ok", "s-ok", "current");

/// How a version of a plugin looks, by what keeps it.
pub(super) fn of_standing(standing: Standing) -> Look {
    match standing {
        Standing::Active => look("ok", "s-ok", "active"),
        Standing::Named => look("wait", "s-dot", "named by a pipeline"),
        Standing::Open => look("run", "s-run", "in use"),
        Standing::History => look("idle", "s-ring", "was active"),
        Standing::Unused => look("idle", "s-bar", "unused"),
    }
}

/// How a run looks: what a person has to do comes before what it does.
pub(super) fn of_run(run: &RunSummary) -> Look {
    match run.status {
        _ if run.parked => PARKED,
        _ if run.paused.is_some() => PAUSED,
        RunStatus::Pending => look("idle", "s-ring", "pending"),
        RunStatus::Running => look("run", "s-run", "running"),
        RunStatus::Succeeded => look("ok", "s-ok", "succeeded"),
        RunStatus::Failed => look("bad", "s-bad", "failed"),
        RunStatus::Cancelled => look("idle", "s-bar", "cancelled"),
    }
}

/// How a run looks that has not ended, by what its first step waits for.
pub(super) fn of_reason(because: Because) -> Look {
    match because {
        Because::Lease => look("run", "s-run", "running"),
        Because::ExpiredLease | Because::Person => PARKED,
        Because::Queue => look("idle", "s-ring", "ready"),
        Because::Paused => PAUSED,
        Because::Due | Because::Circuit | Because::Secret | Because::Version | Because::Signal => {
            look("wait", "s-wait", "waiting")
        }
        Because::Failing | Because::Failed => look("bad", "s-bad", "failed"),
    }
}

/// How a step looks.
pub(super) fn of_step(status: StepStatus) -> Look {
    match status {
        StepStatus::Blocked => look("idle", "s-dot", "blocked"),
        StepStatus::Ready => look("idle", "s-ring", "ready"),
        StepStatus::Running => look("run", "s-run", "running"),
        StepStatus::Waiting => look("wait", "s-wait", "waiting"),
        StepStatus::Parked => PARKED,
        StepStatus::Succeeded => look("ok", "s-ok", "succeeded"),
        StepStatus::Failed => look("bad", "s-bad", "failed"),
        StepStatus::Cancelled => look("idle", "s-bar", "cancelled"),
        StepStatus::Skipped => look("idle", "s-skip", "skipped"),
    }
}

impl Look {
    /// The shape alone, for those who see it; the word stands beside it.
    pub(super) fn icon(self) -> Markup {
        html! { svg class={ "i " (self.class) } aria-hidden="true" { use href={ "#" (self.shape) } {} } }
    }

    /// Shape and word.
    pub(super) fn chip(self) -> Markup {
        html! { span class={ "chip " (self.class) } { (self.icon()) (self.word) } }
    }
}

/// The shapes, in a square of 12.
pub(super) struct Shapes(&'static [(&'static str, &'static str)]);

pub(super) const SHAPES: Shapes = Shapes(&[
    ("s-ok", "M2 6.3l2.7 2.7L10 3.4"),
    ("s-bad", "M3 3l6 6M9 3l-6 6"),
    ("s-warn", "M6 1.8l4.7 8.4H1.3zM6 5v2.2M6 8.6v.2"),
    ("s-run", "M6 1.5a4.5 4.5 0 1 1-4.5 4.5M6 4.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 1 1 0-3.6"),
    ("s-wait", "M3 1.8h6L3 10.2h6z"),
    ("s-ring", "M6 2a4 4 0 1 1 0 8 4 4 0 1 1 0-8"),
    ("s-dot", "M6 4.6a1.4 1.4 0 1 1 0 2.8 1.4 1.4 0 1 1 0-2.8"),
    ("s-bar", "M2 6h8"),
    ("s-skip", "M2.5 3l3 3-3 3M6.5 3l3 3-3 3"),
    ("s-pause", "M4 2.5v7M8 2.5v7"),
]);

impl Shapes {
    /// All of them, to be used by their ids.
    pub(super) fn sprite(&self) -> Markup {
        html! {
            svg class="unseen" aria-hidden="true" {
                @for (id, path) in self.0 { symbol id=(id) viewBox="0 0 12 12" { path d=(path) {} } }
            }
        }
    }
}

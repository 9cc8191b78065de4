//! What a person has paused: which queue or pipeline, since when, why, by whom, and what waits for its end. It leads to where
//! it is unpaused.

use futures_util::future::join_all;
use maud::{Markup, html};
use pawl_api::types::{Pause, PipelineList, QueueList};

use super::needs::more;
use crate::look;
use crate::operations::queue;
use crate::pauses::{waits, who_paused_pipeline, who_paused_queue};
use crate::pipelines;
use crate::times::ago;
use crate::visit::Visit;
use crate::words::{cut, name};

/// Those that are told, and letters of a reason.
const ROWS: usize = 6;
const REASON: usize = 140;

/// What is paused, the longest first.
#[derive(Default)]
pub(super) struct AllPaused {
    told: Vec<Paused>,
    /// How many there are besides.
    rest: usize,
}

struct Paused {
    /// `queue` or `pipeline`.
    kind: &'static str,
    name: String,
    pause: Pause,
    who: Option<String>,
}

impl AllPaused {
    pub(super) async fn of(visit: &Visit, queues: Option<&QueueList>, pipelines: Option<&PipelineList>) -> Self {
        let queues = queues.into_iter().flat_map(|list| &list.paused);
        let queues = queues.map(|it| ("queue", it.queue.clone(), it.pause.clone()));
        let pipelines = pipelines.into_iter().flat_map(|list| &list.pipelines);
        let pipelines = pipelines.filter_map(|it| Some(("pipeline", it.name.clone(), it.paused.clone()?)));
        let mut all: Vec<(&'static str, String, Pause)> = queues.chain(pipelines).collect();
        all.sort_by_key(|(_, _, pause)| pause.since_ms);
        let rest = all.len().saturating_sub(ROWS);
        all.truncate(ROWS);
        let told = all.into_iter().map(|(kind, name, pause)| async move {
            let who = match kind {
                "queue" => who_paused_queue(visit, &name, &pause).await,
                _ => who_paused_pipeline(visit, &name, &pause).await,
            };
            Paused { kind, name, pause, who }
        });
        Self { told: join_all(told).await, rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(super) fn rows(&self, now: i64) -> Markup {
        html! {
            @for paused in &self.told { (row(paused, now)) }
            (more("/queues", self.rest, "pause", "pauses"))
        }
    }
}

fn row(paused: &Paused, now: i64) -> Markup {
    let path = match paused.kind {
        "queue" => queue::path(&paused.name),
        _ => pipelines::path(&paused.name),
    };
    html! {
        li {
            (look::PAUSED.icon())
            p {
                "The " (paused.kind) " " a class="row" href=(path) { strong { (name(&paused.name)) } } " is paused"
                @if let Some(who) = &paused.who { " by " (name(who)) }
                @if let Some(reason) = &paused.pause.reason { ": " (cut(reason, REASON)) }
                @if let Some(waits) = waits(&paused.pause, now) { span class="muted" { "; " (waits) } }
            }
            span class="since" { (ago(paused.pause.since_ms, now)) }
        }
    }
}

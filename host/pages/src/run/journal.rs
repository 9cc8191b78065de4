//! What a step has recorded since its last checkpoint: each call with its answer, as a replay would answer it again.

use maud::{Markup, html};
use pawl_api::types::{Problem, Step, StepJournal};
use pawl_domain::replay::tell;

use crate::rows::columns;
use crate::visit::Visit;
use crate::words::{count, cut, figure, prose};

/// Entries that are read for a page, and those that are shown, the last ones.
const READ: u32 = 5_000;
const SHOWN: usize = 80;

/// Letters of a call, and of an answer.
const TEXT: usize = 200;

/// The table, or why there is none. `at` is the step's route.
pub(super) async fn table(visit: &Visit, at: &str, step: &Step) -> Markup {
    let since = step.journal_length.saturating_sub(step.checkpoint_position.unwrap_or(0));
    if step.journal_length == 0 {
        return html! { p class="muted" { "It has recorded nothing so far." } };
    }
    if since > READ {
        return html! {
            (about(step))
            p class="muted" { (figure(since.into())) " entries since its checkpoint are too many to be shown." }
        };
    }
    match visit.read::<StepJournal>(&format!("{at}/journal")).await.and_then(|journal| entries(&journal)) {
        Ok(entries) => html! { (about(step)) (entries) },
        Err(problem) => html! { p class="muted" { (prose(&problem.detail)) } },
    }
}

fn about(step: &Step) -> Markup {
    let length = count(step.journal_length.into(), "entry", "entries");
    html! {
        p class="muted" {
            (length)
            @match step.checkpoint_position {
                Some(position) => { "; a replacement goes on from the checkpoint at " (position) ", and is answered what follows" },
                None => { ", no checkpoint: a replacement begins at the start, and is answered from here" },
            }
        }
    }
}

const COLUMNS: [(&str, &str); 3] = [("At", "num"), ("Call", ""), ("Answer", "")];

fn entries(journal: &StepJournal) -> Result<Markup, Problem> {
    let history = journal.history().map_err(|error| Problem::bad_request(error.to_string()))?;
    let signal = |position: u32| history.signals.iter().find(|(at, _)| *at == position).map(|(_, payload)| &**payload);
    let all: Vec<_> = history.segments.iter().flat_map(|(first, entries)| (*first..).zip(entries)).collect();
    let shown = &all[all.len().saturating_sub(SHOWN)..];
    Ok(html! {
        table class="rows log" {
            (columns(&COLUMNS))
            tbody {
                @for (position, entry) in shown {
                    @let told = tell(entry, signal(*position));
                    tr {
                        td class="num muted" { (position) }
                        td { (cut(&told.call, TEXT)) }
                        td class="line" { (cut(&told.answer, TEXT)) }
                    }
                }
            }
        }
        @if shown.len() < all.len() {
            p class="muted" { "The last " (SHOWN) " of " (count(all.len() as u64, "entry", "entries")) "." }
        }
    })
}

//! What a step has recorded since its last checkpoint: each call with its answer, as a replay would answer it again, and the
//! way to a replay that stops there; what the checkpoint holds; and what has left.

use std::borrow::Cow;

use maud::{Markup, html};
use pawl_api::types::{Problem, SavedState, Step, StepJournal};
use pawl_domain::journal::{Entry, History, pack};
use pawl_domain::replay::tell;

use super::effects;
use crate::frame::part;
use crate::json;
use crate::rows::columns;
use crate::times::iso;
use crate::visit::Visit;
use crate::words::{count, cut, figure, prose};

/// Entries that are read for a page, and those that are shown, the last ones.
const READ: u32 = 5_000;
const SHOWN: usize = 80;

/// Letters of a call, and of an answer; of a checkpoint that is text.
const TEXT: usize = 200;
const STATE: usize = 1_000;

/// The parts of a page that are about it. `at` is the step's route, `page` the path of its page.
pub(super) async fn parts(visit: &Visit, at: &str, page: &str, step: &Step) -> Markup {
    let whole = |inside: &Markup| part("journal", "Journal", &html! { (about(step)) (inside) });
    let since = step.journal_length.saturating_sub(step.checkpoint_position.unwrap_or(0));
    if step.journal_length == 0 {
        return part(
            "journal",
            "Journal",
            &html! {
                p class="muted" { "It has recorded nothing so far." }
                @if step.component.is_some() { (to_replay(page)) }
            },
        );
    }
    if since > READ {
        return whole(&html! {
            p class="muted" { (figure(since.into())) " entries since its checkpoint are too many to be shown." }
        });
    }
    let read = visit.read::<StepJournal>(&format!("{at}/journal")).await;
    let read = read.and_then(|journal| Ok((history_of(&journal)?, journal)));
    match read {
        Ok((history, journal)) => {
            let all: Vec<(u32, &Entry)> =
                history.segments.iter().flat_map(|(first, entries)| (*first..).zip(entries)).collect();
            let left = effects::of(&all);
            html! {
                (whole(&entries(page, &history, &all)))
                @if left.is_empty() { div id="effects" data-live {} } @else { (part("effects", "Effects", &effects::table(&left))) }
                @match &journal.checkpoint {
                    Some(saved) => (part("checkpoint", "Checkpoint", &checkpoint(saved))),
                    None => div id="checkpoint" data-live {},
                }
            }
        }
        Err(problem) => whole(&html! { p class="muted" { (prose(&problem.detail)) } }),
    }
}

fn history_of(journal: &StepJournal) -> Result<History, Problem> {
    journal.history().map_err(|error| Problem::bad_request(error.to_string()))
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

const COLUMNS: [(&str, &str); 5] =
    [("At", "num"), ("Call", ""), ("Answer", ""), ("Bytes", "num wide"), ("Replay", "num")];

fn entries(page: &str, history: &History, all: &[(u32, &Entry)]) -> Markup {
    let signal = |position: u32| history.signals.iter().find(|(at, _)| *at == position).map(|(_, payload)| &**payload);
    let from = history.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.position);
    let shown = &all[all.len().saturating_sub(SHOWN)..];
    html! {
        @if shown.len() < all.len() {
            p class="muted" { "The last " (SHOWN) " of " (count(all.len() as u64, "entry", "entries")) "." }
        }
        table class="rows log" {
            (columns(&COLUMNS))
            tbody {
                @for (position, entry) in shown {
                    @let told = tell(entry, signal(*position));
                    tr {
                        td class="num muted" { (position) }
                        td { (cut(&told.call, TEXT)) }
                        td class="line" { (cut(&answer(&told.call, &told.answer), TEXT)) }
                        td class="num wide muted" { (figure(pack(std::slice::from_ref(*entry)).len() as u64 - 1)) }
                        td class="num" {
                            @if *position >= from {
                                a href={ (page) "/replay?to=" (position) } aria-label={ "Replay to entry " (position) } { "to here" }
                            }
                        }
                    }
                }
            }
        }
        (to_replay(page))
    }
}

fn to_replay(page: &str) -> Markup {
    html! { p class="more" { a class="button" href={ (page) "/replay" } { "Replay" } } }
}

/// An answer as people read it: a reading of the clock as a time.
pub(super) fn answer<'a>(call: &str, answer: &'a str) -> Cow<'a, str> {
    let read = answer.strip_suffix(" ns").filter(|_| call == "durable.now()").and_then(|ns| ns.parse::<i64>().ok());
    read.map_or(Cow::Borrowed(answer), |ns| iso(ns / 1_000_000).into())
}

/// What a replacement is given back.
fn checkpoint(saved: &SavedState) -> Markup {
    let bytes = saved.state.len() as u64;
    let folded = json::folded(&saved.state);
    let text = std::str::from_utf8(&saved.state).ok().filter(|text| !text.contains('\0'));
    html! {
        p class="muted" { "Number " (saved.ordinal) ", at entry " (saved.position) ", " (figure(bytes)) " bytes." }
        @match (folded, text) {
            (Some(folded), _) => (folded),
            (None, Some(text)) if !text.is_empty() => pre { code { (cut(text, STATE)) } },
            _ => {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_of_the_clock_is_a_time_and_nothing_else_is() {
        assert_eq!(answer("durable.now()", "1796019358123000000 ns"), "2026-11-30T06:15:58.123Z");
        assert_eq!(answer("note: the guest's own clock at the checkpoint", "7 ns"), "7 ns");
        assert_eq!(answer("durable.now()", "x ns"), "x ns");
    }
}

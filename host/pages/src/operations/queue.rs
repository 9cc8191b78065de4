//! A queue: its three streams, who reads them, which messages are pending and since when; and whether it is paused.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{PendingMessage, Problem, QueueDetail, QueueReader, QueueStream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{row, sheet};
use crate::frame::{Sheet, part};
use crate::look::{self, Look};
use crate::pauses::{waits, who_paused_queue};
use crate::query::Query;
use crate::rows::columns;
use crate::times::{ago, now_ms, rough};
use crate::visit::Visit;
use crate::words::{count, figure, name};

pub(crate) use act::act;

mod act;

/// Where a queue's page is.
pub(crate) fn path(queue: &str) -> String {
    format!("/queues/{}", encoded(queue))
}

fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

pub(crate) async fn show(visit: Visit, Path(queue): Path<String>, query: Query) -> Response {
    visit.answer(page(&visit, &queue, &act::done(&query, &queue)).await)
}

async fn page(visit: &Visit, queue: &str, note: &Markup) -> Result<Sheet, Problem> {
    let found: QueueDetail = visit.read(&format!("/v1/queues/{}", encoded(queue))).await?;
    let who = match &found.paused {
        Some(pause) => who_paused_queue(visit, &found.queue, pause).await,
        None => None,
    };
    let now = now_ms();
    let main = html! {
        p class="crumbs" { a href="/queues" { "Queues" } }
        div class="head" id="head" data-live {
            h1 { (found.queue) }
            @if found.paused.is_some() { (look::PAUSED.chip()) }
            (facts(&found, who.as_deref(), now))
        }
        (row(visit, "/queues"))
        (note)
        div class="acts" id="acts" data-live { (act::panels(visit, &found, who.as_deref())) }
        (part("streams", "Streams", &streams(&found.streams, now)))
        (part("readers", "Readers", &readers(&found)))
        (part("pending", "Delivered and not done, the longest", &pending(&found)))
    };
    Ok(sheet(format!("Queue {}", found.queue), main))
}

fn facts(found: &QueueDetail, who: Option<&str>, now: i64) -> Markup {
    html! {
        dl class="facts" {
            div { dt { "Served by" } dd { (count(found.workers.len() as u64, "worker", "workers")) } }
            div { dt { "Oldest ready step" } dd { (found.oldest_ready_ms.map_or_else(|| "none".to_owned(), told)) } }
            @if let Some(paused) = &found.paused {
                div {
                    dt { "Paused" }
                    dd {
                        (ago(paused.since_ms, now))
                        @if let Some(who) = who { " by " (name(who)) }
                        @if let Some(reason) = &paused.reason { ": " (reason) }
                    }
                }
                @if let Some(waits) = waits(paused, now) { div { dt { "Behind the pause" } dd { (waits) } } }
            }
        }
        @if found.workers.is_empty() && found.oldest_ready_ms.is_some() {
            p class="note warn" {
                (look::PARKED.icon())
                span { "No worker serves it: " code data-copy { "pawl worker --queues " (found.queue) } }
            }
        }
    }
}

fn told(ms: u64) -> String {
    format!("for {}", rough(i64::try_from(ms).unwrap_or(i64::MAX)))
}

fn streams(streams: &[QueueStream], now: i64) -> Markup {
    html! {
        table class="rows" {
            (columns(&[("Priority", ""), ("Messages", "num"), ("In hand", "num"), ("Oldest unread", "num"), ("Ever put in", "num wide")]))
            tbody {
                @for QueueStream { stream, repeated, readers, .. } in streams {
                    @let left = left_behind(readers).min(stream.pending);
                    tr {
                        th scope="row" {
                            (stream.priority.as_str())
                            @if *repeated > 0 { " " span class="muted" { (figure(*repeated)) " delivered again" } }
                            @if left > 0 { " " span class="muted" { (figure(left)) " left by workers that are gone" } }
                        }
                        td class="num" { (figure(stream.depth)) }
                        td class="num" { (figure(stream.pending - left)) }
                        td class="num" {
                            @if let Some(at) = stream.oldest_unread_at_ms { (rough((now - at).max(0))) } @else { "–" }
                        }
                        td class="num wide" { @if stream.added > 0 { (figure(stream.added)) } @else { "–" } }
                    }
                }
            }
        }
    }
}

/// Messages that were delivered to workers that are gone: nobody has them in hand until another takes them over.
fn left_behind(readers: &[QueueReader]) -> u64 {
    readers.iter().filter(|reader| !reader.alive).map(|reader| reader.pending).sum()
}

fn readers(found: &QueueDetail) -> Markup {
    let all: Vec<(&QueueStream, &QueueReader)> =
        found.streams.iter().flat_map(|stream| stream.readers.iter().map(move |reader| (stream, reader))).collect();
    html! {
        @if all.is_empty() { p class="muted" { "Nobody has read from it." } } @else {
            table class="rows" {
                (columns(&[("State", ""), ("Worker", ""), ("Stream", "wide"), ("In hand", "num"), ("Last read", "num")]))
                tbody { @for (stream, reader) in all { (reader_row(stream, reader)) } }
            }
        }
    }
}

fn reader_row(stream: &QueueStream, reader: &QueueReader) -> Markup {
    let state = if reader.alive { Look { word: "alive", ..look::GOOD } } else { Look { word: "gone", ..look::BAD } };
    html! {
        tr {
            td { (state.chip()) }
            th scope="row" {
                @if reader.alive { a class="row" href={ "/workers/" (encoded(&reader.name)) } { code class="id" { (reader.name) } } }
                @else { code class="id" { (reader.name) } }
            }
            td class="wide" { (stream.stream.priority.as_str()) }
            td class="num" {
                @if reader.alive { (figure(reader.pending)) }
                @else if reader.pending > 0 { span class="muted" { (figure(reader.pending)) " left" } } @else { "–" }
            }
            td class="num" { (rough(i64::try_from(reader.idle_ms).unwrap_or(i64::MAX))) " ago" }
        }
    }
}

fn pending(found: &QueueDetail) -> Markup {
    let mut all: Vec<&PendingMessage> = found.streams.iter().flat_map(|stream| &stream.oldest_pending).collect();
    all.sort_by_key(|message| std::cmp::Reverse(message.idle_ms));
    let readers = || found.streams.iter().flat_map(|stream| &stream.readers);
    let is_gone = |name: &str| readers().any(|reader| reader.name == name && !reader.alive);
    html! {
        @if all.is_empty() { p class="muted" { "No message was delivered and is not done." } } @else {
            table class="rows" {
                (columns(&[("Step", ""), ("Run", "wide"), ("Worker", "wide"), ("Since", "num")]))
                tbody {
                    @for message in all {
                        tr {
                            th scope="row" {
                                @match (message.run, &message.step) {
                                    (Some(run), Some(step)) => a class="row" href={ "/runs/" (run) "/steps/" (encoded(step)) } { (name(step)) },
                                    _ => span class="muted" { "a run that is gone" },
                                }
                            }
                            td class="wide" { @if let Some(run) = message.run { code class="id" { (run) } } }
                            td class="wide" {
                                code class="id" title=(message.reader) { (message.reader.get(28..).unwrap_or(&message.reader)) }
                                @if is_gone(&message.reader) { " " span class="muted" { "is gone" } }
                            }
                            td class="num" { (rough(i64::try_from(message.idle_ms).unwrap_or(i64::MAX))) " ago" }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_readers_have_that_are_gone_is_left_behind() {
        let reader = |alive, pending| QueueReader { name: "w".to_owned(), alive, pending, idle_ms: 1 };
        assert_eq!(left_behind(&[reader(true, 3), reader(false, 2), reader(false, 1)]), 3);
        assert!(reader_row_of(&reader(false, 2)).contains("2 left"));
        assert!(reader_row_of(&reader(true, 2)).contains("<td class=\"num\">2</td>"));
    }

    fn reader_row_of(reader: &QueueReader) -> String {
        let stream = serde_json::from_value(json!({
            "queue": "gpu", "priority": "normal", "depth": 3, "pending": 3, "consumers": 1, "readers": [], "oldest_pending": [],
        }));
        reader_row(&stream.unwrap(), reader).into_string()
    }
}

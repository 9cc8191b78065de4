//! A list of runs to take along: a line of JSON for each, as `GET /v1/runs` tells it, while it is read page by page.

use std::collections::VecDeque;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use pawl_api::types::{Problem, RunList};
use serde_json::json;

use super::filter::Filter;
use crate::frame;
use crate::query::Query;
use crate::times::now_ms;
use crate::visit::Visit;

/// Runs in one piece, pieces that are asked for, and runs of an export at most.
const PIECE: u32 = 1_000;
const PIECES: usize = 100;
const MOST: usize = 10_000;

pub(crate) async fn export(visit: Visit, query: Query) -> Response {
    let filter = Filter::of(&query);
    let first: Result<RunList, Problem> = visit.read(&filter.question(PIECE, now_ms())).await;
    // What is wrong is said before the first line.
    let first = match first {
        Ok(first) => first,
        Err(problem) => return frame::trouble(Some(&visit), &problem),
    };
    let reading = Reading { visit, filter, ready: VecDeque::from([first]), told: 0, pieces: 1, since_ms: now_ms() };
    let lines = futures_util::stream::unfold(Some(reading), |reading| async move { reading?.next().await });
    let head = [(CONTENT_TYPE, "application/x-ndjson"), (CONTENT_DISPOSITION, "attachment; filename=\"runs.jsonl\"")];
    (head, Body::from_stream(lines)).into_response()
}

/// An export that is under way.
struct Reading {
    visit: Visit,
    filter: Filter,
    /// What was read and is not yet told.
    ready: VecDeque<RunList>,
    told: usize,
    pieces: usize,
    /// Spans of time end when it began.
    since_ms: i64,
}

type Piece = Result<Vec<u8>, std::io::Error>;

impl Reading {
    /// The next lines, and what is left to read; the last line says where it goes on, if it does.
    async fn next(mut self) -> Option<(Piece, Option<Self>)> {
        let list = match self.ready.pop_front() {
            Some(list) => list,
            None => match self.visit.read::<RunList>(&self.filter.question(PIECE, self.since_ms)).await {
                Ok(list) => list,
                // The download breaks off: what is there is not all.
                Err(problem) => return Some((Err(std::io::Error::other(problem.detail)), None)),
            },
        };
        self.told += list.runs.len();
        self.pieces += 1;
        let is_over = list.next.is_none() || self.told >= MOST || self.pieces > PIECES;
        let lines = lines(&list, is_over);
        self.filter.before = list.next;
        Some((Ok(lines), (!is_over).then_some(self)))
    }
}

/// A line for each run; behind the last one what is left, if there is more.
fn lines(list: &RunList, is_over: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for run in &list.runs {
        lines.extend(serde_json::to_vec(run).unwrap_or_default());
        lines.push(b'\n');
    }
    if let Some(next) = list.next.as_ref().filter(|_| is_over) {
        lines.extend(json!({ "next": next }).to_string().as_bytes());
        lines.push(b'\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_the_last_line_alone() {
        let list = |next: Option<&str>| RunList {
            runs: Vec::new(),
            next: next.map(str::to_owned),
            looked_at: None,
            looked_to_ms: None,
        };
        assert_eq!(lines(&list(Some("x")), false), b"");
        assert_eq!(lines(&list(Some("x")), true), b"{\"next\":\"x\"}\n");
        assert_eq!(lines(&list(None), true), b"");
    }
}

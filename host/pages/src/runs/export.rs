//! A list of runs to take along, as `GET /v1/runs` tells them.

use axum::response::Response;
use pawl_api::types::{RunList, RunSummary};

use super::filter::Filter;
use crate::export::{Listed, PIECE, answer};
use crate::query::Query;
use crate::times::now_ms;
use crate::visit::Visit;

pub(crate) async fn export(visit: Visit, query: Query) -> Response {
    // Spans of time end when it began.
    let (filter, since_ms) = (Filter::of(&query), now_ms());
    let question = move |before: Option<&str>| match before {
        Some(_) => filter.going_on(before).question(PIECE, since_ms),
        None => filter.question(PIECE, since_ms),
    };
    answer::<RunList>(visit, "runs.jsonl", question).await
}

impl Listed for RunList {
    type Item = RunSummary;
    type Place = String;

    fn items(&self) -> &[RunSummary] {
        &self.runs
    }

    fn next(&self) -> Option<&String> {
        self.next.as_ref()
    }
}

//! What waits, over HTTP: steps that nobody executes until a signal comes, or a time.

use axum::Json;
use pawl_store::waits::{self, WaitPlace, WaitRow};
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::Result;
use super::request::Params;
use super::state::{AppState, step_name};
use super::types::{Problem, Wait, WaitKind, WaitList, WaitsFor};
use super::whose::Scoped;

/// Steps on a page, unless the client says otherwise.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 500;

/// How a place is written: run, number of the step, and what the list is in order of.
const PLACE: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}/[0-9]{1,9}/[0-9a-f]*$";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// What waits for a signal, or what goes on at a time; the former, if nothing is said.
    kind: Option<WaitKind>,
    /// Only those after this one: the `next` of the page before.
    #[schemars(extend("pattern" = PLACE))]
    after: Option<String>,
    /// At most so many; 50, if nothing is said, and never more than 500.
    limit: Option<u32>,
}

pub(super) async fn list(Scoped(state): Scoped, Params(params): Params<ListParams>) -> Result<Json<WaitList>> {
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
    let after = params.after.map(|text| text.parse::<WaitPlace>()).transpose();
    let after = after.map_err(|error| Problem::bad_request(format!("`after` is wrong: {error}")))?;
    let kind = match params.kind.unwrap_or(WaitKind::Signal) {
        WaitKind::Signal => waits::WaitKind::Signal,
        WaitKind::Time => waits::WaitKind::Time,
    };
    let page = state.store.waits(&state.namespace, kind, after, limit).await?;
    let mut found = Vec::with_capacity(page.rows.len());
    for row in page.rows {
        found.push(named(&state, row).await?);
    }
    Ok(Json(WaitList { waits: found, next: page.next.map(|place| place.to_string()) }))
}

async fn named(state: &AppState, row: WaitRow) -> Result<Wait> {
    let pipeline = state.pipeline(row.pipeline_digest).await?;
    Ok(Wait {
        run: row.step.run,
        step: step_name(&pipeline, row.step.step),
        waits_for: waits_for(&row),
        until_ms: row.due_us.map(|us| us / 1_000),
        pipeline: row.pipeline,
        signal: row.signal,
        origin: row.origin,
        failures: row.failures,
    })
}

fn waits_for(row: &WaitRow) -> WaitsFor {
    match row {
        WaitRow { signal: Some(_), .. } => WaitsFor::Signal,
        WaitRow { origin: Some(_), .. } => WaitsFor::Circuit,
        WaitRow { has_asked: true, .. } => WaitsFor::Time,
        _ => WaitsFor::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{Digest, RunId, StepId, StepNo};

    #[test]
    fn what_a_step_waits_for_is_told_by_what_would_wake_it() {
        let row = WaitRow {
            step: StepId { run: RunId::new(), step: StepNo(0) },
            namespace: Default::default(),
            pipeline: "orders".into(),
            pipeline_digest: Digest::of(b""),
            waits: true,
            has_asked: false,
            signal: None,
            due_us: Some(1),
            failures: 1,
            origin: None,
        };
        assert_eq!(waits_for(&row), WaitsFor::Retry);
        let asleep = WaitRow { has_asked: true, ..row.clone() };
        assert_eq!(waits_for(&asleep), WaitsFor::Time);
        assert_eq!(waits_for(&WaitRow { signal: Some("go".into()), ..asleep }), WaitsFor::Signal);
        assert_eq!(waits_for(&WaitRow { origin: Some("http://pay:80".into()), ..row }), WaitsFor::Circuit);
    }
}

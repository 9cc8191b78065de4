//! Incidents over HTTP: what happened to the whole installation.

use std::time::Duration;

use axum::Json;
use pawl_store::incidents::{IncidentFilter, IncidentRow};
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::Result;
use super::request::Params;
use super::types::{Incident, IncidentKind, IncidentList};
use super::whose::Scoped;

/// Incidents on a page, unless the client says otherwise.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only of this kind.
    kind: Option<IncidentKind>,
    /// Only those that last, or have ended within so many ms.
    within_ms: Option<u64>,
    /// Only those before this one: the `next` of the page before.
    before: Option<u64>,
    /// At most so many; 50, if nothing is said, and never more than 1,000.
    limit: Option<u32>,
}

pub(super) async fn list(Scoped(state): Scoped, Params(params): Params<ListParams>) -> Result<Json<IncidentList>> {
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let filter = IncidentFilter {
        namespace: &state.namespace,
        kind: params.kind,
        within: params.within_ms.map(Duration::from_millis),
        before: params.before.map(|id| i64::try_from(id).unwrap_or(i64::MAX)),
        limit: limit + 1,
    };
    let mut rows = state.store.incidents(filter).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id);
    Ok(Json(IncidentList { incidents: rows.into_iter().map(Incident::from).collect(), next }))
}

impl From<IncidentRow> for Incident {
    fn from(row: IncidentRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            subject: row.subject,
            detail: row.detail,
            steps: row.steps,
            began_at_ms: row.span.began_ms,
            ended_at_ms: row.span.ended_ms,
        }
    }
}

//! Lists of runs over HTTP. What an index tells is asked of the store; what none tells is looked for in a bounded number of runs,
//! and the answer says how far that went ([`picked`]).

use std::time::Duration;

use axum::Json;
use pawl_domain::id::RunId;
use pawl_domain::name::Name;
use pawl_store::recoveries::{InterruptedFilter, Standing};
use pawl_store::runs::{RunFilter, RunRow};
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::Result;
use super::request::Params;
use super::state::AppState;
use super::types::{ListedStatus, Problem, RunList, RunSummary};
use super::whose::Scoped;
use picked::{LOOKED_AT, Looked, Picked};

mod picked;

/// Runs on a page, unless the client says otherwise, and at most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 1_000;

/// Digits of a run's id.
const ID_DIGITS: usize = 32;

/// For how long a run stands still before it counts as stuck: longer than any takeover or look takes.
const STUCK_AFTER: Duration = Duration::from_secs(60);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only runs that stand there.
    status: Option<ListedStatus>,
    /// Only runs of this pipeline.
    pipeline: Option<Name>,
    /// Only runs of the version of a pipeline whose digest begins with these digits; they are looked for, see `looked_at`.
    #[schemars(extend("pattern" = "^[0-9A-Fa-f]{6,64}$"))]
    version: Option<String>,
    /// Only runs that were submitted at this time or later, ms since 1970.
    since_ms: Option<i64>,
    /// Only runs that were submitted before this time, ms since 1970.
    until_ms: Option<i64>,
    /// Only the run that was submitted under this idempotency key; goes alone.
    key: Option<String>,
    /// Only runs that were submitted under a key that begins so; they are looked for, see `looked_at`.
    key_prefix: Option<String>,
    /// Only runs of which a step was left by an error with this text in it; they are looked for, see `looked_at`.
    error: Option<String>,
    /// Runs on a page: 50 if nothing is said, and 1,000 at most, whatever is said.
    limit: Option<u32>,
    /// Only runs that are older than this one: `next` of the page before. With `status=stuck` there is a time behind it.
    #[schemars(extend("pattern" = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/[0-9]{1,15})?$"))]
    before: Option<String>,
    /// The first digits of ids, with their hyphens or without; goes with `limit` alone.
    #[schemars(extend("pattern" = "^-*([0-9A-Fa-f]-*){1,32}$"))]
    id: Option<String>,
}

pub(super) async fn list(Scoped(state): Scoped, Params(params): Params<ListParams>) -> Result<Json<RunList>> {
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let picked = Picked::of(&params)?;
    if let Some(digits) = &params.id {
        let (first, last) = ids_from(digits)?;
        return Ok(whole(state.store.runs_between(&state.namespace, first, last, limit).await?));
    }
    if let Some(key) = &params.key {
        let rows = state.store.runs_named(&[RunId::from_idempotency_key(&state.namespace, key)]).await?;
        return Ok(whole(rows));
    }
    let most = if picked.is_any() { LOOKED_AT } else { limit + 1 };
    let (looked, are_all) = match params.status {
        Some(ListedStatus::Stuck) => stuck(&state, &params, most).await?,
        _ => newest(&state, &params, most).await?,
    };
    let (looked, are_all) = picked::within_steps(&picked, looked, are_all);
    let with_error = match picked.error() {
        Some(part) => {
            let likely: Vec<RunId> = looked.iter().filter(|it| picked.means(&it.row)).map(|it| it.row.id).collect();
            Some(state.store.runs_with_error(&likely, &part).await?)
        }
        None => None,
    };
    let is_meant = |row: &RunRow| picked.means(row) && with_error.as_ref().is_none_or(|found| found.contains(&row.id));
    let list = picked::page(looked, are_all, limit as usize, is_meant);
    Ok(Json(if picked.is_any() { list } else { RunList { looked_at: None, looked_to_ms: None, ..list } }))
}

fn whole(rows: Vec<RunRow>) -> Json<RunList> {
    let runs = rows.into_iter().map(RunSummary::from).collect();
    Json(RunList { runs, next: None, looked_at: None, looked_to_ms: None })
}

impl ListParams {
    /// After which run the page begins, and since when that one stands.
    fn place(&self) -> Result<Option<(RunId, Option<i64>)>> {
        let Some(before) = &self.before else { return Ok(None) };
        let (run, since_ms) = before.split_once('/').map_or((&**before, None), |(run, ms)| (run, Some(ms.parse())));
        match (run.parse(), since_ms.transpose()) {
            (Ok(run), Ok(since_ms)) => Ok(Some((run, since_ms))),
            _ => Err(Problem::bad_request(format!("`before` is `next` of the page before, not {before:?}"))),
        }
    }
}

/// Runs of a state, or of all, newest first; and whether these are all.
async fn newest(state: &AppState, params: &ListParams, limit: u32) -> Result<(Vec<Looked>, bool)> {
    let filter = RunFilter {
        namespace: &state.namespace,
        status: params.status.and_then(ListedStatus::plain),
        pipeline: params.pipeline.as_ref().map(Name::as_str),
        before: params.place()?.map(|(run, _)| run),
        since_ms: params.since_ms,
        until_ms: params.until_ms,
        limit,
    };
    let rows = match params.status {
        Some(ListedStatus::Parked) => {
            state.store.parked_runs(filter.namespace, filter.pipeline, filter.before, filter.limit).await?
        }
        Some(ListedStatus::Paused) => {
            state.store.paused_runs(filter.namespace, filter.pipeline, filter.before, filter.limit).await?
        }
        _ => state.store.runs(&filter).await?,
    };
    let are_all = rows.len() < limit as usize;
    Ok((rows.into_iter().map(|row| Looked { place: row.id.to_string(), row }).collect(), are_all))
}

/// Runs that nobody moves: those that stand longest first; and whether these are all.
async fn stuck(state: &AppState, params: &ListParams, limit: u32) -> Result<(Vec<Looked>, bool)> {
    let filter = InterruptedFilter {
        namespace: &state.namespace,
        pipeline: params.pipeline.as_ref().map(Name::as_str),
        threshold: STUCK_AFTER,
        // A run alone is no place in this order: the page is the first.
        after: params.place()?.and_then(|(run, since_ms)| Some(Standing { since_ms: since_ms?, run })),
        limit,
    };
    let standing = state.store.interrupted_page(&filter).await?;
    let order: Vec<RunId> = standing.iter().map(|run| run.run).collect();
    let mut rows = state.store.runs_named(&order).await?;
    rows.sort_by_key(|row| order.iter().position(|run| *run == row.id));
    let place = |row: &RunRow| standing.iter().find(|it| it.run == row.id).map(|it| it.standing().to_string());
    let looked = rows.into_iter().map(|row| Looked { place: place(&row).unwrap_or_default(), row });
    Ok((looked.collect(), standing.len() < limit as usize))
}

/// The first and the last id that begin with these digits.
fn ids_from(digits: &str) -> Result<(RunId, RunId)> {
    let plain = digits.replace('-', "").to_ascii_lowercase();
    let bound =
        |filler: &str| format!("{plain}{}", filler.repeat(ID_DIGITS.saturating_sub(plain.len()))).parse::<RunId>();
    match (bound("0"), bound("f")) {
        (Ok(first), Ok(last)) if !plain.is_empty() => Ok((first, last)),
        _ => Err(Problem::bad_request(format!(
            "`id` is the beginning of a run's id, hexadecimal digits, not {digits:?}"
        ))),
    }
}

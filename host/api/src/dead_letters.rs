//! Dead letters over HTTP: found by what they have in common; what a person does about them is in `act.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use pawl_domain::cause::{group_of, shared};
use pawl_domain::id::{Digest, StepId, StepNo};
use pawl_domain::pipeline::Pipeline;
use pawl_store as store;
use pawl_store::dead_letters::{COUNTED, DeadGroup, DeadGroupKey, DeadOrder, DeadPlace, DeadState, DeadStep};
use schemars::JsonSchema;
use serde::Deserialize;

use super::problem::Result;
use super::request::Params;
use super::state::{AppState, step_name};
use super::types::{
    DeadLetter, DeadLetterGroup, DeadLetterGroupList, DeadLetterList, DeadLetterState, DiedOn, Problem,
};
use super::whose::Scoped;

pub(super) mod act;

/// Letters on a page, unless the client says otherwise, and at most.
const PAGE: u32 = 50;
const LONGEST_PAGE: u32 = 1_000;

/// Letters that one request looks at, at most.
const LOOKED_AT: u32 = 1_000;

/// Groups on a page, unless the client says otherwise.
const GROUPS: u32 = 200;

/// How a place among letters is written.
const PLACE: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}/[0-9]{1,9}/[0-9]{1,16}$";

/// How the key of a group is written.
const GROUP_KEY: &str = r"^[0-9a-f]{64}/[0-9]{1,9}/[^/\u0000]*/[^\u0000]*$";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Only those of this step.
    step: Option<String>,
    /// Only those of this pipeline.
    pipeline: Option<String>,
    /// Only those of this group.
    group: Option<String>,
    /// Only those whose cause has this in it.
    cause: Option<String>,
    /// Only those that have failed, or that are parked.
    state: Option<DeadLetterState>,
    /// Only those that died at this time or later, ms since 1970.
    since_ms: Option<i64>,
    /// At most so many; 50, if nothing is said, and never more than 1,000.
    limit: Option<u32>,
    /// Only those before this one: the `next` of the page before.
    #[schemars(extend("pattern" = PLACE))]
    before: Option<String>,
}

pub(super) async fn list(Scoped(state): Scoped, Params(params): Params<ListParams>) -> Result<Json<DeadLetterList>> {
    let limit = params.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE) as usize;
    let before = params.before.as_deref().map(place).transpose()?;
    let rows = state.store.dead_letters(&state.namespace, DeadOrder::NewestFirst(before), LOOKED_AT).await?;
    let filter = Filter {
        step: params.step,
        pipeline: params.pipeline,
        group: params.group,
        cause: params.cause,
        state: params.state.map(Into::into),
        since_ms: params.since_ms,
    };
    let (mut found, mut last, mut more) = (Vec::new(), None, rows.len() >= LOOKED_AT as usize);
    for row in rows {
        if filter.since_ms.is_some_and(|since| row.place.at_us < since.saturating_mul(1_000)) {
            more = false;
            break;
        }
        if found.len() == limit {
            more = true;
            break;
        }
        last = Some(row.place);
        found.extend(named(&state, row).await?.filter(|letter| filter.means(letter)));
    }
    let next = last.filter(|_| more).map(|place| place.to_string());
    Ok(Json(DeadLetterList { dead_letters: told(&state, found).await?, next }))
}

/// The letters of a page, with what each has died on: it is asked for once.
async fn told(state: &AppState, found: Vec<Named>) -> Result<Vec<DeadLetter>> {
    let step = |letter: &Named| DeadStep { step: letter.row.place.step, plugin: letter.plugin.clone() };
    let steps: Vec<DeadStep> = found.iter().map(step).collect();
    let died_on = if steps.is_empty() { Vec::new() } else { state.store.died_on(&state.namespace, &steps).await? };
    let mut died_on: BTreeMap<StepId, store::dead_letters::DiedOn> =
        died_on.into_iter().map(|on| (on.step, on)).collect();
    let letter = |letter: Named| {
        let on = died_on.remove(&letter.row.place.step).map(|on| DiedOn {
            plugin: letter.plugin.clone(),
            version: on.version,
            active: on.is_active,
            component: on.component,
        });
        DeadLetter { died_on: on, ..letter.into() }
    };
    Ok(found.into_iter().map(letter).collect())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupParams {
    /// At most so many; 200, if nothing is said, and never more than 1,000.
    limit: Option<u32>,
    /// Only those after this one: the `next` of the page before.
    #[schemars(extend("pattern" = GROUP_KEY))]
    after: Option<String>,
}

pub(super) async fn groups(
    Scoped(state): Scoped,
    Params(params): Params<GroupParams>,
) -> Result<Json<DeadLetterGroupList>> {
    let limit = params.limit.unwrap_or(GROUPS).clamp(1, LONGEST_PAGE);
    let after = params.after.as_deref().map(group_key).transpose()?;
    let mut rows = state.store.dead_groups(&state.namespace, after.as_ref(), limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| written(&row.key));
    let mut groups: BTreeMap<String, DeadLetterGroup> = BTreeMap::new();
    for row in rows {
        let Some(pipeline) = known_pipeline(&state, row.key.pipeline_digest).await? else { continue };
        add(&mut groups, step_name(&pipeline, row.key.step), row);
    }
    let mut groups: Vec<DeadLetterGroup> = groups.into_values().collect();
    DeadLetterGroup::sort(&mut groups);
    Ok(Json(DeadLetterGroupList { groups, next }))
}

/// One version's part of a group.
fn add(groups: &mut BTreeMap<String, DeadLetterGroup>, step: String, row: DeadGroup) {
    let DeadGroup { key: DeadGroupKey { pipeline, cause, .. }, count, parked, oldest_ms, newest_ms } = row;
    let part = DeadLetterGroup {
        group: group_of(&pipeline, &step, &cause),
        pipeline,
        step,
        cause: shared(&cause),
        failed: count - parked,
        parked,
        more: count >= COUNTED,
        oldest_at_ms: oldest_ms,
        newest_at_ms: newest_ms,
    };
    groups.entry(part.group.clone()).and_modify(|group| group.add(&part)).or_insert(part);
}

/// Which letters are meant.
struct Filter {
    step: Option<String>,
    pipeline: Option<String>,
    group: Option<String>,
    cause: Option<String>,
    state: Option<DeadState>,
    since_ms: Option<i64>,
}

impl Filter {
    fn means(&self, letter: &Named) -> bool {
        let row = &letter.row;
        self.pipeline.as_ref().is_none_or(|pipeline| *pipeline == row.pipeline)
            && self.step.as_ref().is_none_or(|step| *step == letter.step)
            && self.state.is_none_or(|state| state == row.state)
            && self.since_ms.is_none_or(|since| row.place.at_us >= since.saturating_mul(1_000))
            && self.cause.as_ref().is_none_or(|cause| row.cause.contains(cause) || shared(&row.cause).contains(cause))
            && self.group.as_ref().is_none_or(|group| *group == group_of(&row.pipeline, &letter.step, &row.cause))
    }
}

/// A letter, the name of its step, and that of its plugin.
struct Named {
    row: store::dead_letters::DeadLetter,
    step: String,
    plugin: String,
}

/// A letter with its step's name; none if its run is gone by now, and its pipeline with it.
async fn named(state: &AppState, row: store::dead_letters::DeadLetter) -> Result<Option<Named>> {
    let pipeline = known_pipeline(state, row.pipeline_digest).await?;
    Ok(pipeline.map(|pipeline| {
        let no = row.place.step.step;
        Named { step: step_name(&pipeline, no), plugin: plugin_of(&pipeline, no), row }
    }))
}

/// The plugin that a pipeline names for a step.
pub(super) fn plugin_of(pipeline: &Pipeline, step: StepNo) -> String {
    pipeline.step(step).map(|spec| spec.plugin.clone()).unwrap_or_default()
}

async fn known_pipeline(state: &AppState, digest: Digest) -> Result<Option<Arc<Pipeline>>> {
    match state.store_pipeline(digest).await {
        Ok(pipeline) => Ok(Some(pipeline)),
        Err(store::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn place(text: &str) -> Result<DeadPlace> {
    text.parse().map_err(|wrong| Problem::bad_request(format!("{wrong}, not {text:?}")))
}

/// A key as `next` says it: version, number of the step, pipeline, cause.
fn written(key: &DeadGroupKey) -> String {
    format!("{}/{}/{}/{}", key.pipeline_digest, key.step.0, key.pipeline, key.cause)
}

fn group_key(text: &str) -> Result<DeadGroupKey> {
    let mut parts = text.splitn(4, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (digest, step, pipeline, cause) = (part(), part(), part(), part());
    match (digest.parse(), step.parse()) {
        (Ok(pipeline_digest), Ok(step)) if !text.contains('\0') => {
            let (pipeline, cause) = (pipeline.to_owned(), cause.to_owned());
            Ok(DeadGroupKey { pipeline, pipeline_digest, step: StepNo(step), cause })
        }
        _ => Err(Problem::bad_request(format!("`after` is `next` of the page before, not {text:?}"))),
    }
}

impl From<DeadLetterState> for DeadState {
    fn from(state: DeadLetterState) -> Self {
        match state {
            DeadLetterState::Failed => Self::Failed,
            DeadLetterState::Parked => Self::Parked,
        }
    }
}

impl From<Named> for DeadLetter {
    fn from(Named { row, step, .. }: Named) -> Self {
        Self {
            run: row.place.step.run,
            group: group_of(&row.pipeline, &step, &row.cause),
            step,
            pipeline: row.pipeline,
            state: match row.state {
                DeadState::Failed => DeadLetterState::Failed,
                DeadState::Parked => DeadLetterState::Parked,
            },
            cause: row.cause,
            died_at_ms: row.place.at_us / 1_000,
            died_on: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_groups_goes_on_where_it_ended() {
        let key = DeadGroupKey {
            pipeline: "load".into(),
            pipeline_digest: Digest::of(b"a"),
            step: StepNo(3),
            cause: "no answer of http://a/#/b".into(),
        };
        assert_eq!(group_key(&written(&key)).expect("it reads what it writes"), key);
        assert!(group_key("3/load").is_err());
    }
}

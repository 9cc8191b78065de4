//! How long the steps of a pipeline take: of its newest runs that have ended, read once, together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use axum::Json;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::pipeline::Pipeline;
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_store::runs::{RunFilter, RunRow, StepMark};
use schemars::JsonSchema;
use serde::Deserialize;

use super::unknown;
use crate::problem::Result;
use crate::request::{Params, Path, pipeline_name};
use crate::sample;
use crate::types::{PipelineTimes, Spread, StepTimes};
use crate::whose::Scoped;

/// Runs that are read, unless the client says otherwise, and at most.
const RUNS: u32 = 200;
const MOST_RUNS: u32 = 1_000;

/// Parts that a spread has.
const PARTS: usize = 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimesParams {
    /// Of how many runs, at most; of fewer where they have many steps.
    runs: Option<u32>,
}

pub(crate) async fn show(
    Scoped(state): Scoped,
    Path(name): Path<String>,
    Params(params): Params<TimesParams>,
) -> Result<Json<PipelineTimes>> {
    let name = pipeline_name(&name)?;
    let (_, current) = state.store.pipeline(&state.namespace, name.as_str()).await.map_err(unknown)?;
    let most = params.runs.unwrap_or(RUNS).clamp(1, MOST_RUNS);
    let mut ended = Vec::new();
    for status in [RunStatus::Succeeded, RunStatus::Failed] {
        let all = RunFilter::newest(&state.namespace, most + 1);
        let filter = RunFilter { status: Some(status), pipeline: Some(name.as_str()), ..all };
        ended.extend(state.store.runs(&filter).await?);
    }
    let (runs, more) = sample::newest(ended, most);
    let marks = state.store.step_marks(&runs.iter().map(|run| run.id).collect::<Vec<_>>()).await?;
    let mut versions = HashMap::new();
    for run in &runs {
        if let Entry::Vacant(version) = versions.entry(run.pipeline_digest) {
            version.insert(state.pipeline(run.pipeline_digest).await?);
        }
    }
    Ok(Json(PipelineTimes { more, ..times(&current, &runs, &marks, &versions) }))
}

/// What one step has come to.
#[derive(Default)]
struct Known {
    took_ms: Vec<u64>,
    failed: u32,
}

/// Steps are those of the current version, in its order, and then those that only older ones have.
fn times(
    current: &Pipeline,
    runs: &[RunRow],
    marks: &[StepMark],
    versions: &HashMap<Digest, Arc<Pipeline>>,
) -> PipelineTimes {
    let version_of: HashMap<RunId, Digest> = runs.iter().map(|run| (run.id, run.pipeline_digest)).collect();
    let mut order: Vec<&str> = current.steps.iter().map(|step| &*step.name).collect();
    let mut known: HashMap<&str, Known> = order.iter().map(|name| (*name, Known::default())).collect();
    for mark in marks {
        let version = version_of.get(&mark.id.run).and_then(|digest| versions.get(digest));
        let Some(step) = version.and_then(|pipeline| pipeline.step(mark.id.step)) else { continue };
        let of_step = known.entry(&step.name).or_insert_with(|| {
            order.push(&step.name);
            Known::default()
        });
        match (mark.status, mark.started_at_ms.zip(mark.ended_at_ms)) {
            (StepStatus::Succeeded, Some((started, ended))) => of_step.took_ms.push(between(started, ended)),
            (StepStatus::Failed, _) => of_step.failed += 1,
            _ => {}
        }
    }
    let steps = order.into_iter().map(|name| {
        let Known { took_ms, failed } = known.remove(name).unwrap_or_default();
        StepTimes { name: name.to_owned(), failed, took: spread(took_ms) }
    });
    let took = runs.iter().filter(|run| run.status == RunStatus::Succeeded);
    let took = took.filter_map(|run| Some(between(run.created_at_ms, run.ended_at_ms?)));
    PipelineTimes { runs: runs.len() as u32, more: false, took: spread(took.collect()), steps: steps.collect() }
}

/// Clocks may go back.
fn between(from_ms: i64, until_ms: i64) -> u64 {
    u64::try_from(until_ms - from_ms).unwrap_or(0)
}

fn spread(mut took_ms: Vec<u64>) -> Option<Spread> {
    took_ms.sort_unstable();
    let last = took_ms.len().checked_sub(1)?;
    let parts_ms = (0..=PARTS).map(|part| took_ms[(last * part).div_ceil(PARTS)]).collect();
    Some(Spread { count: took_ms.len() as u32, parts_ms })
}

#[cfg(test)]
mod tests {
    use pawl_domain::id::{StepId, StepNo};
    use pawl_domain::pipeline::StepSpec;
    use serde_json::json;

    use super::*;

    fn pipeline(steps: &[&str]) -> Arc<Pipeline> {
        let step = |name: &&str| serde_json::from_value::<StepSpec>(json!({"name": name, "plugin": "p"})).unwrap();
        let steps = steps.iter().map(step).collect();
        Arc::new(Pipeline { name: "p".into(), versions: Default::default(), retention: Default::default(), steps })
    }

    fn run(version: &Pipeline, status: RunStatus, took_ms: i64) -> RunRow {
        RunRow {
            pipeline_digest: version.digest(),
            step_count: 2,
            ended_at_ms: Some(took_ms),
            ..RunRow::example(status)
        }
    }

    fn mark(run: &RunRow, step: i32, status: StepStatus, took: Option<(i64, i64)>) -> StepMark {
        let id = StepId { run: run.id, step: StepNo(step) };
        let (started_at_ms, ended_at_ms) = took.unzip();
        StepMark { id, status, component: None, started_at_ms, ended_at_ms }
    }

    #[test]
    fn steps_are_told_apart_by_their_names_in_whatever_version() {
        let (old, new) = (pipeline(&["load", "join"]), pipeline(&["fetch", "load"]));
        let versions = [&old, &new].map(|it| (it.digest(), Arc::clone(it))).into();
        let runs =
            [run(&new, RunStatus::Succeeded, 30), run(&old, RunStatus::Failed, 900), run(&new, RunStatus::Failed, 1)];
        let marks = [
            mark(&runs[0], 0, StepStatus::Succeeded, Some((0, 10))),
            mark(&runs[0], 1, StepStatus::Succeeded, Some((10, 30))),
            mark(&runs[1], 0, StepStatus::Succeeded, Some((0, 40))),
            mark(&runs[1], 1, StepStatus::Failed, Some((40, 900))),
            mark(&runs[2], 0, StepStatus::Failed, Some((0, 1))),
            mark(&runs[2], 1, StepStatus::Cancelled, None),
        ];
        let told = times(&new, &runs, &marks, &versions);
        let ends = |spread: &Option<Spread>| spread.as_ref().map(|it| (it.count, it.parts_ms[0], it.parts_ms[PARTS]));
        let steps: Vec<_> = told.steps.iter().map(|step| (&*step.name, step.failed, ends(&step.took))).collect();
        assert_eq!(steps, [("fetch", 1, Some((1, 10, 10))), ("load", 0, Some((2, 20, 40))), ("join", 1, None)]);
        assert_eq!((told.runs, ends(&told.took)), (3, Some((1, 30, 30))), "what failed early says nothing of the rest");
    }

    #[test]
    fn a_spread_has_the_least_the_greatest_and_every_twentieth_between() {
        assert_eq!(spread(Vec::new()), None);
        assert_eq!(spread(vec![7]).unwrap().parts_ms, [7; PARTS + 1]);
        let hundred = spread((0..=100).rev().collect()).unwrap();
        assert_eq!((hundred.count, &hundred.parts_ms[..3], hundred.parts_ms[19]), (101, &[0, 5, 10][..], 95));
        assert_eq!(between(9, 3), 0, "a clock went back");
    }
}

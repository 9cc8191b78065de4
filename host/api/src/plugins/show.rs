//! A plugin: its versions with what keeps each, who uses it, and what one of them asks for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::name::Name;
use pawl_domain::pipeline::Pipeline;
use pawl_domain::status::RunStatus;
use pawl_engine::imports;
use pawl_store::plugins::PluginRow;
use pawl_store::runs::{RunFilter, StepMark};

use crate::problem::Result;
use crate::request::{Path, plugin_name};
use crate::sample;
use crate::state::AppState;
use crate::types::{PluginDetail, PluginUser, PluginVersion, PluginVersionDetail, Problem, Standing, VersionUse};
use crate::whose::Scoped;

/// Open runs that are looked at, and pipelines.
const RUNS: u32 = 1_000;
const PIPELINES: usize = 200;

pub(crate) async fn plugin(Scoped(state): Scoped, Path(name): Path<String>) -> Result<Json<PluginDetail>> {
    let plugin = find(&state, &name).await?;
    let (used_by, more_pipelines) = used_by(&state, &plugin.name).await?;
    let (open, looked_runs, more_runs) = open_runs(&state).await?;
    let named: HashSet<&str> = used_by.iter().filter_map(|user| user.version.as_deref()).collect();
    let versions = plugin.versions.iter().map(|version| {
        let open_runs = open.get(&version.digest).copied().unwrap_or(0);
        VersionUse {
            standing: standing(&plugin, &version.version, named.contains(&*version.version), open_runs),
            version: version.version.clone(),
            digest: version.digest,
            size_bytes: version.size_bytes,
            created_at_ms: version.created_at_ms,
            open_runs,
        }
    });
    Ok(Json(PluginDetail {
        versions: versions.collect(),
        name: plugin.name,
        active_version: plugin.active_version,
        previous_version: plugin.previous_version,
        used_by,
        more_pipelines,
        looked_runs,
        more_runs,
    }))
}

pub(crate) async fn version(
    Scoped(state): Scoped,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<PluginVersionDetail>> {
    let PluginRow { name, versions, .. } = find(&state, &name).await?;
    let row = versions.into_iter().find(|row| row.version == version).ok_or_else(|| {
        Problem::unknown_plugin(&format!("plugin `{name}` has no version `{}`", version.escape_debug()))
    })?;
    let imports = imports_of(&state, row.digest).await?.to_vec();
    Ok(Json(PluginVersionDetail { name, version: PluginVersion::from(row), imports }))
}

async fn find(state: &AppState, name: &str) -> Result<PluginRow> {
    let name: Name = plugin_name(name)?;
    let found = state.store.plugins(&state.namespace, Some(name.as_str())).await?.into_iter().next();
    match found {
        Some(plugin) => Ok(plugin),
        None => Err(super::unknown(state.store.unknown_plugin(&state.namespace, name.as_str()).await)),
    }
}

/// What keeps a version, the strongest first.
fn standing(plugin: &PluginRow, version: &str, is_named: bool, open_runs: u32) -> Standing {
    let is = |other: &Option<String>| other.as_deref() == Some(version);
    if is(&plugin.active_version) {
        Standing::Active
    } else if is_named {
        Standing::Named
    } else if open_runs > 0 {
        Standing::Open
    } else if is(&plugin.previous_version) || plugin.earlier_versions.iter().any(|it| it == version) {
        Standing::History
    } else {
        Standing::Unused
    }
}

/// The current pipelines that use a plugin, each once for each version that it names; and whether not all were looked at.
async fn used_by(state: &AppState, plugin: &str) -> Result<(Vec<PluginUser>, bool)> {
    let rows = state.store.pipelines(&state.namespace).await?;
    let mut users = Vec::new();
    for row in rows.iter().take(PIPELINES) {
        let pipeline = state.pipeline(row.digest).await?;
        users.extend(uses(&pipeline, plugin));
    }
    Ok((users, rows.len() > PIPELINES))
}

fn uses(pipeline: &Pipeline, plugin: &str) -> Vec<PluginUser> {
    let mut steps: BTreeMap<Option<&str>, u32> = BTreeMap::new();
    for step in pipeline.steps.iter().filter(|step| step.plugin == plugin) {
        *steps.entry(step.version.as_deref()).or_default() += 1;
    }
    let user = |(version, steps): (Option<&str>, u32)| PluginUser {
        pipeline: pipeline.name.clone(),
        version: version.map(str::to_owned),
        steps,
    };
    steps.into_iter().map(user).collect()
}

/// How many open runs have steps to do on each component; how many were looked at, and whether there are more.
async fn open_runs(state: &AppState) -> Result<(HashMap<Digest, u32>, u32, bool)> {
    let mut open = Vec::new();
    for status in [RunStatus::Running, RunStatus::Pending] {
        let all = RunFilter::newest(&state.namespace, RUNS + 1);
        open.extend(state.store.runs(&RunFilter { status: Some(status), ..all }).await?);
    }
    let (runs, more) = sample::newest(open, RUNS);
    let runs: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    let marks = state.store.step_marks(&runs).await?;
    Ok((counted(&marks), runs.len() as u32, more))
}

fn counted(marks: &[StepMark]) -> HashMap<Digest, u32> {
    let has_to = marks.iter().filter(|mark| !mark.status.is_ended());
    let pinned: HashSet<(Digest, RunId)> =
        has_to.filter_map(|mark| mark.component.map(|digest| (digest, mark.id.run))).collect();
    let mut counts: HashMap<Digest, u32> = HashMap::new();
    for (digest, _) in pinned {
        *counts.entry(digest).or_default() += 1;
    }
    counts
}

/// What a component asks for never changes: its bytes are read once.
async fn imports_of(state: &AppState, digest: Digest) -> Result<Arc<[String]>> {
    if let Some(known) = state.schemas.imports(digest) {
        return Ok(known);
    }
    let bytes = state.store.component(digest).await?;
    let imports: Arc<[String]> = state.check(move || imports(&bytes)).await?.into();
    state.schemas.keep_imports(digest, &imports);
    Ok(imports)
}

#[cfg(test)]
mod tests {
    use pawl_domain::id::{StepId, StepNo};
    use pawl_domain::status::StepStatus;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_strongest_of_what_keeps_a_version_is_told() {
        let plugin = PluginRow {
            name: "p".into(),
            active_version: Some("4".into()),
            previous_version: Some("3".into()),
            earlier_versions: vec!["2".into()],
            versions: Vec::new(),
        };
        for (version, is_named, open_runs, told) in [
            ("4", true, 3, Standing::Active),
            ("3", true, 3, Standing::Named),
            ("3", false, 3, Standing::Open),
            ("3", false, 0, Standing::History),
            ("2", false, 0, Standing::History),
            ("1", false, 1, Standing::Open),
            ("1", false, 0, Standing::Unused),
        ] {
            assert_eq!(standing(&plugin, version, is_named, open_runs), told, "{version}");
        }
        let nothing = PluginRow { active_version: None, previous_version: None, earlier_versions: vec![], ..plugin };
        assert_eq!(standing(&nothing, "4", false, 0), Standing::Unused);
    }

    #[test]
    fn a_pipeline_is_told_once_for_each_version_that_it_names() {
        let steps = json!([{"name": "a", "plugin": "p"}, {"name": "b", "plugin": "p", "version": "1"},
                           {"name": "c", "plugin": "q"}, {"name": "d", "plugin": "p"}]);
        let pipeline: Pipeline = serde_json::from_value(json!({"name": "orders", "steps": steps})).unwrap();
        let told: Vec<_> = uses(&pipeline, "p").into_iter().map(|user| (user.version, user.steps)).collect();
        assert_eq!(told, [(None, 2), (Some("1".to_owned()), 1)]);
        assert!(uses(&pipeline, "r").is_empty());
    }

    #[test]
    fn runs_are_counted_once_for_a_component_and_not_for_what_has_ended() {
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let runs = [RunId::new(), RunId::new()];
        let mark = |run: usize, step, status, component| {
            let id = StepId { run: runs[run], step: StepNo(step) };
            StepMark { id, status, component, started_at_ms: None, ended_at_ms: None }
        };
        let counts = counted(&[
            mark(0, 0, StepStatus::Succeeded, Some(other)),
            mark(0, 1, StepStatus::Running, Some(one)),
            mark(0, 2, StepStatus::Blocked, Some(one)),
            mark(1, 0, StepStatus::Parked, Some(one)),
            mark(1, 1, StepStatus::Blocked, None),
        ]);
        assert_eq!((counts.get(&one), counts.get(&other)), (Some(&2), None));
    }
}

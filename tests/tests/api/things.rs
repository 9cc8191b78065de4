//! What the API tells of pipelines and plugins beside what they are: versions, what is taken, how long it takes, what keeps a
//! version.

use anyhow::Result;
use pawl_api::types::{
    AppliedPipeline, PipelineDetail, PipelineInput, PipelineTimes, PipelineVersionList, PluginDetail,
    PluginVersionDetail, PushedPlugin, Run, RunStatus, Standing,
};
use pawl_domain::id::RunId;
use pawl_tests::client::Answer;
use pawl_tests::runtime::block_on;
use pawl_tests::{binary, bounds, wait};
use serde_json::json;

use crate::served::{Api, PIPELINE};

const WASM: &str = "application/wasm";

/// Asks for it in another namespace.
fn there(api: &Api, method: &str, path: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Result<Answer> {
    let headers = [("content-type", media_type), ("pawl-namespace", "there")];
    block_on(api.client.send(method, path, &headers, body.into()))
}

#[test]
fn a_pipeline_knows_the_versions_that_it_had_in_its_namespace_and_no_others() -> Result<()> {
    let mut api = Api::start("api_versions")?;
    api.push_echo()?;
    let first: AppliedPipeline = api.apply(PIPELINE)?.read()?;
    let changed = PIPELINE.replace("unused = true", "unused = false");
    let second: AppliedPipeline = api.apply(&changed)?.read()?;
    api.apply(&changed)?.read::<AppliedPipeline>()?;
    let known: PipelineVersionList = api.client.get("/v1/pipelines/pair/versions")?.read()?;
    let told: Vec<_> = known.versions.iter().map(|it| (it.digest, it.step_count, it.until_ms.is_some())).collect();
    assert_eq!(told, [(second.digest, 2, false), (first.digest, 2, true)]);
    assert_eq!(known.versions[1].until_ms, Some(known.versions[0].since_ms));
    let digits = first.digest.short();
    let old: PipelineDetail = api.client.get(&format!("/v1/pipelines/pair/versions/{digits}"))?.read()?;
    assert_eq!((old.summary.digest, &old.steps[1].config), (first.digest, &json!({"unused": true})));
    let now: PipelineDetail = api.client.get(&format!("/v1/pipelines/pair/versions/{}", second.digest))?.read()?;
    assert_eq!(now.steps[1].config, json!({"unused": false}));
    for path in ["versions/000000", "versions/nothing", "versions/%22"] {
        let problem = api.client.get(&format!("/v1/pipelines/pair/{path}"))?.problem(404)?;
        assert!(problem.detail.contains("has had no version"), "{}", problem.detail);
    }

    // The same name elsewhere, with a version of its own.
    assert_eq!(block_on(api.client.send("PUT", "/v1/namespaces/there", &[], Vec::new()))?.status, 201);
    for route in ["versions", "schema", "times", &format!("versions/{digits}")] {
        let problem = there(&api, "GET", &format!("/v1/pipelines/pair/{route}"), "", "")?.problem(404)?;
        assert_eq!(problem.kind, "/problems/unknown-pipeline", "{route}");
    }
    for route in ["", "/versions/1"] {
        let problem = there(&api, "GET", &format!("/v1/plugins/echo{route}"), "", "")?.problem(404)?;
        assert!(!problem.detail.contains("did you mean"), "{}", problem.detail);
    }
    there(&api, "POST", "/v1/plugins/echo/versions/1", WASM, binary::component("echo")?)?.read::<PushedPlugin>()?;
    let own = PIPELINE.replace("unused = true", "own = true");
    let own: AppliedPipeline = there(&api, "POST", "/v1/pipelines", "application/toml", own)?.read()?;
    let known: PipelineVersionList = there(&api, "GET", "/v1/pipelines/pair/versions", "", "")?.read()?;
    assert_eq!(known.versions.iter().map(|it| it.digest).collect::<Vec<_>>(), [own.digest]);
    for digest in [first.digest, second.digest] {
        there(&api, "GET", &format!("/v1/pipelines/pair/versions/{digest}"), "", "")?.problem(404)?;
    }
    api.client.get(&format!("/v1/pipelines/pair/versions/{}", own.digest))?.problem(404)?;
    api.stop()
}

#[test]
fn what_runs_take_and_how_long_they_take_is_told() -> Result<()> {
    let mut api = Api::start("api_times")?;
    api.push_echo()?;
    api.client.post("/v1/plugins/approve/versions/1", WASM, binary::component("approve")?)?.read::<PushedPlugin>()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let toml = "name = \"refunds\"\n[[step]]\nname = \"wait\"\nplugin = \"approve\"\n";
    api.apply(toml)?.read::<AppliedPipeline>()?;
    let takes: PipelineInput = api.client.get("/v1/pipelines/refunds/schema")?.read()?;
    assert_eq!((takes.steps.len(), &*takes.steps[0].step), (1, "wait"));
    let input = &takes.steps[0].schema["$defs"]["Input"];
    assert_eq!(input["properties"]["signal"]["type"], "string", "{takes:?}");
    let anything: PipelineInput = api.client.get("/v1/pipelines/pair/schema")?.read()?;
    assert!(anything.steps.is_empty(), "an echo takes anything: {anything:?}");
    let none: PipelineTimes = api.client.get("/v1/pipelines/pair/times")?.read()?;
    assert_eq!((none.runs, none.more, none.took), (0, false, None));
    assert_eq!(none.steps.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["first", "second"]);

    let _worker = api.worker()?;
    let runs: Vec<RunId> = (0..3).map(|number| api.submit(&json!(number))).collect::<Result<_>>()?;
    wait::until_true(bounds::RUN, "the runs to end", || {
        let ended =
            runs.iter().map(|run| Ok(api.client.get(&format!("/v1/runs/{run}"))?.read::<Run>()?.summary.status));
        Ok(ended.collect::<Result<Vec<_>>>()?.iter().all(|status| *status == RunStatus::Succeeded))
    })?;
    let times: PipelineTimes = api.client.get("/v1/pipelines/pair/times")?.read()?;
    assert_eq!((times.runs, times.more), (3, false));
    assert_eq!(
        times.took.map(|took| (took.count, took.parts_ms.len(), took.parts_ms.is_sorted())),
        Some((3, 21, true))
    );
    for step in &times.steps {
        assert_eq!((step.took.as_ref().map(|took| took.count), step.failed), (Some(3), 0), "{}", step.name);
    }
    let newest: PipelineTimes = api.client.get("/v1/pipelines/pair/times?runs=1")?.read()?;
    assert_eq!((newest.runs, newest.more), (1, true));
    api.client.get("/v1/pipelines/nothing/times")?.problem(404)?;
    api.stop()
}

#[test]
fn a_version_of_a_plugin_is_told_with_what_keeps_it() -> Result<()> {
    let mut api = Api::start("api_standing")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let push = |version: &str, component: &str, activate: bool| -> Result<PushedPlugin> {
        let path = format!("/v1/plugins/echo/versions/{version}?activate={activate}");
        api.client.post(&path, WASM, binary::component(component)?)?.read()
    };
    push("2", "clock", true)?;
    // One step of it is on 2, the other names 1.
    let run = api.submit(&json!({"entries": 1}))?;
    push("3", "flaky", true)?;
    push("4", "batch", true)?;
    push("5", "approve", false)?;
    let shown = || api.client.get("/v1/plugins/echo")?.read::<PluginDetail>();
    let plugin = shown()?;
    assert_eq!((plugin.active_version.as_deref(), plugin.previous_version.as_deref()), (Some("4"), Some("3")));
    let told: Vec<_> = plugin.versions.iter().map(|it| (&*it.version, it.standing, it.open_runs)).collect();
    let expected = [
        ("5", Standing::Unused, 0),
        ("4", Standing::Active, 0),
        ("3", Standing::History, 0),
        ("2", Standing::Open, 1),
        ("1", Standing::Named, 1),
    ];
    assert_eq!(told, expected);
    assert_eq!((plugin.looked_runs, plugin.more_runs, plugin.more_pipelines), (1, false, false));
    let users: Vec<_> = plugin.used_by.iter().map(|it| (&*it.pipeline, it.version.as_deref(), it.steps)).collect();
    assert_eq!(users, [("pair", None, 1), ("pair", Some("1"), 1)]);
    block_on(api.client.send("POST", &format!("/v1/runs/{run}/cancel"), &[], Vec::new()))?;
    assert!(shown()?.versions.iter().all(|it| it.open_runs == 0), "it has ended");

    let one: PluginVersionDetail = api.client.get("/v1/plugins/echo/versions/5")?.read()?;
    assert_eq!((one.version.manifest["name"].as_str(), &*one.version.version), (Some("approve"), "5"));
    assert!(one.imports.iter().any(|name| name.starts_with("pawl:step/durable@")), "{:?}", one.imports);
    let again: PluginVersionDetail = api.client.get("/v1/plugins/echo/versions/5")?.read()?;
    assert_eq!(again.imports, one.imports, "from memory");
    for path in ["/v1/plugins/ehco", "/v1/plugins/echo/versions/9", "/v1/plugins/%00", "/v1/plugins/echo/versions/%00"]
    {
        assert_eq!(api.client.get(path)?.problem(404)?.kind, "/problems/unknown-plugin", "{path}");
    }
    api.stop()
}

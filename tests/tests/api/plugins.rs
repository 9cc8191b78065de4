//! Plugins and pipelines over HTTP.

use pawl_api::types::{AppliedPipeline, PipelineDetail, PluginList, PushedPlugin};
use pawl_domain::id::{Digest, WorkerId};
use pawl_store::leases::Heartbeat;
use pawl_store::readiness::Report;
use pawl_tests::binary;
use pawl_tests::runtime::block_on;
use serde_json::{Value, json};

use crate::served::{Api, PIPELINE};

#[test]
fn pipelines_and_plugins_are_stored_once_and_shown_as_they_are() -> anyhow::Result<()> {
    let mut api = Api::start("api_store")?;
    let problem = api.apply(PIPELINE)?.problem(422)?;
    let said: Vec<(usize, &str)> = problem.problems.iter().map(|one| (one.line, one.message.as_str())).collect();
    assert_eq!(said, [(5, "there is no plugin `echo`"), (8, "there is no plugin `echo`")]);

    let pushed = api.push_echo()?;
    assert!(pushed.created && pushed.active && pushed.manifest["name"] == "echo", "{pushed:?}");
    let again = api.push_echo()?;
    assert!(!again.created && again.digest == pushed.digest);
    let other = api.client.post("/v1/plugins/echo/versions/1", "application/wasm", binary::component("clock")?)?;
    assert_eq!(other.problem(409)?.kind, "/problems/version-exists");
    // Name and version as the component has them, and not made the active one.
    let described = api.client.post("/v1/plugins?activate=false", "application/wasm", binary::component("echo")?)?;
    let described: PushedPlugin = described.read()?;
    assert_eq!((described.name.as_str(), described.active), ("echo", false));
    let plugins: PluginList = api.client.get("/v1/plugins")?.read()?;
    assert_eq!(plugins.plugins.len(), 1);
    assert_eq!(plugins.plugins[0].active_version.as_deref(), Some("1"));
    assert_eq!(plugins.plugins[0].versions.len(), 2);
    let activated = api.client.post(
        "/v1/plugins/echo/activate",
        "application/json",
        json!({"version": described.version}).to_string(),
    )?;
    assert_eq!(activated.read::<Value>()?["previous"], "1");

    let checked = api.client.post("/v1/pipelines?check=true", "application/toml", PIPELINE)?;
    assert!(!checked.read::<AppliedPipeline>()?.changed);
    api.client.get("/v1/pipelines/pair")?.problem(404)?;
    let applied = api.apply(PIPELINE)?;
    assert_eq!(applied.status, 201);
    let applied: AppliedPipeline = applied.read()?;
    assert!(applied.changed);
    let again = api.apply(&format!("# said again\n{PIPELINE}"))?;
    assert_eq!(again.status, 200);
    assert_eq!(again.read::<AppliedPipeline>()?.digest, applied.digest);
    let shown: PipelineDetail = api.client.get("/v1/pipelines/pair")?.read()?;
    assert_eq!(shown.summary.digest, applied.digest);
    assert_eq!(shown.steps[1].needs, ["first"]);
    assert_eq!(shown.steps[1].config, json!({"unused": true}));
    api.stop()
}

#[test]
fn documents_that_never_fit_are_refused_with_step_and_path() -> anyhow::Result<()> {
    let mut api = Api::start("api_schemas")?;
    for plugin in ["clock", "demo-load"] {
        api.client.post(&format!("/v1/plugins/{plugin}/versions/1"), "application/wasm", binary::component(plugin)?)?;
    }
    let step = |name: &str, rest: &str| format!("[[step]]\nname = \"{name}\"\n{rest}\n");
    let read = step("read", "plugin = \"clock\"");
    let load = |config: &str| step("load", &format!("plugin = \"demo-load\"\nneeds = [\"read\"]\nconfig = {config}"));
    let pipeline = format!("name = \"never\"\n{read}{}", load("{ city = 1, file = \"x.csv\" }"));
    let problems = api.apply(&pipeline)?.problem(422)?.problems;
    let said: Vec<(usize, &str)> = problems.iter().map(|one| (one.line, one.message.as_str())).collect();
    let config = "the config of step `load` does not fit its plugin's schema: $.city: 1 is not of type \"string\"";
    let needs =
        "step `load` can't take what `read` returns: $: the member `data_url` is required, and the output has none";
    assert_eq!(said, [(8, needs), (9, config)]);

    assert_eq!(api.apply(&format!("name = \"pair\"\n{read}"))?.status, 201);
    let problem = block_on(api.client.try_submit("pair", &json!({"entries": -1}), None))?.problem(422)?;
    assert_eq!(problem.kind, "/problems/invalid-input");
    assert!(problem.detail.contains("step `read`") && problem.detail.contains("$.entries: -1"), "{}", problem.detail);
    // One that is not checked in passing.
    let large = json!({"entries": -1, "note": "x".repeat(20 << 10)});
    let problem = block_on(api.client.try_submit("pair", &large, None))?.problem(422)?;
    assert!(problem.detail.contains("step `read`") && problem.detail.contains("$.entries: -1"), "{}", problem.detail);
    api.submit(&json!({"entries": 1}))?;
    api.stop()
}

#[test]
fn a_version_that_a_live_worker_cannot_load_is_stored_and_not_active() -> anyhow::Result<()> {
    let mut api = Api::start("refused_by_workers")?;
    api.push_echo()?;
    let worker = WorkerId::new();
    let digest = Digest::of(&binary::component("clock")?);
    let ports = api.ports()?;
    block_on(async {
        let beat = Heartbeat {
            worker,
            lease_ms: 60_000,
            begin: true,
            host: "elsewhere",
            pid: 42,
            slots: 1,
            queues: &[],
            running: 0,
            draining: false,
            version: "test",
            clock_ms: 0,
        };
        ports.store.link().heartbeat(&beat).await?;
        let refusal = Some("it wants an interface of a newer Pawl".to_owned());
        ports.store.report_components(worker, &[Report { digest, refusal }]).await
    })?;
    let push = || api.client.post("/v1/plugins/echo/versions/2", "application/wasm", binary::component("clock")?);
    let problem = push()?.problem(409)?;
    assert!(problem.kind.ends_with("refused-by-workers"), "{problem:?}");
    for told in [worker.to_string().as_str(), "pid 42 on elsewhere", "of a newer Pawl", "stored, and not active"] {
        assert!(problem.detail.contains(told), "{told:?} is missing: {}", problem.detail);
    }
    let plugins: PluginList = api.client.get("/v1/plugins")?.read()?;
    assert_eq!(plugins.plugins[0].active_version.as_deref(), Some("1"));
    assert_eq!(plugins.plugins[0].versions.len(), 2, "it can be activated when the worker is mended");
    block_on(ports.store.forget_worker(worker))?;
    let pushed: PushedPlugin = push()?.read()?;
    assert!(pushed.active && !pushed.created);
    api.stop()
}

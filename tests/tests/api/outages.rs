//! What the API does while it ends, and while its servers are away or of another build.

use anyhow::Context as _;
use pawl_api::types::{AppliedPipeline, Readiness, Run, RunStatus};
use pawl_tests::runtime::{block_on, handle};
use pawl_tests::{Database, bounds, wait};
use serde_json::json;

use crate::served::{Api, PIPELINE};

#[test]
fn a_shutdown_ends_waiting_and_streams() -> anyhow::Result<()> {
    let mut api = Api::start("api_shutdown")?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let run = api.submit(&json!(null))?;
    let client = api.client.clone();
    let poll = handle()
        .spawn(async move { client.send("GET", &format!("/v1/runs/{run}?wait_ms=29000"), &[], Vec::new()).await });
    let mut stream = block_on(async {
        let url = api.client.url(&format!("/v1/runs/{run}/events"));
        reqwest::Client::new().get(url).header("accept", "text/event-stream").send().await
    })?;
    let first = block_on(stream.chunk())?.context("the first event")?;
    assert!(first.starts_with(b"id: 1\n"), "{first:?}");
    api.stop()?;
    while block_on(stream.chunk())?.is_some() {}
    assert_eq!(block_on(poll)??.read::<Run>()?.summary.status, RunStatus::Pending);
    Ok(())
}

#[test]
fn without_its_servers_it_serves_says_so_and_recovers_by_itself() -> anyhow::Result<()> {
    let mut api = Api::prepare("api_outage")?;
    api.migrate()?;
    // Without one, the store has to say that none was ever made.
    api.config.token = Some("s3cret".to_owned());
    api.client.show("s3cret");
    api.postgres.stop()?;
    api.redis.stop();
    api.serve()?;
    let unready: Readiness = serde_json::from_slice(&api.client.get("/ready")?.body)?;
    assert_eq!(
        unready.reasons,
        ["Postgres is not available", "Redis is not available: it is not known yet which installation this is"]
    );
    assert!(api.client.get("/v1/runs")?.problem(503)?.detail.contains("Postgres"));
    assert!(api.client.get("/v1/queues")?.problem(503)?.detail.contains("Redis"));
    assert!(api.client.get("/v1/scale")?.problem(503)?.detail.contains("Postgres"), "nobody scales down by half of it");

    api.postgres.launch()?;
    api.redis.launch()?;
    wait::until_true(bounds::PROCESS, "the API to be ready", || Ok(api.client.get("/ready")?.status == 200))?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    api.submit(&json!(1))?;

    wait::until_true(bounds::PROCESS, "demand to be told", || Ok(api.client.get("/v1/scale")?.status == 200))?;

    // And again, while it serves.
    api.postgres.restart_immediate()?;
    wait::until_true(bounds::PROCESS, "runs to be listed again", || Ok(api.client.get("/v1/runs")?.status == 200))?;
    api.stop()
}

#[test]
fn a_schema_that_is_to_be_migrated_is_waited_for() -> anyhow::Result<()> {
    let mut api = Api::prepare("api_unmigrated")?;
    api.serve()?;
    let unready: Readiness = serde_json::from_slice(&api.client.get("/ready")?.body)?;
    assert!(unready.reasons[0].contains("run `pawl migrate`"), "{:?}", unready.reasons);
    for path in ["/v1/runs", "/v1/pipelines", "/v1/queues"] {
        let refused = api.client.get(path)?.problem(503)?;
        assert!(refused.detail.contains("run `pawl migrate`"), "{refused:?}");
    }
    api.migrate()?;
    wait::until_true(bounds::PROCESS, "the API to be ready", || Ok(api.client.get("/ready")?.status == 200))?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    api.submit(&json!(1))?;
    api.stop()
}

#[test]
fn a_schema_that_another_build_has_made_is_refused() -> anyhow::Result<()> {
    let mut api = Api::prepare("api_foreign")?;
    api.migrate()?;
    Database::new(&api.postgres.url())?
        .execute("update _sqlx_migrations set checksum = decode('00', 'hex') where version = 1")?;
    let refused = block_on(pawl_api::serve(api.config.clone(), api.ports()?, std::future::pending()))
        .expect_err("it is another's");
    assert!(refused.to_string().contains("use the pawl that made it"), "{refused}");

    // Nor does it go on once it learns of it.
    api.postgres.stop()?;
    api.serve()?;
    api.postgres.launch()?;
    let served = api.served.take().context("it was started")?;
    let refused =
        block_on(async { tokio::time::timeout(bounds::PROCESS, served).await })??.expect_err("it is another's");
    assert!(refused.to_string().contains("use the pawl that made it"), "{refused}");
    Ok(())
}

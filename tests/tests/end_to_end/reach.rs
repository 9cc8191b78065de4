//! What steps reach in a whole installation. What is refused ends the step for good, and the run's history names the grant.

use anyhow::{Context as _, Result};
use pawl_api::types::{EventKind, Run};
use pawl_domain::id::RunId;
use pawl_rehearsal::private::free_port;
use pawl_tests::wait::Look;
use pawl_tests::{Client, Cluster, Embedded, RedisCluster, Target, bounds, wait};
use serde_json::{Value, json};

/// One step that makes requests; `more` says what else of it.
fn calls(name: &str, more: &str) -> String {
    format!(
        "name = '{name}'\n[[step]]\nname = 'call'\nplugin = 'fetch'\n{more}\n\
         retry = {{ max_attempts = 5, backoff = 'fixed', delay = '50ms' }}\n"
    )
}

fn get(url: &str) -> Value {
    json!({ "requests": [{ "url": url }] })
}

/// The run has failed at its first attempt, for a grant that is missing, which its history tells.
fn is_refused(client: &Client, run: RunId, says: &str) -> Result<()> {
    let ended: Run = wait::until(bounds::RUN, "the run to end", || {
        let run = client.run(run)?;
        Ok(if run.summary.status.is_ended() { Look::Done(run) } else { Look::NotYet("it runs".to_owned()) })
    })?;
    let step = &ended.steps[0];
    let error = step.error.clone().with_context(|| format!("the step has not failed: {:?}", step.status))?;
    assert_eq!((error["cause"].as_str(), step.failures), (Some("refused"), 1), "{error}");
    let events = client.events(run)?;
    assert!(events.iter().all(|event| !event.is(EventKind::StepRetrying)), "{events:?}");
    let failed = events.iter().find(|event| event.is(EventKind::StepFailed)).context("nothing has failed")?;
    let note = failed.note.as_deref().unwrap_or_default();
    assert!(note.contains(says), "{note:?} should say {says:?}");
    Ok(())
}

#[test]
fn in_pawl_dev_a_step_reaches_this_machine_and_not_pawl_and_is_told_the_line_that_grants_the_rest() -> Result<()> {
    let mut pawl = Embedded::start("reach_dev", &["fetch"], &calls("calls", ""))?;
    let target = Target::start()?;
    let run = pawl.submit("calls", &get(&target.url("/here")))?;
    pawl.succeeds(run, bounds::RUN)?;
    let api = pawl.client.url("/v1/runs");
    let by_name = api.replace("127.0.0.1", "localhost");
    for (url, says) in [
        ("https://api.example.org/orders", "write allow = [\"https://api.example.org\"]"),
        ("http://169.254.169.254/latest/meta-data/", "write allow = [\"http://169.254.169.254\"]"),
        (&api, "where Pawl or one of its servers listens"),
        (&by_name, "where Pawl or one of its servers listens"),
    ] {
        let run = pawl.submit("calls", &get(url))?;
        is_refused(&pawl.client, run, says)?;
        pawl.said(says)?;
    }
    // With the line, it is the machine's address that counts.
    let allow = calls("calls", "allow = ['http://169.254.169.254', 'https://api.example.org']");
    assert_eq!(pawl.client.post("/v1/pipelines", "application/toml", allow)?.status, 201);
    let run = pawl.submit("calls", &get("http://169.254.169.254/latest/meta-data/"))?;
    is_refused(&pawl.client, run, "adds \"http://169.254.169.254\" to the workers' setting `outside_hosts`")?;
    pawl.finish_with(&[&target])
}

#[test]
fn a_worker_lets_steps_reach_what_both_pipeline_and_installation_grant_and_none_of_its_servers() -> Result<()> {
    let mut cluster = Cluster::start("reach_worker")?;
    let target = Target::start()?;
    let metrics = format!("127.0.0.1:{}", free_port()?);
    cluster.push("fetch")?;
    cluster.apply(&calls("silent", ""))?;
    cluster.apply(&calls("granted", "allow = ['http://localhost:*']"))?;
    cluster
        .worker("one")
        .set("PAWL_DEFAULT_ALLOW", "")
        .set("PAWL_OUTSIDE_HOSTS", "https://*,http://localhost:*")
        .set("PAWL_METRICS_LISTEN", &metrics)
        .start()?;
    let run = cluster.submit("silent", &get(&target.url("/silent")))?;
    is_refused(&cluster.client, run, &format!("write allow = [\"{}\"]", target.url("")))?;
    let run = cluster.submit("granted", &get(&target.url("/granted")))?;
    cluster.succeeds(run, bounds::RUN)?;
    let at = |url: &str| -> Result<String> {
        let url = url.rsplit_once('@').map_or(url, |(_, server)| server);
        let server = url.trim_start_matches("redis://").split('/').next().context("a server")?;
        Ok(format!("http://{server}/"))
    };
    for own in [
        cluster.client.url("/v1/runs"),
        format!("http://{metrics}/metrics"),
        at(&cluster.redis_server.url())?,
        at(&cluster.postgres.url())?,
    ] {
        let run = cluster.submit("granted", &get(&own))?;
        is_refused(&cluster.client, run, "where Pawl or one of its servers listens")?;
    }
    let run = cluster.submit("granted", &get("http://elsewhere.example/"))?;
    is_refused(&cluster.client, run, "write allow = [\"http://elsewhere.example\"]")?;
    let paths: Vec<_> = target.log().into_iter().map(|received| received.path).collect();
    assert_eq!(paths, ["/granted"]);
    cluster.finish_with(&[&target])
}

#[test]
fn nodes_of_a_redis_cluster_that_no_setting_names_are_not_for_steps() -> Result<()> {
    let mut cluster = Cluster::start("reach_nodes")?;
    let nodes = RedisCluster::start(&cluster.folder().join("nodes"))?;
    let stream = cluster.stream("default", "normal")?;
    let master = nodes.master_of(&stream, 0)?;
    cluster.use_redis(&nodes.url((master + 1) % 3))?;
    cluster.redis = nodes.at(master)?;
    cluster.start_api(&[])?;
    cluster.push("fetch")?;
    cluster.apply(&calls("granted", "allow = ['http://localhost:*']"))?;
    cluster.worker("one").set("PAWL_OUTSIDE_HOSTS", "https://*,http://localhost:*").start()?;
    for node in &nodes.nodes {
        let run = cluster.submit("granted", &get(&format!("http://127.0.0.1:{}/", node.port())))?;
        is_refused(&cluster.client, run, "where Pawl or one of its servers listens")?;
    }
    cluster.finish()
}

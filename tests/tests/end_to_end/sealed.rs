//! Payloads at rest: whoever has the database, a backup of it or the queue reads none of a namespace that seals; runs go on over
//! deaths of workers as ever; and what is erased is gone for good, and nothing else of its run.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{Because, EventKind, Explanation, RunStatus};
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, Target, bounds, runtime, wait};
use serde_json::{Value, json};

use crate::waits::{awaits, is_waiting, pipeline, signal};

/// In what is to be sealed, and in what is not.
const SEALED: &str = "correct-horse";
const CLEAR: &str = "battery-staple";

const CALLS: &str = "name = \"calls\"\n[[step]]\nname = \"call\"\nplugin = \"fetch\"\nallow = [\"http://127.0.0.1:*\"]\n\
                     [[step]]\nname = \"pass\"\nplugin = \"echo\"\nneeds = [\"call\"]\n";

const MISFIT: &str = "name = \"misfit\"\n[[step]]\nname = \"say\"\nplugin = \"echo\"\n\
                      [[step]]\nname = \"approve\"\nplugin = \"approve\"\nneeds = [\"say\"]\n";

const BATCH: &str = "name = \"batch\"\n[[step]]\nname = \"batch\"\nplugin = \"batch\"\n";

/// Rows of all tables that have a text, or its bytes.
fn rows_with(cluster: &Cluster, text: &str) -> Result<i64> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let all: String = cluster.database.value(&format!(
        "select string_agg(format('select count(*) from %I t where t::text like %L or t::text like %L',
                                  table_name, '%{text}%', '%{hex}%'), ' union all ')
         from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
    ))?;
    cluster.database.value(&format!("select sum(count)::bigint from ({all}) x"))
}

/// Payloads of these runs that do not begin as sealed ones do, and all of them.
fn payloads(cluster: &Cluster, runs: &[RunId]) -> Result<(i64, i64)> {
    let runs: Vec<String> = runs.iter().map(|run| format!("'{run}'")).collect();
    let of = |table: &str, bytes: &str, run: &str| {
        format!("select {bytes} as bytes from {table} where {run} in ({}) and {bytes} is not null", runs.join(", "))
    };
    let all = [
        of("run", "input", "id"),
        of("step", "output", "run_id"),
        of("journal", "bytes", "run_id"),
        of("checkpoint", "state", "run_id"),
        of("signal", "payload", "run_id"),
    ]
    .join(" union all ");
    let count =
        |such: &str| cluster.database.value::<i64>(&format!("select count(*) filter (where {such}) from ({all}) x"));
    Ok((count("get_byte(bytes, 0) <> 245")?, count("true")?))
}

fn calls(target: &Target, text: &str) -> Value {
    json!({ "requests": [{ "method": "GET", "url": target.url(&format!("/{text}")) }] })
}

#[test]
fn what_a_namespace_seals_nobody_reads_without_its_keys_and_a_replacement_goes_on_with_it() -> Result<()> {
    let key = "4".repeat(64);
    let target = Target::start()?;
    for text in [SEALED, CLEAR] {
        target.serve(&format!("/{text}"), format!("{{\"answer\": \"{text}\"}}"));
    }
    let mut cluster = Cluster::start("sealed")?;
    cluster.start_api(&[("PAWL_SECRETS_KEY", key.as_str())])?;
    for plugin in ["fetch", "echo", "batch", "approve"] {
        cluster.push(plugin)?;
    }
    pipeline(&cluster)?;
    cluster.apply(CALLS)?;
    cluster.apply(BATCH)?;
    cluster.apply(MISFIT)?;
    cluster.worker("first").set("PAWL_SECRETS_KEY", &key).start()?;

    // The look itself finds something.
    let before = cluster.submit("calls", &calls(&target, CLEAR))?;
    cluster.succeeds(before, bounds::RUN)?;
    ensure!(rows_with(&cluster, CLEAR)? > 2, "nothing is sealed so far: input, journal, outputs");
    let (clear, all) = payloads(&cluster, &[before])?;
    ensure!(clear == all && all > 2, "{clear} of {all}");

    let on = cluster.pawl(&["namespace", "seal", "default", "on"])?;
    ensure!(on.contains("payloads of new runs are sealed"), "{on}");
    let called = cluster.submit("calls", &calls(&target, SEALED))?;
    cluster.succeeds(called, bounds::RUN)?;
    let output = cluster.client.output(called, "call")?.to_string();
    ensure!(output.contains(SEALED), "who may read it reads it: {output}");
    ensure!(cluster.pawl(&["run", "output", &called.to_string()])?.contains(SEALED), "also the run's");

    let waits = cluster.submit("waits", &json!([awaits("go", None), awaits("more", None)]))?;
    is_waiting(&cluster, waits, "wait")?;
    signal(&cluster, waits, "more", &json!({ "said": SEALED }))?;
    let inbox = cluster.pawl(&["run", "inbox", "get", &waits.to_string(), "1"])?;
    ensure!(inbox.contains(SEALED), "{inbox}");
    signal(&cluster, waits, "go", &json!(SEALED))?;
    cluster.succeeds(waits, bounds::RUN)?;
    ensure!(cluster.client.output(waits, "wait")?["saw"] == json!([SEALED, { "said": SEALED }]), "it was told");

    // What the host says of a payload that does not fit quotes nothing of it.
    let misfit = cluster.submit("misfit", &json!({ "signal": [SEALED] }))?;
    ensure!(cluster.ends(misfit, bounds::RUN)? == RunStatus::Failed, "it does not fit");
    let told = cluster.pawl(&["run", "explain", &misfit.to_string()])?;
    ensure!(told.contains("does not fit") && told.contains("pawl run replay"), "{told}");

    // A death in the middle: the state and the entries after it are opened by another process.
    let job = json!({ "items": 100, "checkpoint_every": 10, "pause_ms": 20, "readings": 2 });
    let batch = cluster.submit("batch", &job)?;
    wait::until_true(bounds::RUN, "a checkpoint in the middle", || {
        cluster.database.value::<bool>(&format!(
            "select coalesce(max(checkpoint_ordinal), 0) > 2 from step where run_id = '{batch}'"
        ))
    })?;
    cluster.the("first")?.kill9();
    let (clear, all) = payloads(&cluster, &[called, waits, batch])?;
    ensure!(clear == 0 && all > 10, "{clear} of {all} payloads are in the clear");
    cluster.worker("second").set("PAWL_SECRETS_KEY", &key).start()?;
    cluster.succeeds(batch, bounds::RECOVERY)?;
    let resumed_at = cluster.client.output(batch, "batch")?["resumed_at"].as_u64().context("a number")?;
    ensure!(resumed_at > 0, "it went on from its checkpoint");

    ensure!(rows_with(&cluster, SEALED)? == 0, "the database has it");
    for process in ["api", "first", "second"] {
        let log = std::fs::read_to_string(cluster.log(process))?;
        ensure!(!log.contains(SEALED), "{process}: {log}");
    }
    let journal = cluster.client.get(&format!("/v1/runs/{called}/steps/call/journal"))?;
    ensure!(String::from_utf8_lossy(&journal.body).contains(SEALED), "what a replay elsewhere needs is opened, too");
    erased(&cluster, called, waits)?;
    cluster.finish()
}

/// One run's key goes, then all of the namespace.
fn erased(cluster: &Cluster, one: RunId, other: RunId) -> Result<()> {
    let get = |path: String| cluster.client.get(&path);
    let (id, output) = (one.to_string(), |run: RunId| format!("/v1/runs/{run}/output"));
    let unsure = cluster.try_pawl(&["run", "erase", &id])?;
    ensure!(unsure.status.code() == Some(2), "it is asked twice");
    cluster.pawl(&["run", "erase", &id, "--yes"])?;
    let gone = get(output(one))?.problem(410)?;
    ensure!(gone.detail.contains("its key was erased"), "{gone:?}");
    for path in ["", "/events", "/explain", "/steps", "/inbox"] {
        ensure!(get(format!("/v1/runs/{one}{path}"))?.status != 500, "{path}: what is no payload is read as ever");
    }
    ensure!(cluster.client.run(one)?.summary.status == RunStatus::Succeeded, "its state stays");
    ensure!(get(output(other))?.status == 200, "another run is none of its business");
    for again in [&["run", "retry", &id, "--from", "call"][..], &["run", "retry", &id]] {
        let refused = cluster.try_pawl(again)?;
        let why = String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success() && why.contains("its key was erased"), "nothing goes on: {why}");
    }

    let erased = cluster.pawl(&["namespace", "erase", "default", "--yes"])?;
    ensure!(erased.contains("unreadable for good"), "{erased}");
    get(output(other))?.problem(410)?;
    let body = serde_json::to_vec(&json!({ "pipeline": "waits", "input": [] }))?;
    let refused = wait::until(bounds::RUN, "submissions to be refused", || {
        let answer = cluster.client.post("/v1/runs", "application/json", body.clone())?;
        Ok(if answer.status == 410 { wait::Look::Done(answer) } else { wait::Look::NotYet(answer.status.to_string()) })
    })?;
    let refused = refused.problem(410)?;
    ensure!(refused.detail.contains("`pawl namespace seal default on`"), "{refused:?}");
    ensure!(cluster.pawl(&["namespace", "seal", "default", "off"])?.contains("in the clear"), "a word is said");
    Ok(())
}

#[test]
fn a_worker_without_the_master_key_leaves_sealed_runs_to_one_that_has_it() -> Result<()> {
    let [right, wrong] = ["5", "6"].map(|digit| digit.repeat(64));
    let mut cluster = Cluster::start("sealed_keys")?;
    cluster.push("echo")?;
    cluster.apply("name = \"say\"\n[[step]]\nname = \"say\"\nplugin = \"echo\"\n")?;
    let refused = cluster.try_pawl(&["namespace", "seal", "default", "on"])?;
    let why = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && why.contains("secrets_key_file"), "{why}");
    cluster.start_api(&[("PAWL_SECRETS_KEY", right.as_str())])?;
    let headers = [("content-type", "application/json"), ("idempotency-key", "early")];
    let before = "{\"pipeline\": \"say\", \"input\": [0]}";
    let clear: Value = runtime::block_on(cluster.client.send("POST", "/v1/runs", &headers, before.into()))?.read()?;
    cluster.pawl(&["namespace", "seal", "default", "on"])?;
    let again: Value = runtime::block_on(cluster.client.send("POST", "/v1/runs", &headers, before.into()))?.read()?;
    ensure!(clear["id"] == again["id"] && again["created"] == false, "it was there before: {clear} {again}");
    cluster.worker("wrong").set("PAWL_SECRETS_KEY", &wrong).set("PAWL_CIRCUIT_FIRST", "500ms").start()?;

    // Under one key the same request is one run, whatever its bytes.
    let client = cluster.client.clone();
    let send = |input: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "one")];
        let body = format!("{{\"pipeline\": \"say\", \"input\": {input}}}");
        runtime::block_on(client.send("POST", "/v1/runs", &headers, body.into()))
    };
    let first: Value = send("[1]")?.read()?;
    let again: Value = send("[1]")?.read()?;
    ensure!(first["id"] == again["id"] && again["created"] == false, "{first} {again}");
    send("[2]")?.problem(409)?;
    let run: RunId = first["id"].as_str().context("an id")?.parse()?;
    let why = wait::until(bounds::RUN, "the run to wait for the key", || {
        let explained: Explanation = cluster.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
        Ok(match explained.reasons.iter().find(|reason| reason.because == Because::Secret) {
            Some(reason) => wait::Look::Done(reason.message.clone()),
            None => wait::Look::NotYet(format!("{explained:?}")),
        })
    })?;
    ensure!(why.contains("the master key") && why.contains("`secrets_key_file`"), "{why}");
    ensure!(cluster.client.events(run)?.iter().any(|event| event.is(EventKind::StepDeferred)), "it is deferred");

    cluster.worker("right").set("PAWL_SECRETS_KEY", &right).set("PAWL_CIRCUIT_FIRST", "500ms").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    ensure!(cluster.client.output(run, "say")? == json!([1]), "nothing of it was lost");
    ensure!(cluster.database.value::<i64>("select sum(failures)::bigint from step")? == 0, "attempts were used up");

    // Also whoever heeds no circuits uses up no attempt.
    cluster.the("right")?.terminate(bounds::PROCESS)?;
    cluster.the("wrong")?.terminate(bounds::PROCESS)?;
    cluster.worker("heedless").set("PAWL_SECRETS_KEY", &wrong).set("PAWL_CIRCUITS", "false").start()?;
    let mut runs = vec![cluster.submit("say", &json!([3]))?];
    wait::until_true(bounds::RUN, "the run to wait", || {
        Ok(cluster.client.events(runs[0])?.iter().any(|event| event.is(EventKind::StepDeferred)))
    })?;
    cluster.the("heedless")?.terminate(bounds::PROCESS)?;
    cluster.worker("other").set("PAWL_SECRETS_KEY", &wrong).start()?;
    runs.extend(cluster.client.submit_all("say", &vec![json!([4]); 20])?);
    wait::until_true(bounds::RUN, "all to wait", || {
        cluster.database.value::<bool>("select count(*) = 21 from step where status = 'waiting'")
    })?;

    // Another master key, without an outage: what waits for the old one goes on, all at once.
    let both = format!("{wrong},{right}");
    cluster.start_api(&[("PAWL_SECRETS_KEY", both.as_str())])?;
    let rotated = cluster.pawl(&["secret", "rotate"])?;
    ensure!(rotated.contains("put under the first master key"), "{rotated}");
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    ensure!(cluster.database.value::<i64>("select sum(failures)::bigint from step")? == 0, "attempts were used up");
    cluster.finish()
}

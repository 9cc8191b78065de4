//! Secrets of the store, from a person's command to a request that leaves: who is not granted one has nothing of it, and nothing
//! that is kept of a run has a trace of its value.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{Because, EventKind, Explanation, RunStatus};
use pawl_domain::secret::redaction::Redaction;
use pawl_tests::{Client, Cluster, Embedded, binary, bounds, wait};
use serde_json::{Value, json};

/// With all that is written in another way somewhere.
const VALUE: &str = "correct-\"horse\"/+=&%41\\battery-staple";

const SENDS: &str = "name = \"sends\"\n[[step]]\nname = \"send\"\nplugin = \"fetch\"\nsecrets = [\"shop_token\"]\n\
                     allow = [\"http://localhost:*\"]\n";

/// Runs a command that reads its standard input.
fn fed(mut command: Command, words: &[&str], input: &str) -> Result<Output> {
    let pipes = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that tells all it was sent: as it is, in digits, and in a header.
struct Gossip {
    port: u16,
    received: Arc<Mutex<Vec<String>>>,
}

impl Gossip {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (port, received) = (listener.local_addr()?.port(), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&received);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(std::result::Result::ok) {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !is_whole(&request) {
                    match stream.read(&mut buffer) {
                        Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
                        _ => break,
                    }
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let line = text.lines().find(|line| line.starts_with("authorization")).unwrap_or_default().to_owned();
                let hex: String = request.iter().map(|byte| format!("{byte:02x}")).collect();
                let body = json!({ "as it is": text, "digits": hex }).to_string();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nx-{line}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                log.lock().expect("nobody panics").push(text);
            }
        });
        Ok(Self { port, received })
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().expect("nobody panics").clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

fn requests(gossip: &Gossip) -> Value {
    json!({ "requests": [{
        "method": "POST",
        "url": format!("http://localhost:{}/orders", gossip.port),
        "headers": { "authorization": "Bearer {{secret:shop_token}}", "pawl-secrets": "body" },
        "body": { "key": "{{secret:shop_token}}" },
    }] })
}

/// Files below a folder that have the value in whatever form, but for programs.
fn traces_in(folder: &Path, found: &mut Vec<PathBuf>) -> Result<usize> {
    let redaction = Redaction::of([("it", VALUE)]);
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            looked_at += traces_in(&path, found)?;
        } else if path.extension().is_none_or(|extension| extension != "wasm") {
            looked_at += 1;
            let bytes = std::fs::read(&path)?;
            let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            if has(b"horse") || has(b"battery-staple") || redaction.is_in(&bytes) {
                found.push(path);
            }
        }
    }
    Ok(looked_at)
}

#[test]
fn a_stored_secret_goes_only_where_it_is_granted_and_nothing_that_is_kept_has_a_trace_of_it() -> Result<()> {
    let gossip = Gossip::start()?;
    let mut pawl = Embedded::start("stored_secrets", &["fetch"], SENDS)?;
    let api = pawl.client.url("");
    let command = || -> Result<Command> {
        let mut command = binary::pawl()?;
        command.env("PAWL_API_URL", api.trim_end_matches('/'));
        Ok(command)
    };
    let set = fed(command()?, &["secret", "set", "shop_token"], &format!("{VALUE}\n"))?;
    ensure!(set.status.success() && said(&set).contains("nobody is given it"), "{}", said(&set));
    let short = fed(command()?, &["secret", "set", "other"], "hunter2")?;
    ensure!(short.status.code() == Some(2) && !said(&short).contains("hunter2"), "{}", said(&short));

    // Nobody has granted it.
    let run = pawl.submit("sends", &requests(&gossip))?;
    wait::until_true(bounds::RUN, "the run to fail", || Ok(pawl.client.run(run)?.summary.status == RunStatus::Failed))?;
    let step: Value = pawl.client.get(&format!("/v1/runs/{run}/steps/send"))?.read()?;
    let message = step["error"]["message"].as_str().context("a message")?;
    ensure!(message.contains("`pawl secret grant shop_token --pipeline sends --step send`"), "{message}");
    ensure!(step["error"]["cause"] == "refused" && gossip.received().is_empty(), "{step}");

    let host = format!("http://localhost:{}", gossip.port);
    let grant = ["secret", "grant", "shop_token", "--pipeline", "sends", "--step", "send", "--host", &host];
    let granted = pawl.try_pawl(&grant)?;
    ensure!(granted.status.success(), "{}", said(&granted));
    // What was said of it a moment ago counts for a second.
    wait::until_true(bounds::RUN, "the run to succeed", || {
        let status = pawl.client.run(run)?.summary.status;
        if status == RunStatus::Failed {
            pawl.client.retry(run)?;
        }
        Ok(status == RunStatus::Succeeded)
    })?;
    let received = gossip.received();
    ensure!(received.len() == 1 && received[0].contains(&format!("authorization: Bearer {VALUE}\r\n")), "{received:?}");
    let body = received[0].rsplit("\r\n\r\n").next().context("a body")?;
    ensure!(serde_json::from_str::<Value>(body)? == json!({ "key": VALUE }), "{body}");
    let output = pawl.client.output(run, "send")?.to_string();
    ensure!(output.contains("Bearer {{secret:shop_token}}"), "the guest sees what it wrote: {output}");

    let listed = said(&pawl.try_pawl(&["secret", "list"])?);
    ensure!(listed.contains("shop_token") && listed.contains(&format!("--step send --host '{host}'")), "{listed}");
    let audited = said(&pawl.try_pawl(&["audit", "--limit", "500"])?);
    for what in ["setSecret", "grantSecret", "version 1", "pipeline=sends"] {
        ensure!(audited.contains(what), "{audited} should have {what}");
    }
    for told in [&listed, &audited, &said(&granted), &said(&set)] {
        ensure!(!told.contains("horse") && !told.contains("battery"), "{told}");
    }
    let (mut found, folder) = (Vec::new(), pawl.folder().to_owned());
    ensure!(traces_in(&folder, &mut found)? > 4 && found.is_empty(), "traces in {found:?}");
    pawl.process()?.kill9();
    pawl.start_process(&[("PAWL_LOG", "trace")])?;
    let run = pawl.submit("sends", &requests(&gossip))?;
    pawl.succeeds(run, bounds::RUN)?;
    ensure!(gossip.received().len() == 2, "it is opened by the key of the process before");
    ensure!(traces_in(&folder, &mut found)? > 4 && found.is_empty(), "not in the finest log either: {found:?}");
    pawl.finish_with(&[])
}

const ASKS: &str = "name = \"asks\"\n[[step]]\nname = \"ask\"\nplugin = \"waits\"\nsecrets = [\"shop_token\"]\n";

/// Waits until the run waits for its secret; what is said of it.
fn waits_for_secret(client: &Client, run: pawl_domain::id::RunId) -> Result<String> {
    wait::until(bounds::RUN, "the run to wait for a secret", || {
        let explained: Explanation = client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
        Ok(match explained.reasons.iter().find(|reason| reason.because == Because::Secret) {
            Some(reason) => wait::Look::Done(reason.message.clone()),
            None => wait::Look::NotYet(format!("{explained:?}")),
        })
    })
}

/// Rows of all tables that have the value, or its bytes.
fn rows_with_traces(cluster: &Cluster) -> Result<i64> {
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    let all: String = cluster.database.value(&format!(
        "select string_agg(format('select count(*) from %I t where t::text like %L or t::text like %L or t::text like %L',
                                  table_name, '%horse%', '%battery-staple%', '%{hex}%'), ' union all ')
         from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
    ))?;
    cluster.database.value(&format!("select sum(count)::bigint from ({all}) x"))
}

/// Hears all that is said to a Redis.
struct Overheard(Arc<Mutex<Vec<u8>>>);

impl Overheard {
    fn at(url: &str) -> Result<Self> {
        let address = url.trim_start_matches("redis://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut buffer = vec![0; 64 << 10];
        let count = stream.read(&mut buffer)?;
        ensure!(buffer[..count].starts_with(b"+OK"), "{}", String::from_utf8_lossy(&buffer[..count]));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        std::thread::spawn(move || {
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                log.lock().expect("nobody panics").extend_from_slice(&buffer[..count]);
            }
        });
        Ok(Self(heard))
    }

    /// Whether there was a delivery, and nothing that has the value in whatever form.
    fn is_clean(&self) -> Result<()> {
        let heard = self.0.lock().expect("nobody panics").clone();
        let text = String::from_utf8_lossy(&heard);
        ensure!(text.to_lowercase().contains("xadd") && text.contains(":q:default:"), "nothing was delivered: {text}");
        ensure!(!text.contains("horse") && !text.contains("battery"), "{text}");
        ensure!(!Redaction::of([("it", VALUE)]).is_in(&heard), "{text}");
        Ok(())
    }
}

#[test]
fn a_worker_without_the_master_key_waits_and_a_rotation_takes_no_secret_away() -> Result<()> {
    let [old, new] = ["1", "2"].map(|digit| digit.repeat(64));
    let mut cluster = Cluster::start("stored_secrets_keys")?;
    let overheard = Overheard::at(&cluster.redis_server.url())?;
    cluster.push("waits")?;
    cluster.apply(ASKS)?;
    let refused = fed(cluster.command()?, &["secret", "set", "shop_token"], VALUE)?;
    ensure!(!refused.status.success() && said(&refused).contains("secrets_key_file"), "{}", said(&refused));
    cluster.start_api(&[("PAWL_SECRETS_KEY", old.as_str())])?;
    let set = fed(cluster.command()?, &["secret", "set", "shop_token", "--pipeline", "asks"], VALUE)?;
    ensure!(set.status.success(), "{}", said(&set));

    cluster.worker("other").set("PAWL_SECRETS_KEY", &new).set("PAWL_CIRCUIT_FIRST", "500ms").start()?;
    let orders = json!([{ "do": "now" }, { "do": "secret", "name": "shop_token" }]);
    let run = cluster.submit("asks", &orders)?;
    let why = waits_for_secret(&cluster.client, run)?;
    ensure!(why.contains("the master key") && why.contains("`secrets_key_file`"), "{why}");
    cluster.worker("right").set("PAWL_SECRETS_KEY", &old).set("PAWL_CIRCUIT_FIRST", "500ms").start()?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    ensure!(cluster.client.output(run, "ask")?["saw"][1] == VALUE.len(), "it was given the secret");
    ensure!(cluster.database.value::<i64>("select sum(failures)::bigint from step")? == 0, "attempts were used up");
    for worker in ["other", "right"] {
        cluster.the(worker)?.terminate(bounds::PROCESS)?;
    }

    let both = format!("{new},{old}");
    cluster.start_api(&[("PAWL_SECRETS_KEY", both.as_str())])?;
    let rotated = cluster.pawl(&["secret", "rotate"])?;
    ensure!(rotated.contains("1 secret put under the first master key"), "{rotated}");
    cluster.worker("new").set("PAWL_SECRETS_KEY", &new).start()?;
    let run = cluster.submit("asks", &orders)?;
    cluster.succeeds(run, bounds::RUN)?;

    // A removed one is gone within a second for whoever begins.
    cluster.pawl(&["secret", "remove", "shop_token"])?;
    let run = wait::until(bounds::RUN, "a run to begin without it", || {
        let run = cluster.submit("asks", &orders)?;
        let client = &cluster.client;
        let is_deferred = wait::until(bounds::RUN, "the run to succeed or wait", || {
            let is_deferred = client.events(run)?.iter().any(|event| event.is(EventKind::StepDeferred));
            let is_over = is_deferred || client.run(run)?.summary.status == RunStatus::Succeeded;
            Ok(if is_over { wait::Look::Done(is_deferred) } else { wait::Look::NotYet("neither".to_owned()) })
        })?;
        Ok(if is_deferred { wait::Look::Done(run) } else { wait::Look::NotYet("it was given it".to_owned()) })
    })?;
    let why = waits_for_secret(&cluster.client, run)?;
    ensure!(why.contains("`pawl secret set shop_token`"), "{why}");
    let again = fed(cluster.command()?, &["secret", "set", "shop_token", "--pipeline", "asks"], VALUE)?;
    ensure!(again.status.success(), "{}", said(&again));
    cluster.succeeds(run, bounds::RECOVERY)?;

    ensure!(rows_with_traces(&cluster)? == 0, "the database has the value");
    overheard.is_clean()?;
    for process in ["api", "other", "right", "new"] {
        let log = std::fs::read_to_string(cluster.log(process))?;
        ensure!(!log.contains("horse") && !Redaction::of([("it", VALUE)]).is_in(log.as_bytes()), "{process}: {log}");
        if process == "new" {
            ensure!(log.contains("the secret is [secret shop_token]"), "{log}");
        }
    }
    cluster.finish()
}

#[test]
fn a_secret_is_its_namespaces_own_and_the_environment_of_workers_is_that_of_default() -> Result<()> {
    let key = "3".repeat(64);
    let mut cluster = Cluster::start("stored_secrets_namespaces")?;
    cluster.start_api(&[("PAWL_SECRETS_KEY", key.as_str())])?;
    let there = |cluster: &Cluster, words: &[&str], input: &str| -> Result<String> {
        let mut command = cluster.command()?;
        command.env("PAWL_NAMESPACE", "team-a");
        let output = fed(command, words, input)?;
        ensure!(output.status.success(), "{words:?}: {}", said(&output));
        Ok(said(&output))
    };
    let early = cluster.try_pawl(&["run", "list", "--namespace", "team-a"])?;
    ensure!(
        early.status.code() == Some(4) && said(&early).contains("`pawl namespace create team-a`"),
        "{}",
        said(&early)
    );
    cluster.pawl(&["namespace", "create", "team-a"])?;
    cluster.push("waits")?;
    cluster.apply(ASKS)?;
    let component = binary::component_file("waits")?;
    there(&cluster, &["plugin", "push", &component.to_string_lossy(), "--name", "waits", "--version", "1"], "")?;
    there(&cluster, &["pipeline", "apply", "-"], ASKS)?;

    let worker = cluster.worker("one").set("PAWL_SECRETS_KEY", &key).set("PAWL_CIRCUIT_FIRST", "500ms");
    worker.set("PAWL_SECRET_SHOP_TOKEN", VALUE).start()?;
    let orders = json!([{ "do": "secret", "name": "shop_token" }]);
    let theirs = cluster.submit("asks", &orders)?;
    cluster.succeeds(theirs, bounds::RUN)?;
    ensure!(cluster.client.output(theirs, "ask")?["saw"][0] == VALUE.len(), "that of the environment");
    let submitted = there(&cluster, &["run", "submit", "asks", "--input", &orders.to_string(), "-o", "ids"], "")?;
    let own: pawl_domain::id::RunId = submitted.trim().parse()?;
    let why = waits_for_secret(&cluster.client, own)?;
    ensure!(why.contains("`pawl secret set shop_token --namespace team-a`") && !why.contains("PAWL_SECRET"), "{why}");
    there(&cluster, &["secret", "set", "shop_token", "--pipeline", "asks"], "another value of its own")?;
    cluster.succeeds(own, bounds::RECOVERY)?;
    ensure!(cluster.client.output(own, "ask")?["saw"][0] == "another value of its own".len(), "that of the namespace");
    let again = cluster.submit("asks", &orders)?;
    cluster.succeeds(again, bounds::RUN)?;
    ensure!(cluster.client.output(again, "ask")?["saw"][0] == VALUE.len(), "and here it is the same as before");
    ensure!(!cluster.pawl(&["secret", "list"])?.contains("shop_token"), "another namespace's secret is listed");
    let listed = there(&cluster, &["run", "list", "-o", "ids"], "")?;
    ensure!(listed.trim() == own.to_string(), "{listed}");
    cluster.finish()
}

//! Secrets that a worker lacks: no step is blamed for it. It waits, and says for what, and goes on when a worker is there that has
//! the secret.

use anyhow::{Result, ensure};
use pawl_api::types::{Because, CircuitList, EventKind, Explanation};
use pawl_domain::id::RunId;
use pawl_tests::{Client, Cluster, Embedded, bounds, wait};
use serde_json::json;

/// A step that would use up its attempts at once.
const NEEDY: &str = "name = \"needy\"\n[[step]]\nname = \"ask\"\nplugin = \"waits\"\nsecrets = [\"token\"]\n\
                     retry = { max_attempts = 3, backoff = \"fixed\", delay = \"1ms\" }\n";

const SECRET: (&str, &str) = ("PAWL_SECRET_TOKEN", "12345");

/// An entry, and then the secret.
fn orders() -> serde_json::Value {
    json!([{"do": "now"}, {"do": "secret", "name": "token"}])
}

/// Waits until the run waits for its secret; what is said of it.
fn waits_for_secret(client: &Client, run: RunId) -> Result<String> {
    wait::until(bounds::RUN, "the run to wait for a secret", || {
        let explained: Explanation = client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
        Ok(match explained.reasons.iter().find(|reason| reason.because == Because::Secret) {
            Some(reason) => wait::Look::Done(format!("{}: {}", explained.summary, reason.message)),
            None => wait::Look::NotYet(format!("{explained:?}")),
        })
    })
}

fn failures(client: &Client, run: RunId) -> Result<u32> {
    Ok(client.run(run)?.steps[0].failures)
}

#[test]
fn a_secret_that_was_forgotten_at_a_start_uses_up_no_attempt_and_the_next_start_with_it_goes_on() -> Result<()> {
    let mut pawl = Embedded::start("secrets_dev", &["waits"], NEEDY)?;
    for _ in 0..2 {
        let run = pawl.submit("needy", &orders())?;
        let said = waits_for_secret(&pawl.client, run)?;
        ensure!(said.contains("1 waiting for a worker that has a secret"), "{said}");
        ensure!(said.contains("the secret `token`") && said.contains("start workers with PAWL_SECRET_TOKEN"), "{said}");
        let events = pawl.client.events(run)?;
        ensure!(events.iter().any(|event| event.is(EventKind::StepDeferred)), "{events:?}");
        pawl.process()?.kill9();

        pawl.start_process(&[SECRET])?;
        pawl.succeeds(run, bounds::RECOVERY)?;
        ensure!(pawl.client.output(run, "ask")?["saw"][1] == 5, "it was given the secret");
        ensure!(failures(&pawl.client, run)? == 0, "no attempt was used up");
        wait::until_true(bounds::RECOVERY, "nobody to wait for it any more", || {
            Ok(pawl.client.get("/v1/circuits")?.read::<CircuitList>()?.circuits.is_empty())
        })?;
        pawl.process()?.kill9();
        pawl.start_process(&[])?;
    }
    pawl.finish_with(&[])
}

#[test]
fn beside_workers_that_lack_a_secret_one_that_has_it_lets_all_go_on() -> Result<()> {
    const RUNS: usize = 20;
    let mut cluster = Cluster::start("secrets_beside")?;
    cluster.push("waits")?;
    cluster.apply(NEEDY)?;
    cluster.worker("poor").set("PAWL_CIRCUIT_FIRST", "500ms").start()?;
    let inputs = vec![orders(); RUNS];
    let runs = cluster.client.submit_all("needy", &inputs)?;
    for run in &runs {
        wait::until_true(bounds::RUN, "it to be deferred", || {
            Ok(cluster.client.events(*run)?.iter().any(|event| event.is(EventKind::StepDeferred)))
        })?;
    }
    waits_for_secret(&cluster.client, runs[0])?;
    let listed = cluster.pawl(&["circuits"])?;
    ensure!(listed.contains("secret:token") && listed.contains("start workers with PAWL_SECRET_TOKEN"), "{listed}");
    let doctor = cluster.try_pawl(&["doctor", "--quick"])?;
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(said.contains("workers lack `token`") && said.contains("no outside host is down"), "{said}");

    cluster.worker("rich").set("PAWL_CIRCUIT_FIRST", "500ms").set(SECRET.0, SECRET.1).start()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    ensure!(cluster.database.value::<i64>("select sum(failures)::bigint from step")? == 0, "attempts were used up");
    wait::until_true(bounds::RECOVERY, "the circuit to go", || {
        Ok(cluster.database.value::<i64>("select count(*) from circuit")? == 0)
    })?;
    cluster.finish()
}

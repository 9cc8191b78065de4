//! A journal that a newer version of Pawl has written, as an older worker meets it in an upgrade: the step is left to whoever knows
//! it, and is blamed for nothing.

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{Because, EventKind, Explanation};
use pawl_domain::id::{Digest, RunId};
use pawl_domain::journal::{KNOWN, Knowledge};
use pawl_tests::{Cluster, bounds, wait};
use serde_json::json;

use crate::waits::{awaits, is_waiting, signal};

/// The first row of the only journal that there is.
fn row(cluster: &Cluster) -> Result<Vec<u8>> {
    cluster.database.value("select bytes from journal where first = 0")
}

fn overwrite(cluster: &Cluster, bytes: &[u8]) -> Result<()> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (bytes, digest) = (hex(bytes), hex(&Digest::of(bytes).0));
    cluster.database.execute(&format!(
        "update journal set bytes = decode('{bytes}', 'hex'), digest = decode('{digest}', 'hex') where first = 0"
    ))
}

/// A step that waits for a signal, whose first entry is of a kind that this build does not know by then.
fn begun_by_a_newer_one(cluster: &mut Cluster) -> Result<(RunId, Vec<u8>)> {
    cluster.push("waits")?;
    cluster.apply("name = \"one\"\n[[step]]\nname = \"wait\"\nplugin = \"waits\"\nretry = { max_attempts = 1 }\n")?;
    let run = cluster.submit("one", &json!([{"do": "now"}, awaits("go", None)]))?;
    is_waiting(cluster, run, "wait")?;
    let known = row(cluster)?;
    let mut newer = known.clone();
    newer[1] = u8::try_from(KNOWN.kinds)?;
    overwrite(cluster, &newer)?;
    signal(cluster, run, "go", &json!(1))?;
    Ok((run, known))
}

#[test]
fn a_step_that_a_newer_worker_has_begun_is_left_to_one_that_knows_it_and_uses_up_nothing() -> Result<()> {
    let mut cluster = Cluster::start("newer_journal")?;
    cluster.worker("old").set("PAWL_CIRCUIT_FIRST", "500ms").start()?;
    let (run, known) = begun_by_a_newer_one(&mut cluster)?;
    let said = wait::until(bounds::RUN, "the step to wait for a newer worker", || {
        let explained: Explanation = cluster.client.get(&format!("/v1/runs/{run}/explain"))?.read()?;
        Ok(match explained.reasons.iter().find(|reason| reason.because == Because::Version) {
            Some(reason) => wait::Look::Done(reason.message.clone()),
            None => wait::Look::NotYet(format!("{explained:?}")),
        })
    })?;
    ensure!(said.contains("written by a newer version of Pawl") && said.contains("upgrade the workers"), "{said}");
    let needs = Knowledge { kinds: KNOWN.kinds + 1, ..KNOWN };
    let listed = cluster.pawl(&["circuits"])?;
    ensure!(listed.contains(&format!("journal:{needs}")), "{listed}");
    let log = std::fs::read_to_string(cluster.log("old"))?;
    ensure!(log.contains("this worker leaves it to one that knows it"), "{log}");

    // It looks for it again, less and less often.
    let deferred = || -> Result<usize> {
        Ok(cluster.client.events(run)?.iter().filter(|event| event.is(EventKind::StepDeferred)).count())
    };
    wait::until_true(bounds::RECOVERY, "another look at it", || Ok(deferred()? >= 2))?;
    ensure!(deferred()? < 20, "it spins: {}", cluster.story(run));

    // As if this worker were one that knows it: it lets all go on that wait for one.
    overwrite(&cluster, &known)?;
    cluster.database.execute(&format!("update circuit set origin = 'journal:{KNOWN}'"))?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let failures: i32 = cluster.database.value("select failures from step")?;
    ensure!(failures == 0, "attempts were used up");
    let log = std::fs::read_to_string(cluster.log("old"))?;
    ensure!(log.contains("this worker has what others lack"), "{log}");
    cluster.finish()
}

#[test]
fn without_circuits_such_a_step_fails_with_the_fix_and_goes_on_after_it() -> Result<()> {
    let mut cluster = Cluster::start("newer_journal_fails")?;
    cluster.worker("old").set("PAWL_CIRCUITS", "false").start()?;
    let (run, known) = begun_by_a_newer_one(&mut cluster)?;
    cluster.ends(run, bounds::RUN)?;
    let step: serde_json::Value = cluster.client.get(&format!("/v1/runs/{run}/steps/wait"))?.read()?;
    let message = step["error"]["message"].as_str().context("it has failed")?.to_owned();
    ensure!(message.contains("upgrade the workers, then `pawl run retry`"), "{message}");
    overwrite(&cluster, &known)?;
    cluster.client.retry(run)?;
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish()
}

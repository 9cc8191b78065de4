//! Servers that go away, come back empty, or were not there in the first place: nothing is lost, work is
//! only delayed, and nobody has to restart anything.

use anyhow::Result;
use pawl_rehearsal::private::Process;
use pawl_tests::proxy::Mode;
use pawl_tests::{Cluster, Proxy, Scrape, binary, bounds, wait};
use serde_json::json;

use crate::metrics::figures_of;
use crate::pipelines;

/// Submits runs that take a while, in a cluster with two workers, and waits until some have ended and some
/// have not.
fn in_mid_run(cluster: &mut Cluster) -> Result<Vec<pawl_domain::id::RunId>> {
    pipelines::chain_of_naps(cluster, 5)?;
    cluster.worker("a").start()?;
    cluster.worker("b").start()?;
    let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 60])?;
    wait::until_true(bounds::RUN, "some runs to end", || {
        Ok(cluster.database.value::<i64>("select count(*) from run where ended_at is not null")? >= 5)
    })?;
    Ok(runs)
}

/// Waits until a worker tells that the queue has lost what it held; that its streams were new when it came was no loss.
fn until_loss_is_told(cluster: &Cluster) -> Result<()> {
    let workers = [figures_of(cluster, "a")?, figures_of(cluster, "b")?];
    wait::until_true(bounds::RECOVERY, "the loss to be told", || {
        let told = workers.iter().map(|worker| Ok(Scrape::of(worker)?.sum("pawl_queue_losses_total", &[])));
        let told: f64 = told.sum::<Result<f64>>()?;
        assert!(told <= 2.0, "one loss was told {told} times by two workers");
        Ok(told > 0.0)
    })
}

#[test]
fn an_emptied_redis_delays_and_loses_nothing() -> Result<()> {
    let mut cluster = Cluster::start("flush_all")?;
    cluster.set("PAWL_METRICS_LISTEN", "127.0.0.1:0");
    let runs = in_mid_run(&mut cluster)?;
    cluster.redis.flush_all()?;
    until_loss_is_told(&cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_redis_that_is_restarted_empty_delays_and_loses_nothing() -> Result<()> {
    let mut cluster = Cluster::start("redis_restarted_empty")?;
    cluster.set("PAWL_METRICS_LISTEN", "127.0.0.1:0");
    let runs = in_mid_run(&mut cluster)?;
    cluster.redis_server.restart_empty()?;
    until_loss_is_told(&cluster)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn submissions_are_accepted_while_redis_is_away_and_delivered_when_it_is_back() -> Result<()> {
    let mut cluster = Cluster::start("redis_away")?;
    pipelines::chain(&cluster, 2)?;
    cluster.worker("a").start()?;
    cluster.redis_server.stop();
    let runs = cluster.client.submit_all("chain-2", &vec![json!(1); 5])?;
    cluster.redis_server.launch()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_worker_is_not_ready_while_its_lease_can_not_be_renewed() -> Result<()> {
    let mut cluster = Cluster::start("worker_ready")?;
    cluster.set("PAWL_METRICS_LISTEN", "127.0.0.1:0");
    cluster.worker("a").start()?;
    let worker = figures_of(&cluster, "a")?;
    let says = |status: u16| {
        wait::until_true(bounds::RUN, &format!("/ready to say {status}"), || Ok(worker.get("/ready")?.status == status))
    };
    says(200)?;
    cluster.postgres.stop()?;
    says(503)?;
    cluster.postgres.launch()?;
    says(200)?;
    cluster.finish()
}

#[test]
fn a_postgres_that_is_restarted_without_warning_loses_nothing_that_was_answered() -> Result<()> {
    let mut cluster = Cluster::start("postgres_immediate")?;
    let runs = in_mid_run(&mut cluster)?;
    cluster.postgres.restart_immediate()?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    let failures: i64 = cluster.database.value("select count(*) from step where failures > 0")?;
    assert_eq!(failures, 0, "an outage used up a retry");
    cluster.finish()
}

#[test]
fn connections_that_break_or_lose_answers_again_and_again_lose_nothing() -> Result<()> {
    let mut cluster = Cluster::start("broken_connections")?;
    let postgres = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    let redis = Proxy::start(format!("127.0.0.1:{}", cluster.redis_server.port()))?;
    pipelines::chain_of_naps(&cluster, 5)?;
    for name in ["a", "b"] {
        let (database, queue) = (postgres.url(&cluster.postgres.url()), redis.url(&cluster.redis_server.url()));
        cluster.worker(name).set("PAWL_DATABASE_URL", &database).set("PAWL_REDIS_URL", &queue).start()?;
    }
    let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 60])?;
    for (mode, proxy) in [
        (Mode::LoseAnswers, &postgres),
        (Mode::LoseAnswers, &redis),
        (Mode::LoseAnswers, &postgres),
        (Mode::Stall, &redis),
        (Mode::LoseAnswers, &postgres),
    ] {
        // Work goes on by itself after each of them; and only who has a connection can lose an answer.
        let before = succeeded(&cluster)?;
        wait::until_true(bounds::RECOVERY, "a step to succeed", || {
            Ok(succeeded(&cluster)? > before || ended(&cluster)? == runs.len())
        })?;
        if ended(&cluster)? == runs.len() {
            break;
        }
        proxy.set(mode);
        // What is sent now is done, and nobody learns of it; then whoever waits for the answer is cut off.
        let before = cluster.database.writes()?;
        wait::until_true(bounds::PROCESS, "something to be written meanwhile", || {
            Ok(cluster.database.writes()? > before || ended(&cluster)? == runs.len())
        })?;
        proxy.break_all();
        proxy.heal();
    }
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_way_to_postgres_that_goes_silent_without_a_reset_is_noticed() -> Result<()> {
    let mut cluster = Cluster::start("silent_postgres")?;
    let postgres = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    pipelines::chain_of_naps(&cluster, 5)?;
    let database = postgres.url(&cluster.postgres.url());
    cluster.worker("a").set("PAWL_DATABASE_URL", &database).start()?;
    let runs = cluster.client.submit_all("naps-5", &vec![json!(null); 30])?;
    wait::until_true(bounds::RUN, "a run to end", || Ok(ended(&cluster)? >= 1))?;
    // The connections stay open and answers to what is asked now never come, as when a host dies.
    postgres.set(Mode::LoseAnswers);
    let before = cluster.database.writes()?;
    wait::until_true(bounds::PROCESS, "something to be written", || Ok(cluster.database.writes()? > before))?;
    postgres.heal();
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_batch_that_arrives_after_the_takeover_changes_nothing() -> Result<()> {
    let mut cluster = Cluster::start("late_batch")?;
    let postgres = Proxy::start(format!("127.0.0.1:{}", cluster.postgres.port()))?;
    pipelines::batch(&cluster)?;
    let database = postgres.url(&cluster.postgres.url());
    cluster.worker("cut-off").set("PAWL_DATABASE_URL", &database).start()?;
    let run = cluster.submit("batch", &pipelines::batch_of(300, 10))?;
    wait::until_true(bounds::RUN, "checkpoints", || {
        cluster.database.value::<bool>("select coalesce(max(checkpoint_ordinal), 0) > 20 from step")
    })?;
    postgres.set(Mode::Stall);
    cluster.worker("other").start()?;
    wait::until_true(bounds::RECOVERY, "the takeover", || {
        cluster.database.value::<bool>("select fence >= 3 and status = 'running' from step")
    })?;
    // Now what the first worker sent arrives.
    postgres.heal();
    cluster.succeeds(run, bounds::RECOVERY)?;
    assert_eq!(cluster.database.value::<i64>("select fence from step")?, 3);
    assert_eq!(cluster.client.output(run, "batch")?["digest"], pipelines::digest_of(300));
    // And it is a worker again.
    cluster.the("other")?.terminate(bounds::PROCESS)?;
    let again = cluster.submit("batch", &pipelines::batch_of(5, 1))?;
    cluster.succeeds(again, bounds::RECOVERY)?;
    cluster.finish()
}

fn ended(cluster: &Cluster) -> Result<usize> {
    Ok(usize::try_from(cluster.database.value::<i64>("select count(*) from run where ended_at is not null")?)?)
}

/// How many steps have succeeded.
fn succeeded(cluster: &Cluster) -> Result<i64> {
    cluster.database.value("select count(*) from step where status = 'succeeded'")
}

#[test]
fn processes_wait_for_servers_that_are_not_there_yet() -> Result<()> {
    let mut cluster = Cluster::start("servers_down_at_start")?;
    pipelines::chain(&cluster, 1)?;
    cluster.postgres.stop()?;
    cluster.redis_server.stop();
    cluster.worker("a").start()?;
    let log = cluster.log("a");
    wait::until_true(bounds::PROCESS, "the worker to say what it waits for", || {
        Ok(std::fs::read_to_string(&log).unwrap_or_default().contains("Postgres"))
    })?;
    cluster.the("a")?.ensure_running()?;
    cluster.postgres.launch()?;
    cluster.redis_server.launch()?;
    let run = wait::until(bounds::PROCESS, "the API to find Postgres again", || {
        Ok(match cluster.submit("chain-1", &json!(1)) {
            Ok(run) => wait::Look::Done(run),
            Err(error) => wait::Look::NotYet(format!("{error:#}")),
        })
    })?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    cluster.finish()
}

#[test]
fn a_process_refuses_a_schema_that_is_too_new_and_waits_for_one_that_is_too_old() -> Result<()> {
    let mut cluster = Cluster::start("another_schema")?;
    let refuses = |cluster: &Cluster, role: &str, fix: &str| -> Result<()> {
        let output = cluster.try_pawl(&[role])?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(!output.status.success() && said.contains(fix), "{role} said: {said}");
        Ok(())
    };
    // A database from the future.
    cluster.database.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (99990101, 'from the future', true, '', 0);
         update works_with set oldest = 99990101",
    )?;
    refuses(&cluster, "worker", "use a newer pawl")?;
    cluster
        .database
        .execute("delete from _sqlx_migrations where version = 99990101; update works_with set oldest = 25")?;
    // And one from the past, which somebody is about to migrate.
    cluster.database.execute("create table kept as select * from _sqlx_migrations")?;
    cluster
        .database
        .execute("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)")?;
    cluster.worker("a").start()?;
    let log = cluster.log("a");
    wait::until_true(bounds::PROCESS, "the worker to say what it waits for", || {
        Ok(std::fs::read_to_string(&log).unwrap_or_default().contains("run `pawl migrate`"))
    })?;
    cluster.the("a")?.ensure_running()?;
    assert_eq!(cluster.database.value::<i64>("select count(*) from worker")?, 0, "it has begun");
    cluster
        .database
        .execute("insert into _sqlx_migrations select * from kept on conflict do nothing; drop table kept")?;
    wait::until_true(bounds::PROCESS, "the worker to be there", || Ok(cluster.client.workers()?.workers.len() == 1))?;
    cluster.finish()
}

/// The API is away while one waits, and again when the end comes.
#[test]
fn who_waits_for_a_run_outlasts_restarts_of_the_api() -> Result<()> {
    let mut cluster = Cluster::start("wait_over_restarts")?;
    crate::waits::pipeline(&cluster)?;
    cluster.worker("a").start()?;
    let input = json!([crate::waits::awaits("go", None)]).to_string();
    let words = ["run", "submit", "waits", "--input", &input, "--wait"];
    let log = cluster.log("waiting");
    let mut command = binary::pawl()?;
    command.args(words).envs(cluster.environment());
    let mut waiting = Process::spawn("waiting", command, &log)?;
    let said =
        |words: &str| wait::until_true(bounds::RUN, words, || Ok(std::fs::read_to_string(&log)?.contains(words)));
    said("waiting for its end")?;
    let run = cluster.database.value::<String>("select id::text from run")?.parse()?;
    crate::waits::is_waiting(&cluster, run, "wait")?;
    for _ in 0..2 {
        cluster.api()?.kill9();
        said("trying again")?;
        cluster.start_api(&[])?;
    }
    crate::waits::signal(&cluster, run, "go", &json!(1))?;
    let status = waiting.wait(bounds::RUN)?;
    let said = std::fs::read_to_string(&log)?;
    assert!(status.is_some_and(|status| status.success()), "{status:?}: {said}");
    assert!(said.contains(r#""saw":[1]"#), "{said}");
    cluster.finish()
}

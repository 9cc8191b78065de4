//! The views for people with psql, over an installation in which everything has happened: they say what the API says, in
//! names, and whoever may read them may do nothing else.

use anyhow::{Context as _, Result, ensure};
use pawl_domain::id::RunId;
use pawl_tests::{Cluster, Database, binary, bounds, wait};
use serde_json::json;

use crate::waits::{awaits, is_waiting};
use crate::{pipelines, waits};

const FLAKY: &str =
    "name = \"flaky\"\n[[step]]\nname = \"read\"\nplugin = \"flaky\"\nretry = { max_attempts = 2, delay = \"1ms\" }\n";

const NOBODYS: &str = "name = \"nobodys\"\n[[step]]\nname = \"first\"\nplugin = \"echo\"\nqueue = \"nobodys\"\n\
                       priority = \"high\"\n[[step]]\nname = \"then\"\nplugin = \"echo\"\nneeds = [\"first\"]\n";

/// A run of each kind.
pub(crate) struct Runs {
    pub(crate) parked: RunId,
    pub(crate) failed: RunId,
    pub(crate) sleeps: RunId,
    pub(crate) awaits: RunId,
    pub(crate) queued: RunId,
}

pub(crate) fn filled(cluster: &mut Cluster) -> Result<Runs> {
    pipelines::batch(cluster)?;
    waits::pipeline(cluster)?;
    pipelines::chain(cluster, 3)?;
    cluster.push("flaky")?;
    cluster.apply(FLAKY)?;
    cluster.apply(NOBODYS)?;
    cluster.worker("first").start()?;
    let input = json!({"items": 120, "pause_ms": 10, "readings": 1, "checkpoint_every": 40});
    let parked = cluster.submit("batch", &input)?;
    wait::until_true(bounds::RUN, "answers after a checkpoint", || {
        cluster.database.value::<bool>("select coalesce(journal_length - checkpoint_position, 0) >= 5 from step")
    })?;
    cluster.the("first")?.kill9();
    // Version 2 asks other questions: moved to it, the step is parked.
    cluster.push_as("batch-v2", "batch", "2")?;
    cluster.worker("elsewhere").set("PAWL_QUEUES", "elsewhere").start()?;
    wait::until_true(bounds::RECOVERY, "the takeover", || {
        cluster.database.value::<bool>("select status = 'ready' from step")
    })?;
    cluster.client.resume(parked, "batch", "latest")?;
    cluster.worker("second").start()?;
    let failed = cluster.submit("flaky", &json!({"failures": 2}))?;
    let succeeded = cluster.submit("chain-3", &json!(1))?;
    let sleeps = cluster.submit("waits", &json!([{"do": "sleep", "ms": 3_600_000}]))?;
    let awaits = cluster.submit("waits", &json!([awaits("go", None)]))?;
    let queued = cluster.submit("nobodys", &json!(1))?;
    for run in [sleeps, awaits] {
        is_waiting(cluster, run, "wait")?;
    }
    ensure!(cluster.ends(failed, bounds::RUN)?.as_str() == "failed");
    cluster.succeeds(succeeded, bounds::RUN)?;
    wait::until_true(bounds::RUN, "the step to be parked, and its first worker to be gone", || {
        cluster.database.value::<bool>(
            "select exists (select from step where status = 'parked') and exists (select from gone_worker)",
        )
    })?;
    Ok(Runs { parked, failed, sleeps, awaits, queued })
}

#[test]
fn views_say_what_has_happened_in_names() -> Result<()> {
    let mut cluster = Cluster::start("views")?;
    let runs = filled(&mut cluster)?;
    let database = cluster.database.clone();
    let says = |sql: String, expected: &[&str]| -> Result<()> {
        let found = database.lines(&sql)?;
        ensure!(found == expected, "{sql}:\n{found:#?}\nwas to be\n{expected:#?}");
        Ok(())
    };
    let Runs { parked, failed, sleeps, awaits, queued } = runs;
    says(
        format!(
            "select concat_ws(' ', namespace, pipeline, status, steps, steps_left, failing, took > '0') from pawl_view_runs where run_id = '{failed}'"
        ),
        &["default flaky failed 1 0 t t"],
    )?;
    says(
        format!(
            "select concat_ws(' ', step_no, step, status, queue, priority, plugin, attempts, failures, reason) from pawl_view_steps where run_id = '{failed}'"
        ),
        &["0 read failed default normal flaky 2 2 attempt 2 of 2 that fail"],
    )?;
    says(
        format!(
            "select concat_ws(' ', step_no, step, status, queue, priority, needs_unmet) from pawl_view_steps where run_id = '{queued}' order by step_no"
        ),
        &["0 first ready nobodys high 0", "1 then blocked default normal 1"],
    )?;
    says(
        "select concat_ws(' ', pipeline, step, cause, reason) from pawl_view_failures where namespace = 'default' order by run_created_at desc limit 20".to_owned(),
        &["flaky read retry attempt 2 of 2 that fail"],
    )?;
    says(
        "select concat_ws(' ', run_id, pipeline, step, cause, split_part(reason, ' at ', 1), parked_at <= now()) from pawl_view_parked".to_owned(),
        &[&format!("{parked} batch batch divergence the replay left the journal t")],
    )?;
    says(
        format!(
            "select concat_ws(' ', step, kind, signal, due_in > '50 minutes', due_at is null) from pawl_view_waits where run_id in ('{sleeps}', '{awaits}') order by due_at"
        ),
        &["wait sleep t f", "wait signal go t"],
    )?;
    says(
        "select concat_ws(' ', queue, priority, ready, workers, oldest_waits > '0') from pawl_view_queues".to_owned(),
        &["nobodys high 1 0 t"],
    )?;
    says(
        "select concat_ws(' ', state, queues, slots, said_goodbye) from pawl_view_workers order by started_at"
            .to_owned(),
        &["gone {default} 4 f", "alive {elsewhere} 4", "alive {default} 4"],
    )?;
    says(
        "select concat_ws(' ', run_id, pipeline, step, worker_id <> replacement_id, outcome, entries_to_replay >= 5) from pawl_view_recoveries order by taken_over_at desc limit 20".to_owned(),
        &[&format!("{parked} batch batch t failed t")],
    )?;
    says(
        "select concat_ws(' ', sum(submitted), sum(pending), sum(running), sum(succeeded), sum(failed), sum(cancelled)) from pawl_view_throughput".to_owned(),
        &["6 1 3 1 1 0"],
    )?;
    for run in [parked, failed, sleeps, queued] {
        let told = cluster.client.events(run)?;
        let told = told.iter().map(|it| {
            let words = [it.step.as_deref().unwrap_or("-"), it.note.as_deref().unwrap_or("-")];
            format!("{} {} {} {}", it.number, it.kind, words[0], words[1])
        });
        let told: Vec<String> = told.collect();
        let sql = format!(
            "select concat_ws(' ', number, kind, coalesce(step, '-'), coalesce(note, '-')) from pawl_view_events where run_id = '{run}' order by number"
        );
        says(sql, &told.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    for run in [parked, sleeps, awaits] {
        cluster.client.cancel(run)?;
    }
    cluster.worker("late").set("PAWL_QUEUES", "default,nobodys").start()?;
    cluster.succeeds(queued, bounds::RUN)?;
    cluster.finish()
}

#[test]
fn what_a_guest_has_said_takes_no_view_away() -> Result<()> {
    let cluster = Cluster::start("views_words")?;
    let read = |json: &str| {
        cluster.database.value::<String>(&format!("select pawl_view_json_v1('{json}'::bytea) ->> 'message'"))
    };
    assert_eq!(read(r#"{"message": "an order"}"#)?, "an order");
    // In a bytea a backslash is written twice.
    assert_eq!(read(r#"{"message": "a\\u0000b"}"#)?, "a\u{fffd}b", "no text has the character of number 0");
    for other in [r#"{"message": "m", "details": 1e-20000}"#, r#"{"message": "\\ud800"}"#, r"\\xff", "no JSON"] {
        assert!(read(other)?.contains("`pawl run get` can"), "{other}");
    }
    cluster.finish()
}

/// As docs/views.md has it.
#[test]
fn who_may_read_the_views_may_do_nothing_else() -> Result<()> {
    let mut cluster = Cluster::start("views_reader")?;
    pipelines::chain(&cluster, 1)?;
    let run = cluster.submit("chain-1", &json!(1))?;
    let page = std::fs::read_to_string(binary::repository().join("docs/views.md"))?;
    let grants = page.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next()).context("the page has SQL")?;
    cluster.database.execute(grants)?;
    // So that it can be asked as that role.
    cluster.database.execute("alter role pawl_reader login")?;
    let reader = Database::new(&cluster.postgres.url().replace("//pawl@", "//pawl_reader@"))?;
    let views = cluster
        .database
        .lines("select viewname::text from pg_views where viewname like 'pawl\\_view\\_%' order by 1")?;
    assert_eq!(views.len(), 13, "{views:?}");
    for view in &views {
        reader.execute(&format!("select * from {view} limit 20"))?;
        let updatable: String =
            cluster.database.value(&format!("select is_updatable::text || is_insertable_into::text from information_schema.views where table_name = '{view}'"))?;
        assert_eq!(updatable, "NONO", "{view}");
        assert!(reader.execute(&format!("delete from {view}")).is_err(), "{view}");
    }
    for table in ["run", "step", "journal", "checkpoint", "component"] {
        let refused = reader.execute(&format!("select * from {table} limit 1")).expect_err(table).to_string();
        assert!(refused.contains("permission denied"), "{table}: {refused}");
    }
    // Every other example of the page is a question that has an answer.
    for question in page.split("```sql\n").skip(2) {
        let question = question.split("```").next().unwrap_or_default();
        reader.execute(question.trim().trim_end_matches(';')).with_context(|| question.to_owned())?;
    }
    cluster.worker("a").start()?;
    cluster.succeeds(run, bounds::RUN)?;
    cluster.finish()
}

//! Budgets that count things and hold on any machine. The counts are those of Postgres and Redis: a commit
//! is a transaction that got an id, a round trip to Redis is a read from a socket.

use std::time::Duration;

use anyhow::Result;
use pawl_tests::redis::Traffic;
use pawl_tests::{Cluster, binary, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// Counts of both servers at one moment.
struct Counts {
    writes: u64,
    steps: i64,
    redis: Traffic,
}

fn counts(cluster: &Cluster) -> Result<Counts> {
    Ok(Counts {
        writes: cluster.database.writes()?,
        steps: cluster.database.value("select count(*) from step where status = 'succeeded'")?,
        redis: cluster.redis.traffic()?,
    })
}

/// Commits and Redis round trips for each step between two moments.
fn per_step(before: &Counts, after: &Counts) -> (f64, f64) {
    let steps = (after.steps - before.steps) as f64;
    let commits = (after.writes - before.writes) as f64 / steps;
    (commits, (after.redis.reads - before.redis.reads) as f64 / steps)
}

#[test]
fn commits_per_step_with_one_run_at_a_time() -> Result<()> {
    let mut cluster = Cluster::start("commits_one_at_a_time")?;
    pipelines::chain(&cluster, 10)?;
    cluster.worker("a").default_lease().slots(16).start()?;
    let warm = cluster.submit("chain-10", &json!(0))?;
    cluster.succeeds(warm, bounds::RUN)?;
    let before = counts(&cluster)?;
    for number in 0..30 {
        let run = cluster.submit("chain-10", &json!(number))?;
        cluster.succeeds(run, bounds::RUN)?;
    }
    let (commits, reads) = per_step(&before, &counts(&cluster)?);
    eprintln!("one run at a time: {commits:.3} commits and {reads:.3} Redis round trips per step");
    // The quicker guests are than commits, the closer to 0.4. Without run-ahead, each step has one, and each run two more.
    let budget = if binary::runs_ahead() { 0.6 } else { 1.3 };
    assert!(commits <= budget, "{commits:.3} commits per step, submission included; the budget is {budget}");
    cluster.finish()
}

#[test]
fn commits_and_redis_round_trips_per_step_with_256_runs_in_flight() -> Result<()> {
    let mut cluster = Cluster::start("commits_256_in_flight")?;
    pipelines::chain(&cluster, 10)?;
    cluster.worker("a").default_lease().slots(256).start()?;
    cluster.client.keep_in_flight("chain-10", 64, 64)?;
    let before = counts(&cluster)?;
    cluster.client.keep_in_flight("chain-10", 256, 1_500)?;
    let (commits, reads) = per_step(&before, &counts(&cluster)?);
    eprintln!("256 in flight: {commits:.4} commits and {reads:.4} Redis round trips per step");
    assert!(commits <= 0.05, "{commits:.4} commits per step; the budget is 0.05");
    assert!(reads <= 0.1, "{reads:.4} Redis round trips per step; the budget is 0.1");
    cluster.finish()
}

#[test]
fn no_write_reads_a_whole_table() -> Result<()> {
    let mut cluster = Cluster::start("whole_tables")?;
    // Whether a plan turns bad depends on when autovacuum looks: so also that none can. A function that is replaced
    // loses its settings.
    let unsettled = cluster.database.lines(
        "select p.oid::regprocedure::text from pg_proc p join pg_language l on l.oid = p.prolang
         where p.proname ~ '^pawl_.*_v[0-9]+$' and l.lanname = 'plpgsql' and p.prokind = 'f'
           and not coalesce(p.proconfig @> '{plan_cache_mode=force_generic_plan,enable_seqscan=off}', false)",
    )?;
    // The parts of a function run under its settings; a later version of it may use those of an earlier one.
    let strays = cluster.database.lines(
        "select part.proname || ' is called by ' || p.proname
         from pg_proc part join pg_proc p on p.prosrc like '%' || part.proname || '(%'
         where part.proname ~ '^pawl_.*_v[0-9]+_'
           and not starts_with(p.proname, substring(part.proname from '^(pawl_.*_v)[0-9]+_'))",
    )?;
    assert_eq!(strays, [""; 0], "parts that others call than the function they are named after");
    assert_eq!(unsettled, [""; 0], "functions that are not planned by indexes: see migrations/0010_plans.sql");
    pipelines::chain(&cluster, 10)?;
    let scans = "select coalesce(sum(seq_scan), 0)::bigint from pg_stat_user_tables
                 where relname in ('step', 'journal', 'checkpoint', 'event')";
    let before: i64 = cluster.database.value(scans)?;
    // Plans are made while the tables are new, and have not been counted when they are large.
    cluster.worker("a").default_lease().slots(128).start()?;
    cluster.client.keep_in_flight("chain-10", 64, 600)?;
    // A session hands in its counts when it ends.
    cluster.the("a")?.terminate(bounds::PROCESS)?;
    cluster.api()?.terminate(bounds::PROCESS)?;
    assert_eq!(cluster.database.value::<i64>(scans)? - before, 0, "whole tables were read");
    cluster.start_api(&[])?;
    cluster.finish()
}

/// Plans are kept, so the worst moment to make one is when the tables have just been counted and hold next to nothing.
#[test]
fn a_step_costs_the_same_pages_however_its_statements_were_planned() -> Result<()> {
    let mut cluster = Cluster::start("pages")?;
    cluster.database.execute("create extension pg_stat_statements")?;
    pipelines::chain(&cluster, 10)?;
    // Branches that take their time end one by one: many small batches over a large table.
    cluster.push("batch")?;
    let branches: Vec<String> = (0..300).map(|number| format!("b{number}")).collect();
    let branch = |name| {
        format!(
            "[[step]]\nname = \"{name}\"\nplugin = \"batch\"\nneeds = [\"start\"]\n\
             config = {{ items = 1, pause_ms = 20 }}\n"
        )
    };
    cluster.apply(&format!(
        "name = \"fan\"\n[[step]]\nname = \"start\"\nplugin = \"echo\"\n{}\
         [[step]]\nname = \"join\"\nplugin = \"echo\"\nneeds = {branches:?}\n",
        branches.iter().map(branch).collect::<String>()
    ))?;
    cluster.worker("early").start()?;
    cluster.client.keep_in_flight("chain-10", 1, 3)?;
    cluster.the("early")?.terminate(bounds::PROCESS)?;
    for table in ["run", "step", "event", "journal", "checkpoint", "signal", "worker"] {
        cluster.database.execute(&format!("alter table {table} set (autovacuum_enabled = off)"))?;
        cluster.database.execute(&format!("vacuum (analyze) {table}"))?;
    }
    cluster.start_api(&[])?;
    cluster.worker("a").default_lease().slots(128).start()?;
    // All plans are made by these.
    cluster.client.keep_in_flight("chain-10", 1, 3)?;
    let pages = |cluster: &Cluster, pipeline: &str, runs: usize| -> Result<f64> {
        cluster.database.execute("select pg_stat_statements_reset()")?;
        let before = counts(cluster)?.steps;
        cluster.client.keep_in_flight(pipeline, 128, runs)?;
        let steps = counts(cluster)?.steps - before;
        let sql = "select sum(shared_blks_hit + shared_blks_read)::bigint from pg_stat_statements
                   where userid = 'pawl'::regrole and query ~ 'pawl_(write|submit)_v[0-9]'";
        Ok(cluster.database.value::<i64>(sql)? as f64 / steps as f64)
    };
    for (pipeline, runs) in [("chain-10", 300), ("fan", 3), ("chain-10", 50)] {
        let pages = pages(&cluster, pipeline, runs)?;
        eprintln!("{pipeline}: {pages:.0} pages a step");
        // 70 to 130 where branches end one by one, by how many of them a commit takes along; a plan that walks, 686. Where
        // something keeps a snapshot all the time, 260 to 380 without run-ahead: see migrations/0034_short_snapshots.sql.
        assert!(pages <= 250.0, "{pages:.0} pages a step of {pipeline}: a statement reads what it does not change");
    }
    cluster.finish()
}

/// Calls of Pawl's statements whose text matches; these tests ask as another user.
fn calls(cluster: &Cluster, pattern: &str) -> Result<i64> {
    let sql =
        "select coalesce(sum(calls), 0)::bigint from pg_stat_statements where userid = 'pawl'::regrole and query ~* ";
    cluster.database.value(&format!("{sql} '{pattern}'"))
}

/// Waits until the database's clock has moved on by this much.
fn observe(cluster: &Cluster, time: Duration) -> Result<()> {
    let from: String = cluster.database.value("select clock_timestamp()::text")?;
    let passed = format!("select clock_timestamp() - timestamptz '{from}' >= interval '{} ms'", time.as_millis());
    wait::until_true(time + bounds::PROCESS, "time to pass", || cluster.database.value(&passed))
}

#[test]
fn a_batch_is_one_round_trip_and_its_own_transaction() -> Result<()> {
    let mut cluster = Cluster::start("round_trips")?;
    cluster.database.execute("create extension pg_stat_statements")?;
    pipelines::everything(&cluster)?;
    let target = pawl_tests::Target::start()?;
    cluster.worker("a").slots(16).start()?;
    // Components are loaded in transactions that read; once.
    let warm = cluster.submit("everything", &pipelines::everything_input(&target, 100))?;
    cluster.succeeds(warm, bounds::RUN)?;
    cluster.database.execute("select pg_stat_statements_reset()")?;
    let inputs: Vec<_> = (0..100).map(|number| pipelines::everything_input(&target, number)).collect();
    let runs = cluster.client.submit_all("everything", &inputs)?;
    cluster.all_succeed(&runs, bounds::RECOVERY)?;
    let batches = calls(&cluster, "pawl_write")?;
    assert!(batches > 0, "the group writer's function was not seen");
    for statement in ["^begin", "^start transaction", "^commit"] {
        assert_eq!(calls(&cluster, statement)?, 0, "a batch waited for its client: {statement}");
    }
    eprintln!("{} steps in {batches} batches", runs.len() * pipelines::EVERYTHING_STEPS);
    cluster.finish_with(&[&target])
}

#[test]
fn an_idle_worker_writes_a_heartbeat_a_second_and_asks_little() -> Result<()> {
    let mut cluster = Cluster::start("idle_worker")?;
    cluster.database.execute("create extension pg_stat_statements")?;
    pipelines::chain(&cluster, 1)?;
    cluster.worker("a").default_lease().start()?;
    let run = cluster.submit("chain-1", &json!(1))?;
    cluster.succeeds(run, bounds::RUN)?;
    // Only the worker is left.
    cluster.api()?.terminate(bounds::PROCESS)?;
    const SECONDS: u64 = 15;
    cluster.database.execute("select pg_stat_statements_reset()")?;
    let writes = cluster.database.writes()?;
    observe(&cluster, Duration::from_secs(SECONDS))?;
    let (writes, calls) = (cluster.database.writes()? - writes, calls(&cluster, ".")?);
    eprintln!("an idle worker in {SECONDS} s: {writes} writes, {calls} statements");
    assert!(writes <= SECONDS + 1, "{writes} writes in {SECONDS} s; the budget is one a second");
    assert!(calls <= 2 * SECONDS as i64, "{calls} statements in {SECONDS} s; the budget is two a second");
    cluster.start_api(&[])?;
    cluster.finish()
}

/// As long as a snapshot is kept, old versions of rows stay, and what every commit changes leaves its page.
#[test]
fn nothing_keeps_a_snapshot_while_others_commit() -> Result<()> {
    let mut cluster = Cluster::start("snapshots")?;
    pipelines::chain(&cluster, 10)?;
    for name in ["a", "b"] {
        cluster.worker(name).default_lease().start()?;
    }
    cluster.client.keep_in_flight("chain-10", 4, 20)?;
    let oldest = "select coalesce(max(extract(epoch from clock_timestamp() - xact_start)) * 1000, 0)::float8
                  from pg_stat_activity where usename = 'pawl' and backend_xmin is not null";
    let mut ages = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let load = scope.spawn(|| cluster.client.keep_in_flight("chain-10", 4, 500));
        while !load.is_finished() {
            ages.push(cluster.database.value::<f64>(oldest)?);
            std::thread::sleep(Duration::from_millis(7));
        }
        load.join().expect("it does not panic")
    })?;
    ages.sort_by(f64::total_cmp);
    let median = ages[ages.len() / 2];
    eprintln!("the oldest snapshot: {median:.1} ms, the median of {}", ages.len());
    // The watch sleeps for 100 ms between two looks. The median, because a busy machine wakes up late.
    assert!(ages.len() >= 20 && median <= 25.0, "snapshots are kept for {median:.1} ms ({} looks)", ages.len());
    cluster.finish()
}

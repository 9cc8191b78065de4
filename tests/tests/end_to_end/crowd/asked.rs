//! What people ask of an installation with a million runs, a tenth of which are queued, by way of the API and at the command
//! line: it takes them no time, and reads few pages, whatever is asked.

use std::time::{Duration, Instant};

use anyhow::Result;
use pawl_api::types::ListedStatus;
use pawl_tests::{Cluster, runtime};

/// What everything may take that a person waits for.
const SOON: Duration = Duration::from_millis(200);

/// What of it may be read: a search for what nobody moves looks at a thousand runs at most.
const PAGES: i64 = 10_000;

#[test]
#[ignore = "a million runs take minutes"]
fn pressure_what_people_ask_of_a_million_runs() -> Result<()> {
    let cluster = Cluster::start("million_asked")?;
    cluster.push("echo")?;
    for pipeline in ["many", "rare"] {
        let step = "[[step]]\nname = \"only\"\nplugin = \"echo\"\nqueue = \"elsewhere\"\n";
        cluster.apply(&format!("name = \"{pipeline}\"\n{step}"))?;
    }
    cluster.database.execute(&filled(1_000_000))?;
    cluster.database.execute("create extension if not exists pg_stat_statements")?;
    cluster.database.execute("vacuum (analyze)")?;
    let newest = |status: &str| {
        let sql = format!("select id::text from run where status = '{status}' order by created_at desc limit 1");
        cluster.database.value::<String>(&sql)
    };
    let mut paths: Vec<String> =
        ListedStatus::ALL.iter().map(|status| format!("/v1/runs?status={}", status.as_str())).collect();
    for status in ["pending", "running", "succeeded", "cancelled"] {
        paths.push(format!("/v1/runs/{}/explain", newest(status)?));
    }
    // The others have no journal and no output that would do for a report.
    paths.push(format!("/v1/runs/{}/report", newest("pending")?));
    for path in ["/v1/runs", "/v1/interrupted", "/v1/dead-letters/groups", "/v1/recoveries", "/v1/queues", "/metrics"] {
        paths.push(path.to_owned());
    }
    // Pages are made of the same answers.
    for path in [
        "/runs",
        "/runs?status=failed",
        "/runs?pipeline=rare",
        "/runs?within=1h",
        "/",
        "/dead-letters",
        "/pipelines",
        "/queues",
        "/waits",
    ] {
        paths.push(path.to_owned());
    }
    let mut slow = Vec::new();
    let mut judge = |what: &str, took: Duration, pages: i64| {
        eprintln!("{what}: {:.1} ms, {pages} pages", took.as_secs_f64() * 1e3);
        if took > SOON || pages > PAGES {
            slow.push(what.to_owned());
        }
    };
    for path in &paths {
        let (took, pages) = asked(&cluster, || {
            let answer = runtime::block_on(cluster.client.send("GET", path, &[], Vec::new()))?;
            anyhow::ensure!(answer.status == 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            Ok(())
        })?;
        judge(path, took, pages);
    }
    let (start, _) = asked(&cluster, || cluster.pawl(&["--version"]).map(drop))?;
    for words in [&["doctor", "--quick"][..], &["check-interrupted"]] {
        // That a queue waits where nobody serves it is a finding, and its exit code 1.
        let (took, pages) = asked(&cluster, || cluster.try_pawl(words).map(drop))?;
        judge(&format!("pawl {}", words.join(" ")), took.saturating_sub(start), pages);
    }
    assert!(slow.is_empty(), "these take longer than {SOON:?} or read more than {PAGES} pages: {slow:?}");
    // Nobody will ever serve that queue.
    cluster.database.execute("truncate run, step, journal, event")?;
    cluster.finish()
}

/// The statements that fill a database with so many runs, of the pipelines `many` and `rare` as they were applied.
fn filled(runs: u32) -> String {
    let digest = "(select p.digest from pipeline p where p.name = made.pipeline)";
    include_str!("../../costs/filled.sql").replace("$N$", &runs.to_string()).replace("sha256(pipeline::bytea)", digest)
        + "delete from pipeline_step where digest = sha256('many') or digest = sha256('rare');
           delete from pipeline_version where digest = sha256('many') or digest = sha256('rare');"
}

/// The median time of several turns, and the fewest pages: what others ask meanwhile is not counted.
fn asked(cluster: &Cluster, ask: impl Fn() -> Result<()>) -> Result<(Duration, i64)> {
    let (mut times, mut fewest) = (Vec::new(), i64::MAX);
    for _ in 0..7 {
        cluster.database.execute("select pg_stat_statements_reset()")?;
        let begun = Instant::now();
        ask()?;
        times.push(begun.elapsed());
        fewest = fewest.min(cluster.database.value(
            "select coalesce(sum(shared_blks_hit + shared_blks_read), 0)::bigint from pg_stat_statements
             where userid = 'pawl'::regrole",
        )?);
    }
    times.sort();
    Ok((times[times.len() / 2], fewest))
}

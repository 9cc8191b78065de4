//! Two roles of Postgres: one migrates, the other works, and can change nothing of the schema.

use anyhow::{Result, ensure};
use pawl_tests::{Cluster, Database, bounds, wait};
use serde_json::json;

use crate::pipelines;

/// What a role that only works must not be able to do.
const REFUSED: [&str; 10] = [
    "create table mine ()",
    "create schema mine",
    "create function mine() returns int language sql as 'select 1'",
    "alter table run add column mine int",
    "alter function pawl_assert_states_v1() rename to mine",
    "drop table claim",
    "truncate event",
    "update installation set id = gen_random_uuid()",
    "delete from _sqlx_migrations",
    "update works_with set oldest = 0",
];

fn as_role(url: &str, role: &str, database: &str) -> String {
    url.replace("//pawl@", &format!("//{role}@")).replace("/postgres", &format!("/{database}"))
}

/// A migration's flags that let the role work.
const LETS_WORK: [&str; 3] = ["migrate", "--run-role", "works"];

#[test]
fn who_works_is_let_by_who_migrates_and_changes_nothing_of_the_schema() -> Result<()> {
    let mut cluster = Cluster::start("database_roles")?;
    for sql in ["create role migrates login", "create role works login", "create database parted owner migrates"] {
        cluster.database.execute(sql)?;
    }
    // In a database of its own, by a role that owns that and is nothing else.
    let server = cluster.postgres.url();
    let run = |role: &str, words: &[&str]| {
        let mut command = cluster.command()?;
        command.args(words).env("PAWL_DATABASE_URL", as_role(&server, role, "parted"));
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::Ok((output.status.code(), said))
    };
    let (code, said) = run("works", &["migrate"])?;
    ensure!(code == Some(2) && said.contains("permission denied for schema public"), "{code:?} {said}");
    let (code, said) = run("migrates", &LETS_WORK)?;
    ensure!(code == Some(0), "{code:?} {said}");
    let (code, said) = run("migrates", &["migrate", "--run-role", "migrates"])?;
    ensure!(code == Some(2) && said.contains("the other one is to be named"), "{code:?} {said}");
    let (code, said) = run("migrates", &["migrate", "--run-role", "nobody; drop table run"])?;
    ensure!(code != Some(0) && said.contains("does not exist"), "{code:?} {said}");
    let hands = Database::new(&as_role(&server, "works", "parted"))?;
    hands.value::<i64>("select count(*) from run")?;
    for sql in REFUSED {
        let refused = hands.execute(sql).err().map(|error| error.to_string()).unwrap_or_default();
        let is_so = refused.contains("permission denied") || refused.contains("must be owner");
        ensure!(is_so, "{sql}: {refused:?}");
    }

    // And where all is checked: an installation whose API and workers are that role.
    cluster.pawl(&LETS_WORK)?;
    cluster.set("PAWL_DATABASE_URL", as_role(&server, "works", "postgres"));
    // None is; what is due is looked at all the more often.
    cluster.set("PAWL_RETENTION_CANCELLED", "10s");
    cluster.start_api(&[])?;
    pipelines::chain(&cluster, 2)?;
    cluster.push("runaway")?;
    cluster.apply("name = \"bad\"\n[[step]]\nname = \"only\"\nplugin = \"runaway\"\nretry = { max_attempts = 1 }\n")?;
    cluster.worker("a").default_lease().start()?;
    let runs = cluster.client.submit_all("chain-2", &vec![json!(1); 10])?;
    cluster.all_succeed(&runs, bounds::RUN)?;
    let bad = cluster.submit("bad", &json!({"mode": "trap"}))?;
    ensure!(cluster.ends(bad, bounds::RUN)?.as_str() == "failed");
    cluster.worker("b").default_lease().start()?;
    cluster.the("a")?.kill9();
    let run = cluster.submit("chain-2", &json!(2))?;
    cluster.succeeds(run, bounds::RECOVERY)?;
    let id = run.to_string();
    wait::until_true(bounds::RECOVERY, "a worker to have looked after retention", || {
        Ok(cluster.try_pawl(&["retention", "run", "--yes"])?.status.success())
    })?;
    for words in [
        &["dead-letter", "list"][..],
        &["queue", "pause", "default"],
        &["queue", "unpause", "default"],
        &["run", "explain", &id],
        &["run", "report", &id],
    ] {
        cluster.pawl(words)?;
    }
    wait::until_true(bounds::PROCESS, "all to be well but what has failed", || {
        let found = String::from_utf8(cluster.try_pawl(&["doctor"])?.stdout)?;
        Ok(found.contains("all invariants hold")
            && !found.contains("fail  schema")
            && !found.contains("unknown  database"))
    })?;
    cluster.finish()
}

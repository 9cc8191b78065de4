//! A backup of the embedded store, given back to another one and to Postgres: all of it is there. Which columns that are is
//! written down here, and held against both stores' own word for what they have: a table or a column that is added, and not
//! carried, fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::{Digest, StepId, StepNo};
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::doctor::Invariants as _;
use pawl_store::pipelines::Pipelines as _;
use pawl_store::submit::NewRun;
use pawl_store::write::{Batch, Member, Settlement};
use pawl_store::{Postgres, Schema as _, SharedStore, Sqlite};
use rusqlite::Connection;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::stores::{HERE, conforms, worker};

/// What has the same name in both stores, and how it is told as text.
const CARRIED: [(&str, &str); 22] = [
    ("component", "digest:bytes bytes:bytes created_at:ms"),
    ("plugin", "namespace:text name:text active_version:text previous_version:text earlier_versions:texts"),
    (
        "plugin_version",
        "namespace:text name:text version:text digest:bytes manifest:bytes created_at:ms wanted_at:us last_named_at:ms",
    ),
    ("pipeline_version", "digest:bytes name:text spec:bytes steps:int created_at:ms retention:text last_named_at:ms"),
    ("pipeline", "namespace:text name:text digest:bytes updated_at:ms earlier_versions:texts"),
    (
        "run",
        "id:uuid namespace:text pipeline_digest:bytes status:text input:bytes idempotency_key:text request_digest:bytes
         steps:int live:int running:int failing:bool event_count:int signal_count:int created_at:ms started_at:ms ended_at:ms
         pipeline:text kept:bool paused_at:ms pause_reason:text trace:text",
    ),
    (
        "step",
        "run_id:uuid step_no:int queue:text priority:text status:text unmet:int fence:int worker_id:uuid component:bytes
         recorded_by:bytes attempts:int failures:int crashes:int alone:bool crash_mark:int journal_length:int
         checkpoint_position:int checkpoint_ordinal:int ready_at:ms shelved_by:int due_at:ms deferred_by:int awaits_position:int awaits_until:ms
         awaits:text claimed_at:ms started_at:ms ended_at:ms output:bytes output_digest:bytes error:bytes progress:real
         progress_message:text",
    ),
    ("journal", "run_id:uuid step_no:int first:int length:int digest:bytes bytes:bytes"),
    (
        "checkpoint",
        "run_id:uuid step_no:int ordinal:int position:int random_position:int effect_ordinal:int prelude:int digest:bytes
         state:bytes created_at:ms",
    ),
    (
        "signal",
        "run_id:uuid id:int name:text key:text payload:bytes digest:bytes created_at:ms step_no:int position:int
         rejection:bytes sent_digest:bytes changes:int",
    ),
    (
        "recovery",
        "run_id:uuid step_no:int fence:int worker_id:uuid lease_ended_at:ms taken_over_at:ms checkpoint_position:int
         to_replay:int replacement_id:uuid claimed_at:ms reloaded_at:ms replayed_at:ms ready_at:ms replayed:int outcome:text",
    ),
    (
        "step_log",
        "run_id:uuid first:int step_no:int fence:int worker_id:uuid attempt:int place:int length:int level:int last_ms:int
         lines_until:int bytes_until:int bytes:bytes",
    ),
    (
        "dead_letter",
        "run_id:uuid step_no:int namespace:text pipeline:text pipeline_digest:bytes state:text at:ms cause:text
         run_created_at:ms",
    ),
    ("remains", "run_id:uuid at:ms"),
    ("namespace", "name:text created_at:ms created_by:text"),
    (
        "namespace_key",
        "namespace:text version:int key_id:text wrapped:bytes sealed:bytes created_at:ms created_by:text retired_at:ms erased_at:ms",
    ),
    ("run_key", "run_id:uuid version:int wrapped:bytes erased_at:ms"),
    ("quota", "namespace:text runs:int submissions:int components:int stored_bytes:int"),
    ("retention", "is_this:bool holder_id:uuid until:ms succeeded_ms:int failed_ms:int cancelled_ms:int grace_ms:int audit_ms:int"),
    (
        "circuit",
        "id:int namespace:text origin:text reason:text failures:int opened_at:ms opened_by:uuid open_ms:int retry_at:ms probe:int
         probed_by:uuid probe_until:ms pulled_at:ms closed_at:ms",
    ),
    (
        "incident",
        "id:int kind:text namespace:text subject:text detail:text steps:int began_at:ms seen_at:ms ended_at:ms",
    ),
    ("pause", "id:int kind:text namespace:text name:text reason:text paused_at:ms ended_at:ms"),
];

/// Events, of which Postgres packs several in a row.
const EVENTS: &str = "run_id:uuid number:int at:ms kind:text step_no:int fence:int worker_id:uuid note:text";

/// What Postgres has besides, derived from the rest.
const DERIVED: [(&str, &str); 5] = [
    ("pipeline_version", "versions"),
    ("pipeline_step", "digest step_no plugin version needs successors queue priority"),
    ("step", "parked_at"),
    ("event", "run_id first at kinds steps fences workers notes"),
    ("dead_letter", "told"),
];

/// Not carried: processes of the old installation, and what they had in hand; and what the new one is.
const LEFT: [&str; 14] = [
    "worker",
    "worker_component",
    "gone_worker",
    "session",
    "claim",
    "charge",
    "installation",
    "works_with",
    "token",
    "audit",
    "secret",
    "stored",
    "stored_run",
    "_sqlx_migrations",
];

fn columns(spec: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    spec.split_whitespace().map(|column| column.split_once(':').expect("a name and how it is told"))
}

fn told_by_sqlite((name, how): (&str, &str)) -> String {
    let told = match how {
        "bytes" | "uuid" => format!("lower(hex({name}))"),
        "real" => format!("cast(round({name} * 1000) as integer)"),
        _ => name.to_owned(),
    };
    format!("iif({name} is null, '~', cast({told} as text))")
}

fn told_by_postgres((name, how): (&str, &str)) -> String {
    let told = match how {
        "bytes" => format!("encode({name}, 'hex')"),
        "uuid" => format!("replace({name}::text, '-', '')"),
        "texts" => format!("to_json({name})::text"),
        "bool" => format!("{name}::int::text"),
        "real" => format!("round({name} * 1000)::bigint::text"),
        "ms" => format!("round(extract(epoch from {name}) * 1000)::bigint::text"),
        "us" => format!("round(extract(epoch from {name}) * 1000000)::bigint::text"),
        _ => format!("{name}::text"),
    };
    format!("coalesce({told}, '~')")
}

fn rows_of(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).expect(sql);
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect(sql);
    let mut rows: Vec<String> = rows.collect::<Result<_, _>>().expect(sql);
    rows.sort();
    rows
}

async fn lines(postgres: &mut PgConnection, sql: &str) -> Vec<String> {
    let asked = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql.to_owned()));
    let mut rows = asked.fetch_all(postgres).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.sort();
    rows
}

/// Every table, row by row.
async fn is_all_there(from: &Connection, postgres: &mut PgConnection) {
    for (table, spec) in CARRIED {
        let sqlite = columns(spec).map(told_by_sqlite).collect::<Vec<_>>().join(" || '|' || ");
        let there = columns(spec).map(told_by_postgres).collect::<Vec<_>>().join(" || '|' || ");
        let (expected, found) = (
            rows_of(from, &format!("select {sqlite} from {table}")),
            lines(postgres, &format!("select {there} from {table}")).await,
        );
        is_same(table, &expected, &found);
    }
    let sqlite = columns(EVENTS).map(told_by_sqlite).collect::<Vec<_>>().join(" || '|' || ");
    let there = columns(EVENTS).map(told_by_postgres).collect::<Vec<_>>().join(" || '|' || ");
    let unpacked = format!(
        "select {there} from (
             select e.run_id, e.first + x.place - 1 as number, e.at, x.kind, x.step_no, x.fence, x.worker_id, x.note
             from event e cross join lateral unnest(e.kinds, e.steps, e.fences, e.workers, e.notes) with ordinality
                 as x (kind, step_no, fence, worker_id, note, place)) as e"
    );
    is_same("event", &rows_of(from, &format!("select {sqlite} from event")), &lines(postgres, &unpacked).await);
}

fn is_same(table: &str, expected: &[String], found: &[String]) {
    assert_eq!(expected.len(), found.len(), "rows of {table}");
    let other = expected.iter().zip(found).find(|(expected, found)| expected != found);
    assert_eq!(other, None, "a row of {table}");
}

fn open(folder: &Path) -> Connection {
    Connection::open(folder.join("pawl.sqlite")).expect("a database")
}

/// A folder whose store has been through what every store must do, with steps that run, and is closed.
async fn used(folder: &Path) {
    let store = Arc::new(Sqlite::open(folder).expect("a store")) as SharedStore;
    conforms(&store).await;
    steps_run(&store, false).await;
    steps_run(&store, true).await;
    drop(store);
    // Its threads end with it, and its lock.
    let mut tries = 0;
    while let Err(error) = Sqlite::open(folder).map(drop) {
        tries += 1;
        assert!(tries < 1_000, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A run whose steps run, or one of them while another one has failed.
async fn steps_run(store: &SharedStore, one_fails: bool) {
    let mut link = store.link();
    let own = worker(store, &mut *link, 60_000).await;
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let claims = [0, 1].map(|step| StepId { run: run.id, step: StepNo(step) }).to_vec();
    link.submit(&[run]).await.expect("submitted");
    let claimed = link.write(own, &Batch { claims, members: Vec::new() }).await.expect("claimed").claimed;
    assert_eq!(claimed.len(), 2);
    if one_fails {
        let settlement = Some(Settlement::Failed { error: b"{}".to_vec(), rejects_signal: false });
        let member = Member { settlement, ..Member::bare(claimed[0].id, claimed[0].fence) };
        link.write(own, &Batch { claims: Vec::new(), members: vec![member] }).await.expect("written");
    }
}

async fn database(server: &PrivatePostgres, name: &str) -> (Postgres, PgConnection) {
    let mut admin = PgConnection::connect(&server.url()).await.expect("a connection");
    sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(&mut admin).await.expect("a database");
    let url = server.database_url(name);
    let store = Postgres::new(&url, 2, Duration::from_secs(60)).expect("a store");
    store.migrate().await.expect("migrations");
    (store, PgConnection::connect(&url).await.expect("a connection"))
}

#[tokio::test]
async fn a_backup_is_given_back_row_by_row_to_sqlite_and_to_postgres() {
    let root = tempfile::tempdir().expect("a folder");
    let [old, new, backup] = ["old", "new", "backup"].map(|name| root.path().join(name));
    used(&old).await;
    let ran = rows_of(&open(&old), "select hex(run_id) from step where status = 'running'");
    assert!(ran.len() >= 3, "some steps run: {ran:?}");
    let contents = Sqlite::back_up(&old, &backup).await.expect("a backup");
    let restored = Sqlite::restore(&backup, &new).await.expect("restored");
    assert_eq!((restored.runs, restored.handed_back), (contents.runs, ran.len() as u64));
    ran_steps_are_ready_and_the_rest_is_as_it_was(&open(&old), &open(&new));
    let violations = Sqlite::open(&new).expect("a store").doctor(Duration::ZERO, true).await.expect("checked");
    assert_eq!(violations, []);

    // Nothing of it runs: the rest can be compared as it is.
    let second = root.path().join("second");
    Sqlite::back_up(&new, &second).await.expect("a backup");
    let server = PrivatePostgres::start(&root.path().join("postgres")).expect("a private Postgres");
    let (store, mut eyes) = database(&server, "one").await;
    let taken_in = store.restore(&second).await.expect("restored");
    assert_eq!((taken_in.runs, taken_in.handed_back), (contents.runs, 0));
    is_all_there(&Connection::open(&second).expect("a file"), &mut eyes).await;
    what_is_derived_is_right(&store, &mut eyes).await;
    let violations = store.doctor(Duration::ZERO, true).await.expect("checked");
    assert_eq!(violations, []);
    let refused = store.restore(&second).await.expect_err("it is not empty");
    assert!(refused.to_string().contains("rows in `component` already"), "{refused}");

    // And with rows that hold something in each column.
    let conn = open(&new);
    conn.execute_batch(include_str!("restore.sql")).expect("rows");
    every_column_holds_something(&conn);
    drop(conn);
    let third = root.path().join("third");
    Sqlite::back_up(&new, &third).await.expect("a backup");
    let (store, mut eyes) = database(&server, "two").await;
    store.restore(&third).await.expect("restored");
    let third = Connection::open(&third).expect("a file");
    // Who probes whether a host is back is a process of the old installation.
    third.execute_batch("update circuit set probed_by = null, probe_until = null").expect("nobody probes");
    is_all_there(&third, &mut eyes).await;
    every_column_of_both_is_known(&third, &mut eyes).await;
    let packed =
        lines(&mut eyes, "select cardinality(kinds)::text from event where run_id::text like '0199b2c4-6e1f%'").await;
    assert_eq!(packed, ["100", "100", "500", "500"]);
}

/// Those of its runs that ran have one event more for each of these steps; workers are gone; nothing else has changed.
fn ran_steps_are_ready_and_the_rest_is_as_it_was(old: &Connection, new: &Connection) {
    let ran = "select run_id from step where status = 'running'";
    let touched: Vec<String> = rows_of(old, &format!("select distinct hex(run_id) from ({ran})"));
    let touched = touched.iter().map(|run| format!("x'{run}'")).collect::<Vec<_>>().join(", ");
    for &(table, spec) in CARRIED.iter().chain([&("event", EVENTS)]) {
        let told = columns(spec).map(told_by_sqlite).collect::<Vec<_>>().join(" || '|' || ");
        let run = match table {
            "run" => format!("where id not in ({touched})"),
            "step" | "event" => format!("where run_id not in ({touched})"),
            // Whose turn it is to delete is nobody's.
            "retention" => "where false".to_owned(),
            "circuit" => "where probed_by is null".to_owned(),
            _ => String::new(),
        };
        let sql = format!("select {told} from {table} {run}");
        is_same(table, &rows_of(old, &sql), &rows_of(new, &sql));
    }
    let of_steps =
        "select hex(run_id) || step_no || ' ' || (fence + {raised}) || ' ' || attempts || ' ' || crashes || ' '
                           || journal_length || ' ' || coalesce(checkpoint_position, '-') from step where ";
    let ran: Vec<String> = rows_of(old, &format!("{} status = 'running'", of_steps.replace("{raised}", "1")));
    let told = "exists (select 1 from event e where e.run_id = step.run_id and e.step_no = step.step_no
                                                and e.fence = step.fence and e.note = 'restored from a backup')";
    let ready =
        rows_of(new, &format!("{} {told} and status in ('ready', 'cancelled')", of_steps.replace("{raised}", "0")));
    // Stopped with its run, which fails, a step's fence is raised once more, and it is told under the one before.
    assert!(!ready.is_empty() && ready.iter().all(|step| ran.contains(step)), "{ready:?} of {ran:?}");
    let told = rows_of(new, "select 'one' from event where note = 'restored from a backup'");
    assert_eq!(told.len(), ran.len(), "each is told once");
    for table in ["worker", "worker_component", "gone_worker"] {
        assert_eq!(rows_of(new, &format!("select 'one' from {table}")), [] as [&str; 0], "{table}");
    }
    assert_eq!(rows_of(new, "select 'one' from step where status = 'running'"), [] as [&str; 0]);
}

/// What the queries of Postgres decide with, as it is when a pipeline is applied there.
async fn what_is_derived_is_right(store: &Postgres, eyes: &mut PgConnection) {
    let digests = lines(eyes, "select encode(digest, 'hex') from pipeline_version").await;
    assert!(!digests.is_empty(), "there are pipelines");
    for hex in digests {
        let digest: Digest = hex.parse().expect("a digest");
        let pipeline = store.pipeline_version(digest).await.expect("it is whole");
        let versions = lines(eyes, &format!("select versions from pipeline_version where digest = '\\x{hex}'")).await;
        assert_eq!(versions, [pipeline.versions.as_str()]);
        let numbers = |steps: &[pawl_domain::id::StepNo]| {
            format!("{{{}}}", steps.iter().map(|step| step.0.to_string()).collect::<Vec<_>>().join(","))
        };
        let mut expected: Vec<String> = pipeline
            .numbered()
            .zip(pipeline.successors())
            .map(|((number, step), successors)| {
                let version = step.version.as_deref().unwrap_or("~");
                let (needs, successors) = (numbers(&step.needs), numbers(&successors));
                let (queue, priority) = (&step.queue, step.priority.as_str());
                format!("{} {} {version} {needs} {successors} {queue} {priority}", number.0, step.plugin)
            })
            .collect();
        expected.sort();
        let sql = format!(
            "select format('%s %s %s %s %s %s %s', step_no, plugin, coalesce(version, '~'), needs, successors, queue, priority)
             from pipeline_step where digest = '\\x{hex}'"
        );
        is_same("pipeline_step", &expected, &lines(eyes, &sql).await);
    }
    let parked = "select (s.parked_at = d.at)::text from step s join dead_letter d using (run_id, step_no) where s.status = 'parked'";
    let parked: BTreeSet<String> = lines(eyes, parked).await.into_iter().collect();
    assert!(parked.iter().all(|same| same == "true"), "{parked:?}");
    let others = "select 'one' from step where (parked_at is null) = (status = 'parked')";
    assert_eq!(lines(eyes, others).await, [] as [&str; 0], "what is parked is known to an index");
    assert_eq!(lines(eyes, "select 'one' from dead_letter where not told").await, [] as [&str; 0]);
}

fn every_column_holds_something(conn: &Connection) {
    for &(table, spec) in CARRIED.iter().chain([&("event", EVENTS)]) {
        for (column, _) in columns(spec) {
            let some = rows_of(conn, &format!("select 'one' from {table} where {column} is not null limit 1"));
            assert_eq!(some.len(), 1, "no row of {table} has {column}: give one to restore.sql");
        }
    }
}

/// What each store says that it has, against what is written down here.
async fn every_column_of_both_is_known(sqlite: &Connection, postgres: &mut PgConnection) {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (table, spec) in CARRIED {
        known.entry(table).or_default().extend(columns(spec).map(|(name, _)| name));
    }
    let mut of_sqlite = known.clone();
    of_sqlite.insert("event", columns(EVENTS).map(|(name, _)| name).collect());
    let found = rows_of(
        sqlite,
        "select t.name || '.' || c.name from sqlite_master t join pragma_table_info(t.name) c
         where t.type = 'table' and t.name not like 'sqlite_%'",
    );
    is_known("the embedded store", &of_sqlite, &found);
    for (table, spec) in DERIVED {
        known.entry(table).or_default().extend(spec.split_whitespace());
    }
    let found = lines(
        postgres,
        "select c.table_name || '.' || c.column_name
         from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
         where table_schema = 'public' and t.table_type = 'BASE TABLE'",
    )
    .await;
    is_known("Postgres", &known, &found);
}

fn is_known(store: &str, known: &BTreeMap<&str, BTreeSet<&str>>, found: &[String]) {
    let known = known.iter().flat_map(|(table, columns)| columns.iter().map(move |column| format!("{table}.{column}")));
    let known: BTreeSet<String> = known.collect();
    let is_left = |column: &&String| LEFT.iter().any(|table| column.starts_with(&format!("{table}.")));
    let found: BTreeSet<String> = found.iter().filter(|column| !is_left(column)).cloned().collect();
    let (unknown, gone): (Vec<_>, Vec<_>) = (found.difference(&known).collect(), known.difference(&found).collect());
    assert!(
        unknown.is_empty() && gone.is_empty(),
        "{store} has {unknown:?}, which host/store/src/carried/tables.rs and this test say nothing of, and has not {gone:?}"
    );
}

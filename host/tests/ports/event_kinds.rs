//! `EventKind` is what SQL, HTTP and the documents are held against: their words, and what each kind does to the
//! counters of its run.

use std::collections::BTreeSet;
use std::time::Duration;

use pawl_domain::event::EventKind;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec, Versions};
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::pipelines::Pipelines as _;
use pawl_store::plugins::{NewVersion, Plugins as _};
use pawl_store::submit::NewRun;
use pawl_store::{Postgres, Schema as _};
use sqlx::{Connection as _, PgConnection, Row as _};

/// Told by what a person does, which is decided in Rust.
const OF_A_PERSON: [EventKind; 5] = [
    EventKind::RunCancelled,
    EventKind::RunReopened,
    EventKind::RunPaused,
    EventKind::RunUnpaused,
    EventKind::StepSkipped,
];

#[test]
fn sql_tells_of_every_kind_and_of_no_other() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let mut sql = String::new();
    for file in std::fs::read_dir(folder).expect("the migrations") {
        sql.push_str(&std::fs::read_to_string(file.expect("a file").path()).expect("a migration"));
    }
    let ours = EventKind::ALL.iter().filter(|kind| !OF_A_PERSON.contains(kind)).map(|kind| kind.as_str());
    assert_eq!(kinds_between('\'', &sql), ours.collect::<BTreeSet<_>>());
}

#[test]
fn the_reference_of_the_api_lists_every_kind_and_no_other() {
    let reference = include_str!("../../../docs/http.md");
    let (_, events) = reference.split_once("## Events").expect("its part on events");
    let (events, _) = events.split_once("## Errors").expect("the part after it");
    assert_eq!(kinds_between('`', events), EventKind::ALL.iter().map(|kind| kind.as_str()).collect::<BTreeSet<_>>());
}

/// The words that look like kinds, each alone between two of these quotes.
fn kinds_between(quote: char, text: &str) -> BTreeSet<&str> {
    let words = text.split(quote).map(|word| word.trim_matches(['{', '}']));
    words
        .filter(|word| word.starts_with("run.") || word.starts_with("step."))
        .filter(|word| word.split('.').skip(1).all(|rest| !rest.is_empty() && rest.bytes().all(is_of_a_name)))
        .collect()
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte == b'_'
}

/// A run's counters.
#[derive(Debug, PartialEq, Eq)]
struct Counters {
    live: i32,
    running: i32,
    failing: bool,
    started: bool,
}

#[tokio::test]
async fn postgres_counts_as_the_table_of_kinds_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = PrivatePostgres::start(folder.path()).expect("a private Postgres");
    let run = a_run(&postgres).await;
    let mut conn = PgConnection::connect(&postgres.url()).await.expect("a connection");
    let steps = EventKind::ALL.iter().filter(|kind| kind.as_str().starts_with("step."));
    for (kind, by_worker) in steps.flat_map(|kind| [(*kind, true), (*kind, false)]) {
        let before = Counters { live: 5, running: 2, failing: false, started: false };
        let after = recorded(&mut conn, &run, &before, kind, by_worker).await;
        let counted = kind.counted(by_worker);
        let expected = Counters {
            live: before.live + counted.live,
            running: before.running + counted.running,
            failing: counted.fails,
            started: counted.begins,
        };
        assert_eq!(after, expected, "{kind}, by its worker: {by_worker}");
    }
}

/// What is left of the counters of a run that was pending, after one event.
async fn recorded(
    conn: &mut PgConnection,
    run: &NewRun,
    before: &Counters,
    kind: EventKind,
    by_worker: bool,
) -> Counters {
    sqlx::query(
        "update run set status = 'pending', live = $2, running = $3, failing = false, started_at = null where id = $1",
    )
    .bind(run.id.0)
    .bind(before.live)
    .bind(before.running)
    .execute(&mut *conn)
    .await
    .expect("a run with these counters");
    sqlx::query("select pawl_record_v1(array[row($1, $2, 0, 1, $3, null)::pawl_event_v1])")
        .bind(run.id.0)
        .bind(kind.as_str())
        .bind(by_worker.then(uuid::Uuid::now_v7))
        .execute(&mut *conn)
        .await
        .expect("recorded");
    let row = sqlx::query("select live, running, failing, started_at is not null as started from run where id = $1")
        .bind(run.id.0)
        .fetch_one(&mut *conn)
        .await
        .expect("the run");
    Counters {
        live: row.get("live"),
        running: row.get("running"),
        failing: row.get("failing"),
        started: row.get("started"),
    }
}

async fn a_run(postgres: &PrivatePostgres) -> NewRun {
    let store = Postgres::new(&postgres.url(), 2, Duration::from_secs(30)).expect("a store");
    store.migrate().await.expect("migrations");
    let here = Namespace::default();
    let bytes = b"no component";
    let digest = Digest::of(bytes);
    let version =
        NewVersion { namespace: &here, name: "p", version: "1", digest, bytes, manifest: b"{}", activate: true };
    store.push_version(version).await.expect("a plugin");
    let step = serde_json::json!({"name": "a", "plugin": "p"});
    let steps = vec![serde_json::from_value::<StepSpec>(step).expect("a step")];
    let pipeline = Pipeline { name: "one".into(), versions: Versions::default(), retention: Default::default(), steps };
    store.apply_pipeline(&here, &pipeline).await.expect("a pipeline");
    let run = NewRun::new(here, "one".into(), b"1".to_vec(), None);
    store.link().submit(std::slice::from_ref(&run)).await.expect("submitted");
    run
}

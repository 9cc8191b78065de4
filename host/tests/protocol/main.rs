//! Random histories, driven into both stores and into the model of the state machines. After every change both
//! stores must agree with the model, and with each other in all that they hold. A failure prints its seed;
//! `PAWL_SEED=n` replays it, `PAWL_HISTORIES=n` drives so many, from that seed if one is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_dispatch::retention::{Pace, Sweeper};
use pawl_domain::namespace::Namespace;
use pawl_domain::retention::{Policy, Term};
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::runs::RunFilter;
use pawl_store::{Postgres, SharedStore, Sqlite};
use sqlx::{Connection as _, PgConnection};

mod batch;
mod chance;
mod cut;
mod happenings;
mod held;
mod model;
mod pauses;
mod pipelines;
mod trim;
mod world;

const HISTORIES: u64 = 300;

/// Both stores with a pipeline, in memory where there is such a folder: what is compared does not depend on the disk,
/// which takes most of the time.
struct Stores {
    all: [SharedStore; 2],
    _postgres: PrivatePostgres,
    _folder: tempfile::TempDir,
}

impl Stores {
    async fn prepared() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let postgres = PrivatePostgres::start(&folder.path().join("postgres")).expect("a private Postgres");
        let all: [SharedStore; 2] = [
            Arc::new(Postgres::new(&postgres.url(), 4, Duration::from_secs(30)).expect("a store")),
            Arc::new(Sqlite::open(&folder.path().join("sqlite")).expect("a store")),
        ];
        for store in &all {
            store.migrate().await.expect("migrations");
            pipelines::prepare(store).await;
        }
        let mut conn = PgConnection::connect(&postgres.url()).await.expect("a connection");
        sqlx::query("select pawl_assert_states_v1()").execute(&mut conn).await.expect("assertions");
        Self { all, _postgres: postgres, _folder: folder }
    }
}

/// How to replay a history, printed where it fails: it stands last, below what failed, however many went before.
struct ToldIfItFails {
    first: u64,
    seed: u64,
}

impl Drop for ToldIfItFails {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { first, seed } = *self;
            eprintln!(
                "PAWL_SEED={seed} replays it; with those before it: PAWL_SEED={first} PAWL_HISTORIES={}",
                seed - first + 1
            );
        }
    }
}

#[tokio::test]
async fn both_stores_follow_the_model_and_each_other() {
    let stores = Stores::prepared().await;
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (first, histories) = match (number("PAWL_SEED"), number("PAWL_HISTORIES")) {
        (Some(seed), histories) => (seed, histories.unwrap_or(1)),
        (None, histories) => (u64::from(std::process::id()) * 1_000, histories.unwrap_or(HISTORIES)),
    };
    for seed in first..first + histories {
        let told = ToldIfItFails { first, seed };
        world::history(&stores.all, seed).await;
        drop(told);
    }
    for store in &stores.all {
        let violations = store.doctor(Duration::from_secs(3600), false).await.expect("a checked database");
        assert_eq!(violations, [], "the invariants hold over all histories on {}", store.name());
    }
    for store in &stores.all {
        nothing_is_left_when_all_is_deleted(store).await;
    }
}

/// All of them have ended by now, in every way there is.
async fn nothing_is_left_when_all_is_deleted(store: &SharedStore) {
    let now = Term::Ms(0);
    let policy = Policy { succeeded: now, failed: now, cancelled: now, ..Policy::default() };
    let until = Instant::now() + Duration::from_secs(600);
    let swept = Sweeper::default().sweep(&**store, &policy, Pace::Now, until).await.expect("a pass");
    assert!(swept.runs > 0 && !swept.more, "{swept:?}");
    let left = store.runs(&RunFilter::newest(&Namespace::default(), 9)).await.expect("a list");
    assert!(left.is_empty(), "{left:?} on {}", store.name());
    let violations = store.doctor(Duration::from_secs(3600), false).await.expect("a checked database");
    assert_eq!(violations, [], "nothing is left of what was deleted on {}", store.name());
}

#[tokio::test]
async fn a_journal_is_cut_by_a_persons_word_only_if_nothing_has_moved_since() {
    for store in &Stores::prepared().await.all {
        cut::cut_by_a_person(store).await;
    }
}

#[tokio::test]
async fn entries_before_a_checkpoint_are_dropped_by_the_steps_own_worker_and_by_nobody_else() {
    for store in &Stores::prepared().await.all {
        trim::trimmed_by_its_worker(store).await;
    }
}

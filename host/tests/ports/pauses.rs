//! Pauses of pipelines and queues, and how what was on the shelf by them comes back. What a pause stops is in
//! `host/tests/protocol`.

use std::time::Duration;

use pawl_domain::id::{RunId, StepId, StepNo, WorkerId};
use pawl_domain::status::StepStatus;
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::leases::Look;
use pawl_store::pauses::{MOST_PAUSES, Pausable, Pauses as _};
use pawl_store::submit::NewRun;
use pawl_store::write::{Batch, Written};
use pawl_store::{Error, Link, Postgres, SharedStore};
use sqlx::{Connection as _, PgConnection};

use crate::stores::{HERE, worker};

/// A run of two steps that need nothing, and one that needs both.
async fn submitted(link: &mut dyn Link) -> RunId {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    link.submit(&[run]).await.expect("submitted");
    id
}

async fn claim(link: &mut dyn Link, worker: WorkerId, run: RunId) -> Written {
    let claims = [0, 1].map(|step| StepId { run, step: StepNo(step) }).to_vec();
    link.write(worker, &Batch { claims, members: Vec::new() }).await.expect("an answer")
}

async fn releases(store: &SharedStore, worker: WorkerId) -> bool {
    let look = Look { worker, due_from_ms: None, horizon_ms: 0, ready: Vec::new(), margin_ms: 0 };
    store.look(&look).await.expect("a look").releases
}

pub async fn what_is_paused_is_told_and_its_steps_come_back_in_pieces(store: &SharedStore) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let (pipeline, other) = (Pausable::Pipeline(HERE.clone(), "pair".into()), Pausable::Queue("elsewhere".into()));
    assert!(store.pause(&pipeline, Some("why")).await.expect("paused"));
    assert!(!store.pause(&pipeline, Some("another")).await.expect("paused before"));
    assert!(store.pause(&other, None).await.expect("paused"));
    let pauses = store.pauses().await.expect("a list");
    let told: Vec<_> = pauses.iter().map(|pause| (&pause.what, pause.reason.as_deref())).collect();
    assert_eq!(told, [(&pipeline, Some("why")), (&other, None)]);
    let paused = store.backlog().await.expect("a backlog").paused;
    assert_eq!((paused.pipelines, paused.queues), (1, 1));

    let runs = [submitted(&mut *link).await, submitted(&mut *link).await];
    for run in runs {
        let written = claim(&mut *link, worker, run).await;
        assert!(written.claimed.is_empty() && written.busy.is_empty() && written.not_ready.len() == 2, "{written:?}");
        let (_, steps) = store.run(run, None).await.expect("the run");
        let ready: Vec<_> = steps.iter().filter(|step| step.status == StepStatus::Ready).collect();
        assert!(ready.len() == 2 && ready.iter().all(|step| step.ready_at_ms.is_none()), "{steps:?}");
    }
    let shelves = store.shelves().await.expect("a list");
    let told: Vec<_> = shelves.iter().map(|shelf| (&shelf.pause, shelf.steps, shelf.more)).collect();
    assert_eq!(told, [(&pauses[0], 4, false), (&pauses[1], 0, false)]);
    assert!(shelves[0].oldest_ms.is_some_and(|oldest_ms| oldest_ms >= pauses[0].paused_at_ms), "{shelves:?}");
    assert_eq!(shelves[1].oldest_ms, None);
    // Nobody finds them, whatever he looks for; nor are they of age.
    assert!(!releases(store, worker).await);
    assert_eq!(store.release(10).await.expect("nothing"), Default::default());
    let redelivered = store.redeliver_ready(1_000).await.expect("a sweep");
    let on_shelf = runs.iter().flat_map(|run| [0, 1].map(|step| StepId { run: *run, step: StepNo(step) }));
    let on_shelf: Vec<StepId> = on_shelf.collect();
    assert!(redelivered.iter().all(|ready| !on_shelf.contains(&ready.id)), "{redelivered:?}");
    assert_eq!(store.redeliver(&on_shelf).await.expect("a sweep"), []);

    // One of them is stopped meanwhile: it leaves the shelf for nowhere.
    store.cancel(runs[1]).await.expect("cancelled");
    assert_eq!(store.shelves().await.expect("a list")[0].steps, 2);
    assert!(store.unpause(&pipeline).await.expect("unpaused"));
    assert!(!store.unpause(&pipeline).await.expect("unpaused before"));
    assert!(releases(store, worker).await, "the sweep is told");
    let mut ready = Vec::new();
    for piece in 0.. {
        let released = store.release(3).await.expect("a piece");
        ready.extend(released.ready.iter().map(|ready| ready.id));
        assert!(piece < 3, "it has no end");
        if !released.more {
            break;
        }
    }
    ready.sort();
    assert_eq!(ready, on_shelf[..2], "those of the run that was not stopped");
    assert!(!releases(store, worker).await, "nothing is left of the pause");
    assert_eq!(claim(&mut *link, worker, runs[0]).await.claimed.len(), 2);
    store.cancel(runs[0]).await.expect("cancelled");
    store.unpause(&other).await.expect("unpaused");
    store.release(1).await.expect("nothing");
    assert_eq!(store.pauses().await.expect("a list"), []);
    assert_eq!(store.shelves().await.expect("a list"), []);
}

pub async fn runs_that_are_paused_are_listed_and_there_is_an_end_to_pauses(store: &SharedStore) {
    let mut link = store.link();
    let (first, second) = (submitted(&mut *link).await, submitted(&mut *link).await);
    for run in [first, second] {
        assert!(store.pause_run(run, Some("why".into())).await.expect("paused"));
        assert!(!store.pause_run(run, None).await.expect("paused before"));
    }
    let listed = store.paused_runs(&HERE, None, None, 9).await.expect("a page");
    assert_eq!(listed.iter().map(|run| run.id).collect::<Vec<_>>(), [second, first]);
    assert!(listed.iter().all(|run| run.pause_reason.as_deref() == Some("why")), "{listed:?}");
    assert_eq!(store.paused_runs(&HERE, Some("other"), None, 9).await.expect("a page"), []);
    let older = store.paused_runs(&HERE, Some("pair"), Some(second), 9).await.expect("a page");
    assert_eq!(older.iter().map(|run| run.id).collect::<Vec<_>>(), [first]);
    assert_eq!(store.backlog().await.expect("a backlog").paused.runs, 2);
    store.cancel(first).await.expect("cancelled");
    assert_eq!(store.paused_runs(&HERE, None, None, 9).await.expect("a page").len(), 1, "what has ended is not listed");
    let ready = store.unpause_run(second).await.expect("unpaused");
    assert_eq!(ready.len(), 2, "what is ready is delivered");
    assert_eq!(store.unpause_run(second).await.expect("unpaused before"), []);
    store.cancel(second).await.expect("cancelled");

    let queue = |number: u32| Pausable::Queue(format!("queue-{number}"));
    for number in 0..MOST_PAUSES {
        assert!(store.pause(&queue(number), None).await.expect("paused"));
    }
    let full = store.pause(&queue(MOST_PAUSES), None).await;
    assert!(matches!(&full, Err(Error::Conflict(why)) if why.contains("unpause some first")), "{full:?}");
    assert!(!store.pause(&queue(0), None).await.expect("it is paused"), "that is no other one");
    for number in 0..MOST_PAUSES {
        assert!(store.unpause(&queue(number)).await.expect("unpaused"));
    }
    store.release(1).await.expect("nothing");
    assert_eq!(store.pauses().await.expect("a list"), []);
}

async fn somebody_waits_for_a_lock(observer: &mut PgConnection) {
    let sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    for _ in 0..1_000 {
        if sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *observer).await.expect("a count") > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits for a lock");
}

/// A claim is on its way while the pause that it meets is ended: it is released with all others.
#[tokio::test]
async fn what_is_shelved_while_its_pause_ends_is_released_with_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = PrivatePostgres::start(folder.path()).expect("a private Postgres");
    let url = postgres.url();
    let store = std::sync::Arc::new(Postgres::new(&url, 4, Duration::from_secs(30)).expect("a store"));
    let shared: SharedStore = std::sync::Arc::clone(&store) as SharedStore;
    crate::stores::prepared(&shared).await;
    let mut link = shared.link();
    let (run, queue) = (submitted(&mut *link).await, Pausable::Pipeline(HERE.clone(), "pair".into()));
    store.pause(&queue, None).await.expect("paused");

    let mut conn = PgConnection::connect(&url).await.expect("a connection");
    let mut observer = PgConnection::connect(&url).await.expect("a connection");
    let mut claiming = conn.begin().await.expect("a transaction");
    let claim = "select * from pawl_write_v3($1, '{}', '{}', '{}', '{}', array[$2]::uuid[], '{0}', '{}')";
    sqlx::query(claim).bind(WorkerId::new().0).bind(run.0).execute(&mut *claiming).await.expect("claimed");
    let ending = tokio::spawn({
        let store = std::sync::Arc::clone(&store);
        async move { store.unpause(&queue).await }
    });
    somebody_waits_for_a_lock(&mut observer).await;
    assert_eq!(store.release(10).await.expect("nothing").ready, []);
    claiming.commit().await.expect("committed");
    assert!(ending.await.expect("no panic").expect("unpaused"));
    let released = store.release(10).await.expect("a piece");
    assert_eq!(released.ready.iter().map(|ready| ready.id.step.0).collect::<Vec<_>>(), [0]);

    // The other way round: a claim that begins before the end, and comes to the pause after it, is granted.
    let mut holding = conn.begin().await.expect("a transaction");
    store.pause(&Pausable::Queue("two".into()), None).await.expect("paused");
    sqlx::query("update pause set ended_at = clock_timestamp() where ended_at is null")
        .execute(&mut *holding)
        .await
        .expect("ended");
    let worker = worker(&shared, &mut *link, 60_000).await;
    let claims = Batch { claims: vec![StepId { run, step: StepNo(0) }], members: Vec::new() };
    let claiming = tokio::spawn(async move { link.write(worker, &claims).await });
    somebody_waits_for_a_lock(&mut observer).await;
    holding.commit().await.expect("committed");
    let written = claiming.await.expect("no panic").expect("an answer");
    assert_eq!(written.claimed.len(), 1, "{written:?}");
}

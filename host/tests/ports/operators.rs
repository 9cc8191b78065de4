//! What operators ask of a worker, and what they look at besides the invariants.

use std::time::Duration;

use pawl_domain::id::{StepId, StepNo, WorkerId};
use pawl_domain::suspicion::Suspicion;
use pawl_store::doctor::Troubles;
use pawl_store::submit::NewRun;
use pawl_store::workers::DrainAsked;
use pawl_store::write::{Batch, Member, Settlement};
use pawl_store::{Error, SharedStore};

use crate::stores::{HERE, beat, worker};

const HOUR: Duration = Duration::from_secs(3_600);

pub async fn a_worker_is_asked_to_drain_once_and_hears_of_it(store: &SharedStore) {
    let mut link = store.link();
    let (asked, other) = (worker(store, &mut *link, 60_000).await, worker(store, &mut *link, 60_000).await);
    let is_asked = async |worker: WorkerId| {
        let row =
            store.workers().await.expect("workers").into_iter().find(|row| row.id == worker).expect("it is there");
        row.drain_asked
    };
    assert!(!link.heartbeat(&beat(asked, false)).await.expect("a heartbeat").drain);
    assert_eq!(store.ask_to_drain(asked).await.expect("asked"), DrainAsked::Now);
    assert_eq!(store.ask_to_drain(asked).await.expect("asked twice"), DrainAsked::Before);
    assert!(is_asked(asked).await && !is_asked(other).await);
    let renewal = link.heartbeat(&beat(asked, false)).await.expect("a heartbeat");
    assert!(renewal.drain && renewal.alive, "{renewal:?}");
    assert!(!link.heartbeat(&beat(other, false)).await.expect("a heartbeat").drain, "it is meant alone");

    store.forget_worker(asked).await.expect("forgotten");
    assert_eq!(store.ask_to_drain(asked).await.expect("an answer"), DrainAsked::Gone);
    let dead = worker(store, &mut *link, 0).await;
    assert_eq!(store.ask_to_drain(dead).await.expect("an answer"), DrainAsked::Gone, "its lease has ended");
    let unknown = store.ask_to_drain(WorkerId::new()).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))), "{unknown:?}");
    store.take_over(10, false, Suspicion::default()).await.expect("a sweep");
    store.forget_worker(other).await.expect("forgotten");
}

pub async fn what_an_operator_looks_at_is_told(store: &SharedStore) {
    let condition = store.condition().await.expect("how it is");
    assert!(condition.size_bytes > 0, "{condition:?}");
    assert!(condition.sessions.is_none_or(|(used, most)| 0 < used && used < most), "{condition:?}");

    let before = store.troubles(&HERE, HOUR).await.expect("troubles");
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let mut settled = Vec::new();
    for settlement in [
        Settlement::Parked(br#"{"message":"why"}"#.to_vec()),
        Settlement::Failed { error: br#"{"message":"why"}"#.to_vec(), rejects_signal: false },
    ] {
        let run = NewRun::new(HERE.clone(), "lonely".into(), b"1".to_vec(), None);
        let claims = Batch { claims: vec![StepId { run: run.id, step: StepNo(0) }], ..Batch::default() };
        link.submit(std::slice::from_ref(&run)).await.expect("submitted");
        let claim = link.write(worker, &claims).await.expect("claimed").claimed.remove(0);
        let member = Member { settlement: Some(settlement), ..Member::bare(claim.id, claim.fence) };
        link.write(worker, &Batch { members: vec![member], claims: Vec::new() }).await.expect("written");
        settled.push(run.id);
    }
    let after = store.troubles(&HERE, HOUR).await.expect("troubles");
    let more = Troubles {
        parked: before.parked + 1,
        parked_since: before.parked_since + 1,
        failed_since: before.failed_since + 1,
    };
    assert_eq!(after, more);
    let old = store.troubles(&HERE, Duration::ZERO).await.expect("troubles");
    assert_eq!((old.parked, old.parked_since, old.failed_since), (more.parked, 0, 0), "nothing is newer than now");
    store.cancel(settled[0]).await.expect("cancelled");
    store.forget_worker(worker).await.expect("forgotten");
}

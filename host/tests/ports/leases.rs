//! Workers' leases, and ready steps that nobody has delivered.

use pawl_domain::id::WorkerId;
use pawl_domain::pipeline::Priority;
use pawl_domain::suspicion::Suspicion;
use pawl_store::SharedStore;
use pawl_store::leases::{Look, ReadyFrom};

use crate::stores::{beat, worker};

pub async fn a_lease_that_has_ended_cannot_be_renewed(store: &SharedStore) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 0).await;
    assert!(!link.heartbeat(&beat(worker, false)).await.expect("an answer").alive, "it takes a new id");
    store.take_over(10, false, Suspicion::default()).await.expect("a sweep");
    let left = store.workers().await.expect("workers");
    assert!(left.iter().all(|row| row.id != worker), "a worker without steps is forgotten");

    let in_peace = self::worker(store, &mut *link, 60_000).await;
    store.forget_worker(in_peace).await.expect("forgotten");
    let gone = store.gone_workers(2).await.expect("workers");
    let told: Vec<_> = gone.iter().map(|gone| (gone.id, gone.said_goodbye)).collect();
    assert_eq!(told, [(in_peace, true), (worker, false)], "people find when and how, the latest first");
    assert!(gone.iter().all(|gone| gone.started_at_ms <= gone.gone_at_ms && gone.slots > 0), "{gone:?}");
}

pub async fn ready_steps_are_found_again(store: &SharedStore) {
    let future_ms = i64::from(u32::MAX) * 1_000;
    let of = |queue: &'static str, priority| ReadyFrom { queue, priority, from_ms: None };
    let two = of("two", Priority::Normal);
    let look = Look {
        worker: WorkerId::new(),
        due_from_ms: None,
        horizon_ms: 0,
        ready: vec![of("one", Priority::Normal), two, ReadyFrom { from_ms: Some(future_ms), ..two }],
        margin_ms: 0,
    };
    let pulse = store.look(&look).await.expect("a look");
    let [None, Some(oldest_ms), _] = pulse.oldest_ready_ms[..] else { panic!("two of that stream: {pulse:?}") };
    let from = ReadyFrom { from_ms: Some(oldest_ms), ..two };
    assert_eq!(store.lost(from, future_ms, 1).await.expect("a search").len(), 1, "at most so many");
    assert_eq!(
        store.lost(of("two", Priority::High), future_ms, 10).await.expect("a search"),
        [],
        "of that stream only"
    );
    assert_eq!(store.lost(of("one", Priority::Normal), future_ms, 10).await.expect("a search"), []);
    assert_eq!(store.lost(two, 0, 10).await.expect("a search"), [], "older ones only");
    assert_eq!(store.redeliver_ready(10).await.expect("all of them").len(), 2);
}

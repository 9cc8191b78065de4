//! What people see of inboxes and queues, and change there.

use pawl_domain::decision::SignalState;
use pawl_domain::id::RunId;
use pawl_domain::pipeline::{Pipeline, Priority, StepSpec, Versions};
use pawl_domain::status::RunStatus;
use pawl_store::control::{Sent, Signal, SignalChange};
use pawl_store::live::Backlog;
use pawl_store::submit::NewRun;
use pawl_store::{Error, SharedStore};

use crate::stores::HERE;

/// Whether it is taken, or whose change meets it, is played by the random histories; here is what people read.
pub async fn an_inbox_is_seen_and_changed(store: &SharedStore) {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    for (name, key) in [("a", Some("k")), ("b", None), ("a", None)] {
        let signal = Signal { name: name.into(), payload: b"1".to_vec(), key: key.map(str::to_owned), room: 9 };
        store.signal(id, signal).await.expect("sent");
    }
    let numbers = async |after, limit| {
        let signals = store.inbox(id, after, limit).await.expect("the inbox");
        signals.into_iter().map(|signal| signal.number).collect::<Vec<_>>()
    };
    assert_eq!((numbers(0, 2).await, numbers(2, 2).await), (vec![1, 2], vec![3]));
    store.change_signal(id, 1, SignalChange::Replace(b"[2]".to_vec())).await.expect("replaced");
    store.change_signal(id, 2, SignalChange::Remove).await.expect("removed");
    assert_eq!(numbers(0, 9).await, [1, 3]);
    let (signal, payload) = store.inbox_signal(id, 1).await.expect("the first");
    assert_eq!((signal.name.as_str(), signal.size_bytes, payload.as_slice()), ("a", 3, &b"[2]"[..]));
    assert_eq!((signal.state, signal.rejected_by, signal.error), (SignalState::InInbox, None, None));
    for gone in [2, 4, u32::MAX] {
        assert!(matches!(store.inbox_signal(id, gone).await, Err(Error::NotFound(_))), "{gone}");
        assert!(matches!(store.change_signal(id, gone, SignalChange::Return).await, Err(Error::NotFound(_))), "{gone}");
    }
    // Under its key it is what was sent, whatever has become of it.
    let again = Signal { name: "a".into(), payload: b"1".to_vec(), key: Some("k".into()), room: 9 };
    assert_eq!(store.signal(id, again).await.expect("sent again"), Sent::Same);
    store.cancel(id).await.expect("cancelled");
}

pub async fn queues_that_are_named_or_unserved_are_told(store: &SharedStore) {
    let spec = serde_json::json!({"name": "only", "plugin": "plugin", "needs": [], "queue": "lonely"});
    let step = serde_json::from_value::<StepSpec>(spec).expect("a step");
    let pipeline = Pipeline {
        name: "lonely".into(),
        versions: Versions::default(),
        retention: Default::default(),
        steps: vec![step],
    };
    store.apply_pipeline(&HERE, &pipeline).await.expect("applied");
    let named = store.named_queues().await.expect("the queues");
    assert_eq!(named, ["lonely", "two"]);
    let is_told = async || store.unserved_queues().await.expect("the queues").contains(&"lonely".to_owned());
    assert!(!is_told().await, "nothing is ready there");
    let run = NewRun::new(HERE.clone(), "lonely".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    assert!(is_told().await);
    let backlog = async || store.backlog().await.expect("what waits");
    let lonely = |backlog: &Backlog| {
        let found = backlog.oldest_ready_ms.iter().filter(|(queue, _, _)| queue == "lonely");
        found.map(|(_, priority, age_ms)| (*priority, *age_ms)).collect::<Vec<_>>()
    };
    let first = lonely(&backlog().await);
    assert!(matches!(first[..], [(Priority::Normal, age_ms)] if age_ms < 60_000), "{first:?}");
    let times = async || store.run_times(&[id, RunId::new()]).await.expect("its times");
    let [begun] = times().await[..] else { panic!("those that there are") };
    assert_eq!((begun.id, begun.status, begun.ended_at_ms), (id, RunStatus::Pending, None));
    store.cancel(id).await.expect("cancelled");
    assert!(!is_told().await);
    let after = backlog().await;
    assert_eq!((lonely(&after), after.parked), (vec![], 0));
    let [ended] = times().await[..] else { panic!("it is there") };
    assert_eq!((ended.status, ended.created_at_ms), (RunStatus::Cancelled, begun.created_at_ms));
    assert!(ended.ended_at_ms.is_some_and(|at_ms| at_ms >= ended.created_at_ms), "{ended:?}");
}

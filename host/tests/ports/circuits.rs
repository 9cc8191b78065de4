//! Circuits of outside hosts: who probes, what a probe comes to, and how what was deferred comes back.

use std::time::Duration;

use pawl_domain::decision::circuit::Probe;
use pawl_domain::id::{RunId, StepId, StepNo, WorkerId};
use pawl_domain::namespace::Namespace;
use pawl_domain::status::StepStatus;
use pawl_store::circuits::{MOST_CIRCUITS, Opening, Probed, Probing};
use pawl_store::leases::Look;
use pawl_store::submit::NewRun;
use pawl_store::write::{Batch, Member, Settlement, Verdict};
use pawl_store::{Link, SharedStore};

use crate::stores::{HERE, worker};

const HOST: &str = "http://pay.example:80";
const MINUTE: Duration = Duration::from_secs(60);

fn opening(origin: &str, worker: WorkerId, first: Duration) -> Opening<'_> {
    Opening { namespace: &HERE, origin, reason: "it answered 503", failures: 5, worker, first }
}

async fn opened(store: &SharedStore, origin: &str, worker: WorkerId, first: Duration) -> i64 {
    let known = store.open_circuit(opening(origin, worker, first)).await.expect("opened").expect("there is room");
    assert!(known.open.is_some() && known.origin == origin, "{known:?}");
    known.id
}

async fn won(store: &SharedStore, circuit: i64, worker: WorkerId) -> Option<Probe> {
    match store.probe_circuit(circuit, worker, MINUTE).await.expect("an answer") {
        Probing::Won(probe) => Some(probe),
        Probing::Held(_) | Probing::Closed => None,
    }
}

/// A run of two steps that need nothing, both deferred by that host.
async fn deferred(link: &mut dyn Link, worker: WorkerId, origin: &str) -> RunId {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    link.submit(&[run]).await.expect("submitted");
    defer(link, worker, id, origin).await;
    id
}

async fn defer(link: &mut dyn Link, worker: WorkerId, run: RunId, origin: &str) {
    let claims = [0, 1].map(|step| StepId { run, step: StepNo(step) }).to_vec();
    let claimed = link.write(worker, &Batch { claims, members: Vec::new() }).await.expect("claimed").claimed;
    assert_eq!(claimed.len(), 2, "{claimed:?}");
    let member = |claim: &pawl_domain::attempt::Claim| Member {
        settlement: Some(Settlement::Deferred { origin: origin.to_owned(), delay_ms: 3_600_000 }),
        ..Member::bare(claim.id, claim.fence)
    };
    let batch = Batch { claims: Vec::new(), members: claimed.iter().map(member).collect() };
    for _ in 0..2 {
        let written = link.write(worker, &batch).await.expect("written");
        assert_eq!(written.members, [Verdict::Written; 2], "also if it is sent again");
        assert!(written.ready.is_empty(), "{written:?}");
    }
}

/// Of the steps of a run: how many wait for a time that is far away, and how many attempts have failed.
async fn waiting(store: &SharedStore, run: RunId) -> (usize, u32) {
    let steps = store.live_steps(run, 9).await.expect("its steps");
    let far = |due_at_ms: Option<i64>, now_ms: i64| due_at_ms.is_some_and(|due_at_ms| due_at_ms > now_ms + 60_000);
    let waits = steps.iter().filter(|it| it.status == StepStatus::Waiting && far(it.due_at_ms, it.now_ms));
    let (_, rows) = store.run(run, None).await.expect("the run");
    (waits.count(), rows.iter().map(|row| row.failures).sum())
}

/// Waits for the time of a probe, which is some milliseconds away.
async fn comes(store: &SharedStore, circuit: i64, worker: WorkerId) -> Probe {
    loop {
        match won(store, circuit, worker).await {
            Some(probe) => return probe,
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn are_told(store: &SharedStore, worker: WorkerId) -> bool {
    let look = Look { worker, due_from_ms: None, horizon_ms: 0, ready: Vec::new(), margin_ms: 0 };
    store.look(&look).await.expect("a look").circuits
}

pub async fn one_probes_and_only_the_newest_probe_counts(store: &SharedStore) {
    let mut link = store.link();
    let (one, other) = (worker(store, &mut *link, 60_000).await, worker(store, &mut *link, 60_000).await);
    assert!(!are_told(store, one).await);
    let circuit = opened(store, HOST, one, MINUTE).await;
    assert_eq!(opened(store, HOST, other, Duration::ZERO).await, circuit, "there is one of a host");
    assert!(are_told(store, one).await);
    assert_eq!(won(store, circuit, one).await, None, "it is not time");
    assert!(store.close_circuit(&HERE, HOST).await.expect("closed"));
    assert!(!store.close_circuit(&HERE, HOST).await.expect("it is closed"));
    assert_eq!(store.probe_circuit(circuit, one, MINUTE).await.expect("an answer"), Probing::Closed);

    let second = opened(store, HOST, one, Duration::ZERO).await;
    assert_ne!(second, circuit);
    let first = won(store, second, one).await.expect("it is time");
    assert_eq!(won(store, second, other).await, None, "somebody has it");
    let rows = store.circuits(&HERE).await.expect("a list");
    assert_eq!((rows.len(), rows[0].probed_by, rows[0].opened_by), (1, Some(one), Some(one)), "{rows:?}");
    assert_eq!(store.backlog().await.expect("a backlog").circuits.half_open, 1);
    store.probed_circuit(first, Probed::Nothing).await.expect("given back");
    let again = won(store, second, other).await.expect("it is another's");
    let down = |reason| Probed::Down { reason, longest: MINUTE };
    assert!(store.probed_circuit(first, Probed::Up).await.expect("told").is_some(), "an older one");
    store.probed_circuit(first, down("late")).await.expect("told");
    assert_eq!(store.circuits(&HERE).await.expect("a list")[0].reason, "it answered 503");
    store.probed_circuit(again, down("no connection")).await.expect("told");
    let rows = store.circuits(&HERE).await.expect("a list");
    assert_eq!((rows[0].failures, rows[0].reason.as_str(), rows[0].probed_by), (6, "no connection", None), "{rows:?}");
    assert_eq!(store.backlog().await.expect("a backlog").circuits.open, 1);

    // Whoever has it is gone: it is another's before its time is over.
    let dying = worker(store, &mut *link, 60_000).await;
    comes(store, second, dying).await;
    assert_eq!(won(store, second, one).await, None);
    store.forget_worker(dying).await.expect("forgotten");
    let last = won(store, second, one).await.expect("its worker is gone");
    assert_eq!(store.probed_circuit(last, Probed::Up).await.expect("told"), None, "it is closed");
    assert_eq!(store.circuits(&HERE).await.expect("a list"), []);
    assert_eq!(store.circuits(&"elsewhere".parse::<Namespace>().expect("a name")).await.expect("a list"), []);

    // For longer, each time.
    let third = opened(store, HOST, one, Duration::from_millis(1)).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let probe = comes(store, third, one).await;
        let longest = Duration::from_millis(3);
        let before_ms = store.condition().await.expect("the time").now_ms;
        let at_ms = store.probed_circuit(probe, Probed::Down { reason: "no", longest }).await.expect("told");
        told.push(at_ms.expect("it is open") - before_ms);
    }
    assert!(told[0] >= 1 && told[1] >= 2 && told[2] >= 2, "{told:?}");
    store.close_circuit(&HERE, HOST).await.expect("closed");

    for number in 0..MOST_CIRCUITS {
        opened(store, &format!("http://host-{number}:80"), one, MINUTE).await;
    }
    assert_eq!(store.open_circuit(opening(HOST, one, MINUTE)).await.expect("an answer"), None, "there are so many");
    for number in 0..MOST_CIRCUITS {
        store.close_circuit(&HERE, &format!("http://host-{number}:80")).await.expect("closed");
    }
}

pub async fn what_is_deferred_comes_back_one_to_probe_and_all_in_pieces(store: &SharedStore) {
    let mut link = store.link();
    let me = worker(store, &mut *link, 60_000).await;
    // Nobody has opened it, or it has closed since.
    let late = deferred(&mut *link, me, HOST).await;
    assert_eq!(waiting(store, late).await, (0, 0), "it is due at once");

    let circuit = opened(store, HOST, me, MINUTE).await;
    let runs = [deferred(&mut *link, me, HOST).await, deferred(&mut *link, me, HOST).await];
    for run in runs {
        assert_eq!(waiting(store, run).await, (2, 0));
        let steps = store.live_steps(run, 9).await.expect("its steps");
        assert!(steps.iter().all(|it| it.down.as_ref().is_some_and(|down| down.origin == HOST)), "{steps:?}");
    }
    assert_eq!(store.circuits(&HERE).await.expect("a list")[0].deferred, 4);
    assert!(!store.tend_circuits(100).await.expect("tended").due, "it is not time");
    store.close_circuit(&HERE, HOST).await.expect("closed");
    // One is stopped meanwhile, and goes nowhere.
    store.cancel(runs[1]).await.expect("cancelled");
    let mut pieces = 0;
    while waiting(store, runs[0]).await.0 > 0 {
        let tended = store.tend_circuits(1).await.expect("a piece");
        assert!(tended.circuits.iter().all(|known| known.id != circuit || known.open.is_none()), "{tended:?}");
        pieces += 1;
        assert!(pieces < 1_100, "it has no end");
    }
    assert!(pieces >= 2, "a step each");
    store.wake(1_000, None).await.expect("woken");
    assert_eq!(waiting(store, runs[0]).await, (0, 0));

    // Of one that may be probed, one step is pulled, and no other at once.
    let open = opened(store, HOST, me, Duration::ZERO).await;
    defer(&mut *link, me, runs[0], HOST).await;
    let tended = store.tend_circuits(100).await.expect("tended");
    assert!(tended.due && tended.circuits.iter().any(|known| known.id == open && known.open.is_some()), "{tended:?}");
    assert_eq!(waiting(store, runs[0]).await, (1, 0));
    assert!(!store.tend_circuits(100).await.expect("tended").due);
    assert_eq!(waiting(store, runs[0]).await, (1, 0));
    store.close_circuit(&HERE, HOST).await.expect("closed");
    assert!(store.tend_circuits(100).await.expect("tended").due);
    assert_eq!(waiting(store, runs[0]).await, (0, 0));
    for run in [late, runs[0]] {
        store.cancel(run).await.expect("cancelled");
    }
}

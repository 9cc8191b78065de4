//! What waits, as both stores list it.

use pawl_domain::id::{StepId, StepNo};
use pawl_domain::journal::Segment;
use pawl_domain::namespace::Namespace;
use pawl_domain::wait::Wait;
use pawl_store::submit::NewRun;
use pawl_store::waits::{WaitKind, WaitPage, WaitRow};
use pawl_store::write::{Batch, Member, Settlement, Verdict};
use pawl_store::{Link, SharedStore};

use crate::stores::{HERE, worker};

async fn page(store: &SharedStore, namespace: &Namespace, kind: WaitKind, limit: usize) -> Vec<WaitRow> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let WaitPage { rows, next } = store.waits(namespace, kind, after, limit).await.expect("a page");
        assert!(rows.len() <= limit, "{rows:?}");
        all.extend(rows);
        match next {
            // As a client gets it back.
            Some(place) => after = Some(place.to_string().parse().expect("its own text")),
            None => return all,
        }
    }
}

/// Runs whose first two steps are settled like this.
async fn settled(store: &SharedStore, link: &mut dyn Link, settlements: [Settlement; 2]) -> [StepId; 2] {
    let worker = worker(store, link, 60_000).await;
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let steps = [0, 1].map(|step| StepId { run: run.id, step: StepNo(step) });
    link.submit(&[run]).await.expect("submitted");
    let claimed =
        link.write(worker, &Batch { claims: steps.to_vec(), members: Vec::new() }).await.expect("claimed").claimed;
    let members = steps.iter().zip(settlements).map(|(step, settlement)| {
        let claim = claimed.iter().find(|claim| claim.id == *step).expect("it was ready");
        let segment = match &settlement {
            Settlement::Suspended { wait, .. } => Some(Segment::of(0, &[wait.entry()])),
            _ => None,
        };
        Member { segment, settlement: Some(settlement), ..Member::bare(*step, claim.fence) }
    });
    let batch = Batch { claims: Vec::new(), members: members.collect() };
    assert_eq!(link.write(worker, &batch).await.expect("written").members, [Verdict::Written; 2]);
    steps
}

pub async fn what_waits_is_listed_by_signal_and_by_time(store: &SharedStore) {
    let mut link = store.link();
    let awaits = |name: &str, timeout_ms| Settlement::Suspended {
        wait: Wait::Signal { name: name.to_owned(), timeout_ms },
        position: 0,
    };
    let (before, timed) =
        (page(store, &HERE, WaitKind::Signal, 100).await.len(), page(store, &HERE, WaitKind::Time, 100).await.len());
    let [go, later] = settled(store, &mut *link, [awaits("go", None), awaits("approved/é", Some(3_600_000))]).await;
    let retry = Settlement::Retry { error: b"{}".to_vec(), delay_ms: 1_800_000 };
    let sleep = Settlement::Suspended { wait: Wait::Sleep { duration_ms: 900_000 }, position: 0 };
    let [again, asleep] = settled(store, &mut *link, [retry, sleep]).await;
    for limit in [1, 2, 100] {
        let signals = page(store, &HERE, WaitKind::Signal, limit).await;
        assert_eq!(signals.len(), before + 2, "pages of {limit}");
        let mut told: Vec<_> = signals.iter().filter(|row| row.step.run == go.run).collect();
        told.sort_by_key(|row| row.step);
        assert_eq!((told[0].step, told[0].signal.as_deref(), told[0].due_us), (go, Some("go"), None));
        assert_eq!((told[1].step, told[1].signal.as_deref()), (later, Some("approved/é")));
        assert!(told[1].due_us.is_some() && told.iter().all(|row| row.waits && row.pipeline == "pair"));

        let times = page(store, &HERE, WaitKind::Time, limit).await;
        assert_eq!(times.len(), timed + 3, "pages of {limit}");
        assert!(times.is_sorted_by_key(|row| row.due_us), "the soonest first");
        let ours = times.iter().filter(|row| [later.run, again.run].contains(&row.step.run));
        let told: Vec<_> = ours.map(|row| (row.step, row.has_asked, row.failures)).collect();
        assert_eq!(told, [(asleep, true, 0), (again, false, 1), (later, true, 0)]);
    }
    let elsewhere: Namespace = "nobodys".parse().expect("a name");
    assert_eq!(page(store, &elsewhere, WaitKind::Signal, 1).await, []);
    // What is stopped keeps the signal that it waited for, and waits no more.
    for run in [go.run, again.run] {
        store.cancel(run).await.expect("cancelled");
    }
    assert_eq!(page(store, &HERE, WaitKind::Signal, 1).await.len(), before);
    assert_eq!(page(store, &HERE, WaitKind::Time, 1).await.len(), timed);
}

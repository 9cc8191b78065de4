//! The records of takeovers: what leaves them, what completes them, and what people read of them; and runs that nobody
//! moves. Which stage comes when is decided in `domain`; here is what stores make of it.

use std::collections::BTreeMap;
use std::time::Duration;

use pawl_domain::attempt::Claim;
use pawl_domain::event::EventKind;
use pawl_domain::id::{RunId, StepId, StepNo, WorkerId};
use pawl_domain::journal::{Checkpoint, Entry, Held, Segment};
use pawl_domain::recovery::{Outcome, Recovered, Stage};
use pawl_domain::status::StepStatus;
use pawl_domain::suspicion::Suspicion;
use pawl_store::control::{Resume, ResumeOn};
use pawl_store::recoveries::{InterruptedFilter, RecoveryFilter, RecoveryRow};
use pawl_store::submit::NewRun;
use pawl_store::write::{Batch, Member, Settlement, Verdict};
use pawl_store::{Link, SharedStore};

use crate::stores::{HERE, worker};

/// A run that has not begun, of two steps that need nothing, and one that needs both.
async fn a_run(store: &SharedStore) -> (RunId, [StepId; 2]) {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    (id, [0, 1].map(|step| StepId { run: id, step: StepNo(step) }))
}

async fn claim(link: &mut dyn Link, worker: WorkerId, step: StepId) -> Claim {
    let written = link.write(worker, &Batch { claims: vec![step], members: Vec::new() }).await.expect("claimed");
    written.claimed.into_iter().next().expect("it was ready")
}

async fn write(link: &mut dyn Link, worker: WorkerId, member: &Member) -> Verdict {
    let batch = Batch { members: vec![member.clone()], claims: Vec::new() };
    link.write(worker, &batch).await.expect("an answer").members[0]
}

async fn records(store: &SharedStore, run: RunId) -> Vec<RecoveryRow> {
    let filter = RecoveryFilter { namespace: &HERE, run: Some(run), before: None, limit: 10 };
    store.recoveries(&filter).await.expect("the records")
}

/// Three entries, and a checkpoint after the first.
fn writing(claim: &Claim) -> Member {
    let entries: Vec<Entry> = (0..3).map(|unix_ns| Entry::Now { unix_ns }).collect();
    let checkpoint = Checkpoint {
        ordinal: 1,
        position: 1,
        random_position: 0,
        effect_ordinal: 0,
        prelude: Some(0),
        state: b"state".to_vec(),
        held: Held::default(),
    };
    let (segment, checkpoint) = (Some(Segment::of(0, &entries)), Some(checkpoint));
    Member { segment, checkpoint, ..Member::bare(claim.id, claim.fence) }
}

pub async fn takeovers_leave_records(store: &SharedStore) {
    let mut link = store.link();
    let (dead, other) = (worker(store, &mut *link, 0).await, worker(store, &mut *link, 60_000).await);
    let (run, [first, second]) = a_run(store).await;
    let begun = claim(&mut *link, dead, first).await;
    assert!(!begun.recovers, "nobody had it before");
    assert_eq!(write(&mut *link, dead, &writing(&begun)).await, Verdict::Written);
    assert_eq!(records(store, run).await, []);
    store.take_over(10, false, Suspicion::default()).await.expect("a sweep");

    let [open] = &records(store, run).await[..] else { panic!("one record") };
    assert_eq!((open.id.step, open.id.fence.0, open.worker), (first, 2, dead));
    assert_eq!((open.checkpoint_position, open.to_replay, open.pipeline.as_str()), (Some(1), 2, "pair"));
    assert!(open.lease_ended_ms.is_some_and(|ended_ms| ended_ms <= open.taken_over_ms));
    assert_eq!((open.replacement, open.claimed_ms, open.outcome), (None, None, None));

    let resumed = claim(&mut *link, other, first).await;
    assert!(resumed.recovers);
    let beside = claim(&mut *link, other, second).await;
    assert!(!beside.recovers, "it was not taken over");
    let [claimed] = &records(store, run).await[..] else { panic!("one record") };
    assert_eq!(claimed.replacement, Some(other));
    assert!(claimed.claimed_ms >= Some(open.taken_over_ms));

    // A clock that is a little late: nothing was passed before the claim. A step that was not taken over has no record.
    let after_ms = claimed.claimed_ms.expect("it is claimed") + 10_000;
    let told = Recovered {
        reloaded_ms: Some(1),
        replayed_ms: Some(after_ms),
        ready_ms: Some(after_ms + 5),
        replayed: 2,
        outcome: Outcome::Recovered,
    };
    let news = |claim: &Claim, first: u32| Member {
        segment: Some(Segment::of(first, &[Entry::Now { unix_ns: 9 }])),
        recovered: Some(told),
        ..Member::bare(claim.id, claim.fence)
    };
    let before = events(store, run).await;
    let stale = Member { fence: begun.fence, ..news(&resumed, 3) };
    assert_eq!(write(&mut *link, dead, &stale).await, Verdict::LeaseLost);
    assert_eq!(write(&mut *link, other, &stale).await, Verdict::LeaseLost);
    assert_eq!(write(&mut *link, other, &news(&beside, 0)).await, Verdict::Written);
    assert_eq!(records(store, run).await, std::slice::from_ref(claimed), "nothing is noted for others");
    assert_eq!(events(store, run).await, before);
    for time in ["the first", "again, after a lost answer"] {
        assert_eq!(write(&mut *link, other, &news(&resumed, 3)).await, Verdict::Written, "{time}");
        let [ended] = &records(store, run).await[..] else { panic!("one record") };
        let expected = RecoveryRow {
            reloaded_ms: claimed.claimed_ms,
            replayed_ms: told.replayed_ms,
            ready_ms: told.ready_ms,
            replayed: Some(2),
            outcome: Some(Outcome::Recovered),
            ..claimed.clone()
        };
        assert_eq!(*ended, expected, "{time}");
        // The history tells the stages in their order, by the replacement.
        let events = events(store, run).await;
        let told = &events[before.len()..];
        let kinds: Vec<EventKind> = told.iter().map(|(kind, _, _)| *kind).collect();
        assert_eq!(kinds, Stage::ALL[1..].iter().map(|stage| stage.event()).collect::<Vec<_>>(), "{time}");
        let all_ms = after_ms + 5 - open.lease_ended_ms.expect("it is known");
        let notes: Vec<_> = told.iter().filter_map(|(_, _, note)| note.as_deref()).collect();
        assert_eq!(notes, ["checkpoint=1", "entries=2", &format!("{all_ms} ms after the end of the lease")]);
        assert!(told.iter().all(|(_, by, _)| *by == Some(other)));
    }

    let lost = lost_and_failed(store, &mut *link, second, beside, other).await;
    store.cancel(run).await.expect("cancelled");
    a_page_begins_where_the_last_one_ended(store, run, lost).await;
}

/// Replacements that go, too, and one that can't go on. Returns how many records there are of that step.
async fn lost_and_failed(
    store: &SharedStore,
    link: &mut dyn Link,
    step: StepId,
    claimed: Claim,
    first: WorkerId,
) -> usize {
    store.forget_worker(first).await.expect("forgotten");
    store.take_over(10, true, Suspicion::default()).await.expect("a sweep");
    let of_step = async || {
        let mut found = records(store, step.run).await;
        found.retain(|record| record.id.step == step);
        found
    };
    let found = of_step().await;
    assert_eq!((found.len(), found[0].lease_ended_ms, found[0].to_replay), (1, None, 1), "nobody knows that worker");
    let next = worker(store, link, 0).await;
    let again = claim(link, next, step).await;
    assert!(again.fence > claimed.fence && again.recovers);
    store.take_over(10, false, Suspicion::default()).await.expect("a sweep");
    let found = of_step().await;
    assert_eq!(found.iter().map(|record| record.outcome).collect::<Vec<_>>(), [None, Some(Outcome::Lost)]);

    // One hands it back, and the next one can't go on.
    let last = worker(store, link, 60_000).await;
    let kept = claim(link, last, step).await;
    let handed_back = Member { settlement: Some(Settlement::Released), ..Member::bare(step, kept.fence) };
    assert_eq!(write(link, last, &handed_back).await, Verdict::Written);
    let kept = claim(link, last, step).await;
    let outcome = Outcome::Failed;
    let told = Recovered { reloaded_ms: Some(0), replayed_ms: None, ready_ms: None, replayed: 0, outcome };
    let settlement = Some(Settlement::Parked(b"{}".to_vec()));
    let parked = Member { settlement, recovered: Some(told), ..Member::bare(step, kept.fence) };
    assert_eq!(write(link, last, &parked).await, Verdict::Written);
    let found = of_step().await;
    assert_eq!((found[0].outcome, found[0].replacement, found[0].ready_ms), (Some(outcome), Some(last), None));
    let events = events(store, step.run).await;
    let kinds: Vec<EventKind> = events.iter().rev().take(2).map(|(kind, _, _)| *kind).collect();
    assert_eq!(kinds, [EventKind::StepParked, EventKind::StepCheckpointReloaded], "no stage that was not passed");
    for worker in [next, last] {
        store.forget_worker(worker).await.expect("forgotten");
    }
    found.len()
}

async fn a_page_begins_where_the_last_one_ended(store: &SharedStore, run: RunId, of_second: usize) {
    let page = async |run, before, limit| {
        let filter = RecoveryFilter { namespace: &HERE, run, before, limit };
        store.recoveries(&filter).await.expect("a page").into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    let all = page(None, None, 10).await;
    assert_eq!(all.len(), of_second + 2, "the first step was taken over twice");
    assert_eq!(page(Some(run), None, 10).await, all);
    assert_eq!(page(Some(run), Some(all[0]), 1).await, all[1..2]);
    assert_eq!(page(None, Some(all[1]), 10).await, all[2..]);
    assert_eq!(page(Some(RunId::new()), None, 10).await, []);
    let there = "there".parse().expect("a name");
    let filter = RecoveryFilter { namespace: &there, run: None, before: None, limit: 10 };
    assert_eq!(store.recoveries(&filter).await.expect("a page"), []);
}

async fn events(store: &SharedStore, run: RunId) -> Vec<(EventKind, Option<WorkerId>, Option<String>)> {
    let events = store.events(run, 0, 100).await.expect("the history");
    events.into_iter().map(|event| (event.kind, event.worker, event.note)).collect()
}

/// A person raises fences, too: what goes on by that comes after no takeover, and is counted as none.
pub async fn a_persons_retry_is_no_recovery(store: &SharedStore) {
    let mut link = store.link();
    let own = worker(store, &mut *link, 60_000).await;
    let (run, [first, second]) = a_run(store).await;
    let begun = claim(&mut *link, own, first).await;
    let settlement = Some(Settlement::Failed { error: b"{}".to_vec(), rejects_signal: false });
    assert_eq!(
        write(&mut *link, own, &Member { settlement, ..Member::bare(first, begun.fence) }).await,
        Verdict::Written
    );
    store.retry(run, None, BTreeMap::new()).await.expect("retried");
    let again = claim(&mut *link, own, first).await;
    assert!(again.fence.0 > begun.fence.0 + 1, "the fence was raised in between");
    assert!(!again.recovers, "nobody has taken it over");
    // Neither does the answer to a batch that is sent again say so.
    let sent_again = claim(&mut *link, own, first).await;
    assert_eq!((sent_again.fence, sent_again.recovers), (again.fence, false));

    let parked = claim(&mut *link, own, second).await;
    let settlement = Some(Settlement::Parked(b"{}".to_vec()));
    assert_eq!(
        write(&mut *link, own, &Member { settlement, ..Member::bare(second, parked.fence) }).await,
        Verdict::Written
    );
    store.resume(run, second.step, Resume::on(ResumeOn::Pinned)).await.expect("resumed");
    assert!(!claim(&mut *link, own, second).await.recovers);
    assert_eq!(records(store, run).await, []);

    // After a takeover it is one, and so says the answer to what is sent again.
    store.forget_worker(own).await.expect("forgotten");
    store.take_over(10, true, Suspicion::default()).await.expect("a sweep");
    let other = worker(store, &mut *link, 60_000).await;
    for time in ["first", "again"] {
        assert!(claim(&mut *link, other, first).await.recovers, "{time}");
    }
    store.cancel(run).await.expect("cancelled");
    store.forget_worker(other).await.expect("forgotten");
}

/// Pages of one run each, and of one pipeline.
async fn runs_that_stand_have_pages(store: &SharedStore, expected: &[RunId]) {
    let page = async |pipeline: Option<&str>, after, limit| {
        let filter = InterruptedFilter { namespace: &HERE, pipeline, threshold: Duration::ZERO, after, limit };
        store.interrupted_page(&filter).await.expect("a page")
    };
    let (mut after, mut found) = (None, Vec::new());
    while let [row] = &page(Some("pair"), after, 1).await[..] {
        found.push(row.run);
        after = Some(row.standing());
        assert!(found.len() <= expected.len(), "{found:?}");
    }
    assert_eq!(found, expected);
    let rest = page(None, Some(page(None, None, 1).await[0].standing()), 10).await;
    assert_eq!(rest.iter().map(|row| row.run).collect::<Vec<_>>(), expected[1..]);
    assert!(page(Some("other"), None, 10).await.is_empty());
}

const LONG: Duration = Duration::from_secs(600);

pub async fn what_nobody_moves_is_found_and_goes_on(store: &SharedStore) {
    let interrupted = async |threshold| {
        let rows = store.interrupted(&HERE, threshold, 10).await.expect("an answer");
        rows.into_iter().map(|row| (row.run, row.next, row.next_status)).collect::<Vec<_>>()
    };
    let now = Duration::ZERO;
    assert_eq!(interrupted(now).await, []);
    let mut link = store.link();
    let (dead, other) = (worker(store, &mut *link, 0).await, worker(store, &mut *link, 60_000).await);

    // One whose worker is gone; nobody serves the queue of its other step in a moment.
    let (left, [first, _]) = a_run(store).await;
    claim(&mut *link, dead, first).await;
    // One that is past its time, and one that is not.
    let (late, [sleeping, _]) = a_run(store).await;
    let (asleep, [long, beside]) = a_run(store).await;
    for (step, delay_ms) in [(sleeping, 0), (long, 60_000), (beside, 60_000)] {
        let begun = claim(&mut *link, other, step).await;
        let settlement = Some(Settlement::Retry { error: b"{}".to_vec(), delay_ms });
        let waits = Member { settlement, ..Member::bare(step, begun.fence) };
        assert_eq!(write(&mut *link, other, &waits).await, Verdict::Written);
    }
    // One that has not begun, and one that somebody is at work on.
    let (fresh, _) = a_run(store).await;
    let (held, [running, _]) = a_run(store).await;
    claim(&mut *link, other, running).await;

    let waiting = (late, StepNo(0), StepStatus::Waiting);
    let running = (left, StepNo(0), StepStatus::Running);
    assert_eq!(interrupted(now).await, [running, waiting], "those that stand longest first");
    assert_eq!(interrupted(LONG).await, [], "a moment is no interruption");
    runs_that_stand_have_pages(store, &[left, late]).await;
    let row = store.interrupted(&HERE, now, 1).await.expect("an answer").remove(0);
    assert_eq!((row.steps, row.completed, row.failed, row.pipeline.as_str()), (3, 0, 0, "pair"));
    assert!(row.started_ms.is_some_and(|started_ms| started_ms <= row.last_activity_ms));

    // Without anybody who serves their queue, steps that are ready stand, too; but not those of a run that has not begun.
    store.forget_worker(other).await.expect("forgotten");
    let found = interrupted(now).await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&(held, StepNo(0), StepStatus::Running)) && !found.iter().any(|row| row.0 == fresh));
    let back = worker(store, &mut *link, 60_000).await;

    let ready = store.recover(&[left, late, asleep, RunId::new()], Suspicion::default()).await.expect("they go on");
    let mut ready: Vec<StepId> = ready.into_iter().map(|ready| ready.id).collect();
    ready.sort_unstable();
    let mut expected: Vec<StepId> =
        [left, late].into_iter().flat_map(|run| [0, 1].map(|step| StepId { run, step: StepNo(step) })).collect();
    expected.sort_unstable();
    assert_eq!(ready, expected, "taken over, woken, or ready already; what sleeps goes on sleeping");
    assert_eq!(records(store, left).await.len(), 1, "as any takeover");
    assert_eq!(records(store, late).await, []);
    assert_eq!(interrupted(now).await, [(held, StepNo(0), StepStatus::Running)]);
    let again = store.recover(&[left], Suspicion::default()).await.expect("delivered again");
    assert_eq!((again.len(), records(store, left).await.len()), (2, 1));

    for run in [left, late, asleep, fresh, held] {
        store.cancel(run).await.expect("cancelled");
    }
    for worker in [dead, back] {
        store.forget_worker(worker).await.expect("forgotten");
    }
}

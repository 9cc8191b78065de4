//! Incidents: what several processes have seen becomes one, the store records those that happen in it, and people read them.

use std::time::Duration;

use pawl_domain::id::{StepId, StepNo, WorkerId};
use pawl_domain::incident::{Kind, LAPSES_AFTER_MS, Span, noted};
use pawl_domain::suspicion::Suspicion;
use pawl_store::SharedStore;
use pawl_store::circuits::Opening;
use pawl_store::incidents::{IncidentFilter, IncidentRow, MOST_INCIDENTS, Sighting};
use pawl_store::pauses::Pausable;
use pawl_store::submit::NewRun;
use pawl_store::write::Batch;

use crate::stores::{HERE, worker};

/// Times of sightings are so far apart that a slow machine mistakes none for another.
const TICK_MS: i64 = 3_000;

fn ago(ticks: i64) -> Duration {
    Duration::from_millis((ticks * TICK_MS).cast_unsigned())
}

fn seen(kind: Kind, subject: &str, began: i64, last: i64, is_over: bool) -> Sighting<'_> {
    let (seen, ended) = (ago(last), is_over.then(|| ago(last)));
    Sighting { kind, subject, detail: "seen by a test", began: ago(began), seen, ended }
}

async fn listed(store: &SharedStore, kind: Kind, subject: &str) -> Vec<IncidentRow> {
    let filter = IncidentFilter { namespace: &HERE, kind: Some(kind), within: None, before: None, limit: 2_000 };
    let rows = store.incidents(filter).await.expect("a list");
    assert!(rows.is_sorted_by(|one, next| one.span.began_ms >= next.span.began_ms), "newest first: {rows:?}");
    rows.into_iter().filter(|row| row.subject == subject).collect()
}

/// A span by how many ticks ago it was.
fn in_ticks(span: Span, now_ms: i64) -> (i64, i64, Option<i64>) {
    let ticks = |at_ms: i64| (now_ms - at_ms + TICK_MS / 2).div_euclid(TICK_MS);
    (ticks(span.began_ms), ticks(span.seen_ms), span.ended_ms.map(ticks))
}

pub async fn what_several_processes_see_becomes_one_as_it_was_decided(store: &SharedStore) {
    let mut number: u32 = 7;
    let mut random = |below: i64| {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from(number >> 16) % below
    };
    let (mut merged, mut lasting) = (0, 0);
    for round in 0..12 {
        let subject = format!("server {round}");
        let mut expected: Vec<Span> = Vec::new();
        for _ in 0..8 {
            let began = random(60);
            let (last, is_over) = (began - random(began.min(6) + 1), random(2) > 0);
            store.record_incident(seen(Kind::QueueAway, &subject, began, last, is_over)).await.expect("recorded");
            let at = |ticks: i64| -ticks * TICK_MS;
            let told = Span { began_ms: at(began), seen_ms: at(last), ended_ms: is_over.then(|| at(last)) };
            let known = noted(&expected, told);
            merged += usize::from(known.of.len() > 1);
            let mut place = 0;
            expected.retain(|_| {
                place += 1;
                !known.of.contains(&(place - 1))
            });
            expected.push(known.span);
        }
        expected.sort_by_key(|span| (-span.began_ms, -span.seen_ms));
        lasting += expected.iter().filter(|span| span.ended_ms.is_none()).count();
        let now_ms = store.condition().await.expect("the time").now_ms;
        let mut found: Vec<_> = listed(store, Kind::QueueAway, &subject).await;
        found.sort_by_key(|row| (-row.span.began_ms, -row.span.seen_ms));
        let found: Vec<_> = found.iter().map(|row| in_ticks(row.span, now_ms)).collect();
        let expected: Vec<_> = expected.iter().map(|span| in_ticks(*span, 0)).collect();
        assert_eq!(found, expected, "{subject}");
    }
    assert!(merged > 3 && lasting > 3, "{merged} made one of several, {lasting} last: these histories say little");
}

pub async fn a_sighting_that_is_told_twice_is_one_and_one_that_nobody_sees_any_more_ends(store: &SharedStore) {
    for _ in 0..2 {
        store.record_incident(seen(Kind::StoreAway, "twice", 9, 4, true)).await.expect("recorded");
    }
    let [once] = &listed(store, Kind::StoreAway, "twice").await[..] else { panic!("one") };
    assert_eq!((once.detail.as_str(), once.steps), ("seen by a test", None));
    assert_eq!(listed(store, Kind::QueueAway, "twice").await, [], "it is of another kind");

    let lapsed = LAPSES_AFTER_MS / TICK_MS + 1;
    for (kind, last, lasts) in [
        (Kind::QueueAway, lapsed, false),
        (Kind::WorkersNone, lapsed, false),
        (Kind::WorkersNone, lapsed - 2, true),
        (Kind::StoreAway, lapsed, true),
    ] {
        let subject = format!("unseen for {last}");
        store.record_incident(seen(kind, &subject, 30, last, false)).await.expect("recorded");
        store.unattended().await.expect("a look");
        let [row] = &listed(store, kind, &subject).await[..] else { panic!("one {kind}") };
        let ended_ms = if lasts { None } else { Some(row.span.seen_ms) };
        assert_eq!(row.span.ended_ms, ended_ms, "{kind} {subject}");
    }
}

pub async fn a_worker_that_dies_with_steps_is_one_incident_unless_it_is_back(store: &SharedStore) {
    let mut link = store.link();
    let died = async |worker: WorkerId| listed(store, Kind::WorkerDied, &worker.to_string()).await;
    for is_back in [None, Some(true), Some(false)] {
        let dead = worker(store, &mut *link, 0).await;
        let runs: Vec<NewRun> = (0..2).map(|_| NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None)).collect();
        link.submit(&runs).await.expect("submitted");
        let claims: Vec<StepId> = runs.iter().map(|run| StepId { run: run.id, step: StepNo(0) }).collect();
        let claimed = link.write(dead, &Batch { claims, members: Vec::new() }).await.expect("claimed").claimed;
        assert_eq!(claimed.len(), 2);
        if is_back == Some(false) {
            store.forgive_crash(dead).await.expect("before its steps are taken over");
        }
        // One at a time, as where there are many.
        for _ in 0..20 {
            store.take_over(1, false, Suspicion::default()).await.expect("a sweep");
        }
        let found = died(dead).await;
        if is_back == Some(false) {
            assert_eq!(found, [], "it says that it did not die");
        } else {
            let [row] = &found[..] else { panic!("one, not {found:?}") };
            assert_eq!((row.steps, row.detail.as_str()), (Some(2), "pid 7 on here"));
            let ended_ms = row.span.ended_ms.expect("it is over");
            assert!(row.span.began_ms <= ended_ms && row.span.seen_ms == ended_ms, "{row:?}");
        }
        if is_back == Some(true) {
            store.forgive_crash(dead).await.expect("it was cut off");
            assert_eq!(died(dead).await, []);
        }
        for run in &runs {
            store.cancel(run.id).await.expect("cancelled");
        }
    }
}

pub async fn a_circuit_is_an_incident_from_its_opening_to_its_end(store: &SharedStore) {
    let origin = "http://told.example:80";
    let told = async || listed(store, Kind::CircuitOpened, origin).await;
    let worker = WorkerId::new();
    let first = Duration::from_secs(60);
    let opening = Opening { namespace: &HERE, origin, reason: "it answered 503", failures: 5, worker, first };
    for time in ["it opens", "it opens again soon"] {
        for _ in 0..2 {
            store.open_circuit(opening).await.expect("opened").expect("there is room");
        }
        let [lasts] = &told().await[..] else { panic!("one, when {time}") };
        assert_eq!((lasts.span.ended_ms, lasts.detail.as_str()), (None, "it answered 503"), "{time}");
        assert!(store.close_circuit(&HERE, origin).await.expect("closed"));
        let [over] = &told().await[..] else { panic!("one, when {time}") };
        assert!(over.span.ended_ms >= Some(over.span.began_ms), "{time}: {over:?}");
        store.tend_circuits(10).await.expect("a sweep");
    }
    let elsewhere = "elsewhere".parse().expect("a name");
    let filter = IncidentFilter {
        namespace: &elsewhere,
        kind: Some(Kind::CircuitOpened),
        within: None,
        before: None,
        limit: 1_000,
    };
    assert_eq!(store.incidents(filter).await.expect("a list"), [], "it is another's");
}

pub async fn a_queue_with_work_that_nobody_serves_is_found(store: &SharedStore) {
    let is_found = async || store.unattended().await.expect("a look").iter().any(|queue| queue == "lonely");
    assert!(!is_found().await, "nothing waits there");
    let run = NewRun::new(HERE.clone(), "lonely".into(), b"1".to_vec(), None);
    let id = run.id;
    let mut link = store.link();
    link.submit(&[run]).await.expect("submitted");
    assert!(is_found().await, "a step is ready");
    let queue = Pausable::Queue("lonely".into());
    assert!(store.pause(&queue, None).await.expect("paused"));
    assert!(!is_found().await, "it is paused");
    store.unpause(&queue).await.expect("unpaused");
    assert!(is_found().await, "it goes on");
    let dead = worker(store, &mut *link, 0).await;
    let claims = vec![StepId { run: id, step: StepNo(0) }];
    link.write(dead, &Batch { claims, members: Vec::new() }).await.expect("claimed");
    assert!(is_found().await, "it is in the hands of the dead");
    store.cancel(id).await.expect("cancelled");
    store.take_over(1_000, false, Suspicion::default()).await.expect("a sweep");
    assert!(!is_found().await, "nothing waits there");
}

pub async fn only_the_newest_incidents_are_kept_and_they_are_read_page_by_page(store: &SharedStore) {
    for number in 0..=MOST_INCIDENTS {
        let subject = format!("queue {number}");
        // Half of them hours ago.
        let last = i64::from(MOST_INCIDENTS - number) + if number <= MOST_INCIDENTS / 2 { 10_000 } else { 0 };
        store.record_incident(seen(Kind::WorkersNone, &subject, last + 10, last, true)).await.expect("recorded");
    }
    let filter = IncidentFilter { namespace: &HERE, kind: None, within: None, before: None, limit: 2_000 };
    let all = store.incidents(filter).await.expect("a list");
    assert_eq!(all.len(), MOST_INCIDENTS as usize);
    assert!(all.iter().all(|row| row.kind == Kind::WorkersNone && row.subject != "queue 0"), "the oldest have gone");
    let mut read = Vec::new();
    loop {
        let page = IncidentFilter { before: read.last().map(|row: &IncidentRow| row.id), limit: 300, ..filter };
        let page = store.incidents(page).await.expect("a page");
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, all);
    let lately = IncidentFilter { within: Some(ago(3_000)), ..filter };
    let lately = store.incidents(lately).await.expect("a list");
    assert_eq!(lately, all[..MOST_INCIDENTS as usize / 2], "those that have ended within this time");
}

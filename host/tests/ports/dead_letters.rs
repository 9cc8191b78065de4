//! Dead letters: when they come and go, how they are found, and the two verbs that were made for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pawl_domain::cause::cause_of;
use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::journal::{Checkpoint, Entry, Held, Segment};
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_rehearsal::private::PrivatePostgres;
use pawl_store::dead_letters::{DeadLetter, DeadOrder, DeadState, DeadStep, DiedOn};
use pawl_store::seal::Seal;
use pawl_store::submit::NewRun;
use pawl_store::write::{Batch, Member, Settlement, Verdict};
use pawl_store::{Error, Link, Postgres, Schema as _, SharedStore};
use sqlx::{Connection as _, PgConnection};

use crate::stores::{HERE, worker};

/// A run of two steps that need nothing, and one that needs both, whose steps are claimed and end so; none: not claimed.
async fn a_run(store: &SharedStore, ends: [Option<Settlement>; 2]) -> (RunId, [StepId; 3]) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    link.submit(&[run]).await.expect("submitted");
    let steps = [0, 1, 2].map(|step| StepId { run: id, step: StepNo(step) });
    for (step, end) in steps.iter().zip(ends) {
        let Some(end) = end else { continue };
        let claims = Batch { claims: vec![*step], members: Vec::new() };
        let claim = link.write(worker, &claims).await.expect("claimed").claimed.remove(0);
        let state = Checkpoint {
            ordinal: 1,
            position: 1,
            random_position: 0,
            effect_ordinal: 0,
            prelude: Some(0),
            state: b"state".to_vec(),
            held: Held::default(),
        };
        let member = Member {
            segment: Some(Segment::of(0, &[Entry::Now { unix_ns: 1 }, Entry::Now { unix_ns: 2 }])),
            checkpoint: Some(state),
            settlement: Some(end),
            ..Member::bare(*step, claim.fence)
        };
        assert_eq!(write(&mut *link, worker, member).await, Verdict::Written);
    }
    (id, steps)
}

async fn write(link: &mut dyn Link, worker: pawl_domain::id::WorkerId, member: Member) -> Verdict {
    link.write(worker, &Batch { members: vec![member], claims: Vec::new() }).await.expect("an answer").members[0]
}

fn failed(message: &str) -> Option<Settlement> {
    let error = format!(r#"{{"cause":"guest","message":"{message}"}}"#).into_bytes();
    Some(Settlement::Failed { error, rejects_signal: false })
}

fn parked(message: &str) -> Option<Settlement> {
    Some(Settlement::Parked(format!(r#"{{"message":"{message}"}}"#).into_bytes()))
}

fn succeeded() -> Option<Settlement> {
    Some(Settlement::Succeeded { output: b"7".to_vec(), then: Default::default() })
}

async fn letters(store: &SharedStore, of: &[StepId]) -> Vec<DeadLetter> {
    store.dead_letters_of(of).await.expect("the letters")
}

async fn states(store: &SharedStore, run: RunId) -> (RunStatus, Vec<StepStatus>) {
    let (run, steps) = store.run(run, None).await.expect("the run");
    (run.status, steps.iter().map(|step| step.status).collect())
}

pub async fn dead_letters_come_and_go_with_their_steps(store: &SharedStore) {
    let (run, steps) = a_run(store, [failed("row 17 is wrong"), None]).await;
    let [letter] = &letters(store, &steps).await[..] else { panic!("one letter") };
    assert_eq!((letter.place.step, letter.state), (steps[0], DeadState::Failed));
    assert_eq!((letter.cause.as_str(), letter.pipeline.as_str()), ("row # is wrong", "pair"));
    let newest = store.dead_letters(&HERE, DeadOrder::NewestFirst(None), 1).await.expect("a page");
    assert_eq!(newest, std::slice::from_ref(letter));
    for (part, found) in [("row 17 is", vec![run]), ("row 18", vec![])] {
        assert_eq!(store.runs_with_error(&[run], part.as_bytes()).await.expect("runs"), found, "{part}");
    }
    assert_eq!(store.dead_letters(&HERE, DeadOrder::OldestFirst(Some(letter.place)), 9).await.expect("a page"), []);

    let component = store.component_of(&HERE, "plugin", None).await.expect("the active one");
    let version = store.plugins(&HERE, Some("plugin")).await.expect("plugins").remove(0).active_version;
    let named = |plugin: &str| [DeadStep { step: steps[0], plugin: plugin.to_owned() }];
    let died_on = store.died_on(&HERE, &named("plugin")).await.expect("what it died on");
    assert_eq!(died_on, [DiedOn { step: steps[0], component, version, is_active: true }]);
    let unknown = store.died_on(&HERE, &named("another")).await.expect("what it died on");
    assert_eq!(unknown, [DiedOn { step: steps[0], component, version: None, is_active: false }]);
    assert_eq!(store.died_on(&HERE, &[]).await.expect("nothing"), []);

    store.retry(run, None, BTreeMap::new()).await.expect("retried");
    assert_eq!(letters(store, &steps).await, [], "it is tried again");
    store.cancel(run).await.expect("cancelled");

    let (run, steps) = a_run(store, [parked("entry 4 differs"), None]).await;
    let [letter] = &letters(store, &steps).await[..] else { panic!("one letter") };
    assert_eq!((letter.state, letter.cause.as_str()), (DeadState::Parked, "entry # differs"));
    let listed = store.parked_runs(&HERE, None, None, 9).await.expect("a page");
    assert_eq!(listed.iter().map(|run| run.id).collect::<Vec<_>>(), [run]);
    assert_eq!(store.parked_runs(&HERE, Some("pair"), None, 9).await.expect("a page").len(), 1);
    assert_eq!(store.parked_runs(&HERE, Some("other"), None, 9).await.expect("a page"), []);
    assert_eq!(store.parked_runs(&HERE, None, Some(run), 9).await.expect("a page"), [], "none is older");
    assert_eq!(store.runs_named(&[run, RunId(uuid::Uuid::nil())]).await.expect("runs").len(), 1);
    store.fail(run, "enough".into()).await.expect("failed");
    assert_eq!(letters(store, &steps).await, [], "it was stopped with its run");
}

pub async fn dead_letters_of_one_cause_stand_together(store: &SharedStore) {
    let mut runs = Vec::new();
    for number in 0..3 {
        runs.push(a_run(store, [failed(&format!("order {number} is unknown")), None]).await);
    }
    runs.push(a_run(store, [parked("order 3 is unknown"), None]).await);
    runs.push(a_run(store, [failed("no answer"), None]).await);
    let all = store.dead_groups(&HERE, None, 9).await.expect("groups");
    let told: Vec<_> = all.iter().map(|group| (group.key.cause.as_str(), group.count, group.parked)).collect();
    assert_eq!(told, [("no answer", 1, 0), ("order # is unknown", 4, 1)]);
    assert!(all[1].oldest_ms <= all[1].newest_ms && all[1].oldest_ms > 0);
    let first = store.dead_groups(&HERE, None, 1).await.expect("groups");
    assert_eq!(store.dead_groups(&HERE, Some(&first[0].key), 9).await.expect("groups"), all[1..]);

    let page = store.dead_letters(&HERE, DeadOrder::OldestFirst(None), 3).await.expect("a page");
    let rest = store.dead_letters(&HERE, DeadOrder::OldestFirst(Some(page[2].place)), 9).await.expect("a page");
    let order: Vec<RunId> = page.iter().chain(&rest).map(|letter| letter.place.step.run).collect();
    let mut expected: Vec<RunId> = runs.iter().map(|(run, _)| *run).collect();
    if store.name() == "SQLite" {
        // Of one millisecond, by their ids.
        expected.sort();
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
    } else {
        assert_eq!(order, expected);
    }
    let mut backwards = store.dead_letters(&HERE, DeadOrder::NewestFirst(None), 9).await.expect("a page");
    backwards.reverse();
    assert_eq!(backwards, [page, rest].concat());

    // Nobody need look after it: its step stays as it is, and is one again when it fails again.
    let (run, steps) = &runs[0];
    assert_eq!(store.forget_dead_letters(steps).await.expect("forgotten"), 1);
    assert_eq!(store.forget_dead_letters(steps).await.expect("nothing"), 0);
    assert_eq!(states(store, *run).await.0, RunStatus::Failed);
    assert_eq!(letters(store, steps).await, []);
    for (run, steps) in &runs {
        store.forget_dead_letters(steps).await.expect("forgotten");
        // It may have ended.
        let _ = store.cancel(*run).await;
    }
}

pub async fn a_step_that_is_skipped_has_the_output_that_a_person_gives(store: &SharedStore) {
    let (run, steps) = a_run(store, [failed("no"), None]).await;
    let refused = store.skip(run, StepNo(1), b"1".to_vec()).await.expect_err("it was stopped, and has not failed");
    assert!(matches!(&refused, Error::Conflict(why) if why.contains("cancelled")), "{refused}");
    let ready = store.skip(run, StepNo(0), b"[1]".to_vec()).await.expect("skipped");
    assert_eq!(ready.iter().map(|ready| ready.id).collect::<Vec<_>>(), [steps[1]]);
    use StepStatus::{Blocked, Ready, Skipped};
    assert_eq!(states(store, run).await, (RunStatus::Running, vec![Skipped, Ready, Blocked]));
    assert_eq!(store.step_output(run, StepNo(0)).await.expect("an output").as_deref(), Some(&b"[1]"[..]));
    assert_eq!(letters(store, &steps).await, []);
    store.cancel(run).await.expect("cancelled");
    store.retry(run, None, BTreeMap::new()).await.expect("retried");
    assert_eq!(states(store, run).await, (RunStatus::Running, vec![Skipped, Ready, Blocked]), "it is done");
    store.cancel(run).await.expect("cancelled");
}

pub async fn what_is_done_again_begins_with_nothing_but_its_round(store: &SharedStore) {
    let (run, steps) = a_run(store, [succeeded(), failed("no")]).await;
    use StepStatus::{Blocked, Ready};
    store.again(run, StepNo(0), BTreeMap::new()).await.expect("begun again");
    assert_eq!(states(store, run).await, (RunStatus::Running, vec![Ready, Ready, Blocked]));
    let (_, rows) = store.run(run, Some(StepNo(0))).await.expect("the step");
    let step = &rows[0];
    assert_eq!((step.journal_length, step.checkpoint_position, step.error.is_none()), (1, None, true));
    assert_eq!(
        store.entries(steps[0], 0, 1, &Seal::CLEAR).await.expect("the entry"),
        [Entry::Again { round: step.fence }]
    );
    assert_eq!(store.step_output(run, StepNo(0)).await.expect("an answer"), None);
    let kept = store.run(run, Some(StepNo(1))).await.expect("the step").1;
    assert_eq!(kept[0].checkpoint_position, Some(1), "what had failed goes on from its checkpoint");

    // Whoever claims it has the round, and no other past.
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let claims = Batch { claims: vec![steps[0]], members: Vec::new() };
    let claim = link.write(worker, &claims).await.expect("claimed").claimed.remove(0);
    assert_eq!((claim.journal_length, claim.checkpoint_position, claim.failures), (1, None, 0));
    store.cancel(run).await.expect("cancelled");
}

#[tokio::test]
async fn the_server_says_the_same_causes() {
    let folder = tempfile::tempdir().expect("a folder");
    let postgres = PrivatePostgres::start(folder.path()).expect("a private Postgres");
    let store = Arc::new(Postgres::new(&postgres.url(), 4, Duration::from_secs(30)).expect("a store"));
    store.migrate().await.expect("migrations");
    let mut conn = PgConnection::connect(&postgres.url()).await.expect("a connection");
    let long = format!(r#"{{"message":"{}"}}"#, "\u{e9}".repeat(300));
    let errors = [
        r#"{"message":"no such city: Atlantis"}"#,
        r#"{"message":"row 17 of 18\nand more"}"#,
        r#"{"message":"\r\n\n  at   entry\t\t4"}"#,
        r#"{"message":"run 01997e0c-aaaa-bbbb-cccc-ddddeeeeffff, a01997e0c-aaaa-bbbb-cccc-ddddeeeeffff-7"}"#,
        r#"{"message":"x1y2-z 0x7f 1.5e3 \u00e92\u00e9, 3f9a0c11d2e4"}"#,
        r#"{"message":"{ \"quoted\": 'a\\b' } \u00a0 \u2003 7"}"#,
        r#"{"cause":"trap"}"#,
        r#"{"message":7}"#,
        r#"{"message":" \t"}"#,
        r#"{"message":"a\u0000b"}"#,
        r#"["message"]"#,
        "no JSON",
        &*long,
        "",
        "{}",
    ];
    for error in errors {
        let told: String = sqlx::query_scalar("select pawl_cause_v1($1)")
            .bind(error.as_bytes())
            .fetch_one(&mut conn)
            .await
            .expect("a cause");
        assert_eq!(told, cause_of(error.as_bytes()), "{error}");
    }
}

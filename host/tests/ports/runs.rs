//! Runs: submitted, listed, read, stopped and opened again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pawl_domain::attempt::{ClaimedInput, Ingredients};
use pawl_domain::id::{RunId, StepId, StepNo};
use pawl_domain::pipeline::{Pipeline, Priority, StepSpec, Versions};
use pawl_domain::status::{RunStatus, StepStatus};
use pawl_domain::succession::Plan;
use pawl_store::control::Signal;
use pawl_store::runs::RunFilter;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::write::{Batch, Member, Settlement};
use pawl_store::{Error, SharedStore};

use crate::stores::{HERE, pipeline, worker};

pub async fn submissions_are_the_same_under_one_key(store: &SharedStore) -> Vec<RunId> {
    let mut link = store.link();
    let keyed = |input: &str| NewRun::new(HERE.clone(), "pair".into(), input.into(), Some("key".into()));
    let (first, other) = (keyed("1"), keyed("2"));
    let unknown = NewRun::new(HERE.clone(), "piar".into(), b"1".to_vec(), None);
    let free = NewRun::new(HERE.clone(), "pair".into(), b"{\"free\":true}".to_vec(), None);
    let batch = [first.clone(), first.clone(), other, unknown, free.clone()];
    let (answers, ready) = link.submit(&batch).await.expect("submitted");
    use Submission::{Created, KeyReused, Same, UnknownPipeline};
    assert_eq!(answers, [Created, Same, KeyReused, UnknownPipeline, Created]);
    let mut steps: Vec<StepId> = ready.iter().map(|ready| ready.id).collect();
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), 4, "two steps of each run need nothing");
    assert!(ready.iter().all(|ready| ready.queue == "two" && ready.priority == Priority::Normal));
    vec![first.id, free.id]
}

pub async fn runs_are_listed_newest_first(store: &SharedStore, runs: &[RunId]) {
    let list =
        |filter| async move { store.runs(&filter).await.expect("runs").iter().map(|run| run.id).collect::<Vec<_>>() };
    let all = RunFilter::newest(&HERE, 10);
    let listed = list(all.clone()).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(list(RunFilter { before: Some(listed[0]), ..all.clone() }).await, listed[1..], "page by page");
    assert_eq!(list(RunFilter { limit: 1, ..all.clone() }).await, listed[..1]);
    assert_eq!(list(RunFilter { status: Some(RunStatus::Failed), ..all.clone() }).await, []);
    assert_eq!(list(RunFilter { pipeline: Some("pair"), ..all.clone() }).await.len(), 2);
    assert_eq!(list(RunFilter { pipeline: Some("other"), ..all.clone() }).await, []);
    let newest = store.run_alone(listed[0]).await.expect("the run").created_at_ms;
    let oldest = store.run_alone(listed[1]).await.expect("the run").created_at_ms;
    for of in [all.clone(), RunFilter { status: Some(RunStatus::Pending), ..all.clone() }] {
        assert_eq!(list(RunFilter { since_ms: Some(oldest), until_ms: Some(newest + 1), ..of.clone() }).await, listed);
        assert_eq!(list(RunFilter { since_ms: Some(newest + 1), ..of.clone() }).await, []);
        assert_eq!(list(RunFilter { until_ms: Some(oldest), ..of.clone() }).await, []);
        let page = RunFilter { before: Some(listed[0]), until_ms: Some(i64::MAX), since_ms: Some(i64::MIN), ..of };
        assert_eq!(list(page).await, listed[1..], "what is older counts");
    }
    assert_eq!(store.runs_with_error(&listed, b"no").await.expect("none has one"), []);
    assert_eq!(list(RunFilter { pipeline: Some("other"), ..all }).await, []);
    let marks = store.step_marks(&[runs[1], RunId::new(), runs[0]]).await.expect("marks");
    let steps = [runs[1], runs[0]].map(|run| [0, 1, 2].map(|step| StepId { run, step: StepNo(step) })).concat();
    assert_eq!(marks.iter().map(|mark| mark.id).collect::<Vec<_>>(), steps);
    let stands = marks[..3].iter().map(|mark| (mark.status, mark.started_at_ms, mark.ended_at_ms)).collect::<Vec<_>>();
    assert_eq!(stands, [StepStatus::Ready, StepStatus::Ready, StepStatus::Blocked].map(|status| (status, None, None)));
    let alone = store.run_alone(runs[0]).await.expect("the run");
    assert_eq!((alone.status, alone.idempotency_key.as_deref()), (RunStatus::Pending, Some("key")));
    assert!(matches!(store.run_alone(RunId::new()).await, Err(Error::NotFound(_))));
    assert!(matches!(store.run(RunId::new(), None).await, Err(Error::NotFound(_))));
    assert_eq!(store.pipeline_of_run(runs[0]).await.expect("its version"), pipeline("two").digest());
    assert_eq!(store.run_marks(&[runs[0], RunId::new()]).await.expect("marks").len(), 1, "those that there are");
}

pub async fn outputs_are_there_when_a_run_has_succeeded(store: &SharedStore, run: RunId) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let version = pipeline("two");
    let plan = Plan::new(version.digest(), version.clone());
    let early = store.last_outputs(run, &version).await.expect_err("it has not begun");
    assert!(matches!(&early, Error::Conflict(why) if why.contains("pending")), "{early}");
    let ids = [0, 1].map(|step| StepId { run, step: StepNo(step) });
    let claimed =
        link.write(worker, &Batch { claims: ids.to_vec(), members: Vec::new() }).await.expect("claimed").claimed;
    let input = ClaimedInput::Whole(Ingredients::Run(b"1".to_vec()));
    assert!(claimed.iter().all(|claim| claim.input == input), "{claimed:?}");
    assert_eq!(store.running_of(worker).await.expect("its steps").len(), 2);
    let succeed = |claim: &pawl_domain::attempt::Claim, output: &str| Member {
        settlement: Some(Settlement::Succeeded {
            output: output.into(),
            then: plan.after(claim.id.step, &["two".into()], true),
        }),
        ..Member::bare(claim.id, claim.fence)
    };
    let members = claimed.iter().map(|claim| succeed(claim, &claim.id.step.0.to_string())).collect();
    let written = link.write(worker, &Batch { members, claims: Vec::new() }).await.expect("written");
    let [join] = &written.claimed[..] else { panic!("the join is claimed with the outcomes: {written:?}") };
    let outputs = ClaimedInput::Whole(Ingredients::Outputs(vec![b"0".to_vec(), b"1".to_vec()]));
    assert_eq!(join.input, outputs, "in the order of its needs");
    let members = vec![succeed(join, "\"end\"")];
    let written = link.write(worker, &Batch { members, claims: Vec::new() }).await.expect("written");
    assert_eq!(written.ended, [run]);
    let last = store.last_outputs(run, &version).await.expect("the outputs");
    assert_eq!(version.output_of(&last).as_deref(), Some(&b"\"end\""[..]));
    assert_eq!(store.step_output(run, StepNo(1)).await.expect("the output").as_deref(), Some(&b"1"[..]));
    assert!(matches!(store.step_output(run, StepNo(9)).await, Err(Error::NotFound(_))));
    let (_, steps) = store.run(run, Some(StepNo(2))).await.expect("one step");
    assert_eq!(
        steps.iter().map(|step| (step.no, step.status)).collect::<Vec<_>>(),
        [(StepNo(2), StepStatus::Succeeded)]
    );
    let events = store.events(run, 2, 3).await.expect("events");
    assert_eq!(events[0].number, 3, "after the second");
    assert!(matches!(store.cancel(run).await, Err(Error::Conflict(_))), "it has ended");
    assert!(matches!(store.retry(run, None, BTreeMap::new()).await, Err(Error::Conflict(_))), "nothing failed");
    assert!(matches!(store.cancel(RunId::new()).await, Err(Error::NotFound(_))));
    store.forget_worker(worker).await.expect("forgotten");
    assert!(!store.live_workers().await.expect("workers").contains(&worker));
}

pub async fn what_waits_can_be_named(store: &SharedStore, run: RunId) {
    let mut link = store.link();
    let worker = worker(store, &mut *link, 60_000).await;
    let id = StepId { run, step: StepNo(0) };
    link.write(worker, &Batch { claims: vec![id], members: Vec::new() }).await.expect("claimed");
    let live = store.live_steps(run, 10).await.expect("live steps");
    let found: Vec<_> = live.iter().map(|step| (step.no.0, step.status, step.worker, step.queue_workers)).collect();
    assert_eq!(found, [(0, StepStatus::Running, Some(worker), 1), (1, StepStatus::Ready, None, 1)]);
    assert!(live[0].lease_end_ms > Some(live[0].now_ms) && live[1].ready_at_ms.is_some());
    assert_eq!(store.live_steps(run, 1).await.expect("live steps").len(), 1);
    store.cancel(run).await.expect("cancelled");
    assert_eq!(store.live_steps(run, 10).await.expect("live steps"), []);
}

/// Each signal moves the run, often between the reading of it and the decision on it.
pub async fn a_run_that_never_stands_still_can_be_stopped(store: &SharedStore) {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    let (counter, senders) = (Arc::new(AtomicU32::new(0)), 3);
    let sender = async |store: SharedStore, sent: Arc<AtomicU32>| loop {
        let signal = Signal { name: "go".into(), payload: b"1".to_vec(), key: None, room: 1_000_000 };
        match store.signal(id, signal).await {
            Ok(_) => sent.fetch_add(1, Ordering::Relaxed),
            Err(Error::Conflict(why)) if why.contains("has ended") => break,
            Err(error) => panic!("{error}"),
        };
    };
    let stopped = async {
        while counter.load(Ordering::Relaxed) < 100 {
            tokio::task::yield_now().await;
        }
        store.cancel(id).await
    };
    let sending = (0..senders).map(|_| sender(Arc::clone(store), Arc::clone(&counter)));
    let (_, stopped) = tokio::join!(futures_util::future::join_all(sending), stopped);
    stopped.expect("cancelled");
    assert_eq!(store.run_alone(id).await.expect("the run").status, RunStatus::Cancelled);
}

/// Two may lie there; a step that waits for the third would get it.
pub async fn an_inbox_has_a_limit(store: &SharedStore) {
    let run = NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    let send = |key: Option<&str>| {
        let signal = Signal { name: "misspelt".into(), payload: b"1".to_vec(), key: key.map(str::to_owned), room: 2 };
        store.signal(id, signal)
    };
    send(None).await.expect("the first");
    send(Some("k")).await.expect("the second");
    let refused = send(None).await.expect_err("a third");
    let names = |why: &str| why.contains("2 signals lie in the inbox") && why.contains("`pawl run explain ");
    assert!(matches!(&refused, Error::Conflict(why) if names(why)), "{refused}");
    send(Some("k")).await.expect("the second is there already");
    store.cancel(id).await.expect("cancelled");
}

/// What a person does is applied by keys, however many steps it concerns.
pub async fn a_run_of_ten_thousand_steps_is_stopped_and_opened_again(store: &SharedStore) {
    const STEPS: usize = 10_000;
    let step = |number: usize| {
        let needs: &[i32] = if number == 0 { &[] } else { &[0] };
        let spec = serde_json::json!({"name": format!("s{number}"), "plugin": "plugin", "needs": needs});
        serde_json::from_value::<StepSpec>(spec).expect("a step")
    };
    let steps = (0..STEPS).map(step).collect();
    let wide = Pipeline { name: "wide".into(), versions: Versions::default(), retention: Default::default(), steps };
    store.apply_pipeline(&HERE, &wide).await.expect("applied");
    let run = NewRun::new(HERE.clone(), "wide".into(), b"1".to_vec(), None);
    let id = run.id;
    store.link().submit(&[run]).await.expect("submitted");
    store.fail(id, "too wide".into()).await.expect("failed");
    let ready = store.retry(id, None, BTreeMap::new()).await.expect("opened again");
    assert_eq!(ready.iter().map(|ready| ready.id.step).collect::<Vec<_>>(), [StepNo(0)]);
    let (run, steps) = store.run(id, None).await.expect("the run");
    assert_eq!((run.status, run.live_steps, run.failing), (RunStatus::Pending, STEPS as u32, false));
    assert!(steps[1..].iter().all(|step| step.status == StepStatus::Blocked && step.fence == 2));
    store.cancel(id).await.expect("cancelled");
}

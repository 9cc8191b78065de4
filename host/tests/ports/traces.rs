//! What the trace of an attempt is linked to: the context of its run's submission, and the claim before it.

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, RunId, StepId, StepNo, WorkerId};
use pawl_domain::suspicion::Suspicion;
use pawl_domain::trace::TraceContext;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::traces::Before;
use pawl_store::write::{Batch, Member, Settlement};
use pawl_store::{Link, SharedStore};

use crate::stores::{HERE, worker};

fn context(last: u8, state: Option<&str>) -> TraceContext {
    let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902{last:02x}-01");
    TraceContext::of_headers(&parent, state).expect("a context")
}

fn of_pair(key: Option<&str>, trace: Option<TraceContext>) -> NewRun {
    NewRun::new(HERE.clone(), "pair".into(), b"1".to_vec(), key.map(str::to_owned)).in_trace(trace)
}

pub async fn a_run_keeps_the_trace_of_its_first_submission(store: &SharedStore) {
    let mut link = store.link();
    let (first, second) = (context(1, Some("a=1, b=2")), context(2, None));
    let keyed = |trace| of_pair(Some("traced"), trace);
    let runs = [of_pair(None, None), keyed(Some(first.clone())), of_pair(None, Some(second.clone())), keyed(None)];
    let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
    let made = link.submit(&runs).await.expect("submitted").0;
    assert_eq!(made, [Submission::Created, Submission::Created, Submission::Created, Submission::Same]);
    let mut expected = vec![(ids[1], first), (ids[2], second.clone())];
    expected.sort_by_key(|(run, _)| *run);

    // Whoever asks again, or for something else, changes nothing; nor does one who had none bring one later.
    let untraced = NewRun { id: ids[0], ..of_pair(Some("late"), Some(second.clone())) };
    let other = NewRun { input: b"2".to_vec(), ..keyed(Some(second.clone())) };
    let nobodys = NewRun { pipeline: "nobodys".into(), ..of_pair(None, Some(second)) };
    let again = link.submit(&[keyed(Some(context(3, None))), other, untraced, nobodys]).await.expect("submitted").0;
    let answers = [Submission::Same, Submission::KeyReused, Submission::Same, Submission::UnknownPipeline];
    assert_eq!(again, answers);
    let mut found = store.submitted_in(&ids[..3]).await.expect("an answer");
    found.sort_by_key(|(run, _)| *run);
    assert_eq!(found, expected);
    for run in &ids[..3] {
        store.cancel(*run).await.expect("cancelled");
    }
}

async fn claim(link: &mut dyn Link, worker: WorkerId, step: StepId) -> Claim {
    let written = link.write(worker, &Batch { claims: vec![step], members: Vec::new() }).await.expect("claimed");
    written.claimed.into_iter().next().expect("it was ready")
}

pub async fn the_claim_before_is_known_over_takeovers(store: &SharedStore) {
    let mut link = store.link();
    let (dead, other) = (worker(store, &mut *link, 0).await, worker(store, &mut *link, 60_000).await);
    let run = of_pair(None, None);
    let step = StepId { run: run.id, step: StepNo(0) };
    link.submit(&[run]).await.expect("submitted");
    let first = claim(&mut *link, dead, step).await;
    store.take_over(10, false, Suspicion::default()).await.expect("a sweep");
    let second = claim(&mut *link, other, step).await;
    let given_back = Member { settlement: Some(Settlement::Released), ..Member::bare(step, second.fence) };
    link.write(other, &Batch { members: vec![given_back], claims: Vec::new() }).await.expect("written");
    let third = claim(&mut *link, other, step).await;
    assert_eq!([&first, &second, &third].map(|claim| claim.fence.0), [1, 3, 4]);

    let asked: Vec<(StepId, Fence)> = [&third, &first, &second].map(|claim| (claim.id, claim.fence)).into();
    let [of_third, of_first, of_second] = &store.before(&asked).await.expect("an answer")[..] else { panic!("three") };
    assert_eq!(*of_first, Before::default(), "nothing came before it");
    assert_eq!(*of_third, Before { fence: Some(second.fence), lease_ended_ms: None }, "it was handed back");
    assert_eq!(of_second.fence, Some(first.fence));
    assert!(of_second.lease_ended_ms.is_some_and(|(ended_ms, seen_ms)| ended_ms <= seen_ms), "{of_second:?}");
    assert_eq!(store.before(&[]).await.expect("an answer"), []);
    store.cancel(step.run).await.expect("cancelled");
}

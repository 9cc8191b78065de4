//! A journal that a person has cut to the checkpoint.

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, Fence};
use pawl_domain::journal::{Checkpoint, Entry, Held, History, RequestSummary};
use pawl_store::control::{Resume, ResumeOn, since_checkpoint};
use pawl_store::runs::StepRow;
use pawl_store::seal::Seal;
use pawl_store::write::{Batch, Member, Segment, Settlement, Verdict};
use pawl_store::{Error, SharedStore};

use crate::pipelines::COMPONENTS;
use crate::world::claimed;

pub async fn cut_by_a_person(store: &SharedStore) {
    let mut link = store.link();
    let (worker, id, fence) = claimed(&mut *link, 1).await;
    let request = RequestSummary { method: "POST".into(), url: "http://a/".into(), body: Digest::of(b"") };
    let key = Digest::of(b"key");
    let begun = Entry::OnceBegun { name: "x".into() };
    let finished = Entry::OnceFinished { name: "x".into(), value: b"1".to_vec() };
    let intent = Entry::Intent { key, request: request.clone() };
    let now = Entry::Now { unix_ns: 1 };
    let member = Member {
        segment: Some(Segment::of(0, &[now.clone(), intent, begun, finished])),
        checkpoint: Some(Checkpoint {
            ordinal: 1,
            position: 1,
            random_position: 0,
            effect_ordinal: 0,
            prelude: Some(0),
            state: b"saved".to_vec(),
            held: Held::default(),
        }),
        settlement: Some(Settlement::Parked(b"{}".to_vec())),
        ..Member::bare(id, fence)
    };
    let parked = Batch { members: vec![member], ..Batch::default() };
    assert_eq!(link.write(worker, &parked).await.expect("parked").members, [Verdict::Written]);

    let history = async || {
        let (_, steps) = store.run(id.run, Some(id.step)).await.expect("the step");
        let StepRow { journal_length, checkpoint_position, .. } = steps[0].clone();
        let claim = Claim { journal_length, checkpoint_position, ..Claim::bare(id, Fence(0)) };
        store.history(&claim, usize::MAX, &Seal::CLEAR).await.expect("the history").expect("it is not limited")
    };
    let whole = history().await;
    let other = ResumeOn::Component(Digest::of(COMPONENTS[1].1));
    let too_late = Some(since_checkpoint(&**store, id, &Seal::CLEAR).await.expect("what to forget"));
    store.resume(id.run, id.step, Resume::on(other)).await.expect("resumed");
    let moved = store.resume(id.run, id.step, Resume { on: other, forget: too_late }).await;
    assert!(matches!(moved, Err(Error::Conflict(_))), "{moved:?} on {}", store.name());
    let recorded_by = Some(Digest::of(COMPONENTS[0].1));
    assert_eq!(history().await, History { recorded_by, ..whole }, "nothing is lost by it on {}", store.name());

    let forget = Some(since_checkpoint(&**store, id, &Seal::CLEAR).await.expect("what to forget"));
    let ready = store.resume(id.run, id.step, Resume { on: ResumeOn::Pinned, forget }).await.expect("resumed");
    assert_eq!(ready.iter().map(|ready| ready.id).collect::<Vec<_>>(), [id]);
    let cut = history().await;
    let notes = [Entry::Attempted { key, request }, Entry::OnceKept { name: "x".into(), value: b"1".to_vec() }];
    let [attempted, kept] = notes;
    assert_eq!(cut.segments, [(1, vec![attempted.clone(), kept.clone()])], "on {}", store.name());
    let row = store.entries(id, 0, 3, &Seal::CLEAR).await.expect("the row");
    assert_eq!(row, [now, attempted, kept], "what stands before the cut in its row stays, on {}", store.name());
    assert_eq!((cut.length, cut.recorded_by), (3, recorded_by), "on {}", store.name());
    let events = store.events(id.run, 0, 100).await.expect("the events");
    let note = events.last().and_then(|event| event.note.clone()).unwrap_or_default();
    assert!(note.contains("from its checkpoint at entry 1"), "{note:?} on {}", store.name());

    let back = Resume::on(ResumeOn::Component(Digest::of(COMPONENTS[0].1)));
    store.resume(id.run, id.step, back).await.expect("resumed");
    assert_eq!(history().await.recorded_by, None, "on {}", store.name());
}

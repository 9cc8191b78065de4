use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::Claim;
use pawl_domain::id::{Fence, RunId, StepId, StepNo};
use pawl_domain::journal::Entry;
use pawl_domain::succession::Succession;
use pawl_engine::recorder::{Interrupt, Recorder};
use pawl_store::write::{Settlement, Verdict};

use super::*;
use crate::session::Session;
use crate::trust::{Trust, boottime_ms};

fn session(outbox: &Arc<Outbox<Session>>) -> Arc<Session> {
    let claim = Claim::bare(StepId { run: RunId::new(), step: StepNo(0) }, Fence(1));
    let trust = Arc::new(Trust::default());
    trust.renewed(boottime_ms(), Duration::from_secs(60));
    Session::new(claim, 0, Arc::clone(outbox), trust)
}

/// A guest that goes on recording while the writer collects must not stand twice in a batch: its second
/// segment would be judged against the journal as it was before the first.
#[test]
fn a_step_has_one_member_on_its_way_however_fast_it_records() {
    let (outbox, _bulk) = Outbox::new();
    let session = session(&outbox);
    let guest = std::thread::spawn({
        let session = Arc::clone(&session);
        move || {
            (0..200_000).try_for_each(|unix_ns| {
                if session.record(&Entry::Now { unix_ns })? {
                    return Ok(());
                }
                session.room(Duration::MAX)
            })
        }
    });
    let mut recorded = 0;
    while recorded < 200_000 {
        let Part { sessions, batch } = collect(&outbox);
        assert!(batch.members.len() <= 1, "one step, {} members", batch.members.len());
        for (session, member) in sessions.iter().zip(&batch.members) {
            let segment = member.segment.as_ref().expect("only entries were recorded");
            assert_eq!(segment.first, recorded, "segments follow on each other");
            recorded += segment.length;
            assert!(collect(&outbox).is_empty(), "while one is on its way, the step has no other");
            session.written(member, Verdict::Written);
        }
    }
    guest.join().expect("the guest ends").expect("nothing stopped it");
}

#[test]
fn a_guest_that_outruns_the_writer_waits_and_no_longer_than_it_may() {
    let (outbox, _bulk) = Outbox::new();
    let session = session(&outbox);
    let megabyte = Entry::OnceFinished { name: String::new(), value: vec![0; 1 << 20] };
    assert!(!session.record(&megabyte).expect("recorded"), "no more for now");
    let waited = session.room(Duration::from_millis(10));
    assert_eq!(waited, Err(Interrupt::Timeout));
    let Part { batch, .. } = collect(&outbox);
    session.written(&batch.members[0], Verdict::Written);
    session.room(Duration::MAX).expect("it is durable: there is room");
}

#[test]
fn a_batch_is_bounded_in_the_steps_that_it_touches() {
    let (outbox, _bulk) = Outbox::new();
    for _ in 0..100 {
        let successors = (1..=1_000).map(StepNo).collect();
        let then = Succession { successors, next: None };
        session(&outbox).hand_over(Settlement::Succeeded { output: b"1".to_vec(), then }, None);
    }
    let batches: Vec<usize> =
        std::iter::from_fn(|| Some(collect(&outbox).batch.members.len()).filter(|len| *len > 0)).collect();
    assert_eq!(batches, [10; 10]);
}

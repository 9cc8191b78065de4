use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, Fence, StepId, StepNo};
use pawl_store::write::{Ahead, Segment, Settlement};

use super::*;
use crate::outbox::Outbox;

/// A part of so many chains, each of its own run, with so many followers, and of so many claims.
fn part(chains: &[usize], claims: usize) -> Part {
    let (outbox, _bulk) = Outbox::new();
    let mut part = Part::default();
    for followers in chains {
        let run = RunId::new();
        for step in 0..=*followers {
            let id = StepId { run, step: StepNo(i32::try_from(step).expect("few")) };
            let ahead = (step > 0).then_some(Ahead::Follows { component: Digest([0; 32]) });
            let member = Member { ahead, ..Member::bare(id, Fence(1)) };
            part.join(Part::of(Session::new(Claim::bare(id, Fence(1)), 0, outbox.clone(), Arc::default()), member));
        }
    }
    part.batch.claims = (0..claims).map(|_| StepId { run: RunId::new(), step: StepNo(0) }).collect();
    part
}

/// Halves until every part stands alone: their members and claims.
fn halved(part: Part) -> Vec<(usize, usize)> {
    match part.halve() {
        Halved::Two(halves) => halves.into_iter().flat_map(halved).collect(),
        Halved::Chain(one) | Halved::One(one) => vec![(one.batch.members.len(), one.batch.claims.len())],
    }
}

#[test]
fn halving_ends_with_single_chains_and_single_claims() {
    let mut parts = halved(part(&[0, 0, 2, 0], 3));
    parts.sort_unstable();
    assert_eq!(parts, [(0, 1), (0, 1), (0, 1), (1, 0), (1, 0), (1, 0), (3, 0)]);
    assert_eq!(halved(part(&[5], 0)), [(6, 0)]);
    assert_eq!(halved(part(&[], 1)), [(0, 1)]);
    assert_eq!(halved(part(&[0], 1)).len(), 2);
    assert_eq!(halved(part(&[0; 256], 0)).len(), 256);
}

#[test]
fn what_somebody_else_holds_is_taken_out_run_by_run() {
    let mut all = part(&[1, 0, 0], 1);
    let runs: Vec<RunId> = all.batch.members.iter().map(|member| member.id.run).collect();
    let verdicts = vec![Verdict::Busy, Verdict::Busy, Verdict::Written, Verdict::Busy];
    let mut written = Written { members: verdicts, ..Written::default() };
    let busy = all.take_busy(&mut written);
    assert_eq!(busy.iter().map(Part::runs).collect::<Vec<_>>(), [vec![runs[0]], vec![runs[3]]]);
    assert_eq!((busy[0].batch.members.len(), busy[0].sessions.len()), (2, 2), "a chain stays together");
    assert_eq!((all.batch.members.len(), all.batch.claims.len()), (1, 1));
    assert_eq!(written.members, [Verdict::Written]);
}

#[test]
fn long_journals_go_by_themselves_and_take_nothing_else_along() {
    let mut mixed = part(&[0, 2, 0, 0, 0], 1);
    let entries = |bytes: usize| Some(Segment { first: 0, length: 1, bytes: vec![0; bytes] });
    let (long, settled) = (LONG_BYTES, Some(Settlement::Released));
    // A short one, one with an outcome, and one that is long and nothing else; the chain stays together.
    for (place, bytes, settlement) in [(0, long - 1, None), (4, long, settled), (5, long, None), (6, long + 1, None)] {
        mixed.batch.members[place].segment = entries(bytes);
        mixed.batch.members[place].settlement = settlement;
    }
    let ids = |part: &Part| part.batch.members.iter().map(|member| member.id).collect::<Vec<_>>();
    let all = ids(&mixed);
    let journals = mixed.take_long_journals().expect("two of them");
    assert_eq!((ids(&mixed), ids(&journals)), (all[..5].to_vec(), all[5..].to_vec()));
    assert!(mixed.sessions.len() == 5 && journals.sessions.len() == 2 && journals.batch.claims.is_empty());
    assert!(journals.sessions.iter().zip(ids(&journals)).all(|(session, id)| session.claim.id == id));
    assert!(mixed.take_long_journals().is_none());
}

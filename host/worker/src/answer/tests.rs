//! Tables of answers and what follows from them.

use pawl_domain::id::{Digest, Fence, StepNo};
use pawl_domain::succession::Succession;
use pawl_store::write::Settlement;

use super::*;

const STEP: StepNo = StepNo(0);

fn step(run: RunId, step: i32) -> StepId {
    StepId { run, step: StepNo(step) }
}

fn success(id: StepId, ahead: Option<Ahead>) -> Member {
    let settlement = Settlement::Succeeded { output: b"1".to_vec(), then: Succession::default() };
    Member { ahead, settlement: Some(settlement), ..Member::bare(id, Fence(1)) }
}

fn head_start() -> Option<Ahead> {
    let digest = Digest::of(b"any");
    Some(Ahead::Start { component: digest, pipeline: digest, request: digest })
}

fn follower() -> Option<Ahead> {
    Some(Ahead::Follows { component: Digest::of(b"any") })
}

/// What follows from an answer to these members; each had three steps of its run before it.
fn follows(members: Vec<Member>, claims: Vec<StepId>, written: Written) -> Vec<Consequence> {
    consequences(&Batch { members, claims }, written, |_| 3)
}

fn verdicts(verdicts: &[Verdict]) -> Written {
    Written { members: verdicts.to_vec(), ..Written::default() }
}

#[test]
fn what_ends_no_attempt_has_no_consequence() {
    let bare = Member::bare(step(RunId::new(), 0), Fence(1));
    for verdict in [Verdict::Written, Verdict::LeaseLost, Verdict::Gap] {
        assert_eq!(follows(vec![bare.clone()], Vec::new(), verdicts(&[verdict])), []);
    }
}

#[test]
fn what_follows_from_an_outcome_depends_on_its_claim_and_on_the_verdict() {
    use Verdict::{Gap, LeaseLost, Written};
    let id = StepId { run: RunId::new(), step: STEP };
    let table = [
        (None, Written, None),
        (None, LeaseLost, Some(Consequence::LeaseLost { place: 0 })),
        (None, Gap, Some(Consequence::LeaseLost { place: 0 })),
        (follower(), Written, None),
        (follower(), LeaseLost, None),
        (head_start(), Written, Some(Consequence::Acknowledge(id))),
        (head_start(), LeaseLost, Some(Consequence::AskFor(id))),
        (head_start(), Gap, Some(Consequence::AskFor(id))),
    ];
    for (ahead, verdict, besides) in table {
        let said = follows(vec![success(id, ahead)], Vec::new(), verdicts(&[verdict]));
        let mut expected = vec![Consequence::End { place: 0 }];
        expected.extend(besides);
        expected.push(Consequence::GiveUpAhead { place: 0 });
        assert_eq!(said, expected, "{ahead:?}, {verdict:?}");
    }
}

#[test]
fn a_successor_starts_after_the_end_of_its_predecessor_and_before_what_is_not_claimed_is_given_up() {
    let run = RunId::new();
    let claim = Claim::bare(step(run, 1), Fence(1));
    let written = Written { claimed: vec![claim.clone()], ..verdicts(&[Verdict::Written]) };
    let expected = [
        Consequence::End { place: 0 },
        Consequence::Start { claim, in_a_row: 4 },
        Consequence::GiveUpAhead { place: 0 },
    ];
    assert_eq!(follows(vec![success(step(run, 0), None)], Vec::new(), written), expected);
}

#[test]
fn the_row_of_a_chain_in_one_batch_goes_on_from_its_last_step() {
    let run = RunId::new();
    let members = vec![success(step(run, 0), None), success(step(run, 1), follower())];
    let batch = Batch { members, claims: Vec::new() };
    let claim = Claim::bare(step(run, 2), Fence(1));
    let written = Written { claimed: vec![claim.clone()], ..verdicts(&[Verdict::Written; 2]) };
    let said = consequences(&batch, written, |place| [3, 4][place]);
    assert!(said.contains(&Consequence::Start { claim, in_a_row: 5 }), "{said:?}");
}

#[test]
fn a_step_that_was_asked_for_begins_a_row_of_its_own() {
    let (run, other) = (RunId::new(), RunId::new());
    let asked = [step(run, 1), step(other, 0)];
    let claimed: Vec<Claim> = asked.iter().map(|id| Claim::bare(*id, Fence(1))).collect();
    let written = Written { claimed: claimed.clone(), ..verdicts(&[Verdict::Written]) };
    let said = follows(vec![success(step(run, 0), None)], asked.to_vec(), written);
    let starts = claimed.into_iter().map(|claim| Consequence::Start { claim, in_a_row: 0 });
    assert_eq!(said[1..3], starts.collect::<Vec<_>>());
}

#[test]
fn what_is_not_ready_is_acknowledged_and_what_is_locked_is_asked_for_again() {
    let (not_ready, busy) = (step(RunId::new(), 0), step(RunId::new(), 0));
    let written = Written { not_ready: vec![not_ready], busy: vec![busy], ..Written::default() };
    let expected =
        [Consequence::Acknowledge(not_ready), Consequence::GiveUp(not_ready), Consequence::AskAgain(vec![busy])];
    assert_eq!(follows(Vec::new(), vec![not_ready, busy], written), expected);
}

#[test]
fn a_retry_is_due_after_its_delay() {
    let settlement = Some(Settlement::Retry { error: Vec::new(), delay_ms: 70 });
    let member = Member { settlement, ..Member::bare(step(RunId::new(), 0), Fence(1)) };
    let said = follows(vec![member], Vec::new(), verdicts(&[Verdict::Written]));
    assert!(said.contains(&Consequence::DueAfter(Duration::from_millis(70))), "{said:?}");
}

//! What the answer to a batch means for the worker: a pure decision, which [`Flow::written`](crate::flow::Flow) acts
//! on.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use pawl_domain::attempt::Claim;
use pawl_domain::id::{RunId, StepId};
use pawl_store::write::{Ahead, Batch, Member, Verdict, Written};

/// One thing to be done. `place` is that of its member in the batch.
#[derive(Debug, PartialEq)]
pub enum Consequence {
    /// The attempt is over for this worker: the step leaves the desk, its messages are acknowledged.
    End {
        /// Whose.
        place: usize,
    },
    /// Nobody has to ask for the step any more: the messages that were kept for that are acknowledged.
    Acknowledge(StepId),
    /// The outcome was refused, and another worker has the step.
    LeaseLost {
        /// Whose.
        place: usize,
    },
    /// What the step began with was a wrong guess: what is true is asked for.
    AskFor(StepId),
    /// The runs of these steps were locked: they are asked for again, after a moment.
    AskAgain(Vec<StepId>),
    /// A step of this worker is due after so long.
    DueAfter(Duration),
    /// The step is this worker's.
    Start {
        /// The right to it.
        claim: Claim,
        /// Steps of its run that the worker has executed in a row before.
        in_a_row: u32,
    },
    /// What was run ahead of this step and is not claimed by now never will be.
    GiveUpAhead {
        /// Of which.
        place: usize,
    },
    /// What was begun of the step before its claim is of no use.
    GiveUp(StepId),
}

/// What follows from an answer, in the order in which it is to be done. `in_a_row` tells of a place how many steps of
/// its run the worker had executed in a row before it.
#[must_use]
pub fn consequences(batch: &Batch, written: Written, in_a_row: impl Fn(usize) -> u32) -> Vec<Consequence> {
    let Written { members: verdicts, claimed, not_ready, busy, .. } = written;
    let ending = || batch.members.iter().zip(&verdicts).enumerate().filter(|(_, (member, _))| member.ends());
    let mut all = Vec::new();
    for (place, (member, verdict)) in ending() {
        all.push(Consequence::End { place });
        all.extend(of_outcome(place, member, *verdict));
    }
    all.extend(batch.members.iter().filter_map(Member::due_after).map(Consequence::DueAfter));

    // A successor that came with an outcome goes on in its row. What a message led to begins a new one.
    let rows: HashMap<RunId, u32> = ending().map(|(place, (member, _))| (member.id.run, in_a_row(place) + 1)).collect();
    let asked: HashSet<StepId> = batch.claims.iter().copied().collect();
    all.extend(claimed.into_iter().map(|claim| {
        let row = rows.get(&claim.run()).filter(|_| !asked.contains(&claim.id));
        Consequence::Start { in_a_row: row.copied().unwrap_or(0), claim }
    }));
    // Only now: the claims above confirm what was run ahead under them.
    all.extend(ending().map(|(place, _)| Consequence::GiveUpAhead { place }));
    for id in not_ready {
        all.extend([Consequence::Acknowledge(id), Consequence::GiveUp(id)]);
    }
    all.extend((!busy.is_empty()).then_some(Consequence::AskAgain(busy)));
    all
}

/// What else follows for the step of an outcome. A refusal says that the worker's fence is not the step's: whoever has
/// raised it answers for the step, and this worker for nothing more of it.
fn of_outcome(place: usize, member: &Member, verdict: Verdict) -> Option<Consequence> {
    match (verdict, member.ahead) {
        // It was set aside before this, to be sent again.
        (Verdict::Busy, _) => None,
        // It was never asked for, so no other answer takes the messages that led to it.
        (Verdict::Written, Some(Ahead::Start { .. })) => Some(Consequence::Acknowledge(member.id)),
        // There was no fence yet, and nothing was written. Its messages stay, until the answer to this.
        (_, Some(Ahead::Start { .. })) => Some(Consequence::AskFor(member.id)),
        // Nor had a follower one to lose: the step before it was refused, too, or hands it over as ever.
        (Verdict::Written, None) | (_, Some(Ahead::Follows { .. })) => None,
        (Verdict::LeaseLost | Verdict::Gap, None) => Some(Consequence::LeaseLost { place }),
    }
}

#[cfg(test)]
mod tests;

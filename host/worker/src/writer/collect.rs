//! What goes into a batch: everything that waits, up to what one commit may hold.

use std::sync::Arc;

use pawl_store::write::{Batch, Member};

use super::part::Part;
use crate::outbox::Outbox;
use crate::session::{Session, Taken};

/// A batch is closed when its payloads reach this size.
pub(super) const BATCH_BYTES: usize = 8 << 20;

/// And when it touches about so many steps, successors included: a fraction of what fits into a statement's time.
const BATCH_STEPS: usize = 10_000;

/// Everything that waits, up to the limits; the rest waits for the next batch. So does what a step says while this goes
/// on.
pub(super) fn collect(outbox: &Outbox<Session>) -> Part {
    let mut chains = Vec::new();
    let (mut bytes, mut steps) = (0, 0);
    let mut claims = outbox.take_claims();
    for _ in 0..outbox.waiting_sessions() {
        let Some(session) = outbox.pop() else { break };
        match session.take() {
            Some(Taken::Member(member)) => {
                let chain = chain_of(session, *member);
                bytes += chain.iter().map(|(_, member)| member.payload_bytes()).sum::<usize>();
                steps += chain.iter().map(|(_, member)| steps_of(member)).sum::<usize>();
                chains.push(chain);
            }
            Some(Taken::Claim(id)) => claims.push(id),
            None => {}
        }
        if bytes >= BATCH_BYTES || steps >= BATCH_STEPS {
            break;
        }
    }
    // The order of keys: two writers touch the same pages in the same order.
    chains.sort_unstable_by_key(|chain| chain[0].1.id);
    let (sessions, members) = chains.into_iter().flatten().unzip();
    Part { sessions, batch: Batch { members, claims } }
}

/// Steps that the commit of a member touches.
fn steps_of(member: &Member) -> usize {
    1 + member.succession().map_or(0, |then| then.successors.len())
}

/// What a step writes, and, if it has succeeded, the successors that were run ahead and have succeeded by now.
fn chain_of(session: Arc<Session>, member: Member) -> Vec<(Arc<Session>, Member)> {
    let mut chain = vec![(session, member)];
    while let Some((last, member)) = chain.last()
        && member.succession().is_some()
        && let Some(next) = last.next()
        && let Some(follower) = next.take_follower()
    {
        chain.push((next, follower));
    }
    chain
}

#[cfg(test)]
mod tests;

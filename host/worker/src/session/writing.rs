//! The writer's side of a session: what it takes for a batch, and what the answer means for the step.

use pawl_domain::attempt::Claim;
use pawl_domain::id::StepId;
use pawl_domain::journal::Checkpoint;
use pawl_engine::recorder::Stop;
use pawl_store::history::TRIM_ENTRIES;
use pawl_store::write::{Ahead, Member, Verdict};

use super::state::{Alone, Attempt, Standing};
use super::{BULK_BYTES, Session, recovery};

/// What the writer takes of a session.
pub enum Taken {
    /// What it has to write.
    Member(Box<Member>),
    /// It asks for its claim.
    Claim(StepId),
}

impl Session {
    /// What the writer is to do for the step; `None` if nothing (any more).
    pub fn take(&self) -> Option<Taken> {
        let mut state = self.state();
        // From here on, what the guest says stands in line again: for the next batch, not for this one.
        state.queued = false;
        // An outcome goes out even if the lease is said to be lost: whether it is, the fence decides, and also a refusal
        // is an answer, by which the step leaves the desk. Anything less would only be refused, and what was run ahead
        // and given up is off the desk already.
        if state.is_lost() && (state.is_ahead() || !matches!(state.attempt, Attempt::Ended(_))) {
            return None;
        }
        let ahead = match state.standing {
            Standing::Claimed => None,
            Standing::Unclaimed(request) if state.has_succeeded() => {
                let Claim { component, pipeline, .. } = self.claim;
                Some(Ahead::Start { component, pipeline, request })
            }
            Standing::Unclaimed(_) => {
                state.standing = Standing::Asked;
                return Some(Taken::Claim(self.claim.id));
            }
            Standing::Follows | Standing::Asked => return None,
        };
        state.has_something_to_write().then(|| Taken::Member(Box::new(state.member(&self.claim, ahead, self.seal()))))
    }

    /// A large checkpoint whose entries are durable, for the bulk writer.
    pub fn take_bulk(&self) -> Option<Member> {
        let mut state = self.state();
        let checkpoint = if state.bulk_is_ready() { state.bulk.waiting.take() } else { None }?;
        state.bulk.in_flight = true;
        Some(Member { checkpoint: Some(checkpoint), ..Member::bare(self.claim.id, self.claim.fence) })
    }

    /// Up to which position entries can be dropped that no replay touches, if they are many by now.
    pub fn to_trim(&self) -> Option<u32> {
        let state = self.state();
        let (prelude, position) = state.replaced?;
        (position.saturating_sub(state.trimmed.max(prelude)) >= TRIM_ENTRIES).then_some(position)
    }

    /// They are dropped.
    pub fn trimmed(&self, until: u32) {
        self.state().trimmed = until;
    }

    /// What became of a member of this step.
    pub fn written(&self, member: &Member, verdict: Verdict) {
        let mut state = self.state();
        if member.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.state.len() >= BULK_BYTES) {
            state.bulk.in_flight = false;
        } else {
            state.in_flight = false;
            let kept = member.segment.as_ref().map_or(0, |segment| segment.bytes.len());
            state.unwritten.take(self.seal().payload_bytes(kept));
        }
        match verdict {
            Verdict::Written => {
                state.standing = Standing::Claimed;
                if let Some(Checkpoint { prelude: Some(prelude), position, .. }) = member.checkpoint {
                    let newest = state.replaced.map_or(position, |(_, newest)| newest.max(position));
                    state.replaced = Some((prelude, newest));
                }
                if let Some(recovered) = &member.recovered {
                    recovery::count(recovered, state.begun_ms);
                }
                if member.alone {
                    state.alone = Alone::OnRecord;
                }
                if let Some(segment) = &member.segment {
                    state.durable = segment.first + segment.length;
                }
                self.queue_bulk(&state);
            }
            Verdict::LeaseLost => state.stop = Some(Stop::LeaseLost),
            Verdict::Gap => {
                tracing::error!(step.id = %self.claim.id, fence = %self.claim.fence,
                    "a journal segment did not start where the journal ends: the attempt is given up");
                state.stop = Some(Stop::LeaseLost);
            }
            Verdict::Busy => tracing::error!(step.id = %self.claim.id, "a busy member is set aside before this"),
        }
        if state.has_something_to_write() {
            self.queue(&mut state);
        }
        let is_first = member.ahead.is_some() && !state.is_ahead();
        self.changed.notify_all();
        drop(state);
        if is_first {
            self.print_early();
        }
    }
}

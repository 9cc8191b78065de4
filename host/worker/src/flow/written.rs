//! What follows a commit: the answer to a batch is told to all whom it concerns.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::StepId;
use pawl_store::write::{Batch, Member, Settlement, Verdict, Written};

use super::Flow;
use crate::acknowledge::Done;
use crate::answer::{Consequence, consequences};
use crate::session::Session;
use crate::tell::tell;

/// A claim that met a locked run is asked for again after this, which doubles up to the longest.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_BUSY_PAUSE: Duration = Duration::from_millis(500);

impl Flow {
    /// Takes in the answer to a batch: called by the writer, after the commit.
    ///
    /// A crash before the last line of it loses the acknowledgements and deliveries of this commit, and no more: the
    /// messages come again, to a worker that finds their steps not ready, and ready steps are found as lost.
    pub fn written(self: &Arc<Self>, sessions: &[Arc<Session>], batch: &Batch, mut written: Written) {
        if batch.members.iter().any(Member::ends) {
            pawl_base::fault::point("outcome.committed.before_publish");
        }
        let (moved, ready) = (written.moved(batch), std::mem::take(&mut written.ready));
        let mut done = Done { moved, ready, ..Done::default() };
        // Guests first: they may be waiting at a barrier for this.
        for ((session, member), verdict) in sessions.iter().zip(&batch.members).zip(&written.members) {
            session.written(member, *verdict);
            session.trace_written(self.worker, member, *verdict);
            if *verdict == Verdict::Written && member.tells() {
                tell(member, || self.guests.step_name(session));
                if matches!(member.settlement, Some(Settlement::Failed { .. } | Settlement::Parked(_))) {
                    self.died.notify_one();
                }
            }
        }
        for consequence in consequences(batch, written, |place| sessions[place].in_a_row) {
            match consequence {
                Consequence::End { place } => done.acknowledged.extend(self.end(&sessions[place])),
                Consequence::Acknowledge(id) => match self.desk.was_not_ready(id) {
                    Some(messages) => done.acknowledged.extend(messages),
                    None => self.outboxes.request_claim(id),
                },
                Consequence::LeaseLost { place } => {
                    let claim = &sessions[place].claim;
                    tracing::warn!(step.id = %claim.id, fence = %claim.fence, worker.id = %self.worker,
                        "LeaseLost: the outcome was refused, the step belongs to another worker");
                }
                Consequence::AskFor(id) => self.outboxes.request_claim(id),
                Consequence::AskAgain(busy) => self.ask_again(busy),
                Consequence::DueAfter(delay) => {
                    let _ = self.soon.send(delay);
                }
                Consequence::Start { claim, in_a_row } => self.start(claim, in_a_row),
                Consequence::GiveUpAhead { place } => self.ahead.give_up_next(&sessions[place]),
                Consequence::GiveUp(id) => self.ahead.give_up_step(id),
            }
        }
        self.desk.wake_receiver();
        // Without a receiver the incarnation has ended: what is not told now is found by others.
        let _ = self.done.send(done);
    }

    /// Asks again, after a pause that grows, for steps whose runs were locked.
    fn ask_again(&self, busy: Vec<StepId>) {
        for id in busy {
            let outboxes = self.outboxes.clone();
            let doubled = self.desk.was_busy(id).saturating_sub(1).min(16);
            let pause = BUSY_PAUSE.saturating_mul(1 << doubled).min(LONGEST_BUSY_PAUSE);
            self.runtime.spawn(async move {
                tokio::time::sleep(pause).await;
                outboxes.request_claim(id);
            });
        }
    }
}

//! The group writer: one lane, one connection, one batch at a time. Claims, journal segments, checkpoints
//! and outcomes of all concurrent steps share a commit.
//!
//! ```text
//!  idle ──something waits──▶ collect ──▶ send ──answered──▶ tell sessions, start claims, pass on the rest ──▶ idle
//!                                         │ ▲
//!                          no answer: ────┘ └── refused for its content: split until the bad
//!                          reconnect, send       member stands alone; it fails alone
//!                          the same again
//! ```
//!
//! The rest are messages to acknowledge and steps to publish: `acknowledge` does both, after the commit.
//!
//! A crash before the commit loses only what nobody has seen; a crash after it leaves what the database
//! says, and a sweep delivers what was not delivered. A lost answer is made up for by the resend.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::{Cause, Failure};
use pawl_domain::id::WorkerId;
use pawl_store::write::{Batch, Member, Settlement, Verdict, Written};
use pawl_store::{self as store, Error, SharedStore, within};

use crate::flow::Flow;
use crate::outbox::{Large, Outbox};
use crate::session::{Session, Taken};
use crate::vitals::Vitals;

/// A batch is closed when its payloads reach this size.
const BATCH_BYTES: usize = 8 << 20;

/// Pause before a resend, growing to the second.
const RESEND_AFTER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// Who writes.
pub struct Writing {
    /// This start of the worker.
    pub worker: WorkerId,
    /// Where it writes.
    pub store: SharedStore,
    /// How long an answer of the store is waited for.
    pub patience: Duration,
    /// Who takes in the answers.
    pub flow: Arc<Flow>,
}

/// A lane's loop; ends with its task.
pub async fn run(writing: Arc<Writing>, outbox: Arc<Outbox<Session>>, vitals: Arc<Vitals>) {
    let mut lane = Lane::new(writing, vitals);
    loop {
        outbox.filled().await;
        lane.vitals.working();
        let (sessions, batch) = collect(&outbox);
        lane.send(sessions, batch).await;
        lane.vitals.idle();
    }
}

/// The loop for large checkpoints: a connection of their own, one at a time, so that no batch waits for
/// them.
pub async fn run_bulk(writing: Arc<Writing>, mut large: Large<Session>) {
    let mut lane = Lane::new(writing, Arc::default());
    while let Some(session) = large.recv().await {
        let Some(session) = session.upgrade() else { continue };
        if let Some(member) = session.take_bulk() {
            lane.send(vec![session], Batch { members: vec![member], ..Batch::default() }).await;
        }
    }
}

/// Everything that waits, up to the byte limit; the rest waits for the next batch. So does what a step says
/// while this goes on: it then stands in the queue again, and has one member in a batch.
fn collect(outbox: &Outbox<Session>) -> (Vec<Arc<Session>>, Batch) {
    let mut chains = Vec::new();
    let mut bytes = 0;
    let mut claims = outbox.take_claims();
    for _ in 0..outbox.waiting_sessions() {
        let Some(session) = outbox.pop() else { break };
        match session.take() {
            Some(Taken::Member(member)) => {
                let chain = chain_of(session, *member);
                bytes += chain.iter().map(|(_, member)| member.payload_bytes()).sum::<usize>();
                chains.push(chain);
            }
            Some(Taken::Claim(id)) => claims.push(id),
            None => {}
        }
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    // The order in which the server locks: two writers never wait for each other in a circle.
    chains.sort_unstable_by_key(|chain| chain[0].1.id);
    let (sessions, members) = chains.into_iter().flatten().unzip();
    (sessions, Batch { members, claims })
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

struct Lane {
    writing: Arc<Writing>,
    vitals: Arc<Vitals>,
    link: Box<dyn store::Link>,
    outage: bool,
}

impl Lane {
    fn new(writing: Arc<Writing>, vitals: Arc<Vitals>) -> Self {
        Self { link: writing.store.link(), writing, vitals, outage: false }
    }

    async fn send(&mut self, sessions: Vec<Arc<Session>>, batch: Batch) {
        let mut parts = vec![(sessions, batch)];
        while let Some((sessions, batch)) = parts.pop() {
            if batch.members.is_empty() && batch.claims.is_empty() {
                continue;
            }
            match self.send_until_answered(&batch).await {
                Ok(written) => self.writing.flow.written(&sessions, &batch, written),
                Err(error) if batch.members.len() + batch.claims.len() > 1 => {
                    tracing::warn!(error = error.chain(), "a batch was refused: it is split");
                    parts.extend(self.split(sessions, batch));
                }
                Err(error) => self.fail_alone(&sessions, &batch, &error).await,
            }
        }
    }

    /// Sends the batch until the database has answered. Gives up only when it refuses the content.
    async fn send_until_answered(&mut self, batch: &Batch) -> Result<Written, Error> {
        let mut attempt = 0;
        loop {
            match within(self.writing.patience, self.send_once(batch)).await {
                Ok(written) => {
                    if self.outage {
                        self.outage = false;
                        tracing::info!("{} is back: the writer goes on", self.writing.store.name());
                    }
                    return Ok(written);
                }
                Err(error) if error.is_passing() => {
                    if !self.outage && attempt > 0 {
                        self.outage = true;
                        tracing::warn!(error = error.chain(), "the writer sends again");
                    }
                    tokio::time::sleep(RESEND_AFTER[usize::from(attempt > 3)]).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn send_once(&mut self, batch: &Batch) -> store::Result<Written> {
        if batch.members.iter().any(Member::suspends) {
            pawl_base::fault::point("suspend.before_commit");
        }
        if batch.members.iter().any(Member::starts_ahead) {
            pawl_base::fault::point("head_start.before_commit");
        }
        self.vitals.waiting();
        let answer = self.link.write(self.writing.worker, batch);
        // The first poll sends; the point then strikes while the server works.
        let (answer, ()) = tokio::join!(biased; answer, async { pawl_base::fault::point("batch.sent") });
        self.vitals.working();
        let written = answer?;
        let lost = (batch.members.iter().any(Member::ends) && pawl_base::fault::lost("outcome.committed.reply_lost"))
            || (!batch.claims.is_empty() && pawl_base::fault::lost("claim.committed.reply_lost"));
        if lost {
            return Err(Error::silent());
        }
        Ok(written)
    }

    /// Parts of a batch, the last to be sent first. A chain is not parted: what was run ahead in it is given
    /// up, if there is nothing else to part.
    fn split(&self, mut sessions: Vec<Arc<Session>>, mut batch: Batch) -> Vec<(Vec<Arc<Session>>, Batch)> {
        let (members, claims) = (batch.members.len(), batch.claims.len());
        let chains = (1..members).filter(|place| !batch.members[*place].follows());
        let at = chains.min_by_key(|place| place.abs_diff(members / 2)).unwrap_or(members);
        if at == members && claims == 0 {
            sessions.drain(1..).for_each(|ahead| self.writing.flow.give_up(ahead));
            batch.members.truncate(1);
            return vec![(sessions, batch)];
        }
        let rest = Batch { members: batch.members.split_off(at), claims: batch.claims.split_off(claims / 2) };
        let others = sessions.split_off(at);
        vec![(others, rest), (sessions, batch)]
    }

    /// What the database can't store ends its own step only: the step is parked with the reason.
    async fn fail_alone(&mut self, sessions: &[Arc<Session>], batch: &Batch, error: &Error) {
        tracing::error!(error = error.chain(), step.id = ?batch.members.first().map(|member| member.id),
            "a write was refused");
        let (Some(session), Some(member)) = (sessions.first(), batch.members.first()) else {
            self.writing.flow.written(&[], batch, Written { not_ready: batch.claims.clone(), ..Written::default() });
            return;
        };
        if member.starts_ahead() {
            // Not this worker's to be parked: it is executed again, under its claim, and then it is.
            self.writing.flow.written(
                sessions,
                batch,
                Written { members: vec![Verdict::LeaseLost], ..Written::default() },
            );
            return;
        }
        let reason = Failure {
            cause: Cause::Limit,
            message: format!("what the step wrote was refused: {}", error.chain()),
            details: None,
            delay_ms: None,
            from_checkpoint: false,
        };
        let parked = Member {
            settlement: Some(Settlement::Parked(serde_json::to_vec(&reason).unwrap_or_default())),
            ..Member::bare(member.id, member.fence)
        };
        let parting = Batch { members: vec![parked], ..Batch::default() };
        let written = self.send_until_answered(&parting).await.unwrap_or_else(|error| {
            tracing::error!(error = error.chain(), step.id = %member.id, "nor can the step be parked");
            Written { members: vec![Verdict::LeaseLost], ..Written::default() }
        });
        session.stop_with(pawl_engine::recorder::Stop::LeaseLost);
        self.writing.flow.written(sessions, &parting, written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::attempt::Claim;
    use pawl_domain::id::{Fence, RunId, StepId, StepNo};
    use pawl_domain::journal::Entry;
    use pawl_engine::recorder::Recorder;

    /// A guest that goes on recording while the writer collects must not stand twice in a batch: its second
    /// segment would be judged against the journal as it was before the first.
    #[test]
    fn a_step_has_one_member_in_a_batch_however_fast_it_records() {
        let (outbox, _bulk) = Outbox::new();
        let claim = Claim::bare(StepId { run: RunId::new(), step: StepNo(0) }, Fence(1));
        let session = Session::new(claim, 0, Arc::clone(&outbox), Arc::default());
        let guest = std::thread::spawn({
            let session = Arc::clone(&session);
            move || (0..200_000).try_for_each(|unix_ns| session.record(&Entry::Now { unix_ns }))
        });
        let mut recorded = 0;
        while recorded < 200_000 {
            let (sessions, batch) = collect(&outbox);
            assert!(batch.members.len() <= 1, "one step, {} members", batch.members.len());
            for (session, member) in sessions.iter().zip(&batch.members) {
                let segment = member.segment.as_ref().expect("only entries were recorded");
                assert_eq!(segment.first, recorded, "segments follow on each other");
                recorded += segment.length;
                session.written(member, Verdict::Written);
            }
        }
        guest.join().expect("the guest ends").expect("nothing stopped it");
    }
}

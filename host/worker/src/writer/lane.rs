//! One connection to the store, and what is made of its answers: a part is written, set aside, halved, or refused.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use pawl_domain::attempt::{Cause, Failure};
use pawl_metrics::{Count, figures};
use pawl_store::write::{Batch, Member, Settlement, Verdict, Written};
use pawl_store::{self as store, Error, connected, within};

use super::Writing;
use super::part::{Halved, Part};
use crate::vitals::Vitals;

/// Pause before a resend, growing to the second.
const RESEND_AFTER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// Handles for what is set aside, made once.
static ASIDE: LazyLock<[Count; 2]> =
    LazyLock::new(|| ["busy", "too_much"].map(|reason| figures().writes_aside.of(&[reason])));

/// What was not written, and is to be sent again by itself.
pub(super) struct SetAside {
    pub(super) part: Part,
    pub(super) why: Why,
}

/// Why it was not written.
#[derive(Debug, Clone)]
pub(super) enum Why {
    /// Somebody else holds its run, or its step.
    Busy,
    /// It took too long, with all that was beside it. In the store's words.
    TooMuch(String),
}

impl SetAside {
    fn busy(part: Part) -> Self {
        ASIDE[0].one();
        Self { part, why: Why::Busy }
    }

    fn too_much(part: Part, error: &Error) -> Self {
        ASIDE[1].one();
        Self { part, why: Why::TooMuch(error.chain()) }
    }
}

pub(super) struct Lane {
    pub(super) writing: Arc<Writing>,
    pub(super) vitals: Arc<Vitals>,
    link: Box<dyn store::Link>,
    outage: bool,
}

impl Lane {
    pub(super) fn new(writing: Arc<Writing>, vitals: Arc<Vitals>) -> Self {
        Self { link: writing.store.link_of(writing.worker), writing, vitals, outage: false }
    }

    /// Parts from the connection: there is nothing to write for now.
    pub(super) fn hang_up(&mut self) {
        self.link = self.writing.store.link_of(self.writing.worker);
    }

    /// Sends a part, and sees to the answer. Returns what was not written: nothing else waits for that.
    pub(super) async fn send(&mut self, part: Part) -> Vec<SetAside> {
        let mut aside = Vec::new();
        let mut parts = vec![part];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.send_until_answered(&part.batch).await {
                Ok(mut written) => {
                    let busy = part.take_busy(&mut written);
                    aside.extend(busy.into_iter().map(SetAside::busy));
                    self.writing.written(&part.sessions, &part.batch, written);
                }
                Err(error) if error.may_be_too_much() => aside.push(SetAside::too_much(part, &error)),
                Err(error) => match part.halve() {
                    Halved::Two(halves) => {
                        tracing::warn!(error = error.chain(), "a batch was refused: it is split");
                        parts.extend(*halves);
                    }
                    Halved::Chain(chain) => parts.push(self.first_of(chain)),
                    Halved::One(one) => aside.extend(self.fail_alone(one, &error).await),
                },
            }
        }
        aside
    }

    /// The first step of a chain. What was run ahead of it is given up.
    pub(super) fn first_of(&self, mut chain: Part) -> Part {
        chain.sessions.drain(1..).for_each(|ahead| self.writing.flow.give_up(ahead));
        chain.batch.members.truncate(1);
        chain
    }

    /// Sends the batch until the store has answered. Gives up when it refuses the content, or is there and does not
    /// manage it in time: slow is not away.
    async fn send_until_answered(&mut self, batch: &Batch) -> Result<Written, Error> {
        let (mut attempt, mut silent) = (0, 0);
        loop {
            let error = match self.send_once(batch).await {
                Ok(written) => {
                    if std::mem::take(&mut self.outage) {
                        tracing::info!("{} is back: the writer goes on", self.writing.store.name());
                    }
                    return Ok(written);
                }
                Err(error) => error,
            };
            // A connection that has died without a word is silent once. Twice, on a new one, it is the batch.
            silent = if matches!(error, Error::Silent) { silent + 1 } else { 0 };
            let is_away = error.is_passing() && (!error.may_be_too_much() || silent == 1);
            if !is_away {
                return Err(error);
            }
            if !self.outage && attempt > 0 {
                self.outage = true;
                tracing::warn!(error = error.chain(), "the writer sends again");
            }
            tokio::time::sleep(RESEND_AFTER[usize::from(attempt > 3)]).await;
            attempt += 1;
        }
    }

    async fn send_once(&mut self, batch: &Batch) -> store::Result<Written> {
        let Writing { worker, store, patience, .. } = &*self.writing;
        self.vitals.waiting();
        connected(&mut *self.link, *patience, store.name()).await?;
        if batch.members.iter().any(Member::suspends) {
            pawl_base::fault::point("suspend.before_commit");
        }
        if batch.members.iter().any(Member::starts_ahead) {
            pawl_base::fault::point("head_start.before_commit");
        }
        let began = Instant::now();
        let answer = within(*patience, self.link.write(*worker, batch));
        // The first poll sends; the point then strikes while the server works.
        let (answer, ()) = tokio::join!(biased; answer, async { pawl_base::fault::point("batch.sent") });
        self.vitals.working();
        let written = answer?;
        figures().batch_steps.saw_count(batch.members.len());
        figures().batch_claims.saw_count(batch.claims.len());
        figures().batch_seconds.took(began.elapsed());
        let lost = (batch.members.iter().any(Member::ends) && pawl_base::fault::lost("outcome.committed.reply_lost"))
            || (!batch.claims.is_empty() && pawl_base::fault::lost("claim.committed.reply_lost"));
        if lost {
            return Err(Error::Silent);
        }
        Ok(written)
    }

    /// What the store can't take ends its own step only: the step is parked with the reason.
    async fn fail_alone(&mut self, one: Part, error: &Error) -> Option<SetAside> {
        let Part { mut sessions, batch } = one;
        tracing::error!(error = error.chain(), step.id = ?batch.members.first().map(|member| member.id),
            "a write was refused");
        figures().refused_writes.of(&["content"]).one();
        let writing = &self.writing;
        let (Some(session), Some(member)) = (sessions.pop(), batch.members.first()) else {
            writing.written(&[], &batch, Written { not_ready: batch.claims.clone(), ..Written::default() });
            return None;
        };
        if member.starts_ahead() {
            // Not this worker's to be parked: it is executed again, under its claim, and then it is.
            let lost = Written { members: vec![Verdict::LeaseLost], ..Written::default() };
            writing.written(&[session], &batch, lost);
            return None;
        }
        session.stop_with(pawl_engine::recorder::Stop::LeaseLost);
        let parting = Part::of(session, parked(member, error));
        match self.send_until_answered(&parting.batch).await {
            Ok(written) if written.members == [Verdict::Busy] => Some(SetAside::busy(parting)),
            Ok(written) => {
                self.writing.written(&parting.sessions, &parting.batch, written);
                None
            }
            Err(error) if error.may_be_too_much() => Some(SetAside::too_much(parting, &error)),
            Err(error) => {
                tracing::error!(error = error.chain(), step.id = %parting.batch.members[0].id, "nor can the step be parked");
                let lost = Written { members: vec![Verdict::LeaseLost], ..Written::default() };
                self.writing.written(&parting.sessions, &parting.batch, lost);
                None
            }
        }
    }
}

/// The end of a step whose member was refused.
fn parked(member: &Member, error: &Error) -> Member {
    let reason = Failure {
        cause: Cause::Limit,
        message: format!("what the step wrote was refused: {}", error.chain()),
        details: None,
        delay_ms: None,
        from_checkpoint: false,
    };
    Member {
        settlement: Some(Settlement::Parked(serde_json::to_vec(&reason).unwrap_or_default())),
        ..Member::bare(member.id, member.fence)
    }
}

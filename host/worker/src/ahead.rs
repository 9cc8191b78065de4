//! Run-ahead: short steps cost few commits, because they need not wait for those before them.
//!
//! In a chain, the next step starts on the same guest thread before the commit that hands it over, and further
//! ones after it:
//!
//! ```text
//!  step 1 ──succeeds──▶ in a batch ─────────────────committed, step 2 claimed with it──▶ confirmed
//!            └▶ step 2, ahead ──succeeds──▶ waits ──────────────────────────────────────▶ goes into the next
//!                        └▶ step 3, ahead ──succeeds──▶ … its followers in the same batch    batch, with
//! ```
//!
//! And a step whose message tells what it starts with is given a *head start*: it begins before it is claimed. If it
//! succeeds within moments, one commit both claims and ends it; otherwise, or if anything is to leave the host, it is
//! claimed as ever.
//!
//! ```text
//!  message ─▶ unclaimed ──succeeds──▶ in a batch: claim and success ──committed──▶ written
//!                 └─ time is up, something is to leave ─▶ asked ─▶ in a batch: claim ──committed──▶ confirmed
//! ```
//!
//! A session that is ahead executes under a *guess*: the claim that the database would answer with, if this
//! is the step's first one. The guess costs nothing when it is wrong:
//!
//! - Nothing leaves the host: barriers and requests wait until the claim is confirmed, and the writer takes
//!   no session that is ahead, except one that has succeeded: as a follower of the step before it in the same batch,
//!   or after a head start. The database accepts it only if its step is untouched, the component is the one that it
//!   ran on, and all before it in its chain were accepted, or the run asks for just this input.
//! - It is confirmed by a claim that equals the guess in everything: component, fence, input.
//! - Otherwise it is given up, with all that was run ahead of it, and the step is executed again under its
//!   true claim. So is one that did not succeed while it was ahead.
//!
//! A crash loses only what nobody has seen. A step that brings its worker down in a head start is claimed as ever by
//! whoever adopts its message, so that its next crash is told of it.

use std::sync::Arc;
use std::time::Duration;

use pawl_base::lock;
use pawl_domain::attempt::Claim;
use pawl_domain::id::{Digest, Fence, StepId};
use pawl_domain::journal::History;
use pawl_domain::ready::Start;
use pawl_domain::succession::{Plan, Succession};
use pawl_engine::recorder::Stop;
use pawl_queue::Delivery;

use super::flow::Flow;
use super::loaded::Loading;
use super::session::Session;

/// Steps of a run that may be ahead of the database: a bound for what is done in vain, and for memory.
const FARTHEST: u32 = 32;

/// The fence of the first claim of a step that nobody has touched.
const FIRST: Fence = Fence(1);

/// How long a step may go on after a head start before it is claimed: long enough for a burst of short ones, and
/// nothing against the lease, after which others would look for it.
const HEAD_START: Duration = Duration::from_millis(10);

impl Flow {
    /// Begins a step before it is claimed, if all that it needs is in memory; false if it is not.
    pub(super) fn start_ahead(self: &Arc<Self>, id: StepId, start: Start) -> bool {
        let guess = Claim {
            pipeline: start.pipeline,
            component: start.component,
            run_input: Some(start.input),
            ..Claim::bare(id, FIRST)
        };
        let (Some(loading), Ok(pass)) = (self.loaded.at_hand(&guess), Arc::clone(&self.gate).try_read_owned()) else {
            return false;
        };
        let asks_for = guess.run_input.as_deref().unwrap_or_default();
        let request = Digest::of_request(&loading.plan.pipeline.name, asks_for);
        let session = Session::unclaimed(guess, request, Arc::clone(self.lane(id.run)), Arc::clone(&self.trust));
        lock(&self.ahead).insert(id, Arc::clone(&session));
        let over = Arc::downgrade(&session);
        self.execute(session, loading, pass);
        self.runtime.spawn(async move {
            tokio::time::sleep(HEAD_START).await;
            if let Some(session) = over.upgrade() {
                session.end_head_start();
            }
        });
        true
    }

    /// Begins the step after `session`, which has succeeded with `output`, if it may be run ahead.
    pub(super) fn run_ahead(
        &self,
        session: &Arc<Session>,
        plan: &Arc<Plan>,
        then: &Succession,
        output: &[u8],
    ) -> Option<(Arc<Session>, Loading)> {
        let next = then.run_ahead()?;
        if self.is_suspect(session) || (session.is_ahead() && session.depth >= FARTHEST) {
            return None;
        }
        let prepared = self.loaded.guess(next)?;
        let guess = Claim {
            pipeline: plan.digest,
            component: prepared.digest(),
            needed_outputs: vec![output.to_vec()],
            ..Claim::bare(StepId { run: session.claim.run(), step: next.step }, FIRST)
        };
        let ahead = Session::ahead_of(session, guess);
        lock(&self.ahead).insert(ahead.claim.id, Arc::clone(&ahead));
        if !session.lead(&ahead) {
            self.forget(&ahead);
            return None;
        }
        Some((ahead, Loading { prepared, plan: Arc::clone(plan), history: History::default() }))
    }

    /// Takes over the session that was run ahead under this very claim; gives back the messages if there is
    /// none.
    pub(super) fn was_run_ahead(&self, claim: &Claim, deliveries: Vec<Delivery>) -> Result<(), Vec<Delivery>> {
        let Some(session) = lock(&self.ahead).remove(&claim.id) else { return Err(deliveries) };
        if session.claim != *claim {
            self.give_up(session);
            return Err(deliveries);
        }
        lock(&self.sessions).insert(claim.id, Arc::clone(&session));
        if !session.confirm() {
            self.forget(&session);
            return Err(deliveries);
        }
        session.also_acknowledge(deliveries);
        Ok(())
    }

    /// Stops a session that is ahead, and all that was run ahead of it.
    pub(super) fn give_up(&self, session: Arc<Session>) {
        let mut last = Some(session);
        while let Some(session) = last {
            session.stop_with(Stop::LeaseLost);
            self.forget(&session);
            last = session.take_next();
        }
    }
}

//! Run-ahead: in a chain of steps, the next one starts on the same guest thread before the commit that
//! hands it over, and further ones after it. A chain of short steps then costs few commits.
//!
//! ```text
//!  step 1 ──succeeds──▶ in a batch ─────────────────committed, step 2 claimed with it──▶ confirmed
//!            └▶ step 2, ahead ──succeeds──▶ waits ──────────────────────────────────────▶ goes into the next
//!                        └▶ step 3, ahead ──succeeds──▶ … its followers in the same batch    batch, with
//! ```
//!
//! A session that is ahead executes under a *guess*: the claim that the database would answer with, if this
//! is the step's first one. The guess costs nothing when it is wrong:
//!
//! - Nothing leaves the host: barriers and requests wait until the claim is confirmed, and the writer takes
//!   no session that is ahead, except as a follower of the step before it in the same batch. The database
//!   accepts a follower only if all before it in its chain were accepted, its step is untouched, and the
//!   component is the one that it ran on.
//! - It is confirmed by a claim that equals the guess in everything: component, fence, input.
//! - Otherwise it is given up, with all that was run ahead of it, and the step is executed again under its
//!   true claim. So is one that did not succeed while it was ahead.
//!
//! A crash loses only what nobody has seen.

use std::sync::Arc;

use super::flow::{Flow, lock};
use super::loaded::Loading;
use super::session::Session;
use crate::domain::attempt::Claim;
use crate::domain::id::{Fence, StepId};
use crate::domain::journal::History;
use crate::domain::succession::{Plan, Succession};
use crate::engine::recorder::Stop;
use crate::queue::Delivery;

/// Steps of a run that may be ahead of the database: a bound for what is done in vain, and for memory.
const FARTHEST: u32 = 32;

impl Flow {
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
            // The first claim of a step that nobody has touched.
            ..Claim::bare(StepId { run: session.claim.run(), step: next.step }, Fence(1))
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

//! Run-ahead: short steps cost few commits, because they need not wait for those before them. Something around the
//! [`flow`](crate::flow), which is whole without it: switched off, every function here says that there is nothing.
//!
//! In a *chain* (`chain`), the next step starts on the same guest thread before the commit that hands it over, and
//! further ones after it:
//!
//! ```text
//!  step 1 ──succeeds──▶ in a batch ─────────────────committed, step 2 claimed with it──▶ confirmed
//!            └▶ step 2, ahead ──succeeds──▶ waits ──────────────────────────────────────▶ goes into the next
//!                        └▶ step 3, ahead ──succeeds──▶ … its followers in the same batch    batch, with
//! ```
//!
//! And a step whose message tells what it starts with is given a *head start* (`head_start`): it begins before it is
//! claimed. If it succeeds within moments, one commit both claims and ends it; otherwise, or if anything is to leave the
//! host, it is claimed as ever.
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

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use pawl_base::lock;
use pawl_domain::attempt::{Claim, Outcome};
use pawl_domain::id::{Fence, StepId};
use pawl_engine::recorder::Stop;

use crate::desk::Desk;
use crate::guests::Guests;
use crate::outbox::Outboxes;
use crate::session::Session;
use crate::trust::Trust;

mod chain;
mod head_start;

/// The fence of the first claim of a step that nobody has touched.
pub const FIRST: Fence = Fence(1);

/// The steps in execution ahead of their claims.
pub struct RunAhead {
    on: bool,
    guests: Arc<Guests>,
    outboxes: Outboxes<Session>,
    trust: Arc<Trust>,
    sessions: Mutex<HashMap<StepId, Arc<Session>>>,
}

impl RunAhead {
    /// None yet; there will never be any, unless it is `on`.
    #[must_use]
    pub fn new(on: bool, guests: Arc<Guests>, outboxes: Outboxes<Session>, trust: Arc<Trust>) -> Self {
        Self { on, guests, outboxes, trust, sessions: Mutex::default() }
    }

    /// A claim was answered: the session that was run ahead under this very claim goes on the desk, and is like any
    /// other from now on. None if there is none.
    #[must_use]
    pub fn confirm(&self, claim: &Claim, desk: &Desk) -> Option<Arc<Session>> {
        let session = self.take(claim.id)?;
        if session.claim != *claim {
            self.give_up(session);
            return None;
        }
        desk.confirm(&session).then_some(session)
    }

    /// An attempt has come out: whether its session was ahead, and is given up with that. It is so unless it has
    /// succeeded: a failure under a guess is nobody's. The step is executed again, under its true claim.
    #[must_use]
    pub fn discard(&self, session: &Arc<Session>, outcome: &Outcome) -> bool {
        if matches!(outcome, Outcome::Succeeded(_)) && !session.is_lost() {
            return false;
        }
        let Some(must_ask) = session.discard() else { return false };
        self.end(session);
        if must_ask {
            self.outboxes.request_claim(session.claim.id);
        }
        true
    }

    /// Gives up what was begun of a step before its claim.
    pub fn give_up_step(&self, id: StepId) {
        if let Some(session) = self.take(id) {
            self.give_up(session);
        }
    }

    /// Gives up what was run ahead of this session, unless it is claimed by now.
    pub fn give_up_next(&self, session: &Session) {
        if let Some(next) = session.take_next().filter(|next| next.is_ahead()) {
            tracing::debug!(step.id = %session.claim.id, "what was run ahead of this step is given up");
            self.give_up(next);
        }
    }

    /// Stops a session that is ahead, and all that was run ahead of it.
    pub fn give_up(&self, session: Arc<Session>) {
        let mut last = Some(session);
        while let Some(session) = last {
            session.stop_with(Stop::LeaseLost);
            self.end(&session);
            last = session.take_next();
        }
    }

    /// Stops all.
    pub fn stop_all(&self, stop: Stop) {
        lock(&self.sessions).values().for_each(|session| session.stop_with(stop));
    }

    /// The session is over, or not ahead any more.
    pub fn end(&self, session: &Arc<Session>) {
        if session.depth == 0 {
            return;
        }
        let mut sessions = lock(&self.sessions);
        if sessions.get(&session.claim.id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            sessions.remove(&session.claim.id);
        }
    }

    fn begin(&self, session: &Arc<Session>) {
        lock(&self.sessions).insert(session.claim.id, Arc::clone(session));
    }

    fn take(&self, id: StepId) -> Option<Arc<Session>> {
        if self.on { lock(&self.sessions).remove(&id) } else { None }
    }
}

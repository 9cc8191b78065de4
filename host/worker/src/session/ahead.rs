//! A session that is run *ahead* (see [`crate::ahead`]): it has no claim in the database yet. Nothing of it leaves, and
//! the writer takes nothing of it, until the claim is confirmed. If it has succeeded before, the writer takes its
//! success and its claim at once: along with the step before it, or, after a head start, by itself.
//!
//! ```text
//!  ahead_of ──▶ Follows ────────────┬──confirm, or written as a follower──▶ Claimed
//!  unclaimed ─▶ Unclaimed ──▶ Asked ┘
//!                  └──written: claim and success in one────────────────────▶ Claimed
//! ```

use std::sync::Arc;

use pawl_domain::attempt::Claim;
use pawl_domain::id::Digest;
use pawl_engine::recorder::Stop;
use pawl_store::write::{Ahead, Member};

use super::Session;
use super::state::{Attempt, Standing, State};
use crate::outbox::Outbox;
use crate::trust::Trust;

impl Session {
    /// The successor of `before` under the claim that the database is going to answer with.
    #[must_use]
    pub fn ahead_of(before: &Self, claim: Claim) -> Arc<Self> {
        let depth = if before.is_ahead() { before.depth + 1 } else { 1 };
        let state = State { standing: Standing::Follows, ..State::default() };
        let (outbox, trust) = (Arc::clone(&before.outbox), Arc::clone(&before.trust));
        Self::with(claim, before.in_a_row + 1, depth, outbox, trust, state)
    }

    /// A step that is given a head start, under the claim that the database would answer with. `request` is the digest
    /// of what its run asks for.
    #[must_use]
    pub fn unclaimed(claim: Claim, request: Digest, outbox: Arc<Outbox<Session>>, trust: Arc<Trust>) -> Arc<Self> {
        let state = State { standing: Standing::Unclaimed(request), ..State::default() };
        Self::with(claim, 0, 1, outbox, trust, state)
    }

    /// Whether its claim is not in the database yet.
    pub fn is_ahead(&self) -> bool {
        self.state().is_ahead()
    }

    /// The database has answered with its very claim: from now on the session is like any other. False if
    /// it was given up before.
    pub fn confirm(&self) -> bool {
        let mut state = self.state();
        if state.is_lost() {
            return false;
        }
        state.standing = Standing::Claimed;
        if state.has_something_to_write() {
            self.queue(&mut state);
        }
        self.queue_bulk(&state);
        self.changed.notify_all();
        drop(state);
        self.print_early();
        true
    }

    /// Gives the session up if it is still ahead; its step will be executed again under its true claim. `None` if it
    /// is not ahead; otherwise whether that claim has to be asked for.
    pub fn discard(&self) -> Option<bool> {
        let mut state = self.state();
        if !state.is_ahead() {
            return None;
        }
        let must_ask = matches!(state.standing, Standing::Unclaimed(_)) && !state.is_lost();
        state.stop = Some(Stop::LeaseLost);
        self.changed.notify_all();
        self.stir(&state);
        Some(must_ask)
    }

    /// A head start is over: the writer asks for the step's claim, if it has not ended by now.
    pub fn end_head_start(&self) {
        self.queue_unclaimed(&mut self.state());
    }

    /// Whether nothing more of it may be written.
    pub fn is_lost(&self) -> bool {
        self.state().is_lost()
    }

    /// Makes `next` the session that is run ahead of this one's commit; false if this one was given up.
    pub fn lead(&self, next: &Arc<Session>) -> bool {
        let mut state = self.state();
        let may = state.stop.is_none();
        if may {
            state.next = Some(Arc::clone(next));
        }
        may
    }

    /// The session that is run ahead of this one's commit.
    pub fn next(&self) -> Option<Arc<Session>> {
        self.state().next.clone()
    }

    /// Parts from the session that was run ahead.
    pub fn take_next(&self) -> Option<Arc<Session>> {
        self.state().next.take()
    }

    /// All that the step has to write, if it was run ahead and has succeeded: to go with the step before it.
    pub fn take_follower(&self) -> Option<Member> {
        let mut state = self.state();
        let may = state.standing == Standing::Follows && state.has_succeeded() && state.stop.is_none();
        may.then(|| state.member(&self.claim, Some(Ahead::Follows { component: self.claim.component }), self.seal()))
    }

    /// Whether it has succeeded, and is followed by steps that were run ahead of it, have succeeded too, and would go into
    /// its batch; all but the last of them, which is being executed now and waits for nothing.
    pub fn goes_on(&self) -> bool {
        let mut next = {
            let state = self.state();
            state.next.clone().filter(|_| state.has_succeeded())
        };
        while let Some(session) = next {
            let state = session.state();
            if state.standing != Standing::Follows || state.stop.is_some() || state.has_waited {
                return false;
            }
            if matches!(state.attempt, Attempt::Executing) {
                return true;
            }
            next = state.next.clone().filter(|_| state.has_succeeded());
        }
        false
    }

    /// It is ahead, and from now on nobody need wait for it: whoever writes for those before it looks again.
    pub(super) fn stir(&self, state: &State) {
        if state.standing == Standing::Follows {
            self.outbox.stir();
        }
    }

    /// Stands in line after a head start: the writer takes the step's success, or asks for its claim.
    pub(super) fn queue_unclaimed(&self, state: &mut State) {
        if matches!(state.standing, Standing::Unclaimed(_)) {
            self.push(state);
        }
    }
}

//! Head starts: a step begins before it is claimed.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::{Claim, ClaimedInput, Ingredients};
use pawl_domain::id::{Digest, StepId};
use pawl_domain::ready::Start;

use super::{FIRST, RunAhead};
use crate::gate::Pass;
use crate::loaded::Loading;
use crate::session::Session;

/// How long a step may go on after a head start before it is claimed: long enough for a burst of short ones, and
/// nothing against the lease, after which others would look for it.
const HEAD_START: Duration = Duration::from_millis(10);

impl RunAhead {
    /// A step that is to be executed before it is claimed, by what its message tells; `None` if it has to be asked for
    /// first, because something that it needs is not in memory. Its claim is asked for if it takes longer.
    #[must_use]
    pub fn head_start(&self, id: StepId, start: Start) -> Option<(Arc<Session>, Loading, Pass)> {
        if !self.on {
            return None;
        }
        let Start { pipeline, component, input } = start;
        let asks_for = input.clone();
        let input = ClaimedInput::Whole(Ingredients::Run(input));
        let guess = Claim { pipeline, component, input, ..Claim::bare(id, FIRST) };
        let (loading, pass) = self.guests.at_hand(&guess)?;
        let request = Digest::of_request(&loading.version.plan.pipeline.name, &asks_for);
        let outbox = Arc::clone(self.outboxes.of(id.run));
        let session = Session::unclaimed(guess, request, outbox, Arc::clone(&self.trust));
        session.is_of(&loading.version);
        self.begin(&session);
        let over = Arc::downgrade(&session);
        tokio::spawn(async move {
            tokio::time::sleep(HEAD_START).await;
            if let Some(session) = over.upgrade() {
                session.end_head_start();
            }
        });
        Some((session, loading, pass))
    }
}

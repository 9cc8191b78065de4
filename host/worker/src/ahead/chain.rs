//! Chains: a step's successor starts before the commit that hands it over.

use std::sync::Arc;

use pawl_domain::attempt::{Claim, ClaimedInput, Ingredients};
use pawl_domain::id::StepId;
use pawl_domain::journal::History;
use pawl_domain::succession::Succession;

use super::{FIRST, RunAhead};
use crate::loaded::Loading;
use crate::session::Session;
use crate::version::Version;

/// Steps of a run that may be ahead of the database: a bound for what is done in vain, and for memory.
const FARTHEST: u32 = 32;

impl RunAhead {
    /// The step after `session`, which has succeeded with `output`, to be executed at once on the same thread; `None`
    /// if it may not be run ahead. To be called before the writer has the success: its answer looks for what was begun.
    #[must_use]
    pub fn next_of(
        &self,
        session: &Arc<Session>,
        version: &Arc<Version>,
        then: &Succession,
        output: &[u8],
    ) -> Option<(Arc<Session>, Loading)> {
        let next = then.run_ahead().filter(|_| self.on)?;
        if self.guests.is_suspect(&session.claim) || (session.is_ahead() && session.depth >= FARTHEST) {
            return None;
        }
        let prepared = self.guests.guess(next)?;
        let id = StepId { run: session.claim.run(), step: next.step };
        let secrets = self.guests.secrets_at_hand(version, id)?;
        let of = |output| Ingredients::Outputs(vec![output]);
        let (seal, input) = (session.seal().clone(), of(output.to_vec()));
        let guess = Claim {
            pipeline: version.plan.digest,
            component: prepared.digest(),
            input: ClaimedInput::Whole(of(session.as_kept(output.to_vec()))),
            ..Claim::bare(id, FIRST)
        };
        let ahead = Session::ahead_of(session, guess);
        ahead.is_of(version);
        self.begin(&ahead);
        if !session.lead(&ahead) {
            self.end(&ahead);
            return None;
        }
        let (version, history) = (Arc::clone(version), History::default());
        Some((ahead, Loading { prepared, version, history, past: None, input, secrets, seal }))
    }
}

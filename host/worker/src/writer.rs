//! The group writer: one lane, one connection, one batch at a time. Claims, journal segments, checkpoints
//! and outcomes of all concurrent steps share a commit.
//!
//! ```text
//!  idle ──something waits──▶ collect ──▶ send ──answered──▶ tell sessions, start claims, pass on the rest ──▶ idle
//!                                         │ ▲
//!                the store is away: ──────┤ └── reconnect, send the same again
//!                refused for its content: ┤     split until the bad member stands alone; it fails alone
//!                locked, or too slow: ────┴──▶ aside: sent again by itself, halved until it passes
//! ```
//!
//! Two kinds have connections of their own from the start, since others would wait for their bytes: large checkpoints
//! ([`run_bulk`]), and what a guest has recorded, where that is much ([`journals`]).
//!
//! The rest are messages to acknowledge and steps to publish: `acknowledge` does both, after the commit.
//!
//! A crash before the commit loses only what nobody has seen; a crash after it leaves what the database
//! says, and a sweep delivers what was not delivered. A lost answer is made up for by the resend. A step has one
//! member on its way at most, wherever that is, so that its writes stay in order.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::id::WorkerId;
use pawl_store::SharedStore;
use pawl_store::write::{Batch, Written};
use tokio::sync::mpsc::unbounded_channel;

use self::collect::collect;
use self::lane::Lane;
use self::linger::linger;
use self::part::Part;
use crate::flow::Flow;
use crate::outbox::{Large, Outbox};
use crate::session::Session;
use crate::tally::Ends;
use crate::vitals::Vitals;

mod aside;
mod collect;
mod journals;
mod lane;
mod linger;
mod part;

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
    /// Runs that have ended.
    pub ends: Arc<Ends>,
}

impl Writing {
    /// A part was answered, after its commit.
    fn written(&self, sessions: &[Arc<Session>], batch: &Batch, written: Written) {
        self.ends.count(sessions, batch, &written, |session| self.flow.guests.version(session));
        self.flow.written(sessions, batch, written);
    }
}

/// A lane's loop; ends with its task.
pub async fn run(writing: Arc<Writing>, outbox: Arc<Outbox<Session>>, vitals: Arc<Vitals>) {
    let (aside, set_aside) = unbounded_channel();
    let (long, long_journals) = unbounded_channel();
    let journals = journals::run(Arc::clone(&writing), long_journals, aside.clone());
    let lane = async {
        let mut lane = Lane::new(Arc::clone(&writing), vitals);
        loop {
            outbox.filled().await;
            linger(&outbox).await;
            lane.vitals.working();
            let mut part = collect(&outbox);
            if let Some(journals) = part.take_long_journals() {
                let _ = long.send(journals);
            }
            for part in lane.send(part).await {
                let _ = aside.send(part);
            }
            lane.vitals.idle();
        }
    };
    tokio::join!(lane, journals, aside::run(Arc::clone(&writing), set_aside));
}

/// The loop for large checkpoints: a connection of their own, one at a time, so that no batch waits for
/// them.
pub async fn run_bulk(writing: Arc<Writing>, mut large: Large<Session>) {
    let (aside, set_aside) = unbounded_channel();
    let lane = async {
        let mut lane = Lane::new(Arc::clone(&writing), Arc::default());
        while let Some(session) = large.recv().await {
            let Some(session) = session.upgrade() else { continue };
            if let Some(member) = session.take_bulk() {
                for part in lane.send(Part::of(session, member)).await {
                    let _ = aside.send(part);
                }
            }
        }
    };
    tokio::join!(lane, aside::run(Arc::clone(&writing), set_aside));
}

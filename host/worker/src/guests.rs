//! What a step needs to be executed (see [`Loaded`]), and where: guest threads, and a gate that all steps in execution
//! pass together, and a suspect alone.
//!
//! ```text
//!  claim ──at_hand──▶ loaded, with a pass ──submit──▶ guest thread ──execute──▶ how the attempt came out
//!     └────prepare────────▲  reads, compiles, waits
//! ```

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::{Claim, Cut, Outcome};
use pawl_domain::succession::Next;
use pawl_domain::suspicion::Suspicion;
use pawl_engine::recorder::{Recorder, Stop};
use pawl_engine::{Executed, GuestThreads, Prepared};
use pawl_store::SharedStore;
use pawl_store::write::Segment;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::loaded::{GivenUp, Loaded, Loading};
use crate::reading::{Missed, Reading};
use crate::session::Session;

/// A step's place among those in execution; it leaves when this is dropped.
#[expect(dead_code, reason = "a place is held, not looked at")]
pub enum Pass {
    /// Beside others.
    Shared(OwnedRwLockReadGuard<()>),
    /// Alone: the step is a suspect.
    Alone(OwnedRwLockWriteGuard<()>),
}

/// Where an incarnation's steps are made ready and executed.
pub struct Guests {
    reading: Reading,
    loaded: Loaded,
    threads: Arc<GuestThreads>,
    suspicion: Suspicion,
    gate: Arc<RwLock<()>>,
}

impl Guests {
    /// On these threads, with what is loaded already. `patience` is how long an answer of the store is waited for.
    #[must_use]
    pub fn new(
        store: SharedStore,
        patience: Duration,
        loaded: Loaded,
        threads: Arc<GuestThreads>,
        suspicion: Suspicion,
    ) -> Self {
        Self { reading: Reading::new(store, patience), loaded, threads, suspicion, gate: Arc::default() }
    }

    /// Remembers on which component a step runs.
    pub fn learn(&self, claim: &Claim) {
        self.loaded.learn(claim);
    }

    /// The component that `next` is most likely to run on, if it is compiled.
    #[must_use]
    pub fn guess(&self, next: &Next) -> Option<Arc<Prepared>> {
        self.loaded.guess(next)
    }

    /// Whether the step may have brought its workers down.
    #[must_use]
    pub fn is_suspect(&self, claim: &Claim) -> bool {
        self.suspicion.is_suspect(claim.crashes)
    }

    /// All that the step needs, if nothing has to be read and nobody waited for.
    #[must_use]
    pub fn at_hand(&self, claim: &Claim) -> Option<(Loading, Pass)> {
        if self.is_suspect(claim) {
            return None;
        }
        let loading = self.loaded.at_hand(claim)?;
        let pass = Arc::clone(&self.gate).try_read_owned().ok()?;
        Some((loading, Pass::Shared(pass)))
    }

    /// Reads and compiles what the step needs, for as long as it takes. A suspect then waits until it is alone.
    ///
    /// # Errors
    /// How the attempt ends without having begun.
    pub async fn prepare(&self, session: &Session) -> Result<(Loading, Pass), Outcome> {
        let claim = &session.claim;
        let given_up = || session.stop().is_some();
        let loading = match self.loaded.load(&self.reading, claim, &given_up).await {
            Ok(loading) => loading.map_err(Outcome::Failed)?,
            Err(GivenUp) => return Err(session.stop().unwrap_or(Stop::LeaseLost).into()),
        };
        let gate = Arc::clone(&self.gate);
        let pass = if self.is_suspect(claim) {
            tracing::warn!(step.id = %claim.id, crashes = claim.crashes,
                "this step may have brought workers down: it runs alone on this one");
            Pass::Alone(gate.write_owned().await)
        } else {
            Pass::Shared(gate.read_owned().await)
        };
        Ok((loading, pass))
    }

    /// Hands a job to the next free guest thread.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        self.threads.submit(Box::new(job));
    }

    /// Executes the attempt that `session` stands for. On a guest thread: blocks.
    #[must_use]
    pub fn execute(&self, loading: Loading, session: &Arc<Session>) -> Executed {
        self.loaded.execute(loading, session)
    }

    /// What stands in the journal from a cut's row on: rows hold many entries, so that the row which the cut goes
    /// through is read, and kept up to there. `None` if it can't be read while the step is this worker's.
    pub async fn row_of_cut(&self, session: &Session, cut: &Cut) -> Option<Segment> {
        let id = session.claim.id;
        let given_up = || session.stop() == Some(Stop::LeaseLost);
        match self.reading.entries_before_cut(id, cut.at, &given_up).await {
            Ok(row) => {
                let (first, mut entries) = row.unwrap_or((cut.at, Vec::new()));
                entries.extend_from_slice(&cut.notes);
                Some(Segment::of(first, &entries))
            }
            Err(Missed::GivenUp) => None,
            Err(Missed::Error(error)) => {
                tracing::error!(error = error.chain(), step.id = %id, "the journal can't be cut: the step is given up");
                None
            }
        }
    }
}

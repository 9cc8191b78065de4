//! What a step needs to be executed (see [`Loaded`]), and where: guest threads, and a gate that says beside whom.
//!
//! ```text
//!  claim ──at_hand──▶ loaded, with a pass ──submit──▶ guest thread ──execute──▶ how the attempt came out
//!     └────prepare────────▲  reads, compiles, waits
//! ```

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::{Claim, ClaimedInput, Cut, Ingredients, Outcome};
use pawl_domain::succession::{Next, Plan};
use pawl_domain::suspicion::{Company, Suspicion};
use pawl_engine::recorder::{Recorder, Stop};
use pawl_engine::{Executed, GuestThreads, Prepared};
use pawl_store::write::Segment;
use pawl_store::{SharedStore, within};

use crate::config::OUTAGE_PAUSE;
use crate::desk::Desk;
use crate::gate::{Gate, Pass};
use crate::ingredients;
use crate::loaded::{Loaded, Loading};
use crate::session::Session;

/// Where an incarnation's steps are made ready and executed.
pub struct Guests {
    store: SharedStore,
    patience: Duration,
    loaded: Loaded,
    threads: Arc<GuestThreads>,
    suspicion: Suspicion,
    gate: Arc<Gate>,
    desk: Arc<Desk>,
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
        desk: Arc<Desk>,
    ) -> Self {
        Self { store, patience, loaded, threads, suspicion, gate: Gate::new(patience), desk }
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
        Some((loading, self.gate.try_enter()?))
    }

    /// Reads and compiles what the step needs, for as long as it takes. A suspect then waits until it is alone.
    ///
    /// # Errors
    /// How the attempt ends without having begun.
    pub async fn prepare(&self, session: &Session) -> Result<(Loading, Pass), Outcome> {
        let claim = &session.claim;
        let mut loading = loop {
            if let Some(stop) = session.stop() {
                return Err(stop.into());
            }
            match within(self.patience, self.loaded.load(&*self.store, claim)).await {
                Ok(loading) => break loading.map_err(Outcome::Failed)?,
                Err(error) => {
                    tracing::warn!(error = error.chain(), step.id = %claim.id, "the step can't be loaded yet");
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
            }
        };
        if matches!(claim.input, ClaimedInput::Apart(_)) {
            loading.input = self.ingredients(session, &loading.plan).await?;
        }
        let pass = self.enter(session).await?;
        Ok((loading, pass))
    }

    /// Waits until the step may be executed beside the others, or alone.
    async fn enter(&self, session: &Session) -> Result<Pass, Outcome> {
        let claim = &session.claim;
        let company = self.suspicion.company(claim.crashes);
        let is_wanted = || session.stop().is_none();
        let pass = match company {
            // Others may have place for it, and no suspect besides.
            Company::Everybody => self.gate.enter(company, || is_wanted() && !self.gate.is_taken()).await,
            _ => {
                tracing::warn!(step.id = %claim.id, crashes = claim.crashes, ?company,
                    "this step may have brought workers down");
                let _aside = self.desk.step_aside();
                self.gate.enter(company, is_wanted).await
            }
        };
        pass.ok_or_else(|| session.stop().map_or(Outcome::HandedBack, Outcome::from))
    }

    /// Whether steps can begin: none can while one is executed alone.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.gate.is_taken()
    }

    /// Reads what the input is made of and the claim does not carry.
    async fn ingredients(&self, session: &Session, plan: &Plan) -> Result<Ingredients, Outcome> {
        let limits = self.loaded.engine.limits();
        loop {
            if let Some(stop) = session.stop() {
                return Err(stop.into());
            }
            match ingredients::of(&*self.store, &session.claim, &plan.pipeline, limits, self.patience).await {
                Ok(read) => return read,
                Err(error) => {
                    tracing::warn!(error = error.chain(), step.id = %session.claim.id, "the step's input can't be read yet");
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
            }
        }
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
        loop {
            match within(self.patience, self.store.entries_before_cut(id, cut.at)).await {
                Ok(row) => {
                    let (first, mut entries) = row.unwrap_or((cut.at, Vec::new()));
                    entries.extend_from_slice(&cut.notes);
                    return Some(Segment::of(first, &entries));
                }
                Err(error) if error.is_passing() && session.stop() != Some(Stop::LeaseLost) => {
                    tokio::time::sleep(OUTAGE_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(error = error.chain(), step.id = %id, "the journal can't be cut: the step is given up");
                    return None;
                }
            }
        }
    }
}

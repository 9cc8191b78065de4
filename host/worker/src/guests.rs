//! What a step needs to be executed (see [`Loaded`]), and where: guest threads, and a gate that says beside whom.
//!
//! ```text
//!  claim ──at_hand──▶ loaded, with a pass ──submit──▶ guest thread ──execute──▶ how the attempt came out
//!     └────prepare────────▲  reads, compiles, waits
//! ```

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::attempt::{Claim, Cut, Outcome};
use pawl_domain::decision::circuit::origin_of_key;
use pawl_domain::id::{StepId, WorkerId};
use pawl_domain::succession::Next;
use pawl_domain::suspicion::{Company, Suspicion};
use pawl_engine::recorder::{Recorder, Stop};
use pawl_engine::{Executed, GuestThreads, Prepared, Secrets};
use pawl_metrics::figures;
use pawl_store::SharedStore;
use pawl_store::write::Segment;

use crate::circuits::{Circuits, deferral};
use crate::desk::Desk;
use crate::gate::{Gate, Pass};
use crate::loaded::{GivenUp, Loaded, Loading, Unready};
use crate::logbook::Logbook;
use crate::reading::{Missed, Reading};
use crate::session::Session;
use crate::version::Version;

/// Where an incarnation's steps are made ready and executed.
pub struct Guests {
    reading: Reading,
    loaded: Loaded,
    threads: Arc<GuestThreads>,
    suspicion: Suspicion,
    gate: Arc<Gate>,
    desk: Arc<Desk>,
    /// Where what steps say is kept, and under whose name.
    log: Option<(Arc<Logbook<Session>>, WorkerId)>,
    /// What they heed before they call an outside host.
    circuits: Option<Arc<Circuits>>,
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
        let (reading, gate) = (Reading::new(store, patience), Gate::new(patience));
        Self { reading, loaded, threads, suspicion, gate, desk, log: None, circuits: None }
    }

    /// The same, who keep what steps say.
    #[must_use]
    pub fn keeping_logs(self, logbook: Option<Arc<Logbook<Session>>>, worker: WorkerId) -> Self {
        Self { log: logbook.map(|logbook| (logbook, worker)), ..self }
    }

    /// The same, who call no outside host that is down.
    #[must_use]
    pub fn heeding(self, circuits: &Arc<Circuits>) -> Self {
        Self { circuits: circuits.are_on().then(|| Arc::clone(circuits)), ..self }
    }

    /// Remembers on which component a step runs.
    pub fn learn(&self, claim: &Claim) {
        self.loaded.learn(claim);
    }

    /// The pipeline version of the step, if it is in memory.
    #[must_use]
    pub fn version(&self, session: &Session) -> Option<Arc<Version>> {
        session.version().or_else(|| self.loaded.version(&session.claim))
    }

    /// Its name, if its pipeline is in memory.
    #[must_use]
    pub fn step_name(&self, session: &Session) -> Option<String> {
        let version = self.version(session)?;
        version.plan.pipeline.step(session.claim.id.step).map(|spec| spec.name.clone())
    }

    /// Counts an attempt that begins under its claim.
    pub fn count_start(&self, session: &Session) {
        let version = self.version(session);
        let of = version.map_or_else(|| figures().of_others(), |version| Arc::clone(&version.figures));
        of.attempt_started(session.claim.fence);
    }

    /// The component that `next` is most likely to run on, if it is compiled.
    #[must_use]
    pub fn guess(&self, next: &Next) -> Option<Arc<Prepared>> {
        self.loaded.guess(next)
    }

    /// The secrets of a step, if the store need not be asked for them.
    #[must_use]
    pub fn secrets_at_hand(&self, version: &Version, id: StepId) -> Option<Secrets> {
        self.loaded.secrets_at_hand(version, id)
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
        let given_up = || session.stop().is_some();
        let began_ns = session.now_if_traced();
        let loading = match self.loaded.load(&self.reading, claim, &given_up).await {
            Ok(Ok(loading)) => Ok(loading),
            Ok(Err(Unready::Failed(failure))) => Err(Outcome::Failed(failure)),
            Ok(Err(Unready::LacksKey { key, why })) => Err(self.without_key(session, key, why).await),
            Err(GivenUp) => Err(session.stop().unwrap_or(Stop::LeaseLost).into()),
        };
        self.count_start(loading.as_ref().map_or(session, |loading| session.is_of(&loading.version)));
        session.trace_part("load", began_ns);
        let loading = loading?;
        let pass = self.enter(session).await?;
        Ok((loading, pass))
    }

    /// A step whose run's payloads this process can't open: it waits for one that can.
    async fn without_key(&self, session: &Session, key: String, why: String) -> Outcome {
        let (run, origin) = (session.claim.run(), origin_of_key(&key));
        if let Some(circuits) = self.circuits.clone() {
            // It tells others, and who waits; what comes of it for this step is the same.
            let told = tokio::task::spawn_blocking(move || circuits.lacks_key(run, &key, &why)).await;
            if let Ok(Some(deferral)) = told {
                return Outcome::Deferred(deferral);
            }
        } else {
            tracing::warn!(step.id = %session.claim.id, reason = why, "a step waits for a worker with the right master key");
        }
        Outcome::Deferred(deferral(&origin))
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

    /// Hands a job to the next free guest thread.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        self.threads.submit(Box::new(job));
    }

    /// Executes the attempt that `session` stands for. On a guest thread: blocks.
    #[must_use]
    pub fn execute(&self, loading: Loading, session: &Arc<Session>) -> Executed {
        if let Some((logbook, worker)) = &self.log {
            session.keep_log(logbook, *worker);
        }
        if let Some(circuits) = &self.circuits {
            session.heed(circuits);
        }
        self.loaded.execute(loading, session)
    }

    /// What stands in the journal from a cut's row on: rows hold many entries, so that the row which the cut goes
    /// through is read, and kept up to there. `None` if it can't be read while the step is this worker's.
    pub async fn row_of_cut(&self, session: &Session, cut: &Cut) -> Option<Segment> {
        let id = session.claim.id;
        let given_up = || session.stop() == Some(Stop::LeaseLost);
        match self.reading.entries_before_cut(id, cut.at, session.seal(), &given_up).await {
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

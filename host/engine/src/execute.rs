//! One attempt, from the instance to the outcome. Called on a guest thread; blocks until the guest has
//! ended or was stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_domain::attempt::{Cause, Cut, Failure, Outcome};
use pawl_domain::id::StepId;
use pawl_domain::journal::History;
use pawl_domain::replay::Replay;
use pawl_domain::schema::Unfit;
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::Engine;
use super::clock::Deadline;
use super::ending::{self, End};
use super::guest::{Guest, Halt, MemoryLimiter};
use super::host::{Log, Step, StepPre};
use super::load::Prepared;
use super::recorder::Recorder;
use super::secrets::Secrets;
use super::threads::LifeSign;
use super::trap::caught;

/// Beside the largest thing that a guest may hand to the host in one call.
const TRANSFER_SPARE_BYTES: usize = 1 << 20;

/// What an attempt starts from.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which step of which run: keys are made of it.
    pub step: StepId,
    /// Its name in the pipeline.
    pub step_name: String,
    /// Attempts that ended in a failure.
    pub failures: u32,
    /// The step's config: JSON text, `null` if there is none.
    pub config: String,
    /// What the pipeline grants it.
    pub secrets: Secrets,
    /// How long this attempt may take.
    pub timeout: Duration,
    /// JSON text.
    pub input: Vec<u8>,
    /// What earlier attempts left.
    pub history: History,
}

/// What came of it.
#[derive(Debug)]
pub struct Executed {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// What another attempt keeps of the journal; there if and only if the guest failed.
    pub cut: Option<Cut>,
    /// Entries that were answered from the journal.
    pub replayed: u32,
    /// The journal position that it has come to.
    pub position: u32,
    /// The position of the checkpoint from which the guest went on.
    pub resumed_from: Option<u32>,
    /// From the first instruction of the host to the last.
    pub elapsed: Duration,
}

/// A guest that got no instance, and why.
type Unborn = Box<(Guest, wasmtime::Error)>;

impl Engine {
    /// Executes one attempt of a step.
    pub fn execute(&self, prepared: &Prepared, attempt: Attempt, recorder: Arc<dyn Recorder>) -> Executed {
        let started = Instant::now();
        let (guest, input) = self.guest(attempt, recorder);
        guest.sign.beat();
        let (mut guest, end) = match self.run(prepared, guest, input) {
            Ok(ended) => ended,
            Err(panic) => return not_begun(&panic, started),
        };
        guest.print_rest();
        let (mut outcome, mut cut) = ending::outcome_of(&mut guest, end, prepared);
        // A cut names entries by their positions: whoever cuts must find them all in the database.
        if cut.is_some()
            && let Err(Halt::Stop(stop)) = guest.last_barrier()
        {
            (outcome, cut) = (stop.into(), None);
        }
        guest.sign.rest();
        let (replayed, resumed_from) = (guest.replay.replayed(), guest.replay.resumed_from());
        Executed { outcome, cut, replayed, position: guest.replay.position(), resumed_from, elapsed: started.elapsed() }
    }

    fn guest(&self, attempt: Attempt, recorder: Arc<dyn Recorder>) -> (Guest, Vec<u8>) {
        let log = Log::new(attempt.step, attempt.step_name, attempt.secrets, &self.limits);
        let guest = Guest {
            step: attempt.step,
            failures: attempt.failures,
            config: attempt.config,
            deadline: Deadline::after(attempt.timeout),
            limits: self.limits,
            replay: Replay::new(attempt.step, attempt.history),
            recorder: Some(recorder),
            http: Arc::clone(&self.http),
            sign: LifeSign::of_this_thread(),
            memory: MemoryLimiter::new(self.limits.memory_bytes),
            log: Arc::new(log),
            wasi: None,
        };
        (guest, attempt.input)
    }

    /// The last line of defence stands here: nothing in the host may panic because of what a guest did, and
    /// if it does all the same, the guest's thread and its neighbours go on.
    fn run(&self, prepared: &Prepared, guest: Guest, input: Vec<u8>) -> Result<(Guest, End), String> {
        let Ok(input) = String::from_utf8(input) else { return Ok((guest, End::InputNotText)) };
        if let Some(schema) = prepared.schemas().and_then(|schemas| schemas.input.as_ref()) {
            match schema.check_while(input.as_bytes(), guest.is_wanted()) {
                Ok(()) => {}
                Err(Unfit::Misfit(misfit)) => return Ok((guest, End::InputMisfit(misfit))),
                Err(Unfit::Unwanted) => return Ok((guest, End::CutShort)),
            }
        }
        let (mut store, instance) = match caught(|| self.instantiate(prepared, guest))? {
            Ok(ready) => ready,
            Err(unborn) => return Ok((unborn.0, End::Broken(unborn.1))),
        };
        let end = match caught(|| instance.call_run(&mut store, &input)) {
            Ok(Ok(returned)) => End::Returned(returned),
            Ok(Err(error)) => End::Broken(error),
            Err(panic) => End::HostPanicked(panic),
        };
        Ok((store.into_data(), end))
    }

    /// A new store with a new instance: from the pool, or on demand if the component does not fit or the
    /// pool has no slot free.
    pub(super) fn instantiate(&self, prepared: &Prepared, mut guest: Guest) -> Result<(Store<Guest>, Step), Unborn> {
        if let Some(pre) = &prepared.pooled {
            match self.instantiate_from(pre, guest) {
                Err(unborn) if unborn.1.is::<PoolConcurrencyLimitError>() => guest = unborn.0,
                other => return other,
            }
        }
        match prepared.on_demand(self) {
            Ok(pre) => self.instantiate_from(pre, guest),
            Err(error) => Err(Box::new((guest, wasmtime::Error::new(error)))),
        }
    }

    fn instantiate_from(&self, pre: &StepPre<Guest>, guest: Guest) -> Result<(Store<Guest>, Step), Unborn> {
        let limits = &self.limits;
        let largest = limits.checkpoint_bytes.max(limits.output_bytes).max(limits.entry_bytes);
        let mut store = Store::new(pre.engine(), guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(largest.saturating_add(TRANSFER_SPARE_BYTES));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| store.data().at_epoch());
        match pre.instantiate(&mut store) {
            Ok(instance) => Ok((store, instance)),
            Err(error) => Err(Box::new((store.into_data(), error))),
        }
    }
}

/// The host failed before the guest existed. What a retry would keep of the journal is unknown then, so
/// that the failure can't be one that is retried.
fn not_begun(panic: &str, started: Instant) -> Executed {
    tracing::error!(%panic, "the host failed while it instantiated a component");
    let message = "the host failed while it instantiated the component; its log says more".into();
    let failure = Failure { cause: Cause::Component, message, details: None, delay_ms: None, from_checkpoint: false };
    let outcome = Outcome::Failed(failure);
    Executed { outcome, cut: None, replayed: 0, position: 0, resumed_from: None, elapsed: started.elapsed() }
}

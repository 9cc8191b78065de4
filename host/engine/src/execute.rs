//! One attempt, from the instance to the outcome. Called on a guest thread; blocks until the guest has
//! ended or was stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pawl_domain::attempt::{Cause, Cut, Failure, Outcome};
use pawl_domain::id::StepId;
use pawl_domain::journal::History;
use pawl_domain::reach::{Asked, Grant};
use pawl_domain::recovery::Stage;
use pawl_domain::replay::Replay;
use pawl_domain::schema::Unfit;
use pawl_metrics::figures;
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::Engine;
use super::clock::Deadline;
use super::ending::{self, End};
use super::guest::{Guest, Halt};
use super::host::way::Way;
use super::host::{Log, Step, StepPre};
use super::limiter::MemoryLimiter;
use super::load::Prepared;
use super::past::{PIECE_BYTES, Reading};
use super::recorder::{Past, Recorder, Stop};
use super::secrets::Secrets;
use super::threads::LifeSign;
use super::trap::caught;

/// What the host needs of its own for any guest, bytes.
const GUEST_BYTES: usize = 256 << 10;

/// How long a step that was given back for lack of memory is kept from coming again at once.
const LACK_PAUSE: Duration = Duration::from_secs(1);

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
    /// What the pipeline lets it reach; what is usual if it says nothing.
    pub allow: Option<Vec<Grant>>,
    /// How long this attempt may take.
    pub timeout: Duration,
    /// JSON text.
    pub input: Vec<u8>,
    /// What earlier attempts left.
    pub history: History,
    /// Where the journal and the checkpoint's state are read from as the guest comes to them; without it, the history
    /// has all of both.
    pub past: Option<Arc<dyn Past>>,
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
        let (guest, input) = match self.guest(attempt, prepared.asked(), recorder) {
            Ok(admitted) => admitted,
            Err(stop) => return unbegun(stop.into(), started),
        };
        guest.sign.beat();
        let (mut guest, end) = match self.run(prepared, guest, input) {
            Ok(ended) => ended,
            Err(panic) => return not_begun(&panic, started),
        };
        guest.print_rest();
        guest.log.end();
        guest.has_ended.store(true, Ordering::Relaxed);
        let (mut outcome, mut cut) = ending::outcome_of(&mut guest, end, prepared);
        // A cut names entries by their positions: whoever cuts must find them all in the database.
        if cut.is_some()
            && let Err(Halt::Stop(stop)) = guest.last_barrier()
        {
            (outcome, cut) = (stop.into(), None);
        }
        if matches!(outcome, Outcome::HandedBack) && guest.lacks_memory {
            guest.sign.away(|| std::thread::sleep(LACK_PAUSE));
        }
        guest.sign.rest();
        let (replayed, resumed_from) = (guest.replay.replayed(), guest.replay.resumed_from());
        Executed { outcome, cut, replayed, position: guest.replay.position(), resumed_from, elapsed: started.elapsed() }
    }

    /// The guest, once the process has room for it. Its time begins then, and whatever it needs beyond, it waits for by
    /// itself.
    fn guest(&self, attempt: Attempt, asked: Asked, recorder: Arc<dyn Recorder>) -> Result<(Guest, Vec<u8>), Stop> {
        let sign = LifeSign::of_this_thread();
        let (limit, share) = (self.limits.memory_bytes, self.memory.begin());
        let memory = MemoryLimiter::new(limit, share, Arc::clone(&sign), Some(Arc::clone(&recorder)));
        // The input is here, and is handed to the guest as a copy.
        let piece = attempt.past.as_ref().map_or(0, |_| PIECE_BYTES);
        let admitted = memory.budget().take_share(GUEST_BYTES + 2 * attempt.input.len() + piece);
        admitted.map_err(|_| recorder.stop().unwrap_or(Stop::LeaseLost))?;
        let deadline = Deadline::after(attempt.timeout, recorder.unix_ns());
        let has_ended = Arc::new(AtomicBool::new(false));
        let replay = match attempt.past {
            Some(past) => {
                let (budget, sign, recorder) = (memory.budget().clone(), Arc::clone(&sign), Arc::clone(&recorder));
                let reading = Reading::new(past, budget, sign, recorder, deadline, Arc::clone(&has_ended));
                Replay::reading(attempt.step, attempt.history, Box::new(reading))
            }
            None => Replay::new(attempt.step, attempt.history),
        };
        let awaited = recorder.awaits_stages().then_some(Stage::CheckpointReload);
        let keeper = Some(Arc::clone(&recorder));
        let log = Log::new(attempt.step, attempt.step_name, attempt.secrets, &self.limits, keeper);
        let guest = Guest {
            step: attempt.step,
            failures: attempt.failures,
            config: attempt.config,
            deadline,
            limits: self.limits,
            replay,
            has_ended,
            lacks_memory: false,
            awaited,
            recorder: Some(recorder),
            way: Arc::new(Way::new(&self.http, asked, attempt.allow, self.limits)),
            sign,
            results: memory.budget().nothing(),
            memory,
            log: Arc::new(log),
            panicked: None,
            wasi: None,
        };
        Ok((guest, attempt.input))
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
        let began = Instant::now();
        let instantiated = caught(|| self.instantiate(prepared, guest))?;
        let took = began.elapsed();
        figures().instantiate_seconds.took(took);
        let (mut store, instance) = match instantiated {
            Ok(ready) => ready,
            Err(unborn) => return Ok((unborn.0, End::Unborn(unborn.1))),
        };
        let guest = store.data_mut();
        if let Some(recorder) = &guest.recorder {
            recorder.instantiated(took);
        }
        if !guest.replay.has_checkpoint() {
            guest.has_restored();
        }
        guest.has_replayed();
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
        // A guest hands over what it has, and not one string a thousand times.
        store.set_hostcall_fuel(largest.min(limits.memory_bytes).saturating_add(TRANSFER_SPARE_BYTES));
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
    unbegun(Outcome::Failed(failure), started)
}

/// An attempt whose guest did nothing.
fn unbegun(outcome: Outcome, started: Instant) -> Executed {
    Executed { outcome, cut: None, replayed: 0, position: 0, resumed_from: None, elapsed: started.elapsed() }
}

//! `pawl:step/durable`: progress that survives the worker.

use pawl_base::fault;
use pawl_domain::journal::{Entry, Held};
use pawl_domain::replay::{OnceStep, Save, Step};

use super::bindings::pawl::step::durable::Host;
use super::counted;
use super::wait;
use crate::guest::{Guest, Halt};

/// Random bytes that one call may ask for.
const RANDOM_BYTES: u32 = 64 << 10;

/// A `once` key or an effect's name, bytes.
const NAME_BYTES: usize = 1 << 10;

impl Host for Guest {
    fn checkpoint(&mut self, state: Vec<u8>) -> wasmtime::Result<()> {
        Ok(checkpoint(self, state)?)
    }

    fn restore(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(restore(self)?)
    }

    fn once_begin(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(once_begin(self, key)?)
    }

    fn once_finish(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<()> {
        Ok(once_finish(self, key, value)?)
    }

    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(now(self)?)
    }

    fn random(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        self.recorder()?;
        if len > RANDOM_BYTES {
            return Err(Halt::Limit(format!("random gives at most {RANDOM_BYTES} bytes a call, not {len}")).into());
        }
        Ok(self.replay.random(len))
    }

    fn idempotency_key(&mut self, name: String) -> wasmtime::Result<String> {
        self.recorder()?;
        Ok(self.replay.idempotency_key(&name).to_string())
    }

    fn sleep(&mut self, duration_ms: u64) -> wasmtime::Result<()> {
        Ok(wait::sleep(self, duration_ms)?)
    }

    fn await_signal(&mut self, name: String, timeout_ms: Option<u64>) -> wasmtime::Result<Option<String>> {
        Ok(wait::await_signal(self, name, timeout_ms)?)
    }
}

fn checkpoint(guest: &mut Guest, state: Vec<u8>) -> Result<(), Halt> {
    guest.recorder()?;
    let (size, limit) = (state.len(), guest.limits.checkpoint_bytes);
    if size > limit {
        return Err(Halt::Limit(format!(
            "a checkpoint may have {limit} bytes (`limit_checkpoint`), this one has {size}"
        )));
    }
    if let Some(Save { notes, mut checkpoint }) = guest.replay.checkpoint(state)? {
        // It is held until it is written, or a newer one is here.
        checkpoint.held = Held::new(guest.memory.budget().take_outlasting(size)?);
        let elapsed = guest.monotonic_ns().map(|monotonic_ns| Entry::Elapsed { monotonic_ns });
        elapsed.iter().chain(&notes).try_for_each(|note| guest.hand_over(note))?;
        let recorder = guest.recorder()?;
        guest.sign.waiting(|| recorder.checkpoint(checkpoint))?;
    }
    keep_results(guest)
}

fn restore(guest: &mut Guest) -> Result<Option<Vec<u8>>, Halt> {
    guest.recorder()?;
    let state = guest.replay.restore()?;
    if let Some(elapsed_ns) = guest.replay.elapsed_ns() {
        guest.advance_monotonic(elapsed_ns);
    }
    keep_results(guest)?;
    guest.has_restored();
    guest.has_replayed();
    Ok(state)
}

/// What `once` has given since the checkpoint is held by the host, and counts as the guest's memory.
fn keep_results(guest: &mut Guest) -> Result<(), Halt> {
    let kept = guest.replay.kept_bytes();
    if kept == guest.results.bytes() {
        return Ok(());
    }
    // First those that are not kept any more.
    guest.results = guest.memory.budget().nothing();
    guest.results = guest.charge(kept).map_err(|halt| match halt {
        Halt::Limit(limit) => Halt::Limit(format!(
            "{limit}: the results of once() since the last checkpoint have {kept}, save checkpoints more often"
        )),
        other => other,
    })?;
    Ok(())
}

fn now(guest: &mut Guest) -> Result<u64, Halt> {
    guest.recorder()?;
    match guest.replay.now()? {
        Step::Recorded(unix_ns) => {
            guest.has_replayed();
            Ok(unix_ns)
        }
        Step::Live => guest.read_clock(),
    }
}

/// An effect of the guest's own: the host can't see it leave, so the begin is the last place to make the
/// journal durable and to check the lease.
fn once_begin(guest: &mut Guest, name: String) -> Result<Option<Vec<u8>>, Halt> {
    guest.recorder()?;
    check_name(&name)?;
    let begun = guest.replay.once_begin(&name)?;
    keep_results(guest)?;
    let again = matches!(begun, OnceStep::Reopened);
    match begun {
        OnceStep::Finished(value) => {
            guest.has_replayed();
            return Ok(Some(value));
        }
        OnceStep::Reopened => guest.has_replayed(),
        OnceStep::Live => guest.record(&Entry::OnceBegun { name })?,
    }
    guest.barrier()?;
    guest.clear_to_leave()?;
    counted::left(counted::Kind::Once, again);
    Ok(None)
}

fn once_finish(guest: &mut Guest, name: String, value: Vec<u8>) -> Result<(), Halt> {
    guest.recorder()?;
    let (size, limit) = (value.len(), guest.limits.entry_bytes);
    if size > limit {
        return Err(Halt::Limit(format!(
            "the value of once({name:?}) may have {limit} bytes (`limit_entry`), it has {size}"
        )));
    }
    guest.replay.once_finish(&name, &value)?;
    keep_results(guest)?;
    fault::point("once.finish.before_commit");
    guest.record(&Entry::OnceFinished { name, value })?;
    guest.barrier()
}

/// Keys and names stand in the journal, so they have a size.
pub(super) fn check_name(name: &str) -> Result<(), Halt> {
    if name.len() > NAME_BYTES {
        return Err(Halt::Limit(format!("an effect's name may have {NAME_BYTES} bytes, this one has {}", name.len())));
    }
    Ok(())
}

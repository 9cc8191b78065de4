//! What a guest may take: its memories and tables, and what the host holds for it, under the guest's own limit and in the
//! budget of the process.
//!
//! Whether something is within the guest's own limit depends on the guest alone, and is the same in every replay: a
//! `memory.grow` beyond it is answered with -1. Whether the process has room never shows: the guest waits for it. Nor
//! does a lack of the machine's own: that ends the attempt, without blame.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::clock::boot_time;
use super::guest::Halt;
use super::memory::{Outlasting, Share};
use super::recorder::Recorder;
use super::settings::{INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use super::threads::LifeSign;

/// What an element of a table takes, bytes.
const ELEMENT_BYTES: usize = 16;

/// How long a guest that executes no step waits for memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a guest's memories and tables may take, and what they have taken.
pub(super) struct MemoryLimiter {
    budget: Budget,
    elements_left: usize,
    /// What was refused last; explains a trap that follows.
    refused: Option<String>,
    limit_bytes: usize,
}

impl MemoryLimiter {
    pub(super) fn new(limit_bytes: usize, share: Share, sign: Arc<LifeSign>, stop: Option<Arc<dyn Recorder>>) -> Self {
        let budget = Budget::new(limit_bytes, share, sign, stop);
        Self { budget, elements_left: TABLE_ELEMENTS, refused: None, limit_bytes }
    }

    /// For memory of the host's that counts as the guest's own.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // What the guest itself has ruled out takes nothing.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let fits = self.budget.take(desired.saturating_sub(current))?;
        if !fits {
            let limit = self.limit_bytes;
            self.refused =
                Some(format!("the guest's memory may take {limit} bytes (`limit_memory`), it asked for {desired}"));
        }
        Ok(fits)
    }

    /// It was within every limit, and the system had none.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Halt::NoMemory(error.to_string()).into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        let fits = more <= self.elements_left && self.budget.take(more.saturating_mul(ELEMENT_BYTES))?;
        if fits {
            self.elements_left -= more;
        } else {
            self.refused = Some(format!(
                "the guest's tables may have {TABLE_ELEMENTS} elements, and count as its memory (`limit_memory`); it asked \
                 for {desired}"
            ));
        }
        Ok(fits)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Halt::NoMemory(error.to_string()).into())
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

/// Bytes that a guest's memories may still take, together with what the host holds for it.
#[derive(Clone)]
pub(super) struct Budget(Arc<Inner>);

struct Inner {
    left_bytes: AtomicUsize,
    limit_bytes: usize,
    share: Share,
    sign: Arc<LifeSign>,
    stop: Option<Arc<dyn Recorder>>,
    waited_ns: AtomicU64,
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("left_bytes", &self.0.left_bytes).finish_non_exhaustive()
    }
}

impl Budget {
    pub(super) fn new(limit_bytes: usize, share: Share, sign: Arc<LifeSign>, stop: Option<Arc<dyn Recorder>>) -> Self {
        let (left_bytes, waited_ns) = (AtomicUsize::new(limit_bytes), AtomicU64::new(0));
        Self(Arc::new(Inner { left_bytes, limit_bytes, share, sign, stop, waited_ns }))
    }

    /// Takes all of it or nothing: false if the guest's limit is smaller. Waits for the process to have room.
    pub(super) fn take(&self, bytes: usize) -> Result<bool, Halt> {
        let less = |left: usize| left.checked_sub(bytes);
        if self.0.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return Ok(false);
        }
        self.take_share(bytes)?;
        Ok(true)
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.0.left_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.share.give_back(bytes);
    }

    /// The same as [`Budget::take`], for what can be dropped; beyond the limit, the guest ends.
    pub(super) fn charge(&self, bytes: usize) -> Result<Charged, Halt> {
        if self.take(bytes)? {
            return Ok(Charged { budget: self.clone(), bytes });
        }
        let limit = self.0.limit_bytes;
        Err(Halt::Limit(format!(
            "a step's memory and what the host holds for it may take {limit} bytes (`limit_memory`)"
        )))
    }

    /// Nothing so far.
    pub(super) fn nothing(&self) -> Charged {
        Charged { budget: self.clone(), bytes: 0 }
    }

    /// Takes of the process what is none of the guest's own, until the guest has ended.
    pub(super) fn take_share(&self, bytes: usize) -> Result<(), Halt> {
        let Inner { share, sign, .. } = &*self.0;
        if share.try_take(bytes) {
            return Ok(());
        }
        // Others have what this guest needs: the time until they end is not the guest's.
        let began = boot_time();
        let waited = || boot_time().saturating_sub(began);
        let took = sign.away(|| share.take(bytes, || self.halt_after(waited())));
        let waited_ns = u64::try_from(waited().as_nanos()).unwrap_or(u64::MAX);
        self.0.waited_ns.fetch_add(waited_ns, Ordering::Relaxed);
        took
    }

    /// The same, for what is handed over and held by others, perhaps longer than the guest lives.
    pub(super) fn take_outlasting(&self, bytes: usize) -> Result<Outlasting, Halt> {
        self.take_share(bytes)?;
        Ok(self.0.share.part_with(bytes))
    }

    /// How long the guest has waited for others to give back what it needs.
    pub(super) fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.waited_ns.load(Ordering::Relaxed))
    }

    fn halt_after(&self, waited: Duration) -> Option<Halt> {
        match &self.0.stop {
            Some(recorder) => recorder.stop().map(Halt::Stop),
            None => (waited > PATIENCE).then(|| Halt::NoMemory("others have it".into())),
        }
    }
}

/// Bytes that count as the guest's memory until this is dropped.
#[derive(Debug)]
pub(super) struct Charged {
    budget: Budget,
    bytes: usize,
}

impl Charged {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

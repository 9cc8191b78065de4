//! Time inside the engine: the ticker that lets guests pass epochs, and deadlines that also run while the
//! machine sleeps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Starts the thread that raises the epoch of `engines` every `tick` for as long as one of them lives.
///
/// # Errors
/// If the system has no thread for it.
pub(super) fn start_ticker(engines: &[wasmtime::Engine], tick: Duration) -> std::io::Result<()> {
    let engines: Vec<_> = engines.iter().map(wasmtime::Engine::weak).collect();
    let run = move || {
        loop {
            std::thread::sleep(tick);
            let living = engines.iter().filter_map(wasmtime::EngineWeak::upgrade);
            if living.map(|engine| engine.increment_epoch()).count() == 0 {
                return;
            }
        }
    };
    std::thread::Builder::new().name("epoch-ticker".into()).spawn(run).map(drop)
}

/// When an attempt must have ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// On CLOCK_BOOTTIME, which nobody sets and which does not stop while the machine sleeps.
    at: Duration,
    /// The same moment for people and guests, in ms since 1970.
    unix_ms: u64,
}

impl Deadline {
    /// So long from now on, which is `unix_ns`.
    pub(super) fn after(timeout: Duration, unix_ns: u64) -> Self {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { at: boot_time().saturating_add(timeout), unix_ms: (unix_ns / 1_000_000).saturating_add(ms) }
    }

    pub(super) fn unix_ms(self) -> u64 {
        self.unix_ms
    }

    /// Whether it has passed, for a guest whose time stood still for so long.
    pub(super) fn is_over_after(self, stood_still: Duration) -> bool {
        self.left_after(stood_still).is_zero()
    }

    /// What is left until then, for such a guest.
    pub(super) fn left_after(self, stood_still: Duration) -> Duration {
        self.at.saturating_add(stood_still).saturating_sub(boot_time())
    }
}

/// This machine's wall clock, ns since 1970: for whoever shares no work with others.
#[must_use]
pub fn local_unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// CLOCK_BOOTTIME: monotonic, and it goes on while the machine sleeps.
#[must_use]
pub fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

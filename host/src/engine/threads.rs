//! The threads on which guests run. They are apart from the async runtime, so that a guest that computes
//! for minutes can't keep a heartbeat or a commit from happening.
//!
//! ```text
//!  worker ──submit──▶ channel ──▶ guest-0 … guest-N      each with a pulse:
//!                                                        beats at every epoch and after every wait,
//!  worker ──stuck()──▶ looks at the pulses               "waiting" while the host works for the guest
//! ```
//!
//! A guest passes an epoch at least at every loop and call. A thread whose pulse does not beat while its
//! guest is not waiting for the host can't be freed; the worker that finds one drains.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::clock::boot_time;
use super::settings::STACK_BYTES;

/// What a guest thread does: executes one attempt and hands its outcome over.
pub type Job = Box<dyn FnOnce() + Send>;

/// For the host's own frames below and above the guest's: TLS and HTTP need most of it.
const HOST_STACK_BYTES: usize = 2 << 20;

/// A pool of guest threads. Dropped, it lets them end after what has been submitted.
pub struct GuestThreads {
    jobs: Sender<Job>,
    pulses: Vec<Arc<Pulse>>,
    busy: Arc<AtomicUsize>,
}

/// A guest thread that has not passed an epoch for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The thread's name.
    pub thread: String,
    /// How long its pulse has not been felt.
    pub silent: Duration,
}

impl GuestThreads {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// If the system has no threads for it.
    pub fn new(count: usize) -> std::io::Result<Self> {
        let (jobs, queue) = unbounded();
        let busy = Arc::new(AtomicUsize::new(0));
        let start = |number: usize| {
            let pulse = Arc::new(Pulse::default());
            let (queue, busy, own) = (queue.clone(), Arc::clone(&busy), Arc::clone(&pulse));
            std::thread::Builder::new()
                .name(format!("guest-{number}"))
                .stack_size(STACK_BYTES + HOST_STACK_BYTES)
                .spawn(move || work(&queue, &own, &busy))?;
            Ok(pulse)
        };
        let pulses = (0..count.max(1)).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { jobs, pulses, busy })
    }

    /// Hands a job to the next free thread; if there is none, it waits in line.
    pub fn submit(&self, job: Job) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.jobs.send(job).expect("the threads keep the receiving ends as long as this lives");
    }

    /// How many threads there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pulses.len()
    }

    /// How many more jobs could start at once.
    #[must_use]
    pub fn free(&self) -> usize {
        self.count().saturating_sub(self.busy.load(Ordering::Relaxed))
    }

    /// Threads whose guest has passed no epoch for `bound`, host calls not counted.
    #[must_use]
    pub fn stuck(&self, bound: Duration) -> Vec<Stuck> {
        let silent = self.pulses.iter().enumerate().filter_map(|(number, pulse)| Some((number, pulse.silent()?)));
        silent
            .filter(|(_, silent)| *silent >= bound)
            .map(|(number, silent)| Stuck { thread: format!("guest-{number}"), silent })
            .collect()
    }
}

impl fmt::Debug for GuestThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestThreads").field("count", &self.count()).field("free", &self.free()).finish()
    }
}

fn work(queue: &Receiver<Job>, pulse: &Arc<Pulse>, busy: &AtomicUsize) {
    OWN.set(Some(Arc::clone(pulse)));
    for job in queue {
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a job on a guest thread panicked; the thread goes on");
        }
        pulse.rest();
        busy.fetch_sub(1, Ordering::Relaxed);
    }
}

thread_local! {
    static OWN: RefCell<Option<Arc<Pulse>>> = const { RefCell::new(None) };
}

/// A sign of life of one guest thread.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// When it was last felt, in ms of CLOCK_BOOTTIME; 0 while no guest is executed.
    beat_ms: AtomicU64,
    /// The host works for the guest: no epochs are expected.
    waiting: AtomicBool,
}

impl Pulse {
    /// The pulse of this thread; a new one that nobody watches if this is no guest thread.
    pub(super) fn of_this_thread() -> Arc<Self> {
        OWN.with_borrow(|own| own.as_ref().map(Arc::clone)).unwrap_or_default()
    }

    pub(super) fn beat(&self) {
        self.beat_ms.store(now_ms(), Ordering::Relaxed);
    }

    pub(super) fn rest(&self) {
        self.beat_ms.store(0, Ordering::Relaxed);
        self.waiting.store(false, Ordering::Release);
    }

    /// Runs something of the host's that may take its time.
    pub(super) fn waiting<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.waiting.store(true, Ordering::Relaxed);
        let result = wait();
        self.beat();
        self.waiting.store(false, Ordering::Release);
        result
    }

    fn silent(&self) -> Option<Duration> {
        let beat_ms = self.beat_ms.load(Ordering::Relaxed);
        if beat_ms == 0 || self.waiting.load(Ordering::Acquire) {
            return None;
        }
        Some(Duration::from_millis(now_ms().saturating_sub(beat_ms)))
    }
}

fn now_ms() -> u64 {
    u64::try_from(boot_time().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn eventually(condition: impl Fn() -> bool) {
        let started = std::time::Instant::now();
        while !condition() {
            assert!(started.elapsed() < Duration::from_secs(20), "waited too long");
            std::thread::yield_now();
        }
    }

    #[test]
    fn jobs_run_side_by_side_and_free_threads_are_counted() {
        let threads = GuestThreads::new(2).unwrap();
        let (release, wait) = channel::<()>();
        let (started, starts) = channel();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        for _ in 0..2 {
            let (wait, started) = (Arc::clone(&wait), started.clone());
            threads.submit(Box::new(move || {
                started.send(std::thread::current().name().map(str::to_owned)).unwrap();
                drop(wait.lock().unwrap().recv());
            }));
        }
        let mut names: Vec<_> = [starts.recv(), starts.recv()].into_iter().flatten().flatten().collect();
        names.sort();
        assert_eq!((names, threads.free()), (vec!["guest-0".to_owned(), "guest-1".to_owned()], 0));
        drop(release);
        eventually(|| threads.free() == 2);
    }

    #[test]
    fn a_job_that_panics_does_not_take_its_thread_along() {
        let threads = GuestThreads::new(1).unwrap();
        threads.submit(Box::new(|| panic!("as asked")));
        let (sender, receiver) = channel();
        threads.submit(Box::new(move || sender.send(7).unwrap()));
        assert_eq!(receiver.recv().unwrap(), 7);
        eventually(|| threads.free() == 1);
    }

    #[test]
    fn only_a_silent_guest_that_does_not_wait_for_the_host_is_stuck() {
        let threads = GuestThreads::new(1).unwrap();
        let (release, wait) = channel::<()>();
        let (step, steps) = channel();
        threads.submit(Box::new(move || {
            let pulse = Pulse::of_this_thread();
            pulse.beat();
            pulse.waiting(|| {
                step.send(()).unwrap();
                wait.recv().unwrap();
            });
            step.send(()).unwrap();
            drop(wait.recv());
        }));
        steps.recv().unwrap();
        assert_eq!(threads.stuck(Duration::ZERO), [], "the host works for it");
        release.send(()).unwrap();
        steps.recv().unwrap();
        assert_eq!(threads.stuck(Duration::ZERO).len(), 1);
        assert_eq!(threads.stuck(Duration::from_secs(600)), []);
        drop(release);
        eventually(|| threads.free() == 1);
        assert_eq!(threads.stuck(Duration::ZERO), [], "an idle thread is not stuck");
    }
}

//! The threads on which guests run. They are apart from the async runtime, so that a guest that computes
//! for minutes can't keep a heartbeat or a commit from happening.
//!
//! There are as many as slots, but only as many as cores are woken for a burst of short jobs: each takes the
//! next job when it is done, which costs no switch. A further one is woken when a guest waits for the host,
//! or when a job has waited for a turn; so guests that compute for long share the cores as the system sees
//! fit, and none waits for another to end.
//!
//! ```text
//!            ┌── free core, a guest that waits, a turn has passed ──▶ wake one (the last that fell asleep)
//!  submit ──▶ jobs ──▶ guest-0 … guest-N      each with a life sign:
//!                                             beats at every epoch and after every wait,
//!  worker ──stuck()──▶ looks at the signs    "waiting" while the host works for the guest
//! ```
//!
//! `wasmtime-wasi` blocks on an async runtime, though all that it is asked for here is ready at once. So the
//! threads know the runtime under which they were started: without one, the library would start its own, with
//! a thread for each core.
//!
//! A guest passes an epoch at least at every loop and call. A thread that gives no life sign while its
//! guest is not waiting for the host can't be freed; the worker that finds one drains.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::settings::STACK_BYTES;
use pool::{Pool, give_turns};

pub(super) use sign::LifeSign;

mod pool;
mod sign;

/// What a guest thread does: executes one attempt and hands its outcome over.
pub type Job = Box<dyn FnOnce() + Send>;

/// For the host's own frames below and above the guest's: checking documents needs most of it, then TLS and HTTP.
const HOST_STACK_BYTES: usize = pawl_domain::schema::STACK_BYTES;

/// A pool of guest threads. Dropped, it lets them end after what has been submitted.
pub struct GuestThreads {
    pool: Arc<Pool>,
    signs: Vec<Arc<LifeSign>>,
}

/// A guest thread that has not passed an epoch for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The thread's name.
    pub thread: String,
    /// How long it has given no life sign.
    pub silent: Duration,
}

impl GuestThreads {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// If the system has no threads for it.
    pub fn new(count: usize) -> std::io::Result<Self> {
        let count = count.max(1);
        let pool = Arc::new(Pool::new(count));
        let runtime = Handle::try_current().ok();
        let start = |number: usize| {
            let runtime = runtime.clone();
            let sign = LifeSign::of(&pool);
            let (pool, own) = (Arc::clone(&pool), Arc::clone(&sign));
            std::thread::Builder::new()
                .name(format!("guest-{number}"))
                .stack_size(STACK_BYTES + HOST_STACK_BYTES)
                .spawn(move || {
                    let _entered = runtime.as_ref().map(Handle::enter);
                    work(&pool, number, &own);
                })?;
            Ok(sign)
        };
        let signs = (0..count).map(start).collect::<std::io::Result<_>>()?;
        let turns = Arc::downgrade(&pool);
        std::thread::Builder::new().name("guest-turns".into()).spawn(move || give_turns(&turns))?;
        Ok(Self { pool, signs })
    }

    /// Hands a job to the next free thread; if there is none, it waits in line.
    pub fn submit(&self, job: Job) {
        let mut state = self.pool.state();
        state.jobs.push_back(job);
        self.pool.wake_within_cores(&mut state);
    }

    /// How many threads there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.signs.len()
    }

    /// How many more jobs could start without one ending.
    #[must_use]
    pub fn free(&self) -> usize {
        let state = self.pool.state();
        state.idle.len().saturating_sub(state.jobs.len())
    }

    /// Threads whose guest has passed no epoch for `bound`, host calls not counted.
    #[must_use]
    pub fn stuck(&self, bound: Duration) -> Vec<Stuck> {
        let silent = self.signs.iter().enumerate().filter_map(|(number, sign)| Some((number, sign.silent()?)));
        silent
            .filter(|(_, silent)| *silent >= bound)
            .map(|(number, silent)| Stuck { thread: format!("guest-{number}"), silent })
            .collect()
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.is_closed = true;
        while let Some(number) = state.idle.pop() {
            self.pool.wake(&mut state, number);
        }
    }
}

/// Runs something for a guest on a thread like theirs, and waits for it: the thread that asks may drive an async
/// runtime, and must not block on one then.
///
/// # Errors
/// If the system has no thread for it.
pub(super) fn aside<T: Send>(run: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    let runtime = Handle::try_current().ok();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("guest-aside".into()).stack_size(STACK_BYTES + HOST_STACK_BYTES);
        let run = move || {
            let _entered = runtime.as_ref().map(Handle::enter);
            run()
        };
        Ok(thread.spawn_scoped(scope, run)?.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn work(pool: &Arc<Pool>, number: usize, sign: &Arc<LifeSign>) {
    sign.begin();
    drop(pool.sleep(pool.state(), number));
    while let Some(job) = pool.next(number) {
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a job on a guest thread panicked; the thread goes on");
        }
        sign.rest();
    }
}

impl fmt::Debug for GuestThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestThreads").field("count", &self.count()).field("free", &self.free()).finish()
    }
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
                wait.lock().unwrap().recv().unwrap_or_default();
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
    fn guests_may_block_on_the_runtime_of_those_who_started_them() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let threads = GuestThreads::new(1).unwrap();
            let (sender, receiver) = channel();
            threads.submit(Box::new(move || sender.send(Handle::current().block_on(async { 7 })).unwrap()));
            assert_eq!(receiver.recv(), Ok(7));
            assert_eq!(aside(|| Handle::current().block_on(async { 8 })).unwrap(), 8);
        });
    }

    #[test]
    fn only_a_silent_guest_that_does_not_wait_for_the_host_is_stuck() {
        let threads = GuestThreads::new(1).unwrap();
        let (release, wait) = channel::<()>();
        let (step, steps) = channel();
        threads.submit(Box::new(move || {
            let sign = LifeSign::of_this_thread();
            sign.beat();
            sign.waiting(|| {
                step.send(()).unwrap();
                wait.recv().unwrap();
            });
            step.send(()).unwrap();
            wait.recv().unwrap_or_default();
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

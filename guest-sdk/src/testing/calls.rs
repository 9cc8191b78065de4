//! The host's functions in a native build: each asks the test host of this thread. A call that must not
//! return (a crash, a sleep, a divergence) leaves the step by unwinding, with a payload that no step can know
//! and no panic hook sees.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::attempt::{Attempt, Ending};
use crate::host::{HttpError, HttpRequest, HttpResponse, Info, Level};

thread_local! {
    static CURRENT: RefCell<Option<Attempt>> = const { RefCell::new(None) };
}

/// The payload. Why the step was left stands in the attempt.
struct Left;

/// How a step came to its end.
pub(super) enum Ended<T> {
    Returned(T),
    /// By the host.
    Left(Ending),
    /// By a panic of its own.
    Panicked(String),
}

/// Executes `step` with `attempt` as this thread's host.
pub(super) fn during<T>(attempt: Attempt, step: impl FnOnce() -> T) -> (Attempt, Ended<T>) {
    CURRENT.with_borrow_mut(|current| {
        assert!(current.is_none(), "a step is running on this thread: a step can't run inside another");
        *current = Some(attempt);
    });
    let returned = catch_unwind(AssertUnwindSafe(step));
    let mut attempt = CURRENT.take().expect("only this function takes it");
    let ended = match (returned, attempt.ending.take()) {
        (Ok(output), None) => Ended::Returned(output),
        (_, Some(ending)) => Ended::Left(ending),
        (Err(panic), None) => Ended::Panicked(message(&*panic)),
    };
    (attempt, ended)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

/// One call: counted, then answered, or the end of the step.
fn ask<T>(call: &'static str, answer: impl FnOnce(&mut Attempt) -> Result<T, Ending>) -> T {
    let answered = CURRENT.with_borrow_mut(|current| {
        let Some(attempt) = current else {
            panic!(
                "{call} asks the Pawl host, and there is none in a native build: run the step with \
                 pawl_sdk::testing::Host, or test the parts around the call"
            );
        };
        attempt.enter(call).and_then(|()| answer(attempt)).map_err(|ending| attempt.ending = Some(ending)).ok()
    });
    // Out of the borrow: what is dropped on the way may call the host, to log for example.
    answered.unwrap_or_else(|| resume_unwind(Box::new(Left)))
}

pub(crate) fn context() -> Info {
    ask("context.get", Attempt::info)
}

pub(crate) fn secret(name: &str) -> Option<String> {
    ask("context.secret", |attempt| attempt.secret(name))
}

pub(crate) fn checkpoint(state: &[u8]) {
    ask("durable.checkpoint", |attempt| attempt.checkpoint(state));
}

pub(crate) fn restore() -> Option<Vec<u8>> {
    ask("durable.restore", Attempt::restore)
}

pub(crate) fn once_begin(key: &str) -> Option<Vec<u8>> {
    ask("durable.once-begin", |attempt| attempt.once_begin(key))
}

pub(crate) fn once_finish(key: &str, value: &[u8]) {
    ask("durable.once-finish", |attempt| attempt.once_finish(key, value));
}

pub(crate) fn now_ns() -> u64 {
    ask("durable.now", Attempt::now_ns)
}

pub(crate) fn random(len: u32) -> Vec<u8> {
    ask("durable.random", |attempt| attempt.random(len))
}

pub(crate) fn idempotency_key(name: &str) -> String {
    ask("durable.idempotency-key", |attempt| attempt.idempotency_key(name))
}

pub(crate) fn sleep(duration_ms: u64) {
    ask("durable.sleep", |attempt| attempt.sleep(duration_ms));
}

pub(crate) fn await_signal(name: &str, timeout_ms: Option<u64>) -> Option<String> {
    ask("durable.await-signal", |attempt| attempt.await_signal(name, timeout_ms))
}

pub(crate) fn send(request: &HttpRequest) -> Result<HttpResponse, HttpError> {
    ask("http.send", |attempt| attempt.send(request)).into()
}

pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
    ask("logging.log", |attempt| attempt.log(level, message, fields));
}

pub(crate) fn progress(fraction: f64, message: &str) {
    ask("logging.progress", |attempt| attempt.progress(fraction, message));
}

/// Whether there is a host to ask: a logger that is called from elsewhere must be silent.
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) fn is_there() -> bool {
    CURRENT.try_with(|current| current.try_borrow().is_ok_and(|current| current.is_some())).unwrap_or(false)
}

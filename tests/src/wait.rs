//! Bounded waits on a condition; the only place of the harness that sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a condition is looked at: often enough that a wait costs nothing to speak of, rarely enough
/// that looking costs nothing either.
const PERIOD: Duration = Duration::from_millis(10);

/// Waits until `look` gives a value.
///
/// # Errors
/// After `bound`, saying what it waited for and what it saw last; or the first error of `look`.
pub fn until<T>(bound: Duration, what: &str, mut look: impl FnMut() -> anyhow::Result<Look<T>>) -> anyhow::Result<T> {
    let end = Instant::now() + bound;
    loop {
        match look()? {
            Look::Done(value) => return Ok(value),
            Look::NotYet(seen) if Instant::now() >= end => {
                anyhow::bail!("waited {} s for {what}; last seen: {seen}", bound.as_secs())
            }
            Look::NotYet(_) => std::thread::sleep(PERIOD),
        }
    }
}

/// Waits until `holds` says yes.
///
/// # Errors
/// After `bound`, saying what it waited for; or the first error of `holds`.
pub fn until_true(bound: Duration, what: &str, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    until(bound, what, || Ok(if holds()? { Look::Done(()) } else { Look::NotYet("no".to_owned()) }))
}

/// What a look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// It holds.
    Done(T),
    /// Not yet, and what there is instead, for the error message.
    NotYet(String),
}

/// The clock of this machine, which is also that of the databases here, ms since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

//! Why a step did not produce an output, and whether another attempt may.
//!
//! `http` names this module, and this one [`http::Error`]: one `From` makes a failure of every error, so it must know the
//! only ones of ours.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::num::{ParseFloatError, ParseIntError, TryFromIntError};
use std::str::Utf8Error;
use std::string::FromUtf8Error;
use std::time::Duration;

use serde::Serialize;

use crate::http;
use crate::raw::pawl::step::types::{Failure as WireFailure, FailureKind, Retry};

/// Why a step did not produce an output.
///
/// `?` makes one of any error, and its type decides what it is worth:
///
/// | error | |
/// |---|---|
/// | [`serde_json::Error`], numbers and text that can't be parsed or converted | fatal: it would come again |
/// | [`http::Error`] | fatal for a request that is not valid, an answer that can't be used or of 4xx; a retry for all else |
/// | any other | a retry |
///
/// [`OrFail`](crate::OrFail) chooses otherwise where the error comes up. An error type of your own that
/// always knows converts itself: leave [`Error`] out and implement `From<YourError> for Failure`. (Like
/// `anyhow::Error`, `Failure` does not implement [`Error`], which is what makes these conversions possible.)
///
/// ```
/// use std::time::Duration;
/// use pawl_sdk::Failure;
///
/// let busy = Failure::retry("the printer is busy").after(Duration::from_secs(30));
/// assert!(!busy.is_fatal());
/// let gone = Failure::fatal("there is no such printer").with_details(&["laser-2"]);
/// assert!(gone.is_fatal());
/// ```
pub struct Failure {
    // Boxed: `Result<T, Failure>` stays small on the way through a step's functions.
    inner: Box<Inner>,
}

struct Inner {
    retry: Option<Retry>,
    message: String,
    details: Option<String>,
}

/// A retry as the step's retry policy has it.
const NO_WISHES: Retry = Retry { delay_ms: None, from_checkpoint: false };

impl Failure {
    /// Another attempt may help; the step's retry policy decides whether and when.
    #[must_use]
    #[cold]
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(Some(NO_WISHES), message.into())
    }

    /// Another attempt would fail the same way.
    #[must_use]
    #[cold]
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(None, message.into())
    }

    fn new(retry: Option<Retry>, message: String) -> Self {
        Self { inner: Box::new(Inner { retry, message, details: None }) }
    }

    /// Asks for this delay before the next attempt, if the policy's is shorter: at most a week, unless the workers are set
    /// otherwise. No effect on a fatal failure.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        if let Some(retry) = &mut self.inner.retry {
            retry.delay_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        }
        self
    }

    /// Asks to forget every answer since the last checkpoint, good ones included, so that the next attempt
    /// asks the outside world again. Effects made since must be named ([`http::Request::effect`]), or they
    /// may be done twice. No effect on a fatal failure.
    #[must_use]
    pub fn from_checkpoint(mut self) -> Self {
        if let Some(retry) = &mut self.inner.retry {
            retry.from_checkpoint = true;
        }
        self
    }

    /// Adds anything that helps a person to understand it. What can't be written as JSON is left out.
    #[must_use]
    pub fn with_details(mut self, details: &(impl Serialize + ?Sized)) -> Self {
        self.inner.details = serde_json::to_string(details).ok();
        self
    }

    /// Puts what was being done before the message: `reading the meter: no connection`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.inner.message = format!("{what}: {}", self.inner.message);
        self
    }

    /// The same failure, with another attempt pointless.
    #[must_use]
    pub fn into_fatal(mut self) -> Self {
        self.inner.retry = None;
        self
    }

    /// The same failure, worth another attempt. One that is already keeps its wishes.
    #[must_use]
    pub fn into_retry(mut self) -> Self {
        self.inner.retry.get_or_insert(NO_WISHES);
        self
    }

    /// Whether another attempt is pointless.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.inner.retry.is_none()
    }

    /// The wishes of a retry; `None` if it is fatal.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn wishes(&self) -> Option<Retry> {
        self.inner.retry
    }

    pub(crate) fn into_wire(self) -> WireFailure {
        let Inner { retry, message, details } = *self.inner;
        WireFailure { kind: retry.map_or(FailureKind::Fatal, FailureKind::Retry), message, details }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    #[cold]
    fn from(error: E) -> Self {
        let message = message_of(&error);
        let error: &dyn Any = &error;
        if let Some(error) = error.downcast_ref::<http::Error>() {
            return error.failure(message);
        }
        if would_come_again(error) { Self::fatal(message) } else { Self::retry(message) }
    }
}

/// Errors of what was read, not of reading it.
fn would_come_again(error: &dyn Any) -> bool {
    error.is::<serde_json::Error>()
        || error.is::<ParseIntError>()
        || error.is::<ParseFloatError>()
        || error.is::<TryFromIntError>()
        || error.is::<Utf8Error>()
        || error.is::<FromUtf8Error>()
}

/// The error and what caused it, on one line.
fn message_of(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    message
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("message", &self.inner.message)
            .field("retry", &self.inner.retry)
            .field("details", &self.inner.details)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the meter can't be read")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    fn question_mark<E: Error + 'static>(error: E) -> Failure {
        let fail = || -> Result<(), Failure> { Err(error)? };
        fail().unwrap_err()
    }

    #[test]
    fn an_unknown_error_is_retried_and_tells_its_causes() {
        let failure = question_mark(Outer("x".parse::<i32>().unwrap_err()));
        assert!(!failure.is_fatal());
        assert_eq!(failure.to_string(), "the meter can't be read: invalid digit found in string");
    }

    #[test]
    fn a_document_that_does_not_parse_is_fatal() {
        assert!(question_mark(serde_json::from_str::<u8>("x").unwrap_err()).is_fatal());
    }

    #[test]
    fn text_that_does_not_parse_is_fatal() {
        assert!(question_mark("x".parse::<i32>().unwrap_err()).is_fatal());
        assert!(question_mark("x".parse::<f64>().unwrap_err()).is_fatal());
        assert!(question_mark(u8::try_from(300).unwrap_err()).is_fatal());
        assert!(question_mark(String::from_utf8(vec![0xff]).unwrap_err()).is_fatal());
    }

    #[test]
    fn http_errors_decide_by_what_happened() {
        assert!(question_mark(http::Error::Invalid("no scheme".into())).is_fatal());
        assert!(!question_mark(http::Error::Timeout).is_fatal());
    }

    #[test]
    fn wishes_of_a_retry_reach_the_wire() {
        let wire = Failure::retry("later").after(Duration::from_millis(1500)).from_checkpoint().into_wire();
        assert!(matches!(wire.kind, FailureKind::Retry(Retry { delay_ms: Some(1500), from_checkpoint: true })));
        let wire = Failure::fatal("never").after(Duration::from_secs(1)).with_details(&7).into_wire();
        assert!(matches!(wire.kind, FailureKind::Fatal));
        assert_eq!(wire.details.as_deref(), Some("7"));
    }
}

//! Says at the place where something goes wrong what is to come of it, where the type of the error alone
//! does not know.

use std::fmt::Display;
use std::panic::Location;
use std::time::Duration;

use crate::failure::Failure;

/// Chooses what a `?` makes of an error, or of a value that is not there.
///
/// ```
/// use std::time::Duration;
/// use pawl_sdk::{Failure, OrFail};
///
/// fn reading(line: &str) -> Result<u32, Failure> {
///     let (_, number) = line.split_once('=').context("the meter sent half a line").retry()?;
///     let number: u32 = number.parse().context("reading the meter").retry_after(Duration::from_secs(5))?;
///     u32::checked_sub(number, 100).fatal()
/// }
///
/// assert_eq!(reading("m=142").unwrap(), 42);
/// assert!(!reading("m").unwrap_err().is_fatal());
/// assert_eq!(reading("m=x").unwrap_err().to_string(), "reading the meter: invalid digit found in string");
/// assert!(reading("m=7").unwrap_err().is_fatal());
/// ```
///
/// On a `Result`, the error becomes the [`Failure`] that `?` would make of it, with what these methods change.
/// On an `Option`, nothing is a fatal failure: what is not there now will not be there for the same input.
pub trait OrFail<T>: Sized {
    /// The value, or the failure that `?` makes without more words.
    ///
    /// # Errors
    /// That failure.
    fn or_fail(self) -> Result<T, Failure>;

    /// Another attempt would fail the same way.
    ///
    /// # Errors
    /// A fatal failure if there is no value.
    #[track_caller]
    fn fatal(self) -> Result<T, Failure> {
        self.or_fail().map_err(Failure::into_fatal)
    }

    /// Another attempt may help; the step's retry policy decides whether and when.
    ///
    /// # Errors
    /// A failure worth a retry if there is no value.
    #[track_caller]
    fn retry(self) -> Result<T, Failure> {
        self.or_fail().map_err(Failure::into_retry)
    }

    /// The same, after this delay instead of the policy's.
    ///
    /// # Errors
    /// A failure worth a retry if there is no value.
    #[track_caller]
    fn retry_after(self, delay: Duration) -> Result<T, Failure> {
        self.or_fail().map_err(|failure| failure.into_retry().after(delay))
    }

    /// Says what was being done (on an `Option`: what is missing), for the person who reads the failure.
    ///
    /// # Errors
    /// The failure with these words, if there is no value.
    fn context(self, what: impl Display) -> Result<T, Failure> {
        self.with_context(|| what)
    }

    /// The same with words that are made only when they are needed.
    ///
    /// # Errors
    /// The failure with these words, if there is no value.
    fn with_context<C: Display>(self, what: impl FnOnce() -> C) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> OrFail<T> for Result<T, E> {
    fn or_fail(self) -> Result<T, Failure> {
        self.map_err(Into::into)
    }

    fn with_context<C: Display>(self, what: impl FnOnce() -> C) -> Result<T, Failure> {
        self.map_err(|error| error.into().context(what()))
    }
}

impl<T> OrFail<T> for Option<T> {
    #[track_caller]
    fn or_fail(self) -> Result<T, Failure> {
        match self {
            Some(value) => Ok(value),
            None => Err(Failure::fatal(format!("there is nothing at {}", Location::caller()))),
        }
    }

    fn with_context<C: Display>(self, what: impl FnOnce() -> C) -> Result<T, Failure> {
        self.ok_or_else(|| Failure::fatal(what().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    fn unreadable() -> Result<u8, std::num::ParseIntError> {
        "x".parse()
    }

    #[test]
    fn the_choice_at_the_place_goes_over_the_type() {
        assert!(unreadable().or_fail().unwrap_err().is_fatal());
        assert!(!unreadable().retry().unwrap_err().is_fatal());
        let gone: Result<u8, http::Error> = Err(http::Error::Timeout);
        assert!(gone.clone().fatal().unwrap_err().is_fatal());
        assert!(!gone.or_fail().unwrap_err().is_fatal());
    }

    #[test]
    fn words_go_before_the_message_and_change_nothing_else() {
        let failure = unreadable().retry_after(Duration::from_secs(2)).context("the meter").unwrap_err();
        assert_eq!(failure.to_string(), "the meter: invalid digit found in string");
        assert_eq!(failure.wishes().and_then(|retry| retry.delay_ms), Some(2_000));
    }

    #[test]
    fn a_wish_outlives_a_second_choice_of_the_same_kind() {
        let failure = unreadable().retry_after(Duration::from_secs(2)).retry().unwrap_err();
        assert_eq!(failure.wishes().and_then(|retry| retry.delay_ms), Some(2_000));
        assert_eq!(failure.into_fatal().into_retry().wishes().and_then(|retry| retry.delay_ms), None);
    }

    #[test]
    fn nothing_names_its_place_or_what_is_missing() {
        let line = line!() + 1;
        let failure = None::<u8>.fatal().unwrap_err();
        assert!(failure.to_string().contains(&format!("or_fail.rs:{line}:")), "{failure}");
        let failure = None::<u8>.context("the table has no header").unwrap_err();
        assert!(failure.is_fatal());
        assert_eq!(failure.to_string(), "the table has no header");
        assert_eq!(Some(7).retry().unwrap(), 7);
    }
}

//! What a suspended step waits for, and what a signal may be.

use super::journal::Entry;

/// A signal's name, bytes.
const NAME_BYTES: usize = 1 << 10;

/// A hundred years, ms: no wait or delay is longer. A guest that waits longer means for ever; the database's clock ends
/// before some of what a guest can say.
pub const LONGEST_MS: u64 = 100 * 365 * 86_400_000;

/// What a step waits for. It holds no worker meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A time.
    Sleep {
        /// From the commit of the suspension on.
        duration_ms: u64,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: String,
        /// From the commit of the suspension on; without it, as long as it takes.
        timeout_ms: Option<u64>,
    },
}

impl Wait {
    /// What the journal holds of it. It is recorded in the same commit as the suspension.
    #[must_use]
    pub fn entry(&self) -> Entry {
        match self {
            Self::Sleep { duration_ms } => Entry::Slept { duration_ms: *duration_ms },
            Self::Signal { name, timeout_ms } => Entry::Awaited { name: name.clone(), timeout_ms: *timeout_ms },
        }
    }

    /// The signal that ends it.
    #[must_use]
    pub fn signal(&self) -> Option<&str> {
        match self {
            Self::Sleep { .. } => None,
            Self::Signal { name, .. } => Some(name),
        }
    }

    /// After how long it is over at the latest.
    #[must_use]
    pub fn due_after_ms(&self) -> Option<u64> {
        let asked = match self {
            Self::Sleep { duration_ms } => Some(*duration_ms),
            Self::Signal { timeout_ms, .. } => *timeout_ms,
        };
        asked.map(|ms| ms.min(LONGEST_MS))
    }
}

/// Checks the name of a signal, from a guest or from a sender.
///
/// # Errors
/// The rule that it breaks, to follow on "the name of a signal ".
pub fn check_signal_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("is empty".to_owned())
    } else if name.len() > NAME_BYTES {
        Err(format!("may have {NAME_BYTES} bytes, this one has {}", name.len()))
    } else if name.chars().any(char::is_control) {
        Err("may have no control characters".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_due_in_a_time_that_a_database_can_tell() {
        assert_eq!(Wait::Sleep { duration_ms: 7 }.due_after_ms(), Some(7));
        assert_eq!(Wait::Sleep { duration_ms: u64::MAX }.due_after_ms(), Some(LONGEST_MS));
        assert_eq!(Wait::Signal { name: "a".into(), timeout_ms: None }.due_after_ms(), None);
    }

    #[test]
    fn names_of_signals_stand_in_lines_and_paths() {
        for good in ["approved", "order 17/ready", "ü", &"x".repeat(NAME_BYTES)] {
            assert_eq!(check_signal_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a\nb", "a\0b", &"x".repeat(NAME_BYTES + 1)] {
            assert!(check_signal_name(bad).is_err(), "{bad:?}");
        }
    }
}

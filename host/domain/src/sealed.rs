//! Payloads at rest: of a namespace that seals them, whatever guests and clients say is kept sealed, each payload bound to its
//! place in its run. States, times, names, events and what failures say are not: listings, `explain` and recovery read no payload.
//!
//! Each run has a key of its own ([`Seal`]). Whoever has it opens what is read, and seals what is written; stores carry bytes.

use std::fmt;
use std::sync::Arc;

use pawl_base::envelope::Closed;
use pawl_base::sealing::{Key, OVERHEAD};

use crate::id::StepNo;

/// Where a payload belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The run's input.
    Input,
    /// The output of that step.
    Output(StepNo),
    /// The entries of that step that were written together, by the position of the first.
    Row(StepNo, u32),
    /// The state of that step's checkpoint, by its ordinal.
    State(StepNo, u32),
    /// What a signal carries. Which step takes it, and its number, are not known when it is sealed.
    Signal,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("input"),
            Self::Output(step) => write!(f, "output/{step}"),
            Self::Row(step, first) => write!(f, "row/{step}/{first}"),
            Self::State(step, ordinal) => write!(f, "state/{step}/{ordinal}"),
            Self::Signal => f.write_str("signal"),
        }
    }
}

/// What a run's payloads are sealed with; by default nothing: they are in the clear.
#[derive(Debug, Clone, Default)]
pub struct Seal(Option<Arc<Key>>);

impl Seal {
    /// Nothing's.
    pub const CLEAR: Self = Self(None);

    /// That key's.
    #[must_use]
    pub fn of(key: Key) -> Self {
        Self(Some(Arc::new(key)))
    }

    /// Whether payloads are in the clear.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.0.is_none()
    }

    /// A payload as it is kept.
    #[must_use]
    pub fn seal(&self, place: Place, payload: Vec<u8>) -> Vec<u8> {
        match &self.0 {
            None => payload,
            Some(key) => key.seal(&place.to_string(), &payload),
        }
    }

    /// What so many bytes that are kept were as a payload.
    #[must_use]
    pub fn payload_bytes(&self, kept: usize) -> usize {
        if self.is_clear() { kept } else { kept.saturating_sub(OVERHEAD) }
    }

    /// A payload that is kept.
    ///
    /// # Errors
    /// [`Closed::Damaged`].
    pub fn open(&self, place: Place, kept: Vec<u8>) -> Result<Vec<u8>, Closed> {
        match &self.0 {
            None => Ok(kept),
            Some(key) => key.open(&place.to_string(), kept),
        }
    }
}

/// Which key seals the payloads of runs that a namespace submits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// None.
    Clear,
    /// Its newest.
    On,
    /// Its keys were erased, and nobody has said since what is to be done with new runs.
    Erased,
}

/// What has become of the newest key of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestKey {
    /// Somebody has said that new runs are in the clear.
    pub is_retired: bool,
    /// It is gone.
    pub is_erased: bool,
}

impl Sealing {
    /// By the newest key, if there is one. A namespace whose keys were erased takes no run until somebody has said what is to be
    /// done with them: those who erase would not expect that what follows is in the clear.
    #[must_use]
    pub fn of(newest: Option<NewestKey>) -> Self {
        match newest {
            None | Some(NewestKey { is_retired: true, .. }) => Self::Clear,
            Some(NewestKey { is_erased: true, .. }) => Self::Erased,
            Some(_) => Self::On,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_seals_by_its_newest_key_and_takes_nothing_when_that_is_erased() {
        let newest = |is_retired, is_erased| Sealing::of(Some(NewestKey { is_retired, is_erased }));
        assert_eq!((Sealing::of(None), newest(false, false)), (Sealing::Clear, Sealing::On));
        assert_eq!((newest(true, false), newest(false, true)), (Sealing::Clear, Sealing::Erased));
        assert_eq!(newest(true, true), Sealing::Clear, "somebody has said so since");
    }

    #[test]
    fn what_is_in_the_clear_stays_as_it_is() {
        let clear = Seal::default();
        assert!(clear.is_clear());
        assert_eq!(clear.seal(Place::Input, b"1".to_vec()), b"1");
        assert_eq!(clear.open(Place::Signal, b"1".to_vec()), Ok(b"1".to_vec()));
    }

    #[test]
    fn no_two_places_have_one_name() {
        let (one, two) = (StepNo(1), StepNo(11));
        let places = [
            Place::Input,
            Place::Signal,
            Place::Output(one),
            Place::Output(two),
            Place::Row(one, 11),
            Place::Row(two, 1),
            Place::State(one, 11),
            Place::State(two, 1),
        ];
        let names: std::collections::BTreeSet<_> = places.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), places.len());
    }
}

//! Payloads as they are kept: of a namespace that seals, whatever guests and clients say is sealed, each payload bound to its place in
//! its run. Each run has a key of its own ([`Seal`]). Whoever has it opens what is read, and seals what is written; stores carry bytes.

use std::fmt;
use std::sync::Arc;

use pawl_base::envelope::Closed;
use pawl_base::sealing::{Key, OVERHEAD};
use pawl_domain::id::StepNo;
use pawl_domain::journal::{Checkpoint, Segment};

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

    /// Entries of that step, as they are kept.
    #[must_use]
    pub fn segment(&self, step: StepNo, segment: Segment) -> Segment {
        Segment { bytes: self.seal(Place::Row(step, segment.first), segment.bytes), ..segment }
    }

    /// A checkpoint of that step, as it is kept.
    #[must_use]
    pub fn checkpoint(&self, step: StepNo, checkpoint: Checkpoint) -> Checkpoint {
        Checkpoint { state: self.seal(Place::State(step, checkpoint.ordinal), checkpoint.state), ..checkpoint }
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

#[cfg(test)]
mod tests {
    use super::*;

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

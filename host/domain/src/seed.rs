//! What the secure random bytes of a step are made of: chance from the system, recorded in the step's journal where it first
//! draws such bytes. Whoever may not read the journal can't compute them; a replay repeats them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Digest, StepId};

/// 256 bits that nobody guesses.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed(pub [u8; 32]);

/// It stands in no log.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

impl Seed {
    /// `len` bytes of the step's secure stream from `position` on.
    #[must_use]
    pub fn bytes(&self, step: StepId, once: Option<Digest>, position: u64, len: u32) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"pawl secure random bytes of a step, v1");
        drawn(hasher, step, once, position, len)
    }
}

/// `len` bytes, from `position` on, of the stream of a step under this hasher. A `once` has a stream of its own, since a finished
/// one is skipped with all that was drawn inside.
pub(crate) fn drawn(
    mut hasher: blake3::Hasher,
    step: StepId,
    once: Option<Digest>,
    position: u64,
    len: u32,
) -> Vec<u8> {
    hasher.update(step.run.0.as_bytes()).update(&step.step.0.to_be_bytes());
    if let Some(once) = once {
        hasher.update(&once.0);
    }
    let mut stream = hasher.finalize_xof();
    stream.set_position(position);
    let mut bytes = vec![0; len as usize];
    stream.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RunId, StepNo};
    use crate::namespace::Namespace;

    #[test]
    fn the_bytes_are_the_seeds_the_steps_and_the_places() {
        let run = RunId::from_idempotency_key(&Namespace::default(), "order-17");
        let step = |number| StepId { run, step: StepNo(number) };
        let drawn = Seed([1; 32]).bytes(step(0), None, 0, 64);
        assert_eq!(drawn[16..], Seed([1; 32]).bytes(step(0), None, 16, 48));
        for other in [
            Seed([2; 32]).bytes(step(0), None, 0, 64),
            Seed([1; 32]).bytes(step(1), None, 0, 64),
            Seed([1; 32]).bytes(step(0), Some(Digest::of(b"once")), 0, 64),
            Seed([1; 32]).bytes(step(0), None, 64, 64),
        ] {
            assert_ne!(drawn, other);
        }
    }

    /// Computed by another program than this one.
    #[test]
    fn the_bytes_are_the_same_in_every_build() {
        let run = RunId::from_idempotency_key(&Namespace::default(), "order-17");
        let step = |number| StepId { run, step: StepNo(number) };
        let once = Some(Digest::of(b"once"));
        let seed = Seed([1; 32]);
        for (drawn, expected) in [
            (seed.bytes(step(0), None, 0, 8), 0x7406_a6ec_8b9c_917c_u64),
            (seed.bytes(step(0), None, 70, 8), 0x2bd9_8582_106a_ec6f),
            (seed.bytes(step(3), once, 0, 8), 0x9b5c_653c_3301_6d48),
        ] {
            assert_eq!(drawn, expected.to_be_bytes());
        }
    }

    #[test]
    fn nobody_prints_a_seed() {
        assert_eq!(format!("{:?}", Seed([7; 32])), "Seed(…)");
    }
}

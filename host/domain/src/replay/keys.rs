//! What is derived from a step's identity: the keys of its effects and its random bytes. Both must be the
//! same in every attempt and on every worker, so nothing else goes in.

use crate::id::{Digest, StepId};
use crate::seed::drawn;

/// What an effect's key is made of, besides run and step.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyOf<'a> {
    /// The guest named the effect.
    Name(&'a str),
    /// The effect's place among the step's effects.
    Ordinal(u32),
    /// A `once`.
    Once(&'a str),
    /// A named effect inside a `once` with this key.
    NameInOnce(Digest, &'a str),
    /// The place of an effect inside a `once` with this key.
    OrdinalInOnce(Digest, u32),
}

/// The key of an effect. A step that a person had done again, in such a `round`, has other keys than before: what it sends
/// then may be something else.
pub(super) fn key(step: StepId, round: Option<i64>, of: KeyOf<'_>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("pawl idempotency key of an effect, v1");
    hasher.update(step.run.0.as_bytes()).update(&step.step.0.to_be_bytes());
    if let Some(round) = round {
        hasher.update(&[0xff]).update(&round.to_be_bytes());
    }
    // The first byte keeps the kinds apart: all after it has a fixed length but for one last part.
    match of {
        KeyOf::Name(name) => hasher.update(&[0]).update(name.as_bytes()),
        KeyOf::Ordinal(ordinal) => hasher.update(&[1]).update(&ordinal.to_be_bytes()),
        KeyOf::Once(name) => hasher.update(&[2]).update(name.as_bytes()),
        KeyOf::NameInOnce(once, name) => hasher.update(&[3]).update(&once.0).update(name.as_bytes()),
        KeyOf::OrdinalInOnce(once, ordinal) => hasher.update(&[4]).update(&once.0).update(&ordinal.to_be_bytes()),
    };
    Digest(*hasher.finalize().as_bytes())
}

/// `len` bytes of the step's random stream from `position` on.
pub(super) fn random(step: StepId, once: Option<Digest>, position: u64, len: u32) -> Vec<u8> {
    drawn(blake3::Hasher::new_derive_key("pawl random bytes of a step, v1"), step, once, position, len)
}

/// What hash maps are seeded with.
pub(super) fn seed(step: StepId) -> (u64, u64) {
    let mut hasher = blake3::Hasher::new_derive_key("pawl seed of a step, v1");
    hasher.update(step.run.0.as_bytes()).update(&step.step.0.to_be_bytes());
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    let [first, second] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index])));
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RunId, StepNo};
    use crate::namespace::Namespace;

    /// Computed by another program than this one: a step that was begun by an older build draws on where it was.
    #[test]
    fn random_bytes_are_the_same_in_every_build() {
        let run = RunId::from_idempotency_key(&Namespace::default(), "order-17");
        let step = |number| StepId { run, step: StepNo(number) };
        let once = Some(Digest::of(b"once"));
        for (drawn, expected) in [
            (random(step(0), None, 0, 8), 0x1181_bb01_b22a_746c_u64),
            (random(step(0), None, 70, 8), 0xac13_ab0e_fbd1_9e36),
            (random(step(3), once, 0, 8), 0x3c3f_3bd0_3bc8_a73c),
        ] {
            assert_eq!(drawn, expected.to_be_bytes());
        }
    }
}

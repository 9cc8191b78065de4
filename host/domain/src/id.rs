//! Identifiers. Newtypes, so that a fence can't be passed for a step number.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::namespace::Namespace;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(extend("format" = "uuid"))]
        pub struct $name(#[schemars(with = "String")] pub Uuid);

        impl $name {
            /// A new id; ids made later sort later, which keeps index pages dense.
            #[must_use]
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id! {
    /// One execution of one pipeline version on one input.
    RunId
}
uuid_id! {
    /// One start of a worker process; a process whose lease ran out takes a new one.
    WorkerId
}
uuid_id! {
    /// One database with all that works on it: what it shares with others, a queue's server for instance, it marks with
    /// this.
    InstallationId
}

/// The bits of a run id that are its slot: the lowest.
const SLOT_BITS: u32 = 12;

impl RunId {
    /// How many slots there are.
    pub const SLOTS: u16 = 1 << SLOT_BITS;

    /// The id of a submission with an idempotency key: namespace and key alone decide it, so that two submissions
    /// with one key meet in one row, on whichever API node they arrive.
    #[must_use]
    pub fn from_idempotency_key(namespace: &Namespace, key: &str) -> Self {
        let name = namespace.as_str();
        let mut hasher = blake3::Hasher::new_derive_key("pawl run id of a namespace's idempotency key, v1");
        // The length first: no end of a name can be taken for the beginning of a key.
        hasher.update(&(name.len() as u64).to_be_bytes()).update(name.as_bytes()).update(key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// A new id for a run that is started by another: in the slot of the run at its root, so that all of them live in
    /// one database.
    #[must_use]
    pub fn child_of(root: Self) -> Self {
        Self::new().with_slot(root.slot())
    }

    /// Where the run lives, from 0 to [`Self::SLOTS`] - 1: slots are spread over databases. The ids of runs at the
    /// root are spread over slots: these bits are random in a new id, and of a digest in one from a key.
    #[must_use]
    pub fn slot(self) -> u16 {
        (self.0.as_u128() % u128::from(Self::SLOTS)) as u16
    }

    fn with_slot(self, slot: u16) -> Self {
        let above = self.0.as_u128() >> SLOT_BITS << SLOT_BITS;
        Self(Uuid::from_u128(above | u128::from(slot)))
    }
}

/// A step's place in its pipeline, from 0, in an order that respects `needs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StepNo(pub i32);

impl fmt::Display for StepNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct StepId {
    /// The run.
    pub run: RunId,
    /// The step's number in it.
    pub step: StepNo,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.step)
    }
}

/// A number of a step that grows with every claim; a write that carries a stale one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A blake3 digest: 32 bytes, 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of a submission: what it asks for, by which two under one key are told apart.
    #[must_use]
    pub fn of_request(pipeline: &str, input: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(pipeline.len() as u64).to_be_bytes());
        hasher.update(pipeline.as_bytes());
        hasher.update(input);
        Self(*hasher.finalize().as_bytes())
    }

    /// The first 12 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = std::array::TryFromSliceError;
    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl TryFrom<String> for Digest {
    type Error = blake3::HexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = blake3::HexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text).map(|hash| Self(*hash.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// As many as fill each slot ten times on average.
    fn ten_for_each_slot(id: impl Fn(u32) -> RunId) -> Vec<u32> {
        let mut counts = vec![0; usize::from(RunId::SLOTS)];
        for number in 0..10 * u32::from(RunId::SLOTS) {
            counts[usize::from(id(number).slot())] += 1;
        }
        counts
    }

    #[test]
    fn runs_at_the_root_are_spread_over_all_slots() {
        let keyed = |number: u32| RunId::from_idempotency_key(&Namespace::default(), &number.to_string());
        for counts in [ten_for_each_slot(|_| RunId::new()), ten_for_each_slot(keyed)] {
            // Of chance: e^-10 of the slots stay empty, and none gets four times its share.
            assert!(counts.iter().filter(|count| **count == 0).count() < 10, "slots that nothing falls into");
            assert!(counts.iter().all(|count| *count < 40), "a slot that much falls into");
            // Whatever few bits decide about a database.
            for part in counts.chunks(counts.len() / 16) {
                assert!((2_000..3_200).contains(&part.iter().sum::<u32>()), "a sixteenth gets its share of 2,560");
            }
        }
    }

    #[test]
    fn a_child_has_an_id_of_its_own_in_the_slot_of_its_root() {
        let root = RunId::from_idempotency_key(&Namespace::default(), "order-17");
        let children: HashSet<RunId> = (0..100).map(|_| RunId::child_of(root)).collect();
        assert_eq!(children.len(), 100);
        assert!(children.iter().all(|child| child.slot() == root.slot() && child.0.get_version_num() == 7));
        assert_eq!(RunId::new().with_slot(RunId::SLOTS - 1).slot(), 4_095);
    }

    #[test]
    fn a_key_belongs_to_its_namespace() {
        let id = |namespace: &str, key| RunId::from_idempotency_key(&namespace.parse().expect("a name"), key);
        assert_eq!(id("default", "order-17"), id("default", "order-17"));
        assert_ne!(id("default", "order-17"), id("default", "order-18"));
        assert_ne!(id("a", "bc"), id("ab", "c"), "whose it is and what it says are not run together");
    }
}

//! A step's past over the wire: what a replay elsewhere needs. Bytes are in hexadecimal digits.

use pawl_domain::id::{Digest, StepId};
use pawl_domain::journal::{Checkpoint, Held, History, Unreadable, pack, unpack};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `GET /v1/runs/{id}/steps/{step}/journal`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StepJournal {
    /// Run and number of the step, of which its keys are made.
    pub id: StepId,
    /// Its name in the pipeline.
    pub step: String,
    /// The component that it has.
    pub component: Digest,
    /// The component that made the journal.
    pub recorded_by: Digest,
    /// Attempts that failed before: the guest is told.
    pub failures: u32,
    /// As the pipeline gives it.
    pub config: Box<RawValue>,
    /// What it was given: the run's input, or the outputs of the steps that it needs.
    pub input: Box<RawValue>,
    /// The names of the secrets that the pipeline grants; values are not told.
    pub secrets: Vec<String>,
    /// How long an attempt may take.
    pub timeout_ms: u64,
    /// Entries in the whole journal.
    pub length: u32,
    /// From where a replay goes on; none if the guest has saved nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<SavedState>,
    /// What a replay touches.
    pub segments: Vec<PackedEntries>,
    /// Signals that were given to the step.
    pub signals: Vec<GivenSignal>,
}

/// What a guest saved, and the positions that it stands for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SavedState {
    /// Grows with every checkpoint of the step: it orders two at one position.
    pub ordinal: u32,
    /// How many entries stand before it.
    pub position: u32,
    /// Bytes drawn from the generator before it.
    pub random_position: u64,
    /// Effects begun before it: the ordinal of the next one.
    pub effect_ordinal: u32,
    /// Where the guest first asked for its state.
    pub prelude: Option<u32>,
    /// As the guest wrote it.
    #[serde(with = "hex")]
    #[schemars(with = "Hex")]
    pub state: Vec<u8>,
}

/// Entries that follow each other, packed as in the store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PackedEntries {
    /// The position of the first one.
    pub first: u32,
    /// Read with `pawl_domain::journal::unpack`.
    #[serde(with = "hex")]
    #[schemars(with = "Hex")]
    pub entries: Vec<u8>,
}

/// A signal that answers an entry.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GivenSignal {
    /// Where the entry of the wait stands in the journal.
    pub position: u32,
    /// What it carries.
    #[serde(with = "hex")]
    #[schemars(with = "Hex")]
    pub payload: Vec<u8>,
}

/// The wire's form of a history: checkpoint, segments, signals.
pub type Packed = (Option<SavedState>, Vec<PackedEntries>, Vec<GivenSignal>);

/// Packs a history for the wire.
#[must_use]
pub fn pack_history(history: History) -> Packed {
    let checkpoint = history.checkpoint.map(|checkpoint| {
        let Checkpoint { ordinal, position, random_position, effect_ordinal, prelude, state, .. } = checkpoint;
        SavedState { ordinal, position, random_position, effect_ordinal, prelude, state }
    });
    let segments = history.segments.iter();
    let segments = segments.map(|(first, entries)| PackedEntries { first: *first, entries: pack(entries) }).collect();
    let signals = history.signals.into_iter().map(|(position, payload)| GivenSignal { position, payload }).collect();
    (checkpoint, segments, signals)
}

impl StepJournal {
    /// What a replay starts from.
    ///
    /// # Errors
    /// [`Unreadable`] if it was written by a newer Pawl.
    pub fn history(&self) -> Result<History, Unreadable> {
        let checkpoint = self.checkpoint.clone().map(|saved| {
            let SavedState { ordinal, position, random_position, effect_ordinal, prelude, state } = saved;
            let held = Held::default();
            Checkpoint { ordinal, position, random_position, effect_ordinal, prelude, state, held }
        });
        let segments = self.segments.iter().map(|packed| Ok((packed.first, unpack(&packed.entries)?)));
        let signals = self.signals.iter().map(|signal| (signal.position, signal.payload.clone())).collect();
        Ok(History {
            checkpoint,
            segments: segments.collect::<Result<_, Unreadable>>()?,
            length: self.length,
            signals,
            recorded_by: Some(self.recorded_by),
        })
    }
}

/// Bytes as pairs of hexadecimal digits.
#[derive(JsonSchema)]
#[schemars(inline, extend("pattern" = "^([0-9a-f]{2})*$"))]
struct Hex(#[expect(dead_code, reason = "tells only what a text is like")] String);

/// Bytes as hexadecimal digits.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let digits =
            bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)]));
        serializer.serialize_str(&digits.collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        });
        pairs.collect::<Option<_>>().ok_or_else(|| D::Error::custom("bytes are written as pairs of hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::id::{RunId, StepNo};
    use pawl_domain::journal::Entry;

    #[test]
    fn a_history_survives_the_wire() {
        let checkpoint = Checkpoint {
            ordinal: 1,
            position: 2,
            random_position: 3,
            effect_ordinal: 4,
            prelude: Some(0),
            state: vec![0, 127, 255],
            held: Held::default(),
        };
        let history = History {
            checkpoint: Some(checkpoint),
            segments: vec![(0, vec![Entry::Now { unix_ns: 1 }]), (2, vec![Entry::Slept { duration_ms: 2 }])],
            length: 3,
            signals: vec![(1, b"true".to_vec())],
            recorded_by: Some(Digest::of(b"a")),
        };
        let (checkpoint, segments, signals) = pack_history(history.clone());
        let null = || RawValue::from_string("null".into()).unwrap();
        let journal = StepJournal {
            id: StepId { run: RunId(uuid::Uuid::nil()), step: StepNo(1) },
            step: "load".into(),
            component: Digest::of(b"b"),
            recorded_by: Digest::of(b"a"),
            failures: 0,
            config: null(),
            input: null(),
            secrets: vec![],
            timeout_ms: 1,
            length: 3,
            checkpoint,
            segments,
            signals,
        };
        let json = serde_json::to_string(&journal).unwrap();
        let read: StepJournal = serde_json::from_str(&json).unwrap();
        assert_eq!(read.history().unwrap(), history);
        let broken = json.replace("\"007fff\"", "\"007ff\"");
        assert!(serde_json::from_str::<StepJournal>(&broken).is_err(), "half a byte is none");
    }
}

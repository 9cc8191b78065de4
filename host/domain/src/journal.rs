//! What the outside world answered to a step, in order, and how it is packed.
//!
//! An *entry* is one answer; a *segment* is all entries of a step in one batch, packed into one row of
//! the journal. Positions count entries from 0. Entries are appended to the enum only at its end: old
//! journals must stay readable.
//!
//! An older build meets what a newer one has written when it takes a step over. It must fail no step by that, but leave it to
//! a newer one ([`Unreadable::Newer`]). So whoever adds a kind of entry raises [`KNOWN`]'s `kinds`, which a test asks for; and
//! whoever changes how a kind is packed, or gives one of its parts another variant, raises its `format`.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::Digest;
use super::seed::Seed;

#[cfg(test)]
mod tests;

/// One answer of the outside world, in the order in which the guest asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// The facts of the attempt that the guest asked for.
    Context {
        /// Failed attempts so far, plus one.
        attempt: u32,
        /// When the attempt is stopped, in ms since 1970.
        deadline_ms: u64,
    },
    /// A clock reading, in ns since 1970.
    Now {
        /// ns since 1970
        unix_ns: u64,
    },
    /// A safe request and its answer.
    Fetched {
        /// What was asked.
        request: RequestSummary,
        /// What came back.
        answer: HttpAnswer,
    },
    /// An effect is about to leave; durable before it does.
    Intent {
        /// The idempotency key it carries.
        key: Digest,
        /// What is asked.
        request: RequestSummary,
    },
    /// The answer to the intent of the same key.
    Answered {
        /// The key of the intent.
        key: Digest,
        /// What came back.
        answer: HttpAnswer,
    },
    /// The guest began an effect of its own.
    OnceBegun {
        /// The guest's name for it.
        name: String,
    },
    /// The guest finished the effect begun last.
    OnceFinished {
        /// The guest's name for it.
        name: String,
        /// What it will be given in place of doing it again.
        value: Vec<u8>,
    },
    /// A note, not an answer: an effect with this key and request left in an attempt whose journal was
    /// cut, so the same key must not leave with another request.
    Attempted {
        /// The key that left.
        key: Digest,
        /// The request it left with.
        request: RequestSummary,
    },
    /// A note, not an answer: a `once` of this name was finished in an attempt whose journal was cut to its
    /// checkpoint. Results of `once` stay.
    OnceKept {
        /// The guest's name for it.
        name: String,
        /// What the guest is given in place of doing it again.
        value: Vec<u8>,
    },
    /// The guest let time pass. Recorded in the commit that suspended the step: if it stands there, the time
    /// has passed.
    Slept {
        /// As the guest gave it.
        duration_ms: u64,
    },
    /// The guest waited for a signal. Recorded like [`Entry::Slept`]; its answer is the signal that was given
    /// to this position, or none if the time was over first.
    Awaited {
        /// The signal's name.
        name: String,
        /// As the guest gave it.
        timeout_ms: Option<u64>,
    },
    /// A note, not an answer: what the guest's own clock showed at the checkpoint before it. A guest that goes on from
    /// there compares with what it read before.
    Elapsed {
        /// ns since the step's beginning, as `wasi:clocks/monotonic-clock` tells it.
        monotonic_ns: u64,
    },
    /// A note, not an answer, and the first entry: a person had the step done again from its start. What it did before is
    /// gone, and what it does from here on leaves under other keys.
    Again {
        /// Which time it is: another number each time.
        round: i64,
    },
    /// A note, not an answer: what the step's secure random bytes are made of from here on. It was made when the guest first
    /// drew some, and stays through retries; behind each checkpoint it stands again.
    Seeded {
        /// From the system.
        seed: Seed,
    },
}

/// What identifies a request in a replay; headers are not matched, since the host adds some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSummary {
    /// Upper case.
    pub method: String,
    /// As the guest gave it.
    pub url: String,
    /// Digest of the body's bytes.
    pub body: Digest,
}

/// What came back from a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpAnswer {
    /// A whole response.
    Response {
        /// For example 200.
        status: u16,
        /// In the order received.
        headers: Vec<(String, String)>,
        /// The whole body.
        body: Vec<u8>,
    },
    /// No connection; the request did not leave.
    Connect(String),
    /// No answer in time; an effect may have happened.
    Timeout,
    /// The connection broke; an effect may have happened.
    Broken(String),
    /// The body was larger than an entry may be, in bytes.
    TooLarge(u64),
    /// The host could make no request of it, so that nothing left; and why. Another version of the host may see it
    /// otherwise, so it is an answer like the others.
    Invalid(String),
}

impl HttpAnswer {
    /// Whether the target accepted the request, so that a retry must not repeat it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Response { status, .. } if *status < 400)
    }
}

/// What must be known to read a segment, or what a build knows: it reads all that needs no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Knowledge {
    /// The format of packed segments.
    pub format: u8,
    /// Of that format, so many kinds of entries: those of [`Entry`] in their order.
    pub kinds: u32,
}

/// What this build knows.
pub const KNOWN: Knowledge = Knowledge { format: 1, kinds: 14 };

/// As `1.14`.
impl fmt::Display for Knowledge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.format, self.kinds)
    }
}

/// As it is displayed.
impl FromStr for Knowledge {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (format, kinds) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { format: format.parse()?, kinds: kinds.parse()? })
    }
}

/// Packs entries into the bytes of one segment.
///
/// ```
/// use pawl_domain::journal::{pack, unpack, Entry};
/// let entries = [Entry::Now { unix_ns: 7 }];
/// assert_eq!(unpack(&pack(&entries)).unwrap(), entries);
/// ```
#[must_use]
pub fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = vec![KNOWN.format];
    for entry in entries {
        append(&mut bytes, entry);
    }
    bytes
}

/// Appends an entry to a segment under construction; an empty buffer becomes a segment first.
#[inline]
pub fn append(segment: &mut Vec<u8>, entry: &Entry) {
    if segment.is_empty() {
        segment.push(KNOWN.format);
    }
    postcard::to_io(entry, segment).expect("an entry can always be written to memory");
}

/// All entries of a step in one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The position of the first entry.
    pub first: u32,
    /// How many.
    pub length: u32,
    /// Packed by [`append`].
    pub bytes: Vec<u8>,
}

impl Segment {
    /// These entries, from position `first` on.
    #[must_use]
    pub fn of(first: u32, entries: &[Entry]) -> Self {
        Self { first, length: u32::try_from(entries.len()).unwrap_or(u32::MAX), bytes: pack(entries) }
    }
}

/// Reads the entries of one segment.
///
/// # Errors
/// [`Unreadable`] if the bytes are those of a newer build, or cut off.
pub fn unpack(segment: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    let (&format, mut rest) = segment.split_first().ok_or(Unreadable::Empty)?;
    match format.cmp(&KNOWN.format) {
        Ordering::Less => return Err(Unreadable::NoFormat(format)),
        Ordering::Equal => {}
        Ordering::Greater => return Err(Unreadable::Newer(Knowledge { format, kinds: 0 })),
    }
    let mut entries = Vec::new();
    while !rest.is_empty() {
        // An entry begins with its kind.
        let (kind, _) = postcard::take_from_bytes::<u32>(rest)?;
        if kind >= KNOWN.kinds {
            return Err(Unreadable::Newer(Knowledge { format, kinds: kind.saturating_add(1) }));
        }
        let (entry, tail) = postcard::take_from_bytes(rest)?;
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}

/// Why a segment can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No bytes at all.
    #[error("a journal segment is empty")]
    Empty,
    /// Written by a newer build, which knows at least that. Only who knows that the bytes are those that were written can say so:
    /// what was overwritten may look like that, too.
    #[error("a journal segment needs {0}, and this version of Pawl knows {KNOWN}")]
    Newer(Knowledge),
    /// There never was such a format.
    #[error("a journal segment has the format {0}, which there never was")]
    NoFormat(u8),
    /// Cut off or overwritten.
    #[error("a journal segment is damaged")]
    Damaged(#[from] postcard::Error),
}

/// A step's saved state and all that a resumed guest needs to stand at the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts the step's checkpoints from 1. It orders them: a guest may save twice without a journal
    /// entry in between, so the position alone can't.
    pub ordinal: u32,
    /// Journal entries before it.
    pub position: u32,
    /// Bytes drawn from the step's generator before it.
    pub random_position: u64,
    /// Effects begun before it: the ordinal of the next one.
    pub effect_ordinal: u32,
    /// Journal entries before the guest's first `restore()`; a resumed guest replays these, then jumps to
    /// `position`. `None` if the guest has not asked: then it will not ask when it is resumed either, and
    /// all entries are replayed.
    pub prelude: Option<u32>,
    /// What the guest saved.
    pub state: Vec<u8>,
    /// What the state is charged to, for as long as somebody holds it.
    pub held: Held,
}

/// Something that is given back when the last copy of this is dropped. It says nothing of the value that it goes along
/// with.
#[derive(Clone, Default)]
pub struct Held(Option<Arc<dyn Any + Send + Sync>>);

impl Held {
    /// Drops `charge` when the last copy is dropped.
    pub fn new(charge: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(charge)))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Held" } else { "Free" })
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

/// What is read of a step's past before an attempt: only what a replay will touch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The last checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Segments in order, as (position of the first entry, entries). Those between the prelude and the
    /// checkpoint are left out; so are all, and the checkpoint's state, where they are read as the guest comes to them
    /// (see [`Rest`](crate::replay::Rest)).
    pub segments: Vec<(u32, Vec<Entry>)>,
    /// Entries in the whole journal.
    pub length: u32,
    /// Signals that were given to the step, by the positions of their [`Entry::Awaited`]: JSON bytes.
    pub signals: Vec<(u32, Vec<u8>)>,
    /// The component that made the journal, if it is not the one that the step has now.
    pub recorded_by: Option<Digest>,
}

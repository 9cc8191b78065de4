//! What the test kit's journal holds: the host's entries, with calls and requests as they are in place of
//! their digests.

use std::fmt;

use super::answer::Reply;

/// A call that a journal can hold, with the arguments that are matched in a replay.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    Now,
    Fetch(Sent),
    Effect(Key, Sent),
    /// Waiting for the answer to the effect whose intent came before.
    Answer(Key),
    OnceBegin(String),
    OnceFinish(String),
    Sleep {
        duration_ms: u64,
    },
    AwaitSignal {
        name: String,
        timeout_ms: Option<u64>,
    },
    Restore,
}

/// What a request is matched by; headers are not, since the host adds some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) body: Vec<u8>,
}

/// An effect's idempotency key, in words. The host's are digests of the same parts.
pub(super) type Key = String;

/// What a call was answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Nothing,
    Time(u64),
    Http(Reply),
    Value(Vec<u8>),
    Signal(Option<String>),
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    Answered(Call, Told),
    /// The facts of the attempt, which are not matched by their place.
    Facts(Facts),
    /// A request left under this key in an attempt whose journal was cut.
    Attempted(Key, Sent),
    /// A `once` was finished in an attempt whose journal was cut.
    OnceKept(String, Vec<u8>),
}

impl Entry {
    pub(super) fn call(&self) -> Option<&Call> {
        match self {
            Self::Answered(call, _) => Some(call),
            _ => None,
        }
    }
}

/// The facts of an attempt that a step can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) attempt: u32,
    pub(super) deadline_ms: u64,
}

/// A saved state and all that a resumed step needs to stand at the same place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    /// Entries before it.
    pub(super) position: usize,
    /// Random bytes drawn before it.
    pub(super) random_position: u64,
    /// Effects begun before it.
    pub(super) effect_ordinal: u32,
    /// Entries before the first `restore`; `None` if the step has not asked.
    pub(super) prelude: Option<usize>,
    pub(super) state: Vec<u8>,
}

/// As it stands in the message about a divergence.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("durable.now()"),
            Self::Fetch(sent) | Self::Effect(_, sent) => write!(f, "http.send({sent})"),
            Self::Answer(key) => write!(f, "the answer to the effect {key}"),
            Self::OnceBegin(name) => write!(f, "durable.once-begin({name:?})"),
            Self::OnceFinish(name) => write!(f, "durable.once-finish({name:?})"),
            Self::Sleep { duration_ms } => write!(f, "durable.sleep({duration_ms} ms)"),
            Self::AwaitSignal { name, timeout_ms: Some(ms) } => write!(f, "durable.await-signal({name:?}, {ms} ms)"),
            Self::AwaitSignal { name, timeout_ms: None } => write!(f, "durable.await-signal({name:?})"),
            Self::Restore => f.write_str("durable.restore()"),
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)?;
        match String::from_utf8_lossy(&self.body) {
            body if body.is_empty() => Ok(()),
            body => write!(f, " {body}"),
        }
    }
}

//! The calls that a journal can hold, as the guest makes them. One type for both sides of a comparison:
//! a recorded entry and a call match exactly if the calls are equal.

use std::fmt;

use crate::id::Digest;
use crate::journal::{Entry, RequestSummary};

/// A call with the arguments that are matched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Call<'a> {
    Now,
    Fetch(&'a RequestSummary),
    Effect {
        key: Digest,
        request: &'a RequestSummary,
    },
    /// Waiting for the answer to the effect whose intent came before.
    Answer(Digest),
    OnceBegin(&'a str),
    OnceFinish(&'a str),
    /// For so many ms.
    Sleep(u64),
    AwaitSignal {
        name: &'a str,
        timeout_ms: Option<u64>,
    },
    Restore,
    /// Not a call: something that the replay machine takes in by itself.
    Note,
}

impl<'a> Call<'a> {
    /// The call that `entry` answers.
    pub(super) fn of(entry: &'a Entry) -> Self {
        match entry {
            Entry::Now { .. } => Self::Now,
            Entry::Fetched { request, .. } => Self::Fetch(request),
            Entry::Intent { key, request } => Self::Effect { key: *key, request },
            Entry::Answered { key, .. } => Self::Answer(*key),
            Entry::OnceBegun { name } => Self::OnceBegin(name),
            Entry::OnceFinished { name, .. } => Self::OnceFinish(name),
            Entry::Slept { duration_ms } => Self::Sleep(*duration_ms),
            Entry::Awaited { name, timeout_ms } => Self::AwaitSignal { name, timeout_ms: *timeout_ms },
            Entry::Attempted { .. }
            | Entry::OnceKept { .. }
            | Entry::Context { .. }
            | Entry::Elapsed { .. }
            | Entry::Again { .. }
            | Entry::Seeded { .. } => Self::Note,
        }
    }

    /// The first argument that differs between a recorded call and this one of the same kind.
    pub(super) fn difference_from(self, recorded: Self) -> Option<String> {
        match (recorded, self) {
            (Self::Fetch(recorded), Self::Fetch(now)) => request_difference(recorded, now),
            (Self::Effect { key: old, request: recorded }, Self::Effect { key, request: now }) => {
                let keys = || Some(format!("idempotency key: recorded {old}, now {key}"));
                request_difference(recorded, now).or_else(keys)
            }
            (Self::OnceBegin(recorded), Self::OnceBegin(now)) | (Self::OnceFinish(recorded), Self::OnceFinish(now)) => {
                Some(format!("key: recorded {recorded:?}, now {now:?}"))
            }
            (Self::Sleep(recorded), Self::Sleep(now)) => {
                Some(format!("duration: recorded {recorded} ms, now {now} ms"))
            }
            (
                Self::AwaitSignal { name: recorded, timeout_ms: recorded_ms },
                Self::AwaitSignal { name: now, timeout_ms: now_ms },
            ) => Some(if recorded == now {
                format!("timeout: recorded {}, now {}", timeout(recorded_ms), timeout(now_ms))
            } else {
                format!("name: recorded {recorded:?}, now {now:?}")
            }),
            _ => None,
        }
    }
}

fn timeout(timeout_ms: Option<u64>) -> String {
    timeout_ms.map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms"))
}

/// The first part of a request that differs.
pub(super) fn request_difference(recorded: &RequestSummary, now: &RequestSummary) -> Option<String> {
    if recorded.method != now.method {
        Some(format!("method: recorded {}, now {}", recorded.method, now.method))
    } else if recorded.url != now.url {
        Some(format!("url: recorded {}, now {}", recorded.url, now.url))
    } else if recorded.body != now.body {
        Some(format!("body: recorded digest {}, now {}", recorded.body.short(), now.body.short()))
    } else {
        None
    }
}

/// As people read it in a divergence report.
impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("durable.now()"),
            Self::Fetch(request) | Self::Effect { request, .. } => {
                write!(f, "http.send({} {})", request.method, request.url)
            }
            Self::Answer(key) => write!(f, "the answer to the effect {key}"),
            Self::OnceBegin(name) => write!(f, "durable.once-begin({name:?})"),
            Self::OnceFinish(name) => write!(f, "durable.once-finish({name:?})"),
            Self::Sleep(duration_ms) => write!(f, "durable.sleep({duration_ms} ms)"),
            Self::AwaitSignal { name, .. } => write!(f, "durable.await-signal({name:?})"),
            Self::Restore => f.write_str("durable.restore()"),
            Self::Note => f.write_str("a note"),
        }
    }
}

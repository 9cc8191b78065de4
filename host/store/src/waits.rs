//! What waits: steps that nobody executes until a signal comes, or a time. For those who look after many runs; what one run
//! waits for is told by [`crate::live`].

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId, StepId, StepNo};
use pawl_domain::namespace::Namespace;
use uuid::Uuid;

use super::Result;

/// Steps that one page looks at, at most: some are of other namespaces, or were stopped while they waited.
pub const LOOKED_AT: usize = 1_000;

/// Fewer are not worth a statement.
const PIECE: usize = 100;

/// The latest time that any database has, us since 1970.
const LATEST_US: i64 = 4_000_000_000_000_000;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitKind {
    /// What waits for a signal, by run.
    Signal,
    /// What goes on at a time, the soonest first: sleeps, retries, calls of hosts that are down, signals with a limit.
    Time,
}

/// A place in the order of one of the lists. The key is the signal, or the time in us since 1970, as hexadecimal digits, so that
/// each text of that form is a place in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitPlace {
    /// The step.
    pub step: StepId,
    key: String,
}

impl WaitPlace {
    /// Before all others.
    #[must_use]
    pub fn first() -> Self {
        Self { step: StepId { run: RunId(Uuid::nil()), step: StepNo(-1) }, key: String::new() }
    }

    /// Of a step that waits for a signal.
    #[must_use]
    pub fn of_signal(step: StepId, signal: &str) -> Self {
        Self { step, key: signal.bytes().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// Of a step that goes on at a time.
    #[must_use]
    pub fn of_time(step: StepId, due_us: i64) -> Self {
        Self { step, key: format!("{:x}", due_us.clamp(0, LATEST_US)) }
    }

    pub(crate) fn signal(&self) -> String {
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Vec<u8> = self.key.as_bytes().chunks(2).filter_map(pair).collect();
        // No signal's name has it, and no database takes it.
        String::from_utf8_lossy(&bytes).replace('\0', "")
    }

    pub(crate) fn due_us(&self) -> i64 {
        if self.key.is_empty() {
            0
        } else {
            i64::from_str_radix(&self.key, 16).map_or(LATEST_US, |us| us.min(LATEST_US))
        }
    }
}

/// Run, step and key, with a `/` in between.
impl fmt::Display for WaitPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.step, self.key)
    }
}

/// Text that is no [`WaitPlace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place among waits is RUN/STEP/KEY, as `next` of the page before says it")]
pub struct NoWaitPlace;

impl FromStr for WaitPlace {
    type Err = NoWaitPlace;

    fn from_str(text: &str) -> std::result::Result<Self, NoWaitPlace> {
        let mut parts = text.split('/');
        let (Some(run), Some(step), Some(key), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(NoWaitPlace);
        };
        let step = StepNo(step.parse().map_err(|_| NoWaitPlace)?);
        let step = StepId { run: run.parse().map_err(|_| NoWaitPlace)?, step };
        let is_hex = key.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if is_hex { Ok(Self { step, key: key.to_owned() }) } else { Err(NoWaitPlace) }
    }
}

/// A step that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitRow {
    /// Which one.
    pub step: StepId,
    /// Its run's.
    pub namespace: Namespace,
    /// The name of its run's pipeline, and its version.
    pub pipeline: String,
    /// See `pipeline`.
    pub pipeline_digest: Digest,
    /// It does so now: what was stopped keeps the signal that it waited for.
    pub waits: bool,
    /// It has called the host to wait; else it waits for its next attempt.
    pub has_asked: bool,
    /// The signal that wakes it.
    pub signal: Option<String>,
    /// When it goes on whatever comes, us since 1970.
    pub due_us: Option<i64>,
    /// Attempts that have failed before.
    pub failures: u32,
    /// The outside host that it waits for.
    pub origin: Option<String>,
}

impl WaitRow {
    fn place(&self, kind: WaitKind) -> WaitPlace {
        match kind {
            WaitKind::Signal => WaitPlace::of_signal(self.step, self.signal.as_deref().unwrap_or_default()),
            WaitKind::Time => WaitPlace::of_time(self.step, self.due_us.unwrap_or_default()),
        }
    }
}

/// A page of them, and the place at which the next one begins, if there may be one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitPage {
    /// In their order.
    pub rows: Vec<WaitRow>,
    /// Where to go on.
    pub next: Option<WaitPlace>,
}

/// Reading what waits.
#[async_trait]
pub trait Waits {
    /// Up to `limit` steps of all namespaces that have something to wait for, in the order of an index.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn waiting(&self, kind: WaitKind, after: &WaitPlace, limit: usize) -> Result<Vec<WaitRow>>;

    /// Up to `limit` steps of a namespace that wait. Of [`LOOKED_AT`] steps that is all; the next page goes on there.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    async fn waits(
        &self,
        namespace: &Namespace,
        kind: WaitKind,
        after: Option<WaitPlace>,
        limit: usize,
    ) -> Result<WaitPage> {
        let (mut place, mut rows) = (after.unwrap_or_else(WaitPlace::first), Vec::new());
        let piece = (limit + 1).max(PIECE);
        for _ in 0..LOOKED_AT.div_ceil(piece) {
            let found = self.waiting(kind, &place, piece).await?;
            let is_last = found.len() < piece;
            for row in found {
                if rows.len() == limit {
                    return Ok(WaitPage { rows, next: Some(place) });
                }
                place = row.place(kind);
                if row.waits && row.namespace == *namespace {
                    rows.push(row);
                }
            }
            if is_last {
                return Ok(WaitPage { rows, next: None });
            }
        }
        Ok(WaitPage { rows, next: Some(place) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_its_text_and_each_is_one_of_both_lists() {
        let step = StepId { run: RunId::new(), step: StepNo(3) };
        for place in [WaitPlace::of_signal(step, "approved/é"), WaitPlace::of_time(step, 1_796_019_358_123_456)] {
            assert_eq!(place.to_string().parse().as_ref(), Ok(&place));
        }
        assert_eq!(WaitPlace::of_signal(step, "approved/é").signal(), "approved/é");
        assert_eq!(WaitPlace::of_time(step, 1_796_019_358_123_456).due_us(), 1_796_019_358_123_456);
        let odd: WaitPlace = format!("{step}/fffffffffffffffffffff00").parse().unwrap();
        assert_eq!(odd.due_us(), LATEST_US);
        assert!(!odd.signal().contains('\0'));
        assert_eq!((WaitPlace::first().due_us(), WaitPlace::first().signal().as_str()), (0, ""));
        for wrong in ["", "x", &format!("{step}"), &format!("{step}/1/2"), &format!("{step}/X")] {
            assert_eq!(wrong.parse::<WaitPlace>(), Err(NoWaitPlace), "{wrong}");
        }
    }
}

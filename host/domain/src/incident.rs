//! *Incidents*: what happened to the whole installation, and to no run of it. Several processes see the same outage, each from
//! its own side; here is decided what of it is one incident. Pure: times are handed in.
//!
//! ```text
//!   one sees     ────[===========]────
//!   another      ──────[===========?          it has not seen the end: it lasts
//!                                  └──]───    … and then it has
//!   told         ────[================]────   one, from the first begin to the last end
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IncidentKind")]
pub enum Kind {
    /// The store could not be reached, or took no writes; recorded when it was back.
    #[serde(rename = "store.away")]
    StoreAway,
    /// The queue could not be reached.
    #[serde(rename = "queue.away")]
    QueueAway,
    /// The queue had lost what it held.
    #[serde(rename = "queue.lost")]
    QueueLost,
    /// Steps wait in a queue, and no live worker serves it.
    #[serde(rename = "workers.none")]
    WorkersNone,
    /// A worker's lease ended while it had steps in hand.
    #[serde(rename = "worker.died")]
    WorkerDied,
    /// An outside host was down.
    #[serde(rename = "circuit.opened")]
    CircuitOpened,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::StoreAway, Self::QueueAway, Self::QueueLost, Self::WorkersNone, Self::WorkerDied, Self::CircuitOpened];

    /// The same word as in JSON and SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StoreAway => "store.away",
            Self::QueueAway => "queue.away",
            Self::QueueLost => "queue.lost",
            Self::WorkersNone => "workers.none",
            Self::WorkerDied => "worker.died",
            Self::CircuitOpened => "circuit.opened",
        }
    }

    /// Whether it lasts only as long as somebody goes on seeing it. Others end where they are recorded, or with what they are of.
    #[must_use]
    pub fn lapses(self) -> bool {
        matches!(self, Self::QueueAway | Self::WorkersNone)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// A kind of another name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of incident; there are {known}", known = Kind::ALL.map(Kind::as_str).join(", "))]
pub struct UnknownKind(String);

/// How far apart two of one kind and subject may be and still be one.
pub const WITHIN_MS: i64 = 10_000;

/// How often who sees one that lasts says so again.
pub const SAID_EVERY_MS: i64 = 20_000;

/// After how long without a word one that lasted is taken to have ended with the last word: whoever saw it is gone.
pub const LAPSES_AFTER_MS: i64 = 60_000;

/// For how long steps must have waited in a queue that nobody serves: between two workers there may be a moment.
pub const UNSERVED_FOR_MS: i64 = 3_000;

/// When an incident was, ms since 1970 by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When somebody first saw it.
    pub began_ms: i64,
    /// When somebody last did.
    pub seen_ms: i64,
    /// When it was over; `None`: it lasts.
    pub ended_ms: Option<i64>,
}

impl Span {
    fn end_ms(&self) -> i64 {
        self.ended_ms.unwrap_or(i64::MAX)
    }

    /// Whether both are of one incident: they overlap, or nearly so.
    fn is_one_with(&self, other: &Self) -> bool {
        let reaches = |one: &Self, other: &Self| one.began_ms <= other.end_ms().saturating_add(WITHIN_MS);
        reaches(self, other) && reaches(other, self)
    }

    /// The same, ended with what was last seen of it if that is too long ago.
    #[must_use]
    pub fn lapsed(self, kind: Kind, now_ms: i64) -> Self {
        match self.ended_ms.is_none() && kind.lapses() && self.seen_ms < now_ms - LAPSES_AFTER_MS {
            true => Self { ended_ms: Some(self.seen_ms), ..self },
            false => self,
        }
    }
}

/// What follows from what a process has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// What is known from now on.
    pub span: Span,
    /// Those of the known, by their places, that it stands for; none: it is a new one.
    pub of: Vec<usize>,
}

/// What is known once a process has told what it has `seen`, beside the `known` ones of the same kind and subject: it opens an
/// incident, goes on with one, closes one, or makes one of several.
///
/// Who has seen the end closes it for all, at the last time that anybody saw it; who saw it later than that opens it again.
#[must_use]
pub fn noted(known: &[Span], seen: Span) -> Noted {
    let of: Vec<usize> = (0..known.len()).filter(|place| known[*place].is_one_with(&seen)).collect();
    let same = || of.iter().map(move |place| &known[*place]);
    let last_end_ms = same().filter_map(|span| span.ended_ms).max();
    let last_seen_ms = same().map(|span| span.seen_ms).max();
    let is_over = same().all(|span| span.ended_ms.is_some());
    let span = Span {
        began_ms: same().map(|span| span.began_ms).fold(seen.began_ms, i64::min),
        seen_ms: seen.seen_ms.max(last_seen_ms.unwrap_or(seen.seen_ms)),
        ended_ms: match seen.ended_ms {
            Some(_) => [seen.ended_ms, last_end_ms, last_seen_ms].into_iter().max().flatten(),
            None => last_end_ms.filter(|end_ms| is_over && *end_ms > seen.seen_ms),
        },
    };
    Noted { span, of }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(began_s: i64, seen_s: i64, ended_s: Option<i64>) -> Span {
        Span { began_ms: began_s * 1_000, seen_ms: seen_s * 1_000, ended_ms: ended_s.map(|ended| ended * 1_000) }
    }

    #[test]
    fn what_is_seen_opens_goes_on_closes_or_joins() {
        let lasts = |began, seen| span(began, seen, None);
        let over = |began, ended| span(began, ended, Some(ended));
        for (known, seen, expected, of, what) in [
            (vec![], lasts(100, 101), lasts(100, 101), vec![], "it opens"),
            (vec![], over(100, 130), over(100, 130), vec![], "it opens, and is over"),
            (vec![lasts(100, 101)], lasts(102, 121), lasts(100, 121), vec![0], "another one sees it, and it goes on"),
            (vec![lasts(100, 101)], over(102, 130), over(100, 130), vec![0], "who has seen its end closes it"),
            (vec![lasts(100, 131)], over(102, 130), over(100, 131), vec![0], "not before it was last seen"),
            (vec![over(100, 130)], over(90, 125), over(90, 130), vec![0], "two tell of one that is over"),
            (vec![over(100, 130)], lasts(101, 131), lasts(100, 131), vec![0], "it was seen later than its end"),
            (
                vec![over(100, 130)],
                lasts(101, 120),
                over(100, 130),
                vec![0],
                "it was seen before its end, and told late",
            ),
            (vec![over(100, 130)], over(140, 150), over(100, 150), vec![0], "soon after it is the same"),
            (vec![over(100, 130)], over(141, 150), over(141, 150), vec![], "later it is another"),
            (vec![over(100, 130)], over(80, 89), over(80, 89), vec![], "also told the other way round"),
            (vec![lasts(100, 130)], over(80, 89), over(80, 89), vec![], "one that lasts has its begin"),
            (
                vec![over(10, 20), over(100, 110), lasts(130, 140), over(900, 910)],
                over(105, 150),
                over(100, 150),
                vec![1, 2],
                "one that lay between two makes one of them",
            ),
        ] {
            let noted = noted(&known, seen);
            assert_eq!((noted.span, noted.of), (expected, of), "{what}");
        }
    }

    #[test]
    fn what_nobody_sees_any_more_has_ended() {
        let (old, now_ms) = (span(100, 130, None), (130 * 1_000) + LAPSES_AFTER_MS);
        for kind in Kind::ALL {
            assert_eq!(old.lapsed(kind, now_ms), old, "not yet");
            let ended = if kind.lapses() { Some(130_000) } else { None };
            assert_eq!(old.lapsed(kind, now_ms + 1).ended_ms, ended, "{kind}");
        }
        let over = span(100, 130, Some(131));
        assert_eq!(over.lapsed(Kind::QueueAway, i64::MAX), over);
    }

    #[test]
    fn every_kind_is_found_by_its_word_in_rust_and_json() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let error = "store".parse::<Kind>().unwrap_err().to_string();
        assert!(error.starts_with("`store` is no kind of incident; there are store.away, queue.away"), "{error}");
    }
}

//! How fast a queue fills and drains, from two looks at it. A stream counts what was ever put in; what is not in it any more is
//! done. Pure.

use std::time::Duration;

use pawl_api::types::Queue;
use serde::Serialize;

/// What came and went, of a stream or of several together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    /// Messages that no worker has read.
    pub(super) unread: u64,
    /// Messages that a worker has, and has not acknowledged. Whoever tells it, tells it beside.
    #[serde(skip)]
    pub(super) pending: u64,
    /// Messages that came in a second; none if it was looked at once, or if its server does not count, or has lost it meanwhile.
    pub(super) in_per_s: Option<f64>,
    /// Messages that were done in a second.
    pub(super) out_per_s: Option<f64>,
    /// If it goes on like that; none if it does not get less.
    pub(super) empty_in_ms: Option<u64>,
}

/// A stream that was looked at once.
pub(super) fn alone(queue: &Queue) -> Rates {
    with_end(Rates { unread: queue.depth.saturating_sub(queue.pending), pending: queue.pending, ..Rates::default() })
}

/// What came and went of a stream in the time between two looks. One that was not there before was empty.
pub(super) fn between(before: Option<&Queue>, after: &Queue, over: Duration) -> Rates {
    let (added, depth) = before.map_or((0, 0), |before| (before.added, before.depth));
    let counts = after.added > 0 || after.depth == 0;
    let came = after.added.checked_sub(added).filter(|_| counts);
    // What is left of it now, had nothing been done, less what is.
    let done = came.and_then(|came| (depth + came).checked_sub(after.depth));
    let per_s = |count: Option<u64>| count.map(|count| count as f64 / over.as_secs_f64().max(1e-3));
    with_end(Rates { in_per_s: per_s(came), out_per_s: per_s(done), ..alone(after) })
}

impl Rates {
    /// Both together.
    pub(super) fn and(&self, other: &Self) -> Self {
        let plus = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0.0) + other.unwrap_or(0.0)),
        };
        with_end(Self {
            unread: self.unread + other.unread,
            pending: self.pending + other.pending,
            in_per_s: plus(self.in_per_s, other.in_per_s),
            out_per_s: plus(self.out_per_s, other.out_per_s),
            empty_in_ms: None,
        })
    }
}

fn with_end(rates: Rates) -> Rates {
    let left = rates.unread + rates.pending;
    let less = rates.out_per_s.zip(rates.in_per_s).map(|(out, came)| out - came).filter(|less| *less > 0.0);
    let empty_in_ms = match left {
        0 => Some(0),
        left => less.map(|less| (left as f64 / less * 1_000.0) as u64),
    };
    Rates { empty_in_ms, ..rates }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pawl_domain::pipeline::Priority;

    fn queue(added: u64, depth: u64, pending: u64) -> Queue {
        let (queue, priority) = ("default".to_owned(), Priority::Normal);
        Queue { queue, priority, depth, pending, consumers: 1, added, oldest_unread_at_ms: None }
    }

    fn seen(before: Option<Queue>, after: Queue) -> (Option<f64>, Option<f64>, Option<u64>) {
        let Rates { in_per_s, out_per_s, empty_in_ms, .. } = between(before.as_ref(), &after, Duration::from_secs(2));
        (in_per_s, out_per_s, empty_in_ms)
    }

    #[test]
    fn what_came_and_went_gives_the_time_to_empty() {
        for (before, after, expected) in [
            // 10 came and 30 went in 2 s: 10 less a second, of 80.
            (Some(queue(100, 100, 4)), queue(110, 80, 4), (Some(5.0), Some(15.0), Some(8_000))),
            (Some(queue(100, 10, 0)), queue(140, 50, 0), (Some(20.0), Some(0.0), None)),
            (Some(queue(100, 10, 0)), queue(100, 10, 0), (Some(0.0), Some(0.0), None)),
            (Some(queue(100, 10, 0)), queue(104, 0, 0), (Some(2.0), Some(7.0), Some(0))),
            (None, queue(6, 4, 0), (Some(3.0), Some(1.0), None)),
            // The server was emptied in between, and has begun to count anew.
            (Some(queue(100, 10, 0)), queue(2, 2, 0), (None, None, None)),
            // It does not count.
            (Some(queue(0, 10, 0)), queue(0, 5, 0), (None, None, None)),
        ] {
            assert_eq!(seen(before, after.clone()), expected, "{after:?}");
        }
    }

    #[test]
    fn streams_of_one_queue_are_added_up() {
        let over = Duration::from_secs(1);
        let (first, second) = (queue(10, 6, 2), queue(20, 10, 0));
        let of = |queue: &Queue, before: Queue| between(Some(&before), queue, over);
        let sum = of(&first, queue(10, 10, 2)).and(&of(&second, queue(18, 12, 0)));
        let expected =
            Rates { unread: 14, pending: 2, in_per_s: Some(2.0), out_per_s: Some(8.0), empty_in_ms: Some(2_666) };
        assert_eq!(sum, expected);
    }
}

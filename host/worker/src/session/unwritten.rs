//! Bytes that guests have recorded and that are not durable yet, counted for a step and for all of a lane: no guest
//! outruns the writer, and memory is bounded, however slow the store is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one step may be ahead of the store. It may pass this by one entry. A batch that takes it in holds up its
/// neighbours little, and it is about what a guest records in the time of a commit.
const STEP_BYTES: usize = 64 << 10;

/// What all steps of a lane may be ahead together. Then a step waits until the last that it recorded is durable, so that
/// each goes on with an entry at a time.
const LANE_BYTES: usize = 64 << 20;

/// Of one step. Given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    bytes: usize,
    lane: Arc<AtomicUsize>,
}

impl Unwritten {
    /// None yet; `lane` counts for all steps of the lane.
    pub(super) fn new(lane: &Arc<AtomicUsize>) -> Self {
        Self { bytes: 0, lane: Arc::clone(lane) }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.lane.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much is durable, or was dropped.
    pub(super) fn take(&mut self, bytes: usize) {
        // A segment that is written again after a cut was counted when it was recorded.
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.lane.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the guest may record more.
    pub(super) fn has_room(&self) -> bool {
        self.bytes == 0 || (self.bytes < STEP_BYTES && self.lane.load(Ordering::Relaxed) < LANE_BYTES)
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.take(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_bounded_and_so_are_all_together() {
        let lane = Arc::default();
        let mut one = Unwritten::new(&lane);
        one.add(STEP_BYTES - 1);
        assert!(one.has_room(), "one more entry");
        one.add(STEP_BYTES);
        assert!(!one.has_room());
        one.take(STEP_BYTES);
        assert!(one.has_room());

        let mut others = Unwritten::new(&lane);
        others.add(LANE_BYTES);
        assert!(!one.has_room(), "all together are too far ahead");
        one.take(usize::MAX);
        assert!(one.has_room(), "each may go on with an entry at a time");
        drop((one, others));
        assert_eq!(lane.load(Ordering::Relaxed), 0);
    }
}

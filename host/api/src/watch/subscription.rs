//! A reader's place at the hub: what it waits for there.

use pawl_domain::id::RunId;
use pawl_domain::status::RunStatus;
use pawl_store::events::RunMark;
use tokio::sync::watch;

use super::{Interest, Seen, Watch};

/// One reader's place at the hub.
pub struct Subscription {
    pub(super) watch: Watch,
    pub(super) run: RunId,
    pub(super) interest: Interest,
    pub(super) receiver: watch::Receiver<Seen>,
}

impl Subscription {
    /// Waits until what is told about the run satisfies `wanted`; [`Seen::Closed`] and [`Seen::Missing`]
    /// always do.
    pub async fn until(&mut self, wanted: impl Fn(&RunMark) -> bool) -> Seen {
        let told = self.receiver.wait_for(|seen| match seen {
            // A follower waits for the mark, which is read besides.
            Seen::NotYet | Seen::Ended => false,
            Seen::Missing | Seen::Closed => true,
            Seen::At(mark) => wanted(mark),
        });
        told.await.map_or(Seen::Closed, |seen| *seen)
    }

    /// Waits until the run is said to have ended, or to be missing, or the hub closes.
    pub async fn ended(&mut self) {
        let ended = |seen: &Seen| match seen {
            Seen::NotYet => false,
            Seen::Missing | Seen::Closed | Seen::Ended => true,
            Seen::At(mark) => mark.status.is_ended(),
        };
        let _ = self.receiver.wait_for(ended).await;
    }

    /// Waits until a run that was not there has ended, and tells how; `None` if the hub closes.
    pub async fn end_of_new(&mut self) -> Option<RunStatus> {
        let ended = |seen: &Seen| match seen {
            Seen::NotYet | Seen::Missing | Seen::Ended => false,
            Seen::Closed => true,
            Seen::At(mark) => mark.status.is_ended(),
        };
        match *self.receiver.wait_for(ended).await.ok()? {
            Seen::At(mark) => Some(mark.status),
            _ => None,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.watch.state();
        let Some(watched) = state.watched.get_mut(&self.run) else { return };
        watched.followers -= usize::from(self.interest == Interest::Moves);
        watched.waiters -= usize::from(self.interest == Interest::EndOfNew);
        // This receiver is still counted.
        if watched.readers.receiver_count() <= 1 {
            state.watched.remove(&self.run);
            state.dirty.remove(&self.run);
        }
    }
}

/// The place at the hub of one who reads a run's log.
pub struct LogSubscription {
    pub(super) moves: Subscription,
    pub(super) lines: watch::Receiver<i64>,
}

impl LogSubscription {
    /// The number of the last line that the hub has seen.
    #[must_use]
    pub fn last_line(&self) -> i64 {
        *self.lines.borrow()
    }

    /// Waits until the hub has seen a line after this one, or anything else has happened to the run; false if it closes.
    pub async fn moved_after(&mut self, line: i64) -> bool {
        let Self { moves, lines } = self;
        if *moves.receiver.borrow() == Seen::Closed {
            return false;
        }
        let is_open = tokio::select! {
            is_open = async { lines.wait_for(|last| *last > line).await.is_ok() } => is_open,
            is_open = async { moves.receiver.changed().await.is_ok() } => is_open,
        };
        is_open && *moves.receiver.borrow() != Seen::Closed
    }
}

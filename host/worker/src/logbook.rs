//! What steps have said and the store has not got yet: who has lines (`S` is a session), and how many bytes all of them hold
//! together. Filled from guest threads, emptied by a loop of its own ([`crate::logs`]): nobody waits for it. Where there is no
//! room, because the store is away or slow, lines are dropped and counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use pawl_base::lock;
use tokio::sync::Notify;

/// What all lines may take that wait for the store, bytes.
const ROOM_BYTES: usize = 64 << 20;

/// The book of a process.
pub struct Logbook<S> {
    waiting: Mutex<Vec<Arc<S>>>,
    some: Notify,
    held_bytes: AtomicUsize,
}

impl<S> Default for Logbook<S> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), some: Notify::new(), held_bytes: AtomicUsize::new(0) }
    }
}

impl<S> Logbook<S> {
    /// Takes room for a line, if there is some.
    pub fn take_room(&self, bytes: usize) -> bool {
        let before = self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = before.saturating_add(bytes) <= ROOM_BYTES;
        if !has_room {
            self.give_back(bytes);
        }
        has_room
    }

    /// Takes room all the same, for a line that tells of others.
    pub fn take_more(&self, bytes: usize) {
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much is stored, or was dropped.
    pub fn give_back(&self, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether nothing waits for the store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held_bytes.load(Ordering::Relaxed) == 0 && self.waiting().is_empty()
    }

    /// A session has lines. It stands here once, until it has none.
    pub fn push(&self, session: Arc<S>) {
        self.waiting().push(session);
        self.some.notify_one();
    }

    /// Waits until somebody has lines.
    pub async fn some(&self) {
        self.some.notified().await;
    }

    /// Those that have lines since the last call.
    pub fn take(&self) -> Vec<Arc<S>> {
        std::mem::take(&mut self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<S>>> {
        lock(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_take_room_until_there_is_none() {
        let book = Logbook::<()>::default();
        assert!(book.take_room(ROOM_BYTES));
        assert!(!book.take_room(1) && !book.is_empty());
        book.take_more(1);
        book.give_back(2);
        assert!(book.take_room(1) && !book.take_room(1), "what was given back is room again");
        book.give_back(ROOM_BYTES);
        assert!(book.is_empty());
    }
}

//! What waits for the writer: steps with something to write, and claims to ask for. Filled from guest
//! threads and from tasks, emptied by the writer when it is free; nothing in it waits for company.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use pawl_base::lock;
use pawl_domain::id::StepId;
use tokio::sync::{Notify, mpsc};

use super::session::Session;

/// One lane's queue.
pub struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    bulk: mpsc::UnboundedSender<Weak<Session>>,
}

#[derive(Default)]
struct Waiting {
    sessions: VecDeque<Arc<Session>>,
    claims: Vec<StepId>,
}

impl Outbox {
    /// An empty queue, and the queue of large checkpoints.
    #[must_use]
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Weak<Session>>) {
        let (bulk, large) = mpsc::unbounded_channel();
        (Arc::new(Self { waiting: Mutex::default(), filled: Notify::new(), bulk }), large)
    }

    /// The step has something to write.
    pub fn push(&self, session: Arc<Session>) {
        self.waiting().sessions.push_back(session);
        self.filled.notify_one();
    }

    /// The step has a large checkpoint whose entries are durable.
    pub fn push_bulk(&self, session: Weak<Session>) {
        // Without a receiver the worker has ended, and with it the step's right to write.
        let _ = self.bulk.send(session);
    }

    /// The worker wants these steps.
    pub fn claim(&self, steps: impl IntoIterator<Item = StepId>) {
        self.waiting().claims.extend(steps);
        self.filled.notify_one();
    }

    /// Waits until there is something.
    pub async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            {
                let waiting = self.waiting();
                if !waiting.sessions.is_empty() || !waiting.claims.is_empty() {
                    return;
                }
            }
            filled.await;
        }
    }

    /// How many steps have something to write.
    pub fn waiting_sessions(&self) -> usize {
        self.waiting().sessions.len()
    }

    /// The next step that has something to write.
    pub fn pop(&self) -> Option<Arc<Session>> {
        self.waiting().sessions.pop_front()
    }

    /// Drops everything: the worker's incarnation has ended, nothing will be written.
    pub fn clear(&self) {
        *self.waiting() = Waiting::default();
    }

    /// All claims.
    pub fn take_claims(&self) -> Vec<StepId> {
        std::mem::take(&mut self.waiting().claims)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

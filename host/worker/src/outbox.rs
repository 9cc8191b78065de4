//! What waits for the writer: those with something to write (`S` is a session), and claims to ask for. Filled from
//! guest threads and from tasks, emptied by the writer when it is free; nothing in it waits for company.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use pawl_base::lock;
use pawl_domain::id::{RunId, StepId};
use tokio::sync::{Notify, mpsc};

/// Those with a large checkpoint, in the order in which they have it.
pub type Large<S> = mpsc::UnboundedReceiver<Weak<S>>;

/// One lane's queue.
pub struct Outbox<S> {
    waiting: Mutex<Waiting<S>>,
    filled: Notify,
    unwritten: Arc<AtomicUsize>,
    bulk: mpsc::UnboundedSender<Weak<S>>,
}

struct Waiting<S> {
    writers: VecDeque<Arc<S>>,
    claims: Vec<StepId>,
}

impl<S> Outbox<S> {
    /// An empty queue, and the queue of large checkpoints.
    #[must_use]
    pub fn new() -> (Arc<Self>, Large<S>) {
        let (bulk, large) = mpsc::unbounded_channel();
        (Arc::new(Self { waiting: Mutex::default(), filled: Notify::new(), unwritten: Arc::default(), bulk }), large)
    }

    /// Bytes that the lane's guests have recorded and that are not durable.
    #[must_use]
    pub fn unwritten(&self) -> &Arc<AtomicUsize> {
        &self.unwritten
    }

    /// A step has something to write.
    pub fn push(&self, session: Arc<S>) {
        self.waiting().writers.push_back(session);
        self.filled.notify_one();
    }

    /// A step has a large checkpoint whose entries are durable.
    pub fn push_bulk(&self, session: Weak<S>) {
        // Without a receiver the worker has ended, and with it the step's right to write.
        let _ = self.bulk.send(session);
    }

    /// Waits until there is something.
    pub async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            {
                let waiting = self.waiting();
                if !waiting.writers.is_empty() || !waiting.claims.is_empty() {
                    return;
                }
            }
            filled.await;
        }
    }

    /// Those that wait, if nothing else does and they are at most so many.
    pub fn few(&self, most: usize) -> Option<Vec<Arc<S>>> {
        let waiting = self.waiting();
        let are_few = waiting.claims.is_empty() && waiting.writers.len() <= most;
        are_few.then(|| waiting.writers.iter().cloned().collect())
    }

    /// Something may have come, or be otherwise with what waits.
    pub fn stir(&self) {
        self.filled.notify_one();
    }

    /// Waits for that.
    pub async fn stirred(&self) {
        self.filled.notified().await;
    }

    /// How many steps have something to write.
    pub fn waiting_sessions(&self) -> usize {
        self.waiting().writers.len()
    }

    /// The next step that has something to write.
    pub fn pop(&self) -> Option<Arc<S>> {
        self.waiting().writers.pop_front()
    }

    /// All claims.
    pub fn take_claims(&self) -> Vec<StepId> {
        std::mem::take(&mut self.waiting().claims)
    }

    fn request_claim(&self, id: StepId) {
        self.waiting().claims.push(id);
        self.filled.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<S>> {
        lock(&self.waiting)
    }
}

impl<S> Default for Waiting<S> {
    fn default() -> Self {
        Self { writers: VecDeque::new(), claims: Vec::new() }
    }
}

/// The outboxes of all lanes. A run belongs to one lane, so that its writes are never at odds with each other.
pub struct Outboxes<S>(Arc<[Arc<Outbox<S>>]>);

impl<S> Outboxes<S> {
    /// Those of the lanes; at least one.
    #[must_use]
    pub fn new(lanes: Vec<Arc<Outbox<S>>>) -> Self {
        Self(lanes.into())
    }

    /// The outbox for what a run's steps write.
    #[must_use]
    pub fn of(&self, run: RunId) -> &Arc<Outbox<S>> {
        let lane = run.0.as_u128() % self.0.len() as u128;
        &self.0[lane as usize]
    }

    /// The worker wants this step. Nothing is claimed yet: the answer to a batch tells.
    pub fn request_claim(&self, id: StepId) {
        self.of(id.run).request_claim(id);
    }

    /// Drops everything: the worker's incarnation has ended, nothing will be written.
    pub fn clear(&self) {
        self.0.iter().for_each(|outbox| *outbox.waiting() = Waiting::default());
    }
}

impl<S> Clone for Outboxes<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

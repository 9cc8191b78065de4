//! What a worker has at hand: the steps in execution, and those that it has asked for with the messages that led to
//! them. Each of them holds a slot, whichever it is.
//!
//! ```text
//!  message ──note──▶ asked for ──begin──▶ in execution ──end──▶ messages to acknowledge
//!                        └───── was_not_ready ──────────────────────▲
//! ```
//!
//! A step is in one place at most, and moves from one to the other in one go: who looks in between (the receiver, the
//! reconciliation) never finds that the worker knows nothing of it. A message stays with its step until somebody takes
//! it, and whoever takes it acknowledges it. Steps that are run ahead of their claims are not here: they use the slots
//! of those before them, or of those asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use pawl_base::lock;
use pawl_domain::id::StepId;
use pawl_queue::Delivery;
use tokio::sync::Notify;

use crate::session::Session;

/// Shared by the flow and by those who look after it.
pub struct Desk {
    slots: usize,
    in_a_row: u32,
    held: Mutex<Held>,
    freed: Notify,
    /// Suspects that wait for their turn: they take nobody's place.
    aside: AtomicUsize,
    others_wait: AtomicBool,
    draining: AtomicBool,
}

#[derive(Default)]
struct Held {
    running: HashMap<StepId, Arc<Session>>,
    asked: HashMap<StepId, Asked>,
}

#[derive(Default)]
struct Asked {
    messages: Vec<Delivery>,
    /// How often its run was somebody else's when it was asked for.
    busy: u32,
    /// Another message has come since it was asked for.
    again: bool,
}

/// What a message leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Noted {
    /// The step is to be asked for; its message is kept.
    AskFor(StepId),
    /// It was asked for before; its message is kept with the first.
    Asked,
    /// There is nothing to ask for: the message may be acknowledged.
    Nothing(Delivery),
}

impl Desk {
    /// An empty one for so many steps. While others wait, a slot is handed on to successors `in_a_row` times.
    #[must_use]
    pub fn new(slots: usize, in_a_row: u32) -> Self {
        let (others_wait, draining) = (AtomicBool::new(false), AtomicBool::new(false));
        Self {
            slots,
            in_a_row,
            held: Mutex::default(),
            freed: Notify::new(),
            aside: AtomicUsize::new(0),
            others_wait,
            draining,
        }
    }

    /// How many steps it has place for.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Waits for free slots.
    pub async fn free_slots(&self) -> usize {
        loop {
            let freed = self.freed.notified();
            match self.free_now() {
                0 => freed.await,
                free => return free,
            }
        }
    }

    /// Slots that are free now; none in a drain.
    #[must_use]
    pub fn free_now(&self) -> usize {
        if self.is_draining() {
            return 0;
        }
        let held = self.held();
        let aside = self.aside.load(Ordering::Relaxed).min(self.slots);
        (self.slots + aside).saturating_sub(held.running.len() + held.asked.len())
    }

    /// A step in execution waits for its turn: until this is dropped, it takes no slot.
    #[must_use]
    pub fn step_aside(self: &Arc<Self>) -> StepAside {
        self.aside.fetch_add(1, Ordering::Relaxed);
        self.wake_receiver();
        StepAside(Arc::clone(self))
    }

    /// Slots may have become free. Told once for all steps of a batch, so that the receiver asks for as many messages
    /// in one go.
    pub fn wake_receiver(&self) {
        self.freed.notify_one();
    }

    /// Keeps the message of a step that is going to be asked for.
    pub fn note(&self, delivery: Delivery) -> Noted {
        let mut held = self.held();
        // It runs here already: the step is not ready, whatever the message thought. Unless it only ends here: then it
        // may be ready again by now, and this is its message.
        let runs_here =
            |id: &StepId| held.running.get(id).is_some_and(|session| !session.has_ended() && !session.is_lost());
        let Some(id) = delivery.step.filter(|id| !runs_here(id)) else {
            return Noted::Nothing(delivery);
        };
        let is_first = !held.asked.contains_key(&id);
        let asked = held.asked.entry(id).or_default();
        asked.messages.push(delivery);
        asked.again = !is_first;
        if is_first { Noted::AskFor(id) } else { Noted::Asked }
    }

    /// The step was not ready when it was asked for. Its messages, of which nothing comes; none if it is to be asked for once
    /// more: the newest message came after the question, and it may be ready by then. (An old message of a dead worker is
    /// adopted, and then a takeover delivers the step.)
    #[must_use]
    pub fn was_not_ready(&self, id: StepId) -> Option<Vec<Delivery>> {
        let mut held = self.held();
        let again = held.asked.get_mut(&id).is_some_and(|asked| std::mem::take(&mut asked.again));
        (!again).then(|| held.asked.remove(&id).unwrap_or_default().messages)
    }

    /// The step could not be claimed, because somebody else held its run. How often that has been so.
    #[must_use]
    pub fn was_busy(&self, id: StepId) -> u32 {
        self.held().asked.get_mut(&id).map_or(1, |asked| {
            asked.busy += 1;
            asked.busy
        })
    }

    /// A claimed step goes into execution, and its messages with it. False if it is there already: the same claim, told
    /// twice, by a resend or because it was asked for again. An older claim of the step makes way for it.
    #[must_use]
    pub fn begin(&self, session: &Arc<Session>) -> bool {
        let mut held = self.held();
        let id = session.claim.id;
        let messages = held.asked.remove(&id).unwrap_or_default().messages;
        match held.running.get(&id) {
            Some(known) if known.claim.fence == session.claim.fence => {
                known.also_acknowledge(messages);
                false
            }
            _ => {
                session.also_acknowledge(messages);
                held.running.insert(id, Arc::clone(session));
                true
            }
        }
    }

    /// The same for a step that is being executed ahead of this claim. False if it was given up by now.
    #[must_use]
    pub fn confirm(&self, session: &Arc<Session>) -> bool {
        let mut held = self.held();
        // Its outcome may be written from here on: while this lock is held, its end can't come before its beginning.
        if !session.confirm() {
            return false;
        }
        let id = session.claim.id;
        session.also_acknowledge(held.asked.remove(&id).unwrap_or_default().messages);
        held.running.insert(id, Arc::clone(session));
        true
    }

    /// The step is over for this worker; its messages may be acknowledged.
    #[must_use]
    pub fn end(&self, session: &Arc<Session>) -> Vec<Delivery> {
        let mut held = self.held();
        // Under a newer claim, it is another session's.
        if held.running.get(&session.claim.id).is_some_and(|known| Arc::ptr_eq(known, session)) {
            held.running.remove(&session.claim.id);
        }
        drop(held);
        session.take_messages()
    }

    /// The steps in execution.
    #[must_use]
    pub fn running(&self) -> Vec<Arc<Session>> {
        self.held().running.values().cloned().collect()
    }

    /// How many these are.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.held().running.len()
    }

    /// Whether the step is in execution, or asked for.
    #[must_use]
    pub fn knows(&self, id: StepId) -> bool {
        let held = self.held();
        held.running.contains_key(&id) || held.asked.contains_key(&id)
    }

    /// Whether there is no step at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let held = self.held();
        held.running.is_empty() && held.asked.is_empty()
    }

    /// Whether messages were left over when the last ones were read.
    pub fn others_wait(&self, wait: bool) {
        self.others_wait.store(wait, Ordering::Relaxed);
    }

    /// Whether a step that has ended after `in_a_row` others of its run may hand its slot to a successor: not if others
    /// have waited for long.
    #[must_use]
    pub fn may_continue(&self, in_a_row: u32) -> bool {
        let pressed = in_a_row + 1 >= self.in_a_row && self.others_wait.load(Ordering::Relaxed);
        !pressed && !self.is_draining()
    }

    /// From now on, nothing new is taken.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether nothing new is taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

/// See [`Desk::step_aside`].
pub struct StepAside(Arc<Desk>);

impl Drop for StepAside {
    fn drop(&mut self) {
        self.0.aside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

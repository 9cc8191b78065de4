//! Who may be executed beside whom. Most steps beside all others; a *suspect*, which may have brought its workers down,
//! beside few; one that is a suspect still, alone, so that the next death tells who it was.
//!
//! ```text
//!  everybody ─────────────────────────────▶ in, unless somebody is alone, or about to be
//!  a suspect, one of a few ───────────────▶ in, beside everybody and so few other suspects
//!  alone: closes the gate ──all have left──▶ in, by itself ──leaves──▶ open, at least as long as it was closed
//!            └── not in time: opens it again, for a while
//! ```
//!
//! Nobody waits for a suspect longer than it takes: the gate is closed only for moments while others are still inside,
//! and stays open after each that was alone. Whoever waits here gives up as soon as its step is to stop.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_domain::suspicion::Company;
use tokio::sync::Notify;

/// Suspects that are executed at once.
const SUSPECTS: usize = 16;

/// How often those who wait look whether they may give up.
const LOOK: Duration = Duration::from_millis(50);

/// The gate of an incarnation.
#[derive(Debug)]
pub struct Gate {
    held: Mutex<Held>,
    changed: Notify,
    /// How long it is closed for one that waits to be alone.
    closing: Duration,
}

#[derive(Debug, Default)]
struct Held {
    inside: usize,
    suspects: usize,
    alone: bool,
    /// For one that wants to be alone, since when.
    closed_since: Option<Instant>,
    /// Nobody closes it before.
    open_until: Option<Instant>,
}

/// A place among those in execution; it is left when this is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    company: Company,
    since: Instant,
}

impl Gate {
    /// Open, with nobody inside.
    #[must_use]
    pub fn new(closing: Duration) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), changed: Notify::new(), closing })
    }

    /// A place beside others, if nobody has to be waited for.
    #[must_use]
    pub fn try_enter(self: &Arc<Self>) -> Option<Pass> {
        self.enter_now(&mut self.held(), Company::Everybody, Instant::now())
    }

    /// Waits for a place; `None` if it is not wanted any more.
    pub async fn enter(self: &Arc<Self>, company: Company, is_wanted: impl Fn() -> bool) -> Option<Pass> {
        let mut closed = Closed { gate: self, since: None };
        loop {
            let changed = self.changed.notified();
            if !is_wanted() {
                return None;
            }
            if let Some(pass) = closed.look(company) {
                return Some(pass);
            }
            let _ = tokio::time::timeout(LOOK, changed).await;
        }
    }

    /// Whether somebody is alone inside: nothing else can begin.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.held().alone
    }

    fn enter_now(self: &Arc<Self>, held: &mut Held, company: Company, now: Instant) -> Option<Pass> {
        let is_closed = held.alone || held.closed_since.is_some();
        let may = match company {
            Company::Everybody => !is_closed,
            Company::Suspects => !is_closed && held.suspects < SUSPECTS,
            Company::Nobody => held.inside == 0,
        };
        may.then(|| {
            held.inside += 1;
            held.suspects += usize::from(company == Company::Suspects);
            held.alone |= company == Company::Nobody;
            Pass { gate: Arc::clone(self), company, since: now }
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

/// One that waits; it opens the gate again if it goes away.
struct Closed<'g> {
    gate: &'g Arc<Gate>,
    since: Option<Instant>,
}

impl Closed<'_> {
    fn look(&mut self, company: Company) -> Option<Pass> {
        let mut held = self.gate.held();
        let now = Instant::now();
        let pass = self.gate.enter_now(&mut held, company, now);
        if company == Company::Nobody {
            match self.since {
                Some(since) if pass.is_some() || now - since > self.gate.closing => {
                    // Others have not left in time: for a while it is open again.
                    (self.since, held.closed_since) = (None, None);
                    held.open_until = Some(now + 4 * self.gate.closing);
                    self.gate.changed.notify_waiters();
                }
                None if pass.is_none() && held.may_close(now) => {
                    (self.since, held.closed_since) = (Some(now), Some(now))
                }
                _ => {}
            }
        }
        pass
    }
}

impl Held {
    fn may_close(&self, now: Instant) -> bool {
        !self.alone && self.closed_since.is_none() && self.open_until.is_none_or(|until| until <= now)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if self.since.is_some() {
            self.gate.held().closed_since = None;
            self.gate.changed.notify_waiters();
        }
    }
}

impl Pass {
    /// Whether its step is a suspect, which says so on record before it begins.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.company != Company::Everybody
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut held = self.gate.held();
        held.inside -= 1;
        held.suspects -= usize::from(self.company == Company::Suspects);
        if self.company == Company::Nobody {
            held.alone = false;
            held.open_until = Some(Instant::now() + self.since.elapsed().max(self.gate.closing));
        }
        let is_waited_for = held.inside == 0 || self.is_suspect();
        drop(held);
        if is_waited_for {
            self.gate.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;

//! Circuits as one worker knows them: which outside hosts are down, and how many calls of others have failed in a row. Guests
//! ask here before they call, on their own threads, and say what came of it; the scheduler's loop brings what other workers have
//! found. What counts, and what follows, is decided in [`pawl_domain::decision::circuit`]. Secrets that a worker lacks are among
//! them (`secrets`).
//!
//! While nothing fails and nothing is open, a call costs one load. A call that is about to open a circuit, or has a probe, waits
//! for the store; those that fail meanwhile wait with it, so that no more than the rules say fail by one outage.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::{fault, lock};
use pawl_dispatch::whose::Whose;
use pawl_domain::attempt::Deferral;
use pawl_domain::decision::circuit::{
    May, Open, PROBE_SLACK, Probe, Rules, Sign, deferred_ms, journal_in, key_in, may_call, secret_in,
};
use pawl_domain::id::{Fence, RunId, StepId, WorkerId};
use pawl_store::circuits::{Known, Opening, Probed, Probing};
use pawl_store::{SharedStore, within};
use seen::{Host, Seen};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::secrets::StoredSecrets;
use crate::settle::jitter;
use crate::trust::Trust;

mod secrets;
mod seen;

/// The longest that a probe is another's to wait for, however long its call may take.
const LONGEST_PROBE: Duration = Duration::from_secs(600);

/// What a worker knows of outside hosts.
pub struct Circuits {
    rules: Rules,
    whose: Arc<Whose>,
    worker: WorkerId,
    store: SharedStore,
    /// How long an answer of it is waited for.
    patience: Duration,
    trust: Arc<Trust>,
    /// What this process can open.
    secrets: Arc<StoredSecrets>,
    /// Guest threads have none of their own.
    runtime: Handle,
    seen: Mutex<Seen>,
    /// There is something in `seen`.
    something: AtomicBool,
    /// One is opened at a time.
    opening: Mutex<()>,
    noticed: Notify,
}

impl Circuits {
    /// Of a worker, on the current runtime.
    #[must_use]
    pub fn new(
        rules: Rules,
        worker: WorkerId,
        store: SharedStore,
        patience: Duration,
        trust: Arc<Trust>,
        whose: Arc<Whose>,
        secrets: Arc<StoredSecrets>,
    ) -> Self {
        Self {
            rules,
            whose,
            worker,
            store,
            patience,
            trust,
            secrets,
            runtime: Handle::current(),
            seen: Mutex::default(),
            something: AtomicBool::new(false),
            opening: Mutex::default(),
            noticed: Notify::new(),
        }
    }

    /// Whether calls are held back at all.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.rules.on
    }

    /// Whether a guest of that run may call that host, for up to `timeout`. It may be asked to probe. On a guest's thread: may
    /// block.
    ///
    /// # Errors
    /// [`Deferral`] if the host is down.
    pub fn may_call(&self, run: RunId, origin: &str, timeout: Duration) -> Result<Option<Probe>, Deferral> {
        if !self.is_open_to_any(origin) {
            return Ok(None);
        }
        // Whose the run is can't be learned: perhaps the host is down for it.
        let Some(host) = self.host_of(run, origin) else { return Err(deferral(origin)) };
        let Some((id, open)) = lock(&self.seen).open.get(&host).copied() else { return Ok(None) };
        match may_call(Some(open), self.trust.clock.unix_ms()) {
            May::Call => Ok(None),
            May::Wait => Err(deferral(origin)),
            May::Probe => self.probe(&host, id, timeout.min(LONGEST_PROBE) + PROBE_SLACK),
        }
    }

    /// Whether it is down for the steps of some namespace.
    fn is_open_to_any(&self, origin: &str) -> bool {
        self.something.load(Ordering::Relaxed) && lock(&self.seen).open.keys().any(|host| host.origin == origin)
    }

    /// That host, as the steps of this run know it; `None` if the store does not say whose the run is. The first time in a run
    /// it is asked; after that nothing blocks.
    fn host_of(&self, run: RunId, origin: &str) -> Option<Host> {
        let namespace = match self.whose.at_hand(run) {
            Some(known) => known,
            None => match self.runtime.block_on(within(self.patience, self.whose.ask(&*self.store, run))) {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(error = error.chain(), origin, run.id = %run, "whose the run is was not learned");
                    return None;
                }
            },
        };
        Some(Host { namespace, origin: origin.to_owned() })
    }

    fn probe(&self, host: &Host, id: i64, lease: Duration) -> Result<Option<Probe>, Deferral> {
        let origin = host.origin.as_str();
        match self.runtime.block_on(within(self.patience, self.store.probe_circuit(id, self.worker, lease))) {
            Ok(Probing::Won(probe)) => {
                let until_ms = self.trust.clock.unix_ms() + i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
                self.change(|seen| {
                    if let Some((_, open)) = seen.open.get_mut(host) {
                        open.probed_until_ms = Some(until_ms);
                    }
                });
                fault::point("circuit.probe.before_call");
                Ok(Some(probe))
            }
            Ok(Probing::Held(open)) => {
                self.change(|seen| seen.open.insert(host.clone(), (id, open)));
                Err(deferral(origin))
            }
            Ok(Probing::Closed) => {
                self.forget(host);
                Ok(None)
            }
            // Perhaps it is ours: then it is another's when its time is over.
            Err(error) => {
                tracing::warn!(error = error.chain(), origin, "no probe of a host that is down");
                Err(deferral(origin))
            }
        }
    }

    /// What a guest's call says of the host: whether its attempt is deferred by that. On a guest's thread: may block, unless the
    /// call says nothing.
    pub fn called(
        &self,
        attempt: (StepId, Fence),
        origin: &str,
        probe: Option<Probe>,
        sign: &Sign,
    ) -> Option<Deferral> {
        // Nobody need be asked whose the run is where that says nothing.
        let says = match (&probe, sign) {
            (None, Sign::Nothing) => false,
            (None, Sign::Up) => self.has_failed_of_any(origin),
            _ => true,
        };
        let host = if says { self.host_of(attempt.0.run, origin) } else { None }?;
        match (probe, sign) {
            (Some(probe), Sign::Nothing) => {
                self.give_back(&host, probe);
                None
            }
            (Some(probe), Sign::Up) => {
                self.is_up(&host, probe);
                None
            }
            (Some(probe), Sign::Down(why)) => self.is_still_down(&host, probe, why).then(|| deferral(origin)),
            (None, Sign::Nothing) => None,
            (None, Sign::Up) => {
                let mut seen = lock(&self.seen);
                seen.failures.remove(&host);
                self.note(&seen);
                None
            }
            (None, Sign::Down(why)) => self.is_down(attempt, &host, why).then(|| deferral(origin)),
        }
    }

    /// Whether calls of it are counted that have failed, in some namespace.
    fn has_failed_of_any(&self, origin: &str) -> bool {
        self.something.load(Ordering::Relaxed) && lock(&self.seen).failures.keys().any(|host| host.origin == origin)
    }

    /// Whether the host's circuit is open by now.
    fn is_down(&self, attempt: (StepId, Fence), host: &Host, why: &str) -> bool {
        self.noticed.notify_one();
        let failures = {
            let mut seen = lock(&self.seen);
            if seen.open.contains_key(host) {
                return true;
            }
            let failures = seen.count(host, attempt, self.trust.clock.unix_ms());
            self.note(&seen);
            failures
        };
        failures.open(&self.rules) && self.open(host, why, failures.count)
    }

    /// Opens its circuit, unless somebody has meanwhile; whether it is open.
    fn open(&self, host: &Host, reason: &str, failures: u32) -> bool {
        let _alone = lock(&self.opening);
        if lock(&self.seen).open.contains_key(host) {
            return true;
        }
        let Host { namespace, origin } = host;
        let (worker, first) = (self.worker, self.rules.first);
        let opening = Opening { namespace, origin, reason, failures, worker, first };
        match self.runtime.block_on(within(self.patience, self.store.open_circuit(opening))) {
            Ok(Some(Known { id, open: Some(open), .. })) => {
                match (secret_in(origin), journal_in(origin)) {
                    (Some(secret), _) => {
                        tracing::warn!(secret, reason, "steps wait for a secret: no attempt is used up")
                    }
                    (None, None) if key_in(origin).is_some() => {
                        tracing::warn!(
                            reason,
                            "steps wait for a worker with the right master key: no attempt is used up"
                        )
                    }
                    (None, Some(_)) => tracing::warn!(
                        reason,
                        "written by a newer version of Pawl: this worker leaves it to one that knows it; upgrade the workers"
                    ),
                    (None, None) => tracing::warn!(
                        origin,
                        reason,
                        failures,
                        "an outside host is down: attempts that would call it are deferred"
                    ),
                }
                self.change(|seen| {
                    seen.failures.remove(host);
                    seen.open.insert(host.clone(), (id, open))
                });
                true
            }
            Ok(_) => {
                tracing::warn!(origin, "an outside host is down, and so many others that its circuit is not opened");
                false
            }
            Err(error) => {
                tracing::warn!(
                    error = error.chain(),
                    origin,
                    "an outside host is down, and its circuit was not opened"
                );
                false
            }
        }
    }

    fn is_up(&self, host: &Host, probe: Probe) {
        let origin = host.origin.as_str();
        match self.runtime.block_on(within(self.patience, self.store.probed_circuit(probe, Probed::Up))) {
            Ok(None) => {
                tracing::info!(origin, "an outside host is back: what was deferred by it goes on");
                self.forget(host);
                self.noticed.notify_one();
            }
            // Another probe is the newest by now.
            Ok(Some(_)) => {}
            Err(error) => tracing::warn!(error = error.chain(), origin, "an outside host is back, and it was not told"),
        }
    }

    fn is_still_down(&self, host: &Host, probe: Probe, reason: &str) -> bool {
        let origin = host.origin.as_str();
        let told = Probed::Down { reason, longest: self.rules.longest };
        match self.runtime.block_on(within(self.patience, self.store.probed_circuit(probe, told))) {
            Ok(Some(retry_at_ms)) => {
                self.change(|seen| {
                    seen.open.insert(host.clone(), (probe.circuit, Open { retry_at_ms, probed_until_ms: None }))
                });
                true
            }
            // A person has closed it.
            Ok(None) => {
                self.forget(host);
                false
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), origin, "an outside host is still down, and it was not told");
                true
            }
        }
    }

    fn give_back(&self, host: &Host, probe: Probe) {
        self.change(|seen| {
            if let Some((_, open)) = seen.open.get_mut(host) {
                open.probed_until_ms = None;
            }
        });
        let (store, patience) = (self.store.clone(), self.patience);
        self.runtime.spawn(async move {
            // If it is not told, it is another's when its time is over.
            if let Err(error) = within(patience, store.probed_circuit(probe, Probed::Nothing)).await {
                tracing::debug!(error = error.chain(), "a probe is left to run out");
            }
        });
    }

    /// Ends when calls fail, or a host is back: there may be news.
    pub async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// There is news: whoever waits for it looks.
    pub fn notice(&self) {
        self.noticed.notify_one();
    }

    /// How often this worker has changed what it knows: to be asked before the store is.
    #[must_use]
    pub fn changes(&self) -> u64 {
        lock(&self.seen).changes
    }

    /// Takes in what the store says, unless this worker has changed it since there were so many changes.
    pub fn learn(&self, changes: u64, circuits: &[Known]) {
        let mut seen = lock(&self.seen);
        if seen.changes != changes {
            return;
        }
        let host = |known: &Known| Host { namespace: known.namespace.clone(), origin: known.origin.clone() };
        seen.open = circuits.iter().filter_map(|known| Some((host(known), (known.id, known.open?)))).collect();
        let Seen { open, failures, .. } = &mut *seen;
        failures.retain(|host, _| !open.contains_key(host));
        self.note(&seen);
    }

    fn forget(&self, host: &Host) {
        self.change(|seen| {
            seen.failures.remove(host);
            seen.open.remove(host)
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Seen) -> T) {
        let mut seen = lock(&self.seen);
        change(&mut seen);
        seen.changes += 1;
        self.note(&seen);
    }

    fn note(&self, seen: &Seen) {
        self.something.store(!seen.open.is_empty() || !seen.failures.is_empty(), Ordering::Relaxed);
    }
}

/// What becomes of an attempt that waits for that.
pub fn deferral(origin: &str) -> Deferral {
    Deferral { origin: origin.to_owned(), delay_ms: deferred_ms(jitter()) }
}

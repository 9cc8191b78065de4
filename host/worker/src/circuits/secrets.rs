//! Secrets of which this process has no value, or has one while others have none. That a worker lacks a secret is no fault of
//! the step that is granted it, and of no attempt of it: another worker may have it, or the next one that is started. So it is
//! like an outside host that is down: the secret has a circuit, steps that ask for it are deferred, and one at a time looks
//! whether it is there now. What differs: the first who lacks it opens the circuit, since nothing is in doubt; and who has a
//! value asks nobody, and closes it.
//!
//! A journal that a newer build has written is like such a secret: an older worker does not know all of it, and leaves the step to
//! one that does. Whoever knows as much closes that circuit. And so is the master key under which a run's payloads are sealed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use pawl_base::lock;
use pawl_dispatch::seals::is_retired;
use pawl_domain::attempt::Deferral;
use pawl_domain::decision::circuit::{
    May, journal_in, key_in, may_call, origin_of_journal, origin_of_key, origin_of_secret, secret_in,
};
use pawl_domain::id::RunId;
use pawl_domain::journal::{KNOWN, Knowledge};
use pawl_domain::namespace::Namespace;
use pawl_store::within;

use super::seen::{Host, Seen};
use super::{Circuits, deferral};
use crate::secrets::in_environment;

impl Circuits {
    /// A step asks for a secret of which this process has no value, for this reason: whether its attempt is deferred by that. On a
    /// guest's thread: may block.
    pub fn lacks_secret(&self, run: RunId, name: &str, why: &str) -> Option<Deferral> {
        self.lacks(run, &origin_of_secret(name), why)
    }

    /// A step's journal needs more than this build knows: whether its attempt is deferred by that. On a guest's thread: may block.
    pub fn leaves_to_newer(&self, run: RunId, needs: Knowledge, why: &str) -> Option<Deferral> {
        self.lacks(run, &origin_of_journal(needs), why)
    }

    /// A run's payloads are sealed under a master key that this process has not: whether the step's attempt is deferred by that.
    /// May block.
    pub fn lacks_key(&self, run: RunId, id: &str, why: &str) -> Option<Deferral> {
        self.lacks(run, &origin_of_key(id), why)
    }

    fn lacks(&self, run: RunId, origin: &str, why: &str) -> Option<Deferral> {
        let Some(host) = self.host_of(run, origin) else { return Some(deferral(origin)) };
        match self.may_call(run, origin, Duration::ZERO) {
            Err(deferral) => return Some(deferral),
            Ok(Some(probe)) if self.is_still_down(&host, probe, why) => return Some(deferral(origin)),
            // Nobody has found it missing so far, or it was taken for found.
            Ok(_) => {}
        }
        let is_open = self.open(&host, why, 1);
        self.noticed.notify_one();
        is_open.then(|| deferral(origin))
    }

    /// Closes the circuits of secrets of which this process has a value, and of journals that it can read; whether there were any.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn tell_secrets(&self) -> pawl_store::Result<bool> {
        let mut any = false;
        let mut stored = HashSet::new();
        for (namespace, names) in self.lacked_in_environment() {
            let open = within(self.patience, self.secrets.openable(&*self.store, &namespace, &names)).await?;
            stored.extend(open.into_iter().map(|name| (namespace.clone(), name)));
        }
        let mut retired = HashSet::new();
        for (host, master) in self.lacked_keys() {
            if within(self.patience, is_retired(&*self.store, &host.namespace, &master)).await? {
                retired.insert(host);
            }
        }
        for host in self.found_here(&stored, &retired) {
            let Host { namespace, origin } = &host;
            if within(self.patience, self.store.close_circuit(namespace, origin)).await? {
                tracing::info!(origin, "this worker has what others lack: steps that wait for it go on");
                any = true;
            }
            self.forget(&host);
        }
        Ok(any)
    }

    /// Master keys that steps wait for and this process has not.
    fn lacked_keys(&self) -> Vec<(Host, String)> {
        let seen = lock(&self.seen);
        let lacked = seen.open.keys().filter_map(|host| {
            let master = key_in(&host.origin).filter(|id| !self.secrets.has_key(id))?;
            Some((host.clone(), master.to_owned()))
        });
        lacked.collect()
    }

    /// Those that wait and of which this process's environment has no value, by namespace.
    fn lacked_in_environment(&self) -> HashMap<Namespace, Vec<String>> {
        let seen = lock(&self.seen);
        let mut lacked = HashMap::<_, Vec<_>>::new();
        for Host { namespace, origin } in seen.open.keys() {
            if let Some(name) = secret_in(origin).filter(|name| in_environment(namespace, name).is_none()) {
                lacked.entry(namespace.clone()).or_default().push(name.to_owned());
            }
        }
        lacked
    }

    /// Those of which it is to be told now: each the first time, since the process may have been started for it; later not
    /// before somebody may look again. Steps that come to workers without it are deferred anew, and this is their pace.
    fn found_here(&self, stored: &HashSet<(Namespace, String)>, retired: &HashSet<Host>) -> Vec<Host> {
        let now_ms = self.trust.clock.unix_ms();
        let mut seen = lock(&self.seen);
        let Seen { open, told, .. } = &mut *seen;
        let is_here = |host: &Host| {
            let Host { namespace, origin } = host;
            let is_stored = |name: &str| stored.contains(&(namespace.clone(), name.to_owned()));
            secret_in(origin).is_some_and(|name| is_stored(name) || in_environment(namespace, name).is_some())
                || journal_in(origin).is_some_and(|needs| needs <= KNOWN)
                || key_in(origin).is_some_and(|id| self.secrets.has_key(id) || retired.contains(host))
        };
        let here = open.iter().filter(|(host, (_, open))| {
            is_here(host) && (told.insert((*host).clone()) || may_call(Some(*open), now_ms) == May::Probe)
        });
        here.map(|(host, _)| host.clone()).collect()
    }
}

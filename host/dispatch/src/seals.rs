//! Payloads at rest, where keys and rows meet: the API seals what comes in and opens what people read, workers open what a step is
//! given and seal what it leaves. [`pawl_store::seal`] says what a payload is, `migrations/0044_sealing.sql` how keys are kept.
//!
//! What is kept of keys in memory is forgotten after [`FRESH`]: so long, at most, what was erased is still read by who read it
//! before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::envelope::{Closed, Keys};
use pawl_base::lock;
use pawl_base::sealing::{GroupKey, Key};
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_domain::sealed::Sealing;
use pawl_store::seal::{Place, Seal};
use pawl_store::sealing::{NamespaceKeyRow, RunKeyRow, WrappedKey, sealing_of};
use pawl_store::submit::NewRun;
use pawl_store::{self as store, Store};

use crate::secrets::SETTINGS;

mod keep;

pub use keep::{Rotated, keep_sealing, rotate};

/// How long an answer of the store is good for.
pub const FRESH: Duration = Duration::from_secs(1);

/// Runs and namespaces of which something is kept.
const KEPT: usize = 10_000;

/// Why a payload is not opened, or not sealed.
#[derive(Debug, thiserror::Error)]
pub enum Unopened {
    /// Its key is gone for good.
    #[error("{0}")]
    Erased(String),
    /// The master keys of this process do not do.
    #[error("{why}")]
    Keys {
        /// What is wrong, and how it is mended.
        why: String,
        /// The id of the one that would; `None` if none would.
        needs: Option<String>,
    },
    /// The store's word.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The seals of runs, as a process has them.
#[derive(Debug)]
pub struct Seals {
    keys: Keys,
    runs: Mutex<HashMap<RunId, (Seal, Instant)>>,
    groups: Mutex<HashMap<Namespace, (Arc<Group>, Instant)>>,
}

/// What new runs of a namespace are sealed with.
#[derive(Debug)]
enum Group {
    Clear,
    Erased,
    /// Under the newest key, of that version.
    On(u32, Box<GroupKey>),
}

impl Seals {
    /// None so far; these master keys open them.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys, runs: Mutex::default(), groups: Mutex::default() }
    }

    /// A run's seal, if nothing has to be read for it.
    #[must_use]
    pub fn at_hand(&self, run: RunId) -> Option<Seal> {
        let runs = lock(&self.runs);
        runs.get(&run).filter(|(_, read_at)| read_at.elapsed() < FRESH).map(|(seal, _)| seal.clone())
    }

    /// A run's seal; a statement once in [`FRESH`] at most.
    ///
    /// # Errors
    /// [`Unopened`].
    pub async fn of(&self, store: &dyn Store, run: RunId) -> Result<Seal, Unopened> {
        match self.at_hand(run) {
            Some(seal) => Ok(seal),
            None => {
                let read_at = Instant::now();
                self.opened(run, store.run_key(run).await?, read_at)
            }
        }
    }

    /// What the store has said of a run's key, opened and kept since it was asked.
    ///
    /// # Errors
    /// [`Unopened::Erased`], [`Unopened::Keys`].
    pub fn opened(&self, run: RunId, row: Option<RunKeyRow>, read_at: Instant) -> Result<Seal, Unopened> {
        let seal = match row {
            None => Seal::default(),
            Some(row) => Seal::of(self.key_of(run, row)?),
        };
        let mut runs = lock(&self.runs);
        if runs.len() >= KEPT {
            runs.clear();
        }
        runs.insert(run, (seal.clone(), read_at));
        Ok(seal)
    }

    /// Forgets what it has of a run, or of all of a namespace's.
    pub fn forget(&self, run: Option<RunId>) {
        match run {
            Some(run) => drop(lock(&self.runs).remove(&run)),
            None => {
                lock(&self.runs).clear();
                lock(&self.groups).clear();
            }
        }
    }

    /// What is said of a run one of whose keys is gone.
    #[must_use]
    pub fn erased(run: RunId, row: &RunKeyRow) -> Unopened {
        let whose = match &row.key {
            None => "its".to_owned(),
            Some(_) => format!("the namespace `{}`'s", row.namespace),
        };
        Unopened::Erased(format!("the payloads of run {run} can't be read any more: {whose} key was erased"))
    }

    fn key_of(&self, run: RunId, row: RunKeyRow) -> Result<Key, Unopened> {
        let erased = Self::erased(run, &row);
        let RunKeyRow { namespace, key: Some(WrappedKey { version, wrapped }), under: Some(under) } = row else {
            return Err(erased);
        };
        let what = || format!("the payloads of run {run} are sealed, and can't be opened here");
        let group = GroupKey::open(&self.keys, &under, &NamespaceKeyRow::about(&namespace, version));
        let group = group.map_err(|why| {
            // Another process may have the right one; damaged bytes open for none.
            let needs = matches!(why, Closed::NoKey | Closed::OtherKey(_)).then(|| under.key_id.clone());
            match unopened(&what(), &why) {
                Unopened::Keys { why, .. } => Unopened::Keys { why, needs },
                other => other,
            }
        })?;
        group.key(&wrapped, &RunKeyRow::about(run)).map_err(|why| unopened(&what(), &why))
    }

    /// A run as it is submitted: sealed under a key of its own, if its namespace seals.
    ///
    /// # Errors
    /// [`Unopened`].
    pub async fn seal_new(&self, store: &dyn Store, run: NewRun) -> Result<NewRun, Unopened> {
        let group = self.group(store, &run.namespace).await?;
        match &*group {
            Group::Clear => Ok(run),
            Group::Erased => Err(Unopened::Erased(format!(
                "the keys of the namespace `{0}` were erased: before it takes runs again, say what is to be done with their payloads, \
                 `pawl namespace seal {0} on` or `off`",
                run.namespace
            ))),
            Group::On(version, newest) => {
                let made = newest.new_key(&RunKeyRow::about(run.id));
                let (key, wrapped) = made.map_err(|why| unopened("the run can't be sealed", &why))?;
                let input = Seal::of(key).seal(Place::Input, run.input);
                Ok(NewRun { input, sealed: Some(WrappedKey { version: *version, wrapped }), ..run })
            }
        }
    }

    /// Whether new runs of a namespace are sealed otherwise by now than under the key of that version (`None`: in the clear). It is
    /// asked anew: the store takes no run that is sealed by what was true a moment ago.
    ///
    /// # Errors
    /// [`Unopened`].
    pub async fn is_otherwise(
        &self,
        store: &dyn Store,
        namespace: &Namespace,
        version: Option<u32>,
    ) -> Result<bool, Unopened> {
        lock(&self.groups).remove(namespace);
        Ok(match &*self.group(store, namespace).await? {
            Group::Clear => version.is_some(),
            Group::Erased => true,
            Group::On(now, _) => version != Some(*now),
        })
    }

    async fn group(&self, store: &dyn Store, namespace: &Namespace) -> Result<Arc<Group>, Unopened> {
        if let Some((group, read_at)) = lock(&self.groups).get(namespace)
            && read_at.elapsed() < FRESH
        {
            return Ok(Arc::clone(group));
        }
        let read_at = Instant::now();
        let rows = store.namespace_keys(namespace).await?;
        let group = Arc::new(self.group_of(namespace, &rows)?);
        let mut groups = lock(&self.groups);
        if groups.len() >= KEPT {
            groups.clear();
        }
        groups.insert(namespace.clone(), (Arc::clone(&group), read_at));
        Ok(group)
    }

    fn group_of(&self, namespace: &Namespace, rows: &[NamespaceKeyRow]) -> Result<Group, Unopened> {
        let open = |row: &NamespaceKeyRow| {
            let sealed = row.sealed.as_ref().ok_or_else(|| store::Error::Damaged("a namespace's key".to_owned()))?;
            let opened = GroupKey::open(&self.keys, sealed, &NamespaceKeyRow::about(namespace, row.version));
            opened.map_err(|why| unopened(&format!("runs of the namespace `{namespace}` can't be sealed here"), &why))
        };
        match (sealing_of(rows), rows.last()) {
            (Sealing::On, Some(newest)) => Ok(Group::On(newest.version, Box::new(open(newest)?))),
            (Sealing::Erased, _) => Ok(Group::Erased),
            _ => Ok(Group::Clear),
        }
    }
}

/// Whether what waits in a namespace for that master key waits in vain: none of its keys is under it any more.
///
/// # Errors
/// If the store is away.
pub async fn is_retired(store: &dyn Store, namespace: &Namespace, master: &str) -> store::Result<bool> {
    let rows = store.namespace_keys(namespace).await?;
    Ok(rows.iter().all(|row| row.sealed.as_ref().is_none_or(|sealed| sealed.key_id != master)))
}

/// What is wrong with keys, and how it is mended.
fn unopened(what: &str, why: &Closed) -> Unopened {
    let why = match why {
        Closed::NoKey => format!("{what}: {why}; set {SETTINGS} for the API and all workers alike, and start it again"),
        Closed::OtherKey(_) => format!("{what}: {why}; add that key to those of {SETTINGS}, and start it again"),
        Closed::Damaged | Closed::NoRandomness => format!("{what}: {why}"),
    };
    Unopened::Keys { why, needs: None }
}

#[cfg(test)]
mod tests;

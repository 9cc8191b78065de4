//! Whose runs are, as far as a process has to know. A run's namespace never changes, so it is read once: by a worker only for steps
//! that name a secret, or meet an outside host that fails; by the API for requests that are about a run.

use std::collections::HashMap;
use std::sync::Mutex;

use pawl_base::lock;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_store::{self as store, Store};

/// Runs whose namespace is kept.
const KEPT: usize = 10_000;

/// What is known of runs.
#[derive(Debug, Default)]
pub struct Whose(Mutex<HashMap<RunId, Namespace>>);

impl Whose {
    /// Whose a run is, if that was read before.
    #[must_use]
    pub fn at_hand(&self, run: RunId) -> Option<Namespace> {
        lock(&self.0).get(&run).cloned()
    }

    /// Whose a run is; one statement, the first time.
    ///
    /// # Errors
    /// [`store::Error::NotFound`] if there is no such run; [`store::Error::Unavailable`].
    pub async fn ask(&self, store: &dyn Store, run: RunId) -> store::Result<Namespace> {
        if let Some(known) = self.at_hand(run) {
            return Ok(known);
        }
        let found = store.namespace_of(run).await?;
        let found = found.ok_or_else(|| store::Error::NotFound(format!("there is no run {run}")))?;
        let mut kept = lock(&self.0);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(run, found.clone());
        Ok(found)
    }
}

//! What is known of pipelines and components, kept in memory, so that a submission does not wait for the database. A
//! pipeline's entry may be a second old; what is kept of a component never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::lock;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;
use pawl_domain::schema::Schemas;

/// How long it is taken for granted what a pipeline begins with.
const FRESH: Duration = Duration::from_secs(1);

/// Pipelines and components kept in memory, of each.
const KEPT: usize = 1_000;

/// The steps that get a run's input, by name, and what they take. Those that take anything are left out.
pub(super) type First = Vec<(String, Arc<Schemas>)>;

/// A pipeline: whose it is, and what it is called.
type Named = (Namespace, String);

/// What is known, shared by all requests; bounded, and emptied when it is full.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By digest: they never change.
    components: Mutex<HashMap<Digest, Arc<Schemas>>>,
    /// What these import.
    imports: Mutex<HashMap<Digest, Arc<[String]>>>,
    /// With the time at which to look again.
    pipelines: Mutex<HashMap<Named, (Instant, Arc<First>)>>,
}

impl Known {
    /// Another version or component may be current now.
    pub(super) fn forget(&self) {
        lock(&self.pipelines).clear();
    }

    /// What a pipeline begins with, if that was looked up lately. Of those who find that it is time to look
    /// again, one is told so; the others go on with what there is.
    pub(super) fn first(&self, namespace: &Namespace, pipeline: &str) -> Option<Arc<First>> {
        let mut pipelines = lock(&self.pipelines);
        let (until, first) = pipelines.get_mut(&(namespace.clone(), pipeline.to_owned()))?;
        let now = Instant::now();
        if *until <= now {
            *until = now + FRESH;
            return None;
        }
        Some(Arc::clone(first))
    }

    /// What a pipeline begins with, as it was looked up now.
    pub(super) fn keep_first(&self, namespace: &Namespace, pipeline: &str, first: &Arc<First>) {
        let mut pipelines = lock(&self.pipelines);
        if pipelines.len() >= KEPT {
            pipelines.clear();
        }
        pipelines.insert((namespace.clone(), pipeline.to_owned()), (Instant::now() + FRESH, Arc::clone(first)));
    }

    pub(super) fn component(&self, digest: Digest) -> Option<Arc<Schemas>> {
        lock(&self.components).get(&digest).cloned()
    }

    pub(super) fn keep_component(&self, digest: Digest, schemas: &Arc<Schemas>) {
        keep(&self.components, digest, schemas);
    }

    pub(super) fn imports(&self, digest: Digest) -> Option<Arc<[String]>> {
        lock(&self.imports).get(&digest).cloned()
    }

    pub(super) fn keep_imports(&self, digest: Digest, imports: &Arc<[String]>) {
        keep(&self.imports, digest, imports);
    }
}

fn keep<T: ?Sized>(known: &Mutex<HashMap<Digest, Arc<T>>>, digest: Digest, value: &Arc<T>) {
    let mut known = lock(known);
    if known.len() >= KEPT {
        known.clear();
    }
    known.insert(digest, Arc::clone(value));
}

//! Compiled components in memory. Every execution asks here first; only the first one of a component waits
//! for the compiler.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use pawl_base::lock;
use pawl_domain::id::Digest;

use super::load::{LoadError, Prepared};

/// What has been compiled, by digest. One component is compiled once at a time, whoever asks.
#[derive(Debug)]
pub(super) struct Cache {
    entries: Mutex<Entries>,
    limit_bytes: usize,
}

#[derive(Debug, Default)]
struct Entries {
    by_digest: HashMap<Digest, Entry>,
    /// Grows with every use.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    gate: Arc<Gate>,
    used: u64,
}

#[derive(Debug, Default)]
struct Gate {
    ready: OnceLock<Arc<Prepared>>,
    /// Held by the one who compiles.
    compiling: Mutex<()>,
}

impl Cache {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { entries: Mutex::default(), limit_bytes }
    }

    pub(super) fn get(&self, digest: Digest) -> Option<Arc<Prepared>> {
        self.lock().touch(digest)?.ready.get().cloned()
    }

    pub(super) fn get_or_load(
        &self,
        digest: Digest,
        load: impl FnOnce() -> Result<Prepared, LoadError>,
    ) -> Result<Arc<Prepared>, LoadError> {
        let gate = self.lock().enter(digest);
        let _compiling = lock(&gate.compiling);
        if let Some(ready) = gate.ready.get() {
            return Ok(Arc::clone(ready));
        }
        match load() {
            Ok(prepared) => {
                let prepared = Arc::clone(gate.ready.get_or_init(|| Arc::new(prepared)));
                self.lock().evict(self.limit_bytes, digest);
                Ok(prepared)
            }
            Err(error) => {
                self.lock().by_digest.remove(&digest);
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }
}

impl Entries {
    fn touch(&mut self, digest: Digest) -> Option<&Gate> {
        self.uses += 1;
        let entry = self.by_digest.get_mut(&digest)?;
        entry.used = self.uses;
        Some(&entry.gate)
    }

    fn enter(&mut self, digest: Digest) -> Arc<Gate> {
        self.uses += 1;
        let used = self.uses;
        let entry = self.by_digest.entry(digest).or_insert_with(|| Entry { gate: Arc::default(), used });
        entry.used = used;
        Arc::clone(&entry.gate)
    }

    /// Drops the least recently used until the rest fits; never `keep`, nor what is being compiled. An
    /// attempt under way keeps its component alive.
    fn evict(&mut self, limit_bytes: usize, keep: Digest) {
        let size = |entry: &Entry| entry.gate.ready.get().map_or(0, |prepared| prepared.size_bytes());
        let mut total: usize = self.by_digest.values().map(size).sum();
        while total > limit_bytes {
            let ready = self.by_digest.iter().filter(|(digest, entry)| **digest != keep && size(entry) > 0);
            let Some((&oldest, _)) = ready.min_by_key(|(_, entry)| entry.used) else { return };
            total -= self.by_digest.remove(&oldest).map_or(0, |entry| size(&entry));
        }
    }
}

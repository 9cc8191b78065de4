//! Payloads at rest, over HTTP: whether a namespace seals, its keys, and the erasing of keys. And what other handlers do with
//! payloads: open what people read, seal what they send.

use axum::Json;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::HeaderMap;
use pawl_base::sealing::is_sealed;
use pawl_dispatch::seals::{Seals, Unopened, keep_sealing};
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_store::history::opened;
use pawl_store::seal::{Place, Seal};
use pawl_store::sealing::{NamespaceKeyRow, sealing_of};
use pawl_store::submit::NewRun;

use super::access::Caller;
use super::problem::{Result, kind};
use super::recorded::{Noted, Subject, noted};
use super::request::{Path, read_json, run_id};
use super::state::AppState;
use super::types::{ErasedKeys, ErasedRun, NamespaceKey, NamespaceKeys, Problem, SealNamespace, WantedSealing};
use super::whose::{Scoped, must_be_there};

/// A request to seal.
const REQUEST_BYTES: usize = 4 << 10;

impl AppState {
    /// What a run's payloads are sealed with.
    pub(super) async fn seal_of(&self, run: RunId) -> Result<Seal> {
        Ok(self.seals.of(&*self.store, run).await?)
    }

    /// A payload that was read; of one that is in the clear, nothing is asked.
    pub(super) async fn opened(&self, run: RunId, place: Place, kept: Vec<u8>) -> Result<Vec<u8>> {
        if !is_sealed(&kept) {
            return Ok(kept);
        }
        Ok(opened(&self.seal_of(run).await?, place, kept)?)
    }

    /// A payload that a person sends to a run, as it is kept.
    pub(super) async fn sealed(&self, run: RunId, place: Place, payload: Vec<u8>) -> Result<Vec<u8>> {
        Ok(self.seal_of(run).await?.seal(place, payload))
    }

    /// Refuses what would have a run go on whose payloads nobody can read any more.
    pub(super) async fn must_be_readable(&self, run: RunId) -> Result<()> {
        match self.store.run_key(run).await? {
            Some(row) if row.key.is_none() || row.under.is_none() => Err(Seals::erased(run, &row).into()),
            _ => Ok(()),
        }
    }

    /// Whether the run of that key was submitted with the same pipeline and input, though its bytes are others: it is sealed, or this
    /// submission is.
    pub(super) async fn is_same_request(&self, run: RunId, pipeline: &str, input: &[u8]) -> Result<bool> {
        let there = self.store.run_alone(run).await?;
        let kept = self.store.run_input(run).await?;
        Ok(there.pipeline == pipeline && self.opened(run, Place::Input, kept).await? == input)
    }

    /// A submission that the store has refused, since the namespace's keys had changed when it came there; `None` if that is not why.
    pub(super) async fn is_sealed_otherwise(&self, version: Option<u32>) -> Result<Option<Problem>> {
        let otherwise = self.seals.is_otherwise(&*self.store, &self.namespace, version).await?;
        let what = "the keys of the namespace have just changed: submit it again";
        Ok(otherwise.then(|| Problem::unavailable(what)))
    }

    /// A run as it is submitted.
    pub(super) async fn seal_new(&self, run: NewRun) -> Result<NewRun> {
        Ok(self.seals.seal_new(&*self.store, run).await?)
    }
}

impl From<Unopened> for Problem {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Erased(why) => Self::new(&kind::ERASED, why),
            Unopened::Keys { why, .. } => Self::new(&kind::SEALED, why),
            Unopened::Store(error) => error.into(),
        }
    }
}

pub(super) async fn set(
    Scoped(state): Scoped,
    Extension(caller): Extension<Caller>,
    Extension(subject): Extension<Subject>,
    Path(namespace): Path<Namespace>,
    headers: HeaderMap,
    body: Body,
) -> Result<Noted<NamespaceKeys>> {
    let SealNamespace { sealing } = read_json(body, &headers, "a request to seal", REQUEST_BYTES).await?;
    let (sealed, new_key, word) = match sealing {
        WantedSealing::Off => (false, false, "off"),
        WantedSealing::On => (true, false, "on"),
        WantedSealing::NewKey => (true, true, "on, under a new key"),
    };
    subject.is(format!("{namespace}: {word}"));
    must_be_there(&state, &namespace).await?;
    let by = caller.name.as_deref();
    let changed = keep_sealing(&*state.store, &state.secret_keys, &namespace, sealed, new_key, by).await?;
    state.seals.forget(None);
    Ok(noted(changed, keys_of(&state, namespace).await?))
}

pub(super) async fn keys(Scoped(state): Scoped, Path(namespace): Path<Namespace>) -> Result<Json<NamespaceKeys>> {
    must_be_there(&state, &namespace).await?;
    keys_of(&state, namespace).await.map(Json)
}

async fn keys_of(state: &AppState, name: Namespace) -> Result<NamespaceKeys> {
    let rows = state.store.namespace_keys(&name).await?;
    let sealing = sealing_of(&rows).into();
    Ok(NamespaceKeys { name, sealing, keys: rows.into_iter().map(NamespaceKey::from).collect() })
}

pub(super) async fn erase_namespace(
    Scoped(state): Scoped,
    Extension(subject): Extension<Subject>,
    Path(namespace): Path<Namespace>,
) -> Result<Noted<ErasedKeys>> {
    must_be_there(&state, &namespace).await?;
    let erased = state.store.erase_namespace_keys(&namespace).await?;
    state.seals.forget(None);
    subject.is(format!("{namespace}: {erased} keys"));
    Ok(noted(erased > 0, ErasedKeys { name: namespace, erased }))
}

pub(super) async fn erase_run(Scoped(state): Scoped, Path(run): Path<String>) -> Result<Noted<ErasedRun>> {
    let id = run_id(&run)?;
    if state.store.run_key(id).await?.is_none() {
        // Whose run it is was seen before.
        state.store.run_alone(id).await?;
        return Err(Problem::conflict(format!(
            "the payloads of run {id} are in the clear, and have no key: they go with the run, by its retention"
        )));
    }
    let changed = state.store.erase_run_key(id).await?;
    state.seals.forget(Some(id));
    Ok(noted(changed, ErasedRun { id, changed }))
}

impl From<NamespaceKeyRow> for NamespaceKey {
    fn from(row: NamespaceKeyRow) -> Self {
        let NamespaceKeyRow { version, sealed, created_at_ms, created_by, retired_at_ms, erased_at_ms } = row;
        Self {
            version,
            key_id: sealed.map(|sealed| sealed.key_id),
            created_at_ms,
            created_by,
            retired_at_ms,
            erased_at_ms,
        }
    }
}

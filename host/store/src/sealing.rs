//! Keys of payloads, as they are kept: those of namespaces under master keys, which no store has, and those of runs under them.

use async_trait::async_trait;
use pawl_base::envelope::Sealed;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_domain::sealed::{NewestKey, Sealing};

use super::{Error, Result};

/// A namespace's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceKeyRow {
    /// From 1 on: the newest seals new runs.
    pub version: u32,
    /// Under which master key, and how; `None`: it is erased.
    pub sealed: Option<Sealed>,
    /// When it was made.
    pub created_at_ms: i64,
    /// The name of the token by which.
    pub created_by: Option<String>,
    /// Since when new runs are in the clear.
    pub retired_at_ms: Option<i64>,
    /// When it was erased.
    pub erased_at_ms: Option<i64>,
}

impl NamespaceKeyRow {
    /// What the key of this version is bound to.
    #[must_use]
    pub fn about(namespace: &Namespace, version: u32) -> String {
        format!("namespace key/{namespace}/{version}")
    }
}

/// What is done with the payloads of new runs, by a namespace's keys in their order.
#[must_use]
pub fn sealing_of(keys: &[NamespaceKeyRow]) -> Sealing {
    Sealing::of(
        keys.last()
            .map(|newest| NewestKey { is_retired: newest.retired_at_ms.is_some(), is_erased: newest.sealed.is_none() }),
    )
}

/// A run's key, under one of its namespace's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which.
    pub version: u32,
    /// The key, under it.
    pub wrapped: Vec<u8>,
}

/// What opens a run's payloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunKeyRow {
    /// Whose the run is.
    pub namespace: Namespace,
    /// Its key; `None`: it is erased.
    pub key: Option<WrappedKey>,
    /// The namespace's key over it; `None`: that is erased.
    pub under: Option<Sealed>,
}

impl RunKeyRow {
    /// What a run's key is bound to.
    #[must_use]
    pub fn about(run: RunId) -> String {
        format!("run key/{run}")
    }
}

/// Keys of payloads.
#[async_trait]
pub trait Seals {
    /// A namespace's keys, by version.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn namespace_keys(&self, namespace: &Namespace) -> Result<Vec<NamespaceKeyRow>>;

    /// Keeps a new one, which seals from now on; false if there is one of that version: somebody was quicker.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn add_namespace_key(
        &self,
        namespace: &Namespace,
        version: u32,
        key: &Sealed,
        created_by: Option<&str>,
    ) -> Result<bool>;

    /// From now on, new runs are in the clear; false if they are so already.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn retire_namespace_key(&self, namespace: &Namespace) -> Result<bool>;

    /// Keeps a key under another master key than `before`; false if it is not under that one any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn wrap_namespace_key(&self, namespace: &Namespace, version: u32, before: &str, key: &Sealed)
    -> Result<bool>;

    /// Erases all keys of a namespace; how many there were.
    ///
    /// # Errors
    /// [`Error::Conflict`] if runs of it have not ended.
    async fn erase_namespace_keys(&self, namespace: &Namespace) -> Result<u32>;

    /// What opens a run's payloads; `None` if they are in the clear, or there is no such run. One row by its key, and those that
    /// it names.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn run_key(&self, run: RunId) -> Result<Option<RunKeyRow>>;

    /// Erases a run's key; false if it was so, or has none.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if the run has not ended.
    async fn erase_run_key(&self, run: RunId) -> Result<bool>;
}

pub(super) fn still_runs(run: RunId) -> Error {
    Error::Conflict(format!("run {run} has not ended: cancel it first, `pawl run cancel {run}`"))
}

pub(super) fn some_still_run(namespace: &Namespace) -> Error {
    Error::Conflict(format!(
        "runs of the namespace `{namespace}` have not ended: `pawl run list --namespace {namespace} --status running` shows them, \
         wait for them or cancel them first"
    ))
}

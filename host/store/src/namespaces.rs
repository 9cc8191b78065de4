//! Namespaces: which there are, and whose a run is. What has a name is one's own by the columns of its table; here is what is asked
//! of namespaces themselves.

use async_trait::async_trait;
use pawl_domain::id::{Digest, RunId};
use pawl_domain::namespace::Namespace;
use pawl_domain::quota::Quota;

use super::Result;

/// A namespace, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRow {
    /// What it is called.
    pub name: Namespace,
    /// When it was made; `None`: it was there from the start.
    pub created_at_ms: Option<i64>,
    /// The name of the token by which; `None`: nobody has made it, or no token was wanted.
    pub created_by: Option<String>,
    /// What it may take of what all share.
    pub quota: Quota,
    /// Bytes that its runs and components hold, as was last measured; `None`: they never were.
    pub stored_bytes: Option<u64>,
}

/// Those that somebody has made, and `default`, by name.
pub(super) fn with_default(mut made: Vec<NamespaceRow>, quota: Quota, stored_bytes: Option<u64>) -> Vec<NamespaceRow> {
    made.push(NamespaceRow { name: Namespace::default(), created_at_ms: None, created_by: None, quota, stored_bytes });
    made.sort_by(|one, other| one.name.cmp(&other.name));
    made
}

/// Namespaces.
#[async_trait]
pub trait Namespaces {
    /// Makes one; false if it is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn create_namespace(&self, name: &Namespace, created_by: Option<&str>) -> Result<bool>;

    /// All of them, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn namespaces(&self) -> Result<Vec<NamespaceRow>>;

    /// What a namespace may take of what all share; one row by its key.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn quota(&self, namespace: &Namespace) -> Result<Quota>;

    /// Says what it may take; false if it was so.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn set_quota(&self, namespace: &Namespace, quota: Quota) -> Result<bool>;

    /// Runs of it that have not ended, counted up to `most`: what is beyond costs nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn runs_in_flight(&self, namespace: &Namespace, most: u32) -> Result<u32>;

    /// Components of the versions of its plugins.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn components_of(&self, namespace: &Namespace) -> Result<u32>;

    /// Whose a run is, which never changes; `None` if there is no such run. One row by its key.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn namespace_of(&self, run: RunId) -> Result<Option<Namespace>>;

    /// Whether a version of one of its plugins is that component.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn is_component_of(&self, namespace: &Namespace, component: Digest) -> Result<bool>;
}

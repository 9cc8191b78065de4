//! Secrets that the store keeps: sealed, and with those to whom they are granted. The store has no key, and can open none. What a
//! change is, is decided by who asks for it; it is written if nobody has written another one since.

use async_trait::async_trait;
use pawl_base::envelope::Sealed;
use pawl_domain::namespace::Namespace;
use pawl_domain::secret::grant::Grant;

use super::{Error, Result};

/// A secret, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// What it is called.
    pub name: String,
    /// Raised by each change, of whatever of it: the first one is 1.
    pub revision: i64,
    /// Raised by each new value, also after a removal: the first one is 1.
    pub version: i64,
    /// The value; `None`: it was removed.
    pub sealed: Option<Sealed>,
    /// To whom it is granted.
    pub grants: Vec<Grant>,
    /// When this value was set; `None` in what is written: now.
    pub set_at_ms: Option<i64>,
    /// The name of the token by which it was set.
    pub set_by: Option<String>,
}

impl SecretRow {
    /// What the value of this version is bound to: bytes of another secret, or of an earlier version, do not open in its place.
    #[must_use]
    pub fn about(namespace: &Namespace, name: &str, version: i64) -> String {
        format!("{namespace}/{name}/{version}")
    }
}

/// Secrets.
#[async_trait]
pub trait Secrets {
    /// Those of these names that there are, also removed ones; one statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn secrets_named(&self, namespace: &Namespace, names: &[String]) -> Result<Vec<SecretRow>>;

    /// Up to `limit` that are not removed, by name, after the one of that name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn secrets(&self, namespace: &Namespace, after: Option<&str>, limit: u32) -> Result<Vec<SecretRow>>;

    /// Writes all of a secret, if its revision is the next one. Returns when its value was set, ms since 1970; `None` if the revision
    /// is another: then somebody has changed it since it was read.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may have been written.
    async fn write_secret(&self, namespace: &Namespace, row: &SecretRow) -> Result<Option<i64>>;
}

pub(super) fn grants_of(text: &str) -> Result<Vec<Grant>> {
    serde_json::from_str(text).map_err(|_| Error::Damaged("the grants of a secret".to_owned()))
}

pub(super) fn grants_text(grants: &[Grant]) -> String {
    serde_json::to_string(grants).expect("grants have only string keys")
}

/// What stands in three columns, all or none of them.
pub(super) fn sealed_of(
    key_id: Option<String>,
    wrapped: Option<Vec<u8>>,
    bytes: Option<Vec<u8>>,
) -> Result<Option<Sealed>> {
    match (key_id, wrapped, bytes) {
        (Some(key_id), Some(wrapped), Some(bytes)) => Ok(Some(Sealed { key_id, wrapped, bytes })),
        (None, None, None) => Ok(None),
        _ => Err(Error::Damaged("a secret".to_owned())),
    }
}

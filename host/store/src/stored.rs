//! How many bytes a namespace's runs and components hold. Counted only where somebody asks, in pieces, and some seconds late: no
//! commit of a step pays for it.

use async_trait::async_trait;
use pawl_domain::namespace::Namespace;

use super::Result;

/// What a piece has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Bytes that the namespace holds, as far as is known now.
    pub bytes: u64,
    /// There are more new runs than were looked at.
    pub more: bool,
}

/// What namespaces hold.
#[async_trait]
pub trait Stored {
    /// Measures a piece of what has come or changed since it was last asked; `None` if another process is at it.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn measure(&self, namespace: &Namespace) -> Result<Option<Measured>>;

    /// Bytes that it holds, as was last measured; `None`: it never was. One row by its key.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn stored_bytes(&self, namespace: &Namespace) -> Result<Option<u64>>;
}

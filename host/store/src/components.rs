//! Components: bytes, found by their digest and verified by it whenever they are read.

use async_trait::async_trait;
use pawl_domain::id::Digest;

use super::Result;

/// The bytes of components.
#[async_trait]
pub trait Components {
    /// The bytes of a component.
    ///
    /// # Errors
    /// [`super::Error::NotFound`] if there is none of that digest, [`super::Error::Damaged`] if its bytes are others.
    async fn component(&self, digest: Digest) -> Result<Vec<u8>>;
}

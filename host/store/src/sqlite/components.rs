//! Components: bytes, found by their digest and verified by it whenever they are read.

use async_trait::async_trait;
use pawl_domain::id::Digest;

use super::{Sqlite, row};
use crate::components::Components;
use crate::{Error, Result, verified};

#[async_trait]
impl Components for Sqlite {
    async fn component(&self, digest: Digest) -> Result<Vec<u8>> {
        let bytes = self.read(move |conn| {
            row(conn, "select bytes from component where digest = ?1", [&digest.0[..]], |row| Ok(row.get("bytes")?))
        });
        let bytes: Vec<u8> = bytes.await?.ok_or_else(|| Error::NotFound(format!("there is no component {digest}")))?;
        verified(bytes, digest, || format!("component {digest}"))
    }
}

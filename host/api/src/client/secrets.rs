//! What a client asks about secrets. A value goes as the body of a request, and nowhere else.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::{Client, Result};
use crate::types::StoredSecret;

impl Client {
    /// Gives a secret a value, and, if the query says so, grants it.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn set_secret(&self, name: &str, grant: &[(&str, &str)], value: Vec<u8>) -> Result<StoredSecret> {
        let request = self.request(Method::PUT, &["v1", "secrets", name], grant);
        self.answer(request.header(CONTENT_TYPE, "application/octet-stream").body(value)).await
    }

    /// Takes a grant of a secret back.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn revoke_secret(&self, name: &str, grant: &[(&str, &str)]) -> Result<StoredSecret> {
        self.answer(self.request(Method::DELETE, &["v1", "secrets", name, "grants"], grant)).await
    }
}

//! The token of a `pawl dev`, for a client that has none. Whoever is refused there is told in which file the token stands; who may
//! read that file, and believes it, shows what it says from then on.
//!
//! It is asked for with a request of its own, which has no body: a body that is not read ends the connection, and the refusal may be
//! lost with it.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};

use super::error::Error;
use crate::home;

/// Finds the token of the API at an address in the file that it names, if that file may be believed.
pub type Finder = fn(&str, &Path) -> Option<String>;

/// Who looks, and what was found.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    finder: Finder,
    /// What there is, if anything, once somebody has asked.
    found: Arc<OnceLock<Option<HeaderValue>>>,
}

impl Finding {
    pub(super) fn by(finder: Finder) -> Self {
        Self { finder, found: Arc::default() }
    }

    /// What was found before, if somebody has asked: perhaps nothing.
    pub(super) fn found(&self) -> Option<Option<HeaderValue>> {
        self.found.get().cloned()
    }

    /// Holds for every later request, unless another one was faster.
    pub(super) fn keep(&self, token: Option<HeaderValue>) -> Option<HeaderValue> {
        self.found.get_or_init(|| token).clone()
    }

    /// The token in the file that the refusal names.
    pub(super) fn in_file(&self, base: &Url, refusal: &HeaderMap) -> Option<HeaderValue> {
        let token = (self.finder)(base.as_str(), &home::token_file_of(refusal)?)?;
        bearer(&token).ok()
    }
}

/// The header that shows a token; no log has it.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let why = "the API token has characters that no HTTP header may have";
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::Url(why.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

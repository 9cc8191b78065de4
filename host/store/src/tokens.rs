//! Tokens: who may ask the API for what. Of their texts the store knows nothing but digests.

use async_trait::async_trait;
use pawl_domain::access::Role;
use pawl_domain::id::Digest;
use pawl_domain::namespace::Namespace;

use super::{Error, Result};

/// Tokens that are told in a list.
pub const TOLD: u32 = 1_000;

/// A token that is to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Of its text.
    pub digest: Digest,
    /// What it is called: no other token of its namespace that is not revoked has that name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where; `None`: everywhere.
    pub namespace: Option<Namespace>,
    /// The name of the token that makes it; `None`: whoever has the store.
    pub created_by: Option<String>,
    /// How long it is good for, ms; `None`: until it is revoked.
    pub expires_in_ms: Option<u64>,
}

/// Whether a token is good, by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is, for so many ms more; `None`: until it is revoked.
    Good(Option<u64>),
    /// Its time has come.
    Expired,
    /// Somebody has revoked it.
    Revoked,
}

/// A token, as far as a store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Of its text.
    pub digest: Digest,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where; `None`: everywhere.
    pub namespace: Option<Namespace>,
    /// When it was made.
    pub created_at_ms: i64,
    /// The name of the token that made it.
    pub created_by: Option<String>,
    /// Until when it is good; `None`: until it is revoked.
    pub expires_at_ms: Option<i64>,
    /// Since when it is revoked.
    pub revoked_at_ms: Option<i64>,
    /// Whether it is good now.
    pub standing: Standing,
}

impl TokenRow {
    /// How it stands at this time of the store's clock.
    pub(crate) fn standing(expires_at_ms: Option<i64>, revoked_at_ms: Option<i64>, now_ms: i64) -> Standing {
        match (revoked_at_ms, expires_at_ms) {
            (Some(_), _) => Standing::Revoked,
            (None, Some(at_ms)) if at_ms <= now_ms => Standing::Expired,
            (None, until) => Standing::Good(until.map(|at_ms| (at_ms - now_ms).unsigned_abs())),
        }
    }
}

/// Tokens.
#[async_trait]
pub trait Tokens {
    /// Makes one.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of that name that is not revoked.
    async fn create_token(&self, token: &NewToken) -> Result<()>;

    /// The one whose text has this digest: one row of one index.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn token(&self, digest: Digest) -> Result<Option<TokenRow>>;

    /// Those that are not revoked by name, then those that are, the newest first; [`TOLD`] of them. With a namespace, those of it
    /// alone.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn tokens(&self, namespace: Option<&Namespace>) -> Result<Vec<TokenRow>>;

    /// Those of that name that are not revoked: one of each namespace at most, and one of all.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn tokens_named(&self, name: &str) -> Result<Vec<TokenRow>>;

    /// Revokes the one whose text has this digest; false if there is none that is not revoked.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn revoke_token(&self, digest: Digest) -> Result<bool>;

    /// Whether a token was ever made here: from then on nobody is let in without one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn has_tokens(&self) -> Result<bool>;
}

pub(super) fn name_is_taken(name: &str) -> Error {
    Error::Conflict(format!("there is a token `{name}`: revoke it first, or give this one another name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_its_time_comes_or_somebody_revokes_it() {
        for (expires_at, revoked_at, standing) in [
            (None, None, Standing::Good(None)),
            (Some(1_500), None, Standing::Good(Some(500))),
            (Some(1_000), None, Standing::Expired),
            (None, Some(900), Standing::Revoked),
            (Some(999), Some(998), Standing::Revoked),
        ] {
            assert_eq!(TokenRow::standing(expires_at, revoked_at, 1_000), standing);
        }
    }
}

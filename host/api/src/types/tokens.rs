//! Tokens, and the record of what was asked with them.

use std::ops::RangeInclusive;

use pawl_domain::id::RunId;
use pawl_domain::name::Name;
use pawl_domain::namespace::Namespace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::whole::whole;

pub use pawl_domain::access::Role;

/// `POST /v1/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is called, in lists and in the record of changes.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Where: in this namespace alone; if nothing is said, wherever the token counts that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// How long it is good for, ms: a hundred years at most; until it is revoked if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 3_153_600_000_000_u64))]
    pub expires_in_ms: Option<u64>,
}

impl CreateToken {
    /// How long a token may be good for.
    pub const EXPIRES_IN_MS: RangeInclusive<u64> = 1..=100 * 365 * 86_400_000;
}

/// The answer to it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreatedToken {
    /// Its text, which nobody can be told again.
    pub token: String,
    /// What is known of it.
    #[serde(flatten)]
    pub about: Token,
}

/// `GET /v1/tokens`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenList {
    /// Those that are not revoked by name, then those that are, the newest first; a thousand at most.
    pub tokens: Vec<Token>,
}

/// Whether a token lets somebody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenState {
    /// It does.
    Good,
    /// Its time has come.
    Expired,
    /// Somebody has revoked it.
    Revoked,
}

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where; everywhere if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Whether it lets somebody in.
    pub state: TokenState,
    /// When it was made; ms since 1970.
    pub created_at_ms: i64,
    /// The name of the token that made it; if it is not there, whoever had the database, or could connect where no token was
    /// wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Until when it is good, ms since 1970; until it is revoked if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    /// Since when it is revoked; ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<i64>,
}

/// `DELETE /v1/tokens/{token}`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RevokedToken {
    /// What it was called.
    pub name: Name,
}

/// `GET /v1/audit`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChangeList {
    /// The newest first.
    pub changes: Vec<Change>,
    /// The `before` of the next page; none if this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// Of how many lines these were picked, where no index tells them: a page may have few or none, and a `next` all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<u32>,
    /// When the last one of these was written: so far back was looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_to_ms: Option<i64>,
}

/// A change that somebody has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Its number; they grow.
    pub id: i64,
    /// When it was asked for; ms since 1970.
    pub at_ms: i64,
    /// The name of the token; if it is not there, no token was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The address that it came from.
    pub source: String,
    /// The operation, by its name in this document.
    pub what: String,
    /// Path and query.
    pub target: String,
    /// What the body named, if that says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The run that it was about, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The namespace that it was about; if it is not there, the whole installation, or it was recorded before lines said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// The status of the answer; if it is not there, it is under way, or what came of it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

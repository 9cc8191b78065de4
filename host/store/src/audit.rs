//! The record of changes that people ask for: who, from where, what, and what came of it. A line is written before the change is
//! made, and completed when it is answered, so that no change is without one. What has changed nothing is taken back.

use async_trait::async_trait;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;

use super::Result;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The name of the token; `None`: no token was wanted.
    pub who: Option<String>,
    /// The address that it came from.
    pub source: String,
    /// The route's name.
    pub what: String,
    /// Its path and query.
    pub target: String,
    /// The run that it is about, if it is about one.
    pub run: Option<RunId>,
    /// The namespace that it is about, or of whom it was asked; `None`: the whole installation.
    pub namespace: Option<Namespace>,
}

/// A line of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; they grow.
    pub id: i64,
    /// When it was asked for.
    pub at_ms: i64,
    /// Who asked, and for what.
    pub asked: Asked,
    /// What the body named, if that says more.
    pub subject: Option<String>,
    /// Of the answer; `None`: it is under way, or its end is not known.
    pub status: Option<u16>,
}

/// Which lines are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter<'a> {
    /// Of this namespace alone.
    pub namespace: Option<&'a Namespace>,
    /// Of this run alone.
    pub run: Option<RunId>,
    /// Before the one of this number.
    pub before: Option<i64>,
    /// So many at most.
    pub limit: u32,
}

/// The record of changes.
#[async_trait]
pub trait Audits {
    /// Writes a line before the change is made; returns its number.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable): then the change is not to be made.
    async fn ask(&self, asked: &Asked) -> Result<i64>;

    /// Says what came of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn answered(&self, id: i64, status: u16, subject: Option<&str>) -> Result<()>;

    /// Takes a line back whose request has changed nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn take_back(&self, id: i64) -> Result<()>;

    /// Lines, the newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn audit(&self, filter: AuditFilter<'_>) -> Result<Vec<AuditRow>>;

    /// The number before which all lines are from before that time, ms since 1970: the first one's that is not, or the next one's if
    /// none is. Lines have no index by time; their numbers grow with it, so that this is found by halving them, with some two dozen
    /// lines read of ten million. Where lines that were written at the same time are out of order, it is about there.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable).
    async fn change_since(&self, at_ms: i64) -> Result<i64>;
}

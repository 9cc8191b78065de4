//! What can go wrong with the store, by what a caller does about it.

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;

/// What a database said.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached, or is shutting down: try again later. What was sent may have been committed. First the store's name.
    #[error("{0} is not available")]
    Unavailable(&'static str, #[source] Source),
    /// It is there, and takes no writes now: try again later. The store's name.
    #[error("{0} takes no writes: it is read only")]
    ReadOnly(&'static str),
    /// It gave up a statement that took longer than one may. First the store's name.
    #[error("{0} took longer over a statement than one may")]
    Slow(&'static str, #[source] Source),
    /// Somebody else holds what the statement needs, for longer than one may wait. First the store's name.
    #[error("something that {0} should write is held by somebody else")]
    Held(&'static str, #[source] Source),
    /// No answer in time: the connection may be dead without having been reset, or what was asked takes too long. It
    /// may have been done.
    #[error("the store did not answer in time")]
    Silent,
    /// It refused the content: sending it again changes nothing. First the store's name.
    #[error("{0} refused the statement")]
    Refused(&'static str, #[source] Source),
    /// The database's schema is not this build's.
    #[error("the database's schema is at version {found}, this build needs {needed}: {}",
            if found < needed { "run `pawl migrate`" } else { "use a newer pawl" })]
    Schema {
        /// In the database; 0 if there is none.
        found: i64,
        /// In this build.
        needed: i64,
    },
    /// The schema has the right version, and was made otherwise.
    #[error("migration {version} in the database is not this build's: use the pawl that made it, or a fresh database")]
    ForeignSchema {
        /// Of the migration.
        version: i64,
    },
    /// Bytes that do not match their digest.
    #[error("{0} is damaged: its bytes do not match their digest")]
    Damaged(String),
    /// Nothing of that name or id.
    #[error("{0}")]
    NotFound(String),
    /// The state of things forbids it.
    #[error("{0}")]
    Conflict(String),
    /// A setting is wrong.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// The error with all its causes, for a log line.
    #[must_use]
    pub fn chain(&self) -> String {
        pawl_base::chain(self)
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(..) | Self::ReadOnly(_)) || self.may_be_too_much()
    }

    /// Whether less work at once may help: the store is there, and slow is not away.
    #[must_use]
    pub fn may_be_too_much(&self) -> bool {
        matches!(self, Self::Slow(..) | Self::Held(..) | Self::Silent)
    }
}

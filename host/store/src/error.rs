//! What can go wrong with the store, by what a caller does about it.

use pawl_domain::journal::Knowledge;

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
    /// It is there, and does not let in who asks so: the user, the password or the database is another. First the store's name.
    #[error("{0} refuses the user, the password or the database of database_url")]
    Denied(&'static str, #[source] Source),
    /// It is there, and can't be spoken to as the URL asks, over TLS. First the store's name, then what to do.
    #[error("{0} can't be spoken to as safely as database_url asks: {1}")]
    Unsafe(&'static str, &'static str, #[source] Source),
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
    #[error("{}", misfit(*found, *needed))]
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
    /// What another build has written, which knows more than this one.
    #[error("{what} was written by a newer version of Pawl than this one")]
    Newer {
        /// For people.
        what: String,
        /// What must be known to read it.
        needs: Knowledge,
    },
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
        matches!(self, Self::Unavailable(..) | Self::ReadOnly(_))
            || self.is_denied()
            || self.may_be_too_much()
            || self.is_to_be_migrated()
    }

    /// Whether somebody must change the URL, or what the store lets in or shows: a process that runs waits for that, and who has just
    /// written the URL is told at once.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied(..) | Self::Unsafe(..))
    }

    /// Whether the schema is that of an older build, or there is none yet: somebody may be about to bring it up to date.
    #[must_use]
    pub fn is_to_be_migrated(&self) -> bool {
        matches!(self, Self::Schema { found, needed } if found < needed)
    }

    /// Whether less work at once may help: the store is there, and slow is not away.
    #[must_use]
    pub fn may_be_too_much(&self) -> bool {
        matches!(self, Self::Slow(..) | Self::Held(..) | Self::Silent)
    }
}

/// What is wrong with a schema of another version.
fn misfit(found: i64, needed: i64) -> String {
    if found == 0 {
        return "the database has no schema yet: run `pawl migrate`".to_owned();
    }
    let fix = if found < needed { "run `pawl migrate`" } else { "use a newer pawl" };
    format!("the database's schema is at version {found}, this build needs {needed}: {fix}")
}

//! What can go wrong with the database, by what a caller does about it.

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database can't be reached, is shutting down or too slow: try again later. What was sent may
    /// have been committed.
    #[error("Postgres is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The database refused the content: sending it again changes nothing.
    #[error("Postgres refused the statement")]
    Refused(#[source] sqlx::Error),
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
    #[error("the database URL is not valid: {0}")]
    Config(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let refused = match &error {
            // Classes 08 (connection), 40 (rollback: deadlock, serialization), 53 (resources), 55 (lock
            // not available), 57 (shutdown, cancelled by timeout) and 58 (system) pass by themselves.
            // https://www.postgresql.org/docs/15/errcodes-appendix.html
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                !["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
            }
            sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
            sqlx::Error::RowNotFound | sqlx::Error::ColumnNotFound(_) => true,
            _ => false,
        };
        if refused { Self::Refused(error) } else { Self::Unavailable(error) }
    }
}

impl Error {
    pub(super) fn from_migration(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            sqlx::migrate::MigrateError::VersionMissing(found) => Self::Schema { found, needed: 0 },
            other => Self::Refused(sqlx::Error::Migrate(Box::new(other))),
        }
    }

    /// No answer in time: the connection may be dead without having been reset.
    #[must_use]
    pub fn silent() -> Self {
        Self::Unavailable(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
    }

    /// The error with all its causes, for a log line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

//! What Postgres says, by what a caller does about it.

use super::NAME;
use crate::Error;
use crate::error::Source;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => of_code(&database.code().unwrap_or_default())(NAME, error.into()),
            sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                Self::Refused(NAME, error.into())
            }
            sqlx::Error::RowNotFound | sqlx::Error::ColumnNotFound(_) => Self::Refused(NAME, error.into()),
            _ => Self::Unavailable(NAME, error.into()),
        }
    }
}

/// What a SQLSTATE means: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
fn of_code(code: &str) -> fn(&'static str, Source) -> Error {
    // Classes 08 (connection), 40 (rollback: deadlock, serialization), 53 (resources), 57 (shutdown) and 58 (system)
    // pass by themselves.
    match code {
        // query_canceled: by the statement timeout, or by somebody to whom it took too long.
        "57014" => Error::Slow,
        // lock_not_available, by the lock timeout.
        "55P03" => Error::Held,
        _ if ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class)) => Error::Unavailable,
        _ => Error::Refused,
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            sqlx::migrate::MigrateError::VersionMissing(found) => Self::Schema { found, needed: 0 },
            other => Self::Refused(NAME, other.into()),
        }
    }
}

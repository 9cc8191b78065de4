//! What Postgres says, by what a caller does about it.

use super::NAME;
use crate::Error;

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
        if refused { Self::Refused(NAME, error.into()) } else { Self::Unavailable(NAME, error.into()) }
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

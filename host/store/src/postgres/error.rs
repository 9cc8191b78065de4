//! What Postgres says, by what a caller does about it.

use super::{NAME, tls};
use crate::Error;
use crate::error::Source;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.code().as_deref() == Some(READ_ONLY) => Self::ReadOnly(NAME),
            // Its words alone: sqlx adds the line in Postgres' own source, and says all of it twice.
            sqlx::Error::Database(database) => {
                of_code(&database.code().unwrap_or_default())(NAME, database.message().into())
            }
            sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                Self::Refused(NAME, error.into())
            }
            sqlx::Error::Tls(said) => match said.downcast_ref::<tls::Unsafe>() {
                Some(refused) => Self::Unsafe(NAME, refused.fix, refused.to_string().into()),
                None => Self::Unavailable(NAME, error.into()),
            },
            sqlx::Error::RowNotFound | sqlx::Error::ColumnNotFound(_) => Self::Refused(NAME, error.into()),
            _ => Self::Unavailable(NAME, error.into()),
        }
    }
}

/// read_only_sql_transaction: a standby, or a primary that became one behind a name that leads elsewhere by now.
const READ_ONLY: &str = "25006";

/// What a SQLSTATE means: <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
fn of_code(code: &str) -> fn(&'static str, Source) -> Error {
    match code {
        // query_canceled: by the statement timeout, or by somebody to whom it took too long.
        "57014" => Error::Slow,
        // lock_not_available, by the lock timeout.
        "55P03" => Error::Held,
        // invalid_authorization_specification, invalid_catalog_name.
        _ if is_denied(code) => Error::Denied,
        _ if blames_content(code) => Error::Refused,
        // Whatever else it is, another server, another time or an operator may change it, and what was sent is kept until
        // then: a server that is read only, is full or shuts down.
        _ => Error::Unavailable,
    }
}

/// Whether a session was refused for its user, its password or its database.
fn is_denied(code: &str) -> bool {
    code.starts_with("28") || code == "3D000"
}

/// Whether it is about what was sent: sent again, it is refused again.
fn blames_content(code: &str) -> bool {
    // undefined_table, undefined_function, invalid_schema_name, insufficient_privilege: nothing of Pawl's is there.
    let is_gone = ["42P01", "42883", "3F000", "42501"].contains(&code);
    // Data, integrity, limits of the program; syntax, and what functions raise, which are faults of ours.
    !is_gone && ["21", "22", "23", "42", "44", "54", "P0"].iter().any(|class| code.starts_with(class))
}

/// Whether the connection is of no more use after it: another one may lead elsewhere, or begins anew.
pub(super) fn ends_session(code: &str) -> bool {
    // feature_not_supported: a plan that a migration has overtaken.
    [READ_ONLY, "0A000"].contains(&code) || ["08", "26", "28", "3D", "57P"].iter().any(|class| code.starts_with(class))
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            // insufficient_privilege: it is another role that owns the schema.
            sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("42501") =>
            {
                Self::Denied(NAME, error.message().into())
            }
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            sqlx::migrate::MigrateError::VersionMissing(found) => {
                Self::Schema { found, needed: super::needed_version() }
            }
            other => Self::Refused(NAME, other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str) -> &'static str {
        match of_code(code)(NAME, "said so".into()) {
            Error::Slow(..) => "slow",
            Error::Held(..) => "held",
            Error::Refused(..) => "refused",
            Error::Denied(..) => "denied",
            _ => "away",
        }
    }

    #[test]
    fn only_what_blames_the_content_is_refused() {
        for (code, means) in [
            ("57014", "slow"),
            ("55P03", "held"),
            // A NUL in a text, a check, a value that is too large for an index, a fault in a function.
            ("22021", "refused"),
            ("23514", "refused"),
            ("54000", "refused"),
            ("P0001", "refused"),
            ("28P01", "denied"),
            ("28000", "denied"),
            ("3D000", "denied"),
            // Read only, a dropped table, no connection left, a full disk, a crash, a role
            // that was taken its rights, an error of the server's own.
            ("25006", "away"),
            ("42P01", "away"),
            ("53300", "away"),
            ("53100", "away"),
            ("57P02", "away"),
            ("42501", "away"),
            ("XX000", "away"),
        ] {
            assert_eq!(kind(code), means, "{code}");
        }
    }
}

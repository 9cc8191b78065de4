//! How safely a server is spoken to, and what to do when that fails. What nobody has said anything about is done as safely as there
//! is: over TLS, with a certificate that is trusted and is for that name. On this machine itself, nobody listens in.
//!
//! ```text
//!  a socket ─▶ as it is        loopback ─▶ TLS if the server has it, whoever it is        elsewhere ─▶ verify-full
//! ```
//!
//! `sslmode` of the URL says otherwise, else the variable `PGSSLMODE`.

use std::io::ErrorKind::{NotFound, PermissionDenied};

use pawl_base::{TlsFault, is_loopback};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::{Error, Result};

/// A variable of the environment.
pub(super) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Parameters of a URL by which somebody says it, or names certificates to trust.
const MODE: [&str; 2] = ["sslmode", "ssl-mode"];
const ROOT: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];

/// The server with a mode for sure.
///
/// # Errors
/// [`Error::Config`] if `PGSSLMODE` says what is none.
pub(super) fn secured(server: PgConnectOptions, url: &str, variable: Variable<'_>) -> Result<PgConnectOptions> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let said = if says(url, &MODE) {
        // It was read with the rest of the URL.
        Some(server.get_ssl_mode())
    } else {
        let read = |mode: String| {
            mode.parse::<PgSslMode>().map_err(|_| {
                Error::Config(format!(
                    "PGSSLMODE is {mode:?}: write disable, prefer, require, verify-ca or verify-full"
                ))
            })
        };
        variable("PGSSLMODE").map(read).transpose()?
    };
    let names_ca = says(url, &ROOT) || variable("PGSSLROOTCERT").is_some();
    let is_socket = server.get_socket().is_some() || server.get_host().starts_with('/');
    let mode = mode(said, names_ca, is_socket, is_loopback(server.get_host()));
    Ok(server.ssl_mode(mode))
}

/// Whether a URL has one of these parameters.
fn says(url: &str, names: &[&str]) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| names.contains(&pair.split('=').next().unwrap_or_default()))
}

fn mode(said: Option<PgSslMode>, names_ca: bool, is_socket: bool, is_loopback: bool) -> PgSslMode {
    match said {
        // As libpq has it: there is nobody in between.
        _ if is_socket => PgSslMode::Disable,
        None if is_loopback => PgSslMode::Prefer,
        None => PgSslMode::VerifyFull,
        // And this: whoever names a CA wants it to be looked at.
        Some(PgSslMode::Require) if names_ca => PgSslMode::VerifyCa,
        Some(mode) => mode,
    }
}

/// Why there is no connection as it was asked for, which no waiting mends.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {said}")]
pub(super) struct Unsafe {
    address: String,
    said: String,
    /// What to do, for anybody to see.
    pub(super) fix: &'static str,
}

/// What a connection to a server met, if it is about TLS or the files that it needs.
pub(super) fn unsafe_by(server: &PgConnectOptions, address: &str, error: &sqlx::Error) -> Option<Unsafe> {
    let fix = match error {
        sqlx::Error::Configuration(_) => FILES_FIX,
        sqlx::Error::Tls(said) if said.to_string() == NOT_SUPPORTED => NO_TLS_FIX,
        sqlx::Error::Tls(said) => TlsFault::of(&**said).map_or(FILES_FIX, fix),
        sqlx::Error::Io(said) => match TlsFault::of(said) {
            Some(fault) => fix(fault),
            None if matches!(said.kind(), NotFound | PermissionDenied) && names_files(server) => FILES_FIX,
            None => return None,
        },
        _ => return None,
    };
    let said = match error {
        sqlx::Error::Io(said) => said.to_string(),
        sqlx::Error::Tls(said) | sqlx::Error::Configuration(said) => said.to_string(),
        other => other.to_string(),
    };
    Some(Unsafe { address: address.to_owned(), said, fix })
}

/// Whether there are files to read before a connection is there. A socket needs none, and is one itself.
fn names_files(server: &PgConnectOptions) -> bool {
    let told = server.to_url_lossy();
    let named = told.query_pairs().any(|(name, _)| ["sslrootcert", "sslcert", "sslkey"].contains(&&*name));
    named && server.get_socket().is_none()
}

/// As sqlx says it of a server that answered no.
const NOT_SUPPORTED: &str = "server does not support TLS";

const NO_TLS_FIX: &str = "it speaks no TLS: switch that on (ssl = on), or write sslmode=disable into database_url if the whole way \
                          there is yours";
const FILES_FIX: &str = "sslrootcert, sslcert and sslkey in database_url name files (PEM) that this process may read, the last two together";

const fn fix(fault: TlsFault) -> &'static str {
    match fault {
        TlsFault::Untrusted => {
            "nobody who is trusted here has signed its certificate: name its CA, sslrootcert=FILE in database_url"
        }
        TlsFault::OtherName => {
            "its certificate is for other names: name it in database_url as its certificate does, or have one made for this \
             name; sslmode=verify-ca looks at no name"
        }
        TlsFault::OutOfTime => "its certificate has ended, or is not good yet: renew it, and look at both clocks",
        TlsFault::OfCa => {
            "it shows the certificate of a CA itself: have that sign one for the server, with basicConstraints=CA:FALSE"
        }
        TlsFault::WantsOurs => {
            "it wants a certificate of a client, or another one: sslcert=FILE&sslkey=FILE in database_url"
        }
        TlsFault::NoTls | TlsFault::Other => "TLS with it fails: see what stands at that address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libpq writes it; `PgSslMode` can't be compared.
    fn of(url: &str, variables: &[(&str, &str)]) -> String {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, it)| (*it).to_owned());
        let server = secured(url.parse().unwrap(), url, &variable).unwrap();
        format!("{:?}", server.get_ssl_mode())
    }

    #[test]
    fn what_nobody_has_said_is_as_safe_as_the_way_asks_for() {
        for (url, expected) in [
            ("postgres://db.example.org/pawl", "VerifyFull"),
            ("postgres://10.0.0.7/pawl", "VerifyFull"),
            ("postgres://db/pawl?sslrootcert=/etc/ours.pem", "VerifyFull"),
            ("postgres://127.0.0.1:5433/pawl", "Prefer"),
            ("postgres://localhost/pawl", "Prefer"),
            ("postgres://[::1]/pawl", "Prefer"),
            ("postgres://%2Frun%2Fpostgresql/pawl", "Disable"),
            ("postgres:///pawl?host=/run/postgresql", "Disable"),
            // What is reached by another name than that of the URL.
            ("postgres://localhost/pawl?host=db.example.org", "VerifyFull"),
        ] {
            assert_eq!(of(url, &[]), expected, "{url}");
        }
    }

    #[test]
    fn the_url_says_otherwise_and_else_the_environment() {
        for (url, variables, expected) in [
            ("postgres://db/pawl?sslmode=disable", &[][..], "Disable"),
            ("postgres://db/pawl?sslmode=prefer", &[], "Prefer"),
            ("postgres://db/pawl?sslmode=require", &[], "Require"),
            ("postgres://db/pawl?sslmode=require&sslrootcert=/ours.pem", &[], "VerifyCa"),
            ("postgres://127.0.0.1/pawl?ssl-mode=verify-full", &[], "VerifyFull"),
            ("postgres://db/pawl", &[("PGSSLMODE", "require")], "Require"),
            ("postgres://db/pawl", &[("PGSSLMODE", "require"), ("PGSSLROOTCERT", "/ours.pem")], "VerifyCa"),
            ("postgres://db/pawl", &[("PGSSLMODE", "")], "VerifyFull"),
            ("postgres://db/pawl?sslmode=verify-ca", &[("PGSSLMODE", "disable")], "VerifyCa"),
            ("postgres://%2Frun/pawl?sslmode=verify-full", &[], "Disable"),
        ] {
            assert_eq!(of(url, variables), expected, "{url} {variables:?}");
        }
        let misspelt = |_: &str| Some("verify_full".to_owned());
        let refused = secured("postgres://db/pawl".parse().unwrap(), "postgres://db/pawl", &misspelt).unwrap_err();
        assert!(refused.to_string().contains("PGSSLMODE is \"verify_full\""), "{refused}");
    }

    #[test]
    fn what_fails_of_tls_is_told_with_its_fix() {
        use std::io;
        let server: PgConnectOptions = "postgres://db/pawl?sslcert=/own.pem&sslkey=/own.key".parse().unwrap();
        let fix = |error: sqlx::Error| unsafe_by(&server, "db:5432", &error).map(|it| (it.to_string(), it.fix));
        let (said, no_tls) = fix(sqlx::Error::Tls(NOT_SUPPORTED.into())).unwrap();
        assert!(said.starts_with("db:5432: ") && no_tls.contains("sslmode=disable"), "{said}");
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let unknown = sqlx::Error::Io(io::Error::new(io::ErrorKind::InvalidData, unknown));
        assert!(fix(unknown).unwrap().1.contains("sslrootcert=FILE"));
        assert!(fix(sqlx::Error::Io(NotFound.into())).unwrap().1.contains("sslkey"));
        let without: PgConnectOptions = "postgres://db/pawl".parse().unwrap();
        assert!(unsafe_by(&without, "db:5432", &sqlx::Error::Io(NotFound.into())).is_none(), "no file is named");
        assert!(fix(sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into())).is_none());
        assert!(fix(sqlx::Error::PoolClosed).is_none());
    }
}

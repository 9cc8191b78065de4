//! Where the database is, and what each session is told first.
//!
//! The URL is that of libpq: it may name several servers, of which one can be written to.
//! (<https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING>) Settings are made by a statement, and not in
//! the packet that begins a session: a pooler in between may know nothing of those.

use std::io;
use std::str::FromStr;
use std::sync::Arc;

use pawl_base::one_by_one;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::tls;
use crate::{Error, Result};

/// The servers of one database, in the order in which they are tried.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    servers: Arc<[PgConnectOptions]>,
    /// Only a server that takes writes will do.
    writable: bool,
    settings: Vec<(&'static str, String)>,
}

impl Servers {
    /// Those of a URL. Each session gets these settings.
    ///
    /// # Errors
    /// [`Error::Config`] if it is none.
    pub(super) fn of(url: &str, settings: Vec<(&'static str, String)>) -> Result<Self> {
        let (urls, attributes) = split(url);
        let servers = urls.iter().map(|url| options(url)).collect::<Result<Arc<[_]>>>()?;
        let writable = match attributes.as_deref() {
            None => servers.len() > 1,
            Some("any") => false,
            Some("read-write" | "primary") => true,
            Some(other) => {
                return Err(Error::Config(format!(
                    "database_url asks for a server that is {other}: Pawl writes, use target_session_attrs=read-write"
                )));
            }
        };
        Ok(Self { servers, writable, settings })
    }

    /// The same with another value for a setting.
    pub(super) fn with(mut self, setting: &'static str, value: String) -> Self {
        self.settings.retain(|(known, _)| *known != setting);
        self.settings.push((setting, value));
        self
    }

    /// A session on the first server that is there, and takes writes if that is asked for.
    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        let mut conn = self.open().await?;
        let settings: Vec<_> =
            self.settings.iter().map(|(name, value)| format!("set_config('{name}', '{value}', false)")).collect();
        sqlx::raw_sql(AssertSqlSafe(format!("select {}", settings.join(", ")))).execute(&mut conn).await?;
        Ok(conn)
    }

    /// The same with nothing set in it.
    pub(super) async fn open(&self) -> sqlx::Result<PgConnection> {
        let mut last = sqlx::Error::PoolClosed;
        for server in &*self.servers {
            match self.open_one(server).await {
                Ok(conn) => return Ok(conn),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn open_one(&self, server: &PgConnectOptions) -> sqlx::Result<PgConnection> {
        let mut conn = PgConnection::connect_with(server).await.map_err(|error| at(server, error))?;
        if self.writable {
            // Refused where it is read only, with the reason.
            sqlx::raw_sql("begin read write; commit").execute(&mut conn).await?;
        }
        Ok(conn)
    }

    /// Where they are, for people; nothing else of the URL.
    pub(super) fn addresses(&self) -> String {
        self.servers.iter().map(address).collect::<Vec<_>>().join(", ")
    }

    /// Whether each connection has a session of its own, which a pooler that lends servers for single transactions does not
    /// give: what one connection says of its session, another one finds there.
    ///
    /// # Errors
    /// [`Error::Config`] if not.
    pub(super) async fn check_sessions(&self) -> Result<()> {
        let (mut one, mut other) = (self.open().await?, self.open().await?);
        sqlx::raw_sql("set pawl.connection = 'one'").execute(&mut one).await?;
        sqlx::raw_sql("set pawl.connection = 'other'").execute(&mut other).await?;
        let kept = sqlx::raw_sql("do $$ begin assert current_setting('pawl.connection', true) = 'one'; end $$");
        match kept.execute(&mut one).await {
            Ok(_) => Ok(()),
            // assert_failure
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("P0004") => Err(Error::Config(
                "database_url leads to a pooler that gives each transaction another session (PgBouncer's \
                 `pool_mode = transaction`), and Pawl needs its own: use `pool_mode = session`, or name Postgres itself"
                    .to_owned(),
            )),
            Err(error) => Err(error.into()),
        }
    }
}

/// Host and port of each server of a URL, wherever in it they stand; sockets have none, and what is no URL neither.
pub(super) fn endpoints(url: &str) -> Vec<(String, u16)> {
    let options = split(url).0.into_iter().filter_map(|url| PgConnectOptions::from_str(&url).ok());
    let mut all = Vec::new();
    for server in options.filter(|server| server.get_socket().is_none()) {
        let hosts = server.get_host().split(',').map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        all.extend(hosts.map(|host| (host.to_owned(), server.get_port())));
    }
    all
}

/// Host and port, or the folder of a socket.
fn address(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(folder) => folder.display().to_string(),
        None if server.get_host().contains(':') => format!("[{}]:{}", server.get_host(), server.get_port()),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}

/// What the network said, with the address that was tried: a URL may name several servers, and a name leads somewhere.
fn at(server: &PgConnectOptions, error: sqlx::Error) -> sqlx::Error {
    if let Some(refused) = tls::unsafe_by(server, &address(server), &error) {
        return sqlx::Error::Tls(refused.into());
    }
    match error {
        sqlx::Error::Io(said) => sqlx::Error::Io(io::Error::new(said.kind(), format!("{}: {said}", address(server)))),
        sqlx::Error::Tls(said) => sqlx::Error::Tls(format!("{}: {said}", address(server)).into()),
        other => other,
    }
}

/// One URL for each server, and what is asked of them (`target_session_attrs`).
fn split(url: &str) -> (Vec<String>, Option<String>) {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (attributes, others): (Vec<&str>, Vec<&str>) =
        query.split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.starts_with("target_session_attrs="));
    let asks = if others.is_empty() { "" } else { "?" };
    let attributes = attributes.last().and_then(|pair| pair.split_once('=')).map(|(_, value)| value.to_owned());
    (one_by_one(&format!("{place}{asks}{}", others.join("&"))), attributes)
}

fn options(url: &str) -> Result<PgConnectOptions> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Config(
            "database_url is not valid: it begins with `postgres://`, for example postgres://USER:PASSWORD@HOST:5432/DATABASE"
                .to_owned(),
        ));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        Error::Config(format!(
            "database_url is not valid: {error}. It looks like postgres://USER:PASSWORD@HOST:5432/DATABASE. What is special in a URL is encoded in user and password: / as %2F, \
             @ as %40, # as %23"
        ))
    })?;
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']').to_owned();
    // Numbers are sent as such, not as text; poolers know nothing of it.
    let options = options.host(&host).extra_float_digits(None).application_name("pawl");
    tls::secured(options, url, &|name| std::env::var(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_servers() {
        let (urls, attributes) =
            split("postgres://ann:a%40b@one:1,[::1]:2,three/db?sslmode=require&target_session_attrs=any");
        let rest = "db?sslmode=require";
        assert_eq!(urls, ["one:1", "[::1]:2", "three"].map(|host| format!("postgres://ann:a%40b@{host}/{rest}")));
        assert_eq!(attributes.as_deref(), Some("any"));
        assert_eq!(split("postgres://one/db"), (vec!["postgres://one/db".to_owned()], None));
        assert_eq!(split("postgres://one").0, ["postgres://one"]);
    }

    #[test]
    fn one_of_several_must_take_writes_unless_any_will_do() {
        let writable = |url: &str| Servers::of(url, Vec::new()).map(|servers| servers.writable);
        assert!(!writable("postgres://one/db").unwrap());
        assert!(writable("postgres://one,two/db").unwrap());
        assert!(writable("postgres://one/db?target_session_attrs=primary").unwrap());
        assert!(!writable("postgres://one,two/db?target_session_attrs=any").unwrap());
        let refused = writable("postgres://one,two/db?target_session_attrs=standby").unwrap_err();
        assert!(refused.to_string().contains("read-write"), "{refused}");
    }

    #[test]
    fn servers_are_known_wherever_in_a_url_they_stand() {
        for (url, found) in [
            ("postgres://ann:secret@one:1,two/pawl", &[("one", 1), ("two", 5432)][..]),
            ("postgres://ann@[::1]:2/pawl?sslmode=disable", &[("::1", 2)]),
            ("postgres:///pawl?host=db.example.org&port=6432&user=ann", &[("db.example.org", 6432)]),
            ("postgres://one/pawl?host=two", &[("two", 5432)]),
            ("postgres:///pawl?host=10.0.0.5,10.0.0.6", &[("10.0.0.5", 5432), ("10.0.0.6", 5432)]),
            ("postgres:///pawl?host=/run/postgresql", &[]),
            ("nonsense", &[]),
        ] {
            let found: Vec<_> = found.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
            assert_eq!(endpoints(url), found, "{url}");
        }
    }

    #[test]
    fn a_url_of_something_else_is_refused() {
        for url in ["mysql://db/pawl", "redis://db", "db/pawl"] {
            assert!(options(url).unwrap_err().to_string().contains("postgres://"), "{url}");
        }
        options("postgresql://db/pawl").unwrap();
    }

    #[test]
    fn an_address_of_ipv6_is_an_address() {
        assert_eq!(options("postgres://[::1]:5433/db").unwrap().get_host(), "::1");
    }

    #[test]
    fn what_the_network_said_is_told_with_the_address_and_without_the_password() {
        for (url, where_) in [
            ("postgres://ann:hunter2@db.example.org/pawl", "db.example.org:5432"),
            ("postgres://ann:hunter2@[::1]:5433/pawl", "[::1]:5433"),
        ] {
            let refused = sqlx::Error::Io(io::ErrorKind::ConnectionRefused.into());
            let told = Error::from(at(&options(url).unwrap(), refused)).chain();
            assert!(told.contains(&format!(" {where_}: ")) && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_told_how() {
        let error = options("postgres://ann:a/b#c@one/db").unwrap_err();
        assert!(error.to_string().contains("%2F"), "{error}");
    }
}

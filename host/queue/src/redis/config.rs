//! How Redis is reached: one server by its name, several of a cluster, with or without TLS.

use std::path::{Path, PathBuf};

use pawl_base::one_by_one;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, ClientTlsConfig, ConnectionInfo, TlsCertificates};

use super::line::{DEAD_AFTER, KEEPALIVE_AFTER, KEEPALIVE_EVERY};
use super::{Error, Result};

/// Where Redis is, and what belongs to Pawl in it.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://[user][:password@]host[:port][/database]`, or `rediss://` for TLS. Of a cluster it names one node or
    /// several, with commas between them: whichever answers tells of the others.
    pub url: String,
    /// What all keys and channels begin with, so that a Redis user may be held to them.
    pub prefix: String,
    /// A file of certificates (PEM) by one of which the server's must be signed; else one of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate (PEM) that is shown to a server which wants one, and its key; both or none.
    pub own: Option<(PathBuf, PathBuf)>,
}

impl RedisConfig {
    /// What is known of keys and certificates unless somebody says otherwise.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: "pawl".to_owned(), ca: None, own: None }
    }

    /// The way to the first server that the URL names, for those who look at it beside Pawl.
    ///
    /// # Errors
    /// [`Error::Config`] if there is something wrong with what is set.
    pub fn client(&self) -> Result<Client> {
        let first = self.servers()?.into_iter().next();
        let client = first.map(Client::open).transpose().map_err(|error| Error::Config(error.to_string()))?;
        client.ok_or_else(|| Error::Config("redis_url names no server".to_owned()))
    }

    /// The servers that the URL names. Whoever connects with them learns of a dead host from the system, too, also while
    /// nothing is asked.
    pub(super) fn servers(&self) -> Result<Vec<ConnectionInfo>> {
        let invalid = |why: String| Error::Config(format!("redis_url is not valid: {why}. It looks like {FORM}"));
        let certificates = self.certificates()?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        let settings = TcpSettings::default().set_keepalive(keepalive).set_user_timeout(DEAD_AFTER);
        let server = |url: String| {
            if let Some(why) = misfit(&url) {
                return Err(invalid(why));
            }
            pawl_base::use_ring();
            let client = match &certificates {
                Some(certificates) => Client::build_with_tls(url, certificates.clone()),
                None => Client::open(url),
            };
            let info = client.map_err(|error| invalid(error.to_string()))?.get_connection_info().clone();
            // It says what library this is, which takes a right of its own.
            let user = info.redis_settings().clone().set_skip_set_lib_name();
            Ok(info.set_redis_settings(user).set_tcp_settings(settings.clone()))
        };
        one_by_one(&self.url).into_iter().map(server).collect()
    }

    /// The prefix, if it leaves the keys' own marks alone: braces say what one node of a cluster keeps together, and `*`
    /// and the like what is looked for.
    pub(super) fn prefix(&self) -> Result<&str> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        match !self.prefix.is_empty() && self.prefix.chars().all(is_plain) {
            true => Ok(&self.prefix),
            false => Err(Error::Config(format!(
                "redis_prefix is {:?}: it must be of letters, digits, and the signs . _ : -",
                self.prefix
            ))),
        }
    }

    fn certificates(&self) -> Result<Option<TlsCertificates>> {
        if self.ca.is_none() && self.own.is_none() {
            return Ok(None);
        }
        let root_cert = self.ca.as_ref().map(|file| self.read("redis_ca", file, CERTIFICATE)).transpose()?;
        let own = |(certificate, key): &(PathBuf, PathBuf)| {
            Ok(ClientTlsConfig {
                client_cert: self.read("redis_certificate", certificate, CERTIFICATE)?,
                client_key: self.read("redis_key", key, KEY)?,
            })
        };
        let client_tls = self.own.as_ref().map(own).transpose()?;
        Ok(Some(TlsCertificates { client_tls, root_cert }))
    }

    /// What a file holds that a setting names, if it is what that wants.
    fn read(&self, setting: &str, file: &Path, (what, mark): (&str, &[u8])) -> Result<Vec<u8>> {
        let refuse = |why: String| Error::Config(format!("{setting} is {}: {why}", file.display()));
        if !self.url.starts_with("rediss://") {
            return Err(refuse("it is for TLS alone, and redis_url does not begin with rediss://".to_owned()));
        }
        let pem = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
        match pem.windows(mark.len()).any(|part| part == mark) {
            true => Ok(pem),
            false => Err(refuse(format!("there is no {what} in it; write it as PEM"))),
        }
    }
}

/// What a URL looks like.
const FORM: &str =
    "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss://… with TLS, for example redis://127.0.0.1:6379/0";

/// What a URL begins with.
const SCHEMES: [&str; 7] = ["redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix", "unix"];

/// What is wrong with the URL of one server, as far as its form tells. It may hold a password, and what is shown of it does not.
fn misfit(url: &str) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("it begins with no scheme".to_owned());
    };
    if !SCHEMES.contains(&scheme) {
        let is_word = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let shown =
            if is_word { format!("it begins with `{scheme}://`") } else { "it begins with no scheme".to_owned() };
        return Some(shown);
    }
    if scheme.ends_with("unix") {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        // Within brackets stands an address of IPv6.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    if host.is_empty() {
        return Some("it names no host".to_owned());
    }
    if let Some(port) = port.filter(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        // It may be part of a password that is not encoded.
        let is_shown = !url.contains('@') && !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
        let shown = if is_shown { format!(", not {port}") } else { String::new() };
        return Some(format!(
            "its port is a number from 1 to 65535{shown}; what is special in a URL is encoded in user and password: / as %2F, \
             @ as %40, # as %23, : as %3A"
        ));
    }
    let database = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    (!database.is_empty() && database.parse::<u32>().is_err()).then(|| {
        "what follows the host's `/` is the number of a database; what is special in a URL is encoded in user and password: \
         / as %2F, @ as %40, # as %23"
            .to_owned()
    })
}

/// What stands in a file, and how PEM tells of it.
const CERTIFICATE: (&str, &[u8]) = ("certificate", b"-----BEGIN CERTIFICATE-----");
const KEY: (&str, &[u8]) = ("private key", b"PRIVATE KEY-----");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_hosts() {
        let addresses = |url: &str| {
            let servers = RedisConfig::new(url).servers().unwrap();
            servers.iter().map(|server| server.addr().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(addresses("redis://a/"), ["a:6379"]);
        assert_eq!(addresses("rediss://me:p,w@a:1,b/0?protocol=resp3"), ["a:1", "b:6379"]);
        assert_eq!(addresses("redis+unix:///run/a,b.sock"), ["/run/a,b.sock"]);
    }

    #[test]
    fn what_can_not_be_meant_is_refused_with_what_may_be() {
        let refused = |config: RedisConfig| match (config.prefix(), config.servers()) {
            (Err(Error::Config(why)), _) | (_, Err(Error::Config(why))) => why,
            other => panic!("{other:?}"),
        };
        let config = RedisConfig::new("redis://127.0.0.1");
        for prefix in ["", "a{b}", "a*", "a b"] {
            let why = refused(RedisConfig { prefix: prefix.to_owned(), ..config.clone() });
            assert!(why.contains(&format!("redis_prefix is {prefix:?}")) && why.contains("letters, digits"), "{why}");
        }
        let ca = |file: &str| RedisConfig { ca: Some(file.into()), ..config.clone() };
        assert!(refused(ca("/dev/null")).contains("rediss://"));
        let secure = |file: &str| RedisConfig { url: "rediss://127.0.0.1".to_owned(), ..ca(file) };
        assert!(refused(secure("/nowhere/at/all")).contains("redis_ca is /nowhere/at/all: "));
        assert!(refused(secure("/dev/null")).contains("no certificate"));
        let own = |url: &str| {
            let own = Some(("/dev/null".into(), "/dev/null".into()));
            refused(RedisConfig { url: url.to_owned(), own, ..config.clone() })
        };
        assert!(own("redis://127.0.0.1").contains("redis_certificate is /dev/null: it is for TLS alone"));
        assert!(own("rediss://127.0.0.1").contains("redis_certificate is /dev/null: there is no certificate in it"));
        for (url, why) in [
            ("http://a", "it begins with `http://`"),
            ("127.0.0.1:6379", "it begins with no scheme"),
            ("redis://", "it names no host"),
            ("redis://:6379/0", "it names no host"),
            ("redis://a:99999", "from 1 to 65535, not 99999"),
            ("redis://a:0", "from 1 to 65535, not 0"),
            ("redis://a:port", "from 1 to 65535"),
            ("redis://ann:hunter2/x@a", "%2F"),
            ("redis://a/pawl", "the number of a database"),
            ("redis://a,b:99999", "from 1 to 65535, not 99999"),
        ] {
            let said = refused(RedisConfig::new(url));
            assert!(said.starts_with("redis_url is not valid: ") && said.contains(why), "{url}: {said}");
            assert!(said.contains("redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]"), "{url}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        for url in
            ["redis://a", "redis://:p%3A@a:1/2", "rediss://a/?protocol=resp3", "redis://[::1]:7/0", "redis://[::1]"]
        {
            assert_eq!(misfit(url), None, "{url}");
        }
    }
}

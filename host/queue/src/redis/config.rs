//! How Redis is reached: one server by its name, several of a cluster, with or without TLS.

use std::path::PathBuf;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, ConnectionAddr, ConnectionInfo, TlsCertificates};

use super::line::{DEAD_AFTER, KEEPALIVE_AFTER, KEEPALIVE_EVERY};
use super::{Error, NAME, Result};

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
}

impl RedisConfig {
    /// What is known of keys and certificates unless somebody says otherwise.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), prefix: "pawl".to_owned(), ca: None }
    }

    /// The servers that the URL names. Whoever connects with them learns of a dead host from the system, too, also while
    /// nothing is asked.
    pub(super) fn servers(&self) -> Result<Vec<ConnectionInfo>> {
        let invalid = |error| Error::Config(format!("the {NAME} URL is not valid: {error}"));
        let certificates = self.certificates()?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
        let settings = TcpSettings::default().set_keepalive(keepalive).set_user_timeout(DEAD_AFTER);
        let server = |url: String| {
            let client = match &certificates {
                Some(certificates) => Client::build_with_tls(url, certificates.clone()),
                None => Client::open(url),
            };
            let info = client.map_err(invalid)?.get_connection_info().clone();
            if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                // Fails only if there is one, which is as good.
                let _ = rustls::crypto::ring::default_provider().install_default();
            }
            Ok(info.set_tcp_settings(settings.clone()))
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
        let Some(file) = &self.ca else { return Ok(None) };
        let refuse = |why: String| Error::Config(format!("redis_ca is {}: {why}", file.display()));
        if !self.url.starts_with("rediss://") {
            return Err(refuse("it is for TLS alone, and redis_url does not begin with rediss://".to_owned()));
        }
        let pem = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
        if !pem.windows(MARK.len()).any(|part| part == MARK) {
            return Err(refuse("there is no certificate in it; write them as PEM".to_owned()));
        }
        Ok(Some(TlsCertificates { client_tls: None, root_cert: Some(pem) }))
    }
}

/// Begins a certificate in PEM.
const MARK: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// A URL of several hosts as one URL for each.
fn one_by_one(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{path}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_hosts() {
        for (url, each) in [
            ("redis://a/", &["redis://a/"][..]),
            ("redis://a:1,b:2", &["redis://a:1", "redis://b:2"]),
            (
                "rediss://me:p,w@[::1]:1,b/0?protocol=resp3",
                &["rediss://me:p,w@[::1]:1/0?protocol=resp3", "rediss://me:p,w@b/0?protocol=resp3"],
            ),
            ("redis+unix:///run/a,b.sock", &["redis+unix:///run/a,b.sock"]),
            ("nonsense", &["nonsense"]),
        ] {
            assert_eq!(one_by_one(url), each);
        }
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
        assert!(refused(RedisConfig::new("http://a")).contains("URL is not valid"));
    }
}

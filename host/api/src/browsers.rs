//! What web pages may do here: nothing, unless they are this process's own. A page can make a browser send requests to addresses
//! that the page itself can't reach, loopback among them, and by a name of its own that it lets point there (DNS rebinding).
//! So each listener goes by some names only, takes no request that another origin's page has sent, and tells browsers to do
//! nothing with its answers. Only an answer that says what they may do with it, as one of Pawl's own pages does, is left as it is.
//!
//! An address in numbers is no name that somebody could let point elsewhere: it is enough that the process listens there, and
//! one that listens on all addresses goes by each.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Result;
use super::types::Problem;

/// What browsers are told with every answer.
static STRICT: [(HeaderName, &str); 2] = [
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// The same as lines of a head.
pub(super) fn last_words() -> String {
    STRICT.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// The names that a listener goes by; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Arc<Names>);

#[derive(Debug)]
struct Names {
    /// Where it listens.
    address: IpAddr,
    /// As it was told where to listen.
    listen: Option<String>,
    /// By a person's word; one that begins with `*.` is for all names below.
    allowed: Vec<String>,
}

impl Hosts {
    /// For a listener that was told to listen there and has that address; and names by a person's word.
    pub(super) fn of(listen: &str, address: SocketAddr, allowed: &[String]) -> Self {
        let listen = listen.parse::<Authority>().ok().map(|listen| bare(listen.host()));
        let allowed = allowed.iter().map(|name| bare(name)).collect();
        Self(Arc::new(Names { address: address.ip().to_canonical(), listen, allowed }))
    }

    /// Whether it goes by that name or address, which has no port.
    fn go_by(&self, host: &str) -> bool {
        let Names { address, listen, .. } = &*self.0;
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(meant) => {
                let meant = meant.to_canonical();
                meant.is_loopback() || meant == *address || address.is_unspecified() || self.lists(host)
            }
            Err(_) => host == "localhost" || listen.as_deref() == Some(host) || self.lists(host),
        }
    }

    /// Whether a person has named it.
    fn lists(&self, host: &str) -> bool {
        self.0.allowed.iter().any(|name| match name.strip_prefix("*.") {
            Some(above) => host.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            None => name == host,
        })
    }

    fn check(&self, request: &Request) -> Result<()> {
        let hosts: Vec<&HeaderValue> = request.headers().get_all(HOST).iter().collect();
        // What the request line names comes before the header.
        let host = match (request.uri().authority(), hosts.as_slice()) {
            (Some(authority), _) => Some(authority.clone()),
            (None, [host]) => {
                let read = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
                Some(read.ok_or_else(|| Problem::unknown_host(&String::from_utf8_lossy(host.as_bytes())))?)
            }
            // No browser leaves it out.
            (None, []) => None,
            (None, _) => return Err(Problem::unknown_host("several")),
        };
        if let Some(host) = &host
            && !self.go_by(&bare(host.host()))
        {
            return Err(Problem::unknown_host(host.as_str()));
        }
        for origin in request.headers().get_all(ORIGIN) {
            let origin = String::from_utf8_lossy(origin.as_bytes());
            if !self.is_own(&origin, host.as_ref()) {
                return Err(Problem::foreign_origin(&origin));
            }
        }
        Ok(())
    }

    /// Whether pages of that origin come from this process: it is where the request goes, or a person has named its host.
    fn is_own(&self, origin: &str, host: Option<&Authority>) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let Ok(page) = authority.parse::<Authority>() else { return false };
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let place = |of: &Authority| (bare(of.host()), of.port_u16().unwrap_or(usual));
        host.is_some_and(|host| place(host) == place(&page)) || self.lists(&bare(page.host()))
    }
}

/// A host's name as names are compared: without capitals, and without the dot of the root.
fn bare(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Refuses what is for another host or from another's page; and tells browsers to do nothing with the answer, unless it says what.
pub(super) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut response = match hosts.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in &STRICT {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn hosts(listen: &str, address: &str, allowed: &[&str]) -> Hosts {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        Hosts::of(listen, address.parse().unwrap(), &allowed)
    }

    fn asked(hosts: &Hosts, host: &str, origin: Option<&str>) -> std::result::Result<(), u16> {
        let mut request = Request::builder().uri("/v1/runs").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        hosts.check(&request.body(Body::empty()).unwrap()).map_err(|problem| problem.status)
    }

    #[test]
    fn a_listener_goes_by_its_address_the_names_of_loopback_and_those_that_a_person_lists() {
        let local = hosts("127.0.0.1:7340", "127.0.0.1:7340", &[]);
        let named = hosts("Pawl.lan:7340", "192.0.2.7:7340", &["pawl.example.org", "*.pawl.svc"]);
        let all = hosts("0.0.0.0:7340", "0.0.0.0:7340", &[]);
        for (hosts, host, is_known) in [
            (&local, "127.0.0.1:7340", true),
            (&local, "localhost:7340", true),
            (&local, "LOCALHOST", true),
            (&local, "localhost.:7340", true),
            (&local, "[::1]:7340", true),
            (&local, "127.0.0.2", true),
            (&local, "192.0.2.7:7340", false),
            (&local, "evil.example:7340", false),
            (&local, "localhost.evil.example:7340", false),
            (&local, "127.0.0.1.evil.example", false),
            (&named, "192.0.2.7:7340", true),
            (&named, "192.0.2.8:7340", false),
            (&named, "pawl.lan:7340", true),
            (&named, "pawl.example.org", true),
            (&named, "x.pawl.example.org", false),
            (&named, "api.pawl.svc:80", true),
            (&named, "pawl.svc", false),
            (&named, "apipawl.svc", false),
            (&all, "192.0.2.8:7340", true),
            (&all, "[2001:db8::1]:7340", true),
            (&all, "evil.example", false),
        ] {
            assert_eq!(asked(hosts, host, None), if is_known { Ok(()) } else { Err(421) }, "{host} of {hosts:?}");
        }
        for host in ["a b", "", "x/y", "user@localhost:1:2"] {
            assert_eq!(asked(&local, host, None), Err(421), "{host:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let hosts = hosts("127.0.0.1:7340", "127.0.0.1:7340", &["pawl.example.org"]);
        for (host, origin, is_own) in [
            ("127.0.0.1:7340", "http://127.0.0.1:7340", true),
            ("localhost:7340", "http://LocalHost:7340", true),
            ("127.0.0.1:80", "http://127.0.0.1", true),
            ("127.0.0.1", "https://127.0.0.1", true),
            ("localhost:7340", "http://127.0.0.1:7340", false),
            ("127.0.0.1:7340", "http://127.0.0.1:3000", false),
            ("127.0.0.1:7340", "http://localhost", false),
            ("127.0.0.1:7340", "https://evil.example", false),
            ("127.0.0.1:7340", "null", false),
            ("127.0.0.1:7340", "", false),
            ("127.0.0.1:7340", "file://", false),
            ("127.0.0.1:7340", "chrome-extension://127.0.0.1:7340", false),
            // A proxy that names itself to us, and its own name to browsers.
            ("127.0.0.1:7340", "https://pawl.example.org", true),
        ] {
            assert_eq!(asked(&hosts, host, Some(origin)), if is_own { Ok(()) } else { Err(403) }, "{origin} to {host}");
        }
    }

    #[test]
    fn the_name_in_the_request_line_comes_first_and_two_names_are_none() {
        let hosts = hosts("127.0.0.1:7340", "127.0.0.1:7340", &[]);
        let line = Request::builder().uri("http://evil.example/v1/runs").header(HOST, "localhost");
        assert_eq!(hosts.check(&line.body(Body::empty()).unwrap()).unwrap_err().status, 421);
        let two = Request::builder().uri("/v1/runs").header(HOST, "localhost").header(HOST, "localhost");
        assert_eq!(hosts.check(&two.body(Body::empty()).unwrap()).unwrap_err().status, 421);
        let none = Request::builder().uri("/health").body(Body::empty()).unwrap();
        assert!(hosts.check(&none).is_ok(), "no browser leaves it out");
    }
}

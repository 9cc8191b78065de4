//! A grant: a scheme, a host or several, and a port. What is not said is not granted: a grant of `http` grants no TLS, one of
//! `https` nothing else, and one without a port that of its scheme.
//!
//! ```text
//!  https://api.example.org        http://localhost:*           https://*
//!  https://*.example.org:8443     http://10.20.0.0/16:8080     http://[fd12:3456::/48]:*
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Target;
use super::address::{AddressKind, kind_of, plain};

/// How a grant is written, for whoever wrote none.
const EXAMPLE: &str = "for example \"https://api.example.org\", or \"http://localhost:*\" with any port";

/// The name of this machine, and those below it: <https://www.rfc-editor.org/rfc/rfc6761.html#section-6.3>
const LOCAL: &str = "localhost";

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.as_str() == name)
    }

    /// The port where none is said.
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What may be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Grant {
    scheme: Scheme,
    hosts: Hosts,
    /// None is any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// All that are public.
    Any,
    /// Names below this one.
    Below(String),
    Name(String),
    /// This machine.
    Local,
    /// Addresses; one, if the network is as long as an address.
    Network(IpNet),
}

/// A host as a URL has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, in lower case and without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Reads the host of a URL that a parser of URLs has gone over: an address has its usual form there, or stands in
    /// brackets.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some(six) = bare.and_then(|text| text.parse::<Ipv6Addr>().ok()) {
            return Self::Address(six.into());
        }
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        name.parse::<Ipv4Addr>().map_or_else(|_| Self::Name(name), |four| Self::Address(four.into()))
    }

    /// Whether it is this machine by its own name, or by its address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Name(name) => name.strip_suffix(LOCAL).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            Self::Address(address) => kind_of(*address) == AddressKind::Loopback,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(four)) => four.fmt(f),
            Self::Address(IpAddr::V6(six)) => write!(f, "[{six}]"),
        }
    }
}

impl Grant {
    /// Whether it means the host as it stands in the URL.
    #[must_use]
    pub fn names(&self, target: &Target) -> bool {
        self.fits(target)
            && match (&self.hosts, &target.host) {
                (Hosts::Any, _) => true,
                (Hosts::Below(suffix), Host::Name(name)) => {
                    name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
                }
                (Hosts::Name(known), Host::Name(name)) => known == name,
                (Hosts::Local, host) => host.is_local(),
                (Hosts::Network(network), Host::Address(address)) => network.contains(&plain(*address)),
                (Hosts::Below(_) | Hosts::Name(_), Host::Address(_)) | (Hosts::Network(_), Host::Name(_)) => false,
            }
    }

    /// Whether it holds the address by itself, and not by a name.
    #[must_use]
    pub fn holds(&self, target: &Target, address: IpAddr) -> bool {
        self.fits(target)
            && match &self.hosts {
                Hosts::Local => kind_of(address) == AddressKind::Loopback,
                // What hands out secrets is granted alone, and not with its neighbours.
                Hosts::Network(_) if kind_of(address) == AddressKind::Metadata => self.is_one_address(address),
                Hosts::Network(network) => network.contains(&plain(address)),
                Hosts::Any | Hosts::Below(_) | Hosts::Name(_) => false,
            }
    }

    /// Whether it means this one address, at this one port.
    #[must_use]
    pub fn is_exactly(&self, target: &Target, address: IpAddr) -> bool {
        self.fits(target) && self.port.is_some() && self.is_one_address(address)
    }

    /// Whether all hosts are meant.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.hosts == Hosts::Any
    }

    /// Whether addresses are meant, by which names may be reached as well.
    #[must_use]
    pub fn means_addresses(&self) -> bool {
        matches!(self.hosts, Hosts::Local | Hosts::Network(_))
    }

    fn is_one_address(&self, address: IpAddr) -> bool {
        matches!(&self.hosts, Hosts::Network(network) if *network == IpNet::from(plain(address)))
    }

    fn fits(&self, target: &Target) -> bool {
        self.scheme == target.scheme && self.port.is_none_or(|port| port == target.port)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Below(name) => write!(f, "*.{name}")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Local => f.write_str(LOCAL)?,
            Hosts::Network(network) => {
                let is_one = network.prefix_len() == network.max_prefix_len();
                let text = if is_one { network.addr().to_string() } else { network.to_string() };
                if network.addr().is_ipv6() { write!(f, "[{text}]")? } else { f.write_str(&text)? }
            }
        }
        match self.port {
            None => f.write_str(":*"),
            Some(port) if port == self.scheme.usual_port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> Self {
        grant.to_string()
    }
}

/// What is wrong with a text that is to be a grant; to follow on the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadGrant(String);

impl TryFrom<String> for Grant {
    type Error = BadGrant;

    fn try_from(text: String) -> Result<Self, BadGrant> {
        text.parse()
    }
}

impl FromStr for Grant {
    type Err = BadGrant;

    fn from_str(text: &str) -> Result<Self, BadGrant> {
        let bad = |what: &str| Err(BadGrant(what.to_owned()));
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(BadGrant(format!("has no scheme: write https:// or http:// before it, {EXAMPLE}")));
        };
        let Some(scheme) = Scheme::named(&scheme.to_ascii_lowercase()) else {
            return bad("has another scheme than https and http");
        };
        let (host, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, after))) => match (after, after.strip_prefix(':')) {
                ("", _) => (host, None),
                (_, Some(port)) => (host, Some(port)),
                _ => return bad("has something behind its `]` that is no port"),
            },
            Some(None) => return bad("has no `]`"),
            None => rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None => Some(scheme.usual_port()),
            Some("*") => None,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return bad("has a port that is none: write a number from 1 to 65535, or * for any"),
                Ok(port) => Some(port),
            },
        };
        let hosts = if rest.starts_with('[') {
            network(host).ok_or("has no address of IPv6 in its brackets")
        } else {
            hosts(host)
        };
        hosts.map(|hosts| Self { scheme, hosts, port }).map_err(|what| BadGrant(format!("{what}; {EXAMPLE}")))
    }
}

fn network(text: &str) -> Option<Hosts> {
    let network = text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()))?;
    let network = network.trunc();
    let is_one = network.prefix_len() == network.max_prefix_len();
    Some(Hosts::Network(if is_one { plain(network.addr()).into() } else { network }))
}

fn hosts(text: &str) -> Result<Hosts, &'static str> {
    if text == "*" {
        return Ok(Hosts::Any);
    }
    if let Some(network) = network(text) {
        return Ok(network);
    }
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let (name, is_below) = text.strip_prefix("*.").map_or((text.as_str(), false), |name| (name, true));
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, b'-' | b'_'))
    };
    // Whatever ends in a number is an address to whoever reads URLs: https://url.spec.whatwg.org/#ends-in-a-number-checker
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().next().is_some_and(|sign| sign.is_ascii_digit()) {
        return Err("has a host that looks like an address and is none");
    }
    match () {
        () if !name.split('.').all(is_label) => {
            Err("has a host that is no name, no address and no network, or more of a URL than that")
        }
        () if name == LOCAL && !is_below => Ok(Hosts::Local),
        () if is_below => Ok(Hosts::Below(name.to_owned())),
        () => Ok(Hosts::Name(name.to_owned())),
    }
}

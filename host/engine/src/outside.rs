//! What all steps of this process may reach at most, how names become addresses, and where Pawl itself listens: what the
//! installation says, beside what plugins ask for and pipelines give.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pawl_base::lock;
use pawl_domain::reach::{AddressKind, Grant, Host, kind_of, plain};

/// How steps reach the outside.
#[derive(Debug, Clone)]
pub struct Outside {
    /// What they may reach at most.
    pub most: Vec<Grant>,
    /// What a step may reach whose pipeline says nothing.
    pub usual: Vec<Grant>,
    /// Where Pawl and its servers listen: not for steps.
    pub own: Own,
    /// Certificates (PEM) by one of which those of hosts must be signed, in place of the system's.
    pub certificates: Option<PathBuf>,
    /// Who knows where names lead.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for Outside {
    /// All that is public, for those whose pipelines say so.
    fn default() -> Self {
        let most = ["http://*:*", "https://*:*"].iter().filter_map(|text| text.parse().ok()).collect();
        Self { most, usual: Vec::new(), own: Own::default(), certificates: None, resolver: Arc::new(System) }
    }
}

/// Finds the addresses of names.
pub trait Resolver: Debug + Send + Sync {
    /// All addresses of a name. May block.
    ///
    /// # Errors
    /// If there are none, or nobody can tell.
    fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The system's own way.
#[derive(Debug)]
struct System;

impl Resolver for System {
    fn addresses(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// Where somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name, an address, or the unspecified one: then it is every address of this machine.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Address(address.ip()), port: address.port() }
    }
}

/// Where Pawl and its servers listen. Shared: a process may learn of more after its engine has begun.
#[derive(Debug, Clone, Default)]
pub struct Own(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    named: Vec<Endpoint>,
    /// Who knows of others now.
    told: Vec<Told>,
}

type Told = Box<dyn Fn() -> Vec<Endpoint> + Send>;

impl Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("named", &self.named).finish_non_exhaustive()
    }
}

impl Known {
    fn at(&self, port: u16) -> Vec<Endpoint> {
        let told = self.told.iter().flat_map(|told| told());
        self.named.iter().cloned().chain(told).filter(|own| own.port == port).collect()
    }
}

impl Own {
    /// One more.
    pub fn add(&self, endpoint: Endpoint) {
        lock(&self.0).named.push(endpoint);
    }

    /// Those besides that somebody tells of when a step wants to connect: others of a cluster may come and go.
    pub fn told_by(&self, tell: impl Fn() -> Vec<Endpoint> + Send + 'static) {
        lock(&self.0).told.push(Box::new(tell));
    }

    /// Whether this is one of them. Names are asked for anew, if the port is right: they lead elsewhere after a failover.
    pub(super) fn is_at(&self, address: IpAddr, port: u16, resolver: &dyn Resolver) -> bool {
        let near = lock(&self.0).at(port);
        near.iter().any(|own| match &own.host {
            Host::Address(own) => is_same(*own, address),
            Host::Name(name) => {
                resolver.addresses(name).unwrap_or_default().into_iter().any(|own| is_same(own, address))
            }
        })
    }
}

impl Endpoint {
    /// A server as its own client knows it: a name, or an address without brackets.
    #[must_use]
    pub fn of_server((host, port): (String, u16)) -> Self {
        Self { host: host.parse().map_or_else(|_| Host::of(&host), Host::Address), port }
    }
}

/// What listens on loopback may listen on all addresses of the machine.
fn is_same(own: IpAddr, address: IpAddr) -> bool {
    let is_of_this_machine = own.is_unspecified() || kind_of(own) == AddressKind::Loopback;
    plain(own) == plain(address) || (is_of_this_machine && is_this_machine(address))
}

/// Only what is an address of the machine can be bound.
fn is_this_machine(address: IpAddr) -> bool {
    kind_of(address) == AddressKind::Loopback || UdpSocket::bind((plain(address), 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_later_counts_as_long_as_it_is_told() {
        let (own, nodes) = (Own::default(), Arc::new(Mutex::new(Vec::new())));
        let told = Arc::clone(&nodes);
        own.told_by(move || lock(&told).clone());
        let is_own = |address: &str| own.is_at(address.parse().expect("an address"), 7001, &System);
        assert!(!is_own("10.0.0.7"));
        *lock(&nodes) = ["10.0.0.7", "fd12::7"].map(|host| Endpoint::of_server((host.to_owned(), 7001))).to_vec();
        assert!(is_own("10.0.0.7") && is_own("fd12::7") && !is_own("10.0.0.8"));
        lock(&nodes).clear();
        assert!(!is_own("10.0.0.7"));
    }

    #[test]
    fn what_listens_on_this_machine_is_known_by_each_of_its_addresses() {
        let own = Own::default();
        for (host, port) in [("127.0.0.1", 1), ("0.0.0.0", 2), ("localhost", 3), ("[::1]", 4), ("10.1.2.3", 5)] {
            own.add(Endpoint { host: Host::of(host), port });
        }
        for (address, port, is_own) in [
            ("127.0.0.1", 1, true),
            ("::ffff:127.0.0.1", 1, true),
            ("127.0.0.1", 6, false),
            ("127.0.0.2", 2, true),
            ("::1", 3, true),
            ("127.0.0.1", 4, true),
            ("10.1.2.3", 5, true),
            ("::ffff:10.1.2.3", 5, true),
            ("10.1.2.4", 5, false),
            ("8.8.8.8", 2, false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(own.is_at(address, port, &System), is_own, "{address}:{port}");
        }
    }
}

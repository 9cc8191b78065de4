//! From where a request comes that has passed proxies: they tell of it, and so may whoever else sends it. Only what a proxy says
//! is believed that somebody has named, and only of whoever was at its other end. A decision without I/O.
//!
//! ```text
//!  X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.2     from 10.0.0.1
//!                   └ whoever sent  └ the client    └ named     └ named, the other end of the connection
//!                     it may say so   is this one
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Proxies whose word counts; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Addresses and networks, with commas between them.
    ///
    /// # Errors
    /// Which one is none.
    pub fn read(text: &str) -> Result<Self, String> {
        let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let network = |text: &str| {
            let network = text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
            let network = network.ok_or_else(|| {
                format!("{text:?} is no address and no network: write for example 10.0.0.5, or 10.0.0.0/24")
            })?;
            match network.prefix_len() {
                0 => Err(format!("{text:?} is everybody, whose word would count then: name the proxies")),
                _ => Ok(network.trunc()),
            }
        };
        texts.map(network).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a request comes from: the other end of its connection, or what named proxies say, one after the other, the last hop
    /// first. Two headers that tell two stories are told by somebody who was not asked: then it is the other end.
    pub fn client<'a>(
        &self,
        peer: IpAddr,
        x_forwarded_for: impl Iterator<Item = &'a str>,
        forwarded: impl Iterator<Item = &'a str>,
    ) -> IpAddr {
        if !self.know(peer) {
            return peer;
        }
        let by_x = self.last_hop(peer, x_forwarded_for, address_of);
        match (by_x, self.last_hop(peer, forwarded, for_of)) {
            (Some(one), Some(other)) if one != other => peer,
            (one, other) => one.or(other).unwrap_or(peer),
        }
    }

    /// The first from the end that nobody has named; none if the header is not there. What is no address is nobody's: then it is
    /// the proxy that says so.
    fn last_hop<'a>(
        &self,
        peer: IpAddr,
        lines: impl Iterator<Item = &'a str>,
        read: impl Fn(&str) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        // Whoever closes no quotation mark hides nothing behind it.
        let told: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
        let mut last = None;
        for hop in told.iter().rev() {
            match read(hop.trim()) {
                Some(address) if self.know(address) => last = Some(address),
                Some(address) => return Some(address),
                None => return last.or(Some(peer)),
            }
        }
        last
    }

    fn know(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = |network: &IpNet| network.prefix_len() == network.max_prefix_len();
        let told = self.0.iter().map(|it| if is_one(it) { it.addr().to_string() } else { it.to_string() });
        f.write_str(&told.collect::<Vec<_>>().join(","))
    }
}

/// An address, with a port or without.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// The address in an element of `Forwarded`: <https://www.rfc-editor.org/rfc/rfc7239#section-4>
fn for_of(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, node) = named.next()?;
    address_of(node.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_named_proxies_say_counts_and_of_that_the_last_hop_that_is_none_of_them() {
        let proxies = Proxies::read("10.0.0.0/24, 192.0.2.1,2001:db8::/64").unwrap();
        let (client, peer) = ("198.51.100.7", "10.0.0.1");
        for (from, x, forwarded, expected) in [
            // Whoever is no proxy says what he likes.
            ("203.0.113.5", &["198.51.100.7"][..], &["for=198.51.100.7"][..], "203.0.113.5"),
            (peer, &[], &[], peer),
            (peer, &["198.51.100.7"], &[], client),
            ("::ffff:10.0.0.1", &["198.51.100.7"], &[], client),
            // What the client has sent itself stands before what the proxy has put there.
            (peer, &["203.0.113.9, 198.51.100.7"], &[], client),
            (peer, &["203.0.113.9", "198.51.100.7, 192.0.2.1"], &[], client),
            (peer, &["10.0.0.9, 198.51.100.7, 10.0.0.2"], &[], client),
            (peer, &["198.51.100.7:1234"], &[], client),
            (peer, &["[2001:db8:1::7]:1234"], &[], "2001:db8:1::7"),
            (peer, &["::ffff:198.51.100.7"], &[], client),
            // All of them are proxies; or one of them says nothing of use.
            (peer, &["10.0.0.3, 10.0.0.2"], &[], "10.0.0.3"),
            (peer, &["198.51.100.7, unknown, 10.0.0.2"], &[], "10.0.0.2"),
            (peer, &["198.51.100.7,"], &[], peer),
            (peer, &[""], &[], peer),
            (peer, &[], &["for=203.0.113.9, for=198.51.100.7;proto=https;by=10.0.0.1"], client),
            (peer, &[], &["proto=https;For=\"198.51.100.7:80\""], client),
            (peer, &[], &["for=\"[2001:db8:1::7]:80\", for=192.0.2.1"], "2001:db8:1::7"),
            (peer, &[], &["for=\"203.0.113.9, for=198.51.100.7"], client),
            (peer, &[], &["for=_hidden"], peer),
            // The proxy writes one of the two, and lets the other one pass.
            (peer, &["198.51.100.7"], &["for=203.0.113.9"], peer),
            (peer, &["198.51.100.7"], &["for=198.51.100.7"], client),
        ] {
            let found = proxies.client(ip(from), x.iter().copied(), forwarded.iter().copied());
            assert_eq!(found, ip(expected), "{x:?} {forwarded:?} from {from}");
        }
        let none = Proxies::default();
        assert_eq!(none.client(ip(peer), ["198.51.100.7"].into_iter(), [].into_iter()), ip(peer));
    }

    #[test]
    fn proxies_are_addresses_and_networks_and_never_everybody() {
        let told = |text: &str| Proxies::read(text).map(|proxies| proxies.to_string());
        assert_eq!(told("10.0.0.7/24, 192.0.2.1 ,2001:db8::/64"), Ok("10.0.0.0/24,192.0.2.1,2001:db8::/64".to_owned()));
        assert!(Proxies::read("").unwrap().are_none());
        for (wrong, says) in
            [("proxy.example", "no address"), ("10.0.0.0/33", "no address"), ("0.0.0.0/0", "everybody")]
        {
            let error = Proxies::read(wrong).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}

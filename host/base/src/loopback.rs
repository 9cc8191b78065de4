//! Which hosts of URLs are this machine itself.

use std::net::IpAddr;

/// Whether the host of a URL is this machine's loopback: by its name, or by an address of it, which a URL has in brackets if it
/// is one of IPv6.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_name_and_by_its_addresses() {
        for host in ["localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0", "[::]", "[::1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

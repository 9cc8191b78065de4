//! What kind of address something is. Only public ones are reached without an administrator who has named them.
//!
//! An address of IPv4 has several forms in IPv6, and each leads to the same machine: mapped (`::ffff:a.b.c.d`), the older
//! compatible one, and those of translators and tunnels (NAT64, 6to4). All are judged as the address of IPv4 that they are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// Anybody's, on the Internet.
    Public,
    /// Of a network that is not the Internet's: private, shared by a carrier, for tests, or kept for later.
    Private,
    /// This machine.
    Loopback,
    /// Of the one link; no router passes it on.
    LinkLocal,
    /// Where a cloud tells a machine its own secrets.
    Metadata,
    /// No machine's: unspecified, multicast, broadcast, reserved.
    Nowhere,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Private => "a private address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata",
            Self::Nowhere => "an address of no machine",
        })
    }
}

/// Where clouds serve metadata and credentials: AWS, Azure, Google, Oracle and others at the first; tasks of AWS; Alibaba;
/// Azure's host; Oracle's older one.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS, its tasks, and Google.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, what [`Ipv4Addr`] has no word for.
const PRIVATE_V4: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 88, 99, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
];

const THIS_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8);
const RESERVED_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4);

/// <https://www.iana.org/assignments/ipv6-address-space>: what is the Internet's.
const GLOBAL_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// And what of it is not: protocols (Teredo among them), documentation.
const PRIVATE_V6: [Ipv6Net; 3] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const SIX_TO_FOUR: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
const COMPATIBLE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96);

/// The address that it leads to: that of IPv4, if it is one in another form.
#[must_use]
pub fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address.to_canonical() else { return address.to_canonical() };
    let [_, a, b, .., c, d] = six.segments();
    let [a1, a2] = a.to_be_bytes();
    let [b1, b2] = b.to_be_bytes();
    let [c1, c2] = c.to_be_bytes();
    let [d1, d2] = d.to_be_bytes();
    let is_one_of_six = six.is_loopback() || six.is_unspecified();
    if NAT64.contains(&six) || (COMPATIBLE.contains(&six) && !is_one_of_six) {
        Ipv4Addr::new(c1, c2, d1, d2).into()
    } else if SIX_TO_FOUR.contains(&six) {
        Ipv4Addr::new(a1, a2, b1, b2).into()
    } else {
        six.into()
    }
}

/// The kind of an address.
#[must_use]
pub fn kind_of(address: IpAddr) -> AddressKind {
    match plain(address) {
        IpAddr::V4(four) => kind_of_four(four),
        IpAddr::V6(six) => kind_of_six(six),
    }
}

fn kind_of_four(four: Ipv4Addr) -> AddressKind {
    let is_within = |networks: &[Ipv4Net]| networks.iter().any(|network| network.contains(&four));
    if METADATA_V4.contains(&four) {
        AddressKind::Metadata
    } else if THIS_NETWORK.contains(&four) || RESERVED_V4.contains(&four) || four.is_multicast() {
        // The last of the reserved ones is broadcast.
        AddressKind::Nowhere
    } else if four.is_loopback() {
        AddressKind::Loopback
    } else if four.is_link_local() {
        AddressKind::LinkLocal
    } else if four.is_private() || four.is_documentation() || is_within(&PRIVATE_V4) {
        AddressKind::Private
    } else {
        AddressKind::Public
    }
}

fn kind_of_six(six: Ipv6Addr) -> AddressKind {
    if METADATA_V6.contains(&six) {
        AddressKind::Metadata
    } else if six.is_unspecified() || six.is_multicast() {
        AddressKind::Nowhere
    } else if six.is_loopback() {
        AddressKind::Loopback
    } else if six.is_unicast_link_local() {
        AddressKind::LinkLocal
    } else if GLOBAL_V6.contains(&six) && !PRIVATE_V6.iter().any(|network| network.contains(&six)) {
        AddressKind::Public
    } else {
        // Unique local ones among them, and all that is not assigned.
        AddressKind::Private
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_of_the_same_kind() {
        use AddressKind::{LinkLocal, Loopback, Metadata, Nowhere, Private, Public};
        for (kind, addresses) in [
            (
                Public,
                "8.8.8.8 1.1.1.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1 172.32.0.1 100.128.0.1",
            ),
            (Private, "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255 192.0.0.1 198.18.0.1"),
            (
                Private,
                "192.0.2.1 198.51.100.1 203.0.113.1 fc00::1 fd12:3456::1 fec0::1 2001:db8::1 2001::1 100::1 4000::1",
            ),
            (Private, "::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::10.0.0.1 2002:a00:1::1 64:ff9b:1::8.8.8.8"),
            (Loopback, "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::"),
            (LinkLocal, "169.254.0.1 fe80::1 febf::1 ::ffff:169.254.1.1"),
            (Metadata, "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe:: 169.254.170.2"),
            (Metadata, "100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254"),
            (
                Nowhere,
                "0.0.0.0 0.1.2.3 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ff02::1 ::ffff:0.0.0.0 ::ffff:224.0.0.1",
            ),
        ] {
            for text in addresses.split(' ') {
                let address: IpAddr = text.parse().expect("an address");
                assert_eq!(kind_of(address), kind, "{text}");
            }
        }
    }
}

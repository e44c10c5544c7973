//! Groups of hosts that one owner is likely to hold.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use savanna_wire::Host;

use crate::Family;

/// The hosts that count as one for diversity: IPv4 by /16, IPv6 by /32, an overlay network by a few bits of its keys.
///
/// An IPv6 address that carries an IPv4 address (6to4, Teredo, NAT64, stateless translation) is in that one's group. Private
/// ranges are grouped as public ones are. Seeds and the operator are groups of their own, as sources.
///
/// # Security
/// An address costs an attacker little, a /16 much. Keys of overlay networks cost nothing, so all of them make 16 groups a
/// network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Netgroup([u8; Self::LEN]);

impl Netgroup {
    /// The length of a group as bytes.
    pub const LEN: usize = 5;
    const SEED: u8 = 5;
    const OPERATOR: u8 = 6;

    /// Returns the group of a host.
    #[must_use]
    pub fn of(host: Host) -> Self {
        let host = linked(host);
        let kind = Family::of(host) as u8;
        Self(match host {
            Host::V4(ip) => [kind, ip.octets()[0], ip.octets()[1], 0, 0],
            Host::V6(ip) => {
                let [a, b, c, d, ..] = ip.get().octets();
                [kind, a, b, c, d]
            }
            Host::TorV3(key) | Host::I2p(key) => [kind, key[0] & 0xf0, 0, 0, 0],
            // The first byte is the same in all of them.
            Host::Cjdns(ip) => [kind, 0xfc, ip.get().octets()[1] & 0xf0, 0, 0],
        })
    }

    /// Returns the group of a DNS seed, as a source of addresses.
    pub(crate) const fn of_seed(number: u8) -> Self {
        Self([Self::SEED, number, 0, 0, 0])
    }

    /// Returns the group of the operator, as a source of addresses.
    pub(crate) const fn of_operator() -> Self {
        Self([Self::OPERATOR, 0, 0, 0, 0])
    }

    /// Returns the group as bytes, to be kept on disk.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; nothing for bytes that it never writes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        let is_masked = match bytes {
            [0, _, _, 0, 0] | [1, ..] | [Self::SEED, _, 0, 0, 0] | [Self::OPERATOR, 0, 0, 0, 0] => true,
            [2 | 3, bits, 0, 0, 0] | [4, 0xfc, bits, 0, 0] => bits & 0x0f == 0,
            _ => false,
        };
        is_masked.then_some(Self(bytes))
    }
}

/// Shows the group as the range that it is: `1.2.0.0/16`, `2a01:4f8::/32`, `onion/a`.
impl fmt::Display for Netgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, a, b, c, d] = self.0;
        match kind {
            0 => write!(f, "{a}.{b}.0.0/16"),
            1 => write!(f, "{:x}:{:x}::/32", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            2 => write!(f, "onion/{:x}", a >> 4),
            3 => write!(f, "i2p/{:x}", a >> 4),
            4 => write!(f, "{a:x}{b:02x}::/12"),
            Self::SEED => write!(f, "seed/{a}"),
            _ => f.write_str("operator"),
        }
    }
}

/// The hosts that share a limit of connections: IPv4 by /24, IPv6 by /64, an overlay network as its [`Netgroup`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet([u8; 9]);

impl Subnet {
    /// Returns the subnet of a host.
    #[must_use]
    pub fn of(host: Host) -> Self {
        let host = linked(host);
        let mut subnet = [0; 9];
        subnet[0] = Family::of(host) as u8;
        match host {
            Host::V4(ip) => subnet[1..4].copy_from_slice(&ip.octets()[..3]),
            Host::V6(ip) => subnet[1..].copy_from_slice(&ip.get().octets()[..8]),
            Host::TorV3(_) | Host::I2p(_) | Host::Cjdns(_) => {
                subnet[1..5].copy_from_slice(&Netgroup::of(host).0[1..]);
            }
        }
        Self(subnet)
    }
}

/// Returns the IPv4 host that an IPv6 host carries, or else the host itself.
pub(crate) fn linked(host: Host) -> Host {
    match host {
        Host::V6(ip) => linked_v4(ip.get()).map_or(host, Host::V4),
        Host::V4(_) | Host::TorV3(_) | Host::I2p(_) | Host::Cjdns(_) => host,
    }
}

/// Finds an IPv4 address in one of 6to4 (RFC 3964), Teredo (RFC 4380), NAT64 (RFC 6052) or translation (RFC 6145).
fn linked_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = ip.octets();
    let last = [octets[12], octets[13], octets[14], octets[15]];
    match ip.segments() {
        [0x2002, ..] => Some(Ipv4Addr::new(octets[2], octets[3], octets[4], octets[5])),
        [0x2001, 0, ..] => Some(Ipv4Addr::from(last.map(|octet| !octet))),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(Ipv4Addr::from(last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn host(text: &str) -> Host {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn group(text: &str) -> Netgroup {
        Netgroup::of(host(text))
    }

    #[test]
    fn adversary_23_one_owner_has_one_group_under_every_name() {
        let bare = group("12.34.56.78");
        let names = [
            "12.34.255.1",
            "::ffff:12.34.56.78",
            "2002:c22:384e::1",
            "2001:0:1:2:3:4:f3dd:c7b1",
            "64:ff9b::c22:384e",
            "::ffff:0:c22:384e",
        ];
        for name in names {
            assert_eq!(group(name), bare, "{name}");
            assert_eq!(Subnet::of(host(name)) == Subnet::of(host("12.34.56.78")), name != "12.34.255.1", "{name}");
        }
        assert_ne!(group("12.35.56.78"), bare);
        assert_eq!(group("2a01:4f8:1::1"), group("2a01:4f8:ffff::2"));
        assert_ne!(group("2a01:4f8::1"), group("2a01:4f9::1"));
        assert_ne!(Subnet::of(host("2a01:4f8::1")), Subnet::of(host("2a01:4f8:0:1::1")));
        assert_eq!(Subnet::of(host("2a01:4f8::1")), Subnet::of(host("2a01:4f8::ffff:1")));
        assert_ne!(group("127.0.0.1"), group("127.1.0.1"));
    }

    #[test]
    fn a_group_is_shown_as_its_range() {
        let shown = |host: Host| Netgroup::of(host).to_string();
        for (text, range) in [
            ("203.0.113.5", "203.0.0.0/16"),
            ("2002:cb00:7105::1", "203.0.0.0/16"),
            ("2a01:4f8:1::1", "2a01:4f8::/32"),
            ("2a01::1", "2a01:0::/32"),
        ] {
            assert_eq!(shown(host(text)), range);
        }
        assert_eq!((shown(Host::TorV3([0xab; 32])), shown(Host::I2p([7; 32]))), ("onion/a".into(), "i2p/0".into()));
        let cjdns = savanna_wire::CjdnsIpv6::new("fc5a::1".parse().unwrap()).unwrap();
        assert_eq!(shown(Host::Cjdns(cjdns)), "fc50::/12");
        assert_eq!(Netgroup::of_seed(3).to_string(), "seed/3");
        assert_eq!(Netgroup::of_operator().to_string(), "operator");
    }

    #[test]
    fn overlay_keys_make_sixteen_groups_of_each_network() {
        let mut groups = std::collections::BTreeSet::new();
        for byte in 0..=255 {
            groups.insert(Netgroup::of(Host::TorV3([byte; 32])));
            groups.insert(Netgroup::of(Host::I2p([byte; 32])));
            let ip = Ipv6Addr::from([0xfc, byte, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
            groups.insert(Netgroup::of(Host::Cjdns(savanna_wire::CjdnsIpv6::new(ip).unwrap())));
        }
        assert_eq!(groups.len(), 3 * 16);
        for group in groups {
            assert_eq!(Netgroup::from_bytes(group.to_bytes()), Some(group));
        }
        assert_eq!(Netgroup::from_bytes([2, 1, 0, 0, 0]), None);
        assert_eq!(Netgroup::from_bytes([9, 0, 0, 0, 0]), None);
    }
}

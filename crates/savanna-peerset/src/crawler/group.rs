//! The part of a network that an address belongs to.

use std::fmt;

use savanna_wire::Host;

/// The part of a network under one hand, as far as an address tells: the IPv4 /16, the IPv6 or CJDNS /32, the first four
/// bits of an overlay network's key.
///
/// # Security
/// Whoever owns one address usually owns others beside it. What is counted by group cannot be had by owning one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The first two bytes of an IPv4 address.
    V4([u8; 2]),
    /// The first four bytes of an IPv6 address.
    V6([u8; 4]),
    /// The first four bits of a Tor v3 key.
    Onion(u8),
    /// The first four bits of an I2P destination.
    I2p(u8),
    /// The first four bytes of a CJDNS address.
    Cjdns([u8; 4]),
}

impl From<Host> for Group {
    fn from(host: Host) -> Self {
        match host {
            Host::V4(ip) => {
                let [a, b, ..] = ip.octets();
                Self::V4([a, b])
            }
            Host::V6(ip) => Self::V6(first_four(ip.get().octets())),
            Host::Cjdns(ip) => Self::Cjdns(first_four(ip.get().octets())),
            Host::TorV3(key) => Self::Onion(key[0] >> 4),
            Host::I2p(hash) => Self::I2p(hash[0] >> 4),
        }
    }
}

const fn first_four(octets: [u8; 16]) -> [u8; 4] {
    let [a, b, c, d, ..] = octets;
    [a, b, c, d]
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b]) => write!(f, "{a}.{b}.0.0/16"),
            Self::V6([a, b, c, d]) | Self::Cjdns([a, b, c, d]) => {
                write!(f, "{:x}:{:x}::/32", u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))
            }
            Self::Onion(bits) => write!(f, "onion/{bits:x}"),
            Self::I2p(bits) => write!(f, "i2p/{bits:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn one_host_has_one_group_whatever_its_form() {
        let group = |text: &str| Group::from(Host::from(text.parse::<IpAddr>().unwrap()));
        assert_eq!(group("203.0.113.5"), group("::ffff:203.0.7.7"));
        assert_eq!(group("203.0.113.5").to_string(), "203.0.0.0/16");
        assert_eq!(group("2001:db8:1::1"), group("2001:db8:2::2"));
        assert_eq!(group("2001:db8:1::1").to_string(), "2001:db8::/32");
    }
}

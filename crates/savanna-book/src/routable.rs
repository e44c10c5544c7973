//! Which addresses may be stored and dialled at all.

use std::net::{Ipv4Addr, Ipv6Addr};

use savanna_wire::{Host, Network, PeerAddr};

use crate::netgroup::linked;

/// Where a host can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From everywhere on its network.
    Public,
    /// From this machine or this site alone: loopback, private, shared and link-local ranges.
    Private,
    /// From nowhere: unspecified, multicast, reserved and documentation ranges.
    Nowhere,
}

impl Reach {
    /// Judges a host. An IPv6 address that carries an IPv4 address reaches no further than that one.
    #[must_use]
    pub fn of(host: Host) -> Self {
        match linked(host) {
            Host::V4(ip) => reach_v4(ip),
            Host::V6(ip) => reach_v6(ip.get()),
            Host::TorV3(_) | Host::I2p(_) | Host::Cjdns(_) => Self::Public,
        }
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => Reach::Private,
        [0 | 224..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Nowhere,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if ip.is_loopback() {
        return Reach::Private;
    }
    match ip.segments() {
        // OnionCat: Tor of a version that is gone.
        [0xfd87, 0xd87e, 0xeb43, ..] => Reach::Nowhere,
        [0xfc00..=0xfdff | 0xfe80..=0xfeff, ..] => Reach::Private,
        [0x2001, 0xdb8 | 0x10..=0x2f, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Nowhere,
        // All that is given out lies in one eighth.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Nowhere,
    }
}

/// Ports that no peer of ours listens on: Zcash's RPC, and chains that share the network's magic.
pub const FOREIGN_PORTS: [u16; 6] = [8232, 18232, 8033, 18033, 16125, 26125];

/// Returns whether a peer of `network` may listen on the address's port.
///
/// Port 0 is that of every I2P destination, and of nothing else. Regtest's own port is no public peer's.
///
/// # Security
/// Otherwise gossip could have us knock at services that speak something else.
pub(crate) fn is_peer_port(address: PeerAddr, network: Network) -> bool {
    match address.port {
        0 => matches!(address.host, Host::I2p(_)),
        18344 => network == Network::Regtest,
        port => !FOREIGN_PORTS.contains(&port),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn adversary_16_only_public_ranges_are_public() {
        let of = |text: &str| Reach::of(text.parse::<IpAddr>().unwrap().into());
        let public = ["1.1.1.1", "100.63.0.1", "172.15.0.1", "223.255.255.255", "2a01:4f8::1", "2002:101:101::1"];
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.31.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::1",
            "64:ff9b::7f00:1",
        ];
        let nowhere = [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "::",
            "::2",
            "ff02::1",
            "2001:db8::1",
            "2001:10::1",
            "fd87:d87e:eb43::1",
            "::ffff:224.0.0.1",
            "100::1",
            "4000::1",
        ];
        assert!(public.iter().all(|text| of(text) == Reach::Public));
        assert!(private.iter().all(|text| of(text) == Reach::Private));
        assert!(nowhere.iter().all(|text| of(text) == Reach::Nowhere));
        assert_eq!(Reach::of(Host::TorV3([0; 32])), Reach::Public);
    }

    #[test]
    fn ports_of_other_chains_and_of_wallets_are_no_peers() {
        let is_peer = |port, network| is_peer_port(PeerAddr { host: Host::V4([1, 1, 1, 1].into()), port }, network);
        for network in [Network::Mainnet, Network::Testnet, Network::Regtest] {
            for port in [0, 8033, 18033, 16125, 26125, 8232, 18232] {
                assert!(!is_peer(port, network), "{port}");
            }
            assert!([8233, 18233, 1, 443, 65535].into_iter().all(|port| is_peer(port, network)));
        }
        assert!(is_peer(18344, Network::Regtest) && !is_peer(18344, Network::Mainnet));
        assert!(is_peer_port(PeerAddr { host: Host::I2p([1; 32]), port: 0 }, Network::Mainnet));
    }
}

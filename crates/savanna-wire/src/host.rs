//! Where a peer is: on the internet or on an overlay network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::DecodeError;
use crate::primitive::{Reader, write_compact_size};

/// The most bytes an `addrv2` entry may give an address of any network (ZIP-155).
const MAX_HOST_LEN: usize = 512;

macro_rules! ipv6_host {
    ($(#[$doc:meta])* $name:ident, $admits:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ipv6Addr);

        impl $name {
            /// Makes a host of `ip`, or nothing if the type does not admit it.
            #[must_use]
            pub fn new(ip: Ipv6Addr) -> Option<Self> {
                let admits: fn(Ipv6Addr) -> bool = $admits;
                admits(ip).then_some(Self(ip))
            }

            /// Returns the address.
            #[must_use]
            pub const fn get(self) -> Ipv6Addr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ipv6_host! {
    /// An IPv6 address that maps no IPv4 address.
    ///
    /// # Security
    /// A host under two names would evade a ban, or count twice among the peers of a group.
    NativeIpv6, |ip| ip.to_ipv4_mapped().is_none()
}
ipv6_host! {
    /// An address of the CJDNS network, inside `fc00::/8`.
    CjdnsIpv6, |ip| ip.octets()[0] == 0xfc
}

/// Where a peer is, apart from its port. One host has one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; `Host::from` makes an IPv4 host of one that maps an IPv4 address.
    V6(NativeIpv6),
    /// The public key of a Tor v3 onion service.
    TorV3([u8; 32]),
    /// The hash of an I2P destination.
    I2p([u8; 32]),
    /// A CJDNS address.
    Cjdns(CjdnsIpv6),
}

impl Host {
    const V4_ID: u8 = 1;
    const V6_ID: u8 = 2;
    const TOR_V3_ID: u8 = 4;
    const I2P_ID: u8 = 5;
    const CJDNS_ID: u8 = 6;

    /// Returns the IP address of a host that has one reachable without an overlay network.
    #[must_use]
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::V4(ip) => Some(IpAddr::V4(ip)),
            Self::V6(ip) => Some(IpAddr::V6(ip.get())),
            Self::TorV3(_) | Self::I2p(_) | Self::Cjdns(_) => None,
        }
    }

    /// Reads the host of an `addrv2` entry; `None` for one that is to be skipped.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let id = reader.u8()?;
        let len = reader.compact_size(MAX_HOST_LEN)?;
        let mut host = Reader::new(reader.take(len)?, "addrv2 host");
        let known = match id {
            Self::V4_ID => Some(Self::V4(host.array::<4>()?.into())),
            Self::V6_ID => NativeIpv6::new(host.array::<16>()?.into()).map(Self::V6),
            Self::TOR_V3_ID => Some(Self::TorV3(host.array()?)),
            Self::I2P_ID => Some(Self::I2p(host.array()?)),
            Self::CJDNS_ID => CjdnsIpv6::new(host.array::<16>()?.into()).map(Self::Cjdns),
            _ => return Ok(None),
        };
        host.finish()?;
        Ok(known.filter(|host| host.is_gossiped()))
    }

    /// Returns whether `addrv2` tells of the host: ZIP-155 ignores Tor v2 disguised as IPv6 (OnionCat).
    pub(crate) fn is_gossiped(self) -> bool {
        match self {
            Self::V6(ip) => ip.get().segments()[..3] != [0xfd87, 0xd87e, 0xeb43],
            Self::V4(_) | Self::TorV3(_) | Self::I2p(_) | Self::Cjdns(_) => true,
        }
    }

    /// The network id, the length in one byte and the address.
    pub(crate) const fn encoded_len(self) -> usize {
        2 + match self {
            Self::V4(_) => 4,
            Self::V6(_) | Self::Cjdns(_) => 16,
            Self::TorV3(_) | Self::I2p(_) => 32,
        }
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::V4(ip) => write_host(out, Self::V4_ID, &ip.octets()),
            Self::V6(ip) => write_host(out, Self::V6_ID, &ip.get().octets()),
            Self::TorV3(key) => write_host(out, Self::TOR_V3_ID, &key),
            Self::I2p(hash) => write_host(out, Self::I2P_ID, &hash),
            Self::Cjdns(ip) => write_host(out, Self::CJDNS_ID, &ip.get().octets()),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(NativeIpv6(ip)),
        }
    }
}

fn write_host(out: &mut Vec<u8>, id: u8, bytes: &[u8]) {
    out.push(id);
    write_compact_size(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

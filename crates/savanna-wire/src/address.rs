//! Addresses as peers gossip them: `addr` (v1) and `addrv2` (ZIP-155).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use crate::primitive::{Reader, write_compact_size};
use crate::{DecodeError, Services};

/// The most bytes an `addrv2` entry may give an address of any network (ZIP-155).
const MAX_HOST_LEN: usize = 512;

/// Where a peer is, apart from its port.
///
/// IPv4-mapped IPv6 never occurs: construction from an [`IpAddr`] turns it into IPv4, so that one host has one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address that maps no IPv4 address.
    V6(Ipv6Addr),
    /// The public key of a Tor v3 onion service.
    TorV3([u8; 32]),
    /// The hash of an I2P destination.
    I2p([u8; 32]),
    /// A CJDNS address, inside `fc00::/8`.
    Cjdns(Ipv6Addr),
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
            Self::V6(ip) => Some(IpAddr::V6(ip)),
            Self::TorV3(_) | Self::I2p(_) | Self::Cjdns(_) => None,
        }
    }

    /// Reads an entry's host; `None` for one that is to be skipped.
    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let id = reader.u8()?;
        let len = reader.compact_size(MAX_HOST_LEN)?;
        let mut host = Reader::new(reader.take(len)?, "addrv2 host");
        let known = match id {
            Self::V4_ID => Self::V4(host.array::<4>()?.into()),
            Self::V6_ID => Self::V6(host.array::<16>()?.into()),
            Self::TOR_V3_ID => Self::TorV3(host.array()?),
            Self::I2P_ID => Self::I2p(host.array()?),
            Self::CJDNS_ID => Self::Cjdns(host.array::<16>()?.into()),
            _ => return Ok(None),
        };
        host.finish()?;
        Ok(known.is_canonical().then_some(known))
    }

    /// ZIP-155: an IPv6 entry that embeds an address of another network is ignored, as is CJDNS outside its prefix.
    fn is_canonical(self) -> bool {
        match self {
            Self::V6(ip) => ip.to_ipv4_mapped().is_none() && ip.segments()[..3] != [0xfd87, 0xd87e, 0xeb43],
            Self::Cjdns(ip) => ip.octets()[0] == 0xfc,
            Self::V4(_) | Self::TorV3(_) | Self::I2p(_) => true,
        }
    }

    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::V4(ip) => write_host(out, Self::V4_ID, &ip.octets()),
            Self::V6(ip) => write_host(out, Self::V6_ID, &ip.octets()),
            Self::TorV3(key) => write_host(out, Self::TOR_V3_ID, &key),
            Self::I2p(hash) => write_host(out, Self::I2P_ID, &hash),
            Self::Cjdns(ip) => write_host(out, Self::CJDNS_ID, &ip.octets()),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(ip),
        }
    }
}

fn write_host(out: &mut Vec<u8>, id: u8, bytes: &[u8]) {
    out.push(id);
    write_compact_size(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Where a peer listens: a host and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddr {
    /// The host.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl PeerAddr {
    /// Returns the socket address, unless the host is on an overlay network.
    #[must_use]
    pub fn socket_addr(self) -> Option<SocketAddr> {
        self.host.ip().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl From<SocketAddr> for PeerAddr {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().into(), port: address.port() }
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::V4(ip) => write!(f, "{ip}:{}", self.port),
            Host::V6(ip) | Host::Cjdns(ip) => write!(f, "[{ip}]:{}", self.port),
            Host::TorV3(key) => write!(f, "{}.torv3:{}", Hex(&key), self.port),
            Host::I2p(hash) => write!(f, "{}.i2p:{}", Hex(&hash), self.port),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no IP address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an address is IP:PORT, with an IPv6 address in brackets")]
pub struct PeerAddrError;

impl FromStr for PeerAddr {
    type Err = PeerAddrError;

    fn from_str(text: &str) -> Result<Self, PeerAddrError> {
        text.parse::<SocketAddr>().map(Self::from).map_err(|_| PeerAddrError)
    }
}

/// An entry of `addr`: 30 bytes, IP addresses only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddrV1 {
    /// When the peer was last seen, in Unix seconds, as the sender claims.
    pub time: u32,
    /// What the peer is said to offer.
    pub services: Services,
    /// Where it listens. IPv4 is written IPv4-mapped.
    pub address: SocketAddr,
}

impl AddrV1 {
    pub(crate) const LEN: usize = 30;

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let time = reader.u32()?;
        let services = Services(reader.u64()?);
        let address = decode_socket_addr(reader)?;
        Ok(Self { time, services, address })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.services.0.to_le_bytes());
        encode_socket_addr(self.address, out);
    }
}

/// An entry of `addrv2`, of any network (ZIP-155).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddrV2 {
    /// When the peer was last seen, in Unix seconds, as the sender claims.
    pub time: u32,
    /// What the peer is said to offer.
    pub services: Services,
    /// Where it listens.
    pub address: PeerAddr,
}

impl AddrV2 {
    /// Time, services, network id, length and port of an entry whose host is empty.
    const LEAST_LEN: usize = 9;

    /// Reads the entries, and leaves out those of unknown networks and of Tor v2.
    pub(crate) fn decode_list(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<Self>, DecodeError> {
        let count = reader.compact_size(limit)?;
        let entries = reader.elements(count, Self::LEAST_LEN, Self::decode)?;
        Ok(entries.into_iter().flatten().collect())
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let time = reader.u32()?;
        let services = Services(reader.compact_u64()?);
        let host = Host::decode(reader)?;
        let port = reader.u16_be()?;
        Ok(host.map(|host| Self { time, services, address: PeerAddr { host, port } }))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_le_bytes());
        write_compact_size(out, self.services.0);
        self.address.host.encode(out);
        out.extend_from_slice(&self.address.port.to_be_bytes());
    }
}

/// Reads 16 bytes of IPv6 or IPv4-mapped address and a big-endian port.
pub(crate) fn decode_socket_addr(reader: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let ip = Ipv6Addr::from(reader.array::<16>()?);
    let port = reader.u16_be()?;
    Ok(SocketAddr::new(IpAddr::V6(ip).to_canonical(), port))
}

pub(crate) fn encode_socket_addr(address: SocketAddr, out: &mut Vec<u8>) {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&address.port().to_be_bytes());
}

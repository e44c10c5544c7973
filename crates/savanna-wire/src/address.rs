//! Addresses as peers gossip them: `addr` (v1) and `addrv2` (ZIP-155).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use crate::bounded::{Bounded, Element};
use crate::primitive::{Reader, compact_size_len, write_compact_size};
use crate::{DecodeError, Host, MAX_ADDRESSES, Services};

/// Where a peer listens: a host and a port.
///
/// Its text is `IP:PORT`, with an IPv6 address in brackets. A host of another network is shown in hexadecimal digits, and
/// is not read back.
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
            Host::V6(ip) => write!(f, "[{ip}]:{}", self.port),
            Host::Cjdns(ip) => write!(f, "[{ip}]:{}", self.port),
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
    /// Where it listens. On the wire IPv4 is IPv4-mapped IPv6; read, it is IPv4.
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

impl Element for AddrV1 {
    fn wire_len(&self) -> usize {
        Self::LEN
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

    /// Reads the entries, and leaves out those that no peer is to hear of.
    pub(crate) fn decode_list(reader: &mut Reader<'_>) -> Result<Bounded<Self, MAX_ADDRESSES>, DecodeError> {
        let count = reader.compact_size(MAX_ADDRESSES)?;
        let entries = reader.elements(count, Self::LEAST_LEN, Self::decode)?;
        Ok(Bounded::truncated(entries.into_iter().flatten().collect()))
    }

    /// Writes the entries that [`AddrV2::decode_list`] would keep.
    pub(crate) fn encode_list(entries: &[Self], out: &mut Vec<u8>) {
        let told = || entries.iter().filter(|entry| entry.address.host.is_gossiped());
        write_compact_size(out, told().count() as u64);
        told().for_each(|entry| entry.encode(out));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let time = reader.u32()?;
        let services = Services(reader.compact_u64()?);
        let host = Host::decode(reader)?;
        let port = reader.u16_be()?;
        Ok(host.map(|host| Self { time, services, address: PeerAddr { host, port } }))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_le_bytes());
        write_compact_size(out, self.services.0);
        self.address.host.encode(out);
        out.extend_from_slice(&self.address.port.to_be_bytes());
    }
}

impl Element for AddrV2 {
    fn wire_len(&self) -> usize {
        4 + compact_size_len(self.services.0) + self.address.host.encoded_len() + 2
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

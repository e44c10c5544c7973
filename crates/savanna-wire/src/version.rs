//! The `version` message, with which a connection begins.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

use crate::address::{decode_socket_addr, encode_socket_addr};
use crate::bounded::TooMany;
use crate::primitive::{Reader, write_compact_size};
use crate::{DecodeError, Services};

/// The longest user agent, in bytes (BIP-14).
pub const MAX_USER_AGENT: usize = 256;

/// A version of the protocol; those in use begin at 170002. A peer may claim any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(pub i32);

impl ProtocolVersion {
    /// The version from which inventory may name transactions by txid and auth digest (ZIP-239).
    pub const WTX: Self = Self(170_014);
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name and version of a peer's software: at most [`MAX_USER_AGENT`] bytes of the peer's choosing.
///
/// # Security
/// Shown escaped: no control character, terminal sequence or invalid UTF-8 of a peer's reaches a log or a screen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserAgent(Box<[u8]>);

impl UserAgent {
    /// Makes a user agent of `bytes`.
    ///
    /// # Errors
    /// [`TooMany`] above [`MAX_USER_AGENT`] bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, TooMany> {
        let bytes = bytes.into();
        if bytes.len() > MAX_USER_AGENT {
            return Err(TooMany { len: bytes.len(), limit: MAX_USER_AGENT });
        }
        Ok(Self(bytes))
    }

    /// Returns the bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// An address inside `version`: 26 bytes, without a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionAddr {
    /// What the node at the address is said to offer.
    pub services: Services,
    /// The address.
    pub address: SocketAddr,
}

impl VersionAddr {
    /// Stands for an address that is not told: `[::]:0`, no services.
    pub const UNSPECIFIED: Self =
        Self { services: Services::NONE, address: SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0) };

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let services = Services(reader.u64()?);
        let address = decode_socket_addr(reader)?;
        Ok(Self { services, address })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.services.0.to_le_bytes());
        encode_socket_addr(self.address, out);
    }
}

/// What a peer says of itself at the start of a connection.
///
/// Every field is a claim. The times, heights and addresses in it are data, never our clock or our own address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The protocol version it speaks.
    pub version: ProtocolVersion,
    /// What it offers.
    pub services: Services,
    /// Its clock, in Unix seconds.
    pub time: i64,
    /// Where it sees the receiver.
    pub receiver: VersionAddr,
    /// Where it thinks it is itself.
    pub sender: VersionAddr,
    /// A random number by which a node knows its own connection.
    pub nonce: u64,
    /// Its software.
    pub user_agent: UserAgent,
    /// The height of its best block.
    pub height: i32,
    /// Whether it wants transactions announced.
    pub relay: bool,
}

impl Version {
    /// Reads the payload. A missing `relay` is true; bytes after it belong to versions to come and are passed over.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = ProtocolVersion(reader.i32()?);
        let services = Services(reader.u64()?);
        let time = reader.i64()?;
        let receiver = VersionAddr::decode(reader)?;
        let sender = VersionAddr::decode(reader)?;
        let nonce = reader.u64()?;
        let len = reader.compact_size(MAX_USER_AGENT)?;
        let user_agent = UserAgent(reader.take(len)?.into());
        let height = reader.i32()?;
        let relay = match reader.u8() {
            Ok(0) => false,
            Ok(1) | Err(_) => true,
            Ok(_) => return Err(DecodeError::Invalid { what: "relay" }),
        };
        Ok(Self { version, services, time, receiver, sender, nonce, user_agent, height, relay })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.0.to_le_bytes());
        out.extend_from_slice(&self.services.0.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        self.receiver.encode(out);
        self.sender.encode(out);
        out.extend_from_slice(&self.nonce.to_le_bytes());
        write_compact_size(out, self.user_agent.0.len() as u64);
        out.extend_from_slice(&self.user_agent.0);
        out.extend_from_slice(&self.height.to_le_bytes());
        out.push(u8::from(self.relay));
    }
}

//! The Zcash wire format: bytes to messages and back.
//!
//! This crate knows what a frame looks like, what each message holds and how large each part may be. It keeps no state
//! beyond one partly received frame, opens no socket, reads no clock, and verifies no block: a `block` or a `tx` stays the
//! bytes it arrived as, and only the block's header is parsed.
//!
//! Decoding is strict. A value of a type of this crate is always legal on the wire, so whatever decodes can be encoded
//! again, and illegal input never becomes a value. Memory grows with the bytes received, never with a declared length or
//! count.
//!
//! ```
//! use bytes::BytesMut;
//! use savanna_wire::{Decoded, Decoder, Message, Network, encode};
//!
//! let frame = encode(&Message::Ping(7), Network::Mainnet.magic());
//! let mut buffer = BytesMut::from(&frame.concat()[..]);
//! let mut decoder = Decoder::new(Network::Mainnet.magic());
//! assert_eq!(decoder.decode(&mut buffer)?, Some(Decoded::Message(Message::Ping(7))));
//! # Ok::<(), savanna_wire::FrameError>(())
//! ```

mod address;
mod bounded;
mod command;
mod error;
mod filter;
mod frame;
mod hash;
mod header;
mod host;
mod inventory;
mod locator;
mod message;
mod network;
mod primitive;
mod reject;
mod services;
mod transaction;
mod version;

pub use address::{AddrV1, AddrV2, PeerAddr, PeerAddrError};
pub use bounded::{Bounded, Element, TooMany};
pub use command::Command;
pub use error::{DecodeError, FrameError};
pub use filter::{FilterAdd, FilterLoad};
pub use frame::{
    Checksum, Decoded, Decoder, DropReason, Frame, HEADER_LEN, MAX_HANDSHAKE_PAYLOAD, MAX_PAYLOAD, SHARE_THRESHOLD,
    encode,
};
pub use hash::{AuthDigest, BlockHash, MerkleRoot, ParseHashError, TxId, sha256d};
pub use header::{Block, BlockHeader, MAX_BLOCK_LEN, Solution};
pub use host::{CjdnsIpv6, Host, NativeIpv6};
pub use inventory::{Inventory, MAX_INVENTORY, TransactionId};
pub use locator::{Locator, MAX_LOCATOR};
pub use message::{MAX_ADDRESSES, MAX_HEADERS, Message};
pub use network::{Magic, Network, ParseNetworkError};
pub use primitive::{MAX_COMPACT_SIZE, Reader, compact_size_len, write_compact_size};
pub use reject::{MAX_REASON, Reject, RejectCode};
pub use services::Services;
pub use transaction::{MAX_TRANSACTION_LEN, Transaction};
pub use version::{MAX_USER_AGENT, ProtocolVersion, UserAgent, Version, VersionAddr};

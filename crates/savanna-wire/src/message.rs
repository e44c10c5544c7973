//! The messages.

use bytes::Bytes;

use crate::frame::{Checksum, Payload};
use crate::primitive::{Reader, write_compact_size};
use crate::{
    AddrV1, AddrV2, Block, BlockHash, BlockHeader, Bounded, Command, DecodeError, FilterAdd, FilterLoad, Inventory,
    Locator, MAX_INVENTORY, ProtocolVersion, Reject, Transaction, Version,
};

/// The most entries of an `addr` or `addrv2`.
pub const MAX_ADDRESSES: usize = 1000;

/// The most headers of a `headers`.
pub const MAX_HEADERS: usize = 160;

/// One message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Opens a connection.
    Version(Version),
    /// Accepts the other side's `version`.
    Verack,
    /// Asks for a `pong` with the same nonce.
    Ping(u64),
    /// Answers a `ping`.
    Pong(u64),
    /// Asks for addresses of peers.
    GetAddr,
    /// Tells addresses of peers.
    Addr(Bounded<AddrV1, MAX_ADDRESSES>),
    /// Tells addresses of peers of any network (ZIP-155).
    AddrV2(Bounded<AddrV2, MAX_ADDRESSES>),
    /// Tells what a peer has.
    Inv(Bounded<Inventory, MAX_INVENTORY>),
    /// Asks for blocks or transactions.
    GetData(Bounded<Inventory, MAX_INVENTORY>),
    /// Tells what of a `getdata` a peer lacks.
    NotFound(Bounded<Inventory, MAX_INVENTORY>),
    /// Asks for the hashes that follow a locator.
    GetBlocks(Locator),
    /// Asks for the headers that follow a locator.
    GetHeaders(Locator),
    /// Answers `getheaders`.
    Headers(Bounded<BlockHeader, MAX_HEADERS>),
    /// Delivers a block.
    Block(Block),
    /// Delivers a transaction.
    Tx(Transaction),
    /// Asks for the ids of unconfirmed transactions (BIP-35).
    Mempool,
    /// Refuses something (BIP-61).
    Reject(Reject),
    /// Sets a bloom filter (BIP-37).
    FilterLoad(FilterLoad),
    /// Adds to the bloom filter.
    FilterAdd(FilterAdd),
    /// Removes the bloom filter.
    FilterClear,
}

impl Message {
    /// Returns the name under which the message travels.
    #[must_use]
    pub const fn command(&self) -> Command {
        match self {
            Self::Version(_) => Command::Version,
            Self::Verack => Command::Verack,
            Self::Ping(_) => Command::Ping,
            Self::Pong(_) => Command::Pong,
            Self::GetAddr => Command::GetAddr,
            Self::Addr(_) => Command::Addr,
            Self::AddrV2(_) => Command::AddrV2,
            Self::Inv(_) => Command::Inv,
            Self::GetData(_) => Command::GetData,
            Self::NotFound(_) => Command::NotFound,
            Self::GetBlocks(_) => Command::GetBlocks,
            Self::GetHeaders(_) => Command::GetHeaders,
            Self::Headers(_) => Command::Headers,
            Self::Block(_) => Command::Block,
            Self::Tx(_) => Command::Tx,
            Self::Mempool => Command::Mempool,
            Self::Reject(_) => Command::Reject,
            Self::FilterLoad(_) => Command::FilterLoad,
            Self::FilterAdd(_) => Command::FilterAdd,
            Self::FilterClear => Command::FilterClear,
        }
    }

    /// Reads the payload of a `command` under the negotiated `version`; `hash` is a block's, if it is known.
    ///
    /// # Errors
    /// [`DecodeError`] if the payload is not exactly one value of the message's type. Only `version` may be followed by
    /// more bytes.
    pub(crate) fn decode(
        command: Command,
        payload: Payload<'_>,
        checksum: Checksum,
        hash: Option<BlockHash>,
        version: ProtocolVersion,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload.as_slice(), command.name());
        let r = &mut reader;
        let inventory = |r: &mut Reader<'_>| Inventory::decode(r, version);
        let message = match command {
            Command::Version => return Version::decode(r).map(Self::Version),
            Command::Block => return Block::from_payload(payload, checksum, hash).map(Self::Block),
            Command::Tx => return Transaction::from_payload(payload).map(Self::Tx),
            Command::Verack => Self::Verack,
            Command::Ping => Self::Ping(r.u64()?),
            Command::Pong => Self::Pong(r.u64()?),
            Command::GetAddr => Self::GetAddr,
            Command::Addr => Self::Addr(Bounded::decode(r, AddrV1::LEN, AddrV1::decode)?),
            Command::AddrV2 => Self::AddrV2(AddrV2::decode_list(r)?),
            Command::Inv => Self::Inv(Bounded::decode(r, Inventory::LEAST_LEN, inventory)?),
            Command::GetData => Self::GetData(Bounded::decode(r, Inventory::LEAST_LEN, inventory)?),
            Command::NotFound => Self::NotFound(Bounded::decode(r, Inventory::LEAST_LEN, inventory)?),
            Command::GetBlocks => Self::GetBlocks(Locator::decode(r)?),
            Command::GetHeaders => Self::GetHeaders(Locator::decode(r)?),
            Command::Headers => Self::Headers(Bounded::decode(r, BlockHeader::FIXED_LEN, counted_header)?),
            Command::Mempool => Self::Mempool,
            Command::Reject => Self::Reject(Reject::decode(r)?),
            Command::FilterLoad => Self::FilterLoad(FilterLoad::decode(r)?),
            Command::FilterAdd => Self::FilterAdd(FilterAdd::decode(r)?),
            Command::FilterClear => Self::FilterClear,
        };
        reader.finish()?;
        Ok(message)
    }

    /// Returns the payload: shared with the message for a block or a transaction, newly written for the rest.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Block(block) => return block.bytes().clone(),
            Self::Tx(transaction) => return transaction.bytes().clone(),
            Self::Version(version) => version.encode(&mut out),
            Self::Ping(nonce) | Self::Pong(nonce) => out.extend_from_slice(&nonce.to_le_bytes()),
            Self::Addr(entries) => entries.encode(&mut out, AddrV1::encode),
            Self::AddrV2(entries) => AddrV2::encode_list(entries, &mut out),
            Self::Inv(items) | Self::GetData(items) | Self::NotFound(items) => {
                items.encode(&mut out, Inventory::encode);
            }
            Self::GetBlocks(locator) | Self::GetHeaders(locator) => locator.encode(&mut out),
            Self::Headers(headers) => headers.encode(&mut out, |header, out| {
                header.encode(out);
                write_compact_size(out, 0);
            }),
            Self::Reject(reject) => reject.encode(&mut out),
            Self::FilterLoad(filter) => filter.encode(&mut out),
            Self::FilterAdd(element) => element.encode(&mut out),
            Self::Verack | Self::GetAddr | Self::Mempool | Self::FilterClear => {}
        }
        out.into()
    }
}

/// Reads an entry of `headers`: a header and a count of transactions, which says nothing but is bounded like any other.
fn counted_header(reader: &mut Reader<'_>) -> Result<BlockHeader, DecodeError> {
    let header = BlockHeader::decode(reader)?;
    reader.compact_size(usize::MAX)?;
    Ok(header)
}

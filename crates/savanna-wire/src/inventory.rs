//! Names of blocks and transactions, as `inv`, `getdata` and `notfound` carry them (ZIP-239).

use crate::bounded::Element;
use crate::primitive::Reader;
use crate::{AuthDigest, BlockHash, DecodeError, ProtocolVersion, TxId};

/// The most entries of an `inv`, a `getdata` or a `notfound`.
pub const MAX_INVENTORY: usize = 50_000;

/// One thing that a peer has, wants or lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Inventory {
    /// A transaction of v1 to v4, by its id.
    Tx(TxId),
    /// A block.
    Block(BlockHash),
    /// A block as a bloom filter sees it (BIP-37); we never ask for one.
    FilteredBlock(BlockHash),
    /// A transaction of v5 or later, by its id and the digest of its authorizing data.
    Wtx(TxId, AuthDigest),
}

impl Element for Inventory {
    fn wire_len(&self) -> usize {
        match self {
            Self::Tx(_) | Self::Block(_) | Self::FilteredBlock(_) => 36,
            Self::Wtx(..) => 68,
        }
    }
}

/// The name of a transaction, in the form in which it is announced and asked for (ZIP-239).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TransactionId {
    /// A transaction of v1 to v4.
    Legacy(TxId),
    /// A transaction of v5 or later.
    Witnessed(TxId, AuthDigest),
}

impl TransactionId {
    /// Returns the id without the digest of the authorizing data.
    #[must_use]
    pub const fn txid(self) -> TxId {
        match self {
            Self::Legacy(id) | Self::Witnessed(id, _) => id,
        }
    }
}

impl From<TransactionId> for Inventory {
    fn from(id: TransactionId) -> Self {
        match id {
            TransactionId::Legacy(id) => Self::Tx(id),
            TransactionId::Witnessed(id, digest) => Self::Wtx(id, digest),
        }
    }
}

impl Inventory {
    const TX: u32 = 1;
    const BLOCK: u32 = 2;
    const FILTERED_BLOCK: u32 = 3;
    const WTX: u32 = 5;

    /// The shortest entry in bytes.
    pub(crate) const LEAST_LEN: usize = 36;

    /// Returns the transaction that the entry names, if it names one.
    #[must_use]
    pub const fn transaction_id(self) -> Option<TransactionId> {
        match self {
            Self::Tx(id) => Some(TransactionId::Legacy(id)),
            Self::Wtx(id, digest) => Some(TransactionId::Witnessed(id, digest)),
            Self::Block(_) | Self::FilteredBlock(_) => None,
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        match reader.u32()? {
            Self::TX => Ok(Self::Tx(TxId(reader.array()?))),
            Self::BLOCK => Ok(Self::Block(BlockHash(reader.array()?))),
            Self::FILTERED_BLOCK => Ok(Self::FilteredBlock(BlockHash(reader.array()?))),
            Self::WTX if version >= ProtocolVersion::WTX => {
                Ok(Self::Wtx(TxId(reader.array()?), AuthDigest(reader.array()?)))
            }
            kind => Err(DecodeError::UnknownInventory { kind }),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (kind, hash) = match self {
            Self::Tx(id) => (Self::TX, &id.0),
            Self::Wtx(id, _) => (Self::WTX, &id.0),
            Self::Block(hash) => (Self::BLOCK, &hash.0),
            Self::FilteredBlock(hash) => (Self::FILTERED_BLOCK, &hash.0),
        };
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(hash);
        if let Self::Wtx(_, digest) = self {
            out.extend_from_slice(&digest.0);
        }
    }
}

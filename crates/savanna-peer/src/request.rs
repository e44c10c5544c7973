//! Requests, responses, and how a request can fail: the same both ways.

use std::time::Duration;

use savanna_wire::{AddrV2, Block, BlockHash, BlockHeader, Transaction, TransactionId};
use thiserror::Error;

use crate::CloseReason;

/// The most hashes of a [`Request::Blocks`]: three messages of [`MAX_GETDATA_BLOCKS`], the widest window a peer deserves.
pub const MAX_BLOCKS: usize = 48;

/// The most blocks asked for, or served, by one `getdata`: what Zebra serves before it drops the rest in silence.
pub const MAX_GETDATA_BLOCKS: usize = 16;

/// The most ids of a [`Request::Transactions`].
pub const MAX_TRANSACTIONS: usize = 1000;

/// The most hashes in an answer to [`Request::FindBlocks`].
pub const MAX_BLOCK_HASHES: usize = 500;

/// The most transaction ids we put into one `inv`.
pub const MAX_ADVERTISED: usize = 25_000;

/// The most addresses told unasked at once; a longer `addr` that nobody asked for is no gossip and is passed over.
pub const MAX_ADVERTISED_PEERS: usize = 10;

/// Something that one node asks of another, or tells it.
///
/// A client asks it of a peer; the inbound service is asked it by a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Measures the round trip. Answered by [`Response::Pong`].
    Ping,
    /// Asks for addresses of peers. Answered by [`Response::Peers`].
    Peers,
    /// Asks for the hashes of the blocks that follow a locator. Answered by [`Response::BlockHashes`].
    FindBlocks {
        /// Hashes of the asker's chain, newest first, at most [`savanna_wire::MAX_LOCATOR`].
        locator: Vec<BlockHash>,
        /// The last hash wanted; `None` for as many as fit.
        stop: Option<BlockHash>,
    },
    /// Asks for the headers that follow a locator. Answered by [`Response::Headers`].
    FindHeaders {
        /// Hashes of the asker's chain, newest first, at most [`savanna_wire::MAX_LOCATOR`].
        locator: Vec<BlockHash>,
        /// The hash of the last header wanted; `None` for as many as fit.
        stop: Option<BlockHash>,
    },
    /// Asks for blocks by hash, at most [`MAX_BLOCKS`]. Answered by [`Response::Blocks`].
    Blocks(Vec<BlockHash>),
    /// Asks for transactions by id, at most [`MAX_TRANSACTIONS`]. Answered by [`Response::Transactions`].
    Transactions(Vec<TransactionId>),
    /// Asks for the ids of unconfirmed transactions (BIP-35). Answered by [`Response::TransactionIds`].
    MempoolIds,
    /// Hands over a transaction unasked. Answered by [`Response::Nil`] once it is on its way.
    PushTransaction(Transaction),
    /// Tells that transactions are to be had, at most [`MAX_ADVERTISED`]. Answered by [`Response::Nil`].
    AdvertiseTransactions(Vec<TransactionId>),
    /// Tells that a block is to be had. Answered by [`Response::Nil`].
    AdvertiseBlock(BlockHash),
    /// Tells addresses of peers unasked, at most [`MAX_ADVERTISED_PEERS`]. Answered by [`Response::Nil`].
    AdvertisePeers(Vec<AddrV2>),
}

impl Request {
    /// Returns the kind, without the contents.
    #[must_use]
    pub const fn kind(&self) -> RequestKind {
        match self {
            Self::Ping => RequestKind::Ping,
            Self::Peers => RequestKind::Peers,
            Self::FindBlocks { .. } => RequestKind::FindBlocks,
            Self::FindHeaders { .. } => RequestKind::FindHeaders,
            Self::Blocks(_) => RequestKind::Blocks,
            Self::Transactions(_) => RequestKind::Transactions,
            Self::MempoolIds => RequestKind::MempoolIds,
            Self::PushTransaction(_) => RequestKind::PushTransaction,
            Self::AdvertiseTransactions(_) => RequestKind::AdvertiseTransactions,
            Self::AdvertiseBlock(_) => RequestKind::AdvertiseBlock,
            Self::AdvertisePeers(_) => RequestKind::AdvertisePeers,
        }
    }
}

/// The kind of a request: a bounded label for limits and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the request of the same name")]
pub enum RequestKind {
    Ping,
    Peers,
    FindBlocks,
    FindHeaders,
    Blocks,
    Transactions,
    MempoolIds,
    PushTransaction,
    AdvertiseTransactions,
    AdvertiseBlock,
    AdvertisePeers,
}

impl RequestKind {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 11] = [
        Self::Ping,
        Self::Peers,
        Self::FindBlocks,
        Self::FindHeaders,
        Self::Blocks,
        Self::Transactions,
        Self::MempoolIds,
        Self::PushTransaction,
        Self::AdvertiseTransactions,
        Self::AdvertiseBlock,
        Self::AdvertisePeers,
    ];

    /// Returns the name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Peers => "peers",
            Self::FindBlocks => "find_blocks",
            Self::FindHeaders => "find_headers",
            Self::Blocks => "blocks",
            Self::Transactions => "transactions",
            Self::MempoolIds => "mempool_ids",
            Self::PushTransaction => "push_transaction",
            Self::AdvertiseTransactions => "advertise_transactions",
            Self::AdvertiseBlock => "advertise_block",
            Self::AdvertisePeers => "advertise_peers",
        }
    }
}

/// What comes back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Nothing: the request was a statement, or the inbound service has no answer and none is sent.
    Nil,
    /// The round trip of a ping.
    Pong(Duration),
    /// Addresses of peers, at most 1000.
    Peers(Vec<AddrV2>),
    /// Hashes of consecutive blocks, oldest first, at most [`MAX_BLOCK_HASHES`]; empty when nothing follows.
    BlockHashes(Vec<BlockHash>),
    /// Consecutive headers, oldest first, at most [`savanna_wire::MAX_HEADERS`]; empty when nothing follows.
    Headers(Vec<BlockHeader>),
    /// Blocks, in the order in which they came.
    Blocks(Partial<Block, BlockHash>),
    /// Transactions, in the order in which they came.
    Transactions(Partial<Transaction, TransactionId>),
    /// Ids of unconfirmed transactions.
    TransactionIds(Vec<TransactionId>),
}

/// An answer that may lack some of what was asked for, and says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial<T, Id> {
    /// What came.
    pub found: Vec<T>,
    /// What did not come, each with the reason.
    pub missing: Vec<(Id, Missing)>,
}

impl<T, Id> Partial<T, Id> {
    /// Makes an answer that lacks nothing.
    #[must_use]
    pub const fn complete(found: Vec<T>) -> Self {
        Self { found, missing: Vec::new() }
    }
}

/// Why a part of an answer is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// The peer said `notfound`.
    NotFound,
    /// The peer answered the fence behind the question without a word on this: it may be asked again at once.
    Dropped,
    /// The deadline passed before the peer said anything on this.
    TimedOut,
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The peer did not answer before the deadline.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The connection ended first.
    #[error("the connection ended: {0}")]
    Closed(CloseReason),
    /// The request is longer than its kind admits.
    #[error("the request has {len} parts, at most {limit} are allowed")]
    TooLong {
        /// How many parts it has.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_at_their_discriminants() {
        for (index, kind) in RequestKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }
}

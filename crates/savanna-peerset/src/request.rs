//! What is asked of the network, and what comes back.

use std::time::Duration;

use thiserror::Error;

use savanna_net::PeerId;
use savanna_peer::{CloseReason, Missing, Request, RequestKind, Response};
use savanna_wire::{Block, BlockHash};

/// The most hashes or ids of one request to the network. They are split over peers; a longer list is refused.
pub const MAX_HASHES: usize = 2_000;

/// Numbers a request to the network. The caller numbers them, in the order in which they are to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request to the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Wants one answer. Lists of blocks and of transactions are split over peers and gathered, at most [`MAX_HASHES`];
    /// statements go to as many peers as their kind is meant for.
    One(Request),
    /// Wants one answer, of this peer before any other; of another one where it is gone, fails or is late.
    Following(Request, PeerId),
    /// Wants the answers of so many distinct peers, each to the whole question.
    Distinct(Request, usize),
    /// Wants the same, and waits for the slower half of those who are asked no longer than this.
    Graced(Request, usize, Duration),
    /// Wants blocks one by one as they come, at most [`MAX_HASHES`].
    Stream(Vec<BlockHash>),
}

/// What a peer answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The peer.
    pub peer: PeerId,
    /// What it answered.
    pub response: Response,
}

/// One block of a stream, or the lack of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The block's name.
    pub hash: BlockHash,
    /// The block with the peer that gave it, or why there is none.
    pub result: Result<(PeerId, Block), Missing>,
}

/// How a request to the network ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With the answers of peers, at least one of them, each of another peer.
    Answers(Vec<Answer>),
    /// With a list gathered from many peers.
    Gathered(Response),
    /// With every block of the stream delivered or told missing.
    Streamed,
}

/// Why the network gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There was no peer to ask until the deadline.
    #[error("there is no peer to ask")]
    NoPeers,
    /// The peers that were asked do not have it, or have said so lately.
    #[error("no peer has it")]
    NotFound,
    /// No peer answered before the deadline.
    #[error("no peer answered in time")]
    TimedOut,
    /// More requests wait than the set keeps.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The connection to the peer ended, or the set itself.
    #[error("the connection ended: {0}")]
    Closed(CloseReason),
    /// The request is longer than is admitted.
    #[error("the request has {len} parts, at most {limit} are allowed")]
    TooLong {
        /// How many parts it has.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
}

impl From<savanna_peer::RequestError> for RequestError {
    fn from(error: savanna_peer::RequestError) -> Self {
        match error {
            savanna_peer::RequestError::Closed(reason) => Self::Closed(reason),
            savanna_peer::RequestError::TooLong { len, limit } => Self::TooLong { len, limit },
            savanna_peer::RequestError::TimedOut => Self::TimedOut,
            // Whatever else may go wrong at one peer, for the network it is an answer that did not come.
            _ => Self::TimedOut,
        }
    }
}

/// Returns how many peers a request is meant for when one answer is wanted.
///
/// Announcements go to everyone; that of a block only to those who are not known to have it. Addresses are relayed to two, which spreads them without telling who told them first.
pub(crate) const fn audience(kind: RequestKind) -> usize {
    match kind {
        RequestKind::AdvertiseBlock | RequestKind::AdvertiseTransactions => usize::MAX,
        RequestKind::AdvertisePeers => 2,
        RequestKind::Ping
        | RequestKind::Peers
        | RequestKind::FindBlocks
        | RequestKind::FindHeaders
        | RequestKind::Blocks
        | RequestKind::Transactions
        | RequestKind::MempoolIds
        | RequestKind::PushTransaction => 1,
    }
}

/// How long a statement to everyone waits for those who take their time to read it.
///
/// # Security
/// A peer that does not read holds up no announcement longer than this.
pub(crate) const ANNOUNCEMENT_DEADLINE: Duration = Duration::from_secs(1);

/// Returns whether the time to an answer tells how near the peer is. A statement is done when it is written, peers linger over
/// addresses and the memory pool, and lists take as long as they are.
pub(crate) const fn tells_nearness(kind: RequestKind) -> bool {
    matches!(kind, RequestKind::Ping | RequestKind::FindBlocks | RequestKind::FindHeaders)
}

/// Returns whether a peer answers one question of the kind at a time: the wire does not tell two of them apart.
pub(crate) const fn is_exclusive(kind: RequestKind) -> bool {
    match kind {
        RequestKind::Peers | RequestKind::FindBlocks | RequestKind::FindHeaders | RequestKind::MempoolIds => true,
        RequestKind::Ping
        | RequestKind::Blocks
        | RequestKind::Transactions
        | RequestKind::PushTransaction
        | RequestKind::AdvertiseTransactions
        | RequestKind::AdvertiseBlock
        | RequestKind::AdvertisePeers => false,
    }
}

/// Returns whether only a peer that serves the chain can answer.
pub(crate) const fn needs_chain(kind: RequestKind) -> bool {
    matches!(kind, RequestKind::FindBlocks | RequestKind::FindHeaders | RequestKind::Blocks)
}

/// Returns whether a late answer is reason to ask a second peer as well.
///
/// Peers answer for addresses and the memory pool when they please, and statements have no answer to be late.
pub(crate) const fn is_hedged(kind: RequestKind) -> bool {
    needs_chain(kind) || matches!(kind, RequestKind::Ping | RequestKind::Transactions)
}

//! What a session reports to whoever drives it.

use std::fmt;
use std::time::Duration;

use savanna_wire::{AddrV2, BlockHash, ProtocolVersion, Transaction, TransactionId, Version};

use crate::{CloseReason, Request, RequestError, Response};

/// Who began a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The peer dialled us.
    Inbound,
    /// We dialled the peer.
    Outbound,
}

/// Names a request of ours for the life of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(crate) u64);

/// Names a question of the peer's for the life of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundId(pub(crate) u64);

/// What a completed handshake tells of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who began the connection.
    pub direction: Direction,
    /// What the peer said of itself.
    pub remote: Version,
    /// The version both sides speak: the lower of the two.
    pub negotiated: ProtocolVersion,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "events are moved once, from the session to its driver")]
pub enum Event {
    /// The handshake is complete: requests may be made. Happens once, before all but [`Event::Closed`].
    Established(PeerInfo),
    /// A heartbeat came back.
    RoundTrip(Duration),
    /// A request of ours has ended. Happens once for each accepted request that was not cancelled.
    Response {
        /// The request.
        id: RequestId,
        /// Its answer, or why there is none.
        result: Result<Response, RequestError>,
    },
    /// The peer asks something: to be answered by `respond`, if only with [`Response::Nil`].
    ///
    /// The session sets its own application no deadline. As long as a question is open, the answers to later ones wait behind
    /// it, and so do the `pong`s that keep the connection alive: whoever drives the session bounds how long that may be.
    Request {
        /// The question.
        id: InboundId,
        /// What it asks.
        request: Request,
    },
    /// The peer tells something unasked.
    Gossip(Gossip),
    /// The session has ended. Happens once, last.
    Closed(CloseReason),
}

/// What peers tell unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gossip {
    /// It has a new block.
    Block(BlockHash),
    /// It has transactions.
    Transactions(Vec<TransactionId>),
    /// It hands over a transaction.
    Transaction(Transaction),
    /// It knows peers: at most ten, within its budget.
    Peers(Vec<AddrV2>),
}

/// Which deadline is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// For the whole handshake.
    Handshake,
    /// For the rest of a message that has begun.
    Frame,
    /// For the peer to take what we have for it.
    Write,
    /// For the next heartbeat to be sent: passing it ends nothing.
    Heartbeat,
    /// For the `pong` with this nonce.
    Ping(u64),
    /// For the answer to a request.
    Request(RequestId),
    /// For a question of the peer's that waits for its rate: passing it ends nothing.
    Question,
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the handshake was not complete in time",
            Self::Frame => "a message was not complete in time",
            Self::Write => "nothing was read in time",
            Self::Heartbeat => "a heartbeat was due",
            Self::Ping(_) => "a ping was not answered in time",
            Self::Request(_) => "a request was not answered in time",
            Self::Question => "a question was due",
        })
    }
}

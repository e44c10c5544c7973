//! Connections: two ends, and a pipe towards each.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use savanna_peer::Direction;

use super::HostId;

/// How many bytes a pipe holds before it takes no more: what two socket buffers hold.
pub(super) const PIPE: usize = 256 * 1024;

/// One end of a connection. No number is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub(super) link: u32,
    pub(super) direction: Direction,
}

impl ConnectionId {
    /// Returns whether this end dialled.
    #[must_use]
    pub const fn direction(self) -> Direction {
        self.direction
    }

    /// Returns a number that no other end has.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.link as u64) << 1 | self.index() as u64
    }

    /// Returns the end on the other side.
    #[must_use]
    pub const fn other(self) -> Self {
        let direction = match self.direction {
            Direction::Inbound => Direction::Outbound,
            Direction::Outbound => Direction::Inbound,
        };
        Self { link: self.link, direction }
    }

    pub(super) const fn index(self) -> usize {
        match self.direction {
            Direction::Outbound => 0,
            Direction::Inbound => 1,
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = match self.direction {
            Direction::Outbound => '>',
            Direction::Inbound => '<',
        };
        write!(f, "c{}{arrow}", self.link)
    }
}

/// A connection as one of its ends sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// This end.
    pub id: ConnectionId,
    /// Where this end is.
    pub local: SocketAddr,
    /// Where the other end is. The port of one that dialled is of no use to anybody.
    pub remote: SocketAddr,
}

/// What goes through a pipe.
#[derive(Debug, Clone)]
pub(super) enum Segment {
    Data(Bytes),
    /// The other end sends no more; or it has been reset, which nodes take alike.
    Fin,
}

impl Segment {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            Self::Fin => 0,
        }
    }
}

/// What is on its way to one end.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) segments: VecDeque<(Duration, Segment)>,
    pub(super) bytes: usize,
    /// The line is busy until then.
    pub(super) busy_until: Duration,
    /// Nothing overtakes what arrives then.
    pub(super) last_arrival: Duration,
    /// The reader takes nothing.
    pub(super) is_paused: bool,
    /// The writer wants to know of room.
    pub(super) is_awaited: bool,
    /// Since when what should have arrived does not.
    pub(super) stalled_since: Option<Duration>,
}

impl Pipe {
    pub(super) const fn room(&self) -> usize {
        PIPE.saturating_sub(self.bytes)
    }
}

/// Who is at one end.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) host: Option<HostId>,
    pub(super) address: SocketAddr,
    pub(super) state: EndState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndState {
    /// Not connected yet.
    Opening,
    Open,
    /// Closed by its node, and the other end is being told.
    Closed,
    /// Nobody has any memory of it: whoever still sends is told so.
    Forgotten,
}

/// A connection: ends and pipes by the direction of the end, the dialling one first.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [End; 2],
    pub(super) pipes: [Pipe; 2],
    pub(super) latency: Duration,
}

impl Link {
    pub(super) fn new(dialer: HostId, from: SocketAddr, to: SocketAddr, latency: Duration) -> Self {
        let end = |host, address| End { host, address, state: EndState::Opening };
        Self { ends: [end(Some(dialer), from), end(None, to)], pipes: <[Pipe; 2]>::default(), latency }
    }

    /// Returns the connection as one end sees it.
    pub(super) const fn seen_by(&self, id: ConnectionId) -> Connection {
        Connection { id, local: self.ends[id.index()].address, remote: self.ends[id.other().index()].address }
    }

    /// Returns whether no node knows of the connection.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| matches!(end.state, EndState::Closed | EndState::Forgotten))
    }
}

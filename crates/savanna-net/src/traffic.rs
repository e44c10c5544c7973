//! What the connections of a node have done: numbers for whoever watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use savanna_peer::{CloseReason, Direction, Gossip, RequestKind};

use crate::connector::DialError;

use times::Times;

pub use times::Histogram;

mod times;

/// How the dials ended.
const DIALS: [&str; 6] = ["connected", "timed_out", "refused", "unreachable", "proxy_failed", "needs_proxy"];

/// What peers tell unasked.
const GOSSIP: [&str; 4] = ["block", "transaction_ids", "transaction", "peers"];

const REASONS: usize = CloseReason::LABELS.len();

/// Counts what the connections of a node do, for its whole life. Clones count together.
///
/// It is given to connections by [`NodeConfig::traffic`](crate::NodeConfig::traffic), and to dials by
/// [`Connector::with_traffic`](crate::Connector::with_traffic). Numbers that are read one after the other may be of different
/// moments.
///
/// # Security
/// Every name in here is from a fixed set, and memory is fixed: nothing that peers choose makes another series.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    dials: [AtomicU64; DIALS.len()],
    inbound: Side,
    outbound: Side,
    round_trips: [Times; RequestKind::ALL.len()],
    gossip: [[AtomicU64; 2]; GOSSIP.len()],
}

/// What is counted of the connections in one direction.
#[derive(Debug, Default)]
struct Side {
    established: Times,
    failed: [AtomicU64; REASONS],
    closed: [AtomicU64; REASONS],
}

impl Traffic {
    /// Returns how many bytes were read from peers.
    #[must_use]
    pub fn received(&self) -> u64 {
        load(&self.0.received)
    }

    /// Returns how many bytes were written to peers.
    #[must_use]
    pub fn sent(&self) -> u64 {
        load(&self.0.sent)
    }

    /// Returns how many dials ended in each way.
    pub fn dials(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        named(DIALS, &self.0.dials)
    }

    /// Returns how many connections there are: those whose handshake is complete and that have not ended.
    #[must_use]
    pub fn connections(&self, direction: Direction) -> u64 {
        let side = self.side(direction);
        // What ended is read first, so that nothing has ended that had not begun.
        let closed = side.closed.iter().map(load).sum();
        side.established.read().count().saturating_sub(closed)
    }

    /// Returns how many handshakes ended in each way: `ok`, or the [label](CloseReason::label) of why there was none.
    pub fn handshakes(&self, direction: Direction) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let side = self.side(direction);
        let complete = ("ok", side.established.read().count());
        std::iter::once(complete).chain(named(CloseReason::LABELS, &side.failed))
    }

    /// Returns how long the handshakes took that were completed.
    #[must_use]
    pub fn handshake_times(&self, direction: Direction) -> Histogram {
        self.side(direction).established.read()
    }

    /// Returns how many connections ended after their handshake, by the [label](CloseReason::label) of the reason.
    pub fn closed(&self, direction: Direction) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        named(CloseReason::LABELS, &self.side(direction).closed)
    }

    /// Returns how long peers took to answer questions of a kind, perhaps in part. Statements have no answer and are not
    /// counted.
    #[must_use]
    pub fn round_trips(&self, kind: RequestKind) -> Histogram {
        self.0.round_trips[kind as usize].read()
    }

    /// Returns, for each kind of gossip, how many pieces were passed on, and how many were lost because their consumer was
    /// behind.
    pub fn gossip(&self) -> impl Iterator<Item = (&'static str, [u64; 2])> + '_ {
        GOSSIP.into_iter().zip(&self.0.gossip).map(|(name, [taken, lost])| (name, [load(taken), load(lost)]))
    }

    pub(crate) fn count_dial<T>(&self, result: &Result<T, DialError>) {
        let outcome = match result {
            Ok(_) => 0,
            Err(DialError::TimedOut(_)) => 1,
            Err(DialError::Connect(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => 2,
            Err(DialError::Connect(_)) => 3,
            Err(DialError::Proxy(_)) => 4,
            Err(DialError::NeedsProxy) => 5,
        };
        add(&self.0.dials[outcome], 1);
    }

    pub(crate) fn count_round_trip(&self, kind: RequestKind, took: Duration) {
        self.0.round_trips[kind as usize].add(took);
    }

    pub(crate) fn count_gossip(&self, kind: usize, is_lost: bool) {
        add(&self.0.gossip[kind][usize::from(is_lost)], 1);
    }

    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Inbound => &self.0.inbound,
            Direction::Outbound => &self.0.outbound,
        }
    }
}

/// Tells the kinds of gossip apart by their place among the names.
pub(crate) const fn gossip_kind(gossip: &Gossip) -> usize {
    match gossip {
        Gossip::Block(_) => 0,
        Gossip::Transactions(_) => 1,
        Gossip::Transaction(_) => 2,
        Gossip::Peers(_) => 3,
    }
}

/// Counts one connection, from the beginning of its handshake to its end.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) traffic: Traffic,
    direction: Direction,
    begun: Instant,
}

impl Meter {
    pub(crate) fn new(traffic: Traffic, direction: Direction) -> Self {
        Self { traffic, direction, begun: Instant::now() }
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.traffic.0.received, bytes);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.traffic.0.sent, bytes);
    }

    pub(crate) fn established(&self) {
        self.traffic.side(self.direction).established.add(self.begun.elapsed());
    }

    /// Counts the end of the handshake, or of the connection after it.
    pub(crate) fn ended(&self, reason: &CloseReason, was_established: bool) {
        let side = self.traffic.side(self.direction);
        let counters = if was_established { &side.closed } else { &side.failed };
        let label = reason.label();
        if let Some(at) = CloseReason::LABELS.iter().position(|known| *known == label) {
            add(&counters[at], 1);
        }
    }
}

fn named<'a, const N: usize>(
    names: [&'static str; N],
    counters: &'a [AtomicU64; N],
) -> impl Iterator<Item = (&'static str, u64)> + use<'a, N> {
    names.into_iter().zip(counters.iter().map(load))
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

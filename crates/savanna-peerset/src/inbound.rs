//! Who of those who dialled us stays.

use std::collections::BTreeMap;
use std::time::Duration;

use savanna_net::PeerId;
use savanna_peer::Response;
use savanna_wire::Host;

pub use evict::{Candidate, MAX_PROTECTED, evict};

mod evict;

/// What becomes of a peer that dialled us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Stays,
    /// It stays, and the other one has to go.
    Replaces(PeerId),
    /// It has to go: every place is taken by one that is protected.
    Refused,
}

/// Keeps so many of those who dialled us, without IO.
///
/// # Security
/// Only what a peer delivers at our own asking counts for it; what it announces or claims does not. One that has only connected
/// pushes nobody out: it must have shaken hands.
#[derive(Debug)]
pub struct Inbound {
    limit: usize,
    secret: [u8; 32],
    peers: BTreeMap<PeerId, Candidate>,
}

impl Inbound {
    /// Makes places for `limit` peers. Whoever knows `secret` can choose addresses that are protected.
    #[must_use]
    pub const fn new(limit: usize, secret: [u8; 32]) -> Self {
        Self { limit, secret, peers: BTreeMap::new() }
    }

    /// Returns how many there are: never more than the limit.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Returns whether one more has to push out another.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.peers.len() >= self.limit
    }

    /// Returns whether a peer is known to have been discouraged when it came.
    #[must_use]
    pub fn is_discouraged(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|candidate| candidate.is_discouraged)
    }

    /// Takes a peer in, if it stays. One that it replaces is forgotten. Who is discouraged replaces nobody.
    pub fn handle_joined(&mut self, peer: PeerId, host: Option<Host>, is_discouraged: bool, now: Duration) -> Verdict {
        let mut verdict = Verdict::Stays;
        if self.is_full() {
            if is_discouraged {
                return Verdict::Refused;
            }
            let candidates: Vec<_> = self.peers.values().copied().collect();
            let Some(evicted) = evict(&candidates, &self.secret) else { return Verdict::Refused };
            self.peers.remove(&evicted);
            verdict = Verdict::Replaces(evicted);
        }
        let candidate = Candidate {
            peer,
            host,
            is_discouraged,
            since: now,
            round_trip: None,
            block: None,
            transaction: None,
            headers: None,
        };
        self.peers.insert(peer, candidate);
        verdict
    }

    /// Forgets a peer.
    pub fn handle_left(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// Notes how near a peer is.
    pub fn handle_round_trip(&mut self, peer: PeerId, round_trip: Duration) {
        if let Some(candidate) = self.peers.get_mut(&peer) {
            candidate.round_trip = Some(round_trip);
        }
    }

    /// Notes that a peer answered what it was asked.
    pub fn handle_response(&mut self, peer: PeerId, response: &Response, now: Duration) {
        let Some(candidate) = self.peers.get_mut(&peer) else { return };
        match response {
            Response::Blocks(list) if !list.found.is_empty() => candidate.block = Some(now),
            Response::Transactions(list) if !list.found.is_empty() => candidate.transaction = Some(now),
            Response::Headers(headers) if !headers.is_empty() => candidate.headers = Some(now),
            Response::Pong(round_trip) => candidate.round_trip = Some(*round_trip),
            Response::Blocks(_)
            | Response::Transactions(_)
            | Response::Headers(_)
            | Response::Nil
            | Response::Peers(_)
            | Response::BlockHashes(_)
            | Response::TransactionIds(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;

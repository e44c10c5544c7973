//! A ledger as plain records, and back.

use savanna_book::{Handshake, Netgroup, UnixTime};
use savanna_peerset::crawler::Chain;
use savanna_wire::PeerAddr;

use super::{Ledger, Node, Trying};
use crate::{Decision, Reliability, Steadiness};

/// All that a ledger knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The nodes.
    pub nodes: Vec<Kept>,
    /// The floor's decision.
    pub floor: Decision,
}

/// What is kept of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Where it listens.
    pub address: PeerAddr,
    /// Who told of it.
    pub source: Netgroup,
    /// How reliably it answers.
    pub reliability: Reliability,
    /// How steadily it is there.
    pub steadiness: Steadiness,
    /// What it said of itself.
    pub said: Option<Handshake>,
    /// What its headers say about its chain.
    pub chain: Chain,
    /// When it was first heard of.
    pub first_heard: UnixTime,
    /// When it last answered.
    pub last_success: UnixTime,
    /// When it last showed its chain at depth.
    pub shown: UnixTime,
    /// When it is to be tried next.
    pub next: UnixTime,
    /// How many tries in a row it has not answered.
    pub failures: u8,
}

impl Ledger {
    /// Returns all that is known, by address.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let nodes = self.index.values().filter_map(|id| self.nodes[*id as usize].as_ref());
        let kept = nodes.map(|node| Kept {
            address: node.address,
            source: node.source,
            reliability: node.reliability,
            steadiness: node.steadiness,
            said: node.said.as_deref().cloned(),
            chain: node.chain,
            first_heard: node.first_heard,
            last_success: node.last_success,
            shown: node.shown,
            next: node.next,
            failures: node.failures,
        });
        Snapshot { nodes: kept.collect(), floor: self.floor.decision().clone() }
    }

    /// Goes on from a snapshot. What is known already stays as it is, and what is beyond the capacity is left out, those that
    /// never answered first.
    ///
    /// Nobody is named before somebody has answered in this run.
    pub fn resume(&mut self, snapshot: Snapshot, now: UnixTime) {
        let Snapshot { nodes, floor } = snapshot;
        self.floor = self.floor.clone().resume(floor);
        // Tries that lie ahead are the trace of a clock that was: all that was kept lies ahead by as much.
        let ahead = nodes.iter().map(|kept| kept.reliability.last_try().max(kept.last_success).since(now)).max();
        let (answered, silent): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|kept| kept.reliability.successes() > 0);
        for kept in answered.into_iter().chain(silent) {
            if self.index.len() < self.config.capacity && !self.index.contains_key(&kept.address) {
                self.add(Node::from_kept(kept, ahead.unwrap_or(0), now));
            }
        }
    }
}

impl Node {
    /// Makes one from what was kept by a clock that was so many seconds ahead.
    fn from_kept(kept: Kept, ahead: u32, now: UnixTime) -> Self {
        let mut node = Self {
            address: kept.address,
            reliability: kept.reliability,
            steadiness: kept.steadiness,
            said: kept.said.map(Box::new),
            first_heard: kept.first_heard,
            last_success: kept.last_success,
            asked: UnixTime::NEVER,
            ended: UnixTime::NEVER,
            shown: kept.shown,
            next: kept.next,
            source: kept.source,
            chain: kept.chain,
            failures: kept.failures,
            trying: Trying::No,
        };
        if ahead > 0 {
            node.set_back(ahead);
        }
        node.steadiness.set_back(node.steadiness.seen().since(now));
        for time in [&mut node.first_heard, &mut node.last_success, &mut node.shown] {
            *time = (*time).min(now);
        }
        if node.next.since(now) > LONGEST {
            node.next = now;
        }
        node
    }
}

/// Longer than any rest, in seconds: 31 days.
const LONGEST: u32 = 31 * 24 * 60 * 60;

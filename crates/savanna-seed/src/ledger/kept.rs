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
    /// When it was last asked to show its chain at depth.
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
        let (answered, silent): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|kept| kept.reliability.successes() > 0);
        for kept in answered.into_iter().chain(silent) {
            if self.index.len() < self.config.capacity && !self.index.contains_key(&kept.address) {
                self.add(Node::from_kept(kept, now));
            }
        }
    }
}

impl Node {
    /// Times that lie ahead are the trace of a clock that was wrong.
    fn from_kept(kept: Kept, now: UnixTime) -> Self {
        let mut reliability = kept.reliability;
        reliability.set_back(reliability.last_try().since(now));
        let mut steadiness = kept.steadiness;
        steadiness.set_back(steadiness.seen().since(now));
        let next = if kept.next.since(now) > LONGEST { now } else { kept.next };
        Self {
            address: kept.address,
            reliability,
            steadiness,
            said: kept.said.map(Box::new),
            first_heard: kept.first_heard.min(now),
            last_success: kept.last_success.min(now),
            asked: UnixTime::NEVER,
            shown: kept.shown.min(now),
            next,
            source: kept.source,
            chain: kept.chain,
            failures: kept.failures,
            trying: Trying::No,
        }
    }
}

/// Longer than any rest, in seconds: 31 days.
const LONGEST: u32 = 31 * 24 * 60 * 60;

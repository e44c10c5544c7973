//! Where a node stands: known, waiting, resting.

use std::time::Duration;

use savanna_peer::Now;
use savanna_wire::PeerAddr;

use super::super::{Ending, NetworkKind, Outcome, Record};
use super::{MAX_KNOWN, Node, Plan, SavedNode, State, queue};

impl Plan {
    /// Makes a node known; says whether it is new. Nothing if there is no room.
    pub(super) fn know(&mut self, address: PeerAddr, now: Now) -> Option<(u32, bool)> {
        if let Some(node) = self.index.get(&address) {
            return Some((*node, false));
        }
        let node = u32::try_from(self.nodes.len()).ok().filter(|_| self.nodes.len() < MAX_KNOWN)?;
        self.settle(SavedNode { record: Record::new(address, now.unix), before: None, missed: 0 });
        Some((node, true))
    }

    /// Gives a node its place.
    pub(super) fn settle(&mut self, SavedNode { mut record, before, missed }: SavedNode) {
        let Ok(node) = u32::try_from(self.nodes.len()) else { return };
        let (address, group, kind) = (record.address, record.group(), record.kind());
        let is_reachable = self.config.overlays || matches!(kind, NetworkKind::V4 | NetworkKind::V6);
        let is_waiting = record.is_unsettled() && is_reachable;
        if record.outcome == Outcome::Untried && !is_reachable {
            record.outcome = Outcome::Unroutable;
            record.ending = Some(Ending::NoRoute);
        }
        self.summary.count(record.outcome);
        if let Some(ending) = record.ending {
            *self.endings.entry((record.outcome, ending)).or_default() += 1;
        }
        let rank = queue::RANKS - 1;
        self.nodes.push(Node {
            record,
            before: before.map(Box::new),
            named_by: [None; queue::RANKS - 1],
            rank,
            state: if is_waiting { State::Waiting } else { State::Resting },
            tries: 0,
            missed,
            told_new: 0,
        });
        self.index.insert(address, node);
        self.hosts.add(address.host);
        self.passed_over.remove(&address);
        if is_waiting {
            self.queue.push(rank, group, node, &mut self.rng);
        }
    }

    /// Lets a node wait under a better rank.
    pub(super) fn raise(&mut self, node: u32, rank: usize) {
        let Node { record, rank: current, state, .. } = &mut self.nodes[node as usize];
        if rank >= *current {
            return;
        }
        *current = rank;
        if *state == State::Waiting {
            self.queue.push(rank, record.group(), node, &mut self.rng);
        }
    }

    /// Lets a node rest, after which it may be met again.
    pub(super) fn rest(&mut self, node: u32, how_long: Duration, now: Now) {
        self.nodes[node as usize].state = State::Resting;
        self.rested.insert((now.monotonic + how_long, node));
    }

    /// Lets a node rest until it gets another try for certain.
    pub(super) fn retry(&mut self, node: u32, when: Duration) {
        self.nodes[node as usize].state = State::Resting;
        self.second_chances.insert((when, node));
    }

    /// Frees a node's host for its other nodes.
    pub(super) fn leave(&mut self, node: u32) {
        for parked in self.hosts.end(self.nodes[node as usize].record.address.host) {
            let Node { record, rank, state, .. } = &mut self.nodes[parked as usize];
            *state = State::Waiting;
            self.queue.push(*rank, record.group(), parked, &mut self.rng);
        }
    }
}

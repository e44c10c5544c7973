//! The nodes that were heard of and not yet asked.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use savanna_book::Netgroup;

/// How many ranks there are: nodes named by three groups and more come first, then by two, then by one.
pub(super) const RANKS: usize = 3;

/// Nodes that wait for their dial: the better vouched-for first, and the groups of equal rank in turn.
///
/// # Security
/// Against made-up addresses by the thousand: they are named by one group, so they wait behind all that several name; and
/// those of one group get no more dials than those of any other.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ranks: [Rank; RANKS],
    len: usize,
}

#[derive(Debug, Default)]
struct Rank {
    lanes: BTreeMap<Netgroup, Lane>,
    /// The lanes that are not empty: the least served first, then by lot.
    turns: BTreeSet<(u32, u32, Netgroup)>,
}

#[derive(Debug, Default)]
struct Lane {
    served: u32,
    lot: u32,
    nodes: Vec<u32>,
}

impl Queue {
    /// Returns how many nodes wait, counting one again for each time it has risen.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Lets a node wait, rank 0 being the best.
    pub(super) fn push(&mut self, rank: usize, group: Netgroup, node: u32, rng: &mut ChaCha8Rng) {
        let Rank { lanes, turns } = &mut self.ranks[rank.min(RANKS - 1)];
        let lane = lanes.entry(group).or_default();
        if lane.nodes.is_empty() {
            lane.lot = rng.next_u32();
            turns.insert((lane.served, lane.lot, group));
        }
        lane.nodes.push(node);
        self.len += 1;
    }

    /// Takes the next node, and the rank under which it waited.
    pub(super) fn pop(&mut self, rng: &mut ChaCha8Rng) -> Option<(usize, u32)> {
        let (rank, Rank { lanes, turns }) =
            self.ranks.iter_mut().enumerate().find(|(_, rank)| !rank.turns.is_empty())?;
        let (_, _, group) = turns.pop_first()?;
        let lane = lanes.get_mut(&group)?;
        let count = u32::try_from(lane.nodes.len()).unwrap_or(u32::MAX);
        let node = lane.nodes.swap_remove((rng.next_u32() % count.max(1)) as usize);
        lane.served += 1;
        if lane.nodes.is_empty() {
            lane.nodes = Vec::new();
        } else {
            lane.lot = rng.next_u32();
            turns.insert((lane.served, lane.lot, group));
        }
        self.len -= 1;
        Some((rank, node))
    }
}

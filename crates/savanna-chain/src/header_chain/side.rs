//! The bounded room beside the best chain.

use std::collections::{BTreeMap, BTreeSet};

use savanna_wire::BlockHash;

use super::Entry;
use crate::Work;

/// The most headers kept beside the best chain. Beyond it the tip of the branch with the least work goes, the oldest of
/// equals first.
pub const MAX_SIDE_HEADERS: usize = 16_384;

/// A header that is not on the best chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) entry: Entry,
    pub(super) previous: BlockHash,
    pub(super) height: u32,
    /// The work of the chain up to and with it.
    pub(super) work: Work,
}

#[derive(Debug, Clone)]
struct Kept {
    side: Side,
    arrival: u64,
    children: u32,
}

/// The order in which leaves go: the least work first, then the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    work: Work,
    arrival: u64,
    hash: BlockHash,
}

impl Kept {
    const fn rank(&self) -> Rank {
        Rank { work: self.side.work, arrival: self.arrival, hash: self.side.entry.hash }
    }
}

/// The headers that are not on the best chain. Their branches end at a header that is.
#[derive(Debug, Clone, Default)]
pub(super) struct SideHeaders {
    headers: BTreeMap<BlockHash, Kept>,
    /// The headers without children.
    leaves: BTreeSet<Rank>,
    arrivals: u64,
}

impl SideHeaders {
    pub(super) fn len(&self) -> usize {
        self.headers.len()
    }

    pub(super) fn get(&self, hash: BlockHash) -> Option<&Side> {
        self.headers.get(&hash).map(|kept| &kept.side)
    }

    /// Adds a header to its branch, and says whether there was room for it.
    pub(super) fn keep(&mut self, side: Side) -> bool {
        if let Some(parent) = self.headers.get_mut(&side.previous) {
            parent.children += 1;
            self.leaves.remove(&parent.rank());
        }
        let rank = self.put(side);
        self.leaves.insert(rank);
        self.len() <= MAX_SIDE_HEADERS || self.evict() != Some(side.entry.hash)
    }

    /// Adds a header without counting it as anyone's child, for which [`Self::recount`] has to follow; returns
    /// its place among the leaves.
    pub(super) fn put(&mut self, side: Side) -> Rank {
        let kept = Kept { side, arrival: self.arrivals, children: 0 };
        let rank = kept.rank();
        self.arrivals += 1;
        self.headers.insert(side.entry.hash, kept);
        rank
    }

    /// Takes a header out without counting: [`Self::recount`] has to follow.
    pub(super) fn take(&mut self, hash: BlockHash) -> Option<Side> {
        self.headers.remove(&hash).map(|kept| kept.side)
    }

    /// Counts children and leaves anew, and keeps the bound.
    pub(super) fn recount(&mut self) {
        let parents: Vec<BlockHash> = self.headers.values().map(|kept| kept.side.previous).collect();
        self.headers.values_mut().for_each(|kept| kept.children = 0);
        for parent in parents {
            if let Some(kept) = self.headers.get_mut(&parent) {
                kept.children += 1;
            }
        }
        self.leaves = self.headers.values().filter(|kept| kept.children == 0).map(Kept::rank).collect();
        while self.len() > MAX_SIDE_HEADERS {
            self.evict();
        }
    }

    /// Returns the header with the most work, of equals the oldest.
    pub(super) fn best(&self) -> Option<&Side> {
        let work = self.leaves.last()?.work;
        let first = Rank { work, arrival: 0, hash: BlockHash::ZERO };
        self.leaves.range(first..).next().and_then(|rank| self.get(rank.hash))
    }

    /// Forgets the headers of which `is_gone` says so, and all that stand on them.
    pub(super) fn remove(&mut self, is_gone: impl Fn(&Side) -> bool) {
        let mut upwards: Vec<(u32, BlockHash)> =
            self.headers.values().map(|kept| (kept.side.height, kept.side.entry.hash)).collect();
        upwards.sort_unstable();
        let mut gone = BTreeSet::new();
        for (_, hash) in upwards {
            if self.get(hash).is_some_and(|side| gone.contains(&side.previous) || is_gone(side)) {
                gone.insert(hash);
            }
        }
        if !gone.is_empty() {
            self.headers.retain(|hash, _| !gone.contains(hash));
            self.recount();
        }
    }

    /// Forgets the leaf with the least work and returns its hash.
    fn evict(&mut self) -> Option<BlockHash> {
        let Rank { hash, .. } = self.leaves.pop_first()?;
        let gone = self.take(hash)?;
        if let Some(parent) = self.headers.get_mut(&gone.previous) {
            parent.children -= 1;
            if parent.children == 0 {
                self.leaves.insert(parent.rank());
            }
        }
        Some(hash)
    }
}

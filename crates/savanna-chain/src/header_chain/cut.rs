//! What leaves the tree for good: branches below what is settled, blocks found to be invalid, and the old end of the chain.

use std::collections::{BTreeSet, VecDeque};

use savanna_wire::BlockHash;

use super::{HeaderChain, HeaderError, MILESTONE, prefix};
use crate::CONTEXT_LEN;

/// How far below its tip a node of this network replaces blocks, and no further.
pub const MAX_REORG_DEPTH: u32 = 1_000;

/// How many hashes of rejected headers are kept. Beyond it the oldest is forgotten, and would be judged again if it came.
pub const MAX_REJECTED: usize = 1_024;

/// How many headers above the root have too few ancestors for their children to be judged.
const UNJUDGED: u32 = 112;
const _: () = assert!(UNJUDGED as usize + 1 == CONTEXT_LEN);

/// What became of the best chain when a header was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// It stands as it was: the header was beside it, or unknown.
    Unchanged,
    /// It lost its part above a height, and what has the most work of the rest took its place, if that has more than what was
    /// left of it.
    NewBest {
        /// The height of the last header that the chains before and after share.
        fork_height: u32,
        /// How many headers above it left the best chain.
        disconnected: u32,
    },
}

/// The hashes of rejected headers.
#[derive(Debug, Clone, Default)]
pub(super) struct Refused {
    hashes: BTreeSet<BlockHash>,
    order: VecDeque<BlockHash>,
}

impl Refused {
    pub(super) fn check(&self, hash: BlockHash) -> Result<(), HeaderError> {
        if self.hashes.contains(&hash) { Err(HeaderError::Rejected { hash }) } else { Ok(()) }
    }

    fn forgive(&mut self, hash: BlockHash) {
        if self.hashes.remove(&hash) {
            self.order.retain(|refused| *refused != hash);
        }
    }

    fn add(&mut self, hash: BlockHash) {
        if self.hashes.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > MAX_REJECTED {
            self.order.pop_front().inspect(|oldest| _ = self.hashes.remove(oldest));
        }
    }
}

impl HeaderChain {
    /// Settles the best chain up to and with `height`, or its tip where that is lower: nothing of it can be replaced, and
    /// branches that part below are forgotten. What is settled stays so.
    ///
    /// # Security
    /// Below a checkpoint, and deeper than [`MAX_REORG_DEPTH`] once a node has been at the tip, the network follows no other
    /// branch. Where difficulty was low a long one is cheap, so none may take memory or be verified.
    pub fn settle(&mut self, height: u32) {
        let height = height.min(self.tip().0);
        if height <= self.settled {
            return;
        }
        let mut side = std::mem::take(&mut self.side);
        side.remove(|side| self.height_of(side.previous).is_some_and(|fork| fork < height));
        (self.side, self.settled) = (side, height);
    }

    /// Moves the root up to `height`, or less than 256 below it: what is under it is forgotten. At least [`MAX_REORG_DEPTH`] headers
    /// below the tip stay replaceable, with what their children's targets depend on, so the root may stay lower than `height`.
    /// What has too little of that below it is settled.
    pub fn prune(&mut self, height: u32) {
        let most = self.tip().0.saturating_sub(MAX_REORG_DEPTH + UNJUDGED);
        let Some(above) = height.min(most).checked_sub(self.base) else { return };
        let milestones = above as usize / MILESTONE;
        let gone = milestones * MILESTONE;
        if gone == 0 {
            return;
        }
        // Branches are found by where they part from the best chain, so they go while that is known.
        self.settle(self.height_at(gone).saturating_add(UNJUDGED));
        for entry in self.best.drain(..gone) {
            self.index.remove(&(prefix(entry.hash), self.base));
            self.base += 1;
        }
        self.milestones.drain(..milestones);
        self.best.shrink_to(2 * self.best.len());
    }

    /// Lets a header in again that was rejected, should it come.
    pub fn readmit(&mut self, hash: BlockHash) {
        self.refused.forgive(hash);
    }

    /// Takes a header whose block turned out to be invalid out of the tree, with all that stand on it. Neither is let in again, as
    /// long as the hash is one of the last [`MAX_REJECTED`]. The best of what remains becomes the best chain; of equals, what is
    /// left of it before.
    ///
    /// # Errors
    /// [`HeaderError::TooDeep`] if the header is settled; the tree is then as it was.
    ///
    /// # Security
    /// Only for what the header itself commits to: whoever can have a good header rejected by a wrong body of it splits us off
    /// the network (CVE-2012-2459).
    pub fn reject(&mut self, hash: BlockHash) -> Result<Rejected, HeaderError> {
        let Some(height) = self.height_of(hash) else {
            self.refused.add(hash);
            self.side.remove(|side| side.entry.hash == hash);
            return Ok(Rejected::Unchanged);
        };
        let tip = self.tip().0;
        if height <= self.settled {
            return Err(HeaderError::TooDeep { fork_height: height, depth: tip - height });
        }
        self.refused.add(hash);
        let work = self.work_at(height - 1);
        let gone: BTreeSet<BlockHash> = self.cut_above(height - 1).into_iter().map(|entry| entry.hash).collect();
        self.work = work;
        self.side.remove(|side| gone.contains(&side.previous));
        let better = self.side.best().filter(|side| side.work > work).map(|side| side.entry.hash);
        let better = better.and_then(|hash| self.side.take(hash));
        let fork_height = better.map_or(height - 1, |side| self.switch_to(side).0);
        Ok(Rejected::NewBest { fork_height, disconnected: tip - fork_height })
    }
}

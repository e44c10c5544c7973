//! The tree of headers: the best chain by work, the branches beside it, and the ways peers ask about it.

mod ancestors;
mod cut;
mod judge;
mod locate;
mod side;

use std::collections::BTreeSet;

use savanna_wire::{BlockHash, BlockHeader, Network};
use thiserror::Error;

use crate::{Context, ContextError, Parameters, ProofOfWork, Target, TargetError, Work};

pub use ancestors::Ancestors;
use cut::Refused;
pub use cut::{MAX_REJECTED, MAX_REORG_DEPTH, Rejected};
pub use judge::RunError;
pub use side::MAX_SIDE_HEADERS;
use side::{Side, SideHeaders};

/// How many heights lie between two of which the cumulative work is kept.
const MILESTONE: usize = 256;

/// What is kept of a header: 40 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The header's hash.
    pub hash: BlockHash,
    /// When it was mined, in Unix seconds, as the miner claims.
    pub time: u32,
    /// The target in compact form. It decodes.
    pub bits: u32,
}

impl Entry {
    fn work(&self) -> Work {
        Target::from_compact(self.bits).map_or(Work::ZERO, Target::work)
    }
}

/// The header that a [`HeaderChain`] stands on. Nothing below it is known and nothing can replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// Its height.
    pub height: u32,
    /// What is kept of it.
    pub entry: Entry,
    /// The work of the chain up to and with it.
    pub work: Work,
}

impl Root {
    /// Returns the first block of `network`.
    #[must_use]
    pub fn genesis(network: Network) -> Self {
        let time = match network {
            Network::Mainnet => 1_477_641_360,
            Network::Testnet => 1_477_648_033,
            Network::Regtest => 1_296_688_602,
        };
        let entry = Entry { hash: network.genesis_hash(), time, bits: ProofOfWork::limit_bits(network) };
        Self { height: 0, entry, work: entry.work() }
    }
}

/// What became of a header that was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It was there already.
    Known,
    /// It is the new tip, on top of the old one.
    Extended,
    /// It stands on a branch that has no more work than the best chain.
    Forked,
    /// Its branch has the most work and took the best chain's place.
    NewBest {
        /// The height of the last header that both chains share.
        fork_height: u32,
        /// How many headers above it left the best chain.
        disconnected: u32,
    },
}

/// A header that has no place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Its parent is unknown.
    #[error("the parent {previous} is unknown")]
    Orphan {
        /// The parent's hash.
        previous: BlockHash,
    },
    /// Its bits name no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its height does not fit 32 bits.
    #[error("the parent is at the greatest height there is")]
    TooHigh,
    /// Its ancestors, or our clock, do not allow it.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// It, or its parent, was rejected.
    #[error("the block {hash} was found to be invalid")]
    Rejected {
        /// The hash of the one that was rejected.
        hash: BlockHash,
    },
    /// It parts from the best chain where that can no longer be replaced.
    #[error("the branch parts at height {fork_height}, {depth} below the tip, from what is settled")]
    TooDeep {
        /// The height of the last header that it shares with the best chain.
        fork_height: u32,
        /// How far below the tip that is.
        depth: u32,
    },
    /// The room beside the best chain is taken by branches with more work.
    #[error("the branch has less work than all of the {MAX_SIDE_HEADERS} headers kept beside the best chain")]
    LowWork,
}

/// A tree of headers, which knows its chain with the most work; of equals, the one seen first.
///
/// The best chain takes about 60 bytes a header: an [`Entry`] by height, and an ordered index from the first bytes of its
/// hash to its height.
///
/// A following node keeps it flat by [`Self::prune`]. A tree on a root above the first block judges a header only where
/// [`CONTEXT_LEN`](crate::CONTEXT_LEN) of its ancestors are known: whoever makes one puts as many on the root by [`Self::restore`].
///
/// # Security
/// [`Self::insert`] checks what the ancestors demand of a header, and not its proof: [`check_work`](crate::check_work) comes
/// before, and before that, for a run of headers, the cheap [`Self::check`]. A peer that sends branches without end (low-work
/// flooding) fills [`MAX_SIDE_HEADERS`] places and then only displaces what has less work than its own; from below what is
/// settled ([`Self::settle`]) it fills none.
#[derive(Debug, Clone)]
pub struct HeaderChain {
    parameters: Parameters,
    base: u32,
    /// Up to and with this height nothing can be replaced.
    settled: u32,
    best: Vec<Entry>,
    index: BTreeSet<([u8; 8], u32)>,
    /// The cumulative work at every [`MILESTONE`]th place of `best`.
    milestones: Vec<Work>,
    work: Work,
    side: SideHeaders,
    refused: Refused,
    /// The context of the header that was inserted last, to go on from.
    warm: Option<(BlockHash, Context)>,
}

impl HeaderChain {
    /// Makes a tree of the first block of `network` alone.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self::with_root(Parameters::of(network), Root::genesis(network))
    }

    /// Makes a tree of `root` alone.
    #[must_use]
    pub fn with_root(parameters: Parameters, root: Root) -> Self {
        let mut chain = Self {
            parameters,
            base: root.height,
            settled: root.height,
            best: Vec::new(),
            index: BTreeSet::new(),
            milestones: Vec::new(),
            work: Work::ZERO,
            side: SideHeaders::default(),
            refused: Refused::default(),
            warm: None,
        };
        chain.push(root.entry, root.work);
        chain
    }

    /// Adds a header, whose hash is `hash`, to its parent, if its ancestors and our clock, `now` in Unix seconds, allow it.
    ///
    /// # Errors
    /// [`HeaderError`] if it has no place; the tree is then as it was.
    pub fn insert(&mut self, header: &BlockHeader, hash: BlockHash, now: u64) -> Result<Inserted, HeaderError> {
        if self.contains(hash) {
            return Ok(Inserted::Known);
        }
        let (previous, time, bits) = (header.previous, header.time, header.bits);
        self.admit(hash, previous)?;
        let mut context = match self.warm.take() {
            Some((of, context)) if of == previous => context,
            Some(_) | None => self.context(previous)?,
        };
        let judged = context.check(time, bits, now).map_err(HeaderError::from);
        let inserted = judged.and_then(|()| self.place(Entry { hash, time, bits }, previous));
        let last = if inserted.is_ok() {
            context.push(time, bits);
            hash
        } else {
            previous
        };
        self.warm = Some((last, context));
        inserted
    }

    /// Adds a header to its parent, `previous`, whose context was checked before: by a [`Context`], or by a checkpoint above.
    ///
    /// # Errors
    /// [`HeaderError`] if it has no place; the tree is then as it was.
    pub fn attach(&mut self, entry: Entry, previous: BlockHash) -> Result<Inserted, HeaderError> {
        if self.contains(entry.hash) {
            return Ok(Inserted::Known);
        }
        self.admit(entry.hash, previous)?;
        self.place(entry, previous)
    }

    fn place(&mut self, entry: Entry, previous: BlockHash) -> Result<Inserted, HeaderError> {
        let own = Target::from_compact(entry.bits)?.work();
        let (below, work) = self.place_of(previous).ok_or(HeaderError::Orphan { previous })?;
        let (height, work) = (below.checked_add(1).ok_or(HeaderError::TooHigh)?, work.plus(own));
        if previous == self.tip().1 {
            self.push(entry, work);
            return Ok(Inserted::Extended);
        }
        let side = Side { entry, previous, height, work };
        if work > self.work {
            let (fork_height, disconnected) = self.switch_to(side);
            return Ok(Inserted::NewBest { fork_height, disconnected });
        }
        if self.side.keep(side) { Ok(Inserted::Forked) } else { Err(HeaderError::LowWork) }
    }

    /// Puts a header on top of the best chain that was checked before, as one read back from an archive was.
    pub fn restore(&mut self, entry: Entry) {
        self.push(entry, self.work.plus(entry.work()));
    }

    /// Returns height and hash of the best chain's last header.
    #[must_use]
    pub fn tip(&self) -> (u32, BlockHash) {
        let last = self.best.len() - 1;
        (self.height_at(last), self.best[last].hash)
    }

    /// Returns the work of the best chain.
    #[must_use]
    pub const fn work(&self) -> Work {
        self.work
    }

    /// Returns what the network demands of headers.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns the height of the root.
    #[must_use]
    pub const fn root_height(&self) -> u32 {
        self.base
    }

    /// Returns the root.
    #[must_use]
    pub fn root(&self) -> Root {
        Root { height: self.base, entry: self.best[0], work: self.milestones[0] }
    }

    /// Returns the height up to and with which nothing can be replaced.
    #[must_use]
    pub const fn settled_height(&self) -> u32 {
        self.settled
    }

    /// Returns how many headers are kept beside the best chain.
    #[must_use]
    pub fn side_len(&self) -> usize {
        self.side.len()
    }

    /// Returns what is kept of the best chain's header at `height`.
    #[must_use]
    pub fn entry_at(&self, height: u32) -> Option<Entry> {
        let place = height.checked_sub(self.base)?;
        self.best.get(usize::try_from(place).ok()?).copied()
    }

    /// Returns the hash of the best chain's header at `height`.
    #[must_use]
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.entry_at(height).map(|entry| entry.hash)
    }

    /// Returns the height of `hash` on the best chain.
    #[must_use]
    pub fn height_of(&self, hash: BlockHash) -> Option<u32> {
        let prefix = prefix(hash);
        let candidates = self.index.range((prefix, 0)..=(prefix, u32::MAX));
        candidates.map(|&(_, height)| height).find(|&height| self.hash_at(height) == Some(hash))
    }

    /// Returns whether `hash` is in the tree, on the best chain or beside it.
    #[must_use]
    pub fn contains(&self, hash: BlockHash) -> bool {
        self.side.get(hash).is_some() || self.height_of(hash).is_some()
    }

    /// Returns the best chain's header after `hash`.
    #[must_use]
    pub fn next(&self, hash: BlockHash) -> Option<BlockHash> {
        self.hash_at(self.height_of(hash)?.checked_add(1)?)
    }

    /// Returns the header `hash` and those below it down to the root, wherever in the tree it stands.
    #[must_use]
    pub const fn ancestors(&self, hash: BlockHash) -> Ancestors<'_> {
        Ancestors::new(self, hash)
    }

    fn height_at(&self, place: usize) -> u32 {
        u32::try_from(place).map_or(u32::MAX, |place| self.base.saturating_add(place))
    }

    /// Returns the height of a header of the tree and the work of the chain up to and with it.
    fn place_of(&self, hash: BlockHash) -> Option<(u32, Work)> {
        if let Some(side) = self.side.get(hash) {
            return Some((side.height, side.work));
        }
        let height = self.height_of(hash)?;
        Some((height, self.work_at(height)))
    }

    fn work_at(&self, height: u32) -> Work {
        if height == self.tip().0 {
            return self.work;
        }
        let place = (height - self.base) as usize;
        let milestone = place / MILESTONE;
        let above = &self.best[milestone * MILESTONE + 1..=place];
        above.iter().fold(self.milestones[milestone], |work, entry| work.plus(entry.work()))
    }

    fn push(&mut self, entry: Entry, work: Work) {
        let place = self.best.len();
        self.index.insert((prefix(entry.hash), self.height_at(place)));
        self.best.push(entry);
        self.work = work;
        if place.is_multiple_of(MILESTONE) {
            self.milestones.push(work);
        }
    }

    /// Puts `tip`, which is not in the tree, and its branch in the place of the part of the best chain above their fork. Returns
    /// the height of the fork and how many headers above it left the best chain.
    fn switch_to(&mut self, tip: Side) -> (u32, u32) {
        let mut previous = tip.previous;
        let mut branch = vec![tip];
        while let Some(side) = self.side.take(previous) {
            previous = side.previous;
            branch.push(side);
        }
        let fork_height = branch.last().map_or(self.base, |first| first.height - 1);
        let disconnected = self.disconnect_above(fork_height);
        for side in branch.into_iter().rev() {
            self.push(side.entry, side.work);
        }
        self.side.recount();
        (fork_height, disconnected)
    }

    /// Moves the best chain's headers above `fork_height` to the side, and returns their number.
    fn disconnect_above(&mut self, fork_height: u32) -> u32 {
        let (mut work, mut height) = (self.work_at(fork_height), fork_height);
        let mut previous = self.best[(fork_height - self.base) as usize].hash;
        for entry in self.cut_above(fork_height) {
            height += 1;
            work = work.plus(entry.work());
            self.side.put(Side { entry, previous, height, work });
            previous = entry.hash;
        }
        height - fork_height
    }

    /// Takes the best chain's headers above `height` out of the tree; the work is left to whoever goes on.
    fn cut_above(&mut self, height: u32) -> Vec<Entry> {
        let keep = (height - self.base) as usize + 1;
        let gone = self.best.split_off(keep);
        self.milestones.truncate(keep.div_ceil(MILESTONE));
        for (height, entry) in (height + 1..=u32::MAX).zip(&gone) {
            self.index.remove(&(prefix(entry.hash), height));
        }
        gone
    }
}

fn prefix(hash: BlockHash) -> [u8; 8] {
    // The first bytes in wire order are the last in display order, which no target forces to zero.
    hash.0.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use savanna_wire::{MerkleRoot, Solution};

    use super::*;

    #[test]
    fn a_switch_leaves_nothing_behind_in_the_index() {
        let mut header = BlockHeader {
            version: 4,
            previous: BlockHash::ZERO,
            merkle_root: MerkleRoot::default(),
            commitment: [0; 32],
            time: 0,
            bits: ProofOfWork::limit_bits(Network::Regtest),
            nonce: [0; 32],
            solution: Solution::new(vec![0; Solution::REGTEST_LEN]).unwrap(),
        };
        let mut chain = HeaderChain::new(Network::Regtest);
        let genesis = chain.tip().1;
        for (branch, length) in [(1, 600), (2, 601), (3, 700)] {
            header.previous = genesis;
            for number in 0..length {
                header.time = number;
                header.commitment[0] = branch;
                let hash = header.hash();
                let entry = Entry { hash, time: header.time, bits: header.bits };
                chain.attach(entry, header.previous).unwrap();
                header.previous = hash;
            }
            assert_eq!((chain.tip().0, chain.index.len()), (length, chain.best.len()));
            assert_eq!(chain.milestones.len(), chain.best.len().div_ceil(MILESTONE));
        }
    }
}

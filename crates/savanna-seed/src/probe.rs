//! The question that a node of another chain cannot answer.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use savanna_chain::{Checkpoints, Target, Work, check_work};
use savanna_peerset::crawler::{Chain, Probe};
use savanna_wire::{BlockHash, BlockHeader, Network};

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// One known header, some 1.5 KB.
    Light,
    /// As many headers as fit behind one of several known blocks, some 240 KB.
    Deep,
}

/// A block that is known to be of this chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// What to ask of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    anchor: Option<Anchor>,
    light: Probe,
    network: Network,
}

impl Question {
    /// Returns the locator to ask by, newest first.
    #[must_use]
    pub fn locator(&self) -> Vec<BlockHash> {
        let deep = |anchor: Anchor| vec![anchor.hash, self.network.genesis_hash()];
        self.anchor.map_or_else(|| self.light.locator(), deep)
    }

    /// Returns the last header wanted; `None` for as many as fit.
    #[must_use]
    pub fn stop(&self) -> Option<BlockHash> {
        if self.anchor.is_none() { self.light.stop() } else { None }
    }

    /// Returns how much is asked.
    #[must_use]
    pub const fn depth(&self) -> Depth {
        if self.anchor.is_some() { Depth::Deep } else { Depth::Light }
    }
}

/// Asks nodes to show their chain, and judges what they show.
///
/// Nodes of other chains share magic and genesis with ours, and copy version numbers, so what tells them apart is a block. The
/// deep question is for what follows one of the newest known blocks. An answer has to link to that block, header by header,
/// and to carry work such as that chain's miners do, not such as a desk does.
///
/// # Security
/// Which block the deep question is for is drawn anew each time, so that a node cannot answer with a list prepared for one of
/// them: it has to hold the chain behind each. Whoever has that is able to introduce newcomers to it. The light question is
/// always the same, and a single header that was copied answers it: it says something of those alone that have answered the
/// deep one of late, which is why a [`Ledger`](crate::Ledger) asks that until it is answered, and again twice a day. The difficulty is taken
/// from the known blocks' hashes, which cannot be had for less.
#[derive(Debug, Clone)]
pub struct ChainProbe {
    network: Network,
    light: Probe,
    /// Newest first.
    anchors: Vec<Anchor>,
    /// What a header has to carry at least, on average.
    least_work: Option<Target>,
}

impl ChainProbe {
    /// Among how many known blocks the question is drawn.
    pub const ANCHORS: usize = 16;
    /// How many headers an answer has at least: every anchor has far more behind it.
    pub const LEAST_HEADERS: usize = 8;
    /// How many solutions of an answer are verified, at random, and the last one besides.
    const SOLUTIONS: u32 = 3;

    /// Makes one from blocks that are known, of which the newest [`Self::ANCHORS`] are asked for.
    ///
    /// Without any there is no deep question. On regtest, where every chain is one of its own, there is none in any case, and
    /// the first block has to do.
    #[must_use]
    pub fn new(network: Network, known: impl IntoIterator<Item = Anchor>) -> Self {
        let mut anchors: Vec<_> = known.into_iter().filter(|_| network != Network::Regtest).collect();
        anchors.sort_unstable_by_key(|anchor| std::cmp::Reverse(anchor.height));
        anchors.truncate(Self::ANCHORS);
        let least_work = typical_target(&anchors);
        Self { network, light: Probe::new(network), anchors, least_work }
    }

    /// Makes one from the checkpoints of a network.
    #[must_use]
    pub fn of(network: Network) -> Self {
        let checkpoints = Checkpoints::of(network);
        let newest = checkpoints.iter().rev().take(Self::ANCHORS).filter(|(height, _)| *height > 0);
        Self::new(network, newest.map(|(height, hash)| Anchor { height, hash }))
    }

    /// Draws a question.
    #[must_use]
    pub fn question(&self, depth: Depth, rng: &mut ChaCha8Rng) -> Question {
        let drawn = match depth {
            Depth::Deep if !self.anchors.is_empty() => self.anchors.get(below(self.anchors.len(), rng)).copied(),
            Depth::Light | Depth::Deep => None,
        };
        Question { anchor: drawn, light: self.light, network: self.network }
    }

    /// Judges the answer of a node that claims to be at `height`.
    ///
    /// # Security
    /// Links and targets of all headers are checked, Equihash of a few that the node cannot foresee: a chain in which a
    /// quarter of them is made up is found out more often than not, every time it is asked.
    #[must_use]
    pub fn judge(&self, question: &Question, headers: &[BlockHeader], height: i32, rng: &mut ChaCha8Rng) -> Chain {
        match question.anchor {
            Some(anchor) => self.judge_deep(anchor, headers, rng),
            // A chain of one block has nothing to show.
            None if self.network == Network::Regtest && headers.is_empty() && height == 0 => Chain::Ours,
            None => question.light.judge(headers),
        }
    }

    fn judge_deep(&self, anchor: Anchor, headers: &[BlockHeader], rng: &mut ChaCha8Rng) -> Chain {
        let Some(first) = headers.first() else { return Chain::Unknown };
        let genesis = self.network.genesis_hash();
        if first.previous != anchor.hash {
            let is_from_start = first.previous == genesis || first.hash() == genesis;
            return if is_from_start { Chain::Behind } else { Chain::Other };
        }
        let proven = headers.len() >= Self::LEAST_HEADERS && self.is_proven(headers, rng);
        if proven { Chain::Ours } else { Chain::Other }
    }

    fn is_proven(&self, headers: &[BlockHeader], rng: &mut ChaCha8Rng) -> bool {
        let hashes: Vec<_> = headers.iter().map(BlockHeader::hash).collect();
        let are_linked = headers.iter().skip(1).zip(&hashes).all(|(header, parent)| header.previous == *parent);
        let Some(work) = total_work(headers, &hashes) else { return false };
        let solves = |at: usize| check_work(self.network, &headers[at], hashes[at]).is_ok();
        let drawn: Vec<_> = (0..Self::SOLUTIONS).map(|_| below(headers.len(), rng)).collect();
        are_linked && self.is_enough(work, headers.len()) && drawn.into_iter().chain([headers.len() - 1]).all(solves)
    }

    /// Returns whether headers carry, on average, a sixteenth at least of what the known blocks do.
    fn is_enough(&self, work: Work, headers: usize) -> bool {
        let Some(target) = self.least_work else { return true };
        let mut wanted = Work::ZERO;
        for _ in 0..headers.div_ceil(16) {
            wanted = wanted.plus(target.work());
        }
        work >= wanted
    }
}

/// Returns the target that blocks with these hashes are likely to have had: twice their median.
fn typical_target(anchors: &[Anchor]) -> Option<Target> {
    let mut hashes: Vec<_> = anchors.iter().map(|anchor| reversed(anchor.hash)).collect();
    hashes.sort_unstable();
    let median = hashes.get(hashes.len() / 2)?;
    let zeroes = median.iter().take_while(|byte| **byte == 0).count();
    let leading = u32::from(*median.get(zeroes)?);
    // Twice the leading byte, as a compact number of two bytes; what is rounded off does not matter.
    let exponent = u32::try_from(median.len() - zeroes + 1).ok()?;
    Target::from_compact((exponent << 24) | (leading * 2) << 8).ok()
}

/// Returns the hash as a number, the most significant byte first.
fn reversed(hash: BlockHash) -> [u8; 32] {
    let mut bytes = hash.0;
    bytes.reverse();
    bytes
}

/// Adds up what headers name as their work; `None` if one of them did not do it.
fn total_work(headers: &[BlockHeader], hashes: &[BlockHash]) -> Option<Work> {
    headers.iter().zip(hashes).try_fold(Work::ZERO, |work, (header, hash)| {
        let target = Target::from_compact(header.bits).ok()?;
        target.allows(*hash).then(|| work.plus(target.work()))
    })
}

fn below(bound: usize, rng: &mut ChaCha8Rng) -> usize {
    let drawn = (u64::from(rng.next_u32()) * bound as u64) >> 32;
    usize::try_from(drawn).unwrap_or(0)
}

#[cfg(test)]
mod tests;

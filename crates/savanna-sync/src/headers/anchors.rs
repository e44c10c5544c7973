//! A few blocks of the chain below the root of the tree, by which peers that know nothing above it say where they stand.

use std::collections::BTreeMap;

use savanna_wire::BlockHash;

/// How far below the root the first of them stands; each further one twice as far.
const FIRST_STEP: u32 = 256;

/// How many are kept of those about as far below the root.
const PER_STEP: usize = 2;

/// Hashes of blocks that nothing can replace, ever further apart down to the first block of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anchors(BTreeMap<u32, BlockHash>);

impl Anchors {
    /// Returns at which heights below `root` they are best, the highest first.
    pub fn heights(root: u32) -> impl Iterator<Item = u32> {
        let steps = (0..u32::BITS)
            .map_while(|doubling| FIRST_STEP.checked_shl(doubling).filter(|step| step >> doubling == FIRST_STEP));
        let heights = steps.map_while(move |step| root.checked_sub(step)).filter(|&height| height > 0);
        heights.chain((root > 0).then_some(0))
    }

    /// Adds a block that nothing can replace.
    pub fn insert(&mut self, height: u32, hash: BlockHash) {
        self.0.insert(height, hash);
    }

    /// Forgets those that are needless below `root`. There are some forty at the most.
    pub(super) fn thin(&mut self, root: u32) {
        let mut steps: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &height in self.0.keys() {
            steps
                .entry((root.saturating_sub(height) / FIRST_STEP).checked_ilog2().map_or(0, |step| step + 1))
                .or_default()
                .push(height);
        }
        let spare = steps.values().flat_map(|heights| heights.iter().skip(1).rev().skip(PER_STEP - 1));
        for height in spare.filter(|height| **height > 0) {
            self.0.remove(height);
        }
    }

    /// Returns the height of one of them.
    pub(super) fn height_of(&self, hash: BlockHash) -> Option<u32> {
        self.0.iter().find(|(_, anchor)| **anchor == hash).map(|(height, _)| *height)
    }

    /// Returns them, with their heights.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u32, BlockHash)> + DoubleEndedIterator {
        self.0.iter().map(|(height, hash)| (*height, *hash))
    }
}

impl FromIterator<(u32, BlockHash)> for Anchors {
    fn from_iter<I: IntoIterator<Item = (u32, BlockHash)>>(blocks: I) -> Self {
        Self(blocks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_few_and_reach_down_to_the_first_block_however_far_the_root_rises() {
        assert_eq!(Anchors::heights(0).count(), 0);
        assert_eq!(Anchors::heights(100).collect::<Vec<_>>(), [0]);
        assert_eq!(Anchors::heights(1_000).collect::<Vec<_>>(), [744, 488, 0]);
        assert!(Anchors::heights(u32::MAX).count() < 30);
        let mut anchors = Anchors::default();
        anchors.insert(0, BlockHash::ZERO);
        for root in (1_000..4_000_000).step_by(256) {
            anchors.insert(root - 1, BlockHash([1; 32]));
            anchors.thin(root);
            assert!(anchors.iter().len() <= 40, "{}", anchors.iter().len());
        }
        let heights: Vec<u32> = anchors.iter().map(|(height, _)| height).collect();
        assert_eq!(heights[0], 0);
        // What a peer repeats that stands between two of them is no more than a few times what lies above.
        let root = 4_000_000;
        let is_dense = |pair: &[u32]| pair[0] == 0 || pair[1] - pair[0] <= 3 * (root - pair[1]).max(1_024);
        assert!(heights.windows(2).all(is_dense), "{heights:?}");
    }
}

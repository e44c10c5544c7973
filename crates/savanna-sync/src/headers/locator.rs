//! By what peers find where to go on.

use std::cmp::Reverse;

use savanna_wire::{BlockHash, MAX_LOCATOR};

use super::Headers;

impl Headers {
    /// Returns a locator by which each peer goes on from where its answers left off.
    ///
    /// A peer goes on from the first hash that it knows. So all that peers have sent last stands where its height belongs. And
    /// where a peer's chain leaves ours between two hashes, the room that is left narrows the gap. At the end stand a few blocks
    /// below the root, so that whoever knows nothing above it says where it stands instead of beginning with the first block.
    pub(super) fn locator(&self) -> Vec<BlockHash> {
        let (tip, _) = self.chain.tip();
        let hashes = self.chain.locator().into_iter();
        let mut points: Vec<(u32, BlockHash)> =
            hashes.filter_map(|hash| Some((self.chain.height_of(hash)?, hash))).collect();
        points.extend(self.ends.values());
        let below = |&&(height, hash): &&(u32, BlockHash)| height < tip && self.chain.height_of(hash).is_some();
        if let Some(&(low, _)) = self.ends.values().filter(below).min() {
            let room = MAX_LOCATOR.saturating_sub(points.len() + self.anchors.iter().len());
            let step = usize::try_from(tip - low).unwrap_or(usize::MAX) / (room + 1);
            let between = (low..tip).step_by(step.max(1)).skip(1).take(room);
            points.extend(between.filter_map(|height| Some((height, self.chain.hash_at(height)?))));
        }
        points.sort_unstable_by_key(|&point| Reverse(point));
        points.dedup();
        // The root is what every peer near the tip shares, so it stays whatever else has to go, and so does what is below it.
        points.retain(|&(height, _)| height >= self.chain.root_height());
        let most = MAX_LOCATOR - self.anchors.iter().len().min(MAX_LOCATOR / 2);
        while points.len() > most {
            points.remove(most - 1);
        }
        points.extend(self.anchors.iter().rev().filter(|&(height, _)| height < self.chain.root_height()));
        points.truncate(MAX_LOCATOR);
        let mut hashes: Vec<BlockHash> = points.into_iter().map(|(_, hash)| hash).collect();
        if let Some(ahead) = self.ahead {
            if hashes.len() >= MAX_LOCATOR {
                // Neither the tip nor what is lowest: what is in between is closest together there.
                hashes.remove(1);
            }
            hashes.insert(0, ahead);
        }
        hashes
    }
}

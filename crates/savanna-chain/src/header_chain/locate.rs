//! How peers find where their chains part, and what follows.

use savanna_wire::{BlockHash, MAX_LOCATOR};

use super::HeaderChain;

/// How many hashes of a locator follow one another before the steps double.
const DENSE_LOCATOR: usize = 10;

impl HeaderChain {
    /// Returns hashes by which a peer finds the last header it shares with us: newest first, ten in a row, then at doubling
    /// distances, and the root.
    #[must_use]
    pub fn locator(&self) -> Vec<BlockHash> {
        let mut hashes = Vec::new();
        let (mut place, mut step) = (self.best.len() - 1, 1);
        while place > 0 && hashes.len() < MAX_LOCATOR - 1 {
            hashes.push(self.best[place].hash);
            if hashes.len() >= DENSE_LOCATOR {
                step *= 2;
            }
            place = place.saturating_sub(step);
        }
        hashes.push(self.best[0].hash);
        hashes
    }

    /// Returns the height of the first hash of a peer's locator that is on the best chain.
    #[must_use]
    pub fn find_fork(&self, locator: &[BlockHash]) -> Option<u32> {
        locator.iter().find_map(|&hash| self.height_of(hash))
    }

    /// Returns up to `limit` hashes of the best chain that follow `hash`, up to and with `stop`.
    #[must_use]
    pub fn hashes_after(&self, hash: BlockHash, stop: BlockHash, limit: usize) -> Vec<BlockHash> {
        let Some(height) = self.height_of(hash) else { return Vec::new() };
        let first = (height - self.base) as usize + 1;
        let mut hashes = Vec::new();
        for entry in self.best[first..].iter().take(limit) {
            hashes.push(entry.hash);
            if entry.hash == stop {
                break;
            }
        }
        hashes
    }
}

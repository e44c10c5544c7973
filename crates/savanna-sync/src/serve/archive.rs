//! Reading back what a store holds.

use savanna_store::{BlockStore, StoreError};
use savanna_wire::{Block, BlockHash, BlockHeader};

use crate::{MemoryStore, Store};

/// An archive that can be read back: what is needed to serve it.
///
/// Every call may block on a disk and is made off the async threads, several at a time, and while the chain is extended or cut.
pub trait Archive: Store {
    /// Reads the height of a block of the chain by its hash.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be read.
    fn height_of(&self, hash: BlockHash) -> Result<Option<u32>, StoreError>;

    /// Reads the hashes of `count` blocks from `height` on, or of as many as there are.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be read.
    fn hashes(&self, height: u32, count: usize) -> Result<Vec<BlockHash>, StoreError>;

    /// Reads `count` headers from `height` on, or as many as there are.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be read.
    fn headers(&self, height: u32, count: usize) -> Result<Vec<BlockHeader>, StoreError>;

    /// Reads how many bytes the block at `height` has, without the block.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be read.
    fn length_at(&self, height: u32) -> Result<Option<usize>, StoreError>;

    /// Reads the block at `height`, with the checksum of its frame.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be read, or holds something else there.
    fn block_at(&self, height: u32) -> Result<Option<Block>, StoreError>;
}

impl Archive for BlockStore {
    fn height_of(&self, hash: BlockHash) -> Result<Option<u32>, StoreError> {
        self.height(hash)
    }

    fn hashes(&self, height: u32, count: usize) -> Result<Vec<BlockHash>, StoreError> {
        Self::hashes(self, height, count)
    }

    fn headers(&self, height: u32, count: usize) -> Result<Vec<BlockHeader>, StoreError> {
        Self::headers(self, height, count)
    }

    fn length_at(&self, height: u32) -> Result<Option<usize>, StoreError> {
        let entry = self.index_entry(height)?;
        Ok(entry.map(|entry| usize::try_from(entry.length).unwrap_or(usize::MAX)))
    }

    fn block_at(&self, height: u32) -> Result<Option<Block>, StoreError> {
        self.serve(height)
    }
}

impl Archive for MemoryStore {
    fn height_of(&self, hash: BlockHash) -> Result<Option<u32>, StoreError> {
        let position = self.lock().iter().position(|block| block.hash() == hash);
        Ok(position.and_then(|position| u32::try_from(position).ok()))
    }

    fn hashes(&self, height: u32, count: usize) -> Result<Vec<BlockHash>, StoreError> {
        Ok(self.lock().iter().skip(index(height)).take(count).map(Block::hash).collect())
    }

    fn headers(&self, height: u32, count: usize) -> Result<Vec<BlockHeader>, StoreError> {
        let blocks = self.lock();
        Ok(blocks.iter().skip(index(height)).take(count).map(|block| block.header().clone()).collect())
    }

    fn length_at(&self, height: u32) -> Result<Option<usize>, StoreError> {
        Ok(self.lock().get(index(height)).map(|block| block.bytes().len()))
    }

    fn block_at(&self, height: u32) -> Result<Option<Block>, StoreError> {
        Ok(self.lock().get(index(height)).cloned())
    }
}

fn index(height: u32) -> usize {
    usize::try_from(height).unwrap_or(usize::MAX)
}

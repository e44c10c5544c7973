//! What a download needs of an archive.

use std::sync::{Mutex, MutexGuard, PoisonError};

use savanna_chain::Entry;
use savanna_store::{BlockStore, StoreError, Tip};
use savanna_wire::{Block, Network};

/// An archive of one chain's blocks, in order and without a gap.
///
/// Every call may block on a disk and is made off the async threads. Writes come one at a time.
pub trait Store: Send + Sync + 'static {
    /// Returns the network whose blocks these are.
    fn network(&self) -> Network;

    /// Returns the last block; none if there is none.
    fn tip(&self) -> Option<Tip>;

    /// Reads what a chain of headers keeps of `count` blocks from `height` on, or of as many as there are.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be read.
    fn entries(&self, height: u32, count: usize) -> Result<Vec<Entry>, StoreError>;

    /// Appends blocks that follow the tip, all of them or none.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] if they do not follow it; otherwise whatever the disk says.
    fn append(&self, run: &[Block]) -> Result<(), StoreError>;

    /// Removes every block above `height`.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be written.
    fn truncate(&self, height: u32) -> Result<(), StoreError>;

    /// Puts `run` in the place of every block above `fork`, because the branch that ends in `new` takes over, at `time` in Unix
    /// seconds. An archive with a journal notes that there, and one that can does both in one step.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be written.
    fn reorganise(&self, fork: u32, new: Tip, time: u64, run: &[Block]) -> Result<(), StoreError> {
        let _ = (new, time);
        self.truncate(fork)?;
        self.append(run)
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// [`StoreError`] if the archive cannot be written.
    fn flush(&self) -> Result<(), StoreError>;
}

impl Store for BlockStore {
    fn network(&self) -> Network {
        Self::network(self)
    }

    fn tip(&self) -> Option<Tip> {
        Self::tip(self)
    }

    fn entries(&self, height: u32, count: usize) -> Result<Vec<Entry>, StoreError> {
        let rows = self.index_from(height).take(count);
        rows.map(|row| row.map(|row| Entry { hash: row.hash, time: row.time, bits: row.bits })).collect()
    }

    fn append(&self, run: &[Block]) -> Result<(), StoreError> {
        Self::append(self, run).map(drop)
    }

    fn truncate(&self, height: u32) -> Result<(), StoreError> {
        Self::truncate(self, Some(height)).map(drop)
    }

    fn reorganise(&self, fork: u32, new: Tip, time: u64, run: &[Block]) -> Result<(), StoreError> {
        if run.is_empty() {
            return Self::reorganise(self, Some(fork), Some(new), time).map(drop);
        }
        Self::replace(self, Some(fork), run, time).map(drop)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Self::flush(self)
    }
}

/// An archive in memory, gone with its owner: for tests, and for whoever only wants to look.
#[derive(Debug)]
pub struct MemoryStore {
    network: Network,
    blocks: Mutex<Vec<Block>>,
}

impl MemoryStore {
    /// Makes an empty archive for `network`.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        Self { network, blocks: Mutex::new(Vec::new()) }
    }

    /// Returns the blocks, the genesis block first.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        self.lock().clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Block>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn network(&self) -> Network {
        self.network
    }

    fn tip(&self) -> Option<Tip> {
        tip_of(&self.lock())
    }

    fn entries(&self, height: u32, count: usize) -> Result<Vec<Entry>, StoreError> {
        let blocks = self.lock();
        let rows = blocks.iter().skip(usize::try_from(height).unwrap_or(usize::MAX)).take(count);
        Ok(rows.map(entry).collect())
    }

    fn append(&self, run: &[Block]) -> Result<(), StoreError> {
        let mut blocks = self.lock();
        let mut tip = tip_of(&blocks);
        for block in run {
            let follows = match tip {
                Some(tip) => block.header().previous == tip.hash,
                None => block.hash() == self.network.genesis_hash(),
            };
            if !follows {
                return Err(StoreError::NotNext { hash: block.hash(), tip: tip.map(|tip| tip.height) });
            }
            tip = Some(Tip { height: tip.map_or(0, |tip| tip.height + 1), hash: block.hash() });
        }
        blocks.extend_from_slice(run);
        Ok(())
    }

    fn truncate(&self, height: u32) -> Result<(), StoreError> {
        self.lock().truncate(usize::try_from(height).unwrap_or(usize::MAX).saturating_add(1));
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn tip_of(blocks: &[Block]) -> Option<Tip> {
    let height = u32::try_from(blocks.len().checked_sub(1)?).ok()?;
    Some(Tip { height, hash: blocks.last()?.hash() })
}

fn entry(block: &Block) -> Entry {
    let header = block.header();
    Entry { hash: block.hash(), time: header.time, bits: header.bits }
}

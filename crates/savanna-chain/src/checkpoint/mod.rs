//! Blocks that are known to be on the chain.
//!
//! The lists are public facts: the project of Zebra publishes them with its software, after its nodes have verified the chain
//! in full. `cargo run -p xtask -- checkpoints` makes the data here from that publication.

use std::borrow::Cow;
use std::fmt;

use savanna_wire::{BlockHash, Network};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// A height, little-endian, and a hash in wire order.
const RECORD_LEN: usize = 36;

static MAINNET: &[u8] = include_bytes!("mainnet.bin");
static TESTNET: &[u8] = include_bytes!("testnet.bin");

/// A list that is no list of checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckpointsError {
    /// It does not begin with the first block.
    #[error("the list does not begin at height 0")]
    NoGenesis,
    /// A height is not above the one before it.
    #[error("height {height} is not above the one before it")]
    NotAscending {
        /// The height.
        height: u32,
    },
}

/// Heights and hashes of blocks that are known to be on the chain, ascending, from the first block on.
///
/// Whoever believes them need not verify the work of what leads up to them: the links say that it is the same chain. The lists
/// of the public networks stay in the program's constant data; nothing is copied or unpacked.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoints(Cow<'static, [[u8; RECORD_LEN]]>);

impl Checkpoints {
    /// Returns the checkpoints of `network`, at most 400 blocks apart; of regtest, whose nodes share nothing else, the first
    /// block.
    #[must_use]
    pub fn of(network: Network) -> Self {
        match network {
            Network::Mainnet => Self(Cow::Borrowed(MAINNET.as_chunks().0)),
            Network::Testnet => Self(Cow::Borrowed(TESTNET.as_chunks().0)),
            Network::Regtest => Self(Cow::Owned(vec![record(0, network.genesis_hash())])),
        }
    }

    /// Makes a list of one's own, from heights and hashes.
    ///
    /// # Errors
    /// [`CheckpointsError`] if the heights do not begin at 0 and ascend.
    pub fn new(list: impl IntoIterator<Item = (u32, BlockHash)>) -> Result<Self, CheckpointsError> {
        let mut records: Vec<[u8; RECORD_LEN]> = Vec::new();
        for (height, hash) in list {
            match records.last().map(|last| read(last).0) {
                None if height > 0 => return Err(CheckpointsError::NoGenesis),
                Some(last) if height <= last => return Err(CheckpointsError::NotAscending { height }),
                None | Some(_) => records.push(record(height, hash)),
            }
        }
        if records.is_empty() { Err(CheckpointsError::NoGenesis) } else { Ok(Self(Cow::Owned(records))) }
    }

    /// Returns how many there are; there is always one.
    #[expect(clippy::len_without_is_empty, reason = "the first block is always there")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the highest.
    #[must_use]
    pub fn last(&self) -> (u32, BlockHash) {
        read(&self.0[self.0.len() - 1])
    }

    /// Returns the hash of the checkpoint at `height`.
    #[must_use]
    pub fn at(&self, height: u32) -> Option<BlockHash> {
        let (found, hash) = self.last_at_or_below(height);
        (found == height).then_some(hash)
    }

    /// Returns the lowest checkpoint above `height`.
    #[must_use]
    pub fn first_above(&self, height: u32) -> Option<(u32, BlockHash)> {
        self.0.get(self.count_to(height)).map(read)
    }

    /// Returns the highest checkpoint that is not above `height`.
    #[must_use]
    pub fn last_at_or_below(&self, height: u32) -> (u32, BlockHash) {
        // The first block is at or below every height.
        read(&self.0[self.count_to(height) - 1])
    }

    /// Returns all of them, ascending.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, BlockHash)> + DoubleEndedIterator {
        self.0.iter().map(read)
    }

    /// Returns how many are at or below `height`.
    fn count_to(&self, height: u32) -> usize {
        self.0.partition_point(|record| read(record).0 <= height)
    }
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (height, hash) = self.last();
        write!(f, "Checkpoints({} up to {height}, {hash})", self.len())
    }
}

fn record(height: u32, hash: BlockHash) -> [u8; RECORD_LEN] {
    let mut record = [0; RECORD_LEN];
    record[..4].copy_from_slice(&height.to_le_bytes());
    record[4..].copy_from_slice(&hash.0);
    record
}

fn read(record: &[u8; RECORD_LEN]) -> (u32, BlockHash) {
    let mut hash = [0; 32];
    hash.copy_from_slice(&record[4..]);
    (u32::from_le_bytes([record[0], record[1], record[2], record[3]]), BlockHash(hash))
}

//! What was served, for whoever watches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use savanna_peer::{Missing, Partial};
use savanna_wire::{Block, BlockHash};

/// What was served since the start, and why more was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServeCounts {
    /// Headers told.
    pub headers: u64,
    /// Hashes told.
    pub hashes: u64,
    /// Blocks handed to connections.
    pub blocks: u64,
    /// Their bytes.
    pub block_bytes: u64,
    /// Blocks that peers were told are not here.
    pub missing: u64,
    /// Blocks passed over because the answer was full.
    pub dropped: u64,
    /// Questions that waited for the rate at which peers are served while our own chain is not whole.
    pub paced: u64,
    /// Questions that waited because their peer asked for the same again and again.
    pub repeated: u64,
    /// Questions left without an answer because there was no room for it in time.
    pub overloaded: u64,
    /// Reads that failed.
    pub failed: u64,
    /// The bytes of blocks that are being read, or wait to be written to a socket, at this moment.
    pub held_bytes: u64,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) headers: AtomicU64,
    pub(super) hashes: AtomicU64,
    pub(super) blocks: AtomicU64,
    pub(super) block_bytes: AtomicU64,
    pub(super) missing: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) paced: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) overloaded: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Whether a failure has been told of: peers choose how often there is one.
    pub(super) has_told: AtomicBool,
}

impl Counters {
    /// Counts an answer that comes to so many bytes.
    pub(super) fn served(&self, answer: &Partial<Block, BlockHash>, bytes: usize) {
        add(&self.blocks, answer.found.len());
        add(&self.block_bytes, bytes);
        let not_found = answer.missing.iter().filter(|(_, why)| *why == Missing::NotFound).count();
        add(&self.missing, not_found);
        add(&self.dropped, answer.missing.len() - not_found);
    }

    pub(super) fn snapshot(&self, held: usize) -> ServeCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServeCounts {
            headers: read(&self.headers),
            hashes: read(&self.hashes),
            blocks: read(&self.blocks),
            block_bytes: read(&self.block_bytes),
            missing: read(&self.missing),
            dropped: read(&self.dropped),
            paced: read(&self.paced),
            repeated: read(&self.repeated),
            overloaded: read(&self.overloaded),
            failed: read(&self.failed),
            held_bytes: held as u64,
        }
    }
}

pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

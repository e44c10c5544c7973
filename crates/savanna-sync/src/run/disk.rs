//! What a synchronisation does to its store, on threads that may block.

use savanna_chain::HeaderChain;
use savanna_store::{StoreError, Tip};
use savanna_wire::Block;

use crate::Store;

/// How many headers are read from the store at once.
const READ_HEADERS: usize = 50_000;

/// A write: a cut, or a run of blocks.
pub(super) struct Job {
    pub(super) cut: Option<u32>,
    pub(super) run: Vec<Block>,
    pub(super) flush: bool,
}

/// What a write came to.
pub(super) struct Written {
    pub(super) tip: Option<Tip>,
    pub(super) blocks: u64,
    pub(super) bytes: usize,
    pub(super) flushed: bool,
}

pub(super) fn write<T: Store>(store: &T, job: Job) -> Result<Written, StoreError> {
    if let Some(height) = job.cut {
        store.truncate(height)?;
    }
    if !job.run.is_empty() {
        store.append(&job.run)?;
    }
    if job.flush {
        store.flush()?;
    }
    let bytes = job.run.iter().map(|block| block.bytes().len()).sum();
    Ok(Written { tip: store.tip(), blocks: job.run.len() as u64, bytes, flushed: job.flush })
}

/// Rebuilds the chain of headers from what the store keeps of each block. They were checked before they were stored.
pub(super) fn restore<T: Store>(store: &T) -> Result<HeaderChain, StoreError> {
    let mut chain = HeaderChain::new(store.network());
    let Some(tip) = store.tip() else { return Ok(chain) };
    while chain.tip().0 < tip.height {
        let entries = store.entries(chain.tip().0 + 1, READ_HEADERS)?;
        if entries.is_empty() {
            break;
        }
        entries.into_iter().for_each(|entry| chain.restore(entry));
    }
    if chain.tip() != (tip.height, tip.hash) {
        return Err(StoreError::Corrupt { what: format!("the index does not lead to height {}", tip.height) });
    }
    Ok(chain)
}

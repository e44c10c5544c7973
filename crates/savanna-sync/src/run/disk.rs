//! What a synchronisation does to its store, on threads that may block.

use std::time::Duration;

use savanna_chain::HeaderChain;
use savanna_store::{StoreError, Tip};
use savanna_wire::Block;

use crate::Store;

/// How many headers are read from the store at once.
const READ_HEADERS: usize = 50_000;

/// How many bytes may be written before they are made durable.
const FLUSH_BYTES: u64 = 128 * 1024 * 1024;

/// How long what is written may wait to be made durable.
const FLUSH_AFTER: Duration = Duration::from_secs(10);

/// What is on its way to the store: one write at a time, so that a slow disk makes longer writes rather than more.
pub(super) struct Disk {
    tip: Option<Tip>,
    /// The last height handed over.
    handed: Option<u32>,
    /// Where the store has to be cut before the next write.
    cut: Option<u32>,
    writing: bool,
    /// Bytes written and not yet durable.
    unflushed: u64,
    /// Since when something is.
    unflushed_since: Option<Duration>,
}

impl Disk {
    pub(super) fn new(tip: Option<Tip>) -> Self {
        let handed = tip.map(|tip| tip.height);
        Self { tip, handed, cut: None, writing: false, unflushed: 0, unflushed_since: None }
    }

    /// Returns the last block that is stored.
    pub(super) const fn tip(&self) -> Option<Tip> {
        self.tip
    }

    /// Returns whether a write is under way, or has to come before anything else.
    pub(super) const fn is_busy(&self) -> bool {
        self.writing || self.cut.is_some()
    }

    /// Books that the chain above `fork` is another one, and returns whether any of that was handed over.
    pub(super) fn rewind(&mut self, fork: u32) -> bool {
        let reaches_above = self.handed.is_some_and(|handed| handed > fork);
        if reaches_above {
            self.handed = Some(fork);
            self.cut = Some(self.cut.map_or(fork, |cut| cut.min(fork)));
        }
        reaches_above
    }

    /// Returns the next write, with the blocks that `take_run` hands over, if there is something to write and nothing being
    /// written.
    pub(super) fn next_job(&mut self, now: Duration, take_run: impl FnOnce() -> Vec<Block>) -> Option<Job> {
        if self.writing {
            return None;
        }
        let cut = self.cut.take();
        let run = if cut.is_some() { Vec::new() } else { take_run() };
        let is_late = self.flush_at().is_some_and(|at| at <= now);
        if cut.is_none() && run.is_empty() && !is_late {
            return None;
        }
        let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
        if count > 0 {
            self.handed = Some(self.handed.map_or(count - 1, |handed| handed + count));
        }
        self.writing = true;
        Some(Job { cut, run, flush: is_late || self.unflushed >= FLUSH_BYTES })
    }

    /// Takes the news that a write is done.
    pub(super) fn handle_written(&mut self, written: &Written, now: Duration) {
        self.writing = false;
        self.tip = written.tip;
        if written.flushed {
            (self.unflushed, self.unflushed_since) = (0, None);
        } else {
            self.unflushed += written.bytes as u64;
            self.unflushed_since.get_or_insert(now);
        }
    }

    /// Returns when [`Self::next_job`] has something to make durable though nothing else comes.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.flush_at().filter(|_| !self.writing)
    }

    fn flush_at(&self) -> Option<Duration> {
        self.unflushed_since.map(|since| since + FLUSH_AFTER)
    }
}

/// A write: a cut, or a run of blocks, or neither where only what was written before is made durable.
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

//! What a synchronisation does to its store, on threads that may block.

use std::time::Duration;

use savanna_chain::{Checkpoints, HeaderChain, MAX_REORG_DEPTH, Parameters, Root, Work};
use savanna_store::{StoreError, Tip};
use savanna_wire::Block;

use crate::headers::Anchors;
use crate::{Store, SyncError};

/// How many headers are read from the store at once.
const READ_HEADERS: usize = 50_000;

/// How many bytes one write to the store holds, about. One that replaces another branch holds all that there is.
const RUN_BYTES: usize = 8 * 1024 * 1024;
/// How many headers below the last checkpoint that was passed are read: what the rules of those above it look back on, and more.
const CONTEXT: u32 = 1_200;

/// How many bytes may be written before they are made durable.
const FLUSH_BYTES: u64 = 128 * 1024 * 1024;

/// How long what is written may wait to be made durable.
const FLUSH_AFTER: Duration = Duration::from_secs(10);

/// What is on its way to the store: one write at a time, so that a slow disk makes longer writes rather than more.
pub(super) struct Disk {
    tip: Option<Tip>,
    /// The last block handed over.
    handed: Option<Tip>,
    /// Where the store has to be cut, once what takes the place of what is cut off is here.
    cut: Option<Tip>,
    writing: bool,
    /// Bytes written and not yet durable.
    unflushed: u64,
    /// Since when something is.
    unflushed_since: Option<Duration>,
}

impl Disk {
    pub(super) fn new(tip: Option<Tip>) -> Self {
        Self { tip, handed: tip, cut: None, writing: false, unflushed: 0, unflushed_since: None }
    }

    /// Returns the last block that is stored.
    pub(super) const fn tip(&self) -> Option<Tip> {
        self.tip
    }

    /// Returns the last block that was handed over.
    pub(super) const fn handed(&self) -> Option<Tip> {
        self.handed
    }

    /// Returns how many bytes of blocks the next write takes, about: none while there is one, or a cut waits.
    pub(super) const fn takes(&self, is_due: bool) -> usize {
        match self.cut {
            _ if self.writing => 0,
            Some(_) if is_due => usize::MAX,
            Some(_) => 0,
            None => RUN_BYTES,
        }
    }

    /// Returns where the store is to be cut.
    pub(super) const fn cut(&self) -> Option<Tip> {
        self.cut
    }

    /// Returns whether a write is under way.
    pub(super) const fn is_busy(&self) -> bool {
        self.writing
    }

    /// Books that the best chain parts from what was handed over at `fork`, or no longer does.
    ///
    /// Nothing is cut before the blocks above the fork are here, so that the store never holds much less than it did.
    pub(super) fn part(&mut self, fork: Tip) {
        self.cut = self.handed.filter(|handed| handed.height > fork.height).map(|_| fork);
    }

    /// Returns the next write, with the blocks that `take_run` hands over, if there is something to write and nothing being
    /// written. `is_due` says whether a cut is.
    pub(super) fn next_job(
        &mut self,
        now: Duration,
        is_due: bool,
        unix: u64,
        take_run: impl FnOnce(usize) -> Vec<Block>,
    ) -> Option<Job> {
        if self.writing {
            return None;
        }
        let is_late = self.flush_at().is_some_and(|at| at <= now);
        let (cut, run) = match self.cut {
            Some(cut) if is_due => (Some(cut), take_run(usize::MAX)),
            Some(_) => (None, Vec::new()),
            None => (None, take_run(RUN_BYTES)),
        };
        if cut.is_none() && run.is_empty() && !is_late {
            return None;
        }
        let old = self.handed;
        if cut.is_some() {
            (self.handed, self.cut) = (cut, None);
        }
        if let Some(last) = run.last() {
            let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
            let height = self.handed.map_or(count - 1, |handed| handed.height + count);
            self.handed = Some(Tip { height, hash: last.hash() });
        }
        self.writing = true;
        let cut = cut.zip(old).zip(self.handed);
        let cut = cut.map(|((fork, old), new)| Cut { fork: fork.height, old, new, time: unix });
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

/// Where a store is left by the blocks of another branch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The height of the last block that stays.
    pub(super) fork: u32,
    /// The last block before.
    pub(super) old: Tip,
    /// The last of those that take over.
    pub(super) new: Tip,
    /// When, in Unix seconds.
    pub(super) time: u64,
}

/// A write: a cut, a run of blocks, or both in one go, or neither where only what was written before is made durable.
pub(super) struct Job {
    pub(super) cut: Option<Cut>,
    pub(super) run: Vec<Block>,
    pub(super) flush: bool,
}

/// What a write came to.
pub(super) struct Written {
    pub(super) tip: Option<Tip>,
    pub(super) cut: Option<Cut>,
    pub(super) blocks: u64,
    pub(super) bytes: usize,
    pub(super) flushed: bool,
}

pub(super) fn write<T: Store>(store: &T, job: Job) -> Result<Written, StoreError> {
    if let Some(cut) = job.cut {
        store.reorganise(cut.fork, cut.new, cut.time, &job.run)?;
    } else if !job.run.is_empty() {
        store.append(&job.run)?;
    }
    if job.flush {
        store.flush()?;
    }
    let bytes = job.run.iter().map(|block| block.bytes().len()).sum();
    Ok(Written { tip: store.tip(), cut: job.cut, blocks: job.run.len() as u64, bytes, flushed: job.flush })
}

/// What a store holds, as far as headers are judged by it.
pub(super) struct Restored {
    pub(super) chain: HeaderChain,
    /// A few blocks below the chain's root.
    pub(super) anchors: Anchors,
}

/// Rebuilds the chain of headers from what the store keeps of each block, as far down as anything may still depend on it. They
/// were checked before they were stored. Where the store's last blocks are of another chain than the checkpoints, it ends below them.
///
/// # Errors
/// [`SyncError::Contradicted`] if the store holds another chain than the checkpoints say, deeper than chains are left, and
/// [`SyncError::Store`] if it cannot be read.
pub(super) fn restore<T: Store>(store: &T, checkpoints: &Checkpoints) -> Result<Restored, SyncError> {
    let network = store.network();
    let Some(tip) = store.tip() else {
        return Ok(Restored { chain: HeaderChain::new(network), anchors: Anchors::default() });
    };
    let tip = foot(store, checkpoints, tip)?;
    let (passed, _) = checkpoints.last_at_or_below(tip.height);
    let height = passed.saturating_sub(CONTEXT);
    let parameters = Parameters::of(network);
    let mut chain = match store.entries(height, 1)?.first() {
        Some(&entry) if height > 0 => HeaderChain::with_root(parameters, Root { height, entry, work: Work::ZERO }),
        Some(_) | None => HeaderChain::new(network),
    };
    while chain.tip().0 < tip.height {
        let rest = usize::try_from(tip.height - chain.tip().0).unwrap_or(usize::MAX);
        let entries = store.entries(chain.tip().0 + 1, READ_HEADERS.min(rest))?;
        if entries.is_empty() {
            break;
        }
        entries.into_iter().for_each(|entry| chain.restore(entry));
    }
    if chain.tip() != (tip.height, tip.hash) {
        let what = format!("the index does not lead to height {}", tip.height);
        return Err(StoreError::Corrupt { what }.into());
    }
    chain.settle(passed);
    let mut anchors = Anchors::default();
    for height in Anchors::heights(chain.root_height()) {
        store.entries(height, 1)?.first().into_iter().for_each(|entry| anchors.insert(height, entry.hash));
    }
    Ok(Restored { chain, anchors })
}

/// Finds the last block that the store and the checkpoints may both have: its tip, or else the last checkpoint that it holds.
///
/// A node that ended on a stale block finds itself there once checkpoints pass that height.
fn foot<T: Store>(store: &T, checkpoints: &Checkpoints, tip: Tip) -> Result<Tip, SyncError> {
    let holds = |(height, hash)| -> Result<bool, StoreError> {
        Ok(store.entries(height, 1)?.first().is_some_and(|entry| entry.hash == hash))
    };
    let passed = checkpoints.last_at_or_below(tip.height);
    if holds(passed)? {
        return Ok(tip);
    }
    let lowest = tip.height.saturating_sub(MAX_REORG_DEPTH);
    let mut above = passed.0;
    while above > lowest {
        let below = checkpoints.last_at_or_below(above - 1);
        if below.0 >= lowest && holds(below)? {
            return Ok(Tip { height: below.0, hash: below.1 });
        }
        above = below.0;
    }
    Err(SyncError::Contradicted { height: passed.0 })
}

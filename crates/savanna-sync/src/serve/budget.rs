//! How much is read for peers at once, and how fast.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use savanna_wire::MAX_BLOCK_LEN;

/// The most bytes that one answer's blocks come to: one that is longer than an answer's bound goes alone.
pub(super) const ANSWER: usize = MAX_BLOCK_LEN;

/// What a search costs beside what it reads: up to 101 hashes are looked up.
const SEARCH_COST: usize = 16 * 1024;

/// What serving may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of blocks for one peer that are being read or have not been written to its socket. It is at least a block's.
    pub peer_bytes: usize,
    /// The same for all peers together. When half of it is taken, no peer gets more before it has read what it was sent.
    pub bytes: usize,
    /// How many reads are under way at a time.
    pub reads: usize,
    /// How many bytes a second are read for peers while our own chain is not whole.
    pub rate_while_syncing: u64,
}

impl Limits {
    /// What suits a node that does other things besides.
    pub const DEFAULT: Self =
        Self { peer_bytes: 4 << 20, bytes: 64 << 20, reads: 2, rate_while_syncing: 8 * 1024 * 1024 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The bytes that may be held for all peers.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: Arc<Semaphore>,
    total: usize,
    peer: usize,
}

/// The bytes that may be held for one peer.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<Semaphore>);

/// Bytes that are held.
#[derive(Debug)]
pub(super) struct Held {
    ours: OwnedSemaphorePermit,
    peers: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let peer = limits.peer_bytes.clamp(ANSWER, u32::MAX as usize);
        let total = limits.bytes.clamp(peer, u32::MAX as usize);
        Self { bytes: Arc::new(Semaphore::new(total)), total, peer }
    }

    pub(super) fn allowance(&self) -> Allowance {
        Allowance(Arc::new(Semaphore::new(self.peer)))
    }

    /// Returns how many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.total - self.bytes.available_permits()
    }

    /// Waits for room for an answer.
    ///
    /// A peer's calls are served in the order in which they are first polled: its answers leave in that order, and one that
    /// held what an earlier one waits for would wait for that in turn.
    ///
    /// # Security
    /// Peers that ask and do not read share half of the room. The other half goes to those that do.
    pub(super) async fn reserve(&self, peer: &Allowance) -> Option<Held> {
        let is_scarce = self.held() > self.total / 2;
        let wanted = if is_scarce { self.peer } else { ANSWER };
        let mut peers = Arc::clone(&peer.0).acquire_many_owned(permits(wanted)).await.ok()?;
        drop(peers.split(wanted - ANSWER));
        let ours = Arc::clone(&self.bytes).acquire_many_owned(permits(ANSWER)).await.ok()?;
        Some(Held { ours, peers })
    }
}

impl Held {
    /// Splits off a part; none of what is not held.
    pub(super) fn split(&mut self, bytes: usize) -> Option<Self> {
        let ours = self.ours.split(bytes)?;
        let peers = self.peers.split(bytes)?;
        Some(Self { ours, peers })
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// How fast is read: at most so many reads at once, and each after the time that those before it are worth.
#[derive(Debug)]
pub(super) struct Pace {
    reads: Arc<Semaphore>,
    rate: u64,
    /// When what was read has been paid for.
    paid: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        let reads = Arc::new(Semaphore::new(limits.reads.max(1)));
        Self { reads, rate: limits.rate_while_syncing.max(1), paid: Mutex::new(None) }
    }

    /// Waits for a turn to read; for its time too if reads are `paced`. Returns what ends the turn, and whether there was a wait for
    /// time.
    pub(super) async fn turn(&self, paced: bool) -> Option<(OwnedSemaphorePermit, bool)> {
        let turn = Arc::clone(&self.reads).acquire_owned().await.ok()?;
        let mut has_waited = false;
        while paced
            && let Some(paid) = self.paid()
            && paid > Instant::now()
        {
            has_waited = true;
            sleep_until(paid).await;
        }
        Some((turn, has_waited))
    }

    /// Books what was read.
    pub(super) fn charge(&self, bytes: usize, now: Instant) {
        let worth = Duration::from_secs_f64((bytes + SEARCH_COST) as f64 / self.rate as f64);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = Some(paid.map_or(now, |paid| paid.max(now)) + worth);
    }

    fn paid(&self) -> Option<Instant> {
        *self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kinds of searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// For hashes.
    Hashes,
    /// For headers.
    Headers,
}

impl Kind {
    /// Returns about how many bytes are read for one item.
    pub(super) const fn weight(self) -> usize {
        match self {
            Self::Hashes => 70,
            Self::Headers => 1487,
        }
    }
}

/// How often one peer may be told again what it has been told.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// The heights up to which hashes and headers were told.
    told: [Option<u32>; 2],
    /// When the repeats will have been paid for.
    paid: Option<Instant>,
}

impl Repeats {
    /// What a repeat is worth, and how much of it may be owed before the next question waits.
    const PERIOD: Duration = Duration::from_millis(100);
    const CREDIT: Duration = Duration::from_secs(20);

    /// Returns when the next question may be looked at.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.paid.and_then(|paid| paid.checked_sub(Self::CREDIT))
    }

    /// Notes up to which height something was told; nothing told costs as much as a repeat, since it had to be looked for.
    pub(super) fn note(&mut self, kind: Kind, last: Option<u32>, now: Instant) {
        let told = &mut self.told[kind as usize];
        if *told >= last {
            self.paid = Some(self.paid.map_or(now, |paid| paid.max(now)) + Self::PERIOD);
        } else {
            *told = last;
        }
    }
}

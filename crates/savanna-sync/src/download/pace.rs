//! How fast a peer is, how much it is asked for at once, and how long it is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use savanna_peer::{MAX_BLOCKS, MAX_GETDATA_BLOCKS};

/// How many blocks a peer is asked for at once to begin with.
const FIRST_WINDOW: usize = MAX_GETDATA_BLOCKS;

/// For how long a peer should always have something to send: what it sends in this time is its window.
const AHEAD: Duration = Duration::from_millis(500);

/// What a block is thought to take of a peer that has sent none.
const FIRST_PACE: Duration = Duration::from_millis(20);

/// One peer as a source of blocks.
#[derive(Debug)]
pub(super) struct Source {
    window: usize,
    in_flight: usize,
    /// The time a block takes, averaged; none before the first.
    pace: Option<Duration>,
    answered_at: Duration,
    stalls: u32,
    /// Heights that it said it lacks, and until when it is not asked again.
    lacks: BTreeMap<u32, Duration>,
}

impl Default for Source {
    fn default() -> Self {
        let (pace, answered_at) = (None, Duration::ZERO);
        Self { window: FIRST_WINDOW, in_flight: 0, pace, answered_at, stalls: 0, lacks: BTreeMap::new() }
    }
}

impl Source {
    /// Returns how many blocks one question holds: half of the window, so that the next is on its way while one is answered.
    pub(super) fn share(&self) -> usize {
        (self.window / 2).clamp(1, MAX_GETDATA_BLOCKS)
    }

    pub(super) fn has_room_for(&self, blocks: usize) -> bool {
        self.in_flight + blocks <= self.window
    }

    pub(super) const fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Returns how the peer compares with others as the next to be asked: the least is the best.
    pub(super) fn rank(&self) -> (u32, Duration) {
        (self.stalls, self.expected(self.in_flight + self.share()))
    }

    /// Returns how long the peer takes for so many blocks.
    pub(super) fn expected(&self, blocks: usize) -> Duration {
        self.pace.unwrap_or(FIRST_PACE).saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX))
    }

    pub(super) const fn answered_at(&self) -> Duration {
        self.answered_at
    }

    pub(super) fn asked(&mut self, blocks: usize) {
        self.in_flight += blocks;
    }

    pub(super) fn cancelled(&mut self, blocks: usize) {
        self.in_flight -= blocks;
    }

    /// Books an answer: `arrived` of the `blocks` asked for at `asked_at` came.
    pub(super) fn answered(&mut self, blocks: usize, arrived: usize, asked_at: Duration, now: Duration) {
        self.in_flight -= blocks;
        let took = now.saturating_sub(asked_at.max(self.answered_at));
        self.answered_at = now;
        let Some(arrived) = u32::try_from(arrived).ok().filter(|&arrived| arrived > 0) else { return };
        self.stalls = 0;
        let sample = took / arrived;
        let pace = self.pace.map_or(sample, |pace| (pace * 3 + sample) / 4).max(Duration::from_micros(1));
        self.pace = Some(pace);
        let deserved = usize::try_from(AHEAD.as_nanos() / pace.as_nanos()).unwrap_or(MAX_BLOCKS);
        // A window grows by doubling, so that one lucky answer does not put 48 blocks with a peer.
        self.window = deserved.clamp(FIRST_WINDOW, MAX_BLOCKS).min(self.window * 2);
    }

    /// Books a stall, and returns how many there were in a row.
    pub(super) fn stalled(&mut self, now: Duration) -> u32 {
        self.stalls += 1;
        self.window = (self.window / 4).max(1);
        self.answered_at = now;
        self.stalls
    }

    pub(super) fn lack(&mut self, height: u32, until: Duration) {
        self.lacks.insert(height, until);
    }

    pub(super) fn lacks(&self, height: u32, now: Duration) -> bool {
        self.lacks.get(&height).is_some_and(|&until| now < until)
    }

    pub(super) fn ever_lacked(&self, height: u32) -> bool {
        self.lacks.contains_key(&height)
    }

    pub(super) fn lacks_until(&self, height: u32) -> Option<Duration> {
        self.lacks.get(&height).copied()
    }

    pub(super) fn forget_lacks_below(&mut self, height: u32) {
        self.lacks = self.lacks.split_off(&height);
    }

    pub(super) fn forget_lacks_from(&mut self, height: u32) {
        self.lacks.split_off(&height);
    }
}

/// How long a silent peer is waited for, beyond what its answer should take.
///
/// It doubles when peers let it pass, because it may be our own line that is slow, and comes back with every answer. Answers with
/// nothing in them say nothing of our line.
#[derive(Debug)]
pub(super) struct Patience {
    now: Duration,
    grown_at: Option<Duration>,
}

impl Patience {
    const LEAST: Duration = Duration::from_secs(2);
    const MOST: Duration = Duration::from_secs(64);

    pub(super) const fn new() -> Self {
        Self { now: Self::LEAST, grown_at: None }
    }

    pub(super) const fn get(&self) -> Duration {
        self.now
    }

    /// Doubles, once for all the peers that stall together.
    pub(super) fn grow(&mut self, now: Duration) {
        if self.grown_at.is_none_or(|at| now >= at + self.now / 2) {
            self.now = (self.now * 2).min(Self::MOST);
            self.grown_at = Some(now);
        }
    }

    pub(super) fn relax(&mut self) {
        self.now = (self.now * 7 / 8).max(Self::LEAST);
    }
}

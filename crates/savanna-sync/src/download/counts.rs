//! What a download has handled, for metrics.

use savanna_peer::Missing;

/// What a download has handled since its beginning, and how much is under way.
///
/// Whether a block that is late was asked of a second peer is the source's to count: a peer set does in its
/// [`RequestCounts`](savanna_peerset::RequestCounts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DownloadCounts {
    /// Blocks asked for, each time anew.
    pub asked: u64,
    /// Blocks that came and were wanted.
    pub arrived: u64,
    /// Blocks asked for again through somebody's fault, or for want of room.
    pub asked_again: u64,
    /// Why blocks that were asked for have to be asked for again.
    pub refetched: Refetched,
    /// Blocks that are asked for and have not come.
    pub blocks_under_way: usize,
    /// How many bytes those are likely to have.
    pub bytes_under_way: usize,
    /// Bytes of blocks that came and are not stored.
    pub bytes_held: usize,
    /// Heights from the lowest block not handed over to the highest that is thought of.
    pub window: usize,
}

/// How often a block that was asked for has to be asked for again, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Refetched {
    /// Its body was not what its header commits to.
    pub wrong_body: u64,
    /// Nobody gave it in time.
    pub timed_out: u64,
    /// Every peer that was asked said that it lacks it.
    pub not_found: u64,
    /// It was passed over in silence, or another block came under its name.
    pub dropped: u64,
    /// There was no room for it when it came.
    pub no_room: u64,
    /// It was asked for together with blocks that are wanted no more.
    pub cancelled: u64,
}

impl DownloadCounts {
    pub(super) const fn new() -> Self {
        let refetched = Refetched { wrong_body: 0, timed_out: 0, not_found: 0, dropped: 0, no_room: 0, cancelled: 0 };
        Self {
            asked: 0,
            arrived: 0,
            asked_again: 0,
            refetched,
            blocks_under_way: 0,
            bytes_under_way: 0,
            bytes_held: 0,
            window: 0,
        }
    }

    /// Counts a block that is missing, and returns why it is.
    pub(super) const fn count_missing(&mut self, why: Missing) -> Missing {
        match why {
            Missing::TimedOut => self.refetched.timed_out += 1,
            Missing::NotFound => self.refetched.not_found += 1,
            Missing::Dropped => self.refetched.dropped += 1,
        }
        why
    }
}

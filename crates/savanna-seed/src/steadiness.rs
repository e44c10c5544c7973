//! How steadily a node is there: how often it comes and goes, and for how long it has stayed.

use savanna_book::UnixTime;

/// How steadily a node is there.
///
/// # Security
/// Windows alone, and the rule that names whoever answers a first time, would name a node that comes and goes each time that it
/// happens to be met a few times in a row. A node that has stayed for [`Self::STAY`], asked at gaps shorter than any absence
/// that matters, is none of those that come and go faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Steadiness {
    /// The last tries, the latest lowest, with a bit above them that marks their beginning.
    tries: u32,
    /// Since when it is there; never while it is not.
    since: UnixTime,
    /// When it was last there.
    seen: UnixTime,
}

impl Steadiness {
    /// Of a node that was not tried.
    pub const NEW: Self = Self { tries: 0, since: UnixTime::NEVER, seen: UnixTime::NEVER };
    /// How many tries are remembered: those of about a day.
    pub const MEMORY: u32 = 31;
    /// So many changes are too many: three absences within a day.
    pub const TOO_MANY: u32 = 6;
    /// How long a node is to be there without an absence until it is known to stay, in seconds.
    pub const STAY: u32 = 60 * 60;
    /// How far apart the tries may be that show it, in seconds: what is shorter than an absence of ten minutes, and what a busy
    /// machine is late.
    pub const GAP: u32 = 12 * 60;
    /// The length as bytes.
    pub const LEN: usize = 12;

    /// Notes what came of a try.
    ///
    /// One failure says nothing of a node that has stayed: it may have been ours. Two in a row, or one before that, and it has
    /// to stay anew.
    pub const fn note(&mut self, was_there: bool, now: UnixTime) {
        let missed_before = self.tries > 1 && self.tries & 1 == 0;
        self.remember(was_there);
        let has_stayed = self.has_stayed();
        if !was_there {
            if missed_before || !has_stayed {
                self.since = UnixTime::NEVER;
            }
            return;
        }
        let is_gone_by = now.since(self.seen) > Self::GAP || self.is_flapping();
        if self.since.0 == UnixTime::NEVER.0 || (!has_stayed && is_gone_by) {
            self.since = now;
        }
        self.seen = now;
    }

    const fn remember(&mut self, was_there: bool) {
        // A bit above the tries marks their beginning.
        let before = if self.tries == 0 { 1 } else { self.tries };
        let is_full = before >> Self::MEMORY == 1;
        let bits = before << 1 | was_there as u32;
        self.tries = if is_full { bits | 1 << Self::MEMORY } else { bits };
    }

    /// Returns how often the node came or went.
    #[must_use]
    pub const fn changes(self) -> u32 {
        if self.tries < 4 {
            return 0;
        }
        let tries = self.tries.ilog2();
        let changes = (self.tries ^ self.tries >> 1) & ((1 << (tries - 1)) - 1);
        changes.count_ones()
    }

    /// Returns whether it comes and goes too often to be named.
    #[must_use]
    pub const fn is_flapping(self) -> bool {
        self.changes() >= Self::TOO_MANY
    }

    /// Returns whether it is known to stay.
    #[must_use]
    pub const fn has_stayed(self) -> bool {
        self.since.0 != UnixTime::NEVER.0 && self.seen.since(self.since) >= Self::STAY
    }

    /// Follows a clock that was set back.
    pub(crate) fn set_back(&mut self, seconds: u32) {
        for time in [&mut self.since, &mut self.seen] {
            if *time != UnixTime::NEVER {
                *time = UnixTime(time.0.saturating_sub(seconds).max(1));
            }
        }
    }

    /// Leaves out a time of which nothing is known.
    pub(crate) fn skip(&mut self, seconds: u32, now: UnixTime) {
        if self.since != UnixTime::NEVER {
            self.since = self.since.plus(seconds).min(now);
            self.seen = self.seen.plus(seconds).min(now);
        }
    }

    /// Returns when it was last there.
    pub(crate) const fn seen(self) -> UnixTime {
        self.seen
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        for (place, word) in bytes.chunks_exact_mut(4).zip([self.tries, self.since.0, self.seen.0]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { tries: word(0), since: UnixTime(word(4)), seen: UnixTime(word(8)) }
    }
}

#[cfg(test)]
mod tests;

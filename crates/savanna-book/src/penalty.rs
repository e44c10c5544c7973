//! Whom to keep away from, and for how long.

use savanna_wire::Host;

use crate::UnixTime;
pub use prefix::Prefix;
use prefix::PrefixMap;

mod prefix;

/// How a host stands with us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing tells against it.
    Fine,
    /// It misbehaved: never dialled, its addresses not taken, and as an inbound peer the first to be evicted.
    Discouraged,
    /// The operator keeps it out: no connection either way.
    Banned,
}

/// What tells against the hosts of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The points so far; from [`Penalties::DISCOURAGED_AT`] on the hosts are discouraged.
    pub points: u32,
    /// When all of them are forgiven.
    pub until: UnixTime,
}

/// More bans than a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyBans;

/// Bans, which the operator gives, and marks, which peers earn by their behaviour. Both expire.
///
/// Both are keyed canonically: an IPv4 address whole and under all its IPv6 names, IPv6 by /64, overlay networks by key.
///
/// # Security
/// No overflow frees anyone. Bans beyond the bound are refused. When the marks are full, what has expired goes first, then
/// tallies that have not led to discouragement. Then the list coarsens: neighbours that are discouraged become one mark for
/// the range they share, first /24 and /48, then /16 and /32. So whoever rotates through addresses of its own closes its own
/// neighbourhood. If that gives no room either, newcomers are not remembered. Overlay keys cost nothing and have no
/// neighbours: they take up a quarter of the list at most.
#[derive(Debug, Default)]
pub struct Penalties {
    bans: PrefixMap<UnixTime>,
    marks: PrefixMap<Mark>,
    overlay_marks: usize,
    changes: u64,
    /// When room was last made.
    swept: UnixTime,
}

impl Penalties {
    /// The points from which a host is discouraged.
    pub const DISCOURAGED_AT: u32 = 100;
    /// How long marks last after the latest offence, in seconds: a day.
    pub const MARKED_FOR: u32 = 24 * 60 * 60;
    /// The most bans; beyond them the operator is told.
    pub const MAX_BANS: usize = 4096;
    /// The most marks; beyond them the list coarsens.
    pub const MAX_MARKS: usize = 8192;
    const MAX_OVERLAY_MARKS: usize = Self::MAX_MARKS / 4;
    /// What is left of a full list when enough room has been made.
    const ROOMY: usize = Self::MAX_MARKS / 8 * 7;
    /// How long a list that stayed full is left as it is, in seconds: making room reads all of it.
    const SWEEP_EVERY: u32 = 60;
    /// The ranges into which neighbours are gathered (bits of IPv4 and of IPv6), and how many make a neighbourhood.
    const COARSER: [(u8, u8, usize); 2] = [(24, 48, 2), (16, 32, 4)];

    /// Returns how a host stands.
    #[must_use]
    pub fn standing(&self, host: Host, now: UnixTime) -> Standing {
        if self.bans.covering(host).any(|until| now < *until) {
            return Standing::Banned;
        }
        let discourages = |mark: &Mark| mark.points >= Self::DISCOURAGED_AT && now < mark.until;
        if self.marks.covering(host).any(discourages) { Standing::Discouraged } else { Standing::Fine }
    }

    /// Returns how often anything was written, so that who keeps account sees that there is something new.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Bans a prefix until a moment, or for as long as it was banned already if that is longer.
    ///
    /// # Errors
    /// [`TooManyBans`] when the list is full of bans that have not expired.
    pub fn ban(&mut self, prefix: Prefix, until: UnixTime, now: UnixTime) -> Result<(), TooManyBans> {
        if self.bans.get(&prefix).is_none() && self.bans.len() >= Self::MAX_BANS {
            self.bans.retain(|_, until| now < *until);
            if self.bans.len() >= Self::MAX_BANS {
                return Err(TooManyBans);
            }
        }
        let until = self.bans.get(&prefix).map_or(until, |banned| until.max(*banned));
        self.bans.insert(prefix, until);
        self.changes += 1;
        Ok(())
    }

    /// Lifts a ban, and forgives what marks the prefix. Returns whether there was anything.
    pub fn lift(&mut self, prefix: Prefix) -> bool {
        let was_banned = self.bans.remove(&prefix);
        let was_marked = self.marks.remove(&prefix);
        self.overlay_marks -= usize::from(was_marked && prefix.is_overlay());
        was_banned || was_marked
    }

    /// Counts points against a host, and returns how it stands then.
    ///
    /// The machine's own addresses are never marked: behind them stand a proxy's many peers.
    pub fn penalize(&mut self, host: Host, points: u32, now: UnixTime) -> Standing {
        let prefix = Prefix::of(host);
        if points > 0 && !prefix.is_loopback() {
            let before = self.marks.get(&prefix).filter(|mark| now < mark.until).map_or(0, |mark| mark.points);
            let until = now.plus(Self::MARKED_FOR);
            self.mark(prefix, Mark { points: before.saturating_add(points), until }, now);
        }
        self.standing(host, now)
    }

    /// Writes a mark, if there is room for it or can be made.
    pub(crate) fn mark(&mut self, prefix: Prefix, mark: Mark, now: UnixTime) -> bool {
        if self.marks.get(&prefix).is_none() {
            if !self.has_room(prefix) {
                self.make_room(now);
            }
            if !self.has_room(prefix) {
                return false;
            }
            self.overlay_marks += usize::from(prefix.is_overlay());
        }
        self.marks.insert(prefix, mark);
        self.changes += 1;
        true
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: UnixTime) {
        self.bans.retain(|_, until| now < *until);
        self.keep_marks(|mark| now < mark.until);
    }

    /// Returns the bans, and when each ends.
    pub fn bans(&self) -> impl Iterator<Item = (Prefix, UnixTime)> + '_ {
        self.bans.iter().map(|(prefix, until)| (*prefix, *until))
    }

    /// Returns the marks.
    pub fn marks(&self) -> impl Iterator<Item = (Prefix, Mark)> + '_ {
        self.marks.iter().map(|(prefix, mark)| (*prefix, *mark))
    }

    fn has_room(&self, prefix: Prefix) -> bool {
        let overlay_has_room = !prefix.is_overlay() || self.overlay_marks < Self::MAX_OVERLAY_MARKS;
        self.marks.len() < Self::MAX_MARKS && overlay_has_room
    }

    fn make_room(&mut self, now: UnixTime) {
        if now >= self.swept && now.since(self.swept) < Self::SWEEP_EVERY {
            return;
        }
        self.swept = now;
        self.keep_marks(|mark| now < mark.until);
        if self.marks.len() > Self::ROOMY {
            self.keep_marks(|mark| mark.points >= Self::DISCOURAGED_AT);
        }
        for (v4, v6, least) in Self::COARSER {
            if self.marks.len() > Self::ROOMY {
                self.coarsen(v4, v6, least);
            }
        }
        // Room was made, so that the next overflow may make some again at once.
        if self.marks.len() <= Self::ROOMY {
            self.swept = UnixTime::NEVER;
        }
    }

    /// Makes one mark of each `least` or more that lie in the same range.
    fn coarsen(&mut self, v4: u8, v6: u8, least: usize) {
        let mut ranges = std::collections::BTreeMap::<Prefix, (usize, UnixTime)>::new();
        for (prefix, mark) in self.marks.iter() {
            if let Some(range) = prefix.widened(v4, v6) {
                let (count, until) = ranges.entry(range).or_default();
                *count += 1;
                *until = mark.until.max(*until);
            }
        }
        ranges.retain(|_, (count, _)| *count >= least);
        self.marks.retain(|prefix, _| !prefix.widened(v4, v6).is_some_and(|range| ranges.contains_key(&range)));
        for (range, (_, until)) in ranges {
            self.marks.insert(range, Mark { points: Self::DISCOURAGED_AT, until });
        }
    }

    fn keep_marks(&mut self, keep: impl Fn(&Mark) -> bool) {
        self.marks.retain(|_, mark| keep(mark));
        self.overlay_marks = self.marks.iter().filter(|(prefix, _)| prefix.is_overlay()).count();
    }
}

#[cfg(test)]
mod tests;

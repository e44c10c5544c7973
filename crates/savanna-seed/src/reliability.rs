//! How reliably a node answers, over five windows of time.
//!
//! The measure is the one that the seeders of Bitcoin share: each try weighs by the time since the one before, and what is
//! longer ago fades exponentially.

use savanna_book::UnixTime;

const HOUR: u32 = 60 * 60;
const DAY: u32 = 24 * HOUR;

/// What stands for the time since the try before where there was none, in seconds.
const FIRST_AGE: u32 = 1_000;

/// A length of time over which tries are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    /// Two hours.
    Hours2,
    /// Eight hours.
    Hours8,
    /// One day.
    Day,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
}

impl Window {
    /// All windows, the shortest first.
    pub const ALL: [Self; 5] = [Self::Hours2, Self::Hours8, Self::Day, Self::Week, Self::Month];

    /// Returns the length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Hours2 => 2 * HOUR,
            Self::Hours8 => 8 * HOUR,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => 30 * DAY,
        }
    }

    /// Returns the reliability above which a node is good, and the count of tries above which that may be said.
    const fn good_above(self) -> (f32, f32) {
        match self {
            Self::Hours2 => (0.85, 2.0),
            Self::Hours8 => (0.70, 4.0),
            Self::Day => (0.55, 8.0),
            Self::Week => (0.45, 16.0),
            Self::Month => (0.35, 32.0),
        }
    }
}

/// One window's sums.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sums {
    /// How much of the window is known, from 0 to 1.
    weight: f32,
    /// How many tries there were, faded.
    count: f32,
    /// How much of the window the node was there, from 0 to `weight`.
    reliability: f32,
}

impl Sums {
    const NONE: Self = Self { weight: 0.0, count: 0.0, reliability: 0.0 };

    fn note(&mut self, was_there: bool, age: u32, window: Window) {
        let kept = (-f64::from(age) / f64::from(window.seconds())).exp();
        let faded = |sum: f32, more: f64| narrow(f64::from(sum) * kept + more);
        self.reliability = faded(self.reliability, if was_there { 1.0 - kept } else { 0.0 });
        self.count = faded(self.count, 1.0);
        self.weight = faded(self.weight, 1.0 - kept);
    }

    /// Returns the reliability if the node had been there in all the time of which nothing is known.
    fn at_best(&self) -> f32 {
        self.reliability - self.weight + 1.0
    }
}

#[allow(clippy::cast_possible_truncation, reason = "seven digits are plenty for a share")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

/// How reliably a node answers.
///
/// A clock that is set back gives a try no weight, and one that is set forward makes what was before fade; neither breaks
/// anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reliability {
    sums: [Sums; Window::ALL.len()],
    tries: u32,
    successes: u32,
    last_try: UnixTime,
}

impl Default for Reliability {
    fn default() -> Self {
        Self::NEW
    }
}

impl Reliability {
    /// Of a node that was not tried.
    pub const NEW: Self =
        Self { sums: [Sums::NONE; Window::ALL.len()], tries: 0, successes: 0, last_try: UnixTime::NEVER };
    /// The length as bytes.
    pub const LEN: usize = Window::ALL.len() * 12 + 12;

    /// Notes what came of a try.
    pub fn note(&mut self, was_there: bool, now: UnixTime) {
        let age = if self.last_try == UnixTime::NEVER { FIRST_AGE } else { now.since(self.last_try) };
        for (sums, window) in self.sums.iter_mut().zip(Window::ALL) {
            sums.note(was_there, age, window);
        }
        self.last_try = now;
        self.tries = self.tries.saturating_add(1);
        self.successes = self.successes.saturating_add(u32::from(was_there));
    }

    /// Returns whether the node is good by the rules that Bitcoin's seeders share: there for long enough in one of the
    /// windows, or, in its first three tries, in half of them.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let is_new = (1..=3).contains(&self.tries);
        let by_window = |(sums, window): (&Sums, Window)| {
            let (reliability, count) = window.good_above();
            sums.reliability > reliability && sums.count > count
        };
        (is_new && self.successes * 2 >= self.tries) || self.sums.iter().zip(Window::ALL).any(by_window)
    }

    /// Returns whether the node may turn out good: it has been known for so short that a day's window cannot tell, and was there
    /// in half of that time.
    ///
    /// The shorter windows alone would refuse it for hours because of one failure.
    #[must_use]
    pub fn is_promising(&self) -> bool {
        let sums = self.sums[Window::Day as usize];
        let (reliability, _) = Window::Day.good_above();
        self.successes > 0 && sums.weight <= reliability && sums.reliability * 2.0 >= sums.weight
    }

    /// Returns whether the node is good, as far as can be told so early.
    #[must_use]
    pub fn is_good_so_far(&self) -> bool {
        self.is_good() || self.is_promising()
    }

    /// Returns for how many seconds the node is not worth a try, if so: it was absent too long, at the best one can assume.
    #[must_use]
    pub fn ignore(&self) -> Option<u32> {
        const RULES: [(Window, f32, f32, u32); 4] = [
            (Window::Month, 0.20, 2.0, 10 * DAY),
            (Window::Week, 0.16, 2.0, 3 * DAY),
            (Window::Day, 0.12, 2.0, 8 * HOUR),
            (Window::Hours8, 0.08, 2.0, 2 * HOUR),
        ];
        self.first_of(&RULES)
    }

    /// Returns for how many seconds the node is not worth its place, if so: it is the first that has to go, and what others
    /// tell of it is not heard.
    #[must_use]
    pub fn ban(&self) -> Option<u32> {
        const RULES: [(Window, f32, f32, u32); 3] =
            [(Window::Month, 0.15, 32.0, 30 * DAY), (Window::Week, 0.10, 16.0, 7 * DAY), (Window::Day, 0.05, 8.0, DAY)];
        self.first_of(&RULES)
    }

    /// Returns the seconds of the first rule that applies: a window, a reliability at best that the node is below, and a
    /// count that it is above.
    fn first_of(&self, rules: &[(Window, f32, f32, u32)]) -> Option<u32> {
        let applies = |(window, below, count, _): &&(Window, f32, f32, u32)| {
            let sums = &self.sums[*window as usize];
            sums.at_best() < *below && sums.count > *count
        };
        if self.is_good() { None } else { rules.iter().find(applies).map(|(.., seconds)| *seconds) }
    }

    /// Returns how much of a window the node was there, from 0 to 1.
    #[must_use]
    pub const fn share(&self, window: Window) -> f32 {
        self.sums[window as usize].reliability
    }

    /// Returns how many tries there were.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// Returns how many of the tries found the node there.
    #[must_use]
    pub const fn successes(&self) -> u32 {
        self.successes
    }

    /// Returns when the last try was.
    #[must_use]
    pub const fn last_try(&self) -> UnixTime {
        self.last_try
    }

    /// Follows a clock that was set back.
    pub(crate) fn set_back(&mut self, seconds: u32) {
        if self.last_try != UnixTime::NEVER {
            self.last_try = UnixTime(self.last_try.0.saturating_sub(seconds).max(1));
        }
    }

    /// Leaves out a time of which nothing is known.
    pub(crate) fn skip(&mut self, seconds: u32, now: UnixTime) {
        if self.last_try != UnixTime::NEVER {
            self.last_try = self.last_try.max(self.last_try.plus(seconds).min(now));
        }
    }

    /// Returns all of it as bytes, to be kept on disk.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let sums = self.sums.iter().flat_map(|sums| [sums.weight, sums.count, sums.reliability].map(f32::to_le_bytes));
        let rest = [self.tries, self.successes, self.last_try.0].map(u32::to_le_bytes);
        let mut bytes = [0; Self::LEN];
        for (place, word) in bytes.chunks_exact_mut(4).zip(sums.chain(rest)) {
            place.copy_from_slice(&word);
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; nothing for bytes that it never writes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut words = bytes.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]);
        let mut read = Self::default();
        for sums in &mut read.sums {
            let mut next = || words.next().map(f32::from_le_bytes);
            *sums = Sums { weight: next()?, count: next()?, reliability: next()? };
            let is_share = |share: f32| (0.0..=1.0).contains(&share);
            if !(is_share(sums.weight) && is_share(sums.reliability) && sums.count.is_finite() && sums.count >= 0.0) {
                return None;
            }
        }
        let mut next = || words.next().map(u32::from_le_bytes);
        (read.tries, read.successes, read.last_try) = (next()?, next()?, UnixTime(next()?));
        (read.successes <= read.tries).then_some(read)
    }
}

#[cfg(test)]
mod tests;

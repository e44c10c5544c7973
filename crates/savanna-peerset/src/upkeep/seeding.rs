//! When to ask the seeds.

use std::time::Duration;

/// How long the seeds are left alone after they were asked for the first time; each further one doubles it.
const FIRST_REST: Duration = Duration::from_secs(30);

/// Beyond that, seeds would carry the load of every node that is cut off.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);

/// How long a node without a peer tries what it knows, before it asks all the same.
///
/// # Security
/// A seed learns who asks, and who answers for its name chooses whom we dial: what the book knows comes first.
const PATIENCE: Duration = Duration::from_secs(15);

/// Says when to ask the seeds.
#[derive(Debug)]
pub(super) struct Seeding {
    is_asking: bool,
    not_before: Duration,
    rest: Duration,
    alone_since: Option<Duration>,
}

impl Seeding {
    pub(super) const fn new() -> Self {
        Self { is_asking: false, not_before: Duration::ZERO, rest: FIRST_REST, alone_since: None }
    }

    /// Notes whether there is a peer at all.
    pub(super) fn observe(&mut self, is_alone: bool, now: Duration) {
        match (is_alone, self.alone_since) {
            (true, None) => self.alone_since = Some(now),
            (true, Some(_)) => {}
            (false, _) => self.alone_since = None,
        }
    }

    /// Notes that there are as many peers as are wanted.
    pub(super) const fn satisfied(&mut self) {
        self.rest = FIRST_REST;
    }

    /// Begins to ask, if it is time: `is_dry` says that there is nobody left to dial.
    pub(super) fn begin(&mut self, is_dry: bool, now: Duration) -> bool {
        let is_stuck = self.alone_since.is_some_and(|since| now >= since + PATIENCE);
        if self.is_asking || now < self.not_before || !(is_dry || is_stuck) {
            return false;
        }
        self.is_asking = true;
        true
    }

    /// Notes that the seeds have answered, or have not.
    pub(super) fn end(&mut self, now: Duration) {
        self.is_asking = false;
        self.not_before = now + self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    /// Returns when [`begin`](Self::begin) is worth a call.
    pub(super) fn next(&self, is_dry: bool) -> Option<Duration> {
        if self.is_asking {
            return None;
        }
        let due = if is_dry { Some(Duration::ZERO) } else { self.alone_since.map(|since| since + PATIENCE) };
        due.map(|due| due.max(self.not_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn seeds_are_asked_when_the_book_is_dry_or_of_no_help_and_ever_more_rarely() {
        let mut seeding = Seeding::new();
        seeding.observe(true, at(5));
        assert!(!seeding.begin(false, at(5)));
        assert_eq!(seeding.next(false), Some(at(20)));
        assert!(!seeding.begin(false, at(19)) && seeding.begin(false, at(20)));
        assert!(!seeding.begin(true, at(21)));
        seeding.end(at(22));
        assert_eq!(seeding.next(true), Some(at(52)));
        assert!(!seeding.begin(true, at(51)) && seeding.begin(true, at(52)));
        seeding.end(at(52));
        assert_eq!(seeding.next(true), Some(at(112)));
        for _ in 0..20 {
            seeding.end(at(0));
        }
        assert_eq!(seeding.next(true), Some(LONGEST_REST));
        seeding.satisfied();
        seeding.observe(false, at(9));
        assert_eq!(seeding.next(false), None);
        seeding.end(at(9));
        assert_eq!(seeding.next(true), Some(at(39)));
    }
}

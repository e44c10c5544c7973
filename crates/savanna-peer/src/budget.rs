//! What a peer may send without being asked.

use std::time::Duration;

/// A token bucket that counts in time: one token is worth the time in which it grows back.
#[derive(Debug)]
pub(crate) struct Bucket {
    period: Duration,
    capacity: Duration,
    level: Duration,
    at: Duration,
}

impl Bucket {
    /// Makes a bucket with `level` tokens that holds at most `capacity` and gains one each `period`.
    pub(crate) fn new(period: Duration, capacity: u32, level: u32, now: Duration) -> Self {
        Self { period, capacity: period * capacity, level: period * level, at: now }
    }

    /// Takes `count` tokens if there are so many.
    pub(crate) fn take(&mut self, count: u32, now: Duration) -> bool {
        self.refill(now);
        match self.level.checked_sub(self.cost(count)) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }

    /// Takes as many tokens as there are, at most `count`, and returns how many.
    pub(crate) fn take_up_to(&mut self, count: u32, now: Duration) -> u32 {
        (0..count).take_while(|_| self.take(1, now)).count().try_into().unwrap_or(count)
    }

    /// Fills the bucket.
    pub(crate) const fn fill(&mut self) {
        self.level = self.capacity;
    }

    /// Returns when there will be `count` tokens, if none is taken before.
    pub(crate) fn when(&self, count: u32) -> Duration {
        self.at.saturating_add(self.cost(count).saturating_sub(self.level))
    }

    fn refill(&mut self, now: Duration) {
        let gained = now.saturating_sub(self.at);
        self.level = self.level.saturating_add(gained).min(self.capacity);
        self.at = self.at.max(now);
    }

    fn cost(&self, count: u32) -> Duration {
        self.period.saturating_mul(count)
    }
}

/// The messages and bytes that a peer may send unasked.
///
/// Answers to our questions cost nothing, and so do the peer's own questions: those wait for one another. An honest peer
/// uses a few messages a second.
///
/// # Security
/// Ends floods of pings, of unsolicited blocks, of unknown or damaged messages and of inventory.
#[derive(Debug)]
pub(crate) struct Budget {
    messages: Bucket,
    bytes: Bucket,
}

impl Budget {
    /// Messages at once, and the time in which one more is earned.
    const MESSAGES: u32 = 2_000;
    const MESSAGE_PERIOD: Duration = Duration::from_millis(20);

    /// Bytes at once, and the time in which one more is earned: 100 kB a second.
    const BYTES: u32 = 8 * 1024 * 1024;
    const BYTE_PERIOD: Duration = Duration::from_micros(10);

    /// What a damaged frame costs in messages: nobody sends many of them by accident.
    pub(crate) const DAMAGED: u32 = 10;

    pub(crate) fn new(now: Duration) -> Self {
        Self {
            messages: Bucket::new(Self::MESSAGE_PERIOD, Self::MESSAGES, Self::MESSAGES, now),
            bytes: Bucket::new(Self::BYTE_PERIOD, Self::BYTES, Self::BYTES, now),
        }
    }

    /// Charges for something unasked; returns whether the peer could afford it.
    #[must_use]
    pub(crate) fn charge(&mut self, messages: u32, bytes: usize, now: Duration) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.messages.take(messages, now) && self.bytes.take(bytes, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_at_its_rate_and_no_further_than_its_brim() {
        let second = Duration::from_secs(1);
        let mut bucket = Bucket::new(second, 3, 3, Duration::ZERO);
        assert!(bucket.take(3, Duration::ZERO) && !bucket.take(1, Duration::ZERO));
        assert_eq!(bucket.when(2), 2 * second);
        assert!(!bucket.take(2, second) && bucket.take(2, 2 * second));
        assert_eq!(bucket.take_up_to(10, 100 * second), 3);
    }
}

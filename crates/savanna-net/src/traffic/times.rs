//! How long things take, in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The greatest duration of each bucket, in microseconds; one more holds what took longer.
const MICROS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 20_000_000,
];

/// How long something took, each time that it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: [u64; MICROS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// Returns, for a number of fixed durations, how many times it took that long at most; the shortest comes first.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        MICROS.into_iter().zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((Duration::from_micros(bound), *sum))
        })
    }

    /// Returns how many times it happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns how long it took in all.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }
}

/// A histogram that is being added to.
#[derive(Debug, Default)]
pub(super) struct Times {
    counts: [AtomicU64; MICROS.len() + 1],
    micros: AtomicU64,
}

impl Times {
    pub(super) fn add(&self, took: Duration) {
        // Rounded up, so that what is over a bound stays over it.
        let micros = u64::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let bucket = MICROS.partition_point(|bound| *bound < micros);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Histogram {
        let counts = std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed));
        Histogram { counts, sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_where_it_is_no_longer_than_the_bound() {
        let times = Times::default();
        let took = [
            Duration::ZERO,
            Duration::from_micros(250),
            Duration::from_nanos(250_001),
            Duration::from_secs(20),
            Duration::from_secs(3600),
        ];
        took.into_iter().for_each(|took| times.add(took));
        let read = times.read();
        let within = |limit| read.buckets().find(|(bound, _)| *bound == limit).unwrap().1;
        assert_eq!(within(Duration::from_micros(250)), 2);
        assert_eq!(within(Duration::from_micros(500)), 3);
        assert_eq!(within(Duration::from_secs(5)), 3);
        assert_eq!(within(Duration::from_secs(20)), 4);
        assert_eq!(read.count(), 5);
        assert_eq!(read.sum(), Duration::from_micros(250 + 251) + Duration::from_secs(3620));
        assert!(MICROS.is_sorted());
    }
}

//! Samples, their medians, and the clocks they are read from.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Measurements of one thing, in the order in which they were made.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    /// Returns the middle sample, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[odd / 2],
            even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
        }
    }

    /// Returns how far the samples lie apart, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (most - least) / self.median()
    }

    pub(crate) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }
}

/// Returns the CPU time that this thread has used. Unlike wall time it does not grow while others use the core.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Returns the CPU time that all threads of this process have used.
pub(crate) fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// What a stretch of work took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// Measures wall time and this process's CPU time from its making on.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: process_cpu() }
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: process_cpu().saturating_sub(self.cpu) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Samples(vec![9.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Samples(vec![4.0, 1.0, 2.0, 100.0]).median(), 3.0);
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn work_costs_cpu_time_and_sleep_does_not() {
        let watch = Stopwatch::start();
        let until = Instant::now() + Duration::from_millis(30);
        let mut turns = 0_u64;
        while Instant::now() < until {
            turns = std::hint::black_box(turns + 1);
        }
        let worked = watch.spent();
        assert!(worked.cpu > Duration::ZERO && worked.wall >= Duration::from_millis(30));
    }
}

//! The node's clocks, and the scale on which sessions count.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use savanna_peer::Now;

/// Tells sessions the time: one origin for all connections of a node.
///
/// The monotonic part follows tokio's clock, so it stands still where a test pauses that. The Unix part is read anew each
/// time, because the system's clock may be set.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    rehearsal: Option<Rehearsal>,
}

#[derive(Debug, Clone, Copy)]
struct Rehearsal {
    begins: i64,
    times: u32,
}

impl Clock {
    /// Starts counting.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now(), rehearsal: None }
    }

    /// Starts a clock for rehearsals: its Unix part begins at `begins`, and runs so many times as fast as the monotonic one. So
    /// what takes days can be shown within a minute, over connections whose deadlines stay as they are.
    #[must_use]
    pub fn rehearse(begins: i64, times: u32) -> Self {
        Self { origin: Instant::now(), rehearsal: Some(Rehearsal { begins, times }) }
    }

    /// Returns the present moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let monotonic = self.origin.elapsed();
        let unix = self.rehearsal.map_or_else(system_time, |rehearsal| {
            let passed = monotonic.saturating_mul(rehearsal.times).as_secs();
            rehearsal.begins.saturating_add_unsigned(passed)
        });
        Now { monotonic, unix }
    }

    /// Returns the instant of a deadline on the scale of [`Now::monotonic`].
    #[must_use]
    pub fn instant(&self, monotonic: Duration) -> Instant {
        self.origin + monotonic.min(FAR)
    }
}

fn system_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Further than any deadline, and near enough for every platform's instants.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_stands_still_with_tokio_and_has_one_scale() {
        let clock = Clock::start();
        assert_eq!(clock.now().monotonic, Duration::ZERO);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now().monotonic, Duration::from_millis(1500));
        assert_eq!(clock.instant(clock.now().monotonic), Instant::now());
        assert!(clock.now().unix > 1_700_000_000);
        let _ = clock.instant(Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rehearsal_runs_faster_and_its_deadlines_do_not() {
        let clock = Clock::rehearse(1_800_000_000, 400);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now(), Now { monotonic: Duration::from_millis(1500), unix: 1_800_000_600 });
        assert_eq!(clock.instant(clock.now().monotonic), Instant::now());
    }
}

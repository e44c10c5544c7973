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
}

impl Clock {
    /// Starts counting.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Returns the present moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Now { monotonic: self.origin.elapsed(), unix: i64::try_from(unix).unwrap_or(i64::MAX) }
    }

    /// Returns the instant of a deadline on the scale of [`Now::monotonic`].
    #[must_use]
    pub fn instant(&self, monotonic: Duration) -> Instant {
        self.origin + monotonic.min(FAR)
    }
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
}

//! The node's clocks, and the scale on which sessions count.

use std::sync::atomic::{AtomicI64, Ordering};
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
    calendar: Calendar,
}

/// Where the Unix part comes from.
#[derive(Debug, Clone, Copy)]
enum Calendar {
    System,
    Rehearsed { begins: i64, times: u32 },
    Told(&'static AtomicI64),
}

impl Clock {
    /// Starts counting.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now(), calendar: Calendar::System }
    }

    /// Starts a clock for rehearsals: its Unix part begins at `begins`, and runs so many times as fast as the monotonic one. So
    /// what takes days can be shown within a minute, over connections whose deadlines stay as they are.
    #[must_use]
    pub fn rehearse(begins: i64, times: u32) -> Self {
        Self { origin: Instant::now(), calendar: Calendar::Rehearsed { begins, times } }
    }

    /// Starts a clock for rehearsals whose Unix part is what `unix` says: so a slow machine sees the same as a fast one.
    #[must_use]
    pub fn told(unix: &'static AtomicI64) -> Self {
        Self { origin: Instant::now(), calendar: Calendar::Told(unix) }
    }

    /// Returns the present moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let monotonic = self.origin.elapsed();
        let unix = match self.calendar {
            Calendar::System => system_time(),
            Calendar::Rehearsed { begins, times } => {
                begins.saturating_add_unsigned(monotonic.saturating_mul(times).as_secs())
            }
            Calendar::Told(unix) => unix.load(Ordering::Relaxed),
        };
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
    async fn a_rehearsal_has_its_own_calendar_and_the_deadlines_of_others() {
        static UNIX: AtomicI64 = AtomicI64::new(1_800_000_000);
        let (clock, faster) = (Clock::told(&UNIX), Clock::rehearse(1_800_000_000, 400));
        UNIX.fetch_add(86_400, Ordering::Relaxed);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(clock.now(), Now { monotonic: Duration::from_millis(1500), unix: 1_800_086_400 });
        assert_eq!(faster.now(), Now { monotonic: Duration::from_millis(1500), unix: 1_800_000_600 });
        assert_eq!(clock.instant(clock.now().monotonic), Instant::now());
    }
}

//! A clock that stands still while it is not the peer that keeps us waiting.

use std::time::Duration;

/// The most that deadlines are put off after a stop, so that what piled up meanwhile is read first.
const GRACE: Duration = Duration::from_secs(1);

/// Measures how long a peer has kept us waiting.
///
/// While we do not read, the peer's answers cannot reach us, so the clock stops. When it goes on, no deadline passes until
/// as long as the stop lasted, at most [`GRACE`], has gone by: what had arrived meanwhile is read before anyone is judged.
/// A stop that lasts no time gains the peer none.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    stopped_at: Option<Duration>,
    lost: Duration,
    held_until: Duration,
}

impl Patience {
    /// Returns the time on this clock.
    pub(crate) fn read(&self, now: Duration) -> Duration {
        self.stopped_at.unwrap_or(now).saturating_sub(self.lost)
    }

    /// Stops the clock, unless it stands still already.
    pub(crate) fn stop(&mut self, now: Duration) {
        self.stopped_at.get_or_insert(now);
    }

    /// Lets the clock go on, if it was stopped.
    pub(crate) fn go_on(&mut self, now: Duration) {
        if let Some(since) = self.stopped_at.take() {
            let stop = now.saturating_sub(since);
            self.lost += stop;
            self.held_until = self.held_until.max(self.read(now).saturating_add(stop.min(GRACE)));
        }
    }

    /// Returns whether a deadline on this clock has passed.
    pub(crate) fn is_due(&self, deadline: Duration, now: Duration) -> bool {
        self.stopped_at.is_none() && self.read(now) >= deadline.max(self.held_until)
    }

    /// Returns when a deadline on this clock passes, if the clock is not stopped before.
    pub(crate) fn when(&self, deadline: Duration) -> Duration {
        deadline.max(self.held_until).saturating_add(self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_stop_moves_deadlines_by_its_length_and_leaves_time_to_read() {
        let mut clock = Patience::default();
        let deadline = ms(100);
        clock.stop(ms(99));
        assert!(!clock.is_due(deadline, ms(5_000)));
        clock.go_on(ms(5_099));
        assert_eq!(clock.when(deadline), ms(6_099));
        assert!(!clock.is_due(deadline, ms(6_098)));
        assert!(clock.is_due(deadline, ms(6_099)));
    }

    #[test]
    fn stops_of_no_length_gain_nothing() {
        let mut clock = Patience::default();
        for now in 0..100 {
            clock.stop(ms(now));
            clock.go_on(ms(now));
        }
        assert!(clock.is_due(ms(100), ms(100)));
    }
}

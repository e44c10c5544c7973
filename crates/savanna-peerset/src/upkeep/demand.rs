//! How many peers the requests need.

use std::time::Duration;

use crate::PeerCounts;

/// How long every peer must have been busy for one more to be wanted.
const GROW_AFTER: Duration = Duration::from_secs(2);

/// How long some peer must have been idle for one less to be wanted.
const SHRINK_AFTER: Duration = Duration::from_secs(120);

/// Lets the number of peers that are wanted rise and fall with how busy they are.
#[derive(Debug)]
pub(super) struct Demand {
    least: usize,
    most: usize,
    target: usize,
    is_busy: bool,
    since: Duration,
}

impl Demand {
    pub(super) const fn new(least: usize, most: usize) -> Self {
        Self {
            least,
            most: if most < least { least } else { most },
            target: least,
            is_busy: false,
            since: Duration::ZERO,
        }
    }

    pub(super) const fn target(&self) -> usize {
        self.target
    }

    /// Notes how many peers take more questions.
    pub(super) fn observe(&mut self, counts: PeerCounts, now: Duration) {
        let is_busy = counts.total() > 0 && counts.ready == 0;
        if is_busy != self.is_busy {
            (self.is_busy, self.since) = (is_busy, now);
        }
    }

    /// Lets the target follow what has been for long enough. Peers that are still to come are waited for: `connected` is
    /// how many there are.
    pub(super) fn settle(&mut self, connected: usize, now: Duration) {
        while let Some(when) = self.next()
            && when <= now
        {
            self.since = when;
            if !self.is_busy {
                self.target -= 1;
            } else if connected >= self.target {
                self.target += 1;
                return;
            } else {
                self.since = now;
                return;
            }
        }
    }

    /// Returns when [`settle`](Self::settle) is to be called next.
    pub(super) fn next(&self) -> Option<Duration> {
        match self.is_busy {
            true => (self.target < self.most).then_some(self.since + GROW_AFTER),
            false => (self.target > self.least).then_some(self.since + SHRINK_AFTER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_target_rises_while_all_are_busy_and_falls_again() {
        let mut demand = Demand::new(3, 5);
        let (busy, idle) = (PeerCounts { ready: 0, unready: 3 }, PeerCounts { ready: 1, unready: 2 });
        assert_eq!(demand.next(), None);
        demand.observe(busy, at(0));
        demand.settle(3, at(1));
        assert_eq!((demand.target(), demand.next()), (3, Some(at(2))));
        demand.settle(3, at(2));
        assert_eq!(demand.target(), 4);
        // The fourth has not come: wanting a fifth would not bring it sooner.
        demand.settle(3, at(100));
        assert_eq!(demand.target(), 4);
        demand.settle(4, at(102));
        demand.settle(5, at(200));
        assert_eq!((demand.target(), demand.next()), (5, None));

        demand.observe(idle, at(200));
        demand.settle(5, at(319));
        assert_eq!(demand.target(), 5);
        demand.settle(5, at(320));
        assert_eq!(demand.target(), 4);
        demand.settle(5, at(10_000));
        assert_eq!((demand.target(), demand.next()), (3, None));
        demand.observe(PeerCounts::default(), at(10_000));
        demand.settle(0, at(20_000));
        assert_eq!(demand.target(), 3);
    }
}

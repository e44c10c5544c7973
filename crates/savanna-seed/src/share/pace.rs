//! When the database is asked again.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// How long after the first failure it is tried again; after each further one twice as long.
const FIRST_REST: Duration = Duration::from_secs(1);

/// How long it rests at most.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Says when the next round is, and when to try again after a failure.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    failures: u32,
    rng: ChaCha8Rng,
}

impl Pace {
    pub(super) fn new(every: Duration, seed: [u8; 32]) -> Self {
        Self { every, failures: 0, rng: ChaCha8Rng::from_seed(seed) }
    }

    /// Notes a round that went well, and returns how long until the next: a tenth more or less each time, so that vantage
    /// points that were started together do not stay together.
    pub(super) fn worked(&mut self) -> Duration {
        self.failures = 0;
        self.every.mul_f64(0.9 + 0.2 * self.draw())
    }

    /// Notes a failure, and returns how long to rest: between half of it and all of it, so that those who lost the same
    /// database do not all come back at once. What only a person can put right is looked at as rarely as can be.
    pub(super) fn failed(&mut self, needs_a_person: bool) -> Duration {
        let doubled = FIRST_REST.saturating_mul(1 << self.failures.min(16)).min(LONGEST_REST);
        self.failures = self.failures.saturating_add(1);
        let rest = if needs_a_person { LONGEST_REST } else { doubled };
        rest.mul_f64(0.5 + 0.5 * self.draw())
    }

    fn draw(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    #[test]
    fn rests_double_up_to_a_minute_and_begin_anew_once_it_works() {
        let mut pace = Pace::new(EVERY, [7; 32]);
        for most in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let (rest, most) = (pace.failed(false), Duration::from_secs(most));
            assert!(rest >= most / 2 && rest <= most, "{rest:?} of {most:?}");
        }
        for _ in 0..100 {
            let rest = pace.worked();
            assert!(rest >= EVERY.mul_f64(0.9) && rest <= EVERY.mul_f64(1.1), "{rest:?}");
        }
        assert!(pace.failed(false) <= FIRST_REST);
        assert!(pace.failed(true) >= LONGEST_REST / 2);
    }

    #[test]
    fn two_that_lost_the_same_database_do_not_come_back_together() {
        let rests = |seed| {
            let mut pace = Pace::new(EVERY, [seed; 32]);
            std::array::from_fn::<_, 5, _>(|_| pace.failed(false))
        };
        assert!(rests(1).iter().zip(rests(2)).all(|(one, other)| *one != other));
        assert_eq!(rests(3), rests(3));
    }
}

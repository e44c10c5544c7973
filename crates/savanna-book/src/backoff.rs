//! How long an address is left alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::time::DAY;

/// How long an address rests after failures, in seconds.
///
/// # Security
/// Jitter keeps a crowd of nodes from dialling a returning peer all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure; each further one doubles it.
    pub first: u32,
    /// The most; a day is the most that counts.
    pub longest: u32,
}

impl Backoff {
    /// Draws the rest after `failures` in a row: three to five quarters of what they amount to.
    pub(crate) fn rest(self, failures: u8, rng: &mut ChaCha8Rng) -> u32 {
        let doublings = u32::from(failures.saturating_sub(1).min(31));
        let rest = u64::from(self.first).saturating_mul(1 << doublings).min(u64::from(self.longest.min(DAY)));
        jittered(u32::try_from(rest).unwrap_or(DAY), rng)
    }
}

/// Draws from three to five quarters of `seconds`.
pub(crate) fn jittered(seconds: u32, rng: &mut ChaCha8Rng) -> u32 {
    let least = seconds - seconds / 4;
    least.saturating_add(below(seconds / 2 + 1, rng))
}

/// Draws a number below `bound`, or 0 if there is none.
pub(crate) fn below(bound: u32, rng: &mut ChaCha8Rng) -> u32 {
    let scaled = u64::from(rng.next_u32()) * u64::from(bound);
    (scaled >> 32) as u32
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn rests_double_up_to_the_longest_and_never_overflow() {
        let mut rng = ChaCha8Rng::from_seed([7; 32]);
        let backoff = Backoff { first: 60, longest: 30_000 };
        for (failures, rest) in [(0, 60), (1, 60), (2, 120), (5, 960), (10, 30_000), (255, 30_000)] {
            for _ in 0..100 {
                let drawn = backoff.rest(failures, &mut rng);
                assert!(drawn >= rest * 3 / 4 && drawn <= rest * 5 / 4 + 1, "{failures}: {drawn}");
            }
        }
        let endless = Backoff { first: u32::MAX, longest: u32::MAX };
        assert!((DAY / 4 * 3..=DAY / 4 * 5).contains(&endless.rest(255, &mut rng)));
    }
}

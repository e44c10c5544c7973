//! How often the network is asked again.

use std::time::Duration;

/// What may be asked a second time: a token bucket that first questions and time fill.
///
/// # Security
/// Peers that fail cannot make us ask the rest of the network without end: beyond a burst and a trickle, repeated questions
/// stay a fixed part of the first ones.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// In thousandths of a retry.
    level: u64,
    at: Duration,
}

impl RetryBudget {
    /// What one retry costs.
    const COST: u64 = 1_000;
    /// What each first question earns: a fifth of a retry.
    const EARNED: u64 = 200;
    /// How many retries at most are saved up, and are there to begin with.
    pub(crate) const BURST: u64 = 100;
    /// The time in which a retry is earned by waiting.
    pub(crate) const PERIOD: Duration = Duration::from_millis(100);

    pub(crate) const fn new(now: Duration) -> Self {
        Self { level: Self::BURST * Self::COST, at: now }
    }

    /// Notes a first question.
    pub(crate) fn earn(&mut self) {
        self.level = (self.level + Self::EARNED).min(Self::BURST * Self::COST);
    }

    /// Returns whether a retry can be afforded.
    pub(crate) fn affords(&mut self, now: Duration) -> bool {
        let parts = now.saturating_sub(self.at).as_micros() / (Self::PERIOD.as_micros() / u128::from(Self::COST));
        let parts = u64::try_from(parts).unwrap_or(u64::MAX);
        if parts > 0 {
            self.level = self.level.saturating_add(parts).min(Self::BURST * Self::COST);
            self.at = now;
        }
        self.level >= Self::COST
    }

    /// Pays for a retry, as far as there is something to pay with.
    pub(crate) const fn pay(&mut self) {
        self.level = self.level.saturating_sub(Self::COST);
    }

    /// Returns when the next retry can be afforded.
    pub(crate) fn when(&self) -> Duration {
        let lacking = Self::COST.saturating_sub(self.level);
        self.at + Self::PERIOD.mul_f64(lacking as f64 / Self::COST as f64) + Duration::from_micros(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_a_part_of_first_questions() {
        let mut budget = RetryBudget::new(Duration::ZERO);
        let mut retries = 0;
        let mut drain = |budget: &mut RetryBudget, now| {
            let before = retries;
            while budget.affords(now) {
                budget.pay();
                retries += 1;
            }
            retries - before
        };
        assert_eq!(drain(&mut budget, Duration::ZERO), RetryBudget::BURST);
        for _ in 0..50 {
            budget.earn();
        }
        assert_eq!(drain(&mut budget, Duration::ZERO), 10);
        let when = budget.when();
        assert_eq!(drain(&mut budget, when), 1);
        assert_eq!(drain(&mut budget, Duration::from_secs(1000)), RetryBudget::BURST);
    }
}

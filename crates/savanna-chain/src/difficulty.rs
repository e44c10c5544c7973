//! What a header's ancestors demand of it: its target, and when it may have been mined.

use std::collections::VecDeque;

use ethnum::U256;
use thiserror::Error;

use crate::{Parameters, Target};

#[cfg(test)]
mod tests;

/// Over how many headers a median of times is taken.
const MEDIAN_SPAN: usize = 11;

/// The most headers below a candidate that the rules look at: the longest averaging window, and a median below it.
pub const CONTEXT_LEN: usize = 102 + MEDIAN_SPAN;

/// By how many seconds a block may be ahead of the median of its ancestors.
const MAX_AHEAD_OF_MEDIAN: u32 = 90 * 60;

/// By how many seconds a block may be ahead of our clock.
pub const MAX_AHEAD_OF_CLOCK: u64 = 2 * 60 * 60;

/// Which part of a deviation from the timespan that is meant counts.
const DAMPING: i64 = 4;

/// The bounds of the timespan that counts, in percent of the one that is meant.
const LEAST_TIMESPAN: i64 = 100 - 16;
const MOST_TIMESPAN: i64 = 100 + 32;

/// A header that its ancestors, or our clock, do not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContextError {
    /// Its target is not the one that its place in the chain demands.
    #[error("the target is {found:#010x} where its ancestors demand {expected:#010x}")]
    Bits {
        /// The target that is demanded, in compact form.
        expected: u32,
        /// The target of the header, in compact form.
        found: u32,
    },
    /// It is no later than the median of its ancestors.
    #[error("its time is {by} seconds at or before the median of its ancestors")]
    TooOld {
        /// How many seconds before.
        by: u32,
    },
    /// It is more than 90 minutes later than the median of its ancestors.
    #[error("its time is {by} seconds further ahead of its ancestors than allowed")]
    TooFarAhead {
        /// How many seconds too far.
        by: u32,
    },
    /// It is more than two hours ahead of our clock. Everything else is right, so it may be the clock that is wrong.
    #[error("its time is {by} seconds further ahead of our clock than allowed")]
    Future {
        /// How many seconds too far.
        by: u64,
    },
    /// Too few of its ancestors are known for a judgement.
    #[error("{known} of its ancestors are known, {needed} are needed")]
    TooFewKnown {
        /// How many are known.
        known: usize,
        /// How many there have to be.
        needed: usize,
    },
}

impl ContextError {
    /// Returns whether the header breaks a rule whoever looks at it, and whenever.
    ///
    /// # Security
    /// If not, it is our clock or our knowledge that may be at fault: a peer must not be punished for it, and the hash must
    /// not be marked as bad.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::Bits { .. } | Self::TooOld { .. } | Self::TooFarAhead { .. } => true,
            Self::Future { .. } | Self::TooFewKnown { .. } => false,
        }
    }
}

/// What the rules need to know of the headers below a candidate: times and targets of up to [`CONTEXT_LEN`] of them.
///
/// It takes a kilobyte, depends on nothing, and goes on from header to header, so a thread can be given one to check a run of
/// headers before any proof of them is looked at.
///
/// Sources: the Zcash protocol specification, sections 7.6 and 7.7.3; ZIP-205, ZIP-208 and ZIP-218.
#[derive(Debug, Clone)]
pub struct Context {
    parameters: Parameters,
    /// The height of the candidate's parent.
    below: u32,
    /// Times and compact targets, the parent's first.
    recent: VecDeque<(u32, u32)>,
    /// How many of the targets are averaged for the candidate.
    window: usize,
    /// The sum of as many targets.
    sum: Sum,
}

impl Context {
    /// Makes the context of the child of the header at `below`, from time and compact target of that header and those under
    /// it, the highest first.
    ///
    /// # Errors
    /// [`ContextError::TooFewKnown`] where fewer than [`CONTEXT_LEN`] come and the last is not the first of the chain.
    pub fn new(
        parameters: Parameters,
        below: u32,
        newest_first: impl IntoIterator<Item = (u32, u32)>,
    ) -> Result<Self, ContextError> {
        let recent: VecDeque<(u32, u32)> = newest_first.into_iter().take(CONTEXT_LEN).collect();
        let (known, needed) = (recent.len(), (below as usize).saturating_add(1).min(CONTEXT_LEN));
        if known < needed {
            return Err(ContextError::TooFewKnown { known, needed });
        }
        let mut context = Self { parameters, below, recent, window: 0, sum: Sum::default() };
        context.add_up();
        Ok(context)
    }

    /// Returns the height of the candidate.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.below.saturating_add(1)
    }

    /// Returns the target, in compact form, that a candidate of `time` has to have.
    #[must_use]
    pub fn expected_bits(&self, time: u32) -> u32 {
        let limit = self.parameters.proof_of_work.limit();
        if !self.parameters.retargets || self.is_late(time) {
            return limit.to_compact();
        }
        self.threshold().min(limit).to_compact()
    }

    /// Returns the median of the times of the candidate's eleven nearest ancestors; of an even number, the later of the two
    /// in the middle.
    #[must_use]
    pub fn median_time(&self) -> u32 {
        self.median_below(0)
    }

    /// Checks a candidate's time and compact target; `now` is our clock in Unix seconds.
    ///
    /// # Errors
    /// [`ContextError`] names the first rule that is broken. Our clock comes last.
    pub fn check(&self, time: u32, bits: u32, now: u64) -> Result<(), ContextError> {
        let median = self.median_time();
        if time <= median {
            return Err(ContextError::TooOld { by: median - time });
        }
        if self.parameters.limits_time(self.height()) && time - median > MAX_AHEAD_OF_MEDIAN {
            return Err(ContextError::TooFarAhead { by: time - median - MAX_AHEAD_OF_MEDIAN });
        }
        let expected = self.expected_bits(time);
        if bits != expected {
            return Err(ContextError::Bits { expected, found: bits });
        }
        match u64::from(time).saturating_sub(now.saturating_add(MAX_AHEAD_OF_CLOCK)) {
            0 => Ok(()),
            by => Err(ContextError::Future { by }),
        }
    }

    /// Goes on to the child of the candidate, which had this time and compact target.
    pub fn push(&mut self, time: u32, bits: u32) {
        let leaving = self.window.checked_sub(1).and_then(|last| self.recent.get(last)).copied();
        self.recent.truncate(CONTEXT_LEN - 1);
        self.recent.push_front((time, bits));
        self.below = self.height();
        if self.parameters.averaging_window(self.height()) == self.window {
            self.sum.add(target(bits));
            leaving.into_iter().for_each(|(_, bits)| self.sum.subtract(target(bits)));
        } else {
            self.add_up();
        }
    }

    fn add_up(&mut self) {
        self.window = self.parameters.averaging_window(self.height());
        self.sum = Sum::default();
        self.recent.iter().take(self.window).for_each(|&(_, bits)| self.sum.add(target(bits)));
    }

    fn is_late(&self, time: u32) -> bool {
        let gap = self.parameters.min_difficulty_gap(self.height());
        gap.zip(self.recent.front()).is_some_and(|(gap, &(parent, _))| time.saturating_sub(parent) > gap)
    }

    fn threshold(&self) -> Target {
        let is_early = self.height() as usize <= self.window;
        if is_early && self.parameters.begins_at_limit {
            return self.parameters.proof_of_work.limit();
        }
        let meant = i64::from(self.parameters.spacing(self.height())) * self.window as i64;
        let damped = meant + (self.timespan() - meant) / DAMPING;
        let bounded = damped.clamp(meant * LEAST_TIMESPAN / 100, meant * MOST_TIMESPAN / 100);
        let mean =
            if is_early { self.parameters.proof_of_work.limit().value() } else { self.sum.divided_by(self.window) };
        Target::new((mean / U256::from(meant.unsigned_abs())).saturating_mul(U256::from(bounded.unsigned_abs())))
    }

    /// Returns the seconds from the median below the window to the median at its top.
    fn timespan(&self) -> i64 {
        let oldest = self.recent.len().saturating_sub(1);
        i64::from(self.median_below(0)) - i64::from(self.median_below(self.window.min(oldest)))
    }

    fn median_below(&self, skipped: usize) -> u32 {
        let mut times = [0; MEDIAN_SPAN];
        let mut count = 0;
        for (place, &(time, _)) in times.iter_mut().zip(self.recent.iter().skip(skipped)) {
            *place = time;
            count += 1;
        }
        times[..count].sort_unstable();
        times[count / 2]
    }
}

/// Returns the target that checked bits stand for.
fn target(bits: u32) -> U256 {
    Target::from_compact(bits).map_or(U256::ZERO, Target::value)
}

/// A sum of targets. Easy ones are above 2^250, so 102 of them need more than 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum {
    high: u64,
    low: U256,
}

impl Default for Sum {
    fn default() -> Self {
        Self { high: 0, low: U256::ZERO }
    }
}

impl Sum {
    fn add(&mut self, target: U256) {
        let (low, carries) = self.low.overflowing_add(target);
        *self = Self { high: self.high + u64::from(carries), low };
    }

    fn subtract(&mut self, target: U256) {
        let (low, borrows) = self.low.overflowing_sub(target);
        *self = Self { high: self.high - u64::from(borrows), low };
    }

    /// Returns the sum of `count` targets divided by `count`, rounded down.
    fn divided_by(&self, count: usize) -> U256 {
        let divisor = count as u128;
        // Each target has 256 bits at most, so the part above them is below the divisor, and so is each remainder.
        let mut remainder = u128::from(self.high);
        let mut divide = |word: u128| {
            let [upper, lower] = [word >> 64, word & u128::from(u64::MAX)].map(|half| {
                let dividend = remainder << 64 | half;
                remainder = dividend % divisor;
                dividend / divisor
            });
            upper << 64 | lower
        };
        let (high, low) = self.low.into_words();
        let high = divide(high);
        U256::from_words(high, divide(low))
    }
}

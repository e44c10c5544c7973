//! Blocks whose headers are there and whose bodies nobody delivers.

use std::collections::BTreeMap;
use std::time::Duration;

use savanna_wire::BlockHash;

/// How long a block is set aside; it doubles with each time, so many times.
const FIRST: Duration = Duration::from_secs(5);
const MAX_DOUBLINGS: u32 = 6;

/// How many are remembered; beyond them the one that was set aside longest ago is forgotten, and let in again.
const MAX_DEFERRED: usize = 64;

/// What is set aside, and until when.
#[derive(Debug, Default)]
pub(super) struct Deferred(BTreeMap<BlockHash, Rest>);

#[derive(Debug)]
struct Rest {
    until: Duration,
    times: u32,
    is_out: bool,
}

impl Deferred {
    /// Sets a block aside, and returns one that is to be let in again for want of room.
    pub(super) fn add(&mut self, hash: BlockHash, now: Duration) -> Option<BlockHash> {
        let times = self.0.get(&hash).map_or(0, |rest| rest.times + 1);
        let is_full = self.0.len() >= MAX_DEFERRED && times == 0;
        let oldest = self.0.iter().min_by_key(|(_, rest)| (rest.is_out, rest.until)).map(|(&hash, _)| hash);
        let oldest = oldest.filter(|_| is_full);
        let let_in = oldest.and_then(|hash| self.0.remove_entry(&hash)).filter(|(_, rest)| rest.is_out);
        self.0.insert(hash, Rest { until: now + FIRST * (1 << times.min(MAX_DOUBLINGS)), times, is_out: true });
        let_in.map(|(hash, _)| hash)
    }

    /// Forgets all but those that are to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(BlockHash) -> bool) {
        self.0.retain(|&hash, _| keep(hash));
    }

    /// Returns what is to be let in again.
    pub(super) fn wake(&mut self, now: Duration) -> Vec<BlockHash> {
        let due = self.0.iter_mut().filter(|(_, rest)| rest.is_out && rest.until <= now);
        due.map(|(hash, rest)| {
            rest.is_out = false;
            *hash
        })
        .collect()
    }

    pub(super) fn wakes_at(&self) -> Option<Duration> {
        self.0.values().filter(|rest| rest.is_out).map(|rest| rest.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_the_one_longest_aside_is_let_in_again() {
        let (mut deferred, block) = (Deferred::default(), |number: u8| BlockHash([number; 32]));
        for number in 0..200 {
            let let_in = deferred.add(block(number), Duration::from_millis(number.into()));
            let expected = usize::from(number).checked_sub(MAX_DEFERRED).map(|_| number - 64);
            assert_eq!(let_in, expected.map(block));
            assert!(deferred.0.len() <= MAX_DEFERRED);
        }
        assert_eq!(deferred.wake(Duration::from_secs(6)).len(), MAX_DEFERRED);
        assert_eq!(deferred.add(block(200), Duration::from_secs(6)), None, "it was in already");
        deferred.retain(|hash| hash == block(200));
        assert_eq!(deferred.0.len(), 1);
    }
}

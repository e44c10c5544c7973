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
    pub(super) fn add(&mut self, hash: BlockHash, now: Duration) {
        let times = self.0.get(&hash).map_or(0, |rest| rest.times + 1);
        if self.0.len() >= MAX_DEFERRED
            && times == 0
            && let Some(&first) =
                self.0.iter().filter(|(_, rest)| !rest.is_out).min_by_key(|(_, rest)| rest.until).map(|(hash, _)| hash)
        {
            self.0.remove(&first);
        }
        self.0.insert(hash, Rest { until: now + FIRST * (1 << times.min(MAX_DOUBLINGS)), times, is_out: true });
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

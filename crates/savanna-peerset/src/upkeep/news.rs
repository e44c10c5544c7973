//! Whether blocks still come.

use std::collections::VecDeque;
use std::time::Duration;

use savanna_wire::BlockHash;

use super::STALE_AFTER;

/// How many blocks that peers told of are remembered, to know which one is new.
const MAX_TOLD: usize = 64;

/// When blocks were told of, asked for and delivered last.
#[derive(Debug, Default)]
pub(super) struct News {
    told: VecDeque<BlockHash>,
    announced: Option<Duration>,
    asked: Option<Duration>,
    delivered: Option<Duration>,
}

impl News {
    /// Notes that a peer tells of a block; returns whether nobody did so before.
    pub(super) fn announced(&mut self, block: BlockHash, now: Duration) -> bool {
        if self.told.contains(&block) {
            return false;
        }
        self.told.truncate(MAX_TOLD - 1);
        self.told.push_front(block);
        self.announced = Some(now);
        true
    }

    /// Notes that a peer was asked for blocks, headers or hashes of blocks.
    pub(super) fn asked(&mut self, at: Duration) {
        self.asked = self.asked.max(Some(at));
    }

    /// Notes that a peer delivered some.
    pub(super) fn delivered(&mut self, at: Duration) {
        self.delivered = self.delivered.max(Some(at));
    }

    /// Returns when blocks came last.
    ///
    /// # Security
    /// Who invents blocks can tell of one for ever, so that nobody looks for better peers. As long as the node asks for blocks,
    /// only what is delivered counts.
    pub(super) fn latest(&self, now: Duration) -> Option<Duration> {
        let asks = self.asked.is_some_and(|asked| now < asked + STALE_AFTER);
        if asks && self.asked > self.delivered { self.delivered } else { self.announced.max(self.delivered) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn block(number: u8) -> BlockHash {
        BlockHash([number; 32])
    }

    #[test]
    fn what_is_told_counts_for_who_does_not_ask_and_what_is_delivered_for_who_does() {
        let mut news = News::default();
        assert_eq!(news.latest(at(0)), None);
        assert!(news.announced(block(1), at(10)) && !news.announced(block(1), at(20)));
        assert_eq!(news.latest(at(20)), Some(at(10)));
        news.asked(at(100));
        news.delivered(at(101));
        assert_eq!(news.latest(at(102)), Some(at(101)));
        // It asks on, and all that comes is told.
        for second in 200..2000 {
            news.asked(at(second));
            news.announced(block((second % 251) as u8), at(second));
            assert_eq!(news.latest(at(second)), Some(at(101)));
        }
        assert!(news.told.len() <= MAX_TOLD);
        // It asks no more.
        assert_eq!(news.latest(at(1999) + STALE_AFTER), Some(at(1999)));
    }
}

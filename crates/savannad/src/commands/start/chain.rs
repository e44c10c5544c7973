//! What the node knows of its own chain: how far it is, how fast, and what is in the way.

use std::collections::VecDeque;
use std::time::Instant;

use savanna_store::Tip;
use savanna_sync::download::DownloadCounts;
use savanna_sync::{Progress, Trouble};

use crate::telemetry::TROUBLES;

/// Over how many seconds, at most, the rate is reckoned.
const RATE_OVER: usize = 10;

/// The chain as it is at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// The last block that is kept.
    pub(super) tip: Option<Tip>,
    /// The height of the best chain that is known.
    pub(super) target: u32,
    /// Whether the archive is whole to the tip, as far as peers tell.
    pub(super) is_synced: bool,
    /// Whether nobody follows the chain for the moment.
    is_stopped: bool,
    /// The tip that is worth announcing.
    pub(super) news: Option<Tip>,
    /// How many blocks, and bytes of blocks, were stored since the start.
    pub(super) blocks: u64,
    pub(super) bytes: u64,
    pub(super) reorganisations: u64,
    /// How the download goes, since the chain was last taken up.
    pub(super) download: DownloadCounts,
    /// What the disk suffers from.
    disk: Option<Complaint>,
    /// What following the chain suffers from.
    following: Option<Complaint>,
    /// What is wrong with the clock, by what peers' clocks say.
    clock: Option<Complaint>,
    /// What was stored before the chain was last taken up.
    before: (u64, u64),
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    blocks: u64,
    bytes: u64,
}

/// What is in the way, in a sentence that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) kind: Kind,
    pub(super) sentence: String,
}

/// Kinds of trouble, which are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NoPeers,
    Silent,
    InvalidHeaders,
    Undelivered,
    InvalidBlock,
    Clock,
    DeepFork,
    Unreached,
    DiskFull,
    DiskFailed,
    Other,
}

impl Kind {
    const fn position(self) -> usize {
        self as usize
    }

    /// Returns the kind's name in snake case.
    pub(super) const fn label(self) -> &'static str {
        TROUBLES[self.position()]
    }
}

/// How many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rate {
    pub(super) blocks: u64,
    pub(super) bytes: u64,
}

impl Chain {
    /// Begins with what is kept.
    pub(super) fn of(tip: Option<Tip>) -> Self {
        Self { tip, target: tip.map_or(0, |tip| tip.height), ..Self::default() }
    }

    /// Returns the height of the last block that is kept.
    pub(super) fn height(&self) -> Option<u32> {
        self.tip.map(|tip| tip.height)
    }

    /// Returns whether a longer chain is known than the one that is kept.
    pub(super) fn is_behind(&self) -> bool {
        self.height().is_none_or(|height| height < self.target)
    }

    /// Returns what is most in the way, if anything is.
    pub(super) fn trouble(&self) -> Option<&Complaint> {
        self.disk.as_ref().or(self.following.as_ref()).or(self.clock.as_ref())
    }

    /// Takes what has happened. `tip` is the store's, and `explain` finds the words for trouble.
    pub(super) fn note(&mut self, progress: &Progress, tip: Option<Tip>, explain: impl Fn(&Trouble) -> Complaint) {
        match progress {
            Progress::Headers { height } => self.target = self.target.max(*height),
            Progress::Stored { target, blocks, bytes, .. } => {
                let (blocks_before, bytes_before) = self.before;
                (self.tip, self.target) = (tip, (*target).max(tip.map_or(0, |tip| tip.height)));
                (self.blocks, self.bytes) = (blocks_before + blocks, bytes_before + bytes);
                self.sample(Instant::now());
            }
            Progress::Synced { height, hash } | Progress::Tip { height, hash } => {
                self.is_synced |= matches!(progress, Progress::Synced { .. });
                let tip = Some(Tip { height: *height, hash: *hash });
                (self.tip, self.target, self.news) = (tip, *height, tip);
            }
            Progress::Behind { target, .. } => (self.is_synced, self.target) = (false, *target),
            Progress::Reorganised { new, .. } => {
                self.reorganisations += 1;
                (self.tip, self.target) = (tip, self.target.max(new.height));
            }
            Progress::Trouble(trouble) => self.following = Some(explain(trouble)),
            Progress::Recovered => self.following = None,
            Progress::Download(counts) => self.download = *counts,
            Progress::Reported { .. } | _ => {}
        }
    }

    /// Takes what the disk suffers from.
    pub(super) fn complain(&mut self, complaint: Complaint) {
        self.disk = Some(complaint);
    }

    /// Takes what following suffers from for a reason of its own.
    pub(super) fn stumble(&mut self, complaint: Complaint) {
        self.following = Some(complaint);
    }

    /// Takes what is wrong with the clock, or that nothing is; returns whether that is news.
    pub(super) fn doubt_clock(&mut self, complaint: Option<Complaint>) -> bool {
        let is_news = self.clock != complaint;
        self.clock = complaint;
        is_news
    }

    /// Returns whether something is wrong with the clock.
    pub(super) const fn is_clock_doubted(&self) -> bool {
        self.clock.is_some()
    }

    /// Begins to follow the chain anew from what is kept.
    pub(super) fn reopened(&mut self, tip: Option<Tip>) {
        self.disk = None;
        self.tip = tip;
    }

    /// Returns whether the chain is not followed for the moment.
    pub(super) const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Ends following the chain until it is taken up anew: meanwhile nobody knows whether it is whole.
    pub(super) fn stop(&mut self) {
        (self.is_synced, self.is_stopped) = (false, true);
    }

    /// Takes up the chain anew: what is told from here on is counted from zero.
    pub(super) fn take_up(&mut self) {
        self.before = (self.blocks, self.bytes);
        (self.following, self.is_synced, self.is_stopped) = (None, false, false);
    }

    /// Returns how fast blocks were stored of late.
    pub(super) fn rate(&self, now: Instant) -> Rate {
        let Some(first) =
            self.samples.iter().find(|sample| now.duration_since(sample.at).as_secs() <= RATE_OVER as u64)
        else {
            return Rate::default();
        };
        let millis = u64::try_from(now.duration_since(first.at).as_millis()).unwrap_or(u64::MAX).max(1_000);
        let a_second = |count: u64| count.saturating_mul(1_000) / millis;
        Rate { blocks: a_second(self.blocks - first.blocks), bytes: a_second(self.bytes - first.bytes) }
    }

    fn sample(&mut self, now: Instant) {
        if self.samples.back().is_some_and(|last| now.duration_since(last.at).as_secs() == 0) {
            return;
        }
        if self.samples.len() > RATE_OVER {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at: now, blocks: self.blocks, bytes: self.bytes });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use savanna_wire::BlockHash;

    use super::*;

    fn tip(height: u32) -> Tip {
        Tip { height, hash: BlockHash([7; 32]) }
    }

    fn words(trouble: &Trouble) -> Complaint {
        Complaint { kind: Kind::NoPeers, sentence: trouble.to_string() }
    }

    #[test]
    fn a_chain_is_fetched_followed_lost_and_followed_again() {
        let mut chain = Chain::of(Some(tip(10)));
        assert!(!chain.is_behind() && !chain.is_synced);
        let note = |chain: &mut Chain, progress, at| chain.note(&progress, Some(tip(at)), words);
        note(&mut chain, Progress::Headers { height: 50 }, 10);
        assert!(chain.is_behind());
        note(&mut chain, Progress::Stored { height: 50, target: 50, blocks: 40, bytes: 4000 }, 50);
        assert!(!chain.is_behind() && chain.news.is_none());
        note(&mut chain, Progress::Synced { height: 50, hash: tip(50).hash }, 50);
        assert_eq!((chain.is_synced, chain.news), (true, Some(tip(50))));
        note(&mut chain, Progress::Behind { height: 50, target: 60 }, 50);
        assert!(!chain.is_synced && chain.is_behind());
        chain.take_up();
        note(&mut chain, Progress::Stored { height: 60, target: 60, blocks: 10, bytes: 1000 }, 60);
        assert_eq!((chain.blocks, chain.bytes), (50, 5000));
        assert!(chain.rate(Instant::now() + Duration::from_secs(60)) == Rate::default());
    }

    #[test]
    fn every_kind_of_trouble_has_its_own_name() {
        let kinds = [
            (Kind::NoPeers, "no_peers"),
            (Kind::Clock, "clock"),
            (Kind::DiskFailed, "disk_failed"),
            (Kind::Other, "other"),
        ];
        assert!(kinds.iter().all(|(kind, name)| kind.label() == *name));
        assert_eq!(Kind::Other.position() + 1, TROUBLES.len());
    }

    #[test]
    fn a_disk_is_told_of_before_peers_and_both_recover() {
        let mut chain = Chain::of(None);
        chain.note(&Progress::Trouble(Trouble::NoPeers), None, words);
        assert_eq!(chain.trouble().map(|trouble| trouble.kind), Some(Kind::NoPeers));
        chain.complain(Complaint { kind: Kind::DiskFull, sentence: "full".to_owned() });
        assert_eq!(chain.trouble().map(|trouble| trouble.kind.label()), Some("disk_full"));
        chain.reopened(None);
        assert_eq!(chain.trouble().map(|trouble| trouble.kind.label()), Some("no_peers"));
        chain.note(&Progress::Recovered, None, words);
        assert_eq!(chain.trouble(), None);
    }
}

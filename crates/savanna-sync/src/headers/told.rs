//! What peers tell unasked: that there is a block, that they are there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use savanna_net::PeerId;
use savanna_wire::BlockHash;

/// How many peers may wait to be asked about what they told. Beyond them the longest waiting is forgotten: a survey finds what it
/// told.
const MAX_TOLD: usize = 64;

/// Of how many peers is kept that they told what they did not have; beyond them the oldest connection is forgotten.
const MAX_MUTED: usize = 256;

/// How long a peer is not listened to that announced a block without having it; it doubles with each, so many times.
const MUTED_FOR: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 6;

/// How many questions one telling may lead to before others are heard.
const MAX_QUESTIONS: u32 = 16;

/// Who is to be asked about what it told, one after the other.
///
/// # Security
/// Each peer waits once, whatever it announces (floods of announcements). One that has not what it announced is not listened to
/// for a while, which grows.
#[derive(Debug, Default)]
pub(super) struct Told {
    waiting: VecDeque<(PeerId, Option<BlockHash>)>,
    asked: Option<(PeerId, Option<BlockHash>)>,
    questions: u32,
    muted: BTreeMap<PeerId, Mute>,
}

#[derive(Debug, Clone, Copy)]
struct Mute {
    until: Duration,
    times: u32,
}

impl Told {
    /// Takes an announcement.
    pub(super) fn announce(&mut self, peer: PeerId, hash: BlockHash, now: Duration) {
        let is_muted = self.muted.get(&peer).is_some_and(|mute| now < mute.until);
        if !is_muted && self.asked != Some((peer, Some(hash))) {
            self.wait(peer, Some(hash));
        }
    }

    /// Takes the news of a peer.
    pub(super) fn join(&mut self, peer: PeerId) {
        self.wait(peer, None);
    }

    fn wait(&mut self, peer: PeerId, hash: Option<BlockHash>) {
        self.waiting.retain(|&(waiting, _)| waiting != peer);
        if self.waiting.len() >= MAX_TOLD {
            self.waiting.pop_front();
        }
        self.waiting.push_back((peer, hash));
    }

    /// Returns the next peer to be asked: who announced a block that is unknown, before who is new.
    pub(super) fn next(&mut self, is_known: impl Fn(BlockHash) -> bool) -> Option<PeerId> {
        self.waiting.retain(|(_, hash)| hash.is_none_or(|hash| !is_known(hash)));
        let place = self.waiting.iter().position(|(_, hash)| hash.is_some()).unwrap_or(0);
        self.asked = self.waiting.remove(place);
        self.questions = 0;
        self.asked.map(|(peer, _)| peer)
    }

    /// Counts one question more about the same, and returns whether it may be asked.
    pub(super) const fn go_on(&mut self) -> bool {
        self.questions += 1;
        self.questions < MAX_QUESTIONS
    }

    /// Ends the question that was asked, and remembers a peer that does not have what it announced. Returns whether one has.
    pub(super) fn end(&mut self, is_known: impl Fn(BlockHash) -> bool, now: Duration) -> bool {
        let Some((peer, Some(hash))) = self.asked.take() else { return false };
        if is_known(hash) {
            self.muted.remove(&peer);
            return true;
        }
        let times = self.muted.get(&peer).map_or(0, |mute| mute.times + 1);
        let until = now + MUTED_FOR * (1 << times.min(MAX_DOUBLINGS));
        self.muted.insert(peer, Mute { until, times });
        if self.muted.len() > MAX_MUTED {
            self.muted.pop_first();
        }
        false
    }
}

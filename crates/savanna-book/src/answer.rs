//! What we tell a peer that asks for addresses, and whom we tell of fresh ones.

use savanna_wire::{AddrV2, MAX_ADDRESSES, PeerAddr};

use crate::key::{Key, Purpose, address_bytes};
use crate::{Family, UnixTime};

/// Answers to `getaddr`, one for each network that we are asked over.
///
/// # Security
/// An answer stays the same for [`Answers::KEPT_FOR`], so asking often shows no more of the book. A node that is reached over
/// two networks gives each its own, so the answers do not show that it is one node.
#[derive(Debug, Default)]
pub(crate) struct Answers([Option<Answer>; Family::ALL.len()]);

#[derive(Debug)]
struct Answer {
    entries: Vec<AddrV2>,
    since: UnixTime,
}

impl Answers {
    /// How long an answer is given, in seconds.
    pub(crate) const KEPT_FOR: u32 = 10 * 60;
    /// How long it is given for each address in it, in seconds, if that is less: what a new node tells is soon out of date, and
    /// there is little of it to be shown.
    const KEPT_FOR_EACH: u32 = 6;
    /// How long even an empty answer is given, in seconds: making one reads the whole book.
    const KEPT_FOR_AT_LEAST: u32 = 1;
    /// How long ago an address was seen at most, in seconds, to be told.
    pub(crate) const SEEN_WITHIN: u32 = 3 * 60 * 60;
    /// What times are rounded down to, in seconds.
    const ROUNDED_TO: u32 = 30 * 60;

    pub(crate) fn is_fresh(&self, over: Family, now: UnixTime) -> bool {
        self.0[over.number()].as_ref().is_some_and(|answer| {
            let told = u32::try_from(answer.entries.len()).unwrap_or(u32::MAX);
            let kept_for = told.saturating_mul(Self::KEPT_FOR_EACH).clamp(Self::KEPT_FOR_AT_LEAST, Self::KEPT_FOR);
            answer.since <= now && now.since(answer.since) < kept_for
        })
    }

    pub(crate) fn keep(&mut self, over: Family, mut entries: Vec<AddrV2>, now: UnixTime) {
        for entry in &mut entries {
            entry.time -= entry.time % Self::ROUNDED_TO;
        }
        self.0[over.number()] = Some(Answer { entries, since: now });
    }

    pub(crate) fn kept(&self, over: Family) -> &[AddrV2] {
        self.0[over.number()].as_ref().map_or(&[], |answer| &answer.entries)
    }

    /// Returns how many of `known` addresses an answer tells at most: half, and one at least, for who knows one address
    /// would otherwise introduce nobody.
    pub(crate) fn share(known: usize) -> usize {
        known.div_ceil(2).min(MAX_ADDRESSES)
    }
}

/// How old news of an address may be to be passed on, in seconds.
const FRESH: u32 = 10 * 60;
/// The most addresses that a message of news holds; longer ones are answers.
const MAX_NEWS: usize = 10;
/// How many peers are told.
const TOLD: usize = 2;
const DAY: u64 = 24 * 60 * 60;

/// Returns whether an address, one of `count` in its message, is news to pass on.
pub(crate) fn is_news(entry: &AddrV2, count: usize, now: UnixTime) -> bool {
    count <= MAX_NEWS && now.0.abs_diff(entry.time) <= FRESH
}

/// Chooses who of `peers` is told of an address: the same two for about a day.
pub(crate) fn told(key: &Key, address: PeerAddr, now: UnixTime, peers: &[u64]) -> Vec<u64> {
    let address = address_bytes(address);
    // Each address has its own midnight, so that not all change their ways at once.
    let offset = key.hash(Purpose::Relay, &[&address]) % DAY;
    let day = (u64::from(now.0) + offset) / DAY;
    let rank = |peer: u64| key.hash(Purpose::Relay, &[&address, &day.to_le_bytes(), &peer.to_le_bytes()]);
    let mut ranked: Vec<_> = peers.iter().map(|peer| (rank(*peer), *peer)).collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(TOLD);
    ranked.into_iter().map(|(_, peer)| peer).collect()
}

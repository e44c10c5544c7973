//! Who has what: who announced it, and who said that it lacks it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use savanna_net::PeerId;
use savanna_wire::Inventory;

/// How many entries one peer may have in a ledger; beyond them its oldest goes.
pub(crate) const MAX_PER_PEER: usize = 1_000;

/// How many entries all peers together may have; beyond them the oldest goes of the peer that has most.
pub(crate) const MAX_ENTRIES: usize = 32_768;

/// How long an announcement is worth something.
const ANNOUNCED_FOR: Duration = Duration::from_secs(600);

/// How long a peer is not asked again for what it said it lacks. A block at the tip spreads within seconds.
const MISSING_FOR: Duration = Duration::from_secs(20);

/// What is known of who has what.
///
/// # Security
/// An announcement makes its peer preferred and nothing else, and only a peer's answer to a question of our own marks it as
/// lacking something: so nobody is steered away from an honest peer. Each peer fills its own entries alone, and a flood of
/// them pushes out the flooder's.
#[derive(Debug)]
pub(crate) struct Registry {
    announced: Ledger,
    missing: Ledger,
    /// The blocks that peers have from us, or that we have from them.
    shared: Ledger,
}

impl Registry {
    pub(crate) const fn new() -> Self {
        Self {
            announced: Ledger::new(ANNOUNCED_FOR),
            missing: Ledger::new(MISSING_FOR),
            shared: Ledger::new(ANNOUNCED_FOR),
        }
    }

    /// Notes that a peer and we both know of something: it delivered it, or was told of it.
    pub(crate) fn share(&mut self, peer: PeerId, item: Inventory, now: Duration) {
        self.shared.insert(peer, item, now);
    }

    /// Returns whether a peer need not be told of something.
    pub(crate) fn is_known(&self, peer: PeerId, item: &Inventory, now: Duration) -> bool {
        self.announced.contains(peer, item, now) || self.shared.contains(peer, item, now)
    }

    /// Notes that a peer announced something.
    pub(crate) fn announce(&mut self, peer: PeerId, item: Inventory, now: Duration) {
        self.missing.remove(peer, item);
        self.announced.insert(peer, item, now);
    }

    /// Notes that a peer lacks what we asked it for.
    pub(crate) fn miss(&mut self, peer: PeerId, item: Inventory, now: Duration) {
        self.announced.remove(peer, item);
        self.missing.insert(peer, item, now);
    }

    /// Returns whether a peer announced something lately.
    pub(crate) fn is_announced(&self, peer: PeerId, item: &Inventory, now: Duration) -> bool {
        self.announced.contains(peer, item, now)
    }

    /// Returns whether a peer said lately that it lacks something.
    pub(crate) fn is_missing(&self, peer: PeerId, item: &Inventory, now: Duration) -> bool {
        self.missing.contains(peer, item, now)
    }

    /// Forgets a peer.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.announced.forget(peer);
        self.missing.forget(peer);
        self.shared.forget(peer);
    }

    /// Returns how many entries there are.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.announced.len + self.missing.len + self.shared.len
    }
}

/// Pairs of a peer and a thing, each for a time.
#[derive(Debug)]
struct Ledger {
    lifetime: Duration,
    peers: BTreeMap<PeerId, Page>,
    /// The peers by how many entries they have.
    fullest: BTreeSet<(usize, PeerId)>,
    len: usize,
}

/// The entries of one peer.
#[derive(Debug, Default)]
struct Page {
    since: BTreeMap<Inventory, Duration>,
    /// Oldest first. What was removed or renewed since is skipped: its time differs.
    order: VecDeque<(Duration, Inventory)>,
}

impl Ledger {
    const fn new(lifetime: Duration) -> Self {
        Self { lifetime, peers: BTreeMap::new(), fullest: BTreeSet::new(), len: 0 }
    }

    fn contains(&self, peer: PeerId, item: &Inventory, now: Duration) -> bool {
        let since = self.peers.get(&peer).and_then(|page| page.since.get(item));
        since.is_some_and(|since| now.saturating_sub(*since) < self.lifetime)
    }

    fn insert(&mut self, peer: PeerId, item: Inventory, now: Duration) {
        let lifetime = self.lifetime;
        self.change(peer, |page| {
            page.since.insert(item, now);
            page.order.push_back((now, item));
            page.expire(now, lifetime);
            while page.since.len() > MAX_PER_PEER {
                page.drop_oldest();
            }
            page.compact();
        });
        while self.len > MAX_ENTRIES
            && let Some((_, fullest)) = self.fullest.last().copied()
        {
            self.change(fullest, Page::drop_oldest);
        }
    }

    fn remove(&mut self, peer: PeerId, item: Inventory) {
        if self.peers.contains_key(&peer) {
            self.change(peer, |page| {
                page.since.remove(&item);
            });
        }
    }

    fn forget(&mut self, peer: PeerId) {
        self.change(peer, |page| *page = Page::default());
    }

    /// Changes a peer's page and keeps the sums right.
    fn change(&mut self, peer: PeerId, change: impl FnOnce(&mut Page)) {
        let page = self.peers.entry(peer).or_default();
        let before = page.since.len();
        change(page);
        let after = page.since.len();
        if after == 0 {
            self.peers.remove(&peer);
        }
        if before != after {
            self.len = self.len - before + after;
            self.fullest.remove(&(before, peer));
            if after > 0 {
                self.fullest.insert((after, peer));
            }
        }
    }
}

impl Page {
    fn expire(&mut self, now: Duration, lifetime: Duration) {
        while let Some((since, _)) = self.order.front()
            && now.saturating_sub(*since) >= lifetime
        {
            self.drop_front();
        }
    }

    fn drop_oldest(&mut self) {
        while !self.order.is_empty() && !self.drop_front() {}
    }

    /// Drops the front of the order; returns whether that was an entry.
    fn drop_front(&mut self) -> bool {
        let Some((since, item)) = self.order.pop_front() else { return false };
        let is_entry = self.since.get(&item) == Some(&since);
        if is_entry {
            self.since.remove(&item);
        }
        is_entry
    }

    /// Forgets what is skipped anyway, once that is most of the order.
    fn compact(&mut self) {
        if self.order.len() > 2 * self.since.len() + 16 {
            let since = &self.since;
            self.order.retain(|(at, item)| since.get(item) == Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use savanna_wire::BlockHash;

    use super::*;

    fn item(number: u64) -> Inventory {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        Inventory::Block(BlockHash(hash))
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn adversary_17_a_flood_pushes_out_the_flooders_own_entries_alone() {
        let mut registry = Registry::new();
        let honest = PeerId(0);
        registry.announce(honest, item(0), Duration::ZERO);
        for flooder in 1..=40 {
            for number in 0..3_000 {
                registry.announce(PeerId(flooder), item(flooder * 10_000 + number), Duration::ZERO);
            }
            assert!(registry.announced.peers[&PeerId(flooder)].since.len() <= MAX_PER_PEER);
        }
        assert_eq!(registry.len(), MAX_ENTRIES);
        assert!(registry.is_announced(honest, &item(0), Duration::ZERO));
        assert!(registry.is_announced(PeerId(40), &item(402_999), Duration::ZERO));
        assert!(!registry.is_announced(PeerId(40), &item(400_000), Duration::ZERO));
        for peer in 0..=40 {
            registry.forget(PeerId(peer));
        }
        assert_eq!(registry.len(), 0);
        assert!(registry.announced.peers.is_empty() && registry.announced.fullest.is_empty());
    }

    #[test]
    fn one_thing_announced_without_end_takes_no_room() {
        let mut registry = Registry::new();
        for turn in 0..10_000 {
            registry.announce(PeerId(1), item(turn % 3), secs(turn));
            registry.miss(PeerId(1), item(turn % 3), secs(turn));
        }
        assert!(registry.missing.peers[&PeerId(1)].order.len() < 100);
        assert!(registry.len() <= 3);
    }

    #[test]
    fn entries_expire() {
        let mut registry = Registry::new();
        let peer = PeerId(1);
        registry.miss(peer, item(1), secs(0));
        assert!(registry.is_missing(peer, &item(1), secs(19)));
        assert!(!registry.is_missing(peer, &item(1), secs(20)));
        registry.miss(peer, item(2), secs(20));
        assert_eq!(registry.len(), 1);
        registry.announce(peer, item(2), secs(21));
        assert!(!registry.is_missing(peer, &item(2), secs(21)));
        assert!(registry.is_announced(peer, &item(2), secs(620)) && !registry.is_announced(peer, &item(2), secs(621)));
    }
}

//! What transactions peers announce: watched and counted, and neither fetched nor passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use savanna_net::PeerId;
use savanna_peer::Gossip;
use savanna_wire::TransactionId;

use crate::Event;

/// How many announcements of one peer are remembered; beyond them its oldest goes.
pub const MAX_WATCHED_PER_PEER: usize = 1_000;

/// How many announcements of all peers are remembered; beyond them the oldest goes of the peer that has most.
pub const MAX_WATCHED: usize = 32_768;

/// How long an announcement is remembered: longer than transactions are usually valid.
const WATCHED_FOR: Duration = Duration::from_secs(3_600);

/// Watches which transactions peers announce, without IO.
///
/// # Security
/// Nobody vouches for an announced transaction: it need not exist. A flood of them (adversary: random hashes) pushes out the
/// flooder's own, and leaves what other peers announced where it is.
#[derive(Debug, Default)]
pub struct TransactionWatch {
    sightings: BTreeMap<TransactionId, Sighting>,
    pages: BTreeMap<PeerId, Page>,
    /// The peers by how many announcements of theirs there are.
    fullest: BTreeSet<(usize, PeerId)>,
    /// All announcements, the oldest first.
    order: BTreeMap<u64, (Duration, PeerId, TransactionId)>,
    next: u64,
    announced: u64,
    distinct: u64,
    forgotten: u64,
}

/// What is known of an announced transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// When the first peer announced it.
    pub first: Duration,
    /// When a peer announced it last.
    pub last: Duration,
    /// How many of the connected peers have announced it.
    pub peers: usize,
}

/// How many transactions are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransactionCounts {
    /// Transactions that are remembered.
    pub transactions: usize,
    /// Announcements that are remembered: each of one transaction by one peer.
    pub announcements: usize,
    /// Transactions among them that more than one peer announced.
    pub shared: usize,
    /// Announcements ever heard.
    pub announced: u64,
    /// Transactions ever heard of that were not remembered at the moment.
    pub distinct: u64,
    /// Announcements forgotten for want of room.
    pub forgotten: u64,
}

/// The announcements of one peer, by number.
#[derive(Debug, Default)]
struct Page {
    numbers: BTreeMap<TransactionId, u64>,
    /// The same, the oldest first.
    order: BTreeSet<u64>,
}

impl TransactionWatch {
    /// Begins with nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what happened to the set: what peers announced, and that they left. Of the rest it takes no notice.
    pub fn handle_event(&mut self, event: &Event, now: Duration) {
        if let Event::Gossip { peer, gossip: Gossip::Transactions(ids) } = event {
            self.handle_announced(*peer, ids, now);
        } else if let Event::Left { peer, .. } = event {
            self.handle_left(*peer);
        }
    }

    /// Notes that a peer announced transactions.
    pub fn handle_announced(&mut self, peer: PeerId, ids: &[TransactionId], now: Duration) {
        self.expire(now);
        for id in ids {
            self.announced += 1;
            self.note(peer, *id, now);
        }
    }

    /// Forgets what a peer announced. A transaction that nobody else announced is forgotten with it.
    pub fn handle_left(&mut self, peer: PeerId) {
        let numbers = self.pages.get(&peer).map(|page| page.order.clone()).unwrap_or_default();
        for number in numbers {
            self.forget(number);
        }
    }

    /// Returns what is known of a transaction.
    #[must_use]
    pub fn sighting(&self, id: TransactionId) -> Option<Sighting> {
        self.sightings.get(&id).copied()
    }

    /// Returns the transactions that are remembered.
    pub fn sightings(&self) -> impl Iterator<Item = (TransactionId, Sighting)> + '_ {
        self.sightings.iter().map(|(id, sighting)| (*id, *sighting))
    }

    /// Returns how many there are at a moment.
    pub fn counts(&mut self, now: Duration) -> TransactionCounts {
        self.expire(now);
        TransactionCounts {
            transactions: self.sightings.len(),
            announcements: self.order.len(),
            shared: self.sightings.values().filter(|sighting| sighting.peers > 1).count(),
            announced: self.announced,
            distinct: self.distinct,
            forgotten: self.forgotten,
        }
    }

    fn note(&mut self, peer: PeerId, id: TransactionId, now: Duration) {
        let number = self.next;
        self.next += 1;
        let page = self.pages.entry(peer).or_default();
        let before = page.numbers.len();
        let renewed = page.numbers.insert(id, number);
        page.order.insert(number);
        if let Some(renewed) = renewed {
            page.order.remove(&renewed);
            self.order.remove(&renewed);
        }
        let after = page.numbers.len();
        self.order.insert(number, (now, peer, id));
        self.fullest.remove(&(before, peer));
        self.fullest.insert((after, peer));
        let is_new = !self.sightings.contains_key(&id);
        self.distinct += u64::from(is_new);
        let sighting = self.sightings.entry(id).or_insert(Sighting { first: now, last: now, peers: 0 });
        sighting.last = now;
        sighting.peers += usize::from(renewed.is_none());
        if after > MAX_WATCHED_PER_PEER {
            self.forget_oldest_of(peer);
        } else if self.order.len() > MAX_WATCHED
            && let Some((_, fullest)) = self.fullest.last().copied()
        {
            self.forget_oldest_of(fullest);
        }
    }

    fn expire(&mut self, now: Duration) {
        while let Some((number, (since, ..))) = self.order.first_key_value()
            && now.saturating_sub(*since) >= WATCHED_FOR
        {
            let number = *number;
            self.forget(number);
        }
    }

    fn forget_oldest_of(&mut self, peer: PeerId) {
        if let Some(number) = self.pages.get(&peer).and_then(|page| page.order.first().copied()) {
            self.forgotten += 1;
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some((_, peer, id)) = self.order.remove(&number) else { return };
        if let Some(page) = self.pages.get_mut(&peer) {
            self.fullest.remove(&(page.numbers.len(), peer));
            page.numbers.remove(&id);
            page.order.remove(&number);
            if page.numbers.is_empty() {
                self.pages.remove(&peer);
            } else {
                self.fullest.insert((page.numbers.len(), peer));
            }
        }
        if let Some(sighting) = self.sightings.get_mut(&id) {
            sighting.peers -= 1;
            if sighting.peers == 0 {
                self.sightings.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use savanna_peer::{CloseReason, LocalReason};
    use savanna_wire::TxId;

    use super::*;

    fn id(number: u64) -> TransactionId {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        TransactionId::Legacy(TxId(hash))
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_transaction_is_known_by_who_announced_it_and_when() {
        let mut watch = TransactionWatch::new();
        for (peer, seconds) in [(1, 5), (2, 7), (1, 9)] {
            let gossip = Gossip::Transactions(vec![id(0), id(peer)]);
            watch.handle_event(&Event::Gossip { peer: PeerId(peer), gossip }, secs(seconds));
        }
        assert_eq!(watch.sighting(id(0)), Some(Sighting { first: secs(5), last: secs(9), peers: 2 }));
        assert_eq!(watch.sighting(id(2)), Some(Sighting { first: secs(7), last: secs(7), peers: 1 }));
        let counts = watch.counts(secs(9));
        assert_eq!((counts.transactions, counts.announcements, counts.shared), (3, 4, 1));
        assert_eq!((counts.announced, counts.distinct, counts.forgotten), (6, 3, 0));

        let reason = CloseReason::Local(LocalReason::Shutdown);
        watch.handle_event(&Event::Left { peer: PeerId(2), reason }, secs(9));
        assert_eq!((watch.sighting(id(0)).unwrap().peers, watch.sighting(id(2))), (1, None));
        assert_eq!(watch.counts(secs(9) + WATCHED_FOR).transactions, 0);
        assert!(watch.pages.is_empty() && watch.fullest.is_empty() && watch.order.is_empty());
    }

    #[test]
    fn adversary_17_a_flood_of_transactions_pushes_out_the_flooders_own() {
        let mut watch = TransactionWatch::new();
        // The flooders announce first what an honest peer announces too.
        for peer in 0..=40 {
            watch.handle_announced(PeerId(peer), &[id(0)], secs(0));
        }
        for flooder in 1..=40 {
            for number in 0..3_000 {
                watch.handle_announced(PeerId(flooder), &[id(flooder * 10_000 + number)], secs(1));
            }
            assert!(watch.pages[&PeerId(flooder)].numbers.len() <= MAX_WATCHED_PER_PEER);
        }
        let counts = watch.counts(secs(1));
        assert_eq!(counts.announcements, MAX_WATCHED);
        assert_eq!(watch.sighting(id(0)), Some(Sighting { first: secs(0), last: secs(0), peers: 1 }));
        assert_eq!(counts.announced, counts.forgotten + counts.announcements as u64);
        (0..=40).for_each(|peer| watch.handle_left(PeerId(peer)));
        assert!(watch.sightings.is_empty() && watch.fullest.is_empty() && watch.order.is_empty());
    }

    #[test]
    fn one_transaction_announced_without_end_takes_no_room() {
        let mut watch = TransactionWatch::new();
        for turn in 0..10_000 {
            watch.handle_announced(PeerId(1), &[id(turn % 3)], secs(turn / 10));
        }
        let counts = watch.counts(secs(1_000));
        assert_eq!((counts.transactions, counts.announcements, counts.announced), (3, 3, 10_000));
        assert!(watch.pages[&PeerId(1)].order.len() == 3);
    }
}

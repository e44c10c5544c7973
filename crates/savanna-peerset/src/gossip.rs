//! Addresses that peers tell: what is taken, what is passed on to whom, and when we tell our own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::AddAssign;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use savanna_book::{Added, Book, Source, UnixTime};
use savanna_net::PeerId;
use savanna_peer::{Direction, MAX_ADVERTISED_PEERS, Now, PeerInfo};
use savanna_wire::{AddrV2, PeerAddr, Services};

use crate::upkeep::chance::after;

use own::OwnAddress;

mod own;
mod run;
mod service;

pub use service::BookService;

/// How long an address waits until it is passed on, on average: several go in one message, and from when it comes nobody can
/// tell from where.
const HELD_FOR: Duration = Duration::from_secs(3);

/// How often peers that we dialled are told our own address, on average.
const ANNOUNCED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many addresses a peer is known to know; beyond them the oldest are forgotten.
///
/// # Security
/// Without this, an address told once would go round in circles for as long as it is fresh.
const MAX_KNOWN: usize = 512;

/// How many peers are told of anything; beyond them the oldest is forgotten, which may be gone without our having heard of it.
const MAX_PARTNERS: usize = 1024;

/// What became of addresses that were offered to the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learned {
    /// They are new to the book.
    pub new: u64,
    /// They were in the book already.
    pub known: u64,
    /// They are not taken: not routable, our own, of a penalized host, or their place is taken.
    pub refused: u64,
}

impl AddAssign for Learned {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.refused += other.refused;
    }
}

impl Learned {
    fn count(&mut self, added: Added) {
        match added {
            Added::New => self.new += 1,
            Added::Updated | Added::Known => self.known += 1,
            Added::Refused(_) => self.refused += 1,
        }
    }
}

/// Offers addresses to a book.
pub(crate) fn learn(book: &mut Book, entries: &[AddrV2], source: Source, now: Now) -> Learned {
    let mut learned = Learned::default();
    for entry in entries {
        learned.count(book.add(*entry, source, UnixTime::from(now.unix)));
    }
    learned
}

/// Decides what becomes of addresses that are told unasked, without IO.
///
/// They go to the book as heard of, where they have the chance that the book gives them and no other. Fresh ones are passed on
/// to two peers that the book's secret chooses. Our own address is told to peers that we dialled, if peers can dial us and we offer
/// something.
///
/// # Security
/// Nothing here dials: who pushes addresses does not steer whom we connect to.
#[derive(Debug)]
pub struct Relay {
    rng: ChaCha8Rng,
    services: Services,
    own: OwnAddress,
    partners: BTreeMap<PeerId, Partner>,
}

/// A peer, as far as addresses go.
#[derive(Debug)]
struct Partner {
    address: Option<PeerAddr>,
    known: BTreeSet<PeerAddr>,
    /// The same, the oldest first.
    order: VecDeque<PeerAddr>,
    pending: Vec<AddrV2>,
    /// When what is pending is told.
    due: Option<Duration>,
    /// When it is told our own address next.
    announce: Option<Duration>,
}

impl Relay {
    /// Begins with no peers. `services` is what peers are told that we offer, `listening` where they can dial us: an
    /// unspecified host stands for whatever host peers see us at.
    #[must_use]
    pub fn new(services: Services, listening: &[PeerAddr], seed: [u8; 32]) -> Self {
        let own = OwnAddress::new(listening);
        Self { rng: ChaCha8Rng::from_seed(seed), services, own, partners: BTreeMap::new() }
    }

    /// Sets what peers are told that we offer. While that is nothing, nobody is told our own address; once it is something, those
    /// who wait for it are told.
    pub const fn set_services(&mut self, services: Services) {
        self.services = services;
    }

    /// Returns the addresses at which peers can dial us, as far as we know.
    pub fn own_addresses(&self) -> impl Iterator<Item = PeerAddr> + '_ {
        self.own.known()
    }

    /// Notes that a peer joined. What it says of where it sees us is one voice of many.
    pub fn handle_joined(&mut self, peer: PeerId, address: Option<PeerAddr>, info: &PeerInfo, now: Now) {
        if self.partners.len() >= MAX_PARTNERS
            && let Some((oldest, _)) = self.partners.pop_first()
        {
            self.own.handle_left(oldest);
        }
        let is_outbound = info.direction == Direction::Outbound;
        if is_outbound
            && let Some(address) = address
            && self.own.handle_seen(peer, address, info.remote.receiver.address.into())
        {
            self.announce_anew(now);
        }
        let announce = (is_outbound && self.own.is_listening()).then_some(now.monotonic);
        let partner = Partner {
            address,
            known: BTreeSet::new(),
            order: VecDeque::new(),
            pending: Vec::new(),
            due: None,
            announce,
        };
        self.partners.insert(peer, partner);
    }

    /// Notes that a peer left. Where it saw us counts no more.
    pub fn handle_left(&mut self, peer: PeerId, now: Now) {
        self.partners.remove(&peer);
        if self.own.handle_left(peer) {
            self.announce_anew(now);
        }
    }

    /// Takes addresses that a peer told unasked.
    pub fn handle_told(&mut self, peer: PeerId, entries: &[AddrV2], book: &mut Book, now: Now) -> Learned {
        let mut learned = Learned::default();
        let Some(host) = self.partners.get(&peer).and_then(|partner| partner.address).map(|address| address.host)
        else {
            return learned;
        };
        let unix = UnixTime::from(now.unix);
        for entry in entries {
            let is_news = book.is_news(entry, entries.len(), unix);
            let added = book.add(*entry, Source::Gossip(host), unix);
            learned.count(added);
            if let Some(partner) = self.partners.get_mut(&peer) {
                partner.note_known(entry.address);
            }
            if is_news && !matches!(added, Added::Refused(_)) {
                self.pass_on(*entry, peer, book, now);
            }
        }
        learned
    }

    /// Returns what to tell whom, if it is time to tell anybody anything.
    pub fn poll_telling(&mut self, book: &mut Book, now: Now) -> Option<(PeerId, Vec<AddrV2>)> {
        let (time, announces) = (now.monotonic, self.announces());
        let mut partners = self.partners.iter_mut();
        let (peer, partner) = partners.find(|(_, partner)| partner.next(announces).is_some_and(|due| due <= time))?;
        let mut telling = Vec::new();
        if announces && partner.announce.is_some_and(|due| due <= time) {
            partner.announce = Some(time + ANNOUNCED_EVERY / 2 + after(ANNOUNCED_EVERY / 2, &mut self.rng));
            let seen = u32::try_from(now.unix).unwrap_or(u32::MAX);
            for address in self.own.known().take(MAX_ADVERTISED_PEERS) {
                book.own(address);
                telling.push(AddrV2 { time: seen, services: self.services, address });
            }
        }
        if partner.due.is_some_and(|due| due <= time) {
            let room = MAX_ADVERTISED_PEERS.saturating_sub(telling.len()).min(partner.pending.len());
            telling.extend(partner.pending.drain(..room));
            partner.due = (!partner.pending.is_empty()).then(|| time + after(HELD_FOR, &mut self.rng));
        }
        Some((*peer, telling))
    }

    /// Returns when [`poll_telling`](Self::poll_telling) has something next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let announces = self.announces();
        self.partners.values().filter_map(|partner| partner.next(announces)).min()
    }

    /// Has those who are told our own address told at once: it is another.
    fn announce_anew(&mut self, now: Now) {
        for announce in self.partners.values_mut().filter_map(|partner| partner.announce.as_mut()) {
            *announce = now.monotonic;
        }
    }

    /// Returns whether there is reason to dial us.
    fn announces(&self) -> bool {
        self.services != Services::NONE
    }

    /// Has two peers told of an address, unless they know it.
    fn pass_on(&mut self, entry: AddrV2, from: PeerId, book: &Book, now: Now) {
        let peers: Vec<u64> = self.partners.keys().filter(|peer| **peer != from).map(|peer| peer.0).collect();
        for peer in book.told(entry.address, UnixTime::from(now.unix), &peers) {
            let Some(partner) = self.partners.get_mut(&PeerId(peer)) else { continue };
            if partner.pending.len() < MAX_KNOWN && partner.note_known(entry.address) {
                partner.pending.push(entry);
                if partner.due.is_none() {
                    partner.due = Some(now.monotonic + after(HELD_FOR, &mut self.rng));
                }
            }
        }
    }
}

impl Partner {
    fn next(&self, announces: bool) -> Option<Duration> {
        self.due.into_iter().chain(self.announce.filter(|_| announces)).min()
    }

    /// Notes that the peer knows an address; returns whether that is news.
    fn note_known(&mut self, address: PeerAddr) -> bool {
        if !self.known.insert(address) {
            return false;
        }
        self.order.push_back(address);
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests;

//! The book: what goes in, how dialling went, what is known.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use savanna_wire::{AddrV2, Host, PeerAddr};

use crate::answer::{Answers, is_news, told};
use crate::backoff::{below, jittered};
use crate::bucket::Id;
use crate::entry::Entry;
use crate::key::Key;
use crate::routable::is_peer_port;
use crate::tables::Tables;
use crate::time::DAY;
use crate::trial::Trials;
use crate::{
    Added, BookCounts, Config, Failure, Family, Handshake, Penalties, Reach, Refusal, Source, Standing, UnixTime,
};
pub use choose::Wanted;

mod choose;

/// The addresses of a node.
///
/// Whoever dials says so by [`handle_attempt`](Self::handle_attempt) first, and how it went by
/// [`handle_success`](Self::handle_success) or [`handle_failure`](Self::handle_failure). What is said of addresses that are
/// not in the book is passed over.
#[derive(Debug)]
pub struct Book {
    config: Config,
    rng: ChaCha8Rng,
    pub(crate) tables: Tables,
    pub(crate) penalties: Penalties,
    trials: Trials,
    own: BTreeSet<PeerAddr>,
    anchors: Vec<PeerAddr>,
    answers: Answers,
    last_success: UnixTime,
}

impl Book {
    /// The most addresses of our own that are remembered; further ones are not, and cost a dial to ourselves now and then.
    pub const MAX_OWN: usize = 64;
    /// What is taken off the times that peers claim for others, in seconds: 2 hours.
    const GOSSIP_PENALTY: u32 = 2 * 60 * 60;
    /// How long ago an address was seen of which nobody says when, or an impossible time: 5 days, in seconds.
    const SEEN_LONG_AGO: u32 = 5 * DAY;
    /// What DNS seeds name was seen 3 days ago, so that it is dialled and not passed on.
    const SEEN_BY_SEED: u32 = 3 * DAY;
    /// A claimed time before this is none.
    const EARLIEST: u32 = 100_000_000;
    /// Seen since less than this, an address is not told to be seen again, in seconds.
    const REFRESH_AFTER: u32 = 20 * 60;
    /// How long a dial under way keeps its address from being chosen again, in seconds.
    const IN_FLIGHT: u32 = 60;
    /// How long a peer of no use is left alone, in seconds.
    const USELESS_FOR: u32 = DAY;

    /// Makes an empty book. The secret places the addresses, for as long as they are kept; the seed makes this run's choices.
    #[must_use]
    pub fn new(config: Config, secret: [u8; 32], seed: [u8; 32]) -> Self {
        Self {
            config,
            rng: ChaCha8Rng::from_seed(seed),
            tables: Tables::new(Key::new(secret)),
            penalties: Penalties::default(),
            trials: Trials::default(),
            own: BTreeSet::new(),
            anchors: Vec::new(),
            answers: Answers::default(),
            last_success: UnixTime::NEVER,
        }
    }

    /// Returns what the book is for.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the secret that places the addresses, to be kept with them.
    #[must_use]
    pub const fn secret(&self) -> [u8; 32] {
        self.tables.key().secret()
    }

    /// Returns how many addresses there are, by table and family.
    #[must_use]
    pub const fn counts(&self) -> BookCounts {
        self.tables.counts()
    }

    /// Returns how many addresses of `tried` are to be tested for a challenger.
    #[must_use]
    pub fn tests_due(&self) -> usize {
        self.trials.len()
    }

    /// Returns the bans and marks.
    #[must_use]
    pub const fn penalties(&self) -> &Penalties {
        &self.penalties
    }

    /// Returns the bans and marks, to add to them.
    pub const fn penalties_mut(&mut self) -> &mut Penalties {
        &mut self.penalties
    }

    /// Returns how a host stands.
    #[must_use]
    pub fn standing(&self, host: Host, now: UnixTime) -> Standing {
        self.penalties.standing(host, now)
    }

    /// Returns the addresses that are our own.
    pub fn own_addresses(&self) -> impl Iterator<Item = PeerAddr> + '_ {
        self.own.iter().copied()
    }

    /// Notes that an address is our own: it leaves the book and does not come back.
    pub fn own(&mut self, address: PeerAddr) {
        if let Some(id) = self.tables.find(address) {
            self.tables.remove(id);
        }
        self.anchors.retain(|anchor| *anchor != address);
        if self.own.len() < Self::MAX_OWN {
            self.own.insert(address);
        }
    }

    /// Takes in an address that somebody told of.
    ///
    /// Its time is believed less the further it comes: what a peer says of others counts two hours less, a seed's or the
    /// operator's addresses get a time of ours, and an impossible time becomes one of five days ago.
    ///
    /// # Security
    /// A group of sources reaches 64 of 1024 buckets, and displaces nothing there but what is worth nothing; only the
    /// operator's word puts another out. Services of a peer that we have spoken to are its own word, which gossip does not
    /// change.
    pub fn add(&mut self, heard: AddrV2, source: Source, now: UnixTime) -> Added {
        if source == Source::Inbound {
            return Added::Refused(Refusal::InboundPort);
        }
        let address = heard.address;
        if let Some(refusal) = self.refusal(address) {
            return Added::Refused(refusal);
        }
        if self.penalties.standing(address.host, now) != Standing::Fine {
            return Added::Refused(Refusal::Penalized);
        }
        let seen = Self::believed(&heard, source, now);
        if let Some(id) = self.tables.find(address) {
            return self.refresh(id, &heard, source, seen, now);
        }
        let entry = Entry::new(address, source.group(), heard.services, seen);
        let slot = self.tables.new_slot(address, source.group());
        match self.tables.insert(entry, slot, now) {
            Ok(_) => Added::New,
            Err(entry) if source == Source::Config => {
                self.tables.insert_over(entry, slot);
                Added::New
            }
            Err(_) => Added::Refused(Refusal::Full),
        }
    }

    /// Notes that a dial begins.
    pub fn handle_attempt(&mut self, address: PeerAddr, now: UnixTime) {
        let Some(entry) = self.tables.find_mut(address) else { return };
        entry.attempts = entry.attempts.saturating_add(1);
        entry.last_try = now;
        entry.rests_until = now.plus(Self::IN_FLIGHT);
    }

    /// Notes that a peer that we dialled completed the handshake and is of use.
    ///
    /// The address moves to `tried`. If its place is taken, whoever stands there is to be tested first.
    pub fn handle_success(&mut self, address: PeerAddr, handshake: Handshake, now: UnixTime) {
        let Some(id) = self.tables.find(address) else { return };
        let Some(entry) = self.tables.get_mut(id) else { return };
        entry.successes = entry.successes.saturating_add(1);
        entry.failures = 0;
        entry.seen = now;
        entry.last_try = now;
        entry.last_success = now;
        entry.rests_until = UnixTime::NEVER;
        entry.handshake = Some(Box::new(handshake));
        let is_tried = entry.is_tried;
        self.last_success = now;
        let slot = self.tables.tried_slot(address);
        if is_tried {
            self.trials.end(slot);
        } else if self.tables.tried.at(slot).is_none() {
            self.tables.promote(id);
        } else {
            self.trials.challenge(address, slot, now);
        }
    }

    /// Notes that a dial, or the connection that it led to, came to nothing.
    ///
    /// # Security
    /// Failures count once for each time that anything succeeded: a node that is cut off does not give up its good addresses.
    pub fn handle_failure(&mut self, address: PeerAddr, failure: Failure, now: UnixTime) {
        let Some(id) = self.tables.find(address) else { return };
        let (last_success, backoff) = (self.last_success, self.config.backoff);
        let Some(entry) = self.tables.get_mut(id) else { return };
        if entry.last_counted <= last_success || entry.last_counted > now {
            entry.last_counted = now;
            entry.failures = entry.failures.saturating_add(1);
        }
        let rest = match failure {
            Failure::Unreachable => backoff.rest(entry.failures, &mut self.rng),
            Failure::Useless => jittered(Self::USELESS_FOR, &mut self.rng),
        };
        entry.rests_until = now.plus(rest);
        if entry.is_tried {
            self.end_trial(address);
        }
    }

    /// Notes that a peer that we dialled is still there: when its connection ends, and now and then before. Whoever wants
    /// its place in `tried` does not get it.
    pub fn handle_seen(&mut self, address: PeerAddr, now: UnixTime) {
        let Some(entry) = self.tables.find_mut(address) else { return };
        if now.since(entry.seen) > Self::REFRESH_AFTER || entry.is_from_future(now) {
            entry.seen = now;
        }
        if entry.is_tried {
            let slot = self.tables.tried_slot(address);
            self.trials.end(slot);
        }
    }

    /// Returns what a peer is told that asks for addresses over a network: at most 1000 and at most half of what the book
    /// holds, seen within 3 hours, with times rounded down to 30 minutes. The same answer for 10 minutes, or less while it is short.
    pub fn answer(&mut self, over: Family, now: UnixTime) -> &[AddrV2] {
        if !self.answers.is_fresh(over, now) {
            let entries = self.sample(now);
            self.answers.keep(over, entries, now);
        }
        self.answers.kept(over)
    }

    /// Returns whether an address, one of `count` in its message, is news that is passed on: at most ten, seen within the
    /// last ten minutes, and admitted to this book.
    #[must_use]
    pub fn is_news(&self, heard: &AddrV2, count: usize, now: UnixTime) -> bool {
        is_news(heard, count, now)
            && self.refusal(heard.address).is_none()
            && self.standing(heard.address.host, now) == Standing::Fine
    }

    /// Chooses the two of `peers`, by their numbers, that are told of an address: the same two for about a day.
    ///
    /// # Security
    /// A peer that repeats an address reaches no more peers by it, and cannot know which.
    #[must_use]
    pub fn told(&self, address: PeerAddr, now: UnixTime, peers: &[u64]) -> Vec<u64> {
        told(self.tables.key(), address, now, peers)
    }

    /// Returns why an address is not admitted, whoever tells of it.
    pub(crate) fn refusal(&self, address: PeerAddr) -> Option<Refusal> {
        let is_reached = match Reach::of(address.host) {
            Reach::Public => true,
            Reach::Private => self.config.admits_private,
            Reach::Nowhere => false,
        };
        if !is_reached {
            Some(Refusal::Unroutable)
        } else if !is_peer_port(address, self.config.network) {
            Some(Refusal::Port)
        } else if self.own.contains(&address) {
            Some(Refusal::Own)
        } else {
            None
        }
    }

    /// Returns when an address was seen, as far as its source is believed.
    fn believed(heard: &AddrV2, source: Source, now: UnixTime) -> UnixTime {
        let claimed = UnixTime(heard.time);
        match source {
            Source::Dns(_) | Source::Inbound => now.minus(Self::SEEN_BY_SEED),
            Source::Config => now,
            Source::Gossip(_) if heard.time < Self::EARLIEST || claimed > now.plus(Entry::FUTURE) => {
                now.minus(Self::SEEN_LONG_AGO)
            }
            Source::Gossip(host) if host == heard.address.host => claimed.min(now),
            Source::Gossip(_) => claimed.min(now).minus(Self::GOSSIP_PENALTY),
        }
    }

    fn refresh(&mut self, id: Id, heard: &AddrV2, source: Source, seen: UnixTime, now: UnixTime) -> Added {
        let Some(entry) = self.tables.get_mut(id) else { return Added::Known };
        entry.services.0 |= heard.services.0;
        // News of an address that was seen an hour ago, or a day ago if it seems to be away, changes nothing.
        let is_online = now.since(seen) < DAY;
        let step = if is_online { 60 * 60 } else { DAY };
        let is_newer = seen > entry.seen.plus(step) || entry.is_from_future(now);
        if is_newer {
            entry.seen = seen;
        }
        let outcome = if is_newer { Added::Updated } else { Added::Known };
        let places = entry.places().len();
        // Each further place is half as likely as the one before.
        if !entry.is_tried && below(1 << places, &mut self.rng) == 0 {
            let slot = self.tables.new_slot(heard.address, source.group());
            self.tables.add_place(id, slot, now);
        }
        outcome
    }

    /// Ends the trial of an address that did not answer: whoever wants its place gets it.
    fn end_trial(&mut self, incumbent: PeerAddr) {
        let slot = self.tables.tried_slot(incumbent);
        if let Some(id) = self.trials.end(slot).and_then(|challenger| self.tables.find_answering(challenger)) {
            self.tables.promote(id);
        }
    }

    /// Draws the addresses of an answer.
    fn sample(&mut self, now: UnixTime) -> Vec<AddrV2> {
        let size = Answers::share(self.tables.counts().total() as usize);
        let is_told = |entry: &&Entry| {
            now.since(entry.seen) <= Answers::SEEN_WITHIN
                && !entry.is_terrible(now)
                && self.penalties.standing(entry.address.host, now) == Standing::Fine
        };
        let entry = |entry: &Entry| AddrV2 { time: entry.seen.0, services: entry.services(), address: entry.address };
        let mut sample: Vec<_> = self.tables.iter().filter(is_told).map(entry).collect();
        for place in 0..size.min(sample.len()) {
            let left = u32::try_from(sample.len() - place).unwrap_or(u32::MAX);
            let drawn = below(left, &mut self.rng) as usize;
            sample.swap(place, place + drawn);
        }
        sample.truncate(size);
        sample.shrink_to_fit();
        sample
    }
}

#[cfg(test)]
mod tests;

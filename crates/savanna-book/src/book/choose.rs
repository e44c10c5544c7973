//! Which address to dial.

use std::collections::BTreeSet;

use rand_chacha::rand_core::Rng;
use savanna_wire::{PeerAddr, Services};

use super::Book;
use crate::entry::Entry;
use crate::{Families, Family, Netgroup, Standing, UnixTime};

/// What an address has to be, to be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What the peer has to offer, as far as is known.
    pub services: Services,
    /// The networks that we can dial.
    pub families: Families,
    /// The groups that have enough connections.
    pub groups: &'a BTreeSet<Netgroup>,
    /// The addresses that are connected, or not wanted for another reason.
    pub addresses: &'a BTreeSet<PeerAddr>,
}

impl Default for Wanted<'_> {
    /// Wants any full node that is reached without an overlay network.
    fn default() -> Self {
        const NO_GROUPS: &BTreeSet<Netgroup> = &BTreeSet::new();
        const NO_ADDRESSES: &BTreeSet<PeerAddr> = &BTreeSet::new();
        Self { services: Services::NODE_NETWORK, families: Families::IP, groups: NO_GROUPS, addresses: NO_ADDRESSES }
    }
}

impl Book {
    /// The most anchors that are kept.
    pub const MAX_ANCHORS: usize = 4;
    /// How many addresses are drawn by chance before the tables are walked.
    const DRAWS: usize = 64;
    /// How many addresses a walk looks at, so that a full book with nothing to dial costs little.
    const WALK: usize = 4096;
    /// How long ago an incumbent answered for its place not to be doubted, in seconds: 4 hours.
    const UNDOUBTED: u32 = 4 * 60 * 60;

    /// Chooses an address for a full outbound connection: from `tried` and from `new` as often.
    ///
    /// Addresses that rest, that are penalized, or that [`Wanted`] excludes are not chosen; those that failed or were just
    /// tried seldom. Nothing is noted: a second call may choose the same until [`Book::handle_attempt`]. A book in which few
    /// of more than 4096 addresses suit may choose none of them; the next call looks elsewhere.
    pub fn pick(&mut self, wanted: &Wanted<'_>, now: UnixTime) -> Option<PeerAddr> {
        let tried_first = self.rng.next_u32() & 1 == 0;
        [tried_first, !tried_first].into_iter().find_map(|from_tried| self.choose(from_tried, wanted, now))
    }

    /// Chooses an address that nobody of us has spoken to, to see whether it answers.
    pub fn feeler(&mut self, wanted: &Wanted<'_>, now: UnixTime) -> Option<PeerAddr> {
        self.choose(false, wanted, now)
    }

    /// Returns an address of `tried` to be dialled since another wants its place. Each is returned once.
    ///
    /// Its [`handle_success`](Self::handle_success) keeps the place, its [`handle_failure`](Self::handle_failure) gives it to
    /// the other. An address that is connected needs no dial: [`handle_seen`](Self::handle_seen) keeps its place.
    pub fn poll_test(&mut self, now: UnixTime) -> Option<PeerAddr> {
        while let Some(trial) = self.trials.next(now) {
            let (challenger, slot) = (trial.challenger, trial.slot);
            let waiting = self.tables.find_answering(challenger);
            let incumbent = self.tables.tried.at(slot).and_then(|id| self.tables.get(id));
            match (waiting, incumbent) {
                (Some(_), Some(incumbent)) if !answered_lately(incumbent, now) => {
                    trial.is_testing = true;
                    return Some(incumbent.address);
                }
                (Some(id), None) => {
                    self.trials.end(slot);
                    self.tables.promote(id);
                }
                (Some(_), Some(_)) | (None, _) => {
                    self.trials.end(slot);
                }
            }
        }
        None
    }

    /// Returns the last good outbound peers, the latest first: to be dialled first after a restart.
    ///
    /// # Security
    /// Who fills the book while we are down does not get all of our connections.
    #[must_use]
    pub fn anchors(&self) -> &[PeerAddr] {
        &self.anchors
    }

    /// Makes an address the latest anchor, instead of one of its group, or of the oldest beyond [`Book::MAX_ANCHORS`].
    /// Returns whether the address is admitted.
    pub fn anchor(&mut self, address: PeerAddr) -> bool {
        if self.refusal(address).is_some() {
            return false;
        }
        let group = Netgroup::of(address.host);
        self.anchors.retain(|anchor| Netgroup::of(anchor.host) != group);
        self.anchors.insert(0, address);
        self.anchors.truncate(Self::MAX_ANCHORS);
        true
    }

    fn choose(&mut self, from_tried: bool, wanted: &Wanted<'_>, now: UnixTime) -> Option<PeerAddr> {
        let (tables, penalties, rng) = (&self.tables, &self.penalties, &mut self.rng);
        let table = if from_tried { &tables.tried } else { &tables.new };
        let suits =
            |entry: &&Entry| wanted.admits(entry, now) && penalties.standing(entry.address.host, now) == Standing::Fine;
        // Grows, so that in a book of addresses that are all unlikely one is chosen all the same.
        let mut eagerness = Entry::CERTAIN;
        for _ in 0..Self::DRAWS {
            let entry = tables.get(table.draw(rng)?).filter(suits);
            if let Some(entry) = entry
                && u64::from(rng.next_u32()) < entry.chance(now).saturating_mul(eagerness)
            {
                return Some(entry.address);
            }
            eagerness = eagerness.saturating_mul(6) / 5;
        }
        let walk = table.walk(rng).take(Self::WALK).filter_map(|id| tables.get(id));
        walk.filter(|entry| suits(entry)).map(|entry| entry.address).next()
    }
}

impl Wanted<'_> {
    fn admits(&self, entry: &Entry, now: UnixTime) -> bool {
        let address = entry.address;
        entry.is_rested(now)
            && entry.services().contains(self.services)
            && self.families.contains(Family::of(address.host))
            && !self.addresses.contains(&address)
            && (self.groups.is_empty() || !self.groups.contains(&Netgroup::of(address.host)))
    }
}

fn answered_lately(incumbent: &Entry, now: UnixTime) -> bool {
    now.0.abs_diff(incumbent.last_success.0) < Book::UNDOUBTED
}

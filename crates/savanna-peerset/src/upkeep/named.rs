//! The addresses that were named: dialled again and again, with backoff.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use savanna_wire::PeerAddr;

/// How long an address is left alone after its first failure; each further one doubles it.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_secs(1);
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

/// How long an address is left alone whose peer is of no use to us, or broke the protocol.
pub(super) const INCOMPATIBLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What the operator named, and when each may be dialled.
#[derive(Debug, Default)]
pub(super) struct Named {
    places: BTreeMap<PeerAddr, Place>,
    /// The addresses that are at rest, by when each may be dialled.
    resting: BTreeSet<(Duration, u64, PeerAddr)>,
}

#[derive(Debug, Default)]
struct Place {
    failures: u32,
    /// Where it stands among the resting, if it rests.
    rest: Option<(Duration, u64)>,
    is_useless: bool,
}

impl Named {
    /// Remembers addresses, in an order that is drawn: not every node with the same list begins with the same peer.
    pub(super) fn new(addresses: impl IntoIterator<Item = PeerAddr>, rng: &mut ChaCha8Rng) -> Self {
        let mut named = Self::default();
        for address in addresses {
            if let Entry::Vacant(place) = named.places.entry(address) {
                place.insert(Place::default());
                named.rest(address, Duration::ZERO, rng);
            }
        }
        named
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = PeerAddr> + '_ {
        self.places.keys().copied()
    }

    pub(super) fn contains(&self, address: PeerAddr) -> bool {
        self.places.contains_key(&address)
    }

    /// Returns when the next address has rested.
    pub(super) fn next(&self) -> Option<Duration> {
        self.resting.first().map(|(when, _, _)| *when)
    }

    /// Takes the next address that has rested.
    pub(super) fn take(&mut self, now: Duration) -> Option<PeerAddr> {
        if self.next()? > now {
            return None;
        }
        let (_, _, address) = self.resting.pop_first()?;
        if let Some(place) = self.places.get_mut(&address) {
            place.rest = None;
        }
        Some(address)
    }

    /// Lets an address rest after a failure, or the end of its connection; one that is not known stays so.
    pub(super) fn failed(&mut self, address: PeerAddr, is_transient: bool, now: Duration, rng: &mut ChaCha8Rng) {
        let Some(place) = self.places.get_mut(&address) else { return };
        place.is_useless = !is_transient;
        let rest = if is_transient {
            place.failures += 1;
            FIRST_BACKOFF.saturating_mul(1 << (place.failures - 1).min(16)).min(LONGEST_BACKOFF)
        } else {
            INCOMPATIBLE_FOR
        };
        // Three to five quarters of it.
        let jitter = f64::from(rng.next_u32()) / f64::from(u32::MAX);
        self.rest(address, now + rest.mul_f64(0.75 + jitter / 2.0), rng);
    }

    /// Forgets the failures of an address: its connection has lasted.
    pub(super) fn lasted(&mut self, address: PeerAddr) {
        if let Some(place) = self.places.get_mut(&address) {
            place.failures = 0;
        }
    }

    /// Lets every address be dialled at once that rests for being out of reach: it was ours to be out of reach.
    pub(super) fn forgive(&mut self, now: Duration, rng: &mut ChaCha8Rng) {
        let all: Vec<PeerAddr> = self.resting.iter().map(|(_, _, address)| *address).collect();
        for address in all {
            if let Some(place) = self.places.get_mut(&address)
                && !place.is_useless
            {
                place.failures = 0;
                self.rest(address, now, rng);
            }
        }
    }

    fn rest(&mut self, address: PeerAddr, until: Duration, rng: &mut ChaCha8Rng) {
        let Some(place) = self.places.get_mut(&address) else { return };
        if let Some((when, draw)) = place.rest {
            self.resting.remove(&(when, draw, address));
        }
        let draw = rng.next_u64();
        place.rest = Some((until, draw));
        self.resting.insert((until, draw, address));
    }
}

//! Keeping up with a list of addresses: which to dial next, and which to leave alone for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use savanna_peer::CloseReason;
use savanna_wire::PeerAddr;

pub use dial::{DialFailure, Dialer};

mod dial;
mod run;

/// How many dials and handshakes are in flight at most.
pub const MAX_DIALS: usize = 50;

/// How many are in flight at once to begin with, even where fewer peers are wanted.
const FIRST_DIALS: usize = 8;

/// A dial that has taken this long holds up no other.
const SLOW_DIAL: Duration = Duration::from_millis(500);

/// How long an address is left alone after its first failure; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

/// How long an address is left alone whose peer is of no use to us, or broke the protocol.
const INCOMPATIBLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a connection must have lasted for its address to count as good again.
const STABLE: Duration = Duration::from_secs(60);

/// Decides which address of a list to dial, without IO.
///
/// # Security
/// Backoff and its jitter keep a crowd of nodes from dialling a returning peer all at once, and a peer that hangs up at once
/// from being dialled in a circle.
#[derive(Debug)]
pub struct Upkeep {
    rng: ChaCha8Rng,
    target: usize,
    places: BTreeMap<PeerAddr, Place>,
    /// The addresses that are at rest, by when each may be dialled.
    resting: BTreeSet<(Duration, u64, PeerAddr)>,
    /// The dials in flight, by when each began.
    dialing: BTreeSet<(Duration, PeerAddr)>,
    connected: usize,
}

#[derive(Debug)]
struct Place {
    state: State,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Resting,
    Dialing { since: Duration },
    Connected { since: Duration },
}

impl Upkeep {
    /// Plans to stay connected to `target` of the addresses, or to as many as there are.
    ///
    /// They are dialled in an order drawn from the seed, so that not every node with the same list begins with the same peer.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = PeerAddr>, target: usize, seed: [u8; 32]) -> Self {
        let rng = ChaCha8Rng::from_seed(seed);
        let (resting, dialing) = (BTreeSet::new(), BTreeSet::new());
        let mut upkeep = Self { rng, target, places: BTreeMap::new(), resting, dialing, connected: 0 };
        for address in addresses {
            if let std::collections::btree_map::Entry::Vacant(place) = upkeep.places.entry(address) {
                place.insert(Place { state: State::Resting, failures: 0 });
                upkeep.resting.insert((Duration::ZERO, upkeep.rng.next_u64(), address));
            }
        }
        upkeep
    }

    /// Returns how many addresses are connected.
    #[must_use]
    pub const fn connected(&self) -> usize {
        self.connected
    }

    /// Returns how many dials are in flight.
    #[must_use]
    pub fn dialing(&self) -> usize {
        self.dialing.len()
    }

    /// Notes that a dial led to a connection.
    pub fn handle_connected(&mut self, address: PeerAddr, now: Duration) {
        if let Some(place) = self.places.get_mut(&address)
            && let State::Dialing { since } = place.state
        {
            self.dialing.remove(&(since, address));
            place.state = State::Connected { since: now };
            self.connected += 1;
        }
    }

    /// Notes that a dial failed, or that a connection ended.
    pub fn handle_ended(&mut self, address: PeerAddr, reason: &DialFailure, now: Duration) {
        let Some(place) = self.places.get_mut(&address) else { return };
        match place.state {
            State::Resting => return,
            State::Dialing { since } => {
                self.dialing.remove(&(since, address));
            }
            State::Connected { since } => {
                self.connected -= 1;
                if now.saturating_sub(since) >= STABLE {
                    place.failures = 0;
                }
            }
        }
        place.state = State::Resting;
        let rest = if reason.is_transient() {
            place.failures += 1;
            FIRST_BACKOFF.saturating_mul(1 << (place.failures - 1).min(16)).min(LONGEST_BACKOFF)
        } else {
            INCOMPATIBLE_FOR
        };
        // Three to five quarters of it.
        let jitter = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        let when = now + rest.mul_f64(0.75 + jitter / 2.0);
        self.resting.insert((when, self.rng.next_u64(), address));
    }

    /// Returns the next address to dial, if one is to be dialled.
    pub fn poll_dial(&mut self, now: Duration) -> Option<PeerAddr> {
        if !self.wants_dial(now) || self.resting.first()?.0 > now {
            return None;
        }
        let (_, _, address) = self.resting.pop_first()?;
        if let Some(place) = self.places.get_mut(&address) {
            place.state = State::Dialing { since: now };
        }
        self.dialing.insert((now, address));
        Some(address)
    }

    /// Returns when [`poll_dial`](Self::poll_dial) is to be called next, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        if self.connected >= self.target || self.dialing.len() >= MAX_DIALS {
            return None;
        }
        let (rested, _, _) = self.resting.first()?;
        if self.wants_dial(now) {
            return Some(*rested);
        }
        // The oldest of the fresh dials is the next to count as slow.
        let slow = self.dialing.iter().map(|(since, _)| *since + SLOW_DIAL).find(|slow| *slow > now)?;
        Some((*rested).max(slow))
    }

    fn wants_dial(&self, now: Duration) -> bool {
        let fresh = self.dialing.iter().rev().take_while(|(since, _)| now < *since + SLOW_DIAL).count();
        let lacking = self.target.saturating_sub(self.connected);
        lacking > 0 && self.dialing.len() < MAX_DIALS && fresh < lacking.max(FIRST_DIALS)
    }
}

impl DialFailure {
    /// Returns whether the same address may well lead to a peer soon.
    const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable | Self::NoSlot => true,
            Self::Closed(reason) => reason.is_transient(),
        }
    }
}

impl From<CloseReason> for DialFailure {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

#[cfg(test)]
mod tests;

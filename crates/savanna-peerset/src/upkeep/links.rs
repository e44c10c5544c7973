//! The connections that we dialled, and those that we are dialling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use savanna_book::Netgroup;
use savanna_wire::PeerAddr;

/// What an address is dialled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// The operator named it.
    Named,
    /// It was a good peer before the last restart.
    Anchor,
    /// The book offered it, to be a peer.
    Full,
    /// The book offered it, to be a peer in place of the least useful one.
    Extra,
    /// To learn whether somebody is there: the connection ends at once.
    Feeler,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Named, Self::Anchor, Self::Full, Self::Extra, Self::Feeler];

    /// Returns the name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Anchor => "anchor",
            Self::Full => "full",
            Self::Extra => "extra",
            Self::Feeler => "feeler",
        }
    }
}

/// One address that is in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) purpose: Purpose,
    /// Since when it has been in its present state.
    pub(super) since: Duration,
    pub(super) state: State,
    /// When it was asked for blocks last, and when it delivered some.
    pub(super) asked: Option<Duration>,
    pub(super) delivered: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Dialing,
    Connected,
    /// Connected, and about to be let go.
    Leaving,
}

/// The addresses that are in use.
#[derive(Debug, Default)]
pub(super) struct Links {
    all: BTreeMap<PeerAddr, Link>,
    /// The dials in flight, by when each began.
    dialing: BTreeSet<(Duration, PeerAddr)>,
    connected: usize,
}

impl Links {
    pub(super) fn link(&self, address: PeerAddr) -> Option<Link> {
        self.all.get(&address).copied()
    }

    /// Returns how many are connected to stay.
    pub(super) const fn connected(&self) -> usize {
        self.connected
    }

    pub(super) fn dialing(&self) -> usize {
        self.dialing.len()
    }

    /// Returns how many are in use for a purpose, dialled or connected.
    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.all.values().filter(|link| link.purpose == purpose && link.state != State::Leaving).count()
    }

    /// Returns how many anchors are being dialled.
    pub(super) fn anchors_dialing(&self) -> usize {
        self.dialing.iter().filter(|(_, address)| self.is_anchor(*address)).count()
    }

    /// Returns the dials in flight, except those of anchors, by when each began.
    pub(super) fn begun(&self) -> impl DoubleEndedIterator<Item = Duration> + '_ {
        self.dialing.iter().filter(|(_, address)| !self.is_anchor(*address)).map(|(since, _)| *since)
    }

    fn is_anchor(&self, address: PeerAddr) -> bool {
        self.all.get(&address).is_some_and(|link| link.purpose == Purpose::Anchor)
    }

    /// Returns those who are connected to stay.
    pub(super) fn staying(&self) -> impl Iterator<Item = (PeerAddr, Link)> + '_ {
        self.all.iter().filter(|(_, link)| link.state == State::Connected).map(|(address, link)| (*address, *link))
    }

    /// Returns the addresses that are in use.
    pub(super) fn addresses(&self) -> impl Iterator<Item = PeerAddr> + '_ {
        self.all.keys().copied()
    }

    /// Returns the networks of which there is a peer, or of which one is dialled.
    pub(super) fn groups(&self) -> BTreeSet<Netgroup> {
        let counts = |link: &Link| link.purpose != Purpose::Feeler && link.state != State::Leaving;
        self.all.iter().filter(|(_, link)| counts(link)).map(|(address, _)| Netgroup::of(address.host)).collect()
    }

    /// Begins to dial.
    pub(super) fn dial(&mut self, address: PeerAddr, purpose: Purpose, now: Duration) {
        self.end(address);
        self.all.insert(address, Link { purpose, since: now, state: State::Dialing, asked: None, delivered: None });
        self.dialing.insert((now, address));
    }

    /// Notes that a dial led to a connection.
    pub(super) fn connect(&mut self, address: PeerAddr, stays: bool, now: Duration) {
        let Some(link) = self.all.get_mut(&address) else { return };
        self.dialing.remove(&(link.since, address));
        link.since = now;
        link.state = if stays { State::Connected } else { State::Leaving };
        self.connected += usize::from(stays);
    }

    /// Notes that a connection is about to be let go.
    pub(super) fn let_go(&mut self, address: PeerAddr) {
        let Some(link) = self.all.get_mut(&address) else { return };
        if link.state == State::Connected {
            link.state = State::Leaving;
            self.connected -= 1;
        }
    }

    /// Notes that a dial or a connection has ended, and returns what it was.
    pub(super) fn end(&mut self, address: PeerAddr) -> Option<Link> {
        let link = self.all.remove(&address)?;
        match link.state {
            State::Dialing => {
                self.dialing.remove(&(link.since, address));
            }
            State::Connected => self.connected -= 1,
            State::Leaving => {}
        }
        Some(link)
    }

    /// Lets an extra peer be one like the others.
    pub(super) fn promote(&mut self, address: PeerAddr) {
        if let Some(link) = self.all.get_mut(&address)
            && link.purpose == Purpose::Extra
        {
            link.purpose = Purpose::Full;
        }
    }

    /// Notes that an address was named. Returns whether it is in use, and so is not to be dialled.
    pub(super) fn name(&mut self, address: PeerAddr) -> bool {
        let Some(link) = self.all.get_mut(&address) else { return false };
        link.purpose = Purpose::Named;
        true
    }

    pub(super) fn note_asked(&mut self, address: PeerAddr, at: Duration) {
        if let Some(link) = self.all.get_mut(&address) {
            link.asked = link.asked.max(Some(at));
        }
    }

    pub(super) fn note_delivered(&mut self, address: PeerAddr, at: Duration) {
        if let Some(link) = self.all.get_mut(&address) {
            link.delivered = link.delivered.max(Some(at));
        }
    }
}

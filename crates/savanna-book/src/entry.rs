//! What is known of one address.

use savanna_wire::{Host, PeerAddr, ProtocolVersion, Services, UserAgent, Version};

use crate::bucket::{BUCKET_LEN, NEW_BUCKETS};
use crate::time::DAY;
use crate::{Netgroup, UnixTime};

/// From whom an address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The DNS seed with this number in the caller's list.
    Dns(u8),
    /// A peer at this host told of it.
    Gossip(Host),
    /// The operator.
    Config,
    /// The remote address of an inbound connection, which no book takes: nobody listens there.
    Inbound,
}

impl Source {
    /// Returns the group that the source's addresses are charged to.
    #[must_use]
    pub fn group(self) -> Netgroup {
        match self {
            Self::Dns(seed) => Netgroup::of_seed(seed),
            Self::Gossip(host) => Netgroup::of(host),
            Self::Config | Self::Inbound => Netgroup::of_operator(),
        }
    }

    /// Returns a short name from a fixed set, for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Gossip(_) => "gossip",
            Self::Config => "config",
            Self::Inbound => "inbound",
        }
    }
}

/// What a peer said of itself in its last handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The protocol version it speaks.
    pub version: ProtocolVersion,
    /// What it offers.
    pub services: Services,
    /// The height of its best block, as it claims.
    pub height: i32,
    /// Its software.
    pub user_agent: UserAgent,
}

impl From<&Version> for Handshake {
    fn from(version: &Version) -> Self {
        Self {
            version: version.version,
            services: version.services,
            height: version.height,
            user_agent: version.user_agent.clone(),
        }
    }
}

/// The most places in `new` that one address takes.
pub(crate) const MAX_PLACES: usize = 8;

/// An address of the book. Kept small: there are tens of thousands.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) address: PeerAddr,
    pub(crate) source: Netgroup,
    /// As gossip has it.
    pub(crate) services: Services,
    pub(crate) seen: UnixTime,
    pub(crate) last_try: UnixTime,
    pub(crate) last_success: UnixTime,
    pub(crate) last_counted: UnixTime,
    pub(crate) rests_until: UnixTime,
    pub(crate) attempts: u16,
    pub(crate) successes: u16,
    /// In a row.
    pub(crate) failures: u8,
    pub(crate) placed: u8,
    /// Whether its one place is in `tried`.
    pub(crate) is_tried: bool,
    places: [u16; MAX_PLACES],
    pub(crate) handshake: Option<Box<Handshake>>,
}

impl Entry {
    /// Unseen for so long, an address is worth nothing: 30 days, in seconds.
    pub(crate) const STALE_AFTER: u32 = 30 * DAY;
    /// How far ahead of our clock a time may be.
    pub(crate) const FUTURE: u32 = 600;
    /// Failures after which an address that never answered is worth nothing.
    const NEW_FAILURES: u8 = 3;
    /// Failures after which one that did not answer for [`Self::SILENT_FOR`] is worth nothing.
    const OLD_FAILURES: u8 = 10;
    const SILENT_FOR: u32 = 7 * DAY;
    /// How long an attempt protects an entry, and makes it unlikely to be chosen again, in seconds.
    const JUST_TRIED: u32 = 60;
    const RECENTLY_TRIED: u32 = 600;

    pub(crate) const fn new(address: PeerAddr, source: Netgroup, services: Services, seen: UnixTime) -> Self {
        Self {
            address,
            source,
            services,
            seen,
            last_try: UnixTime::NEVER,
            last_success: UnixTime::NEVER,
            last_counted: UnixTime::NEVER,
            rests_until: UnixTime::NEVER,
            attempts: 0,
            successes: 0,
            failures: 0,
            placed: 0,
            is_tried: false,
            places: [0; MAX_PLACES],
            handshake: None,
        }
    }

    /// Returns what the peer offers: by its own word if there is one.
    pub(crate) fn services(&self) -> Services {
        self.handshake.as_ref().map_or(self.services, |handshake| handshake.services)
    }

    /// Returns the slots where the entry stands.
    pub(crate) fn places(&self) -> &[u16] {
        &self.places[..usize::from(self.placed)]
    }

    pub(crate) fn push_place(&mut self, slot: u16) {
        self.places[usize::from(self.placed)] = slot;
        self.placed += 1;
    }

    pub(crate) fn drop_place(&mut self, slot: u16) {
        if let Some(found) = self.places().iter().position(|place| *place == slot) {
            self.placed -= 1;
            self.places.swap(found, usize::from(self.placed));
        }
    }

    /// Returns whether the entry is worth so little that any other may have its place.
    pub(crate) fn is_terrible(&self, now: UnixTime) -> bool {
        if self.last_try != UnixTime::NEVER && now.0.abs_diff(self.last_try.0) <= Self::JUST_TRIED {
            return false;
        }
        let never_answered = self.last_success == UnixTime::NEVER;
        self.is_from_future(now)
            || now.since(self.seen) > Self::STALE_AFTER
            || (never_answered && self.failures >= Self::NEW_FAILURES)
            || (self.failures >= Self::OLD_FAILURES && now.since(self.last_success) > Self::SILENT_FOR)
    }

    pub(crate) fn is_from_future(&self, now: UnixTime) -> bool {
        self.seen > now.plus(Self::FUTURE)
    }

    /// Returns how likely the entry is taken when it is drawn, of [`Self::CERTAIN`].
    pub(crate) fn chance(&self, now: UnixTime) -> u64 {
        let chance = Self::BY_FAILURES[usize::from(self.failures).min(Self::BY_FAILURES.len() - 1)];
        let is_recent = self.last_try != UnixTime::NEVER && now.0.abs_diff(self.last_try.0) < Self::RECENTLY_TRIED;
        if is_recent { chance / 100 } else { chance }
    }

    pub(crate) const CERTAIN: u64 = 1 << 16;
    /// Two thirds for each failure.
    const BY_FAILURES: [u64; 9] = [65_536, 43_254, 28_548, 18_841, 12_435, 8_207, 5_417, 3_575, 2_360];

    /// Returns whether the entry may be dialled: a rest that is longer than any is the trace of a clock that jumped.
    pub(crate) fn is_rested(&self, now: UnixTime) -> bool {
        now >= self.rests_until || self.rests_until.since(now) > 2 * DAY
    }
}

const _: () = assert!(NEW_BUCKETS as u32 * BUCKET_LEN as u32 <= 1 << 16, "a place is 16 bits");
const _: () = assert!(size_of::<Option<Entry>>() <= 104, "tens of thousands are kept");

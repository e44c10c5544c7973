//! Keeping connected: which address to dial next and what for, whom to keep, and whom to let go.

use std::collections::VecDeque;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use savanna_book::{Book, Failure, Handshake, Source, UnixTime};
use savanna_peer::{CloseReason, Incompatibility, Now, PeerInfo};
use savanna_wire::{AddrV2, BlockHash, PeerAddr, Services};

use crate::PeerCounts;
use crate::gossip::{Learned, learn};
use crate::seeds::SeedAnswer;

pub use dial::{DialFailure, Dialer};
pub use links::Purpose;
pub use policy::Policy;

use chance::after;
use demand::Demand;
use links::{Links, State};
use meeting::Meeting;
use named::Named;
use news::News;
use ourselves::Ourselves;
use rests::Rests;
use seeding::Seeding;
use weather::Weather;

pub(crate) mod chance;
mod demand;
mod dial;
mod links;
mod meeting;
mod named;
mod news;
mod ourselves;
mod policy;
mod rests;
mod run;
mod seeding;
mod turn;
mod watched;
mod weather;

/// How many dials and handshakes are in flight at most.
pub const MAX_DIALS: usize = 50;

/// How many are in flight at once to begin with, even where fewer peers are wanted.
const FIRST_DIALS: usize = 8;

/// A dial that has taken this long holds up no other.
const SLOW_DIAL: Duration = Duration::from_millis(500);

/// How long a connection must have lasted for its address to count as good again.
const STABLE: Duration = Duration::from_secs(60);

/// How long between two feelers, on average.
const FEELER_EVERY: Duration = Duration::from_secs(120);

/// How long between two extra peers, on average; and while no peer tells of any new block.
const EXTRA_EVERY: Duration = Duration::from_secs(600);
const EXTRA_WHEN_STALE: Duration = Duration::from_secs(60);

/// How long an extra peer has to show itself more useful than another.
const EXTRA_TRIAL: Duration = Duration::from_secs(45);

/// Blocks have stopped coming after so long: at one in 25 seconds that happens once in 10^15 times, at one in 75 once in
/// 160,000.
const STALE_AFTER: Duration = Duration::from_secs(15 * 60);

/// How long after it was asked for blocks last a peer counts as idle, so that its connection may end without loss.
const IDLE_AFTER: Duration = Duration::from_secs(30);

/// How long until a book that had nobody to offer is looked into again, if nothing is learned before.
const DRY_FOR: Duration = Duration::from_secs(5);

/// How often the clocks are looked at, if nothing else happens.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What an [`Upkeep`] wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An address is to be dialled, and told to [`Upkeep::handle_connected`] or [`Upkeep::handle_ended`].
    Dial(PeerAddr, Purpose),
    /// A connection is to be closed; its end goes to [`Upkeep::handle_ended`].
    LetGo(PeerAddr),
    /// A peer that is connected is to be met on a second connection, which is closed after it was asked for addresses; what came
    /// of it goes to [`Upkeep::handle_met`].
    Meet(PeerAddr),
    /// The seeds are to be asked; the answer goes to [`Upkeep::handle_seeds`].
    AskSeeds,
}

/// What is to become of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It is a peer. With `asks`, it is asked for addresses first, which go to [`Upkeep::handle_addresses`].
    Keep {
        /// Whether to ask.
        asks: bool,
    },
    /// It is closed, after it was asked for addresses, which go to [`Upkeep::handle_addresses`].
    Meet,
    /// It is closed at once.
    LetGo,
}

/// Decides whom to dial, whom to keep and whom to let go, without IO.
///
/// The plan is one of a node's two memories. What is known of addresses is the [`Book`]'s, which is handed in with each call,
/// because others write into it as well. What is in use at this moment is the plan's.
///
/// - Addresses that were named are dialled whenever fewer are connected than wanted, with backoff.
/// - Anchors come next, once: the last good peers before a restart.
/// - All others the book chooses, one a network where the [`Policy`] says so.
/// - One feeler at a time learns whether an address that was only heard of leads anywhere, or whether one that is about to
///   lose its place in the book still does.
/// - Now and then an extra peer gets the chance to take the place of the least useful one.
/// - Those who are connected are met again when nobody else is left, and the seeds are asked.
///
/// What makes a peer useful is what it delivers when it is asked. In a node that asks for nothing nobody is more useful than
/// another, and an extra peer takes nobody's place.
///
/// # Security
/// Nothing that a peer tells is dialled for that reason: addresses go to the book, and the book's choice is random. Backoff and
/// its jitter keep a crowd of nodes from dialling a returning peer all at once, and a peer that hangs up at once from being
/// dialled in a circle. When nobody can be reached, that is taken for our own fault, and no address is blamed.
#[derive(Debug)]
pub struct Upkeep {
    rng: ChaCha8Rng,
    policy: Policy,
    named: Named,
    anchors: VecDeque<PeerAddr>,
    links: Links,
    rests: Rests,
    weather: Weather,
    demand: Demand,
    seeding: Seeding,
    meeting: Meeting,
    ourselves: Ourselves,
    feeler: Duration,
    extra: Duration,
    /// When an extra peer was looked for.
    extra_tried: Duration,
    /// Until when the book is known to have nobody to offer.
    dry_until: Option<Duration>,
    looked: Duration,
    news: News,
}

impl Upkeep {
    /// Plans to stay connected to `target` of the addresses, or to as many as there are, and to nobody else.
    ///
    /// They are dialled in an order drawn from the seed, so that not every node with the same list begins with the same peer.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = PeerAddr>, target: usize, seed: [u8; 32]) -> Self {
        Self::with_policy(Policy::named_only(target), addresses, [], seed)
    }

    /// Plans by a policy. `named` are the operator's own peers, `anchors` those of before the restart:
    /// [`Book::anchors`].
    #[must_use]
    pub fn with_policy(
        policy: Policy,
        named: impl IntoIterator<Item = PeerAddr>,
        anchors: impl IntoIterator<Item = PeerAddr>,
        seed: [u8; 32],
    ) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        let named = Named::new(named, &mut rng);
        let anchors = anchors.into_iter().take(Book::MAX_ANCHORS).collect();
        let (feeler, extra) = (after(FEELER_EVERY, &mut rng), after(EXTRA_EVERY, &mut rng));
        Self {
            rng,
            policy,
            named,
            anchors,
            links: Links::default(),
            rests: Rests::default(),
            weather: Weather::default(),
            demand: Demand::new(policy.target, policy.ceiling),
            seeding: Seeding::new(),
            meeting: Meeting::new(policy.meets_beside),
            ourselves: Ourselves::default(),
            feeler,
            extra,
            extra_tried: Duration::ZERO,
            dry_until: None,
            looked: Duration::ZERO,
            news: News::default(),
        }
    }

    /// Returns how many peers are connected to stay.
    #[must_use]
    pub const fn connected(&self) -> usize {
        self.links.connected()
    }

    /// Returns how many dials are in flight.
    #[must_use]
    pub fn dialing(&self) -> usize {
        self.links.dialing()
    }

    /// Returns how many peers are wanted at this moment.
    #[must_use]
    pub const fn target(&self) -> usize {
        self.demand.target()
    }

    /// Returns how many addresses are in use for a purpose, dialled or connected.
    #[must_use]
    pub fn count(&self, purpose: Purpose) -> usize {
        self.links.count(purpose)
    }

    /// Returns whether nobody can be reached, for which no peer is blamed.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.connected() == 0 && self.weather.is_offline()
    }

    /// Notes that a dial led to a peer, and says what is to become of it.
    pub fn handle_connected(&mut self, address: PeerAddr, info: &PeerInfo, book: &mut Book, now: Now) -> Admission {
        let Some(link) = self.links.link(address).filter(|link| link.state == State::Dialing) else {
            return Admission::LetGo;
        };
        self.heard(now);
        let asks = self.policy.uses_book;
        if asks {
            let unix = UnixTime::from(now.unix);
            if link.purpose == Purpose::Named {
                let heard = AddrV2 { time: unix.0, services: info.remote.services, address };
                book.add(heard, Source::Config, unix);
            }
            book.handle_success(address, Handshake::from(&info.remote), unix);
        }
        let stays = self.has_place_for(link.purpose);
        self.links.connect(address, stays, now.monotonic);
        match (stays, asks) {
            (true, _) => Admission::Keep { asks },
            (false, true) => Admission::Meet,
            (false, false) => Admission::LetGo,
        }
    }

    /// Notes that a dial failed, or that a connection ended.
    pub fn handle_ended(&mut self, address: PeerAddr, reason: &DialFailure, book: &mut Book, now: Now) {
        let Some(link) = self.links.end(address) else { return };
        let (time, unix) = (now.monotonic, UnixTime::from(now.unix));
        let is_dial = link.state == State::Dialing;
        match reason {
            DialFailure::NoSlot => {}
            DialFailure::Unreachable => {
                if self.weather.silent(address, self.connected() > 0, time) && self.policy.uses_book {
                    book.handle_failure(address, Failure::Unreachable, unix);
                }
            }
            DialFailure::Closed(reason) => {
                if is_dial {
                    self.heard(now);
                }
                if is_dial && *reason == CloseReason::ClosedByPeer && self.ourselves.hung_up(address, time) {
                    book.own(address);
                }
                if self.policy.uses_book {
                    blame(address, reason, is_dial, book, unix);
                }
            }
        }
        let comes_back = self.meeting.left(address, time);
        if !is_dial && time.saturating_sub(link.since) >= STABLE {
            book.handle_seen(address, unix);
            self.named.lasted(address);
            self.rests.forget(address);
        } else if !is_dial && !comes_back {
            self.rests.rest(address, time);
        }
        if !comes_back {
            self.named.failed(address, reason.is_transient(), time, &mut self.rng);
            self.dry_until = None;
        }
    }

    /// Takes the addresses that a peer answered when it was asked for them; none if it did not answer.
    pub fn handle_addresses(&mut self, peer: PeerAddr, addresses: &[AddrV2], book: &mut Book, now: Now) -> Learned {
        if !self.policy.uses_book {
            return Learned::default();
        }
        self.handle_learned();
        let learned = learn(book, addresses, Source::Gossip(peer.host), now);
        self.meeting.answered(peer, learned.new > 0, now.monotonic);
        learned
    }

    /// Takes the addresses of a peer that was met beside its connection; nothing if there was no second connection, which does
    /// not tell against it.
    pub fn handle_met(&mut self, peer: PeerAddr, addresses: Option<&[AddrV2]>, book: &mut Book, now: Now) -> Learned {
        let Some(addresses) = addresses else {
            self.meeting.refused(now.monotonic);
            return Learned::default();
        };
        let learned = self.handle_addresses(peer, addresses, book, now);
        self.meeting.end(learned.new > 0, now.monotonic);
        learned
    }

    /// Notes that the book has learned of addresses by another way.
    pub const fn handle_learned(&mut self) {
        self.dry_until = None;
    }

    /// Takes what the seeds have answered.
    pub fn handle_seeds(&mut self, answers: &[SeedAnswer], book: &mut Book, now: Now) -> Learned {
        self.seeding.end(now.monotonic);
        self.handle_learned();
        let mut learned = Learned::default();
        for SeedAnswer { seed, addresses } in answers {
            let entry = |address: &PeerAddr| AddrV2 { time: 0, services: Services::NODE_NETWORK, address: *address };
            let entries: Vec<AddrV2> = addresses.iter().map(entry).collect();
            learned += learn(book, &entries, Source::Dns(*seed), now);
        }
        learned
    }

    /// Notes that somebody who dialled us with a nonce of ours claims to have dialled an address. It is believed when our own dial
    /// to that address is closed at the same time.
    pub fn handle_ourselves(&mut self, claimed: PeerAddr, book: &mut Book, now: Now) {
        if self.ourselves.claimed(claimed, now.monotonic) {
            book.own(claimed);
        }
    }

    /// Notes how busy the peers are.
    pub fn handle_counts(&mut self, counts: PeerCounts, now: Now) {
        self.demand.observe(counts, now.monotonic);
    }

    /// Notes that a peer tells of a block. It counts for nothing in its favour: hashes can be invented.
    pub fn handle_block(&mut self, block: BlockHash, now: Now) {
        if self.news.announced(block, now.monotonic) {
            self.weather.answered();
        }
    }

    /// Notes that a peer that we dialled was asked for blocks, for headers or for hashes of blocks.
    pub fn handle_asked(&mut self, address: PeerAddr, at: Duration) {
        self.news.asked(at);
        self.links.note_asked(address, at);
    }

    /// Notes that a peer that we dialled delivered some of what it was asked for.
    pub fn handle_delivered(&mut self, address: PeerAddr, at: Duration) {
        self.news.delivered(at);
        self.links.note_delivered(address, at);
    }

    /// Notes that we can be heard; when that is news, everybody gets another chance at once.
    fn heard(&mut self, now: Now) {
        if self.weather.answered() {
            self.wake(now.monotonic);
        }
    }

    fn wake(&mut self, now: Duration) {
        self.named.forgive(now, &mut self.rng);
        self.dry_until = None;
    }

    /// Returns whether a peer that was dialled for a purpose may stay.
    fn has_place_for(&self, purpose: Purpose) -> bool {
        let (connected, target) = (self.connected(), self.target());
        match purpose {
            Purpose::Feeler => false,
            Purpose::Extra => connected <= target,
            Purpose::Anchor => connected < target,
            // A far anchor has its place until it fails, however quick others are.
            Purpose::Full => connected + self.links.anchors_dialing() < target,
            // One from the book makes room for it.
            Purpose::Named => {
                connected < target || self.links.staying().any(|(_, link)| link.purpose != Purpose::Named)
            }
        }
    }
}

/// Tells the book why a connection ended, where that says anything of the peer.
fn blame(address: PeerAddr, reason: &CloseReason, is_handshake: bool, book: &mut Book, now: UnixTime) {
    if *reason == CloseReason::Incompatible(Incompatibility::OurSelf) {
        book.own(address);
    } else if !reason.is_transient() {
        book.handle_failure(address, Failure::Useless, now);
    } else if is_handshake && !matches!(reason, CloseReason::Local(_)) {
        book.handle_failure(address, Failure::Unreachable, now);
    }
    if matches!(reason, CloseReason::Malformed(_) | CloseReason::Misbehaved(_)) {
        book.penalties_mut().penalize(address.host, reason.penalty(), now);
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

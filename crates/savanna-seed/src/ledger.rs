//! All nodes that are known: whom to try when, what came of it, who may be named.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use savanna_book::{Handshake, Netgroup, Subnet, UnixTime};
use savanna_chain::Checkpoints;
use savanna_peerset::crawler::{Chain, Scope};
use savanna_wire::{Network, PeerAddr, ProtocolVersion};

use crate::{Decision, Depth, Floor, Refusal, Reliability, Steadiness};

pub use kept::{Kept, Snapshot};
pub use vetting::{Report, Vetting};

mod kept;
mod rest;
mod room;
mod silence;
mod vetting;

/// How many conversations go on at most.
pub const MAX_TRIES: usize = 256;

/// How many of them are kept for nodes that have answered before.
const FOR_PROVEN: usize = 64;

/// How many conversations go on at most while nobody answers.
const OFFLINE_TRIES: usize = 16;

/// A step back of our clock that is larger is followed, in seconds.
const CLOCK_SLACK: u32 = 60;

/// What a ledger is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerConfig {
    /// The network.
    pub network: Network,
    /// Whether private addresses are tried and named: on networks of one's own.
    pub scope: Scope,
    /// How many nodes are tracked at most. A node takes some 400 bytes.
    pub capacity: usize,
    /// How long nobody may have answered until nobody is named, in seconds, where three at least of those that were there
    /// have been asked since. A network may be so small that so many cannot be asked: nodes refuse an address that comes
    /// twice within two minutes. So without such a proof it takes [`Self::SMALL_STALE_AFTER`], if that is longer.
    pub stale_after: u32,
}

impl LedgerConfig {
    /// How many nodes are tracked unless said otherwise.
    pub const CAPACITY: usize = 50_000;
    /// How long nobody may have answered unless said otherwise, in seconds: so that answers are empty within the shortest time
    /// to live.
    pub const STALE_AFTER: u32 = 48;

    /// Returns what suits a network.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        Self { network, scope: Scope::of(network), capacity: Self::CAPACITY, stale_after: Self::STALE_AFTER }
    }
}

/// A conversation to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// With whom.
    pub address: PeerAddr,
    /// How much of its chain it is to show.
    pub depth: Depth,
    /// Whether it is to be asked for addresses.
    pub asks_addresses: bool,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It shook hands.
    Met {
        /// What it said of itself.
        said: Handshake,
        /// What it showed of its chain when asked as deep as the try wanted.
        chain: Chain,
    },
    /// It did not answer, or nothing that makes sense.
    Missed,
    /// It hung up before it had said a word: because it was asked of late, if it was, and else it was missed.
    HungUp,
    /// We could not try, and it is not to blame.
    Unsettled,
}

/// Tracks the nodes of a network, without IO.
///
/// Good nodes are met every half hour to an hour, and in their first hour every eight minutes: so it is known whether they
/// stay. Until enough are known to, whoever answers is named. A node that fails is asked again soon, since one failure may be
/// ours; one that goes on failing is asked ever less, by the rules that Bitcoin's seeders share.
///
/// While nobody answers, it is this machine that is offline, or the network that is gone: no node is blamed, few are tried, and the good ones first. Nobody is named when that has lasted [`LedgerConfig::stale_after`]. No node
/// is asked twice within two minutes: Zebra refuses that, and it would look like an absence.
///
/// # Security
/// Addresses that nodes tell are tried only where they could be named, and one group of addresses holds, or tells, a bounded
/// part of all, an IPv6 subnet a few. When there is no room, what has failed goes first, then what was not tried or is of no use
/// and is of the largest crowd, and a good node only where a crowd stands against a few: a flood of new addresses displaces
/// itself, whether or not it answers.
#[derive(Debug)]
pub struct Ledger {
    config: LedgerConfig,
    floor: Floor,
    rng: ChaCha8Rng,
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    index: BTreeMap<PeerAddr, u32>,
    /// Those that have answered once, by when they are tried next.
    proven: BTreeSet<(UnixTime, u32)>,
    /// Those that never have.
    unproven: BTreeSet<(UnixTime, u32)>,
    /// How many nodes each group has.
    groups: BTreeMap<Netgroup, u32>,
    /// How many nodes each IPv6 subnet has.
    subnets: BTreeMap<Subnet, u32>,
    /// How many nodes that never answered each group has told.
    told: BTreeMap<Netgroup, u32>,
    /// How many nodes have answered once.
    answered: usize,
    trying: usize,
    canaries: usize,
    last_canary: UnixTime,
    /// When anybody who could be named answered last, in this run.
    last_heard: UnixTime,
    /// Those that were there and have been missed since then, a few of them.
    missing: BTreeSet<u32>,
    /// The last time that was told.
    latest: UnixTime,
}

/// What is known of a node. Kept small: there are tens of thousands.
#[derive(Debug)]
struct Node {
    address: PeerAddr,
    reliability: Reliability,
    steadiness: Steadiness,
    said: Option<Box<Handshake>>,
    first_heard: UnixTime,
    last_success: UnixTime,
    /// When it was last asked anything.
    asked: UnixTime,
    /// When that ended.
    ended: UnixTime,
    /// When it last showed its chain at depth.
    shown: UnixTime,
    next: UnixTime,
    source: Netgroup,
    chain: Chain,
    failures: u8,
    trying: Trying,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trying {
    No,
    InTurn(Depth),
    Canary(Depth),
}

const _: () = assert!(size_of::<Option<Node>>() <= 192, "tens of thousands are kept");

impl Node {
    const fn new(address: PeerAddr, source: Netgroup, now: UnixTime) -> Self {
        Self {
            address,
            reliability: Reliability::NEW,
            steadiness: Steadiness::NEW,
            said: None,
            first_heard: now,
            last_success: UnixTime::NEVER,
            asked: UnixTime::NEVER,
            ended: UnixTime::NEVER,
            shown: UnixTime::NEVER,
            next: now,
            source,
            chain: Chain::Unknown,
            failures: 0,
            trying: Trying::No,
        }
    }

    const fn is_proven(&self) -> bool {
        self.reliability.successes() > 0
    }
}

impl Ledger {
    /// Begins without a node. The floor begins where a block at `known_height` leaves no doubt.
    #[must_use]
    pub fn new(config: LedgerConfig, known_height: u32, seed: [u8; 32]) -> Self {
        Self {
            config,
            floor: Floor::new(config.network, known_height),
            rng: ChaCha8Rng::from_seed(seed),
            nodes: Vec::new(),
            free: Vec::new(),
            index: BTreeMap::new(),
            proven: BTreeSet::new(),
            unproven: BTreeSet::new(),
            groups: BTreeMap::new(),
            subnets: BTreeMap::new(),
            told: BTreeMap::new(),
            answered: 0,
            trying: 0,
            canaries: 0,
            last_canary: UnixTime::NEVER,
            last_heard: UnixTime::NEVER,
            missing: BTreeSet::new(),
            latest: UnixTime::NEVER,
        }
    }

    /// Begins without a node, with the floor where the checkpoints of the network leave no doubt.
    #[must_use]
    pub fn of(config: LedgerConfig, seed: [u8; 32]) -> Self {
        let (known_height, _) = Checkpoints::of(config.network).last();
        Self::new(config, known_height, seed)
    }

    /// Returns what it is for.
    #[must_use]
    pub const fn config(&self) -> &LedgerConfig {
        &self.config
    }

    /// Returns the floor's decision.
    #[must_use]
    pub const fn floor(&self) -> &Decision {
        self.floor.decision()
    }

    /// Returns how many nodes are tracked.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.index.len()
    }

    /// Returns how many conversations go on.
    #[must_use]
    pub const fn trying(&self) -> usize {
        self.trying
    }

    /// Returns when anybody who could be named answered last, in this run.
    #[must_use]
    pub const fn last_heard(&self) -> UnixTime {
        self.last_heard
    }

    /// Sets the floor on the operator's word.
    pub fn attest_floor(&mut self, version: ProtocolVersion, by: &str, now: UnixTime) {
        self.floor.attest(version, by, now);
    }

    /// Has the floor follow what was found since it last did, if it is time. Returns whether it moved.
    pub fn review_floor(&mut self, now: UnixTime) -> bool {
        if self.is_stale(now) || !self.floor.is_due(now) {
            return false;
        }
        let sweep = self.sweep(now);
        self.floor.observe(&sweep, now)
    }

    /// Returns the next conversation to be held, if one is. Whatever comes of it is to be [noted](Self::note).
    pub fn poll_try(&mut self, now: UnixTime) -> Option<Try> {
        self.follow_clock(now);
        let is_offline = self.is_offline(now);
        let bound = if is_offline { OFFLINE_TRIES } else { MAX_TRIES };
        if self.trying >= MAX_TRIES {
            return None;
        }
        if let Some(node) = self.canary(now) {
            let is_turn = self.is_nearly_due(node, now);
            return self.begin(node, if is_turn { Trying::InTurn } else { Trying::Canary }, now);
        }
        if self.trying >= bound {
            return None;
        }
        let due = |set: &BTreeSet<(UnixTime, u32)>| set.first().filter(|(at, _)| *at <= now).map(|(_, node)| *node);
        let has_room = is_offline || self.trying < MAX_TRIES - FOR_PROVEN;
        let unproven = due(&self.unproven).filter(|_| has_room);
        let node = if is_offline { unproven.or_else(|| due(&self.proven)) } else { due(&self.proven).or(unproven) };
        self.begin(node?, Trying::InTurn, now)
    }

    /// Notes what came of a try.
    pub fn note(&mut self, address: PeerAddr, tried: Tried, now: UnixTime) {
        self.follow_clock(now);
        let Some(id) = self.index.get(&address).copied() else { return };
        let Some(node) = self.nodes[id as usize].as_mut().filter(|node| node.trying != Trying::No) else { return };
        self.trying -= 1;
        let trying = std::mem::replace(&mut node.trying, Trying::No);
        let was_too_soon = tried == Tried::HungUp && self.was_too_soon(id, now);
        if !was_too_soon {
            self.listen(id, &tried, now);
        }
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        node.ended = now;
        let showed = matches!(tried, Tried::Met { chain: Chain::Ours, .. });
        if showed && matches!(trying, Trying::InTurn(Depth::Deep) | Trying::Canary(Depth::Deep)) {
            node.shown = now;
        }
        if matches!(trying, Trying::Canary(_)) {
            self.canaries -= 1;
            return self.note_canary(id, tried, now);
        }
        match tried {
            Tried::Unsettled => self.rest_unsettled(id, now),
            Tried::HungUp if was_too_soon => self.rest_refused(id, now),
            Tried::Missed | Tried::HungUp => self.note_missed(id, now),
            Tried::Met { said, chain } => self.note_met(id, said, chain, now),
        }
    }

    /// Gives up the conversations that go on: nothing will be noted of them.
    pub fn forget_tries(&mut self, now: UnixTime) {
        let trying = self.nodes.iter().flatten().filter(|node| node.trying != Trying::No);
        for address in trying.map(|node| node.address).collect::<Vec<_>>() {
            self.note(address, Tried::Unsettled, now);
        }
    }

    fn note_met(&mut self, id: u32, said: Handshake, chain: Chain, now: UnixTime) {
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        let was_proven = node.is_proven();
        node.said = Some(Box::new(said));
        if chain != Chain::Unknown {
            node.chain = chain;
        }
        let was_there = matches!(chain, Chain::Ours | Chain::Behind);
        node.reliability.note(was_there, now);
        node.steadiness.note(was_there, now);
        if was_there {
            node.failures = 0;
            node.last_success = now;
        } else {
            node.failures = node.failures.saturating_add(1);
        }
        let source = node.source;
        if was_there && !was_proven {
            room::count_down(&mut self.told, source);
            self.answered += 1;
        }
        self.rest(id, was_there, now);
    }

    fn note_missed(&mut self, id: u32, now: UnixTime) {
        let is_offline = self.is_offline(now);
        if is_offline {
            return self.rest_offline(id, now);
        }
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        node.failures = node.failures.saturating_add(1);
        node.reliability.note(false, now);
        node.steadiness.note(false, now);
        self.rest(id, false, now);
    }

    fn begin(&mut self, id: u32, how: fn(Depth) -> Trying, now: UnixTime) -> Option<Try> {
        let node = self.nodes[id as usize].as_mut()?;
        let set = if node.is_proven() { &mut self.proven } else { &mut self.unproven };
        set.remove(&(node.next, id));
        let is_shown = node.chain == Chain::Ours && now.since(node.shown) < rest::SHOW_AGAIN;
        let depth = if is_shown { Depth::Light } else { Depth::Deep };
        node.trying = how(depth);
        node.asked = now;
        self.trying += 1;
        let is_canary = matches!(node.trying, Trying::Canary(_));
        if is_canary {
            self.canaries += 1;
            self.last_canary = now;
        }
        Some(Try { address: node.address, depth, asks_addresses: !is_canary })
    }

    /// Follows our clock where it was set back: everything that is kept moves with it.
    fn follow_clock(&mut self, now: UnixTime) {
        let back = self.latest.since(now);
        if back > CLOCK_SLACK {
            for node in self.nodes.iter_mut().flatten() {
                node.set_back(back);
            }
            self.last_heard = self.last_heard.minus(back);
            self.last_canary = self.last_canary.minus(back);
            self.floor.set_back(back);
            self.schedule_all();
        }
        self.latest = now;
    }

    fn schedule_all(&mut self) {
        self.proven.clear();
        self.unproven.clear();
        for (id, node) in (0_u32..).zip(&self.nodes) {
            if let Some(node) = node.as_ref().filter(|node| node.trying == Trying::No) {
                let set = if node.is_proven() { &mut self.proven } else { &mut self.unproven };
                set.insert((node.next, id));
            }
        }
    }

    /// Counts those that are refused, for each reason. A reason that nobody gives is not there.
    #[must_use]
    pub fn refusals(&self, now: UnixTime) -> BTreeMap<Refusal, usize> {
        self.vet(now).refused
    }
}

#[cfg(test)]
mod tests;

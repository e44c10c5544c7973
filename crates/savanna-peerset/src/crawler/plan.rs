//! What to ask whom next: the crawl as a state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use savanna_chain::floor;
use savanna_peer::Now;
use savanna_wire::{AddrV2, Network, PeerAddr, ProtocolVersion};

use super::{
    Census, Chain, Ending, Group, Introduction, NetworkKind, Outcome, Probe, Record, Scope, Software, Summary,
};

pub use saved::{Saved, SavedNode};
pub use telling::{TOLD_PER_GROUP, TOLD_PER_NODE};

mod judge;
mod queue;
mod saved;
mod telling;

use queue::Queue;
use telling::Saturation;

/// How many dials and handshakes are in flight at most.
pub const MAX_DIALS: usize = 256;

/// How many conversations go on at most behind a handshake. With the dials they stay under the 1,024 files that many systems
/// allow a process.
pub const MAX_TALKS: usize = 512;

/// How many nodes are known at most; addresses beyond are passed over. A node takes some 250 bytes.
///
/// # Security
/// Against whoever has more addresses than we have memory. The network's nodes and all that is gossiped of its past are fewer
/// by an order of magnitude.
pub const MAX_KNOWN: usize = 300_000;

/// How long a node is left alone after a conversation: Zebra tells the same addresses for this long.
pub const MEET_AGAIN: Duration = Duration::from_secs(600);

/// How long a node is left alone that did not answer, before its one second chance: the fault may have been ours.
pub const SECOND_CHANCE: Duration = Duration::from_secs(5);

/// What a crawl is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanConfig {
    /// The network.
    pub network: Network,
    /// Which of the addresses told are dialled.
    pub scope: Scope,
    /// Whether there is a way into overlay networks.
    pub overlays: bool,
    /// When to stop, on the scale of [`Now::monotonic`]; `None` to ask each node once.
    pub until: Option<Duration>,
}

/// How a conversation went, from its handshake on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// How it ended.
    pub ending: Ending,
    /// The round trip of a ping.
    pub round_trip: Option<Duration>,
    /// What it answered when asked for addresses; `None` if it did not.
    pub told: Option<Vec<AddrV2>>,
    /// What its headers say about its chain.
    pub chain: Chain,
}

impl Talk {
    /// Makes one that ended before anything was answered.
    #[must_use]
    pub const fn without_answers(ending: Ending) -> Self {
        Self { ending, round_trip: None, told: None, chain: Chain::Unknown }
    }
}

/// Decides whom to ask next, and keeps what is known, without IO.
///
/// Each node is asked once, and once more a little later if it did not answer at all. Where there is time, nodes are met again
/// after [`MEET_AGAIN`], as long as answers bring news.
///
/// # Security
/// Only answers to our own questions come in here. What one node tells is bounded, and so is what one group of addresses
/// tells; addresses that several groups name go first. So a node that makes up addresses costs a bounded time, and that at
/// the end.
#[derive(Debug)]
pub struct Plan {
    config: PlanConfig,
    probe: Probe,
    floor: ProtocolVersion,
    rng: ChaCha8Rng,
    began: Now,
    nodes: Vec<Node>,
    index: BTreeMap<PeerAddr, u32>,
    queue: Queue,
    /// Nodes that get their second chance, by when.
    second_chances: BTreeSet<(Duration, u32)>,
    /// Nodes that may be met again, by when.
    rested: BTreeSet<(Duration, u32)>,
    told_by_group: BTreeMap<Group, u32>,
    saturation: Saturation,
    summary: Summary,
    endings: BTreeMap<(Outcome, Ending), usize>,
    dialing: usize,
    talking: usize,
    has_baseline: bool,
}

#[derive(Debug)]
struct Node {
    record: Record,
    /// What it said in the census before.
    before: Option<Box<Software>>,
    /// The groups of those who named it, as far as they change its rank.
    named_by: [Option<Group>; queue::RANKS - 1],
    rank: usize,
    state: State,
    tries: u8,
    /// How many addresses were taken from it that nobody had told before.
    told_new: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Dialing,
    Talking,
    Resting,
}

/// How far a crawl has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The nodes by outcome.
    pub summary: Summary,
    /// How many dials, handshakes and conversations are going on.
    pub in_flight: usize,
    /// How conversations with nodes that were refused ended, and how many each way.
    pub refused: Vec<(Ending, usize)>,
}

impl Plan {
    /// Plans a crawl that begins now.
    #[must_use]
    pub fn new(config: PlanConfig, seed: [u8; 32], now: Now) -> Self {
        Self {
            config,
            probe: Probe::new(config.network),
            floor: floor(config.network, None),
            rng: ChaCha8Rng::from_seed(seed),
            began: now,
            nodes: Vec::new(),
            index: BTreeMap::new(),
            queue: Queue::default(),
            second_chances: BTreeSet::new(),
            rested: BTreeSet::new(),
            told_by_group: BTreeMap::new(),
            saturation: Saturation::default(),
            summary: Summary::default(),
            endings: BTreeMap::new(),
            dialing: 0,
            talking: 0,
            has_baseline: false,
        }
    }

    /// Returns what the crawl is about.
    #[must_use]
    pub const fn config(&self) -> &PlanConfig {
        &self.config
    }

    /// Returns the question that tells this network's chain from others.
    #[must_use]
    pub const fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Returns how many nodes are known.
    #[must_use]
    pub const fn known(&self) -> usize {
        self.nodes.len()
    }

    /// Returns how far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let of_refused = |((outcome, ending), count): (&(Outcome, Ending), &usize)| {
            (*outcome == Outcome::Refused && *count > 0).then_some((*ending, *count))
        };
        Progress {
            summary: self.summary,
            in_flight: self.dialing + self.talking,
            refused: self.endings.iter().filter_map(of_refused).collect(),
        }
    }

    /// Returns whether so little is known that a slow answer is worth waiting for.
    #[must_use]
    pub const fn is_small(&self) -> bool {
        const SMALL: usize = 100;
        self.nodes.len() < SMALL
    }

    /// Takes addresses from the operator or from DNS seeds: they go first, and may be private.
    pub fn introduce(&mut self, addresses: impl IntoIterator<Item = PeerAddr>, now: Now) {
        for address in addresses {
            if address.port != 0
                && let Some((node, _)) = self.know(address, now)
            {
                self.raise(node, 0);
            }
        }
    }

    /// Returns the next node to dial, if one is to be dialled.
    pub fn poll_dial(&mut self, now: Now) -> Option<PeerAddr> {
        if !self.has_room() || self.is_over(now) {
            return None;
        }
        let node = self.next_waiting().or_else(|| self.next_due(now))?;
        let Node { state, tries, record, .. } = &mut self.nodes[node as usize];
        *state = State::Dialing;
        *tries = tries.saturating_add(1);
        self.dialing += 1;
        Some(record.address)
    }

    /// Returns when [`poll_dial`](Self::poll_dial) or [`is_done`](Self::is_done) is to be asked next, if nothing else happens
    /// before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let second = self.second_chances.first().map(|(at, _)| *at);
        let due = second.into_iter().chain(self.next_rested()).min().filter(|_| self.has_room());
        due.into_iter().chain(self.config.until).min()
    }

    /// Returns whether nothing is left to ask, or the time is over.
    #[must_use]
    pub fn is_done(&self, now: Now) -> bool {
        self.is_over(now) || self.is_exhausted()
    }

    /// Returns whether everybody has been asked who can be, and has answered or not.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        let fits = |at: Duration| self.config.until.is_none_or(|until| at < until);
        let second_chance = self.second_chances.first().is_some_and(|(at, _)| fits(*at));
        let is_idle = self.dialing + self.talking == 0 && self.queue.len() == 0;
        is_idle && !second_chance && self.next_rested().is_none()
    }

    /// Notes what a node said of itself: with its handshake, or in place of one.
    pub fn handle_introduction(&mut self, address: PeerAddr, introduction: Introduction, now: Now) {
        let Some(node) = self.index.get(&address).copied() else { return };
        let Node { state, record, .. } = &mut self.nodes[node as usize];
        if *state != State::Dialing {
            return;
        }
        *state = State::Talking;
        self.dialing -= 1;
        self.talking += 1;
        record.last_seen = Some(now.unix);
        record.introduction = Some(Box::new(introduction));
        self.judge(node, Ending::Local);
    }

    /// Notes how a conversation went with a node that had introduced itself.
    pub fn handle_talk(&mut self, address: PeerAddr, talk: Talk, now: Now) {
        let Some(node) = self.index.get(&address).copied() else { return };
        if self.nodes[node as usize].state != State::Talking {
            return;
        }
        if let Some(introduction) = &mut self.nodes[node as usize].record.introduction {
            introduction.round_trip = talk.round_trip.or(introduction.round_trip);
            let told = talk.told.as_ref().map(|told| u32::try_from(told.len()).unwrap_or(u32::MAX));
            introduction.told = told.or(introduction.told);
            if talk.chain != Chain::Unknown {
                introduction.chain = talk.chain;
            }
        }
        self.talking -= 1;
        self.judge(node, talk.ending);
        // What other chains' nodes tell are other chains' nodes.
        if let Some(told) = talk.told
            && self.nodes[node as usize].record.outcome != Outcome::OtherChain
        {
            self.hear(node, &told, now);
        }
        self.rest(node, MEET_AGAIN, now);
    }

    /// Notes that a dial or a handshake failed, without a word from the node.
    pub fn handle_failure(&mut self, address: PeerAddr, ending: Ending, now: Now) {
        let Some(node) = self.index.get(&address).copied() else { return };
        if self.nodes[node as usize].state != State::Dialing {
            return;
        }
        self.dialing -= 1;
        let may_be_ours =
            matches!(ending, Ending::DialTimedOut | Ending::DialFailed | Ending::TimedOut | Ending::Local);
        if may_be_ours && self.nodes[node as usize].tries <= 1 {
            self.nodes[node as usize].state = State::Resting;
            self.second_chances.insert((now.monotonic + SECOND_CHANCE, node));
        } else {
            // Each failure doubles the rest.
            let failures = u32::from(self.nodes[node as usize].tries.saturating_sub(2)).min(6);
            self.rest(node, MEET_AGAIN * (1 << failures), now);
        }
        self.judge(node, ending);
    }

    /// Ends the crawl: returns what is known, with what is different from the census before.
    #[must_use]
    pub fn census(&self, now: Now) -> Census {
        Census {
            network: self.config.network,
            began: self.began.unix,
            took: now.monotonic.saturating_sub(self.began.monotonic),
            is_complete: self.is_exhausted(),
            records: self.index.values().map(|node| self.nodes[*node as usize].record.clone()).collect(),
            changes: self.changes(),
        }
    }

    const fn has_room(&self) -> bool {
        self.dialing < MAX_DIALS && self.talking < MAX_TALKS
    }

    fn is_over(&self, now: Now) -> bool {
        self.config.until.is_some_and(|until| now.monotonic >= until)
    }

    fn next_waiting(&mut self) -> Option<u32> {
        loop {
            let (rank, node) = self.queue.pop(&mut self.rng)?;
            // A node that has risen waits again, and its old place is empty.
            let Node { state, rank: current, .. } = &self.nodes[node as usize];
            if *state == State::Waiting && *current == rank {
                return Some(node);
            }
        }
    }

    fn next_due(&mut self, now: Now) -> Option<u32> {
        if self.second_chances.first().is_some_and(|(at, _)| *at <= now.monotonic) {
            return self.second_chances.pop_first().map(|(_, node)| node);
        }
        if self.next_rested().is_some_and(|at| at <= now.monotonic) {
            return self.rested.pop_first().map(|(_, node)| node);
        }
        None
    }

    /// Returns when the next node may be met again, if that is worth the time.
    fn next_rested(&self) -> Option<Duration> {
        let until = self.config.until?;
        let (at, _) = self.rested.first()?;
        (*at < until && !self.saturation.is_reached()).then_some(*at)
    }

    fn rest(&mut self, node: u32, how_long: Duration, now: Now) {
        self.nodes[node as usize].state = State::Resting;
        self.rested.insert((now.monotonic + how_long, node));
    }

    /// Makes a node known; says whether it is new. Nothing if there is no room.
    fn know(&mut self, address: PeerAddr, now: Now) -> Option<(u32, bool)> {
        if let Some(node) = self.index.get(&address) {
            return Some((*node, false));
        }
        let node = u32::try_from(self.nodes.len()).ok().filter(|_| self.nodes.len() < MAX_KNOWN)?;
        self.settle(SavedNode { record: Record::new(address, now.unix), before: None });
        Some((node, true))
    }

    /// Gives a node its place.
    fn settle(&mut self, SavedNode { mut record, before }: SavedNode) {
        let Ok(node) = u32::try_from(self.nodes.len()) else { return };
        let (address, group, kind) = (record.address, record.group(), record.kind());
        let is_reachable = self.config.overlays || matches!(kind, NetworkKind::V4 | NetworkKind::V6);
        let is_waiting = record.outcome == Outcome::Untried && is_reachable;
        if record.outcome == Outcome::Untried && !is_reachable {
            record.outcome = Outcome::Unroutable;
            record.ending = Some(Ending::NoRoute);
        }
        self.summary.count(record.outcome);
        if let Some(ending) = record.ending {
            *self.endings.entry((record.outcome, ending)).or_default() += 1;
        }
        let rank = queue::RANKS - 1;
        self.nodes.push(Node {
            record,
            before: before.map(Box::new),
            named_by: [None; queue::RANKS - 1],
            rank,
            state: if is_waiting { State::Waiting } else { State::Resting },
            tries: 0,
            told_new: 0,
        });
        self.index.insert(address, node);
        if is_waiting {
            self.queue.push(rank, group, node, &mut self.rng);
        }
    }

    /// Lets a node wait under a better rank.
    fn raise(&mut self, node: u32, rank: usize) {
        let Node { record, rank: current, state, .. } = &mut self.nodes[node as usize];
        if rank >= *current {
            return;
        }
        *current = rank;
        if *state == State::Waiting {
            self.queue.push(rank, record.group(), node, &mut self.rng);
        }
    }
}

#[cfg(test)]
mod tests;

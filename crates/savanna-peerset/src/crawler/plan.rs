//! What to ask whom next: the crawl as a state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use savanna_book::Netgroup;
use savanna_chain::floor;
use savanna_peer::Now;
use savanna_wire::{AddrV2, Network, PeerAddr, ProtocolVersion};

use super::{Census, Chain, Ending, Outcome, Probe, Record, Scope, Software, Summary};

pub use hosts::PORTS_PER_HOST;
pub use saved::{Saved, SavedNode};
pub use telling::{MAX_PASSED_OVER, TOLD_PER_GROUP, TOLD_PER_NODE};

mod hosts;
mod judge;
mod outage;
mod place;
mod queue;
mod results;
mod saved;
mod telling;

use hosts::Hosts;
use outage::Outage;
use queue::Queue;
use telling::Saturation;

/// How many dials and handshakes are in flight at most.
pub const MAX_DIALS: usize = 256;

/// How many conversations go on at most behind a handshake. With the dials they stay under the 1,024 files that many systems
/// allow a process.
pub const MAX_TALKS: usize = 512;

/// How many nodes are known at most; addresses beyond are passed over. A node takes some 300 bytes.
///
/// # Security
/// Against whoever has more addresses than we have memory. The network's nodes and all that is gossiped of its past are fewer
/// by an order of magnitude.
pub const MAX_KNOWN: usize = 300_000;

/// How long a node is left alone after a conversation: Zebra tells the same addresses for this long.
pub const MEET_AGAIN: Duration = Duration::from_secs(600);

/// How long a node is left alone that did not answer or hung up without a word, before its one second chance: the fault may
/// have been ours, and some take few connections a second.
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
/// Each node is asked once, and once more a little later if it said nothing. Where there is time, nodes are met again
/// after [`MEET_AGAIN`], as long as answers bring news.
///
/// # Security
/// Only answers to our own questions come in here. What one node tells is bounded, and so is what one group of addresses
/// tells; addresses that several groups name go first. So a node that makes up addresses costs a bounded time, and that at
/// the end. Of a public host few ports are taken, and one of them is talked to at a time, so that nobody aims the crawl at
/// a victim.
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
    hosts: Hosts,
    outage: Outage,
    told_by_group: BTreeMap<Netgroup, u32>,
    passed_over: BTreeSet<PeerAddr>,
    saturation: Saturation,
    summary: Summary,
    endings: BTreeMap<(Outcome, Ending), usize>,
    dialing: usize,
    talking: usize,
    /// How many dials and conversations the system allows at once, as far as it has said.
    bound: usize,
    has_baseline: bool,
}

#[derive(Debug)]
struct Node {
    record: Record,
    /// What it said in the census before.
    before: Option<Box<Software>>,
    /// The groups of those who named it, as far as they change its rank.
    named_by: [Option<Netgroup>; queue::RANKS - 1],
    rank: usize,
    state: State,
    tries: u8,
    /// How many censuses before this one asked it without hearing a word.
    missed: u8,
    /// How many addresses were taken from it that nobody had told before.
    told_new: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Its turn came while another port of its host was talked to.
    Parked,
    Dialing,
    Talking,
    Resting,
}

/// How far a crawl has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The nodes by outcome; which are obsolete, only the census knows for good.
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
            hosts: Hosts::default(),
            outage: Outage::default(),
            told_by_group: BTreeMap::new(),
            passed_over: BTreeSet::new(),
            saturation: Saturation::default(),
            summary: Summary::default(),
            endings: BTreeMap::new(),
            dialing: 0,
            talking: 0,
            bound: MAX_DIALS + MAX_TALKS,
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
            } else {
                self.pass_over(address);
            }
        }
    }

    /// Returns the next node to dial, if one is to be dialled.
    pub fn poll_dial(&mut self, now: Now) -> Option<PeerAddr> {
        if self.is_over(now) || self.outage.is_pausing(now.monotonic) {
            return None;
        }
        while self.has_room() {
            let node = self.next_waiting().or_else(|| self.next_due(now))?;
            let Node { state, tries, record, .. } = &mut self.nodes[node as usize];
            if !self.hosts.begin(record.address.host, node) {
                *state = State::Parked;
                continue;
            }
            *state = State::Dialing;
            *tries = tries.saturating_add(1);
            self.dialing += 1;
            return Some(record.address);
        }
        None
    }

    /// Returns when [`poll_dial`](Self::poll_dial) or [`is_done`](Self::is_done) is to be asked next, if nothing else happens
    /// before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let second = self.second_chances.first().map(|(at, _)| *at);
        let due = second.into_iter().chain(self.next_rested()).min();
        let pause = self.outage.until();
        let after_pause = due.map(|due| pause.map_or(due, |pause| due.max(pause)));
        let waiting = pause.filter(|_| self.queue.len() > 0);
        let next = after_pause.into_iter().chain(waiting).min().filter(|_| self.has_room());
        next.into_iter().chain(self.config.until).min()
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

    /// Returns whether no node is still to be asked for the first time, or is being asked. Those to be met again do not count.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let cut_short = |outcome| self.endings.get(&(outcome, Ending::Local)).copied().unwrap_or(0);
        self.summary.untried == 0 && Outcome::ALL.into_iter().map(cut_short).sum::<usize>() == 0
    }

    /// Ends the crawl: returns what is known, with what is different from the census before.
    #[must_use]
    pub fn census(&self, now: Now) -> Census {
        let mut records: Vec<_> = self.index.values().map(|node| self.nodes[*node as usize].record.clone()).collect();
        judge::by_own_height(self.config.network, &mut records);
        Census {
            network: self.config.network,
            began: self.began.unix,
            took: now.monotonic.saturating_sub(self.began.monotonic),
            is_complete: self.is_complete(),
            passed_over: self.passed_over.len(),
            records,
            changes: self.changes(),
        }
    }

    const fn has_room(&self) -> bool {
        self.dialing < MAX_DIALS && self.talking < MAX_TALKS && self.dialing + self.talking < self.bound
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
}

#[cfg(test)]
mod tests;

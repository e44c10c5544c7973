//! The chain of headers, from several peers.
//!
//! One peer leads: it is asked until it has nothing more, or is late. The others are asked then, from where that left us, so
//! that a chain is fetched once and yet compared with what every peer has. The chain with the most work wins.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use savanna_chain::{HeaderChain, HeaderError, Inserted};
use savanna_wire::{BlockHash, BlockHeader, MAX_HEADERS, MAX_LOCATOR};

#[cfg(test)]
mod tests;

/// How long a peer has for an answer before the next one is asked; it doubles with each silence.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer may take before another peer is followed as well.
const LATE_AFTER: Duration = Duration::from_secs(1);

/// How many silences in a row cost a peer its place.
const MAX_SILENCES: u32 = 4;

/// How many peers are asked at once whether they have more than is known.
const MAX_PROBES: usize = 8;

/// How many answers in a row may bring nothing new before a peer is taken to have nothing that we lack.
///
/// A peer whose tip lies below ours begins at the last hash of the locator that it knows, and has a few such answers to give.
const MAX_STALE: u32 = 8;

/// How far below our tip a peer's chain may part from ours, if it has less work, before the peer is of no use to us.
///
/// Nodes of this network do not follow reorganisations deeper than this.
const MAX_FORK_DEPTH: u32 = 100;

/// Why a peer lost its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderFault {
    /// Its headers do not link, fail their work, or hang on nothing we know.
    Invalid,
    /// Its headers lead nowhere: each answer has to reach higher than the one before.
    Looping,
    /// Its chain parts from ours deep below the tip and has less work.
    LowWork,
    /// It does not answer.
    Silent,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderAction<P> {
    /// Ask a peer for the headers that follow a locator.
    Ask {
        /// Whom.
        peer: P,
        /// Hashes, newest first.
        locator: Vec<BlockHash>,
    },
    /// Forget the question to a peer: its answer counts no more.
    Cancel(P),
    /// Let go of a peer. It is not asked again.
    Disconnect {
        /// Whom.
        peer: P,
        /// Why.
        fault: HeaderFault,
    },
}

/// What an answer did to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// The height of the last block that the old and the new best chain share, if the best chain changed branches.
    pub fork: Option<u32>,
    /// How many headers were new.
    pub new: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked.
    Waiting,
    /// Asked at a moment.
    Asked(Duration),
    /// Has nothing that we lack.
    Done,
}

#[derive(Debug)]
struct Source {
    state: State,
    silences: u32,
    /// Whether its last answer was shorter than answers can be, as only the end of a chain needs to be.
    scant: bool,
    /// Answers in a row that brought nothing new.
    stale: u32,
    /// The last header it sent and its height.
    last: Option<(u32, BlockHash)>,
}

impl Source {
    const fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Asked(at) => Some(at.saturating_add(ANSWER_WITHIN.saturating_mul(1 << self.silences))),
            State::Waiting | State::Done => None,
        }
    }

    /// Returns from when on its answer is late.
    const fn late_at(&self) -> Option<Duration> {
        match self.state {
            State::Asked(at) => Some(at.saturating_add(LATE_AFTER)),
            State::Waiting | State::Done => None,
        }
    }
}

/// The headers of a chain, gathered from several peers.
///
/// # Security
/// What a peer sends is kept only if it links and its work has been checked; branches beside the best chain are bounded by
/// [`savanna_chain::MAX_SIDE_HEADERS`]. A peer that answers with what is known must still climb with every answer, and may do so
/// a few times only, so none can keep us busy for ever.
#[derive(Debug)]
pub struct Headers<P> {
    chain: HeaderChain,
    until: Option<u32>,
    sources: BTreeMap<P, Source>,
    actions: VecDeque<HeaderAction<P>>,
}

impl<P: Copy + Ord> Headers<P> {
    /// Begins with what is known of the chain; nothing is asked for beyond `until`.
    #[must_use]
    pub const fn new(chain: HeaderChain, until: Option<u32>) -> Self {
        Self { chain, until, sources: BTreeMap::new(), actions: VecDeque::new() }
    }

    /// Returns the chain.
    #[must_use]
    pub const fn chain(&self) -> &HeaderChain {
        &self.chain
    }

    /// Takes a peer in.
    pub fn handle_joined(&mut self, peer: P) {
        self.sources.insert(peer, Source { state: State::Waiting, silences: 0, scant: false, stale: 0, last: None });
    }

    /// Forgets a peer.
    pub fn handle_left(&mut self, peer: P) {
        self.sources.remove(&peer);
    }

    /// Takes checked headers, oldest first, in answer to a question.
    pub fn handle_headers(&mut self, peer: P, headers: &[(BlockHeader, BlockHash)]) -> Change {
        let mut change = Change::default();
        let Some(source) = self.sources.get_mut(&peer) else { return change };
        if !matches!(source.state, State::Asked(_)) {
            return change;
        }
        source.silences = 0;
        source.state = State::Done;
        for (header, hash) in headers {
            match self.chain.insert(header, *hash) {
                Ok(Inserted::Known) => continue,
                Ok(Inserted::Extended | Inserted::Forked) => {}
                Ok(Inserted::NewBest { fork_height, .. }) => {
                    change.fork = Some(change.fork.map_or(fork_height, |fork| fork.min(fork_height)));
                }
                Err(HeaderError::LowWork) => {
                    self.expel(peer, HeaderFault::LowWork);
                    return change;
                }
                Err(_) => {
                    self.expel(peer, HeaderFault::Invalid);
                    return change;
                }
            }
            change.new += 1;
        }
        source.scant = headers.len() < MAX_HEADERS;
        source.stale = if change.new == 0 { source.stale + 1 } else { 0 };
        self.follow(peer, headers.last().map(|(_, hash)| *hash));
        change
    }

    /// Takes the news that a peer's headers were refused before they came here.
    pub fn handle_invalid(&mut self, peer: P) {
        if self.sources.contains_key(&peer) {
            self.expel(peer, HeaderFault::Invalid);
        }
    }

    /// Takes the news that a question ended without an answer although its peer is still there.
    pub fn handle_failed(&mut self, peer: P) {
        let Some(source) = self.sources.get_mut(&peer) else { return };
        source.silences += 1;
        source.state = State::Waiting;
        if source.silences >= MAX_SILENCES {
            self.expel(peer, HeaderFault::Silent);
        }
    }

    /// Gives up on whatever is late.
    pub fn handle_timeout(&mut self, now: Duration) {
        let late = self.sources.iter().filter(|(_, source)| source.deadline().is_some_and(|at| at <= now));
        let late: Vec<P> = late.map(|(&peer, _)| peer).collect();
        for peer in late {
            self.actions.push_back(HeaderAction::Cancel(peer));
            self.handle_failed(peer);
        }
    }

    /// Asks every peer anew, once all have said that they have nothing more.
    pub fn ask_again(&mut self) {
        for source in self.sources.values_mut() {
            source.state = State::Waiting;
            source.stale = 0;
            source.last = None;
        }
    }

    /// Returns whether every peer has said that it has nothing that we lack. One that is silent holds up nobody.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done = |source: &Source| source.state == State::Done;
        self.sources.values().any(done) && self.sources.values().all(|source| done(source) || source.silences > 0)
    }

    /// Returns the next thing to be done.
    pub fn poll_action(&mut self, now: Duration) -> Option<HeaderAction<P>> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let (&peer, source) = self
            .sources
            .iter()
            .filter(|(_, source)| source.state == State::Waiting && self.may_ask(source, now))
            .min_by_key(|(_, source)| (source.silences, Reverse(source.last.map(|(height, _)| height))))?;
        let locator = self.locator(source.last);
        if let Some(source) = self.sources.get_mut(&peer) {
            source.state = State::Asked(now);
        }
        Some(HeaderAction::Ask { peer, locator })
    }

    /// Returns whether a question would bring more than what another peer is just sending.
    ///
    /// One peer at a time is followed along its chain, the one that has led us highest. Once somebody has told all, the others
    /// are only asked whether they have more, which they can be together.
    ///
    /// # Security
    /// Against a leader that answers just in time, or a few headers at a time (stalling): whoever is late or scant holds up
    /// nobody.
    fn may_ask(&self, source: &Source, now: Duration) -> bool {
        let is_slow = |other: &Source| other.scant || other.late_at().is_some_and(|at| at <= now);
        let asked = || self.sources.values().filter(|other| matches!(other.state, State::Asked(_)));
        let someone_is_done = self.sources.values().any(|other| other.state == State::Done);
        match source.last {
            None => asked().count() < MAX_PROBES && (someone_is_done || asked().all(is_slow)),
            Some(_) => asked().all(|other| other.last.is_none() || is_slow(other)),
        }
    }

    /// Returns the locator for a peer that sent `last` as the last header so far.
    ///
    /// Peers go on from the first hash they know, so that header stands where its height belongs, or first if it is on a branch
    /// of its own.
    fn locator(&self, last: Option<(u32, BlockHash)>) -> Vec<BlockHash> {
        let mut locator = self.chain.locator();
        if let Some((height, hash)) = last {
            let is_below = |other: &BlockHash| self.chain.height_of(*other).is_some_and(|other| other <= height);
            let on_best = self.chain.height_of(hash).is_some();
            let place = if on_best { locator.iter().position(is_below).unwrap_or(0) } else { 0 };
            if locator.get(place) != Some(&hash) {
                locator.insert(place, hash);
            }
        }
        if locator.len() > MAX_LOCATOR {
            // The genesis block is what every peer shares, so it stays whatever else has to go.
            locator.remove(MAX_LOCATOR - 1);
        }
        locator
    }

    /// Returns when [`Self::handle_timeout`] or [`Self::poll_action`] has something to do that no answer brings about, once
    /// both have been called at `now`.
    #[must_use]
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let late = self.sources.values().filter_map(Source::late_at).filter(|&at| at > now);
        self.sources.values().filter_map(Source::deadline).chain(late).min()
    }

    /// Decides whether a peer whose answer ended with `last` is asked on.
    fn follow(&mut self, peer: P, last: Option<BlockHash>) {
        let Some(hash) = last else { return self.part_if_low(peer) };
        let Some((height, _)) = self.chain.ancestors(hash).next() else { return };
        let Some(source) = self.sources.get_mut(&peer) else { return };
        if source.last.is_some_and(|(before, _)| height <= before) {
            return self.expel(peer, HeaderFault::Looping);
        }
        source.last = Some((height, hash));
        let enough = self.until.is_some_and(|until| height >= until);
        let is_stale = source.stale >= MAX_STALE;
        source.state = if enough || is_stale { State::Done } else { State::Waiting };
    }

    /// Lets go of a peer that has said all it has, if that is a branch of less work which parts from ours deep below the tip.
    fn part_if_low(&mut self, peer: P) {
        let Some((_, last)) = self.sources.get(&peer).and_then(|source| source.last) else { return };
        let fork = self.chain.ancestors(last).find(|(_, entry)| self.chain.height_of(entry.hash).is_some());
        let on_best = self.chain.height_of(last).is_some();
        let (tip, _) = self.chain.tip();
        if !on_best && fork.is_none_or(|(height, _)| height + MAX_FORK_DEPTH < tip) {
            self.expel(peer, HeaderFault::LowWork);
        }
    }

    fn expel(&mut self, peer: P, fault: HeaderFault) {
        self.sources.remove(&peer);
        self.actions.push_back(HeaderAction::Disconnect { peer, fault });
    }
}

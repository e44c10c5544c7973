//! The chain of headers, from several peers.
//!
//! One peer at a time is asked until it has nothing more, and the one that told most lately first. Then several are asked the
//! same, so that a chain is fetched once and yet compared with what others have. The chain with the most work wins.
//!
//! Checks do not hold up questions: as soon as headers come, what follows them is asked for, and taken once they are checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use savanna_chain::{HeaderChain, HeaderError, Inserted};
use savanna_net::PeerId;
use savanna_wire::{BlockHash, BlockHeader, MAX_HEADERS, MAX_LOCATOR};

use crate::verify::HeadersError;

#[cfg(test)]
mod tests;

/// How many peers are asked at once whether they have more than is known.
const MAX_PROBES: usize = 8;

/// How long several peers have to answer together, before fewer are asked: one that is silent holds up all of their answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// How many answers may wait to be checked before nothing more is asked for.
const MAX_UNCHECKED: usize = 4;

/// How many rounds of questions may bring nothing new before what is known counts as all.
const MAX_IDLE_ROUNDS: u32 = 8;

/// Of how many peers is kept how far their chains are known; beyond them the oldest connection is forgotten.
const MAX_KNOWN_ENDS: usize = 48;

/// How far below our tip a peer's chain may part from ours, if it has less work, before the peer is of no use to us.
///
/// Nodes of this network do not follow reorganisations deeper than this.
const MAX_FORK_DEPTH: u32 = 100;

/// How long to wait after a question that nobody answered; it doubles with each, so many times.
const FIRST_REST: Duration = Duration::from_millis(100);
const MAX_DOUBLINGS: u32 = 5;

/// How long questions may stay without any answer before the chain is given up.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);

/// What was wrong with a peer's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderFault {
    /// They do not link, fail their work, or hang on nothing we know.
    Invalid,
    /// They lead nowhere: each answer has to reach higher than the one before, or bring something new.
    Looping,
    /// Its chain parts from ours deep below the tip and has less work.
    LowWork,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderAction {
    /// Ask for the headers that follow a locator, and forget the question before.
    Ask {
        /// Whom.
        whom: Whom,
        /// Hashes, the highest first.
        locator: Vec<BlockHash>,
    },
    /// Blame a peer.
    Report {
        /// Whom.
        peer: PeerId,
        /// What for.
        fault: HeaderFault,
    },
}

/// Whom to ask for headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Somebody.
    Anybody,
    /// This peer, and somebody else if it is gone, fails or is late.
    First(PeerId),
    /// So many distinct peers, without waiting for the slowest.
    Several(usize),
}

/// What answers did to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// The height of the last block that the old and the new best chain share, if the best chain changed branches.
    pub fork: Option<u32>,
    /// How many headers were new.
    pub new: usize,
    /// Answers that wait to be checked are to be forgotten: they follow what leads nowhere.
    pub moot: bool,
}

/// What a peer answered, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The peer.
    pub peer: PeerId,
    /// How many headers.
    pub count: usize,
    /// The hash of the last one.
    pub last: Option<BlockHash>,
}

/// What a peer answered, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The peer.
    pub peer: PeerId,
    /// Its headers, oldest first, or why they are refused.
    pub headers: Result<Vec<(BlockHeader, BlockHash)>, HeadersError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked from a moment on.
    Waiting(Duration),
    /// Asked at a moment.
    Asked(Duration),
    /// What came is being checked, and nothing is asked for meanwhile.
    Checking,
    /// Nobody has more.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// One peer is asked for what follows.
    Climb,
    /// Several are asked whether they have more.
    Survey,
}

/// The headers of a chain, gathered from several peers.
///
/// # Security
/// What a peer sends is kept only if it links and its work has been checked; branches beside the best chain are bounded by
/// [`savanna_chain::MAX_SIDE_HEADERS`]. Rounds that bring nothing new are counted, so nobody can keep us busy for ever; and the
/// end is believed only of several peers (eclipse by a lagging or lying peer), as far as there are several.
#[derive(Debug)]
pub struct Headers {
    chain: HeaderChain,
    until: Option<u32>,
    state: State,
    stage: Stage,
    /// How many peers a survey asks.
    probes: usize,
    /// Who told what follows last.
    leader: Option<PeerId>,
    /// The last header that came and is not checked yet, if what follows it is asked for.
    ahead: Option<BlockHash>,
    /// How many answers have come and are not checked yet.
    unchecked: usize,
    /// The last header that each peer sent, and its height.
    ends: BTreeMap<PeerId, (u32, BlockHash)>,
    idle_rounds: u32,
    failures: u32,
    /// When the first of the questions was asked that nobody has answered since.
    silent_since: Option<Duration>,
    refused: bool,
    accepted: bool,
    actions: VecDeque<HeaderAction>,
}

impl Headers {
    /// Begins with what is known of the chain; nothing is asked for beyond `until`.
    #[must_use]
    pub const fn new(chain: HeaderChain, until: Option<u32>) -> Self {
        Self {
            chain,
            until,
            state: State::Waiting(Duration::ZERO),
            stage: Stage::Climb,
            probes: MAX_PROBES,
            leader: None,
            ahead: None,
            unchecked: 0,
            ends: BTreeMap::new(),
            idle_rounds: 0,
            failures: 0,
            silent_since: None,
            refused: false,
            accepted: false,
            actions: VecDeque::new(),
        }
    }

    /// Returns the chain.
    #[must_use]
    pub const fn chain(&self) -> &HeaderChain {
        &self.chain
    }

    /// Returns whether nobody who was asked has anything that we lack.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Returns whether all headers that came so far were refused.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.refused && !self.accepted
    }

    /// Returns whether questions have gone unanswered for [`SILENT_AFTER`].
    #[must_use]
    pub fn is_silent(&self, now: Duration) -> bool {
        self.silent_since.is_some_and(|since| now >= since + SILENT_AFTER)
    }

    /// Takes the news that answers came, and returns whether they are of use. If so they are due at [`Self::handle_answers`] once
    /// they are checked, in the order in which they came.
    pub fn handle_heard(&mut self, heard: &[Heard], now: Duration) -> bool {
        if !matches!(self.state, State::Asked(_)) {
            return false;
        }
        self.unchecked += 1;
        (self.ahead, self.state) = (None, State::Checking);
        if let (Stage::Climb, &[Heard { peer, count, last: Some(last) }]) = (self.stage, heard)
            && count >= MAX_HEADERS
            && self.unchecked <= MAX_UNCHECKED
            && !self.is_enough_with(self.unchecked * MAX_HEADERS)
        {
            (self.leader, self.ahead, self.state) = (Some(peer), Some(last), State::Waiting(now));
        }
        true
    }

    /// Takes the answers to a question, checked.
    pub fn handle_answers(&mut self, answers: &[Answer], now: Duration) -> Change {
        let mut change = Change::default();
        if self.unchecked == 0 && !matches!(self.state, State::Asked(_)) {
            return change;
        }
        self.unchecked = self.unchecked.saturating_sub(1);
        let mut ends = Vec::new();
        for answer in answers {
            let peer = answer.peer;
            match self.take(answer, &mut change) {
                Ok(end) => ends.push(end),
                Err(fault) => {
                    self.refused |= fault == HeaderFault::Invalid;
                    self.ends.remove(&peer);
                    self.actions.push_back(HeaderAction::Report { peer, fault });
                }
            }
        }
        if !ends.is_empty() {
            (self.accepted, self.failures, self.silent_since) = (true, 0, None);
        }
        if self.is_followed(answers, &ends) {
            self.idle_rounds = 0;
            return change;
        }
        change.moot = std::mem::take(&mut self.unchecked) > 0;
        self.ahead = None;
        if ends.is_empty() {
            self.rest(now);
        } else {
            self.go_on(&ends, change.new > 0, now);
        }
        change
    }

    /// Returns whether later answers are there or asked for, which follow these.
    fn is_followed(&self, answers: &[Answer], ends: &[End]) -> bool {
        let (_, tip) = self.chain.tip();
        let is_step = |end: &End| end.is_full && end.is_new && end.hash == Some(tip);
        (self.unchecked > 0 || self.ahead.is_some()) && answers.len() == 1 && ends.iter().any(is_step)
    }

    /// Takes the news that nobody answered: not in time, or because there was nobody, or nobody any more.
    ///
    /// # Security
    /// Only an answer ends a silence. A peer that leaves and comes back, silent each time, does not begin it anew.
    pub fn handle_failed(&mut self, now: Duration) {
        if let State::Asked(since) = self.state {
            self.silent_since.get_or_insert(since);
            (self.leader, self.ahead) = (None, None);
            self.rest(now);
        }
    }

    /// Asks fewer peers where several do not answer together.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.survey_ends().is_some_and(|at| at <= now) {
            // Whoever is silent comes last when fewer are chosen.
            self.probes = self.probes.div_ceil(2);
            self.state = State::Waiting(now);
        }
    }

    /// Asks anew whether anybody has more.
    pub fn ask_again(&mut self, now: Duration) {
        self.ends.clear();
        self.idle_rounds = 0;
        self.probes = MAX_PROBES.min(self.probes * 2);
        (self.stage, self.state) = (Stage::Survey, State::Waiting(now));
    }

    /// Returns the next thing to be done.
    pub fn poll_action(&mut self, now: Duration) -> Option<HeaderAction> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let State::Waiting(at) = self.state else { return None };
        if at > now {
            return None;
        }
        self.state = State::Asked(now);
        let whom = match self.stage {
            Stage::Climb => self.leader.map_or(Whom::Anybody, Whom::First),
            Stage::Survey => Whom::Several(self.probes),
        };
        Some(HeaderAction::Ask { whom, locator: self.locator() })
    }

    /// Returns when [`Self::handle_timeout`] or [`Self::poll_action`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let waiting = if let State::Waiting(at) = self.state { Some(at) } else { None };
        waiting.or_else(|| self.survey_ends())
    }

    fn rest(&mut self, now: Duration) {
        self.state = State::Waiting(now + FIRST_REST * (1 << self.failures.min(MAX_DOUBLINGS)));
        self.failures += 1;
    }

    fn survey_ends(&self) -> Option<Duration> {
        match (self.state, self.stage) {
            (State::Asked(since), Stage::Survey) if self.probes > 1 => Some(since + ANSWERS_WITHIN),
            (State::Asked(_) | State::Waiting(_) | State::Checking | State::Done, Stage::Survey | Stage::Climb) => None,
        }
    }

    /// Puts a peer's headers into the tree.
    fn take(&mut self, answer: &Answer, change: &mut Change) -> Result<End, HeaderFault> {
        let peer = answer.peer;
        let headers = answer.headers.as_ref().map_err(|_| HeaderFault::Invalid)?;
        let mut is_new = false;
        for (header, hash) in headers {
            // As far as it goes without our clock.
            match self.chain.insert(header, *hash, u64::MAX) {
                Ok(Inserted::Known) => continue,
                Ok(Inserted::Extended | Inserted::Forked) => {}
                Ok(Inserted::NewBest { fork_height, .. }) => {
                    change.fork = Some(change.fork.map_or(fork_height, |fork| fork.min(fork_height)));
                }
                Err(HeaderError::LowWork | HeaderError::TooDeep { .. }) => return Err(HeaderFault::LowWork),
                Err(_) => return Err(HeaderFault::Invalid),
            }
            is_new = true;
            change.new += 1;
        }
        let is_full = headers.len() >= MAX_HEADERS;
        if let Some((_, hash)) = headers.last() {
            self.note_end(peer, *hash, is_new)?;
        }
        if !is_full {
            self.part_if_low(peer)?;
        }
        Ok(End { peer, hash: headers.last().map(|(_, hash)| *hash), is_full, is_new })
    }

    /// Remembers how far a peer's chain is known. It has to climb.
    fn note_end(&mut self, peer: PeerId, hash: BlockHash, is_new: bool) -> Result<(), HeaderFault> {
        let Some((height, _)) = self.chain.ancestors(hash).next() else { return Ok(()) };
        let before = self.ends.insert(peer, (height, hash));
        if self.ends.len() > MAX_KNOWN_ENDS {
            self.ends.pop_first();
        }
        let is_loop = !is_new && before.is_some_and(|(before, _)| height <= before);
        if is_loop { Err(HeaderFault::Looping) } else { Ok(()) }
    }

    /// Refuses a peer that has told all it has, if that is a branch of less work which parts from ours deep below the tip.
    fn part_if_low(&self, peer: PeerId) -> Result<(), HeaderFault> {
        let Some(&(_, last)) = self.ends.get(&peer) else { return Ok(()) };
        if self.chain.height_of(last).is_some() {
            return Ok(());
        }
        let fork = self.chain.ancestors(last).find(|(_, entry)| self.chain.height_of(entry.hash).is_some());
        let (tip, _) = self.chain.tip();
        let is_low = fork.is_none_or(|(height, _)| height + MAX_FORK_DEPTH < tip);
        if is_low { Err(HeaderFault::LowWork) } else { Ok(()) }
    }

    /// Decides what to ask next.
    fn go_on(&mut self, ends: &[End], is_new: bool, now: Duration) {
        let (_, tip) = self.chain.tip();
        let is_enough = self.is_enough_with(0);
        let is_beside = |end: &End| end.hash.is_some_and(|hash| self.chain.height_of(hash).is_none());
        let is_open = |end: &End| {
            if is_enough { end.is_full && is_beside(end) } else { end.is_full || end.is_new }
        };
        let leader = ends.iter().find(|end| end.is_full && end.hash == Some(tip)).map(|end| end.peer);
        let is_climbing = leader.is_some() && !is_enough;
        let is_open = ends.iter().any(is_open);
        self.idle_rounds = if is_new { 0 } else { self.idle_rounds + 1 };
        let is_over = self.stage == Stage::Survey && (!is_open || self.idle_rounds > MAX_IDLE_ROUNDS);
        self.leader = leader;
        self.stage = if is_climbing { Stage::Climb } else { Stage::Survey };
        self.state = if is_over { State::Done } else { State::Waiting(now) };
    }

    /// Returns whether the goal is reached with so many headers more.
    fn is_enough_with(&self, more: usize) -> bool {
        let height = self.chain.tip().0.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.until.is_some_and(|until| height >= until)
    }

    /// Returns a locator by which each peer goes on from where its answers left off.
    ///
    /// A peer goes on from the first hash that it knows. So all that peers have sent last stands where its height belongs. And
    /// where a peer's chain leaves ours between two hashes, the room that is left narrows the gap.
    fn locator(&self) -> Vec<BlockHash> {
        let (tip, _) = self.chain.tip();
        let hashes = self.chain.locator().into_iter();
        let mut points: Vec<(u32, BlockHash)> =
            hashes.filter_map(|hash| Some((self.chain.height_of(hash)?, hash))).collect();
        points.extend(self.ends.values());
        let below = |&&(height, hash): &&(u32, BlockHash)| height < tip && self.chain.height_of(hash).is_some();
        if let Some(&(low, _)) = self.ends.values().filter(below).min() {
            let room = MAX_LOCATOR.saturating_sub(points.len());
            let step = usize::try_from(tip - low).unwrap_or(usize::MAX) / (room + 1);
            let between = (low..tip).step_by(step.max(1)).skip(1).take(room);
            points.extend(between.filter_map(|height| Some((height, self.chain.hash_at(height)?))));
        }
        points.sort_unstable_by_key(|&point| Reverse(point));
        points.dedup();
        // The root is what every peer shares, so it stays whatever else has to go.
        while points.len() > MAX_LOCATOR {
            points.remove(MAX_LOCATOR - 1);
        }
        let mut hashes: Vec<BlockHash> = points.into_iter().map(|(_, hash)| hash).collect();
        if let Some(ahead) = self.ahead {
            hashes.truncate(hashes.len().min(MAX_LOCATOR - 1));
            hashes.insert(0, ahead);
        }
        hashes
    }
}

/// What one answer leaves to be asked.
#[derive(Debug, Clone, Copy)]
struct End {
    peer: PeerId,
    /// Its last header.
    hash: Option<BlockHash>,
    /// It has as many headers as an answer holds: there may be more.
    is_full: bool,
    is_new: bool,
}

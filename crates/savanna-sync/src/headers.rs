//! The chain of headers, from several peers.
//!
//! One peer at a time is asked until it has nothing more, and the one that told most lately first. Then several are asked the
//! same, so that a chain is fetched once and yet compared with what others have. The chain with the most work wins.
//!
//! Once nobody has more, what a peer announces is asked for at once, of that peer; and several are asked anew when the caller says
//! so, since announcements may be missed.
//!
//! Checks do not hold up questions: as soon as headers come, what follows them is asked for, and taken once they are checked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use savanna_chain::{HeaderChain, HeaderError, Inserted, Rejected};
use savanna_net::PeerId;
use savanna_wire::{BlockHash, BlockHeader, MAX_HEADERS};

mod anchors;
mod deferred;
mod exchange;
mod judge;
mod locator;
mod rounds;
mod told;
mod tree;

#[cfg(test)]
mod tests;

pub use anchors::Anchors;
use deferred::Deferred;
pub use exchange::{Answer, Change, HeaderAction, HeaderFault, HeadersError, Heard, Whom};
pub use judge::{Judged, Verdict};
use rounds::SEVERAL;
use told::Told;
use tree::End;

/// How many peers are asked at once whether they have more than is known.
const MAX_PROBES: usize = 8;

/// How long several peers have to answer together, before fewer are asked: one that is silent holds up all of their answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// How many answers may wait to be checked before nothing more is asked for.
const MAX_UNCHECKED: usize = 4;

/// How long questions may stay without any answer before the chain is given up.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);

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
    /// One peer is asked for what it told of.
    Told,
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
    /// What is known of the chain below the tree's root.
    anchors: Anchors,
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
    told: Told,
    /// Whether the end was believed before.
    has_ended: bool,
    /// Whether several were asked since something new came, and had no more.
    is_agreed: bool,
    /// Whether a survey has to be begun anew.
    is_cut_short: bool,
    /// Whether it was for nothing that it was cut short: it runs to its end before anybody else is heard.
    is_patient: bool,
    /// Who has headers from the future, of those asked since the last survey began.
    early: BTreeSet<PeerId>,
    is_clock_doubted: bool,
    /// Whose chains leave ours deeper than any is followed, of those asked since the last survey began.
    deep: BTreeSet<PeerId>,
    is_deep: bool,
    /// Who has a header that was rejected, of those asked since the last survey began.
    spurned: BTreeSet<PeerId>,
    is_spurned: bool,
    deferred: Deferred,
    actions: VecDeque<HeaderAction>,
}

impl Headers {
    /// Begins with what is known of the chain; nothing is asked for beyond `until`.
    #[must_use]
    pub fn new(chain: HeaderChain, until: Option<u32>) -> Self {
        Self {
            chain,
            anchors: Anchors::default(),
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
            told: Told::default(),
            has_ended: false,
            is_agreed: false,
            is_cut_short: false,
            is_patient: false,
            early: BTreeSet::new(),
            is_clock_doubted: false,
            deep: BTreeSet::new(),
            is_deep: false,
            spurned: BTreeSet::new(),
            is_spurned: false,
            deferred: Deferred::default(),
            actions: VecDeque::new(),
        }
    }

    /// Knows blocks of the chain below its root, by which peers find where their chains meet ours.
    #[must_use]
    pub fn above(self, anchors: Anchors) -> Self {
        Self { anchors, ..self }
    }

    /// Returns the chain.
    #[must_use]
    pub const fn chain(&self) -> &HeaderChain {
        &self.chain
    }

    /// Adds a header that came with its block to the chain, at `now` in Unix seconds. Its work has been checked.
    ///
    /// # Errors
    /// [`HeaderError`] if it has no place there.
    pub fn extend(&mut self, header: &BlockHeader, hash: BlockHash, now: u64) -> Result<Inserted, HeaderError> {
        self.chain.insert(header, hash, now)
    }

    /// Returns whether nobody who was asked has anything that we lack.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Returns whether several peers, as far as there are several, had no more when they were asked since something new came.
    #[must_use]
    pub const fn is_agreed(&self) -> bool {
        self.is_agreed
    }

    /// Returns whether several peers, as far as there are several, have headers from the future by our clock.
    #[must_use]
    pub const fn is_clock_doubted(&self) -> bool {
        self.is_clock_doubted
    }

    /// Returns whether several peers have chains that leave ours deeper than [`MAX_REORG_DEPTH`](savanna_chain::MAX_REORG_DEPTH).
    #[must_use]
    pub const fn is_deep(&self) -> bool {
        self.is_deep
    }

    /// Returns whether all who were asked last follow a block that was rejected or set aside.
    #[must_use]
    pub const fn is_spurned(&self) -> bool {
        self.is_spurned
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
        if let (Stage::Climb | Stage::Told, &[Heard { peer, count, last: Some(last) }]) = (self.stage, heard)
            && count >= MAX_HEADERS
            && self.unchecked <= MAX_UNCHECKED
            && !self.is_enough_with(self.unchecked * MAX_HEADERS)
        {
            (self.leader, self.ahead, self.state) = (Some(peer), Some(last), State::Waiting(now));
        }
        true
    }

    /// Takes the answers to a question, checked, when our clock says `unix`, in Unix seconds.
    pub fn handle_answers(&mut self, answers: &[Answer], now: Duration, unix: u64) -> Change {
        let mut change = Change::default();
        if self.unchecked == 0 && !matches!(self.state, State::Asked(_)) {
            return change;
        }
        self.unchecked = self.unchecked.saturating_sub(1);
        let mut ends = Vec::new();
        for answer in answers {
            let peer = answer.peer;
            match self.take(answer, unix, &mut change) {
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
        self.is_agreed &= change.new == 0;
        if self.is_followed(answers, &ends) {
            self.idle_rounds = 0;
            return change;
        }
        change.moot = std::mem::take(&mut self.unchecked) > 0;
        self.ahead = None;
        if ends.is_empty() {
            self.is_deep |= self.deep.len() >= SEVERAL;
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

    /// Takes an announcement: a peer has a block. If it is unknown, that peer is asked for it, now or when there is leisure.
    ///
    /// # Security
    /// Each peer waits once, so that a flood of announcements displaces only its own; and one that has not what it announced is not
    /// listened to for a while, which grows.
    pub fn handle_announced(&mut self, peer: PeerId, hash: BlockHash, now: Duration) {
        if !self.chain.contains(hash) {
            self.told.announce(peer, hash, now);
        }
    }

    /// Takes the news of a peer, who is asked what it has, now or when there is leisure.
    pub fn handle_joined(&mut self, peer: PeerId, now: Duration) {
        self.told.join(peer);
        self.wake(now);
    }

    /// Ends a rest: somebody is there who was not when it began.
    pub fn wake(&mut self, now: Duration) {
        if let State::Waiting(at) = self.state {
            self.state = State::Waiting(at.min(now));
        }
    }

    /// Asks fewer peers where several do not answer together, and lets in again what was set aside.
    pub fn handle_timeout(&mut self, now: Duration) {
        for hash in self.deferred.wake(now) {
            self.chain.readmit(hash);
            self.is_agreed = false;
        }
        if self.survey_ends().is_some_and(|at| at <= now) {
            // Whoever is silent comes last when fewer are chosen.
            self.probes = self.probes.div_ceil(2);
            self.state = State::Waiting(now);
        }
    }

    /// Asks anew whether anybody has more.
    pub fn ask_again(&mut self, now: Duration) {
        self.ends.clear();
        self.early.clear();
        self.deep.clear();
        self.spurned.clear();
        self.idle_rounds = 0;
        self.probes = MAX_PROBES.min(self.probes * 2);
        (self.stage, self.state) = (Stage::Survey, State::Waiting(now));
    }

    /// Leaves the branch of a block that turned out to be invalid, for good, and returns the height of the fork if the best chain
    /// is another one by that.
    pub fn reject(&mut self, hash: BlockHash) -> Option<u32> {
        let rejected = self.chain.reject(hash);
        self.is_agreed = false;
        let chain = &self.chain;
        self.ends.retain(|_, (_, hash)| chain.contains(*hash));
        match rejected {
            Ok(Rejected::NewBest { fork_height, .. }) => Some(fork_height),
            Ok(Rejected::Unchanged) | Err(_) => None,
        }
    }

    /// Leaves the branch of a block that nobody delivers, for a while that grows, and returns the height of the fork if the best
    /// chain is another one by that.
    ///
    /// # Security
    /// Whoever keeps a block to himself whose header he tells (withholding) would otherwise hold us where it hangs.
    pub fn set_aside(&mut self, hash: BlockHash, now: Duration) -> Option<u32> {
        if let Some(oldest) = self.deferred.add(hash, now) {
            self.chain.readmit(oldest);
        }
        self.reject(hash)
    }

    /// Forgets that blocks of the best chain up to a height were ever set aside: they are stored.
    pub fn handle_stored(&mut self, height: u32) {
        let chain = &self.chain;
        self.deferred.retain(|hash| chain.height_of(hash).is_none_or(|of| of > height));
    }

    /// Ends the history of the chain at a height: no branch that parts below is followed, and what nothing depends on is forgotten
    /// but for a few hashes.
    pub fn settle(&mut self, height: u32) {
        self.chain.settle(height);
        let root = self.chain.root_height();
        let kept: Vec<_> =
            Anchors::heights(height).filter_map(|height| Some((height, self.chain.hash_at(height)?))).collect();
        self.chain.prune(height);
        if self.chain.root_height() > root {
            kept.into_iter().for_each(|(height, hash)| self.anchors.insert(height, hash));
            self.anchors.thin(self.chain.root_height());
            let chain = &self.chain;
            self.ends.retain(|_, (_, hash)| chain.contains(*hash));
        }
    }

    /// Returns the next thing to be done.
    pub fn poll_action(&mut self, now: Duration) -> Option<HeaderAction> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        self.turn_to_told(now);
        let State::Waiting(at) = self.state else { return None };
        if at > now {
            return None;
        }
        self.state = State::Asked(now);
        let whom = match self.stage {
            Stage::Climb | Stage::Told => self.leader.map_or(Whom::Anybody, Whom::First),
            Stage::Survey => Whom::Several(self.probes),
        };
        Some(HeaderAction::Ask { whom, locator: self.locator() })
    }

    /// Returns when [`Self::handle_timeout`] or [`Self::poll_action`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let waiting = if let State::Waiting(at) = self.state { Some(at) } else { None };
        let deadlines = [waiting.or_else(|| self.survey_ends()), self.deferred.wakes_at()];
        deadlines.into_iter().flatten().min()
    }

    fn survey_ends(&self) -> Option<Duration> {
        match (self.state, self.stage) {
            (State::Asked(since), Stage::Survey) if self.probes > 1 => Some(since + ANSWERS_WITHIN),
            (State::Asked(_) | State::Waiting(_) | State::Checking | State::Done, _) => None,
        }
    }

    /// Returns whether the goal is reached with so many headers more.
    fn is_enough_with(&self, more: usize) -> bool {
        let height = self.chain.tip().0.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        self.until.is_some_and(|until| height >= until)
    }
}

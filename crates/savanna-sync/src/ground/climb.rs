//! The way up where headers prove nothing: hashes by lists, one list after the other, and the headers from the blocks themselves.
//!
//! On a network without proof of work a header apart from its block says no more than its hash. So one peer at a time lists
//! hashes, the blocks are fetched by them, and each brings its header, which is linked and checked before the block is kept. The
//! climb ends where a list does; what there is beside it, headers from several peers tell.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use savanna_chain::HeaderChain;
use savanna_net::PeerId;
use savanna_peer::MAX_BLOCK_HASHES;
use savanna_wire::{BlockHash, MAX_LOCATOR};

use crate::Listed;
use crate::download::Sight;
use crate::headers::Whom;

/// How many heights ahead of the download hashes are asked for.
const AHEAD: u32 = 1_500;

/// How long the network may lack a block that a list names before the climb ends: the way by headers costs less than more waiting.
pub(super) const LACKED_FOR: Duration = Duration::from_millis(700);

/// A question for the hashes that follow a locator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClimbAsk {
    /// Whom.
    pub whom: Whom,
    /// Hashes, the highest first.
    pub locator: Vec<BlockHash>,
}

/// What the climb has to go back on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fall {
    /// The height above which its hashes are forgotten.
    pub to: u32,
    /// Who listed what cannot be.
    pub liar: Option<PeerId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Asked,
    /// Nothing more is asked for.
    Ended,
}

/// A hash, and who listed it.
#[derive(Debug, Clone, Copy)]
struct Step {
    hash: BlockHash,
    giver: PeerId,
    /// It is the first of its list: what it follows its giver did not say.
    is_first: bool,
}

/// The hashes above a chain of headers, as peers list them.
///
/// # Security
/// A list costs its giver the connection if one of its blocks follows another than the list says. Whatever goes wrong ends the
/// climb below it, so that peers who lie cost no more than the slower way by headers. Lists are kept as far ahead of the download
/// as one is long, and some.
#[derive(Debug)]
pub struct Climb {
    /// The height and hash below the first step.
    foot: (u32, BlockHash),
    steps: VecDeque<Step>,
    known: BTreeSet<BlockHash>,
    until: Option<u32>,
    state: State,
    leader: Option<PeerId>,
}

impl Climb {
    /// Begins above a chain's tip; nothing is asked for beyond `until`.
    #[must_use]
    pub fn new(chain: &HeaderChain, until: Option<u32>) -> Self {
        let foot = chain.tip();
        let state = if until.is_some_and(|until| until <= foot.0) { State::Ended } else { State::Waiting };
        Self { foot, steps: VecDeque::new(), known: BTreeSet::new(), until, state, leader: None }
    }

    /// Returns the height of the last hash.
    #[must_use]
    pub fn top(&self) -> u32 {
        self.foot.0.saturating_add(u32::try_from(self.steps.len()).unwrap_or(u32::MAX))
    }

    /// Returns the hash at a height above the chain's tip.
    #[must_use]
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        if height == self.foot.0 {
            return Some(self.foot.1);
        }
        self.steps.get(self.place(height)?).map(|step| step.hash)
    }

    /// Returns who listed the hash at a height.
    #[must_use]
    pub fn giver(&self, height: u32) -> Option<PeerId> {
        self.steps.get(self.place(height)?).map(|step| step.giver)
    }

    /// Returns whether all that was listed is on the chain, and nothing more is asked for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Ended && self.steps.is_empty()
    }

    /// Returns the next question, if heights up to `thought_of` are in the download.
    pub fn poll_ask(&mut self, chain: &HeaderChain, thought_of: u32) -> Option<ClimbAsk> {
        if self.state != State::Waiting || self.top() >= thought_of.saturating_add(AHEAD) {
            return None;
        }
        self.state = State::Asked;
        let mut locator: Vec<BlockHash> = self.steps.back().map(|step| step.hash).into_iter().collect();
        locator.extend(chain.locator().into_iter().take(MAX_LOCATOR - locator.len()));
        Some(ClimbAsk { whom: self.leader.map_or(Whom::Anybody, Whom::First), locator })
    }

    /// Takes what a peer listed. Returns who is to be blamed for a list that cannot be.
    pub fn handle_list(&mut self, chain: &HeaderChain, Listed { peer, hashes }: Listed) -> Option<PeerId> {
        if self.state != State::Asked {
            return None;
        }
        self.state = State::Ended;
        let is_full = hashes.len() >= MAX_BLOCK_HASHES;
        // A peer that does not know the top lists from where its chain parts from ours, or joins it.
        let is_ours = |hash: &BlockHash| self.known.contains(hash) || chain.height_of(*hash).is_some();
        let new = hashes.iter().position(|hash| !is_ours(hash)).unwrap_or(hashes.len());
        let (_, top) = self.last();
        if new > 0 && hashes[new - 1] != top {
            return None;
        }
        let room = self.until.map_or(usize::MAX, |until| until.saturating_sub(self.top()) as usize);
        for (number, &hash) in hashes[new..].iter().take(room).enumerate() {
            if !self.known.insert(hash) {
                return Some(peer);
            }
            self.steps.push_back(Step { hash, giver: peer, is_first: number == 0 && new == 0 });
        }
        if is_full && new < hashes.len() && self.until.is_none_or(|until| self.top() < until) {
            (self.state, self.leader) = (State::Waiting, Some(peer));
        }
        None
    }

    /// Takes the news that nobody answered.
    pub fn handle_failed(&mut self) {
        self.state = State::Ended;
    }

    /// Takes the news that a block came that was asked for at a height.
    pub fn handle_sight(&mut self, sight: &Sight) -> Option<Fall> {
        let step = *self.steps.get(self.place(sight.height)?)?;
        let below = sight.height - 1;
        if step.hash != sight.hash || self.hash_at(below) == Some(sight.previous) {
            return None;
        }
        self.cut(below);
        Some(Fall { to: below, liar: (!step.is_first).then_some(step.giver) })
    }

    /// Takes the news that the network has told for `long` that it lacks the block at a height.
    pub fn handle_lack(&mut self, height: u32, long: Duration) -> Option<Fall> {
        (long >= LACKED_FOR && height > self.foot.0 && height <= self.top()).then(|| self.fall(height))
    }

    /// Goes back to below a height whose block cannot be kept.
    pub fn fall(&mut self, height: u32) -> Fall {
        let to = height.saturating_sub(1).max(self.foot.0);
        self.cut(to);
        Fall { to, liar: None }
    }

    /// Forgets the hash above the foot, because it is on the chain.
    pub fn handle_kept(&mut self) {
        if let Some(step) = self.steps.pop_front() {
            self.known.remove(&step.hash);
            self.foot = (self.foot.0.saturating_add(1), step.hash);
        }
    }

    fn last(&self) -> (u32, BlockHash) {
        self.steps.back().map_or(self.foot, |step| (self.top(), step.hash))
    }

    fn cut(&mut self, to: u32) {
        self.state = State::Ended;
        while self.top() > to
            && let Some(step) = self.steps.pop_back()
        {
            self.known.remove(&step.hash);
        }
    }

    fn place(&self, height: u32) -> Option<usize> {
        usize::try_from(height.checked_sub(self.foot.0.checked_add(1)?)?).ok()
    }
}

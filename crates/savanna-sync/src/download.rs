//! Which block to ask of whom, and when to stop waiting.
//!
//! A [`Download`] is told the hashes of a chain in order of height, the peers that come and go, and what they answer. It says
//! whom to ask for what, which peers to let go of, and hands over the blocks in order. It does no IO and reads no clock: time is
//! an argument, on a scale whose origin is the caller's choice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use savanna_chain::BlockError;
use savanna_peer::Missing;
use savanna_wire::{Block, BlockHash};

mod choice;
mod pace;
mod window;

#[cfg(test)]
mod tests;

use pace::{Patience, Source};
use window::Window;

/// After how many stalls in a row a peer is let go of, while others remain.
const MAX_STALLS: u32 = 3;

/// After how many stalls in a row the last peer is let go of: two minutes of silence, the patience doubling each time.
const MAX_STALLS_ALONE: u32 = 6;

/// How long a peer that lacks a block is not asked for it again.
const LACK: Duration = Duration::from_secs(5);

/// How long every peer may lack the lowest missing block before the download is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// How much may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of blocks that are not yet stored, those under way by their expected size.
    pub bytes: usize,
    /// The most blocks from the lowest missing one on.
    pub blocks: usize,
    /// The most blocks that peers are asked for at once, all peers together. Each may turn out as long as blocks can be.
    pub under_way: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, blocks: 1024, under_way: 256 }
    }
}

/// Names a question for the life of its download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(u64);

/// What a peer answered to a question.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The blocks that came, each with what was found wrong in its body.
    pub found: Vec<(Block, Result<(), BlockError>)>,
    /// What did not come, with the reason. A hash that is named nowhere counts as dropped.
    pub missing: Vec<(BlockHash, Missing)>,
}

/// Why a peer lost its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It sent a block whose body is not what its header commits to.
    WrongBody,
    /// It let its time pass again and again.
    Stalled,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<P> {
    /// Ask a peer for blocks, at most [`MAX_GETDATA_BLOCKS`](savanna_peer::MAX_GETDATA_BLOCKS), in order of height.
    Ask {
        /// Whom.
        peer: P,
        /// The question.
        ask: AskId,
        /// Heights and hashes.
        blocks: Vec<(u32, BlockHash)>,
    },
    /// Forget a question: its answer counts no more.
    Cancel(AskId),
    /// Let go of a peer. It is not asked again.
    Disconnect {
        /// Whom.
        peer: P,
        /// Why.
        fault: Fault,
    },
}

/// Why a download cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Every peer said that it lacks the lowest missing block, for [`GIVE_UP_AFTER`].
    Unavailable {
        /// Its height.
        height: u32,
    },
    /// A block breaks a rule, and its header commits to exactly these transactions: no other peer can have a better one.
    Invalid {
        /// Its height.
        height: u32,
        /// Its hash.
        hash: BlockHash,
        /// The rule.
        error: BlockError,
    },
}

#[derive(Debug, Clone)]
struct Ask<P> {
    peer: P,
    blocks: Vec<(u32, BlockHash)>,
    at: Duration,
}

/// The download of a chain's blocks from several peers at once.
///
/// Nothing is asked of two peers at once but the lowest missing block, when it is late and holds up the rest.
///
/// # Security
/// Memory is bounded by [`Limits`] whatever peers send. Blocks that came beyond it are dropped, the highest first, and asked for
/// again. What is under way is reckoned by the size that blocks had of late, which peers that lie (bodies of 2 MB under small
/// blocks' headers) or a chain whose blocks grow suddenly may exceed: it is bounded by its number as well.
///
/// A wrong body tells nothing against the hash (block mutation): the peer that sent it pays, and another is asked.
#[derive(Debug)]
pub struct Download<P> {
    window: Window,
    sources: BTreeMap<P, Source>,
    asks: BTreeMap<AskId, Ask<P>>,
    next_ask: u64,
    actions: VecDeque<Action<P>>,
    patience: Patience,
    /// When the lowest missing block became it.
    frontier: (u32, Duration),
    invalid: Option<Failure>,
    refetched: u64,
}

impl<P: Copy + Ord> Download<P> {
    /// Begins a download whose first block has height `first`.
    #[must_use]
    pub fn new(first: u32, limits: Limits) -> Self {
        Self {
            window: Window::new(first, limits),
            sources: BTreeMap::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            actions: VecDeque::new(),
            patience: Patience::new(),
            frontier: (first, Duration::ZERO),
            invalid: None,
            refetched: 0,
        }
    }

    /// Returns the height of the next hash that [`Self::extend`] takes.
    #[must_use]
    pub fn next_height(&self) -> u32 {
        self.window.end()
    }

    /// Returns how many more hashes there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.window.room()
    }

    /// Returns how many bytes of blocks have come and are not yet stored.
    #[must_use]
    pub fn unstored_bytes(&self) -> usize {
        self.window.held()
    }

    /// Returns how many blocks were asked for again because a peer sent a wrong one, stalled, or went.
    #[must_use]
    pub const fn refetched(&self) -> u64 {
        self.refetched
    }

    /// Returns how many peers take part.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.sources.len()
    }

    /// Takes a peer in.
    pub fn handle_joined(&mut self, peer: P) {
        self.sources.entry(peer).or_default();
    }

    /// Gives what was asked of a peer that went to the others.
    pub fn handle_left(&mut self, peer: P) {
        self.sources.remove(&peer);
        self.take_back(peer);
    }

    /// Takes the answer to a question, received at `now`. Blocks that were not asked for are ignored.
    pub fn handle_answer(&mut self, id: AskId, answer: Answer, now: Duration) {
        let Some(ask) = self.asks.remove(&id) else { return };
        let mut open: BTreeMap<BlockHash, u32> = ask.blocks.iter().map(|&(height, hash)| (hash, height)).collect();
        let (mut arrived, mut wrong) = (0, false);
        for (block, verdict) in answer.found {
            let hash = block.hash();
            let Some(height) = open.remove(&hash) else { continue };
            match verdict {
                Ok(()) => {
                    self.window.arrive(height, block);
                    arrived += 1;
                }
                Err(error) if error.is_mutation() => {
                    wrong = true;
                    self.window.give_back(height, hash, true);
                }
                Err(error) => self.invalid = Some(Failure::Invalid { height, hash, error }),
            }
        }
        let lacking: BTreeSet<BlockHash> = answer
            .missing
            .into_iter()
            .filter_map(|(hash, reason)| (reason == Missing::NotFound).then_some(hash))
            .collect();
        let mut lacks = Vec::new();
        for (hash, height) in open {
            if lacking.contains(&hash) {
                lacks.push(height);
            }
            self.window.give_back(height, hash, false);
        }
        self.judge(ask, arrived, wrong, &lacks, now);
    }

    /// Takes the news that a question ended without an answer although its peer is still there.
    pub fn handle_failed(&mut self, id: AskId, now: Duration) {
        self.patience.grow(now);
        self.handle_answer(id, Answer::default(), now);
    }

    /// Takes the news that `bytes` of the blocks handed over are stored.
    pub fn handle_stored(&mut self, bytes: usize) {
        self.window.stored(bytes);
    }

    /// Gives up on whatever is late.
    pub fn handle_timeout(&mut self, now: Duration) {
        let late: BTreeSet<P> =
            self.asks.values().filter(|ask| self.deadline(ask) <= now).map(|ask| ask.peer).collect();
        for peer in late {
            self.patience.grow(now);
            self.stall(peer, now);
        }
    }

    /// Adds the next hashes of the chain.
    pub fn extend(&mut self, hashes: impl IntoIterator<Item = BlockHash>) {
        hashes.into_iter().for_each(|hash| self.window.push(hash));
    }

    /// Forgets every block above `height`, handed over or not, because another chain took its place.
    pub fn rewind(&mut self, height: u32) {
        self.window.rewind(height);
        self.invalid = None;
        let dead = |ask: &Ask<P>| ask.blocks.iter().any(|&(of, _)| of > height);
        let dead: Vec<AskId> = self.asks.iter().filter(|(_, ask)| dead(ask)).map(|(&id, _)| id).collect();
        for id in dead {
            self.cancel(id, false);
        }
        self.sources.values_mut().for_each(|source| source.forget_lacks_from(height.saturating_add(1)));
    }

    /// Takes out the next blocks in order, up to about `bytes` of them; they count as unstored until
    /// [`Self::handle_stored`].
    pub fn take_run(&mut self, bytes: usize) -> Vec<Block> {
        let run = self.window.take_run(bytes);
        let base = self.window.base();
        self.sources.values_mut().for_each(|source| source.forget_lacks_below(base));
        run
    }

    /// Returns the next thing to be done.
    pub fn poll_action(&mut self, now: Duration) -> Option<Action<P>> {
        let lowest = self.window.lowest_missing();
        if lowest.is_some_and(|height| height != self.frontier.0) {
            self.frontier = (lowest.unwrap_or_default(), now);
        }
        self.actions.pop_front().or_else(|| self.next_ask(now)).or_else(|| self.hedge(now))
    }

    /// Returns why the download cannot go on, if it cannot.
    #[must_use]
    pub fn failure(&self, now: Duration) -> Option<Failure> {
        let height = self.window.lowest_missing()?;
        let everyone_lacks =
            || !self.sources.is_empty() && self.sources.values().all(|source| source.ever_lacked(height));
        let long = height == self.frontier.0 && now >= self.frontier.1 + GIVE_UP_AFTER;
        let unavailable = || (long && everyone_lacks()).then_some(Failure::Unavailable { height });
        self.invalid.or_else(unavailable)
    }

    /// Returns when [`Self::handle_timeout`] or [`Self::poll_action`] has something to do that no answer brings about, once
    /// both have been called at `now`.
    #[must_use]
    pub fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let late = self.asks.values().map(|ask| self.deadline(ask)).min();
        let hedge = self.hedge_at();
        let lacks = self.window.lowest_missing().and_then(|height| {
            let until = self.sources.values().filter_map(|source| source.lacks_until(height));
            until.filter(|&until| until > now).min()
        });
        let give_up = self.window.lowest_missing().map(|_| self.frontier.1 + GIVE_UP_AFTER);
        let to_come = [hedge, lacks, give_up].into_iter().flatten().filter(|&at| at > now);
        to_come.chain(late).min()
    }

    fn deadline(&self, ask: &Ask<P>) -> Duration {
        let Some(source) = self.sources.get(&ask.peer) else { return ask.at };
        // A peer answers one question after the other: the clock of each begins when the one before it is answered.
        ask.at.max(source.answered_at()) + self.patience.get() + source.expected(ask.blocks.len()) * 4
    }

    /// Books what an answer says of its peer.
    fn judge(&mut self, ask: Ask<P>, arrived: usize, wrong: bool, lacks: &[u32], now: Duration) {
        let Some(source) = self.sources.get_mut(&ask.peer) else { return };
        lacks.iter().for_each(|&height| source.lack(height, now + LACK));
        source.answered(ask.blocks.len(), arrived, ask.at, now);
        if wrong {
            self.expel(ask.peer, Fault::WrongBody);
        } else if arrived > 0 {
            self.patience.relax();
        } else if lacks.is_empty() {
            self.stall(ask.peer, now);
        }
    }

    /// Takes everything from a peer that let its time pass or answered with nothing, and the peer's place if it did so too often.
    fn stall(&mut self, peer: P, now: Duration) {
        let others = self.sources.len() > 1;
        let Some(source) = self.sources.get_mut(&peer) else { return };
        let stalls = source.stalled(now);
        if stalls >= if others { MAX_STALLS } else { MAX_STALLS_ALONE } {
            self.expel(peer, Fault::Stalled);
        } else {
            self.take_back(peer);
        }
    }

    fn expel(&mut self, peer: P, fault: Fault) {
        self.handle_left(peer);
        self.actions.push_back(Action::Disconnect { peer, fault });
    }

    fn take_back(&mut self, peer: P) {
        let asked: Vec<AskId> = self.asks.iter().filter(|(_, ask)| ask.peer == peer).map(|(&id, _)| id).collect();
        for id in asked {
            self.cancel(id, true);
        }
    }

    fn cancel(&mut self, id: AskId, again: bool) {
        let Some(ask) = self.asks.remove(&id) else { return };
        for &(height, hash) in &ask.blocks {
            self.window.give_back(height, hash, again);
        }
        if let Some(source) = self.sources.get_mut(&ask.peer) {
            source.cancelled(ask.blocks.len());
        }
        self.actions.push_back(Action::Cancel(id));
    }
}

//! Which blocks to ask for now, and what to make of what comes.
//!
//! A [`Download`] is told the hashes of a chain in order of height and what the network answers. It says what to ask for, whom
//! to blame, and hands over the blocks in order. Whom to ask is not its business. It does no IO and reads no clock: time is an
//! argument, on a scale whose origin is the caller's choice.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use savanna_chain::BlockError;
use savanna_net::PeerId;
use savanna_peer::Missing;
use savanna_wire::{Block, BlockHash};

mod counts;
mod window;

#[cfg(test)]
mod tests;

pub use counts::{DownloadCounts, Refetched};
use window::Window;

/// The most blocks of one question: the network serves questions in turn, and what is asked again waits behind others.
const MOST_ASKED: usize = 128;

/// The fewest blocks of a question while others are under way: fewer would make short messages.
const LEAST_ASKED: usize = 16;

/// How long every peer may lack the lowest missing block before the download is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// How long the lowest missing block may come from nobody in time before the download is given up.
pub const UNDELIVERED_AFTER: Duration = Duration::from_secs(120);

/// How much may be under way at once.
///
/// `bytes` is the one budget of memory. It bounds the blocks that came and are not stored, whether they wait for a lower one, for
/// the proof that they belong to the chain, or for the disk. It does not bound what is under way beyond its expected size, which
/// the source's own limit of a stream does ([`savanna_peerset::Config::streamed_bytes`]), nor the buffers of connections, nor the
/// chain of headers above the last checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of blocks that are not yet stored, those under way by their expected size.
    pub bytes: usize,
    /// The most slots from the lowest block not handed over on, some 100 bytes each: with small blocks this many are fetched
    /// ahead, with large ones `bytes` is reached first.
    pub blocks: usize,
    /// The most blocks that are asked for at once, of all peers together. Each may turn out as long as blocks can be.
    pub under_way: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024, blocks: 4096, under_way: 384 }
    }
}

/// Names a question for the life of its download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(u64);

/// A block that came.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Who gave it.
    pub peer: PeerId,
    /// The block.
    pub block: Block,
    /// What was found wrong in its body.
    pub verdict: Result<(), BlockError>,
}

/// What became of one hash of a question.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The hash.
    pub hash: BlockHash,
    /// The block, or why there is none.
    pub result: Result<Delivery, Missing>,
}

/// A block that came and is what was asked for, whatever is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// The height at which it was asked for.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// The hash of the block that it follows.
    pub previous: BlockHash,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the network for blocks.
    Ask {
        /// The question.
        ask: AskId,
        /// Heights and hashes, in order of height.
        blocks: Vec<(u32, BlockHash)>,
    },
    /// Forget a question: its answers count no more.
    Cancel(AskId),
    /// Blame a peer for a body that is not what its header commits to.
    Report(PeerId),
}

/// Why a download cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Every peer said that it lacks the lowest missing block, for [`GIVE_UP_AFTER`].
    Unavailable {
        /// Its height.
        height: u32,
    },
    /// Nobody delivered the lowest missing block, for [`UNDELIVERED_AFTER`].
    Undelivered {
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

/// The download of a chain's blocks from a network.
///
/// # Security
/// Memory is bounded by [`Limits`] whatever peers send. Blocks that came beyond it are dropped, the highest first, and asked for
/// again. What is under way is reckoned by the size that blocks had of late, which peers that lie (bodies of 2 MB under small
/// blocks' headers) or a chain whose blocks grow suddenly may exceed: it is bounded by its number as well.
///
/// A wrong body tells nothing against the hash (block mutation): the peer that sent it pays, and the block is asked for again.
#[derive(Debug)]
pub struct Download {
    window: Window,
    /// What each question has not brought yet.
    asks: BTreeMap<AskId, BTreeMap<BlockHash, u32>>,
    next_ask: u64,
    actions: VecDeque<Action>,
    /// The lowest block that breaks a rule.
    invalid: Option<(u32, BlockHash, BlockError)>,
    counts: DownloadCounts,
}

impl Download {
    /// Begins a download whose first block has height `first`.
    #[must_use]
    pub const fn new(first: u32, limits: Limits) -> Self {
        Self {
            window: Window::new(first, limits),
            asks: BTreeMap::new(),
            next_ask: 0,
            actions: VecDeque::new(),
            invalid: None,
            counts: DownloadCounts::new(),
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
    pub const fn unstored_bytes(&self) -> usize {
        self.window.held()
    }

    /// Returns how many times a block was asked for again because it came with a wrong body, or not in time, or found no room.
    #[must_use]
    pub const fn refetched(&self) -> u64 {
        self.counts.asked_again
    }

    /// Returns what has been handled so far and how much is under way.
    #[must_use]
    pub fn counts(&self) -> DownloadCounts {
        let refetched = Refetched { no_room: self.window.shed_count(), ..self.counts.refetched };
        DownloadCounts {
            refetched,
            blocks_under_way: self.window.asked(),
            bytes_under_way: self.window.expected(),
            bytes_held: self.window.held(),
            window: self.window.len(),
            ..self.counts
        }
    }

    /// Takes what became of hashes of a question, and returns which of the wanted blocks came. What was not asked for is ignored.
    pub fn handle_arrivals(&mut self, ask: AskId, arrivals: Vec<Arrival>, now: Duration) -> Vec<Sight> {
        let mut sights = Vec::new();
        let Some(open) = self.asks.get_mut(&ask) else { return sights };
        for Arrival { hash, result } in arrivals {
            let Some(height) = open.remove(&hash) else { continue };
            match result {
                Ok(Delivery { peer, verdict: Err(error), .. }) if error.is_mutation() => {
                    self.counts.refetched.wrong_body += 1;
                    self.actions.push_back(Action::Report(peer));
                    self.window.give_back(height, hash, true);
                }
                Ok(Delivery { block, verdict, .. }) if block.hash() == hash => {
                    let sight = Sight { height, hash, previous: block.header().previous };
                    let is_wanted = match verdict {
                        Ok(()) => self.window.arrive(height, block),
                        Err(error) => {
                            let is_wanted = self.window.refuse(height, hash);
                            if is_wanted && self.invalid.is_none_or(|(lowest, ..)| height < lowest) {
                                self.invalid = Some((height, hash, error));
                            }
                            is_wanted
                        }
                    };
                    self.counts.arrived += u64::from(is_wanted);
                    sights.extend(is_wanted.then_some(sight));
                }
                Ok(_) => self.window.lack(height, hash, self.counts.count_missing(Missing::Dropped), now),
                Err(why) => self.window.lack(height, hash, self.counts.count_missing(why), now),
            }
        }
        if open.is_empty() {
            self.asks.remove(&ask);
        }
        sights
    }

    /// Takes the news that `bytes` of the blocks handed over are stored.
    pub fn handle_stored(&mut self, bytes: usize) {
        self.window.stored(bytes);
    }

    /// Lets what was missing be asked for again in its time.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.window.wake(now);
    }

    /// Adds the next hashes of the chain.
    pub fn extend(&mut self, hashes: impl IntoIterator<Item = BlockHash>) {
        hashes.into_iter().for_each(|hash| self.window.push(Some(hash)));
    }

    /// Adds the next heights of the chain, those whose hashes are not known yet without them: [`Self::list`] tells them later.
    pub fn extend_unlisted(&mut self, hashes: impl IntoIterator<Item = Option<BlockHash>>) {
        hashes.into_iter().for_each(|hash| self.window.push(hash));
    }

    /// Tells hashes, from height `first` on, of blocks that have none.
    pub fn list(&mut self, first: u32, hashes: impl IntoIterator<Item = BlockHash>) {
        (first..).zip(hashes).for_each(|(height, hash)| self.window.fill(height, hash));
    }

    /// Takes the hashes of these heights away, because the list that told them is false. What came for them is dropped.
    pub fn unlist(&mut self, heights: RangeInclusive<u32>) {
        self.invalid.take_if(|(height, ..)| heights.contains(height));
        self.window.hollow_out(heights.clone());
        self.cancel_asks(|height| heights.contains(&height));
    }

    /// Lets blocks be handed over up to the height `proven` and no further, and puts those up to `first_end` before all others.
    ///
    /// A chain of which every hash is proven needs none of this.
    pub fn prove(&mut self, proven: u32, first_end: u32) {
        self.window.prove(proven, first_end);
    }

    /// Forgets every block above `height`, handed over or not, because another chain took its place.
    pub fn rewind(&mut self, height: u32) {
        self.window.rewind(height);
        self.invalid.take_if(|(of, ..)| *of > height);
        self.cancel_asks(|of| of > height);
    }

    /// Forgets the questions for any block at such a height. What else they asked for is asked for anew.
    fn cancel_asks(&mut self, is_dead: impl Fn(u32) -> bool) {
        let dead = |open: &BTreeMap<BlockHash, u32>| open.values().any(|&height| is_dead(height));
        let dead: Vec<AskId> = self.asks.iter().filter(|(_, open)| dead(open)).map(|(&ask, _)| ask).collect();
        for ask in dead {
            for (hash, height) in self.asks.remove(&ask).unwrap_or_default() {
                self.counts.refetched.cancelled += u64::from(!is_dead(height));
                self.window.give_back(height, hash, false);
            }
            self.actions.push_back(Action::Cancel(ask));
        }
    }

    /// Forgets every block, handed over or not, and begins anew right above `height`.
    pub fn restart(&mut self, height: u32) {
        self.window.restart(height.saturating_add(1));
        self.invalid = None;
        self.actions.extend(std::mem::take(&mut self.asks).into_keys().map(Action::Cancel));
    }

    /// Returns the height of the lowest block that is neither here nor handed over.
    #[must_use]
    pub fn frontier(&self) -> u32 {
        self.window.frontier()
    }

    /// Returns whether nothing is under way, and nothing waits to be asked for again.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.asks.is_empty() && self.window.wakes_at().is_none()
    }

    /// Returns the height of the lowest missing block, and for how long the network has told that it lacks it.
    #[must_use]
    pub fn lacking(&self) -> Option<(u32, Duration)> {
        self.window.lowest_lack().map(|(height, _, long)| (height, long))
    }

    /// Forgets that the network lacked the lowest missing block: it was not there to be asked.
    pub fn forgive(&mut self) {
        self.window.forgive();
    }

    /// Takes out the next blocks in order, up to about `bytes` of them; they count as unstored until
    /// [`Self::handle_stored`].
    pub fn take_run(&mut self, bytes: usize) -> Vec<Block> {
        self.window.take_run(bytes)
    }

    /// Returns the next thing to be done.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front().or_else(|| self.next_ask())
    }

    /// Returns why the download cannot go on, if it cannot.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let given_up = || match self.window.lowest_lack()? {
            (height, Missing::TimedOut, long) if long >= UNDELIVERED_AFTER => Some(Failure::Undelivered { height }),
            (height, Missing::NotFound | Missing::Dropped, long) if long >= GIVE_UP_AFTER => {
                Some(Failure::Unavailable { height })
            }
            (_, Missing::NotFound | Missing::Dropped | Missing::TimedOut, _) => None,
        };
        let invalid = self.invalid.filter(|&(height, ..)| self.window.is_proven(height));
        invalid.map(|(height, hash, error)| Failure::Invalid { height, hash, error }).or_else(given_up)
    }

    /// Returns when [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.window.wakes_at()
    }

    /// Asks for the lowest blocks that are not asked for, as many as the limits admit.
    fn next_ask(&mut self) -> Option<Action> {
        let affordable = self.window.affordable().min(MOST_ASKED);
        // Whoever waits for room asks for a whole message then, rather than for one block at a time.
        let is_patient = !self.asks.is_empty() && !self.window.is_frontier_unasked();
        if affordable == 0 || is_patient && affordable < LEAST_ASKED {
            return None;
        }
        let blocks = self.window.unasked(affordable);
        if blocks.is_empty() {
            return None;
        }
        for &(height, _) in &blocks {
            self.counts.asked_again += u64::from(self.window.ask(height));
        }
        self.counts.asked += blocks.len() as u64;
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        self.asks.insert(ask, blocks.iter().map(|&(height, hash)| (hash, height)).collect());
        Some(Action::Ask { ask, blocks })
    }
}

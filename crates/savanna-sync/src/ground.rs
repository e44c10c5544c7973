//! Known ground: the hashes of blocks below the last checkpoint, from many peers at once.
//!
//! Between two checkpoints lies a range. A peer that is asked for the hashes after the lower one, up to the upper one, needs no
//! predecessor to answer, so many ranges are asked for at the same time, of different peers. What is listed is fetched before it
//! is proven; it is proven once each of its blocks follows the one before it, up to the checkpoint: no other blocks can.
//!
//! A [`Ground`] decides which lists to ask for, which to believe, and what their blocks prove. It does no IO and reads no clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use savanna_chain::Checkpoints;
use savanna_net::PeerId;
use savanna_peer::MAX_BLOCK_HASHES;
use savanna_wire::BlockHash;

use crate::Listed;
use crate::download::Sight;
use crate::headers::{SILENT_AFTER, Whom};

pub mod climb;
mod range;

#[cfg(test)]
mod tests;

use range::{Range, Verdict};

/// How many lists are asked for at once, of all peers together.
const MOST_ASKED: usize = 8;

/// How many heights ahead of the download hashes are asked for.
const AHEAD: u32 = 2_000;

/// How many peers are asked at once for a list that was refused before.
const MAX_WITNESSES: usize = 8;

/// Of how many peers is kept that their lists are believed only if they name the checkpoint; beyond them the oldest connection is
/// forgotten.
const MAX_UNSURE: usize = 48;

/// How long to wait after a list that was of no use; it doubles with each, so many times.
const FIRST_REST: Duration = Duration::from_millis(250);
const MAX_DOUBLINGS: u32 = 4;

/// How long the network may lack a block before another peer is asked whether the list that names it is true.
pub const DOUBTED_AFTER: Duration = Duration::from_secs(4);

/// How long no peer may give a list that reaches the next checkpoint before the ground is given up.
pub const UNREACHED_AFTER: Duration = Duration::from_secs(60);

/// Names a question for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(u64);

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroundAction {
    /// Ask for the hashes that follow another.
    Ask {
        /// The question.
        ask: ListId,
        /// Whom.
        whom: Whom,
        /// The hash before the first that is wanted.
        after: BlockHash,
        /// The last that is wanted.
        stop: BlockHash,
    },
    /// Tell the download the hashes of these heights.
    List {
        /// The first height.
        first: u32,
        /// The hashes.
        hashes: Vec<BlockHash>,
    },
    /// Take the hashes of these heights away from the download: they are of a false list.
    Unlist {
        /// The first height.
        first: u32,
        /// The last height.
        last: u32,
    },
    /// Blame a peer for a list that is false.
    Report(PeerId),
}

/// Why there is no going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroundFailure {
    /// The archive holds blocks that do not lead to the checkpoint at this height.
    Contradicted {
        /// The checkpoint's height.
        height: u32,
    },
    /// No peer's chain reaches the checkpoint at this height.
    Unreached {
        /// The checkpoint's height.
        height: u32,
    },
    /// Nobody answers.
    Silent,
}

/// The ranges between checkpoints that are being fetched.
///
/// # Security
/// A list that is false is found out by the blocks that it names, and its giver is blamed: no block can follow another than its
/// header says, and no block can have a checkpoint's hash but the one. Whose list merely ends too early, or is of another branch,
/// is passed over: a node that is itself behind tells no lie. A list whose blocks nobody has is asked for again, and blamed when
/// the true one is proven. Blocks of a range that is not proven never reach an archive, and cost memory within the download's budget.
#[derive(Debug)]
pub struct Ground {
    checkpoints: Checkpoints,
    /// The height and the hash below the first block that is wanted, where there is an archive.
    archive: Option<(u32, BlockHash)>,
    /// The height of the last checkpoint.
    end: u32,
    /// The ranges that are thought of, by the height of their upper checkpoint.
    ranges: BTreeMap<u32, Range>,
    /// The checkpoint at which the next range begins.
    next: (u32, BlockHash),
    /// Up to which height all is proven.
    proven: u32,
    next_ask: u64,
    actions: VecDeque<GroundAction>,
    /// Who gave a list that did not name the checkpoint and was false: a peer that is behind may, by chance.
    unsure: BTreeSet<PeerId>,
    /// When anybody answered last, and since when nobody has.
    heard_at: Duration,
    silent_since: Option<Duration>,
    /// Since when answers have come and none was of use.
    unreached_since: Option<Duration>,
    /// The checkpoint below the range that the archive contradicts, and the height of the one above it.
    contradicted: Option<((u32, BlockHash), u32)>,
}

impl Ground {
    /// Begins above the archive's last block, or at the first block of all, and ends at the last checkpoint up to `until`.
    ///
    /// Returns none where there is nothing left of it. Checkpoints that are further apart than a list is long are none: known
    /// ground ends before them.
    #[must_use]
    pub fn new(checkpoints: &Checkpoints, archive: Option<(u32, BlockHash)>, until: Option<u32>) -> Option<Self> {
        let height = archive.map_or(0, |(height, _)| height);
        let next = checkpoints.last_at_or_below(height);
        let mut end = next.0;
        while let Some((above, _)) = checkpoints.first_above(end)
            && until.is_none_or(|until| above <= until)
            && usize::try_from(above - end).is_ok_and(|gap| gap <= MAX_BLOCK_HASHES)
        {
            end = above;
        }
        (end > height).then(|| Self {
            checkpoints: checkpoints.clone(),
            archive,
            end,
            ranges: BTreeMap::new(),
            next,
            proven: height,
            next_ask: 0,
            actions: VecDeque::new(),
            unsure: BTreeSet::new(),
            heard_at: Duration::ZERO,
            silent_since: None,
            unreached_since: None,
            contradicted: None,
        })
    }

    /// Returns the height of the checkpoint at which it ends.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.end
    }

    /// Returns the height up to which all blocks that came are proven.
    #[must_use]
    pub const fn proven(&self) -> u32 {
        self.proven
    }

    /// Returns the height at which the first range that is not proven ends.
    #[must_use]
    pub fn first_end(&self) -> u32 {
        self.checkpoints.first_above(self.proven).map_or(self.end, |(height, _)| height.min(self.end))
    }

    /// Returns the hash at a height, if it is listed or known.
    #[must_use]
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        if height == 0 {
            return Some(self.checkpoints.last_at_or_below(0).1);
        }
        let (_, range) = self.ranges.range(height..).next()?;
        range.hash_at(height)
    }

    /// Returns how many hashes are kept.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.ranges.values().map(Range::listed).sum()
    }

    /// Takes the answers to a question: of each peer that was asked, its list.
    pub fn handle_lists(&mut self, ask: ListId, lists: Vec<Listed>, now: Duration) {
        let Some(range) = self.ranges.values_mut().find(|range| range.is_asked(ask)) else { return };
        if lists.is_empty() {
            return self.handle_failed(ask, now);
        }
        (self.heard_at, self.silent_since) = (now, None);
        let height = range.upper().0;
        match range.take(lists, &self.unsure, now) {
            Verdict::Taken { replaced } => {
                if replaced {
                    self.actions.push_back(range.unlist());
                }
                self.actions.extend(range.list());
                self.unreached_since = None;
            }
            Verdict::Confirmed => {}
            Verdict::Useless => {
                if Some(height) == self.ranges.keys().next().copied() {
                    self.unreached_since.get_or_insert(now);
                }
            }
        }
    }

    /// Takes the news that nobody answered a question in time.
    pub fn handle_failed(&mut self, ask: ListId, now: Duration) {
        if let Some(range) = self.ranges.values_mut().find(|range| range.is_asked(ask)) {
            self.silent_since.get_or_insert(range.asked_at().unwrap_or(now).max(self.heard_at));
            range.rest(now);
        }
    }

    /// Takes the news that a block came that was asked for at a height.
    pub fn handle_sight(&mut self, sight: &Sight, now: Duration) {
        let Some((_, range)) = self.ranges.range_mut(sight.height..).next() else { return };
        match range.see(sight) {
            Some(true) if range.is_whole() => self.conclude(sight.height),
            Some(true) | None => {}
            Some(false) => {
                self.actions.push_back(range.unlist());
                match range.discard(now) {
                    Some((giver, true)) => self.actions.push_back(GroundAction::Report(giver)),
                    Some((giver, false)) => {
                        self.unsure.insert(giver);
                        if self.unsure.len() > MAX_UNSURE {
                            self.unsure.pop_first();
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// Takes the news that the network has told for `long` that it lacks the block at a height.
    pub fn handle_lack(&mut self, height: u32, long: Duration, now: Duration) {
        if long >= DOUBTED_AFTER
            && let Some((_, range)) = self.ranges.range_mut(height..).next()
        {
            range.doubt(now);
        }
    }

    /// Forgets what is at or below a height, because it is stored.
    pub fn handle_stored(&mut self, height: u32) {
        while let Some(first) = self.ranges.first_entry()
            && *first.key() <= height.min(self.proven)
        {
            first.remove();
        }
    }

    /// Returns the next thing to be done, if heights up to `thought_of` are in the download.
    pub fn poll_action(&mut self, thought_of: u32, now: Duration) -> Option<GroundAction> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if self.is_busy() {
            return None;
        }
        while self.next.0 < self.end && self.next.0 < thought_of.saturating_add(AHEAD) {
            let Some(upper) = self.checkpoints.first_above(self.next.0) else { break };
            self.ranges.insert(upper.0, Range::new(self.next, upper, self.archive));
            self.next = upper;
        }
        let range = self.ranges.values_mut().find(|range| range.is_due(now))?;
        let ask = ListId(self.next_ask);
        self.next_ask += 1;
        Some(range.ask(ask, now))
    }

    /// Returns when [`Self::poll_action`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.is_busy() {
            return None;
        }
        self.ranges.values().filter_map(Range::due_at).min()
    }

    /// Returns the checkpoint above which the archive's blocks are of another chain, if that has come to light. A new ground has to
    /// begin there.
    #[must_use]
    pub fn parting(&self) -> Option<(u32, BlockHash)> {
        self.contradicted.map(|(lower, _)| lower)
    }

    /// Returns why there is no going on, if there is none.
    #[must_use]
    pub fn failure(&self, now: Duration) -> Option<GroundFailure> {
        if let Some((_, height)) = self.contradicted {
            return Some(GroundFailure::Contradicted { height });
        }
        if self.silent_since.is_some_and(|since| now >= since + SILENT_AFTER) {
            return Some(GroundFailure::Silent);
        }
        let is_unreached = self.unreached_since.is_some_and(|since| now >= since + UNREACHED_AFTER);
        is_unreached.then(|| GroundFailure::Unreached { height: self.first_end() })
    }

    /// Returns for how long lists have come of which none reaches the first checkpoint that is not proven.
    #[must_use]
    pub fn unreached_for(&self, now: Duration) -> Option<Duration> {
        self.unreached_since.map(|since| now.saturating_sub(since))
    }

    /// Returns whether as many lists are asked for as may be.
    fn is_busy(&self) -> bool {
        self.ranges.values().filter(|range| range.is_any_asked()).count() >= MOST_ASKED
    }

    /// Draws the conclusions from a range all of whose blocks came and link: it is true, and other lists of it are not.
    fn conclude(&mut self, height: u32) {
        let Some((_, range)) = self.ranges.range_mut(height..).next() else { return };
        self.actions.extend(range.liars().into_iter().map(GroundAction::Report));
        if range.contradicts(self.archive) {
            self.contradicted = Some((range.lower(), range.upper().0));
            return;
        }
        while let Some((_, range)) = self.ranges.range(self.proven.saturating_add(1)..).next()
            && range.is_whole()
        {
            self.proven = range.upper().0;
        }
    }
}

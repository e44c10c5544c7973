//! The part of the chain that is being fetched: from the lowest block not handed over to as far as the limits allow.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use savanna_peer::Missing;
use savanna_wire::{Block, BlockHash};

use super::Limits;

/// What a block is thought to weigh in bytes before any has come.
const FIRST_MEAN: usize = 50_000;

/// How slowly the mean follows: each block counts for one part in so many.
const MEAN_WEIGHT: usize = 32;

/// The fewest hashes that are worth taking in while others are there.
const LEAST_ROOM: usize = 64;

/// How long a missing block is not asked for again; it doubles each time, so many times.
const FIRST_REST: Duration = Duration::from_millis(250);
const MAX_DOUBLINGS: u32 = 4;

/// The most blocks that are asked for at once where nothing can be handed over and there is no room for more.
const SQUEEZED: usize = 16;

#[derive(Debug)]
struct Slot {
    /// None where no list of hashes has told it yet, or one that was false.
    hash: Option<BlockHash>,
    block: Option<Block>,
    is_asked: bool,
    /// It was asked for, and what came is of no use.
    again: bool,
    lack: Option<Lack>,
}

/// A block that the network did not have.
#[derive(Debug, Clone, Copy)]
struct Lack {
    since: Duration,
    /// When it was missing last.
    last: Duration,
    times: u32,
    why: Missing,
}

/// The slots of the window, what they weigh, and which of them are not asked for.
#[derive(Debug)]
pub(super) struct Window {
    limits: Limits,
    base: u32,
    slots: VecDeque<Slot>,
    unasked: BTreeSet<u32>,
    /// Blocks that were here, found no room and are of no use before what is below them is proven.
    parked: BTreeSet<u32>,
    /// Up to which height blocks may be handed over.
    proven: u32,
    /// Where the first part that is not proven ends: it comes before all others.
    first_end: u32,
    /// How many slots have no hash.
    hollow: usize,
    /// Missing blocks, by when each may be asked for again.
    resting: BTreeSet<(Duration, u32)>,
    /// Slots that are not here and that are asked for.
    asked: usize,
    /// How many slots from the front on are here.
    ready: usize,
    /// Bytes of the blocks that are here.
    here: usize,
    /// Bytes handed over and not yet stored.
    unstored: usize,
    /// How many blocks were dropped for want of room.
    shed: u64,
    mean: usize,
}

impl Window {
    pub(super) const fn new(base: u32, limits: Limits) -> Self {
        Self {
            limits,
            base,
            slots: VecDeque::new(),
            unasked: BTreeSet::new(),
            parked: BTreeSet::new(),
            proven: u32::MAX,
            first_end: u32::MAX,
            hollow: 0,
            resting: BTreeSet::new(),
            asked: 0,
            ready: 0,
            here: 0,
            unstored: 0,
            shed: 0,
            mean: FIRST_MEAN,
        }
    }

    pub(super) fn end(&self) -> u32 {
        self.height_at(self.slots.len())
    }

    /// Returns how many more hashes there is room for: none rather than a few, so that questions stay long.
    pub(super) fn room(&self) -> usize {
        let room = self.limits.blocks.saturating_sub(self.slots.len());
        let room = if room < LEAST_ROOM.min(self.limits.blocks / 2) { 0 } else { room };
        // What cannot be handed over but as a whole has to be here as a whole.
        let first = self.first_end.checked_add(1).map_or(0, |above| above.saturating_sub(self.end()));
        room.max(usize::try_from(first).unwrap_or(usize::MAX))
    }

    pub(super) const fn shed_count(&self) -> u64 {
        self.shed
    }

    pub(super) const fn held(&self) -> usize {
        self.here + self.unstored
    }

    pub(super) fn is_frontier_unasked(&self) -> bool {
        self.lowest_missing().is_some_and(|height| self.unasked.contains(&height))
    }

    pub(super) const fn is_proven(&self, height: u32) -> bool {
        height <= self.proven
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) const fn asked(&self) -> usize {
        self.asked
    }

    /// Returns how many bytes the blocks that are asked for are likely to have.
    pub(super) const fn expected(&self) -> usize {
        self.asked * self.mean
    }

    pub(super) fn push(&mut self, hash: Option<BlockHash>) {
        if hash.is_some() {
            self.unasked.insert(self.end());
        } else {
            self.hollow += 1;
        }
        self.slots.push_back(Slot { hash, block: None, is_asked: false, again: false, lack: None });
    }

    /// Gives a slot that has none its hash.
    pub(super) fn fill(&mut self, height: u32, hash: BlockHash) {
        let Some(slot) = self.place(height).and_then(|place| self.slots.get_mut(place)) else { return };
        if slot.hash.is_none() {
            slot.hash = Some(hash);
            self.hollow -= 1;
            self.unasked.insert(height);
        }
    }

    /// Takes the hashes of these heights away, and with them the blocks that came for them.
    pub(super) fn hollow_out(&mut self, heights: RangeInclusive<u32>) {
        let (first, last) = ((*heights.start()).max(self.base), *heights.end());
        for height in first..=last {
            let Some(slot) = self.place(height).and_then(|place| self.slots.get_mut(place)) else { break };
            if slot.hash.is_none() {
                continue;
            }
            let again = slot.block.is_some() || slot.is_asked;
            self.asked -= usize::from(slot.is_asked);
            self.here -= slot.block.as_ref().map_or(0, |block| block.bytes().len());
            self.hollow += 1;
            *slot = Slot { hash: None, block: None, is_asked: false, again, lack: None };
            self.unasked.remove(&height);
            self.parked.remove(&height);
        }
        self.resting.retain(|(_, height)| !heights.contains(height));
        if let Some(place) = self.place(first) {
            self.ready = self.ready.min(place);
        }
    }

    /// Lets blocks be handed over up to a height, and what ends at another come before all that is above it.
    pub(super) fn prove(&mut self, proven: u32, first_end: u32) {
        self.first_end = first_end;
        if proven == self.proven {
            return;
        }
        self.proven = proven;
        let above = proven.checked_add(1).map(|above| self.parked.split_off(&above)).unwrap_or_default();
        self.unasked.append(&mut self.parked);
        self.parked = above;
    }

    /// Returns the lowest height whose block is not here.
    pub(super) fn lowest_missing(&self) -> Option<u32> {
        (self.ready < self.slots.len()).then(|| self.height_at(self.ready))
    }

    /// Returns height and reason of the lack of the lowest missing block, and for how long the network has told of it.
    pub(super) fn lowest_lack(&self) -> Option<(u32, Missing, Duration)> {
        let lack = self.slots.get(self.ready)?.lack?;
        Some((self.height_at(self.ready), lack.why, lack.last.saturating_sub(lack.since)))
    }

    /// Forgets the lack of the lowest missing block.
    pub(super) fn forgive(&mut self) {
        if let Some(slot) = self.slots.get_mut(self.ready) {
            slot.lack = None;
        }
    }

    /// Returns how many more blocks may be asked for within the limits.
    ///
    /// The lowest missing one may always be asked for once nothing waits to be stored, because nothing else would ever make
    /// room.
    pub(super) fn affordable(&self) -> usize {
        let committed = self.held() + self.asked * self.mean;
        let rest = self.limits.bytes.saturating_sub(committed) / self.mean;
        let rest = rest.min(self.limits.under_way.saturating_sub(self.asked));
        let is_idle = self.unstored == 0 && (self.ready == 0 || self.base > self.proven);
        if is_idle && self.asked == 0 && self.base > self.proven {
            // Whatever comes finds no room but at the cost of what is above it, and yet tells what it follows.
            return rest.max(SQUEEZED.min(self.limits.under_way)).max(1);
        }
        if is_idle && self.unasked.contains(&self.base) { rest.max(1) } else { rest }
    }

    /// Returns how many of so many blocks may be asked for above the first part that is not proven, so that there is room for
    /// what of that part is not known yet.
    fn affordable_above(&self, affordable: usize) -> usize {
        if self.hollow == 0 {
            return affordable;
        }
        let first = self.slots.iter().take(self.place(self.first_end).map_or(0, |place| place.saturating_add(1)));
        affordable.saturating_sub(first.filter(|slot| slot.hash.is_none()).count())
    }

    /// Returns the lowest blocks that are not asked for.
    pub(super) fn unasked(&self, count: usize) -> Vec<(u32, BlockHash)> {
        let above = self.affordable_above(count);
        let mut heights = self.unasked.iter().copied().enumerate().take(count);
        let within = std::iter::from_fn(|| {
            let (number, height) = heights.next()?;
            (height <= self.first_end || number < above).then_some(height)
        });
        let mut hashes = BTreeSet::new();
        let named = within.filter_map(|height| Some((height, self.slots.get(self.place(height)?)?.hash?)));
        // A list that is false may name a block twice.
        named.filter(|&(_, hash)| hashes.insert(hash)).collect()
    }

    /// Books that a block is asked for, and returns whether it is because what came before was of no use.
    pub(super) fn ask(&mut self, height: u32) -> bool {
        let Some(slot) = self.place(height).and_then(|place| self.slots.get_mut(place)) else { return false };
        slot.is_asked = true;
        self.asked += 1;
        self.unasked.remove(&height);
        std::mem::take(&mut slot.again)
    }

    /// Books that a block is to be asked for anew; `again` if that is somebody's fault.
    pub(super) fn give_back(&mut self, height: u32, hash: BlockHash, again: bool) {
        let Some(slot) = self.asked_slot(height, hash) else { return };
        slot.is_asked = false;
        slot.again |= again;
        self.asked -= 1;
        self.unasked.insert(height);
    }

    /// Books that the network lacks a block, which is asked for again after a while.
    pub(super) fn lack(&mut self, height: u32, hash: BlockHash, why: Missing, now: Duration) {
        let Some(slot) = self.asked_slot(height, hash) else { return };
        slot.is_asked = false;
        slot.again |= why == Missing::TimedOut;
        let (since, times) = slot.lack.map_or((now, 0), |lack| (lack.since, lack.times + 1));
        slot.lack = Some(Lack { since, last: now, times, why });
        self.asked -= 1;
        self.resting.insert((now + FIRST_REST * (1 << times.min(MAX_DOUBLINGS)), height));
    }

    /// Lets the missing blocks be asked for again that have rested until now.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some(&(at, height)) = self.resting.first()
            && at <= now
        {
            self.resting.pop_first();
            self.unasked.insert(height);
        }
    }

    /// Returns when the next missing block may be asked for again.
    pub(super) fn wakes_at(&self) -> Option<Duration> {
        self.resting.first().map(|&(at, _)| at)
    }

    /// Takes the news that a block that was asked for came and is never of use. Returns whether it is wanted.
    pub(super) fn refuse(&mut self, height: u32, hash: BlockHash) -> bool {
        let Some(slot) = self.asked_slot(height, hash) else { return false };
        slot.is_asked = false;
        self.asked -= 1;
        true
    }

    /// Takes a block that was asked for, and returns whether it is wanted. One that is wanted no more is dropped.
    pub(super) fn arrive(&mut self, height: u32, block: Block) -> bool {
        let Some(slot) = self.asked_slot(height, block.hash()) else { return false };
        let length = block.bytes().len();
        slot.is_asked = false;
        slot.lack = None;
        slot.block = Some(block);
        self.asked -= 1;
        self.here += length;
        self.mean = ((self.mean * (MEAN_WEIGHT - 1) + length) / MEAN_WEIGHT).max(1);
        self.count_ready();
        self.shed();
        true
    }

    /// Takes out blocks from the front, up to about `bytes`.
    pub(super) fn take_run(&mut self, bytes: usize) -> Vec<Block> {
        let mut run = Vec::new();
        let mut taken = 0;
        while self.ready > 0 && self.base <= self.proven && (run.is_empty() || taken < bytes) {
            let Some(block) = self.slots.pop_front().and_then(|slot| slot.block) else { break };
            taken += block.bytes().len();
            run.push(block);
            self.ready -= 1;
            self.base += 1;
        }
        self.here -= taken;
        self.unstored += taken;
        run
    }

    pub(super) fn stored(&mut self, bytes: usize) {
        self.unstored = self.unstored.saturating_sub(bytes);
    }

    /// Forgets every slot above `height`; below the window, the window begins anew right above it.
    pub(super) fn rewind(&mut self, height: u32) {
        let first = height.saturating_add(1);
        let keep = usize::try_from(first.saturating_sub(self.base)).unwrap_or(usize::MAX);
        while self.slots.len() > keep {
            match self.slots.pop_back() {
                Some(Slot { block: Some(block), .. }) => self.here -= block.bytes().len(),
                Some(Slot { block: None, is_asked, hash, .. }) => {
                    self.asked -= usize::from(is_asked);
                    self.hollow -= usize::from(hash.is_none());
                }
                None => {}
            }
        }
        self.unasked.split_off(&first);
        self.parked.split_off(&first);
        self.resting.retain(|&(_, height)| height < first);
        self.base = self.base.min(first);
        self.ready = self.ready.min(self.slots.len());
    }

    /// Forgets every slot and begins anew at a height.
    pub(super) fn restart(&mut self, base: u32) {
        *self = Self { unstored: self.unstored, mean: self.mean, ..Self::new(base, self.limits) };
    }

    pub(super) fn frontier(&self) -> u32 {
        self.height_at(self.ready)
    }

    fn count_ready(&mut self) {
        while matches!(self.slots.get(self.ready), Some(Slot { block: Some(_), .. })) {
            self.ready += 1;
        }
    }

    /// Drops blocks from the far end while there are more bytes than the budget admits; the first one stays, so that there is
    /// always something to hand over.
    fn shed(&mut self) {
        let mut place = self.slots.len();
        while self.held() > self.limits.bytes && place > 1 {
            place -= 1;
            let height = self.height_at(place);
            let Some(slot) = self.slots.get_mut(place) else { continue };
            let Some(block) = slot.block.take() else { continue };
            self.here -= block.bytes().len();
            self.ready = self.ready.min(place);
            slot.again = true;
            self.shed += 1;
            if height > self.proven {
                self.parked.insert(height);
            } else {
                self.unasked.insert(height);
            }
        }
    }

    /// Returns the slot at a height if it is still of the block that was asked for.
    fn asked_slot(&mut self, height: u32, hash: BlockHash) -> Option<&mut Slot> {
        let place = self.place(height)?;
        self.slots.get_mut(place).filter(|slot| slot.is_asked && slot.hash == Some(hash))
    }

    fn place(&self, height: u32) -> Option<usize> {
        usize::try_from(height.checked_sub(self.base)?).ok()
    }

    fn height_at(&self, place: usize) -> u32 {
        u32::try_from(place).map_or(u32::MAX, |place| self.base.saturating_add(place))
    }
}

//! The part of the chain that is being fetched: from the lowest block not handed over to as far as the limits allow.

use std::collections::{BTreeSet, VecDeque};

use savanna_wire::{Block, BlockHash};

use super::Limits;

/// What a block is thought to weigh in bytes before any has come.
const FIRST_MEAN: usize = 50_000;

/// How slowly the mean follows: each block counts for one part in so many.
const MEAN_WEIGHT: usize = 32;

#[derive(Debug)]
struct Slot {
    hash: BlockHash,
    block: Option<Block>,
    /// How many questions for it are open, whether or not it has come meanwhile.
    asks: u8,
    /// It was asked for and not delivered.
    again: bool,
}

/// The slots of the window, what they weigh, and which of them nobody is asked for.
#[derive(Debug)]
pub(super) struct Window {
    limits: Limits,
    base: u32,
    slots: VecDeque<Slot>,
    unasked: BTreeSet<u32>,
    /// Slots that are not here and that somebody is asked for.
    asked: usize,
    /// How many slots from the front on are here.
    ready: usize,
    /// Bytes of the blocks that are here.
    here: usize,
    /// Bytes handed over and not yet stored.
    unstored: usize,
    mean: usize,
}

impl Window {
    pub(super) const fn new(base: u32, limits: Limits) -> Self {
        Self {
            limits,
            base,
            slots: VecDeque::new(),
            unasked: BTreeSet::new(),
            asked: 0,
            ready: 0,
            here: 0,
            unstored: 0,
            mean: FIRST_MEAN,
        }
    }

    pub(super) const fn base(&self) -> u32 {
        self.base
    }

    pub(super) fn end(&self) -> u32 {
        self.height_at(self.slots.len())
    }

    pub(super) fn room(&self) -> usize {
        self.limits.blocks.saturating_sub(self.slots.len())
    }

    pub(super) const fn held(&self) -> usize {
        self.here + self.unstored
    }

    pub(super) const fn mean(&self) -> usize {
        self.mean
    }

    pub(super) fn has_unasked(&self) -> bool {
        !self.unasked.is_empty()
    }

    pub(super) fn is_frontier_unasked(&self) -> bool {
        self.lowest_missing().is_some_and(|height| self.unasked.contains(&height))
    }

    pub(super) fn push(&mut self, hash: BlockHash) {
        self.unasked.insert(self.end());
        self.slots.push_back(Slot { hash, block: None, asks: 0, again: false });
    }

    /// Returns the lowest height whose block is not here.
    pub(super) fn lowest_missing(&self) -> Option<u32> {
        (self.ready < self.slots.len()).then(|| self.height_at(self.ready))
    }

    /// Returns the lowest missing block if exactly one peer is asked for it.
    pub(super) fn lowest_late(&self) -> Option<(u32, BlockHash)> {
        let slot = self.slots.get(self.ready)?;
        (slot.block.is_none() && slot.asks == 1).then(|| (self.height_at(self.ready), slot.hash))
    }

    /// Returns how many more blocks may be asked for within the limits.
    ///
    /// The lowest missing one may always be asked for once nothing waits to be stored, because nothing else would ever make
    /// room.
    pub(super) fn affordable(&self) -> usize {
        let committed = self.held() + self.asked * self.mean;
        let rest = self.limits.bytes.saturating_sub(committed) / self.mean;
        let rest = rest.min(self.limits.under_way.saturating_sub(self.asked));
        let starved = self.unstored == 0 && self.ready == 0 && self.unasked.contains(&self.base);
        if starved { rest.max(1) } else { rest }
    }

    /// Returns the lowest blocks that nobody is asked for and `wanted` admits.
    pub(super) fn unasked(&self, count: usize, wanted: impl Fn(u32) -> bool) -> Vec<(u32, BlockHash)> {
        let heights = self.unasked.iter().copied().filter(|&height| wanted(height)).take(count);
        heights.filter_map(|height| Some((height, self.slots.get(self.place(height)?)?.hash))).collect()
    }

    /// Books that a peer is asked, and returns whether it is because another did not deliver.
    pub(super) fn ask(&mut self, height: u32) -> bool {
        let Some(slot) = self.place(height).and_then(|place| self.slots.get_mut(place)) else { return false };
        self.asked += usize::from(slot.asks == 0);
        slot.asks += 1;
        self.unasked.remove(&height);
        std::mem::take(&mut slot.again)
    }

    /// Books that a peer who was asked does not deliver; `again` if that is its own fault.
    pub(super) fn give_back(&mut self, height: u32, hash: BlockHash, again: bool) {
        let Some(slot) = self.place(height).and_then(|place| self.slots.get_mut(place)) else { return };
        if slot.hash != hash || slot.asks == 0 {
            return;
        }
        slot.asks -= 1;
        if slot.asks == 0 && slot.block.is_none() {
            slot.again |= again;
            self.asked -= 1;
            self.unasked.insert(height);
        }
    }

    /// Takes a block that a peer was asked for. One that is here already, or wanted no more, is dropped.
    pub(super) fn arrive(&mut self, height: u32, block: Block) {
        let Some(slot) = self.place(height).and_then(|place| self.slots.get_mut(place)) else { return };
        if slot.hash != block.hash() || slot.asks == 0 {
            return;
        }
        slot.asks -= 1;
        if slot.block.is_some() {
            return;
        }
        let length = block.bytes().len();
        slot.block = Some(block);
        self.asked -= 1;
        self.here += length;
        self.mean = ((self.mean * (MEAN_WEIGHT - 1) + length) / MEAN_WEIGHT).max(1);
        self.count_ready();
        self.shed();
    }

    /// Takes out blocks from the front, up to about `bytes`.
    pub(super) fn take_run(&mut self, bytes: usize) -> Vec<Block> {
        let mut run = Vec::new();
        let mut taken = 0;
        while self.ready > 0 && (run.is_empty() || taken < bytes) {
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
                Some(Slot { block: None, asks, .. }) => self.asked -= usize::from(asks > 0),
                None => {}
            }
        }
        self.unasked.split_off(&first);
        self.base = self.base.min(first);
        self.ready = self.ready.min(self.slots.len());
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
            if slot.asks > 0 {
                self.asked += 1;
            } else {
                self.unasked.insert(height);
            }
        }
    }

    fn place(&self, height: u32) -> Option<usize> {
        usize::try_from(height.checked_sub(self.base)?).ok()
    }

    fn height_at(&self, place: usize) -> u32 {
        u32::try_from(place).map_or(u32::MAX, |place| self.base.saturating_add(place))
    }
}

#[cfg(test)]
mod tests {
    use savanna_sim::regtest::chain;

    use super::*;

    #[test]
    fn a_block_that_is_shed_is_not_asked_for_while_a_hedge_is_still_open() {
        let chain = chain(1, 3000);
        let mut window = Window::new(0, Limits { bytes: 3600, ..Limits::default() });
        chain.iter().for_each(|block| window.push(block.hash()));
        for height in [0, 1, 1] {
            window.ask(height);
        }
        window.arrive(0, chain[0].clone());
        window.arrive(1, chain[1].clone());
        assert_eq!(window.held(), chain[0].bytes().len(), "the second is beyond the budget");
        assert!(window.unasked(10, |_| true).is_empty());
        window.give_back(1, chain[1].hash(), false);
        assert_eq!(window.unasked(10, |_| true), [(1, chain[1].hash())]);
        assert!(window.ask(1), "it is fetched again");
        assert_eq!(window.take_run(usize::MAX), chain[..1]);
        window.arrive(1, chain[1].clone());
        assert_eq!(window.held(), chain[0].bytes().len() + chain[1].bytes().len());
    }
}

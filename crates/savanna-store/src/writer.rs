//! The one who writes: what is appended, cut off and made durable, and what is found after a crash.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use fjall::OwnedWriteBatch;
use savanna_wire::{Block, BlockHash, Network, TxId};

use crate::bodies::{Bodies, Place};
use crate::engine::{BODIES, Engine};
use crate::record::{IndexEntry, Row, height_of, number_of};
use crate::reorganisation::{MAX_REORGANISATIONS, Reorganisation};
use crate::transactions::{ids_of, place_bytes};
use crate::{StoreError, Tip};

/// How many blocks are cut off in one step.
///
/// A longer cut is several steps, each of which leaves a whole chain behind, so that memory is bounded however deep a fork is.
const TRUNCATE_STEP: u32 = 1000;

/// The same where the ids of the blocks' transactions have to go too: some 30,000 of them fit a block.
const TRUNCATE_STEP_INDEXED: u32 = 10;

/// Under which key the state holds the height up to which blocks are durable; nothing where none is.
const DURABLE: &[u8] = b"durable";

/// Under which key the state holds when blocks were last appended, in Unix seconds.
const GROWN: &[u8] = b"grown";

/// Under which key the state holds how many blocks the index of transactions covers; missing where there is no such index.
const INDEXED: &[u8] = b"transactions";

/// What an archive comes to, as readers see it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Status {
    pub(crate) tip: Option<Tip>,
    /// The height up to which blocks are known to be durable.
    pub(crate) durable: Option<u32>,
    /// When blocks were last appended, in Unix seconds.
    pub(crate) grown: Option<u64>,
    /// How many blocks from the first on the index of transactions covers; none without such an index.
    pub(crate) indexed: Option<u32>,
}

/// What writing needs besides the engine.
#[derive(Debug)]
pub(crate) struct Writer {
    bodies: Bodies,
    /// The number of the next reorganisation.
    next_reorganisation: u64,
    pub(crate) failed: bool,
}

/// Blocks that are to leave, and what the journal is told of that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// The last height that stays; none if none does.
    pub(crate) height: Option<u32>,
    /// When, and what takes over; nothing where the journal is not told.
    pub(crate) noted: Option<(u64, Option<Tip>)>,
}

/// What is written anew in the very write that removes what was there: of two orders about one key, which comes last is not said.
#[derive(Debug, Default)]
struct Stays {
    /// The last height that the new run has.
    height: Option<u32>,
    hashes: BTreeSet<BlockHash>,
    ids: BTreeSet<[u8; 32]>,
}

impl Stays {
    fn of(cut: Cut, run: &[Block], indexed: Option<u32>) -> Self {
        let first = cut.height.map_or(0, |height| height + 1);
        let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
        let is_indexed = indexed == Some(first);
        let ids = run.iter().filter(|_| is_indexed).flat_map(ids_of).map(|id| id.0).collect();
        Self { height: first.saturating_add(count).checked_sub(1), hashes: run.iter().map(Block::hash).collect(), ids }
    }
}

impl Writer {
    /// Opens the file of blocks in `dir`, and makes it if nothing is there.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(BODIES);
        Ok(Self { bodies: Bodies::open(&path)?, next_reorganisation: 0, failed: false })
    }

    pub(crate) fn append(
        &mut self,
        engine: &Engine,
        status: &Mutex<Status>,
        network: Network,
        run: &[Block],
    ) -> Result<Option<Tip>, StoreError> {
        let mut now = read(status);
        if run.is_empty() {
            return Ok(now.tip);
        }
        let mut batch = engine.batch();
        self.add_run(engine, &mut batch, &mut now, network, run)?;
        mark_height(engine, &mut batch, INDEXED, now.indexed);
        // The index never names what is not there.
        self.bodies.append(run)?;
        batch.commit()?;
        write(status, now);
        Ok(now.tip)
    }

    /// Adds to a write what the index holds of a run.
    fn add_run(
        &self,
        engine: &Engine,
        batch: &mut OwnedWriteBatch,
        now: &mut Status,
        network: Network,
        run: &[Block],
    ) -> Result<(), StoreError> {
        let mut start = self.bodies.end();
        for block in run {
            let height = next_height(network, now.tip, block)?;
            let row = Row { entry: IndexEntry::of(height, block), place: Place::of(start, block) };
            batch.insert(&engine.index, height.to_be_bytes(), row.encode());
            batch.insert(&engine.heights, block.hash().0, height.to_be_bytes());
            if now.indexed == Some(height) {
                index_ids(engine, batch, height, ids_of(block));
                now.indexed = height.checked_add(1);
            }
            (now.tip, start) = (Some(Tip { height, hash: block.hash() }), row.end());
        }
        now.grown = unix_seconds();
        mark_number(engine, batch, GROWN, now.grown);
        Ok(())
    }

    /// Puts a run in the place of all that a cut removes. The last step of the cut and the run are one write, so that whoever looks,
    /// and whatever is left by a crash, sees either.
    pub(crate) fn replace(
        &mut self,
        engine: &Engine,
        status: &Mutex<Status>,
        network: Network,
        cut: Cut,
        run: &[Block],
    ) -> Result<(), StoreError> {
        let before = read(status);
        loop {
            let mut now = read(status);
            let mut batch = engine.batch();
            let gone = self.remove_step(engine, &mut batch, before.tip, &mut now, cut)?;
            let is_last = now.tip.map(|tip| tip.height) <= cut.height;
            let stays = if is_last { Stays::of(cut, run, now.indexed) } else { Stays::default() };
            for height in gone {
                remove_block(engine, &mut batch, height, read(status).indexed, &stays)?;
            }
            if is_last {
                self.add_run(engine, &mut batch, &mut now, network, run)?;
                self.bodies.append(run)?;
            }
            mark_height(engine, &mut batch, INDEXED, now.indexed);
            batch.commit()?;
            write(status, now);
            if is_last {
                return Ok(());
            }
        }
    }

    pub(crate) fn truncate(&mut self, engine: &Engine, status: &Mutex<Status>, cut: Cut) -> Result<(), StoreError> {
        let before = read(status);
        while read(status).tip.is_some_and(|tip| Some(tip.height) > cut.height) {
            let mut now = read(status);
            let mut batch = engine.batch();
            for height in self.remove_step(engine, &mut batch, before.tip, &mut now, cut)? {
                remove_block(engine, &mut batch, height, read(status).indexed, &Stays::default())?;
            }
            mark_height(engine, &mut batch, INDEXED, now.indexed);
            batch.commit()?;
            write(status, now);
        }
        Ok(())
    }

    /// Adds to a write what the next step of a cut changes but for the blocks themselves, whose heights it returns.
    fn remove_step(
        &mut self,
        engine: &Engine,
        batch: &mut OwnedWriteBatch,
        old: Option<Tip>,
        now: &mut Status,
        cut: Cut,
    ) -> Result<Range<u32>, StoreError> {
        let Some(tip) = now.tip.filter(|tip| Some(tip.height) > cut.height) else { return Ok(0..0) };
        let floor = cut.height.map_or(0, |height| height + 1);
        let step = if now.indexed.is_some() { TRUNCATE_STEP_INDEXED } else { TRUNCATE_STEP };
        let first = floor.max(tip.height.saturating_sub(step - 1));
        let rest = first.checked_sub(1).map(|last| engine.row_of(last)).transpose()?;
        now.tip = rest.map(|row| Tip { height: row.entry.height, hash: row.entry.hash });
        // What takes the place of durable blocks is not durable.
        now.durable = now.durable.min(now.tip.map(|tip| tip.height));
        now.indexed = now.indexed.map(|indexed| indexed.min(first));
        mark_durable(engine, batch, now.durable);
        // Each step says what has left so far, so that the journal is right whenever the process ends.
        if let (Some((time, new_tip)), Some(old_tip)) = (cut.noted, old) {
            let left = old_tip.height + 1 - first;
            let fork = now.tip.map(|tip| tip.height);
            let number = self.number_of(old_tip, tip);
            note(engine, batch, number, &Reorganisation { time, fork, old_tip, new_tip, left });
        }
        Ok(first..tip.height + 1)
    }

    /// Returns the number of the reorganisation under way, which its first step takes.
    fn number_of(&mut self, old: Tip, tip: Tip) -> u64 {
        if old == tip {
            self.next_reorganisation += 1;
        }
        self.next_reorganisation.saturating_sub(1)
    }

    pub(crate) fn flush(&mut self, engine: &Engine, status: &Mutex<Status>) -> Result<(), StoreError> {
        let mut now = read(status);
        let durable = now.tip.map(|tip| tip.height);
        if now.durable != durable {
            self.bodies.sync()?;
            let mut batch = engine.batch();
            mark_durable(engine, &mut batch, durable);
            batch.commit()?;
            now.durable = durable;
            write(status, now);
        }
        engine.sync()
    }

    /// Finds the last block. Behind what is durable, the index may name blocks that the machine lost: before the first of them
    /// the chain ends.
    pub(crate) fn recover(&mut self, engine: &Engine, status: &Mutex<Status>) -> Result<(), StoreError> {
        let newest = engine.reorganisations.last_key_value().map(|row| number_of(&row.key()?)).transpose()?;
        self.next_reorganisation = newest.map_or(0, |newest| newest.wrapping_add(1));
        let last = engine.index.last_key_value().map(|row| height_of(&row.key()?)).transpose()?;
        let durable = engine.marks.get(DURABLE)?.filter(|mark| !mark.is_empty());
        let durable = durable.map(|mark| height_of(&mark)).transpose()?;
        let grown = engine.marks.get(GROWN)?.map(|mark| number_of(&mark)).transpose()?;
        if durable > last {
            return Err(StoreError::corrupt("the index ends below what is durable"));
        }
        let indexed = self.find_indexed(engine, last)?;
        let tip = last.map(|last| engine.row_of(last)).transpose()?;
        let tip = tip.map(|row| Tip { height: row.entry.height, hash: row.entry.hash });
        write(status, Status { tip, durable, grown, indexed });
        let Some(last) = last else { return self.give_back(engine, 0) };
        for height in durable.map_or(0, |durable| durable + 1)..=last {
            if !is_whole(engine, height)? {
                self.truncate(engine, status, Cut { height: height.checked_sub(1), noted: None })?;
                break;
            }
        }
        let Some(Tip { height, hash }) = read(status).tip else { return self.give_back(engine, 0) };
        let row = engine.row_of(height)?;
        if engine.block_of(&row)?.header().hash() != hash || engine.height(hash)? != Some(height) {
            return Err(StoreError::corrupt("the last block's hash leads to another height"));
        }
        self.give_back(engine, row.end())
    }

    /// Reads how far the index of transactions goes, and begins it where it was asked for.
    fn find_indexed(&self, engine: &Engine, last: Option<u32>) -> Result<Option<u32>, StoreError> {
        if engine.transactions.is_none() {
            return Ok(None);
        }
        let indexed = engine.marks.get(INDEXED)?.map(|mark| height_of(&mark)).transpose()?;
        if indexed.is_none() {
            let mut batch = engine.batch();
            mark_height(engine, &mut batch, INDEXED, Some(0));
            batch.commit()?;
        }
        let blocks = last.map_or(0, |last| last.saturating_add(1));
        Ok(Some(indexed.unwrap_or(0).min(blocks)))
    }

    /// Gives back what stands behind the last block, once no earlier state of the index can come back.
    fn give_back(&mut self, engine: &Engine, end: u64) -> Result<(), StoreError> {
        if self.bodies.end() > end {
            engine.sync()?;
            self.bodies.cut(end)?;
        }
        Ok(())
    }

    /// Adds the transactions of `blocks`, of each its height, its hash and their ids, which begin where the index of transactions ends, and returns whether they still did.
    pub(crate) fn index(
        &mut self,
        engine: &Engine,
        status: &Mutex<Status>,
        blocks: &[(u32, BlockHash, Vec<TxId>)],
    ) -> Result<bool, StoreError> {
        let mut now = read(status);
        let (Some((first, ..)), Some((last, newest, _))) = (blocks.first(), blocks.last()) else { return Ok(false) };
        // Each names the one before, so the last stands for all of them.
        let is_there = engine.row(*last)?.is_some_and(|row| row.entry.hash == *newest);
        if now.indexed != Some(*first) || !is_there {
            return Ok(false);
        }
        let mut batch = engine.batch();
        for (height, _, ids) in blocks {
            index_ids(engine, &mut batch, *height, ids.iter().copied());
        }
        now.indexed = last.checked_add(1);
        mark_height(engine, &mut batch, INDEXED, now.indexed);
        batch.commit()?;
        write(status, now);
        Ok(true)
    }
}

/// Says whether blocks are in `dir` though the index is not: what is there then is nothing to begin anew upon.
pub(crate) fn has_lost_its_index(dir: &Path) -> io::Result<bool> {
    if dir.join("db").try_exists()? {
        return Ok(false);
    }
    match fs::metadata(dir.join(BODIES)) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

pub(crate) fn read(status: &Mutex<Status>) -> Status {
    *status.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write(status: &Mutex<Status>, now: Status) {
    *status.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
}

fn next_height(network: Network, tip: Option<Tip>, block: &Block) -> Result<u32, StoreError> {
    let follows = match tip {
        Some(tip) => block.header().previous == tip.hash,
        None => block.hash() == network.genesis_hash(),
    };
    let height = match tip {
        Some(tip) => tip.height.checked_add(1),
        None => Some(0),
    };
    height.filter(|_| follows).ok_or(StoreError::NotNext { hash: block.hash(), tip: tip.map(|tip| tip.height) })
}

fn is_whole(engine: &Engine, height: u32) -> Result<bool, StoreError> {
    let Row { entry, place } = engine.row_of(height)?;
    Ok(place.is_of(&engine.bodies.read(place.start, entry.length)?))
}

fn index_ids(engine: &Engine, batch: &mut OwnedWriteBatch, height: u32, ids: impl Iterator<Item = TxId>) {
    let Some(transactions) = &engine.transactions else { return };
    for (index, id) in (0..).zip(ids) {
        batch.insert(transactions, id.0, place_bytes(height, index));
    }
}

/// Removes what the index holds of a block. Ids that cannot be read any more stay: whoever looks one up is shown no other
/// transaction than the one that has it.
fn remove_block(
    engine: &Engine,
    batch: &mut OwnedWriteBatch,
    height: u32,
    indexed: Option<u32>,
    stays: &Stays,
) -> Result<(), StoreError> {
    let row = engine.row_of(height)?;
    if Some(height) > stays.height {
        batch.remove(&engine.index, height.to_be_bytes());
    }
    if !stays.hashes.contains(&row.entry.hash) {
        batch.remove(&engine.heights, row.entry.hash.0);
    }
    if let Some(transactions) = engine.transactions.as_ref().filter(|_| indexed > Some(height)) {
        for id in engine.block_of(&row).iter().flat_map(ids_of).filter(|id| !stays.ids.contains(&id.0)) {
            batch.remove(transactions, id.0);
        }
    }
    Ok(())
}

fn note(engine: &Engine, batch: &mut OwnedWriteBatch, number: u64, what: &Reorganisation) {
    batch.insert(&engine.reorganisations, number.to_be_bytes(), what.encode());
    if let Some(oldest) = number.checked_sub(MAX_REORGANISATIONS) {
        batch.remove(&engine.reorganisations, oldest.to_be_bytes());
    }
}

/// Notes up to which height blocks are durable.
fn mark_durable(engine: &Engine, batch: &mut OwnedWriteBatch, durable: Option<u32>) {
    let height = durable.map(u32::to_be_bytes);
    batch.insert(&engine.marks, DURABLE, height.as_ref().map_or(&[][..], |height| &height[..]));
}

fn mark_height(engine: &Engine, batch: &mut OwnedWriteBatch, key: &[u8], height: Option<u32>) {
    if let Some(height) = height {
        batch.insert(&engine.marks, key, height.to_be_bytes());
    }
}

fn mark_number(engine: &Engine, batch: &mut OwnedWriteBatch, key: &[u8], number: Option<u64>) {
    if let Some(number) = number {
        batch.insert(&engine.marks, key, number.to_be_bytes());
    }
}

fn unix_seconds() -> Option<u64> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

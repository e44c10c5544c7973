//! The archive of one chain's blocks.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use savanna_wire::{Block, BlockHash, BlockHeader, Network, Reader};

use crate::StoreError;
use crate::bodies::{Bodies, BodyReader, Place};
use crate::marker::{claim, sync_dir};
use crate::record::{IndexEntry, Row, height_of};
use crate::rot::look_over;

/// How many blocks are cut off in one step.
///
/// A longer cut is several steps, each of which leaves a whole chain behind, so that memory is bounded however deep a fork is.
const TRUNCATE_STEP: u32 = 1000;

/// How much of the index stands in the journal alone: it is read again when the store is opened.
const MAX_JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// The file of the blocks themselves.
const BODIES: &str = "blocks";

/// Under which key the state holds the height up to which blocks are durable; nothing where none is.
const DURABLE: &[u8] = b"durable";

/// The longest header in bytes.
const MAX_HEADER: u32 = 1487;

/// The last block of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// An archive of blocks from the genesis block on, in order and without a gap.
///
/// The blocks themselves stand one behind the other in a file that only grows, so each is written once. The engine keeps where
/// each of them is, and is written after them.
///
/// Reads and writes may come from several threads; writes take turns. All of them block: an async program keeps them off its
/// worker threads. That includes dropping the last handle, which waits for the engine's own threads.
///
/// After an I/O error (a full disk) writes fail with [`StoreError::Failed`] until the handle is dropped and the store is opened
/// again.
pub struct BlockStore {
    state: Mutex<State>,
    network: Network,
    reader: BodyReader,
    index: Keyspace,
    heights: Keyspace,
    marks: Keyspace,
    database: Database,
    // Fields drop in order: the directory is given up only when the engine is gone.
    _lock: File,
}

#[derive(Debug)]
struct State {
    tip: Option<Tip>,
    /// The height up to which blocks are known to be durable.
    durable: Option<u32>,
    bodies: Bodies,
    failed: bool,
}

impl BlockStore {
    /// Opens the store in `dir`, or makes one there if the directory is empty or missing.
    ///
    /// What a crash of the program left behind is all that was written; what one of the machine left is the chain up to some
    /// block at or after the last [`Self::flush`]. [`Self::tip`] says which.
    ///
    /// # Errors
    /// [`StoreError::Network`], [`StoreError::Format`], [`StoreError::Foreign`] if the directory is another's,
    /// [`StoreError::Locked`] if another process has it open, [`StoreError::WorkingDirectory`] if this one has no working
    /// directory, [`StoreError::Corrupt`], [`StoreError::Engine`] or [`StoreError::Io`] if it cannot be read.
    pub fn open(dir: &Path, network: Network) -> Result<Self, StoreError> {
        // The engine asks for it, however `dir` is written, and panics without.
        std::env::current_dir().map_err(StoreError::WorkingDirectory)?;
        let lock = claim(dir, network)?;
        let path = dir.join("db");
        if !path.try_exists()? {
            create(dir, &path)?;
        }
        let (database, [index, heights, marks]) = open_engine(&path)?;
        let path = dir.join(BODIES);
        let bodies = Bodies::open(&path)?;
        sync_dir(dir)?;
        let reader = BodyReader::open(&path)?;
        let state = Mutex::new(State { tip: None, durable: None, bodies, failed: false });
        let store = Self { state, network, reader, index, heights, marks, database, _lock: lock };
        store.recover()?;
        Ok(store)
    }

    /// Returns the network whose blocks these are.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// Returns the last block; none if the store is empty.
    #[must_use]
    pub fn tip(&self) -> Option<Tip> {
        self.state().tip
    }

    /// Appends blocks that follow the tip, all of them or none, and returns the new tip. The first of an empty store is the
    /// network's genesis block.
    ///
    /// They survive the end of the process, and with [`Self::flush`] that of the machine's power.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] if a block's parent is not the block before it; otherwise the disk's or the engine's.
    pub fn append(&self, run: &[Block]) -> Result<Option<Tip>, StoreError> {
        let mut state = self.writable()?;
        let (mut tip, mut start) = (state.tip, state.bodies.end());
        let mut batch = self.batch();
        for block in run {
            let height = self.next_height(tip, block)?;
            let row = Row { entry: IndexEntry::of(height, block), place: Place::of(start, block) };
            batch.insert(&self.index, height.to_be_bytes(), row.encode());
            batch.insert(&self.heights, block.hash().0, height.to_be_bytes());
            (tip, start) = (Some(Tip { height, hash: block.hash() }), row.end());
        }
        // The index never names what is not there.
        if let Err(error) = state.bodies.append(run) {
            state.failed = true;
            return Err(error.into());
        }
        commit(&mut state, batch)?;
        state.tip = tip;
        Ok(tip)
    }

    /// Removes every block above `height`, or all of them without one, and returns the new tip.
    ///
    /// A crash in the middle leaves a chain that ends at or above `height`. What is removed keeps its room on the disk until the
    /// store is opened again.
    ///
    /// # Errors
    /// The disk's or the engine's.
    pub fn truncate(&self, height: Option<u32>) -> Result<Option<Tip>, StoreError> {
        let mut state = self.writable()?;
        while let Some(tip) = state.tip {
            let floor = match height {
                Some(height) if height >= tip.height => break,
                Some(height) => height + 1,
                None => 0,
            };
            let first = floor.max(tip.height.saturating_sub(TRUNCATE_STEP - 1));
            let mut batch = self.batch();
            for height in first..=tip.height {
                let entry = self.index_entry(height)?.ok_or_else(|| gap(height))?;
                batch.remove(&self.index, height.to_be_bytes());
                batch.remove(&self.heights, entry.hash.0);
            }
            let rest = match first.checked_sub(1) {
                Some(last) => Some(self.index_entry(last)?.ok_or_else(|| gap(last))?),
                None => None,
            };
            let rest = rest.map(|entry| Tip { height: entry.height, hash: entry.hash });
            // What takes the place of durable blocks is not durable.
            let durable = state.durable.min(rest.map(|tip| tip.height));
            self.mark(&mut batch, durable);
            commit(&mut state, batch)?;
            (state.tip, state.durable) = (rest, durable);
        }
        Ok(state.tip)
    }

    /// Makes all that was written durable: it survives the end of the process and of the machine's power.
    ///
    /// # Errors
    /// The disk's or the engine's.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.writable()?;
        let durable = state.tip.map(|tip| tip.height);
        if state.durable != durable {
            state.bodies.sync().inspect_err(|_| state.failed = true)?;
            let mut batch = self.batch();
            self.mark(&mut batch, durable);
            commit(&mut state, batch)?;
            state.durable = durable;
        }
        self.database.persist(PersistMode::SyncAll).inspect_err(|_| state.failed = true)?;
        Ok(())
    }

    /// Reads a block with its frame's checksum, so that it can be sent without hashing its body.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not those of the block that the index names; otherwise the disk's or the
    /// engine's.
    pub fn block(&self, height: u32) -> Result<Option<Block>, StoreError> {
        let Some(Row { entry, place }) = self.row(height)? else { return Ok(None) };
        let bytes = self.reader.read(place.start, entry.length)?;
        if bytes.len() as u64 != u64::from(entry.length) || !place.is_of(&bytes) {
            return Err(damaged(height));
        }
        let block = Block::with_checksum(bytes.into(), entry.checksum).map_err(|_| damaged(height))?;
        if block.hash() != entry.hash {
            return Err(damaged(height));
        }
        Ok(Some(block))
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not those of the header that the index names; otherwise the disk's or the engine's.
    pub fn header(&self, height: u32) -> Result<Option<BlockHeader>, StoreError> {
        let Some(Row { entry, place }) = self.row(height)? else { return Ok(None) };
        let bytes = self.reader.read(place.start, entry.length.min(MAX_HEADER))?;
        let header = BlockHeader::decode(&mut Reader::new(&bytes, "stored header")).map_err(|_| damaged(height))?;
        if header.hash() == entry.hash { Ok(Some(header)) } else { Err(damaged(height)) }
    }

    /// Reads the height of a block by its hash.
    ///
    /// # Errors
    /// The disk's or the engine's, or [`StoreError::Corrupt`].
    pub fn height(&self, hash: BlockHash) -> Result<Option<u32>, StoreError> {
        self.heights.get(hash.0)?.map(|bytes| height_of(&bytes)).transpose()
    }

    /// Reads what the index holds of a height.
    ///
    /// # Errors
    /// The disk's or the engine's, or [`StoreError::Corrupt`].
    pub fn index_entry(&self, height: u32) -> Result<Option<IndexEntry>, StoreError> {
        Ok(self.row(height)?.map(|row| row.entry))
    }

    /// Reads the index from `height` on, in order; it reads some 70 bytes a block, millions of them within seconds.
    ///
    /// The first item that is an error is the last item.
    pub fn index_from(&self, height: u32) -> impl Iterator<Item = Result<IndexEntry, StoreError>> + use<> {
        let mut rows = self.index.range(height.to_be_bytes()..);
        let mut expected = height;
        let mut ended = false;
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let row = rows.next()?;
            let entry = row.into_inner().map_err(StoreError::from).and_then(|(key, value)| {
                let found = height_of(&key)?;
                if found != expected {
                    return Err(gap(expected));
                }
                Ok(Row::decode(found, &value)?.entry)
            });
            expected = expected.wrapping_add(1);
            ended = entry.is_err();
            Some(entry)
        })
    }

    fn next_height(&self, tip: Option<Tip>, block: &Block) -> Result<u32, StoreError> {
        let follows = match tip {
            Some(tip) => block.header().previous == tip.hash,
            None => block.hash() == self.network.genesis_hash(),
        };
        let height = match tip {
            Some(tip) => tip.height.checked_add(1),
            None => Some(0),
        };
        height.filter(|_| follows).ok_or(StoreError::NotNext { hash: block.hash(), tip: tip.map(|tip| tip.height) })
    }

    /// Finds the last block. Behind what is durable, the index may name blocks that the machine lost: before the first of them
    /// the chain ends.
    fn recover(&self) -> Result<(), StoreError> {
        let last = self.index.last_key_value().map(|row| height_of(&row.key()?)).transpose()?;
        let mark = self.marks.get(DURABLE)?.filter(|mark| !mark.is_empty());
        let durable = mark.map(|mark| height_of(&mark)).transpose()?;
        if durable > last {
            return Err(StoreError::corrupt("the index ends below what is durable"));
        }
        let Some(last) = last else { return self.give_back(0) };
        let hash = self.row(last)?.ok_or_else(|| gap(last))?.entry.hash;
        let mut state = self.state();
        (state.tip, state.durable) = (Some(Tip { height: last, hash }), durable);
        drop(state);
        for height in durable.map_or(0, |durable| durable + 1)..=last {
            if !self.is_whole(height)? {
                self.truncate(height.checked_sub(1))?;
                break;
            }
        }
        let Some(Tip { height, hash }) = self.tip() else { return self.give_back(0) };
        let is_there = self.block(height)?.is_some();
        if !is_there || self.height(hash)? != Some(height) {
            return Err(StoreError::corrupt("the last block's hash leads to another height"));
        }
        self.give_back(self.row(height)?.ok_or_else(|| gap(height))?.end())
    }

    fn is_whole(&self, height: u32) -> Result<bool, StoreError> {
        let Row { entry, place } = self.row(height)?.ok_or_else(|| gap(height))?;
        Ok(place.is_of(&self.reader.read(place.start, entry.length)?))
    }

    /// Gives back what stands behind the last block, once no earlier state of the index can come back.
    fn give_back(&self, end: u64) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.bodies.end() > end {
            self.database.persist(PersistMode::SyncAll)?;
            state.bodies.cut(end)?;
        }
        Ok(())
    }

    fn row(&self, height: u32) -> Result<Option<Row>, StoreError> {
        self.index.get(height.to_be_bytes())?.map(|bytes| Row::decode(height, &bytes)).transpose()
    }

    /// Notes up to which height blocks are durable.
    fn mark(&self, batch: &mut OwnedWriteBatch, durable: Option<u32>) {
        let height = durable.map(u32::to_be_bytes);
        batch.insert(&self.marks, DURABLE, height.as_ref().map_or(&[][..], |height| &height[..]));
    }

    /// Begins a write that reaches the system's buffers when it is committed: the end of the process alone loses none of it.
    fn batch(&self) -> OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::Buffer))
    }

    fn writable(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        if state.failed { Err(StoreError::Failed) } else { Ok(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockStore").field("network", &self.network).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Makes an empty database, which is there whole or not at all: a kill halfway leaves a draft that the next try removes.
fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let draft = dir.join("db.new");
    if draft.try_exists()? {
        fs::remove_dir_all(&draft)?;
    }
    let fresh = database(&draft)?;
    drop(keyspaces(&fresh)?);
    fresh.persist(PersistMode::SyncAll)?;
    drop(fresh);
    fs::rename(&draft, path)?;
    sync_dir(dir)?;
    Ok(())
}

/// Opens the engine on files that may be rotten, which it may answer with a panic.
fn open_engine(path: &Path) -> Result<(Database, [Keyspace; 3]), StoreError> {
    look_over(path)?;
    let open = || {
        let database = database(path)?;
        let keyspaces = keyspaces(&database)?;
        Ok((database, keyspaces))
    };
    let panicked = |_| StoreError::corrupt("the storage engine cannot read its files");
    catch_unwind(AssertUnwindSafe(open)).map_err(panicked)?
}

fn database(path: &Path) -> Result<Database, StoreError> {
    // Hashes are what no compression shortens.
    let builder = Database::builder(path)
        .manual_journal_persist(true)
        .journal_compression(CompressionType::None)
        .max_journaling_size(MAX_JOURNAL_BYTES);
    Ok(builder.open()?)
}

fn keyspaces(database: &Database) -> Result<[Keyspace; 3], StoreError> {
    let plain = || {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
    };
    // The index is read in long runs.
    let runs = || plain().data_block_size_policy(BlockSizePolicy::all(16 * 1024));
    Ok([database.keyspace("index", runs)?, database.keyspace("heights", plain)?, database.keyspace("marks", plain)?])
}

fn commit(state: &mut State, batch: OwnedWriteBatch) -> Result<(), StoreError> {
    // A batch that failed may still have reached the engine's memory, so the handle cannot say what it holds.
    batch.commit().inspect_err(|_| state.failed = true)?;
    Ok(())
}

fn gap(height: u32) -> StoreError {
    StoreError::corrupt(format!("height {height} is missing"))
}

fn damaged(height: u32) -> StoreError {
    StoreError::corrupt(format!("the block at height {height} is not the one that was written"))
}

#[cfg(test)]
mod tests;

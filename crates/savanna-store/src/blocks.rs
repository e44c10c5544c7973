//! The archive of one chain's blocks.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode,
};
use savanna_wire::{Block, BlockHash, BlockHeader, Network, Reader};

use crate::StoreError;
use crate::marker::{claim, sync_dir};
use crate::record::{IndexEntry, height_of};
use crate::rot::look_over;

/// How many blocks are cut off in one step.
///
/// A longer cut is several steps, each of which leaves a whole chain behind, so that memory is bounded however deep a fork is.
const TRUNCATE_STEP: u32 = 1000;

/// How much of what was written last stands in the journal alone: it is read again when the store is opened.
const MAX_JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// How many bytes of blocks the engine gathers in memory before it writes them where they stay. What it gathers keeps the
/// buffers that the blocks were received in.
const MAX_UNSORTED_BYTES: u64 = 16 * 1024 * 1024;

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
/// Reads and writes may come from several threads; writes take turns. All of them block: an async program keeps them off its
/// worker threads. That includes dropping the last handle, which waits for the engine's own threads.
///
/// After an I/O error (a full disk) writes fail with [`StoreError::Failed`] until the handle is dropped and the store is opened
/// again.
pub struct BlockStore {
    state: Mutex<State>,
    network: Network,
    blocks: Keyspace,
    headers: Keyspace,
    index: Keyspace,
    heights: Keyspace,
    database: Database,
    // Fields drop in order: the directory is given up only when the engine is gone.
    _lock: File,
}

#[derive(Debug, Clone, Copy)]
struct State {
    tip: Option<Tip>,
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
        let (database, [blocks, headers, index, heights]) = open_engine(&path)?;
        let state = Mutex::new(State { tip: None, failed: false });
        let store = Self { state, network, blocks, headers, index, heights, database, _lock: lock };
        store.state().tip = store.read_tip()?;
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
        let mut tip = state.tip;
        let mut batch = self.batch();
        for block in run {
            let height = self.next_height(tip, block)?;
            let key = height.to_be_bytes();
            let header_len = block.header().encoded_len();
            batch.insert(&self.blocks, key, block.bytes().clone());
            batch.insert(&self.headers, key, &block.bytes()[..header_len]);
            batch.insert(&self.index, key, IndexEntry::of(height, block).encode());
            batch.insert(&self.heights, block.hash().0, key);
            tip = Some(Tip { height, hash: block.hash() });
        }
        commit(&mut state, batch)?;
        state.tip = tip;
        Ok(tip)
    }

    /// Removes every block above `height`, or all of them without one, and returns the new tip.
    ///
    /// A crash in the middle leaves a chain that ends at or above `height`.
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
                let key = height.to_be_bytes();
                batch.remove(&self.blocks, key);
                batch.remove(&self.headers, key);
                batch.remove(&self.index, key);
                batch.remove(&self.heights, entry.hash.0);
            }
            let rest = match first.checked_sub(1) {
                Some(last) => Some(self.index_entry(last)?.ok_or_else(|| gap(last))?),
                None => None,
            };
            commit(&mut state, batch)?;
            state.tip = rest.map(|entry| Tip { height: entry.height, hash: entry.hash });
        }
        Ok(state.tip)
    }

    /// Makes all that was written durable: it survives the end of the process and of the machine's power.
    ///
    /// # Errors
    /// The disk's or the engine's.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.writable()?;
        self.database.persist(PersistMode::SyncAll).inspect_err(|_| state.failed = true)?;
        Ok(())
    }

    /// Reads a block with its frame's checksum, so that it can be sent without hashing its body.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not those of the block that the index names; otherwise the disk's or the
    /// engine's.
    pub fn block(&self, height: u32) -> Result<Option<Block>, StoreError> {
        let Some(entry) = self.index_entry(height)? else { return Ok(None) };
        let bytes = self.blocks.get(height.to_be_bytes())?.ok_or_else(|| gap(height))?;
        if bytes.len() as u64 != u64::from(entry.length) {
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
    /// [`StoreError::Corrupt`] if the bytes are no header; otherwise the disk's or the engine's.
    pub fn header(&self, height: u32) -> Result<Option<BlockHeader>, StoreError> {
        let Some(bytes) = self.headers.get(height.to_be_bytes())? else { return Ok(None) };
        BlockHeader::decode(&mut Reader::new(&bytes, "stored header")).map(Some).map_err(|_| damaged(height))
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
        self.index.get(height.to_be_bytes())?.map(|bytes| IndexEntry::decode(height, &bytes)).transpose()
    }

    /// Reads the index from `height` on, in order; it reads some 50 bytes a block, millions of them within seconds.
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
                IndexEntry::decode(found, &value)
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

    /// Reads the tip, and sees that the keyspaces end together and hold that block.
    fn read_tip(&self) -> Result<Option<Tip>, StoreError> {
        let last = |keyspace: &Keyspace| -> Result<Option<u32>, StoreError> {
            keyspace.last_key_value().map(|row| height_of(&row.key()?)).transpose()
        };
        let height = last(&self.index)?;
        if last(&self.blocks)? != height || last(&self.headers)? != height {
            return Err(StoreError::corrupt("blocks, headers and index end at different heights"));
        }
        let Some(height) = height else { return Ok(None) };
        let block = self.block(height)?.ok_or_else(|| gap(height))?;
        if self.height(block.hash())? != Some(height) {
            return Err(StoreError::corrupt("the last block's hash leads to another height"));
        }
        Ok(Some(Tip { height, hash: block.hash() }))
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
fn open_engine(path: &Path) -> Result<(Database, [Keyspace; 4]), StoreError> {
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
    // Blocks are mostly ciphertext, which no compression shortens.
    let builder = Database::builder(path)
        .manual_journal_persist(true)
        .journal_compression(CompressionType::None)
        .max_journaling_size(MAX_JOURNAL_BYTES);
    Ok(builder.open()?)
}

fn keyspaces(database: &Database) -> Result<[Keyspace; 4], StoreError> {
    let plain = || {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
    };
    let separated = || {
        let apart = KvSeparationOptions::default().compression(CompressionType::None);
        plain().with_kv_separation(Some(apart)).max_memtable_size(MAX_UNSORTED_BYTES)
    };
    // Headers and index entries are read in long runs.
    let runs = || plain().data_block_size_policy(BlockSizePolicy::all(16 * 1024));
    Ok([
        database.keyspace("blocks", separated)?,
        database.keyspace("headers", runs)?,
        database.keyspace("index", runs)?,
        database.keyspace("heights", plain)?,
    ])
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

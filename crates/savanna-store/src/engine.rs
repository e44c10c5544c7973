//! The engine that keeps the index, and the file of blocks beside it: what is open of an archive.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fjall::config::{BlockSizePolicy, CompressionPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use savanna_wire::{Block, BlockHash};

use crate::StoreError;
use crate::bodies::BodyReader;
use crate::marker::sync_dir;
use crate::record::{Row, height_of};
use crate::rot::look_over;

/// How much of the index stands in the journal alone: it is read again when the store is opened.
const MAX_JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// The file of the blocks themselves.
pub(crate) const BODIES: &str = "blocks";

/// The engine's directory.
const DATABASE: &str = "db";

/// The name of the index of transactions, which is there only where it was asked for.
const TRANSACTIONS: &str = "transactions";

/// What is open of an archive: the index, and the blocks for reading.
pub(crate) struct Engine {
    pub(crate) index: Keyspace,
    pub(crate) heights: Keyspace,
    pub(crate) marks: Keyspace,
    pub(crate) reorganisations: Keyspace,
    pub(crate) transactions: Option<Keyspace>,
    pub(crate) bodies: BodyReader,
    // Fields drop in order: the database goes when nothing is left that reads it.
    database: Database,
}

impl Engine {
    /// Opens what is in `dir`, and makes it if there is nothing. The files may be rotten, which the engine may answer with a
    /// panic.
    pub(crate) fn open(dir: &Path, with_transactions: bool) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE);
        if !path.try_exists()? {
            create(dir, &path)?;
        }
        look_over(&path)?;
        let bodies = BodyReader::open(&dir.join(BODIES))?;
        let open = || Self::assemble(database(&path)?, bodies, with_transactions);
        let panicked = |_| StoreError::corrupt("the storage engine cannot read its files");
        catch_unwind(AssertUnwindSafe(open)).map_err(panicked)?
    }

    fn assemble(database: Database, bodies: BodyReader, with_transactions: bool) -> Result<Self, StoreError> {
        let [index, heights, marks, reorganisations] = keyspaces(&database)?;
        let has_transactions = with_transactions || database.keyspace_exists(TRANSACTIONS);
        let transactions = has_transactions.then(|| database.keyspace(TRANSACTIONS, plain)).transpose()?;
        Ok(Self { index, heights, marks, reorganisations, transactions, bodies, database })
    }

    /// Begins a write that reaches the system's buffers when it is committed: the end of the process alone loses none of it.
    pub(crate) fn batch(&self) -> OwnedWriteBatch {
        self.database.batch().durability(Some(PersistMode::Buffer))
    }

    /// Makes what was committed durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    pub(crate) fn row(&self, height: u32) -> Result<Option<Row>, StoreError> {
        self.index.get(height.to_be_bytes())?.map(|bytes| Row::decode(height, &bytes)).transpose()
    }

    /// Reads a row that has to be there.
    pub(crate) fn row_of(&self, height: u32) -> Result<Row, StoreError> {
        self.row(height)?.ok_or_else(|| gap(height))
    }

    pub(crate) fn height(&self, hash: BlockHash) -> Result<Option<u32>, StoreError> {
        self.heights.get(hash.0)?.map(|bytes| height_of(&bytes)).transpose()
    }

    /// Reads up to `count` rows from `height` on, without a gap.
    pub(crate) fn rows(&self, height: u32, count: usize) -> Result<Vec<Row>, StoreError> {
        let rows = self.index.range(height.to_be_bytes()..).take(count);
        (height..)
            .zip(rows)
            .map(|(expected, row)| {
                let (key, value) = row.into_inner()?;
                let found = height_of(&key)?;
                if found == expected { Row::decode(found, &value) } else { Err(gap(expected)) }
            })
            .collect()
    }

    /// Reads a block and holds its bytes against their digest. The hash and the checksum are those of the index.
    pub(crate) fn block_of(&self, row: &Row) -> Result<Block, StoreError> {
        let Row { entry, place } = row;
        let bytes = self.bodies.read(place.start, entry.length)?;
        if bytes.len() as u64 != u64::from(entry.length) || !place.is_of(&bytes) {
            return Err(damaged(entry.height));
        }
        Block::with_hashes(bytes.into(), entry.hash, entry.checksum).map_err(|_| damaged(entry.height))
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

fn database(path: &Path) -> Result<Database, StoreError> {
    // Hashes are what no compression shortens.
    let builder = Database::builder(path)
        .manual_journal_persist(true)
        .journal_compression(CompressionType::None)
        .max_journaling_size(MAX_JOURNAL_BYTES);
    Ok(builder.open()?)
}

fn keyspaces(database: &Database) -> Result<[Keyspace; 4], StoreError> {
    // The index is read in long runs.
    let runs = || plain().data_block_size_policy(BlockSizePolicy::all(16 * 1024));
    Ok([
        database.keyspace("index", runs)?,
        database.keyspace("heights", plain)?,
        database.keyspace("marks", plain)?,
        database.keyspace("reorganisations", plain)?,
    ])
}

fn plain() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .manual_journal_persist(true)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
}

pub(crate) fn gap(height: u32) -> StoreError {
    StoreError::corrupt(format!("height {height} is missing"))
}

pub(crate) fn damaged(height: u32) -> StoreError {
    StoreError::corrupt(format!("the block at height {height} is not the one that was written"))
}

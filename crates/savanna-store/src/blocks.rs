//! The archive of one chain's blocks.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use savanna_wire::{Block, BlockHash, Network};

use crate::engine::Engine;
use crate::marker::{claim, network_of, sync_dir};
use crate::transactions::ids_of;
use crate::writer::{Cut, Status, Writer, has_lost_its_index, read};
use crate::{Indexed, StoreError};

mod reading;

/// How much room there has to be before what is open is given up to be opened again.
const ROOM: usize = 256 * 1024;

/// How many bytes of blocks are read for one step of [`BlockStore::index_transactions`].
const INDEX_STEP_BYTES: usize = 8 * 1024 * 1024;

/// The last block of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
}

/// What an archive keeps besides blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether there is to be an index of transactions. One that is there is kept up either way.
    ///
    /// In an archive that has blocks already it begins empty, and [`BlockStore::index_transactions`] fills it.
    pub transaction_index: bool,
}

/// An archive of blocks from the genesis block on, in order and without a gap.
///
/// The blocks themselves stand one behind the other in a file that only grows, so each is written once. The engine keeps where
/// each of them is, and is written after them.
///
/// Reads and writes may come from several threads; reads run beside one another and beside a write, writes take turns. All of
/// them block: an async program keeps them off its worker threads. That includes dropping the last handle, which waits for the
/// engine's own threads.
///
/// After an I/O error (a full disk) writes fail with [`StoreError::Failed`] until [`Self::reopen`] has gone well. Reads go on.
pub struct BlockStore {
    // Fields drop in order: the directory is given up only when the engine is gone.
    writer: Mutex<Writer>,
    /// Nothing where opening again has failed.
    engine: RwLock<Option<Engine>>,
    status: Mutex<Status>,
    network: Network,
    dir: PathBuf,
    options: Options,
    _lock: File,
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
        Self::open_with(dir, network, Options::default())
    }

    /// Opens or makes a store as [`Self::open`] does, with what is to be kept besides blocks.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_with(dir: &Path, network: Network, options: Options) -> Result<Self, StoreError> {
        // The engine asks for it, however `dir` is written, and panics without.
        std::env::current_dir().map_err(StoreError::WorkingDirectory)?;
        let lock = claim(dir, network)?;
        if has_lost_its_index(dir)? {
            return Err(StoreError::corrupt("blocks are there, and the index of them is not"));
        }
        let status = Mutex::default();
        let (writer, engine) = open_files(dir, options)?;
        let (dir, engine) = (dir.to_owned(), RwLock::new(Some(engine)));
        let store = Self { writer: Mutex::new(writer), engine, status, network, dir, options, _lock: lock };
        store.write(|engine, writer| writer.recover(engine, &store.status))?;
        Ok(store)
    }

    /// Reads whose blocks `dir` holds, and touches nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is no store, [`StoreError::Foreign`] if there is something else, [`StoreError::Format`]
    /// if another version wrote it, [`StoreError::Io`] if it cannot be read.
    pub fn network_of(dir: &Path) -> Result<Network, StoreError> {
        network_of(dir)
    }

    /// Opens the files again behind this very handle, after a write has failed, and returns the last block.
    ///
    /// What is there is found as [`Self::open`] finds it: everything up to the last [`Self::flush`], and perhaps more. The
    /// directory stays this process's throughout. Reads wait for as long as it takes.
    ///
    /// # Errors
    /// Those of [`Self::open`]. As long as the disk is full nothing is closed, so that reads go on.
    pub fn reopen(&self) -> Result<Option<Tip>, StoreError> {
        let mut writer = self.lock_writer();
        find_room(&self.dir)?;
        {
            let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
            // The engine takes a directory once at a time.
            *engine = None;
            writer.failed = true;
            let (new_writer, new_engine) = open_files(&self.dir, self.options)?;
            (*writer, *engine) = (new_writer, Some(new_engine));
            writer.failed = true;
        }
        self.with_engine(|engine| writer.recover(engine, &self.status))?;
        writer.failed = false;
        Ok(self.tip())
    }

    /// Returns the network whose blocks these are.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// Returns the directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the last block; none if the store is empty. It waits for no write.
    #[must_use]
    pub fn tip(&self) -> Option<Tip> {
        read(&self.status).tip
    }

    /// Returns the height up to which blocks survive the end of the machine's power; none if none do.
    #[must_use]
    pub fn durable(&self) -> Option<u32> {
        read(&self.status).durable
    }

    /// Returns when blocks were last appended, in Unix seconds by this machine's clock; none if that is not known.
    #[must_use]
    pub fn last_growth(&self) -> Option<u64> {
        read(&self.status).grown
    }

    /// Returns whether a write has failed, so that none is taken until [`Self::reopen`].
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.lock_writer().failed
    }

    /// Appends blocks that follow the tip, all of them or none, and returns the new tip. The first of an empty store is the
    /// network's genesis block.
    ///
    /// They survive the end of the process, and with [`Self::flush`] that of the machine's power.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] if a block's parent is not the block before it; otherwise the disk's or the engine's.
    pub fn append(&self, run: &[Block]) -> Result<Option<Tip>, StoreError> {
        self.write(|engine, writer| writer.append(engine, &self.status, self.network, run))
    }

    /// Removes every block above `height`, or all of them without one, and returns the new tip.
    ///
    /// A crash in the middle leaves a chain that ends at or above `height`. What is removed keeps its room on the disk for good if
    /// other blocks were appended behind it; otherwise until the store is opened again.
    ///
    /// # Errors
    /// The disk's or the engine's.
    pub fn truncate(&self, height: Option<u32>) -> Result<Option<Tip>, StoreError> {
        self.cut(Cut { height, noted: None })
    }

    /// Removes every block above `fork`, or all of them without one, as [`Self::truncate`] does, because another branch takes
    /// over, and notes that in the journal of reorganisations. Where nothing has to leave, nothing is noted.
    ///
    /// `new_tip` is the last block of that branch, where it is known. `time` is the present in Unix seconds.
    ///
    /// # Errors
    /// The disk's or the engine's.
    pub fn reorganise(&self, fork: Option<u32>, new_tip: Option<Tip>, time: u64) -> Result<Option<Tip>, StoreError> {
        self.cut(Cut { height: fork, noted: Some((time, new_tip)) })
    }

    /// Puts `run` in the place of every block above `fork`, or of all of them without one, notes that in the journal as
    /// [`Self::reorganise`] does, and returns the new tip.
    ///
    /// A crash leaves either branch whole, and readers see either, where no more than 1,000 blocks leave, or 10 in an archive with an
    /// index of transactions. A deeper branch is cut down to so many before.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] if the run does not stand on `fork`; otherwise the disk's or the engine's.
    pub fn replace(&self, fork: Option<u32>, run: &[Block], time: u64) -> Result<Option<Tip>, StoreError> {
        let first = fork.map_or(0, |fork| fork.saturating_add(1));
        let height = u32::try_from(run.len()).unwrap_or(u32::MAX).saturating_add(first).saturating_sub(1);
        let new_tip = run.last().map(|block| Tip { height, hash: block.hash() });
        let cut = Cut { height: fork, noted: Some((time, new_tip)) };
        self.write(|engine, writer| writer.replace(engine, &self.status, self.network, cut, run))?;
        Ok(self.tip())
    }

    /// Makes all that was written durable: it survives the end of the process and of the machine's power.
    ///
    /// # Errors
    /// The disk's or the engine's.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.write(|engine, writer| writer.flush(engine, &self.status))
    }

    /// Adds the transactions of the next blocks to the index of transactions, some megabytes of them, and says how far it goes.
    /// Called until that is whole, it fills the index of an archive that was there before; blocks may be appended meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoTransactionIndex`] if there is none; otherwise the disk's or the engine's.
    pub fn index_transactions(&self) -> Result<Indexed, StoreError> {
        let Status { tip, indexed: Some(first), .. } = read(&self.status) else {
            return Err(StoreError::NoTransactionIndex);
        };
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        for height in first..tip.map_or(0, |tip| tip.height.saturating_add(1)) {
            // Blocks may leave meanwhile.
            let Some(block) = self.serve(height)? else { break };
            bytes += block.bytes().len();
            // Hashed here, so that no write waits for it.
            blocks.push((height, block.hash(), ids_of(&block).collect()));
            if bytes >= INDEX_STEP_BYTES {
                break;
            }
        }
        if !blocks.is_empty() {
            self.write(|engine, writer| writer.index(engine, &self.status, &blocks))?;
        }
        self.indexed().ok_or(StoreError::NoTransactionIndex)
    }

    fn cut(&self, cut: Cut) -> Result<Option<Tip>, StoreError> {
        self.write(|engine, writer| writer.truncate(engine, &self.status, cut))?;
        Ok(self.tip())
    }

    /// Writes, if no write before has failed.
    fn write<T>(&self, write: impl FnOnce(&Engine, &mut Writer) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut writer = self.lock_writer();
        if writer.failed {
            return Err(StoreError::Failed);
        }
        let result = self.with_engine(|engine| write(engine, &mut writer));
        // What failed may still have reached the engine's memory, so the handle cannot say what it holds.
        writer.failed = result.as_ref().is_err_and(StoreError::ends_writing);
        result
    }

    fn with_engine<T>(&self, work: impl FnOnce(&Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        work(engine.as_ref().ok_or(StoreError::Failed)?)
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for BlockStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockStore")
            .field("network", &self.network)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

fn open_files(dir: &Path, options: Options) -> Result<(Writer, Engine), StoreError> {
    let writer = Writer::open(dir)?;
    let engine = Engine::open(dir, options.transaction_index)?;
    sync_dir(dir)?;
    Ok((writer, engine))
}

/// Tries whether the disk takes as much as opening may write.
fn find_room(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("room");
    let tried = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![1; ROOM])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    tried?;
    Ok(removed?)
}

#[cfg(test)]
mod tests;

//! The ledger on disk: all nodes and the floor's decision, in one small file a network.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use thiserror::Error;

use savanna_wire::Network;

use crate::Snapshot;

mod codec;

/// The format that is read and written.
const FORMAT: u32 = 1;

/// What the file is: the format and the network.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
/// The snapshot, in pieces by number.
const PIECES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("pieces");

/// The memory that the engine may fill with what it has read; all of it is read once.
const CACHE: usize = 1024 * 1024;

/// Keeps a ledger. Every call blocks on the disk.
///
/// # Security
/// A snapshot is there whole or not at all, whenever the process or the machine dies: the one before stays until the new one
/// is durable.
#[derive(Debug)]
pub struct LedgerStore {
    path: PathBuf,
    network: Network,
    /// Absent after a failure, which the engine does not forget: the next call opens the file again.
    database: Option<Database>,
}

/// A ledger's file that was opened.
#[derive(Debug)]
pub struct OpenedLedger {
    /// Where to keep it from now on.
    pub store: LedgerStore,
    /// What it held; nothing if it is new.
    pub snapshot: Option<Snapshot>,
    /// What was there and could not be read.
    pub set_aside: Option<LedgerSetAside>,
}

/// A file that held no readable ledger, and bears another name now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the seeder's ledger cannot be read and was set aside as {}: {reason}", path.display())]
pub struct LedgerSetAside {
    /// Where it is now. What was set aside there before is gone.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a ledger is not kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LedgerStoreError {
    /// Somebody else has it open.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused: the disk may be full, or the directory not ours to write.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The storage engine failed.
    #[error("{} cannot be used: {source}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        source: Box<redb::Error>,
    },
}

impl LedgerStore {
    /// Returns the name of the file that holds a network's ledger.
    #[must_use]
    pub fn file_name(network: Network) -> String {
        format!("seeder-{network}.redb")
    }

    /// Opens the ledger of a network in a directory, and makes both if they are not there.
    ///
    /// A file that is cut, damaged or no ledger of this network is set aside, and a new one begins.
    ///
    /// # Errors
    /// [`LedgerStoreError`] if somebody else has it open, or the system refuses.
    pub fn open(dir: &Path, network: Network) -> Result<OpenedLedger, LedgerStoreError> {
        let path = dir.join(Self::file_name(network));
        fs::create_dir_all(dir).map_err(|source| LedgerStoreError::Io { path: dir.to_owned(), source })?;
        let mut store = Self { path, network, database: None };
        match store.read() {
            Ok(snapshot) => Ok(OpenedLedger { store, snapshot, set_aside: None }),
            Err(Fault::Rotten(reason)) => {
                store.database = None;
                let set_aside = Some(store.set_aside(reason)?);
                Ok(OpenedLedger { store, snapshot: None, set_aside })
            }
            Err(fault) => Err(store.error(fault)),
        }
    }

    /// Replaces what is kept by a snapshot. It is durable when this returns.
    ///
    /// # Errors
    /// [`LedgerStoreError`]. What was kept before is still kept then, and the next call tries again.
    pub fn save(&mut self, snapshot: &Snapshot) -> Result<(), LedgerStoreError> {
        let (network, pieces) = (self.network, codec::encode(snapshot));
        let saved = self.database().and_then(|database| write(database, network, &pieces).map_err(Fault::from));
        saved.map_err(|fault| {
            self.database = None;
            self.error(fault)
        })
    }

    fn read(&mut self) -> Result<Option<Snapshot>, Fault> {
        let network = self.network;
        let Some(stored) = read(self.database()?)? else { return Ok(None) };
        let Stored { format, network: found, pieces } = stored;
        if format != FORMAT.to_string() || found != network.to_string() {
            return Err(Fault::Rotten(format!("it has format {format:?} of {found:?}")));
        }
        codec::decode(&pieces).map(Some).map_err(|error| Fault::Rotten(error.to_string()))
    }

    fn database(&mut self) -> Result<&Database, Fault> {
        if self.database.is_none() {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
            self.database = Some(builder.create(&self.path)?);
        }
        self.database.as_ref().ok_or(Fault::Engine(redb::Error::DatabaseClosed))
    }

    fn set_aside(&self, reason: String) -> Result<LedgerSetAside, LedgerStoreError> {
        let path = self.path.with_extension("damaged");
        fs::rename(&self.path, &path).map_err(|source| LedgerStoreError::Io { path: self.path.clone(), source })?;
        Ok(LedgerSetAside { path, reason })
    }

    fn error(&self, fault: Fault) -> LedgerStoreError {
        let path = self.path.clone();
        match fault {
            Fault::Locked => LedgerStoreError::Locked { path },
            Fault::Io(source) => LedgerStoreError::Io { path, source },
            Fault::Rotten(reason) => {
                LedgerStoreError::Engine { path, source: Box::new(redb::Error::Corrupted(reason)) }
            }
            Fault::Engine(source) => LedgerStoreError::Engine { path, source: Box::new(source) },
        }
    }
}

/// What the engine's many errors mean here.
#[derive(Debug)]
enum Fault {
    Locked,
    Io(io::Error),
    /// What the file holds is damaged or foreign: another file will do.
    Rotten(String),
    Engine(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the engine's enum is open, and the rest is kept whole")]
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            // So the engine says that a file is none of its own, or ends too early.
            redb::Error::Io(error) if is_about_content(&error) => Self::Rotten(error.to_string()),
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::Corrupted(reason) => Self::Rotten(reason),
            error @ (redb::Error::UpgradeRequired(_)
            | redb::Error::RepairAborted
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }) => Self::Rotten(error.to_string()),
            error => Self::Engine(error),
        }
    }
}

fn is_about_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// What a file says of itself, and what it holds.
struct Stored {
    format: String,
    network: String,
    pieces: Vec<Vec<u8>>,
}

fn read(database: &Database) -> Result<Option<Stored>, redb::Error> {
    let transaction = database.begin_read()?;
    let about = match transaction.open_table(ABOUT) {
        Ok(about) => about,
        // Nothing has been saved yet.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let format = about.get("format")?.map(|value| value.value().to_owned()).unwrap_or_default();
    let network = about.get("network")?.map(|value| value.value().to_owned()).unwrap_or_default();
    let mut pieces = Vec::new();
    for piece in transaction.open_table(PIECES)?.iter()? {
        pieces.push(piece?.1.value().to_vec());
    }
    Ok(Some(Stored { format, network, pieces }))
}

fn write(database: &Database, network: Network, pieces: &[Vec<u8>]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut about = transaction.open_table(ABOUT)?;
        about.insert("format", FORMAT.to_string().as_str())?;
        about.insert("network", network.to_string().as_str())?;
        let mut table = transaction.open_table(PIECES)?;
        let mut count = 0;
        for (number, piece) in (0_u32..).zip(pieces) {
            table.insert(number, piece.as_slice())?;
            count = number + 1;
        }
        table.retain_in(count.., |_, _| false)?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;

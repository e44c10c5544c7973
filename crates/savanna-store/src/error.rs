//! What can go wrong with what is on disk.

use std::io;
use std::path::PathBuf;

use savanna_wire::{BlockHash, Network};
use thiserror::Error;

/// An operation on a store that failed.
///
/// When a write has ended with [`StoreError::Io`], [`StoreError::Engine`] or [`StoreError::Failed`], no more are taken until the
/// store is opened again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory holds another network's blocks.
    #[error("{} holds blocks of {found}, not of {expected}", dir.display())]
    Network {
        /// The directory.
        dir: PathBuf,
        /// The network asked for.
        expected: Network,
        /// The network whose blocks are there.
        found: Network,
    },
    /// The directory was written by a version of this software whose format is another.
    #[error("{} has store format {found}, this program reads format {expected}{}", dir.display(), newer(*found, *expected))]
    Format {
        /// The directory.
        dir: PathBuf,
        /// The format that is read and written.
        expected: u32,
        /// The format that is there.
        found: u32,
    },
    /// The directory holds something that is no block store.
    #[error("{} is not empty and is no block store", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds nothing, or does not exist.
    #[error("there is no block store in {}", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// Somebody else has the store open.
    #[error("{} is in use by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The process's working directory is gone, and the storage engine needs one.
    #[error("the working directory is gone: {0}")]
    WorkingDirectory(#[source] io::Error),
    /// A block that does not follow the one before it.
    #[error("block {hash} does not follow height {}", .tip.map_or_else(|| "none".to_owned(), |height| height.to_string()))]
    NotNext {
        /// The block.
        hash: BlockHash,
        /// The height it should have followed; none if it should have been the genesis block.
        tip: Option<u32>,
    },
    /// What is on disk contradicts itself.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What is wrong.
        what: String,
    },
    /// The operating system refused: the disk may be full.
    #[error("the disk failed: {0}")]
    Io(#[source] io::Error),
    /// The storage engine failed, or found its files damaged.
    #[error("the storage engine failed: {0}")]
    Engine(#[source] fjall::Error),
    /// An earlier write failed, and this handle takes no more.
    #[error("an earlier write failed: the store has to be opened again")]
    Failed,
    /// The store keeps no index of transactions.
    #[error("the store keeps no index of transactions")]
    NoTransactionIndex,
}

impl StoreError {
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// Returns whether a write that ended so may have left half of it behind.
    pub(crate) const fn ends_writing(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Engine(_) | Self::Failed)
    }
}

const fn newer(found: u32, expected: u32) -> &'static str {
    if found > expected { ": a newer version of it wrote there" } else { "" }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<fjall::Error> for StoreError {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the engine's enum is open, and what has no meaning here is kept whole"
    )]
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => Self::Io(error),
            fjall::Error::Poisoned => Self::Failed,
            error => Self::Engine(error),
        }
    }
}

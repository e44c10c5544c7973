//! What is asked for, and what is answered.

use savanna_chain::{HeaderError, WorkError};
use savanna_net::PeerId;
use savanna_wire::{BlockHash, BlockHeader};
use thiserror::Error;

/// A run of headers that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// A header's parent is not the header before it.
    #[error("header {index} does not follow the one before it")]
    NotLinked {
        /// Its place among the headers.
        index: usize,
    },
    /// A header has no place in the tree.
    #[error("header {index}: {error}")]
    Refused {
        /// Its place among the headers.
        index: usize,
        /// What is wrong.
        error: HeaderError,
    },
    /// They leave our chain below what can be replaced.
    #[error("the block at height {height} is another than the one that is stored")]
    OtherChain {
        /// The height of the first block that is another.
        height: u32,
    },
    /// A header fails its work.
    #[error("header {index}: {error}")]
    Work {
        /// Its place among the headers.
        index: usize,
        /// What is wrong.
        error: WorkError,
    },
}

/// What was wrong with a peer's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderFault {
    /// They do not link, fail their work, or hang on nothing we know.
    Invalid,
    /// They lead nowhere: each answer has to reach higher than the one before, or bring something new.
    Looping,
    /// Its chain parts from ours deep below the tip and has less work, or below what can be replaced.
    LowWork,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderAction {
    /// Ask for the headers that follow a locator, and forget the question before.
    Ask {
        /// Whom.
        whom: Whom,
        /// Hashes, the highest first.
        locator: Vec<BlockHash>,
    },
    /// Blame a peer.
    Report {
        /// Whom.
        peer: PeerId,
        /// What for.
        fault: HeaderFault,
    },
}

/// Whom to ask for headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Somebody.
    Anybody,
    /// This peer, and somebody else if it is gone, fails or is late.
    First(PeerId),
    /// So many distinct peers, without waiting for the slowest.
    Several(usize),
}

/// What answers did to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// The height of the last block that the old and the new best chain share, if the best chain changed branches.
    pub fork: Option<u32>,
    /// How many headers were new.
    pub new: usize,
    /// Answers that wait to be checked are to be forgotten: they follow what leads nowhere.
    pub moot: bool,
}

/// What a peer answered, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The peer.
    pub peer: PeerId,
    /// How many headers.
    pub count: usize,
    /// The hash of the last one.
    pub last: Option<BlockHash>,
}

/// What a peer answered, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The peer.
    pub peer: PeerId,
    /// Its headers, oldest first, or why they are refused.
    pub headers: Result<Vec<(BlockHeader, BlockHash)>, HeadersError>,
    /// Why those that followed are passed over, as if the peer did not have them.
    pub stopped: Option<HeaderError>,
}

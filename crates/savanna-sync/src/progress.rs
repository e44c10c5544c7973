//! What a synchronisation tells while it runs and when it ends.

use std::time::Duration;

use savanna_net::PeerId;
use savanna_store::Tip;
use savanna_wire::BlockHash;

use crate::Trouble;
use crate::download::DownloadCounts;
use crate::headers::HeaderFault;

/// What a peer was blamed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It sent a block whose body is not what its header commits to.
    WrongBody,
    /// Something was wrong with its headers.
    Headers(HeaderFault),
    /// It listed hashes of blocks that do not follow one another.
    HashList,
}

/// Something that happened on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The chain of headers has grown.
    Headers {
        /// The height of its last header.
        height: u32,
    },
    /// Another branch has more work, and the archive has left the old one for it.
    Reorganised {
        /// The height of the last block that both branches share.
        fork: u32,
        /// The last block of the old branch that was stored.
        old: Tip,
        /// The last block of the new branch that is stored.
        new: Tip,
        /// How many stored blocks were left.
        left: u32,
    },
    /// Blocks were stored.
    Stored {
        /// The height of the last of them.
        height: u32,
        /// The height of the best chain, as far as it is known.
        target: u32,
        /// How many blocks were stored since the start.
        blocks: u64,
        /// How many bytes they have.
        bytes: u64,
    },
    /// How far the download has come. Told with each write.
    Download(DownloadCounts),
    /// A peer was blamed. Told once of each.
    Reported {
        /// Which.
        peer: PeerId,
        /// What for.
        why: Fault,
    },
    /// All that the peers have is stored: those that were asked together agree that there is no more. Told again for each tip.
    ///
    /// Only a follower tells it.
    Synced {
        /// The height of the last block.
        height: u32,
        /// Its hash.
        hash: BlockHash,
    },
    /// A follower that was at the tip has fallen behind it.
    Behind {
        /// The height of the last block stored.
        height: u32,
        /// The height of the best chain.
        target: u32,
    },
    /// A follower that is at the tip has stored a new one: it is worth announcing.
    Tip {
        /// Its height.
        height: u32,
        /// Its hash.
        hash: BlockHash,
    },
    /// A follower does not get on, or for another reason than before. It goes on trying.
    Trouble(Trouble),
    /// The trouble told of last is over.
    Recovered,
}

/// What a synchronisation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The height of the last stored block.
    pub tip_height: u32,
    /// Its hash.
    pub tip_hash: BlockHash,
    /// How many blocks were fetched and stored.
    pub blocks: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How many peers gave headers or blocks and were not blamed. One that was connected twice counts twice.
    pub peers: usize,
    /// How many times a block was asked for again because it came with a wrong body, or not in time, or found no room.
    pub refetched: u64,
    /// The height of a checkpoint that no peer's chain reaches, if that is why the tip is no higher: the peers are behind.
    pub short_of: Option<u32>,
}

impl Summary {
    /// Returns how long it took, in seconds.
    #[must_use]
    pub const fn seconds(&self) -> f64 {
        self.elapsed.as_secs_f64()
    }
}

//! What a synchronisation tells while it runs and when it ends.

use std::time::Duration;

use savanna_wire::BlockHash;

use crate::download::Fault;
use crate::headers::HeaderFault;

/// Why a peer takes part no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Its connection ended.
    Closed,
    /// It failed as a source of blocks.
    Blocks(Fault),
    /// It failed as a source of headers.
    Headers(HeaderFault),
}

/// Something that happened on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<Id> {
    /// The chain of headers has grown.
    Headers {
        /// The height of its last header.
        height: u32,
    },
    /// Another branch has more work: blocks above the fork are fetched anew.
    Reorganised {
        /// The height of the last block that both branches share.
        fork: u32,
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
    /// A peer takes part no more.
    PeerGone {
        /// Which.
        peer: Id,
        /// Why.
        why: Gone,
    },
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
    /// How many peers answered and were not let go of for a fault.
    pub peers: usize,
    /// How many blocks were asked for again because a peer sent a wrong one, stalled, or went.
    pub refetched: u64,
}

impl Summary {
    /// Returns how long it took, in seconds.
    #[must_use]
    pub const fn seconds(&self) -> f64 {
        self.elapsed.as_secs_f64()
    }
}

//! Why a chain could not be fetched.

use savanna_chain::BlockError;
use savanna_store::StoreError;
use savanna_wire::BlockHash;
use thiserror::Error;

use crate::ground::GroundFailure;

/// A synchronisation that ended before its goal. What was stored until then is kept, and the next one goes on from there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// There was no peer for as long as [`Options`](crate::Options) allow.
    #[error("there is no peer")]
    NoPeers,
    /// Questions for headers or lists went unanswered for [`SILENT_AFTER`](crate::headers::SILENT_AFTER).
    #[error("no peer answers when it is asked what there is")]
    Silent,
    /// All headers that came were refused, and no peer is left.
    #[error("every peer sent headers that are invalid")]
    InvalidHeaders,
    /// The goal is above every peer's chain.
    #[error("no peer has a block above height {height}, and {until} was asked for")]
    TooShort {
        /// The height of the best chain.
        height: u32,
        /// The height asked for.
        until: u32,
    },
    /// No peer has a block of the best chain.
    #[error("no peer has the block at height {height}")]
    Unavailable {
        /// The block's height.
        height: u32,
    },
    /// No peer delivers a block of the best chain.
    #[error("no peer delivers the block at height {height}")]
    Undelivered {
        /// The block's height.
        height: u32,
    },
    /// The chain with the most work holds a block that breaks a rule.
    #[error("block {hash} at height {height} is invalid: {error}")]
    InvalidBlock {
        /// The block's height.
        height: u32,
        /// The block's hash.
        hash: BlockHash,
        /// The rule.
        error: BlockError,
    },
    /// What peers have above is from the future by our clock.
    #[error("several peers have blocks from the future: is this computer's clock late?")]
    Clock,
    /// The archive holds another chain than the checkpoints say, from further below its tip on than chains are left.
    #[error(
        "the stored blocks do not lead to the checkpoint at height {height}: they are of another chain and have to be removed"
    )]
    Contradicted {
        /// The checkpoint's height.
        height: u32,
    },
    /// No peer has the chain up to a checkpoint.
    #[error("no peer's chain reaches the checkpoint at height {height}")]
    Unreached {
        /// The checkpoint's height.
        height: u32,
    },
    /// The archive failed.
    #[error("the blocks cannot be kept: {0}")]
    Store(#[from] StoreError),
    /// A check died: a bug, or the runtime is shutting down.
    #[error("a check was cut short")]
    Interrupted,
}

impl From<GroundFailure> for SyncError {
    fn from(failure: GroundFailure) -> Self {
        match failure {
            GroundFailure::Contradicted { height } => Self::Contradicted { height },
            GroundFailure::Unreached { height } => Self::Unreached { height },
            GroundFailure::Silent => Self::Silent,
        }
    }
}

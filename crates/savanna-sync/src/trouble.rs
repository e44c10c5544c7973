//! What keeps a follower from the tip, in sentences that a person can act on.

use savanna_chain::BlockError;
use savanna_wire::BlockHash;
use thiserror::Error;

/// Why a follower is not where it should be. It goes on trying.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Trouble {
    /// There has been no peer for as long as [`Options`](crate::Options) allow.
    #[error("there is no peer: look at the connection to the network, at a firewall, and at the peers that were named")]
    NoPeers,
    /// Questions for headers or lists go unanswered for [`SILENT_AFTER`](crate::headers::SILENT_AFTER).
    #[error("no peer answers when it is asked what there is: look at the connection to the network")]
    Silent,
    /// All headers that came were refused.
    #[error("every peer sent headers that are invalid: look whether the peers are of this network")]
    InvalidHeaders,
    /// No peer's chain reaches a checkpoint.
    #[error(
        "no peer's chain reaches the checkpoint at height {height}: the peers are behind or of another chain, and others are waited for"
    )]
    Unreached {
        /// The checkpoint's height.
        height: u32,
    },
    /// Nobody delivers the next block.
    #[error("no peer delivers block {hash} at height {height}: it is asked for again until somebody does")]
    Undelivered {
        /// The block's height.
        height: u32,
        /// The block's hash.
        hash: BlockHash,
    },
    /// The chain with the most work holds a block that breaks a rule.
    #[error(
        "block {hash} at height {height} is invalid ({error}): it is refused, and the best of the other branches followed"
    )]
    InvalidBlock {
        /// The block's height.
        height: u32,
        /// The block's hash.
        hash: BlockHash,
        /// The rule.
        error: BlockError,
    },
    /// Several peers have headers that are from the future by our clock.
    #[error("several peers have blocks from the future: look whether this computer's clock is late")]
    Clock,
    /// Several peers' chains leave ours deeper than reorganisations go.
    #[error(
        "several peers have a chain that leaves ours more than {depth} blocks below its tip, deeper than any node follows: \
         if theirs is the right one, begin anew with an empty archive"
    )]
    DeepFork {
        /// How deep a fork may lie.
        depth: u32,
    },
}

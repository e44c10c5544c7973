//! What a synchronisation came to, as it is printed.

use savanna_sync::Summary;
use serde::Serialize;

/// The result of `sync`, and of the newcomer in `demo`, in the order of its keys.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    tip_height: u32,
    tip_hash: String,
    blocks: u64,
    bytes: u64,
    seconds: f64,
    peers: usize,
    refetched: u64,
}

impl From<&Summary> for Outcome {
    fn from(summary: &Summary) -> Self {
        Self {
            tip_height: summary.tip_height,
            tip_hash: summary.tip_hash.to_string(),
            blocks: summary.blocks,
            bytes: summary.bytes,
            seconds: (summary.seconds() * 1e3).round() / 1e3,
            peers: summary.peers,
            refetched: summary.refetched,
        }
    }
}

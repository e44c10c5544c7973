//! How large the next blocks are likely to be.

use savanna_peer::{MAX_GETDATA_BLOCKS, RequestKind};
use savanna_wire::MAX_BLOCK_LEN;

/// How many bytes of a request Zebra serves before it drops the rest.
const SERVED_BYTES: u64 = 1_000_000;

/// What a transaction is taken to weigh, an answer of headers, and any other that is no list.
///
/// Who is sending headers, by which a chain grows, is given fewer blocks to send meanwhile.
const TRANSACTION: u64 = 4_000;
const HEADERS: u64 = 240_000;
const SMALL: u64 = 1_000;

/// What is known of the size of blocks, from those that came.
#[derive(Debug)]
pub(crate) struct BlockSize {
    mean: u64,
    /// Follows the largest at once and falls slowly, so that what is in flight seldom turns out larger.
    large: u64,
}

impl BlockSize {
    pub(crate) const fn new() -> Self {
        Self { mean: 50_000, large: MAX_BLOCK_LEN as u64 }
    }

    /// Notes the size of a block that came.
    pub(crate) fn observe(&mut self, bytes: u64) {
        self.mean = (self.mean * 15 + bytes) / 16;
        self.large = bytes.max(self.large - self.large / 16);
    }

    /// Returns how many bytes an answer is likely to have.
    pub(crate) const fn expect(&self, kind: RequestKind, items: usize) -> u64 {
        match kind {
            RequestKind::Blocks => self.mean.saturating_mul(items as u64),
            RequestKind::Transactions => TRANSACTION.saturating_mul(items as u64),
            RequestKind::FindHeaders => HEADERS,
            RequestKind::Ping
            | RequestKind::Peers
            | RequestKind::FindBlocks
            | RequestKind::MempoolIds
            | RequestKind::PushTransaction
            | RequestKind::AdvertiseTransactions
            | RequestKind::AdvertiseBlock
            | RequestKind::AdvertisePeers => SMALL,
        }
    }

    /// Returns how many bytes so many items in flight may well turn out to be.
    pub(crate) fn reserve(&self, kind: RequestKind, items: usize) -> u64 {
        if kind == RequestKind::Blocks { self.large.saturating_mul(items as u64) } else { self.expect(kind, items) }
    }

    /// Returns how many items of a message a peer is likely to serve, so that it drops none.
    pub(crate) fn served_at_once(&self, kind: RequestKind) -> usize {
        let item = if kind == RequestKind::Blocks { self.mean.max(1) } else { TRANSACTION };
        usize::try_from(SERVED_BYTES / item).unwrap_or(usize::MAX).clamp(1, MAX_GETDATA_BLOCKS)
    }
}

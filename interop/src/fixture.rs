//! The chain and the mempool that are served: real blocks and transactions of mainnet, in the types of both sides.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use savanna_wire::{AuthDigest, Block, BlockHash, Transaction, TransactionId, TxId};
use zebra_chain::block;
use zebra_chain::serialization::{ZcashDeserialize, ZcashSerialize};
use zebra_chain::transaction::{UnminedTx, UnminedTxId};
use zebra_test::vectors::{CONTINUOUS_MAINNET_BLOCKS, MAINNET_BLOCKS};

/// The first blocks of mainnet, one transaction of v4 and one of v5, and addresses of peers that do not exist.
#[derive(Debug)]
pub struct Fixture {
    /// Blocks from genesis on.
    pub blocks: Vec<Block>,
    /// The same blocks as Zebra has them.
    pub their_blocks: Vec<Arc<block::Block>>,
    /// The mempool.
    pub transactions: BTreeMap<TransactionId, Transaction>,
    /// The same transactions as Zebra has them.
    pub their_transactions: Vec<UnminedTx>,
    /// Addresses on loopback where nobody listens.
    pub addresses: Vec<SocketAddr>,
}

impl Fixture {
    /// Takes the blocks and transactions from `zebra-test`.
    ///
    /// # Errors
    /// If they do not decode, or one of the two kinds of transactions is not there.
    pub fn new() -> Result<Arc<Self>> {
        let blocks = CONTINUOUS_MAINNET_BLOCKS.values().map(|bytes| Block::new(Bytes::from_static(bytes)));
        let their_blocks =
            CONTINUOUS_MAINNET_BLOCKS.values().map(|bytes| block::Block::zcash_deserialize(*bytes).map(Arc::new));
        let their_transactions = vec![first_of_version(4)?, first_of_version(5)?];
        let mut transactions = BTreeMap::new();
        for theirs in &their_transactions {
            let bytes = theirs.transaction.zcash_serialize_to_vec()?;
            transactions.insert(our_id(theirs.id), Transaction::new(bytes.into())?);
        }
        // Ports that nobody is given to listen on, and that no node refuses to hear of.
        let addresses = (2..6).map(|host| SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 8233))).collect();
        Ok(Arc::new(Self {
            blocks: blocks.collect::<Result<_, _>>()?,
            their_blocks: their_blocks.collect::<Result<_, _>>()?,
            transactions,
            their_transactions,
            addresses,
        }))
    }

    /// Returns the hashes of all blocks.
    #[must_use]
    pub fn hashes(&self) -> Vec<BlockHash> {
        self.blocks.iter().map(Block::hash).collect()
    }

    /// Returns the ids of all transactions.
    #[must_use]
    pub fn ids(&self) -> Vec<TransactionId> {
        self.transactions.keys().copied().collect()
    }

    /// Returns the heights that follow a locator, up to and including `stop`.
    pub fn after(&self, locator: &[BlockHash], stop: Option<BlockHash>) -> std::ops::Range<usize> {
        let height = |hash: &BlockHash| self.blocks.iter().position(|block| block.hash() == *hash);
        let first = locator.iter().find_map(height).map_or(0, |known| known + 1);
        let end = stop.as_ref().and_then(height).map_or(self.blocks.len(), |stop| stop + 1);
        first..end.max(first)
    }
}

/// Returns the first transaction of a version that is no coinbase.
fn first_of_version(version: u32) -> Result<UnminedTx> {
    for bytes in MAINNET_BLOCKS.values() {
        let block = block::Block::zcash_deserialize(*bytes)?;
        let found = block.transactions.iter().skip(1).find(|transaction| transaction.version() == version);
        if let Some(transaction) = found {
            return Ok(UnminedTx::from(Arc::clone(transaction)));
        }
    }
    None.with_context(|| format!("zebra-test has no transaction of v{version}"))
}

/// Turns a hash of ours into one of Zebra's.
#[must_use]
pub fn their_hash(hash: BlockHash) -> block::Hash {
    block::Hash(hash.0)
}

/// Turns a transaction's name of Zebra's into ours.
pub(crate) fn our_id(id: UnminedTxId) -> TransactionId {
    let txid = TxId(id.mined_id().0);
    match id.auth_digest() {
        Some(digest) => TransactionId::Witnessed(txid, AuthDigest(digest.0)),
        None => TransactionId::Legacy(txid),
    }
}

/// Turns a transaction's name of ours into Zebra's.
#[must_use]
pub fn their_id(fixture: &Fixture, id: TransactionId) -> Option<UnminedTxId> {
    fixture.their_transactions.iter().map(|transaction| transaction.id).find(|theirs| our_id(*theirs) == id)
}

//! The index of transactions: which block holds an id, and where in it.

use savanna_wire::{Block, DecodeError, Reader, TxId};

use crate::StoreError;

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPlace {
    /// The height of its block.
    pub height: u32,
    /// Its place in the block; the coinbase is 0.
    pub index: u32,
}

/// How far the index of transactions goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// How many blocks it covers, from the genesis block on.
    pub blocks: u32,
    /// How many blocks there are.
    pub of: u32,
}

impl Indexed {
    /// Returns whether every block is covered.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.blocks >= self.of
    }
}

/// Returns the ids of a block's transactions, up to the first that does not parse: whoever appends has verified.
pub(crate) fn ids_of(block: &Block) -> impl Iterator<Item = TxId> {
    let transactions = savanna_chain::transactions(block).into_iter().flatten();
    transactions.map_while(Result::ok).map(|transaction| transaction.txid())
}

pub(crate) fn place_bytes(height: u32, index: u32) -> [u8; 8] {
    let mut out = [0; 8];
    out[..4].copy_from_slice(&height.to_le_bytes());
    out[4..].copy_from_slice(&index.to_le_bytes());
    out
}

pub(crate) fn place_of(bytes: &[u8]) -> Result<TransactionPlace, StoreError> {
    let mut reader = Reader::new(bytes, "transaction place");
    let mut read = || -> Result<TransactionPlace, DecodeError> {
        let place = TransactionPlace { height: reader.u32()?, index: reader.u32()? };
        reader.finish()?;
        Ok(place)
    };
    read().map_err(|error| StoreError::corrupt(format!("the index of transactions: {error}")))
}

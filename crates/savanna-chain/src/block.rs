//! A block's body: its transactions, the root that binds them to the header, and the rules that need no cryptography.

use savanna_wire::{Block, MerkleRoot, Network, TxId};
use thiserror::Error;

use crate::{TransactionError, TransactionView};

/// What a checked body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodySummary {
    /// How many transactions, the coinbase among them.
    pub transactions: usize,
}

/// A body that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A transaction does not parse.
    #[error("transaction {index}: {error}")]
    Transaction {
        /// Its place in the block.
        index: usize,
        /// What is wrong with it.
        error: TransactionError,
    },
}

impl BlockError {
    /// Returns whether the body, rather than what the header commits to, is wrong.
    #[must_use]
    pub const fn is_mutation(&self) -> bool {
        true
    }
}

/// The transactions of a block, in order.
#[derive(Debug, Clone)]
pub struct Transactions<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Transactions<'a> {
    type Item = Result<TransactionView<'a>, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = self.rest;
        unimplemented!()
    }
}

/// Returns the transactions of a block.
///
/// # Errors
/// [`BlockError`] if the body does not begin with a count of transactions.
pub fn transactions(block: &Block) -> Result<Transactions<'_>, BlockError> {
    Ok(Transactions { rest: block.body() })
}

/// Returns the root of the tree of `ids`.
#[must_use]
pub fn merkle_root(ids: &[TxId]) -> MerkleRoot {
    let _ = ids;
    unimplemented!()
}

/// Checks the body of the block at `height`.
///
/// # Errors
/// [`BlockError`] names the first rule that is broken.
pub fn check_body(network: Network, height: u32, block: &Block) -> Result<BodySummary, BlockError> {
    let _ = (network, height, block);
    unimplemented!()
}

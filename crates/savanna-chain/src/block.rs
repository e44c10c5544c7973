//! A block's body: its transactions, the root that binds them to the header, and the rules that need no cryptography.

use savanna_wire::{Block, DecodeError, MAX_BLOCK_LEN, MerkleRoot, Network, Reader, TxId, sha256d};
use thiserror::Error;

use crate::{TransactionError, TransactionVersion, TransactionView, Upgrade, parse, upgrade_at};

/// The shortest transaction: version, two counts of nothing, lock time.
const LEAST_TRANSACTION_LEN: usize = 10;

/// The length of an inner node of the merkle tree: two hashes.
const INNER_NODE_LEN: usize = 64;

/// The longest transaction before Sapling, in bytes; from then on it is as long as the block.
const MOST_TRANSACTION_LEN_BEFORE_SAPLING: usize = 100_000;

const LEAST_COINBASE_SCRIPT: usize = 2;
const MOST_COINBASE_SCRIPT: usize = 100;

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
    /// The count of transactions does not decode.
    #[error("the count of transactions: {0}")]
    Count(DecodeError),
    /// A transaction does not parse.
    #[error("transaction {index}: {error}")]
    Transaction {
        /// Its place in the block.
        index: usize,
        /// What is wrong with it.
        error: TransactionError,
    },
    /// Bytes remain after the last transaction.
    #[error("{left} bytes left over after the last transaction")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// The transactions are not those that the header commits to.
    #[error("the merkle root is {found}, the header says {committed}")]
    MerkleRoot {
        /// The root of the transactions that came.
        found: MerkleRoot,
        /// The root in the header.
        committed: MerkleRoot,
    },
    /// A transaction stands in the block twice.
    #[error("transaction {0} is repeated")]
    Repeated(TxId),
    /// A rule is broken by a list in which an inner node of the tree may stand for a transaction.
    #[error("a transaction of 64 bytes may be an inner node of the merkle tree")]
    InnerNode,
    /// There is no transaction.
    #[error("the block is empty")]
    Empty,
    /// The first transaction is no coinbase.
    #[error("the first transaction is no coinbase")]
    NoCoinbase,
    /// A later transaction is a coinbase.
    #[error("transaction {index} is a second coinbase")]
    SecondCoinbase {
        /// Its place in the block.
        index: usize,
    },
    /// The coinbase script is shorter than 2 or longer than 100 bytes.
    #[error("the coinbase script has {length} bytes")]
    CoinbaseScript {
        /// Its length in bytes.
        length: usize,
        /// Whether the header commits to it: only before v5.
        committed: bool,
    },
    /// The coinbase script does not begin with the block's height.
    #[error("the coinbase script does not begin with height {height}")]
    CoinbaseHeight {
        /// The block's height.
        height: u32,
        /// Whether the header commits to the script: only before v5.
        committed: bool,
    },
    /// Before Sapling a transaction has at most 100 000 bytes.
    #[error("transaction {index} has {length} bytes")]
    TransactionLength {
        /// Its place in the block.
        index: usize,
        /// Its length in bytes.
        length: usize,
        /// Whether the header commits to all of them: only before v5.
        committed: bool,
    },
    /// From NU5 the coinbase has to expire at its own height.
    #[error("the coinbase expires at {expiry:?} instead of its height {height}")]
    CoinbaseExpiry {
        /// The block's height.
        height: u32,
        /// The coinbase's expiry height, if its version has one.
        expiry: Option<u32>,
    },
    /// From NU7 transactions are of v5 or v6.
    #[error("transaction {index} has a version that its upgrade has retired: {version:?}")]
    RetiredVersion {
        /// Its place in the block.
        index: usize,
        /// Its version.
        version: TransactionVersion,
    },
}

impl BlockError {
    /// Returns whether another body with the same header may still be good.
    ///
    /// # Security
    /// If so, the fault is the deliverer's and the block's hash must not be marked as bad: whoever can mark a good block
    /// bad by a wrong body of it (CVE-2012-2459) splits us off the network. If not, the header commits to what is wrong.
    #[must_use]
    pub const fn is_mutation(&self) -> bool {
        match self {
            Self::Count(_)
            | Self::Transaction { .. }
            | Self::Trailing { .. }
            | Self::MerkleRoot { .. }
            | Self::Repeated(_)
            | Self::InnerNode => true,
            Self::CoinbaseScript { committed, .. }
            | Self::CoinbaseHeight { committed, .. }
            | Self::TransactionLength { committed, .. } => !*committed,
            Self::Empty
            | Self::NoCoinbase
            | Self::SecondCoinbase { .. }
            | Self::CoinbaseExpiry { .. }
            | Self::RetiredVersion { .. } => false,
        }
    }
}

/// The transactions of a block, in order. The first error is the last item; bytes left over are an error.
#[derive(Debug, Clone)]
pub struct Transactions<'a> {
    rest: &'a [u8],
    index: usize,
    count: usize,
    done: bool,
}

impl<'a> Iterator for Transactions<'a> {
    type Item = Result<TransactionView<'a>, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.index == self.count {
            self.done = true;
            let left = self.rest.len();
            return (left > 0).then_some(Err(BlockError::Trailing { left }));
        }
        let index = self.index;
        match parse(self.rest) {
            Ok((view, length)) => {
                self.rest = &self.rest[length..];
                self.index += 1;
                Some(Ok(view))
            }
            Err(error) => {
                self.done = true;
                Some(Err(BlockError::Transaction { index, error }))
            }
        }
    }
}

/// Returns the transactions of a block.
///
/// # Errors
/// [`BlockError::Count`] if the body does not begin with a count.
pub fn transactions(block: &Block) -> Result<Transactions<'_>, BlockError> {
    let mut reader = Reader::new(block.body(), "block");
    let count = reader.compact_size(usize::MAX).map_err(BlockError::Count)?;
    Ok(Transactions { rest: reader.rest(), index: 0, count, done: false })
}

/// Returns the root of the tree over `ids`, in which an odd node pairs with itself; all zeroes for none.
///
/// # Security
/// Lists with repeated ids can have the root of a list without (CVE-2012-2459): [`check_body`] refuses them.
#[must_use]
pub fn merkle_root(ids: &[TxId]) -> MerkleRoot {
    let mut level: Vec<[u8; 32]> = ids.iter().map(|id| id.0).collect();
    let mut node = [0; INNER_NODE_LEN];
    while level.len() > 1 {
        let parents = level.len().div_ceil(2);
        for at in 0..parents {
            let left = level[2 * at];
            let right = level.get(2 * at + 1).copied().unwrap_or(left);
            node[..32].copy_from_slice(&left);
            node[32..].copy_from_slice(&right);
            level[at] = sha256d(&node);
        }
        level.truncate(parents);
    }
    MerkleRoot(level.first().copied().unwrap_or_default())
}

/// Checks the body of the block at `height` against its header and the rules that need no cryptography.
///
/// That the block is no longer than 2 000 000 bytes is a property of [`Block`] itself. Amounts, scripts, proofs, signatures
/// and the header's commitment field are not looked at. On regtest, where every node sets its own heights, the rules that
/// begin or end at an upgrade are not applied.
///
/// # Errors
/// [`BlockError`] names the first rule that is broken; [`BlockError::is_mutation`] says whom to blame.
///
/// # Security
/// That the transactions are the header's own is settled before any rule about them counts.
pub fn check_body(network: Network, height: u32, block: &Block) -> Result<BodySummary, BlockError> {
    let transactions = transactions(block)?;
    let mut ids = Vec::with_capacity(transactions.count.min(transactions.rest.len() / LEAST_TRANSACTION_LEN));
    let rules = Rules::new(network, height, block);
    let (mut broken, mut inner_node) = (None, false);
    for (index, transaction) in transactions.enumerate() {
        let transaction = transaction?;
        ids.push(transaction.txid());
        inner_node |= transaction.bytes().len() == INNER_NODE_LEN;
        if broken.is_none() {
            broken = rules.check(index, &transaction).err();
        }
    }
    check_root(&ids, block.header().merkle_root)?;
    if ids.is_empty() {
        return Err(BlockError::Empty);
    }
    match broken {
        None => Ok(BodySummary { transactions: ids.len() }),
        Some(_) if inner_node => Err(BlockError::InnerNode),
        Some(error) => Err(error),
    }
}

fn check_root(ids: &[TxId], committed: MerkleRoot) -> Result<(), BlockError> {
    let found = merkle_root(ids);
    if found != committed {
        return Err(BlockError::MerkleRoot { found, committed });
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(BlockError::Repeated(pair[0])),
        None => Ok(()),
    }
}

/// What the rules about single transactions depend on.
struct Rules {
    upgrade: Upgrade,
    height: u32,
    genesis: bool,
    most_transaction_len: usize,
}

impl Rules {
    fn new(network: Network, height: u32, block: &Block) -> Self {
        let precedes_sapling = Upgrade::Sapling.activation_height(network).is_some_and(|first| height < first);
        Self {
            upgrade: upgrade_at(network, height),
            height,
            genesis: block.hash() == network.genesis_hash(),
            most_transaction_len: if precedes_sapling { MOST_TRANSACTION_LEN_BEFORE_SAPLING } else { MAX_BLOCK_LEN },
        }
    }

    fn check(&self, index: usize, transaction: &TransactionView<'_>) -> Result<(), BlockError> {
        match (index, transaction.coinbase_script()) {
            (0, None) => return Err(BlockError::NoCoinbase),
            (0, Some(script)) => self.check_coinbase(transaction, script)?,
            (_, Some(_)) => return Err(BlockError::SecondCoinbase { index }),
            (_, None) => {}
        }
        let (version, length) = (transaction.version(), transaction.bytes().len());
        if length > self.most_transaction_len {
            let committed = version < TransactionVersion::V5;
            return Err(BlockError::TransactionLength { index, length, committed });
        }
        if self.upgrade >= Upgrade::Nu7 && version < TransactionVersion::V5 {
            return Err(BlockError::RetiredVersion { index, version });
        }
        Ok(())
    }

    fn check_coinbase(&self, coinbase: &TransactionView<'_>, script: &[u8]) -> Result<(), BlockError> {
        let height = self.height;
        let expiry = coinbase.expiry_height();
        if self.upgrade >= Upgrade::Nu5 && expiry != Some(height) {
            return Err(BlockError::CoinbaseExpiry { height, expiry });
        }
        let committed = coinbase.version() < TransactionVersion::V5;
        if !(LEAST_COINBASE_SCRIPT..=MOST_COINBASE_SCRIPT).contains(&script.len()) {
            return Err(BlockError::CoinbaseScript { length: script.len(), committed });
        }
        if !self.genesis && !begins_with_height(script, height) {
            return Err(BlockError::CoinbaseHeight { height, committed });
        }
        Ok(())
    }
}

/// Returns whether a script begins by pushing `height` in the shortest way: an opcode of its own up to 16, else a length and
/// a signed little-endian number.
fn begins_with_height(script: &[u8], height: u32) -> bool {
    const OP_RESERVED: u32 = 0x50;
    if let 1..=16 = height {
        return script.first().is_some_and(|&opcode| u32::from(opcode) == OP_RESERVED + height);
    }
    // One bit more than the height has, for the sign.
    let length = ((u32::BITS - height.leading_zeros()) / 8 + 1) as usize;
    let Some((&pushed, number)) = script.split_first() else { return false };
    let expected = u64::from(height).to_le_bytes();
    usize::from(pushed) == length && number.get(..length) == Some(&expected[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_pushed_in_the_shortest_way() {
        let cases: [(u32, &[u8]); 12] = [
            (1, &[0x51]),
            (16, &[0x60]),
            (17, &[1, 17]),
            (127, &[1, 127]),
            (128, &[2, 128, 0]),
            (255, &[2, 255, 0]),
            (256, &[2, 0, 1]),
            (32_767, &[2, 0xff, 0x7f]),
            (32_768, &[3, 0, 0x80, 0]),
            (3_543_405, &[3, 0x6d, 0x11, 0x36]),
            (0x0080_0000, &[4, 0, 0, 0x80, 0]),
            (u32::MAX, &[5, 0xff, 0xff, 0xff, 0xff, 0]),
        ];
        for (height, script) in cases {
            assert!(begins_with_height(script, height), "{height}");
            assert!(begins_with_height(&[script, &[0, 7]].concat(), height), "{height}");
            assert!(!begins_with_height(&script[..script.len() - 1], height), "{height}");
            assert!(!begins_with_height(script, height ^ 1), "{height}");
        }
        assert!(!begins_with_height(&[1, 5], 5), "an opcode of its own is shorter");
        assert!(!begins_with_height(&[2, 17, 0], 17), "a byte too many");
        assert!(!begins_with_height(&[], 17));
    }
}

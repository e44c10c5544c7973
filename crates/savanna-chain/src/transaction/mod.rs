//! Transactions: where they end, and what they are called.

use savanna_wire::{AuthDigest, DecodeError, TransactionId, TxId};
use thiserror::Error;

/// What stands for the auth digest of a transaction before v5 (ZIP-244, ZIP-239): all ones.
pub const PRE_V5_AUTH_DIGEST: AuthDigest = AuthDigest([0xff; 32]);

/// The layouts of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// Transparent only.
    V1,
    /// With JoinSplits.
    V2,
    /// Overwinter's.
    V3,
    /// Sapling's.
    V4,
    /// NU5's (ZIP-225).
    V5,
    /// NU6.3's (ZIP-229).
    V6,
}

/// Bytes that are no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// A field is cut short, or a count is not canonical or larger than any transaction could hold.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The version and version group are those of no known layout.
    #[error("a transaction of version {header:#010x} and group {group:#010x} has no known layout")]
    UnknownVersion {
        /// The version with its overwintered bit, as on the wire.
        header: u32,
        /// The version group, or zero where the layout has none.
        group: u32,
    },
}

/// A transaction in the bytes it arrived as, with its parts told apart.
#[derive(Debug, Clone, Copy)]
pub struct TransactionView<'a> {
    bytes: &'a [u8],
}

impl<'a> TransactionView<'a> {
    /// Returns the layout.
    #[must_use]
    pub fn version(&self) -> TransactionVersion {
        unimplemented!()
    }
    /// Returns the transaction's own bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
    /// Hashes the name by which the transaction is announced and asked for (ZIP-239).
    #[must_use]
    pub fn id(&self) -> TransactionId {
        unimplemented!()
    }
    /// Hashes the transaction id.
    #[must_use]
    pub fn txid(&self) -> TxId {
        unimplemented!()
    }
    /// Hashes the authorizing data; [`PRE_V5_AUTH_DIGEST`] before v5.
    #[must_use]
    pub fn auth_digest(&self) -> AuthDigest {
        unimplemented!()
    }
    /// Returns whether this is a coinbase.
    #[must_use]
    pub fn is_coinbase(&self) -> bool {
        unimplemented!()
    }
    /// Returns the script of the only input of a coinbase.
    #[must_use]
    pub fn coinbase_script(&self) -> Option<&'a [u8]> {
        unimplemented!()
    }
    /// Returns the expiry height, which v3 and later have.
    #[must_use]
    pub fn expiry_height(&self) -> Option<u32> {
        unimplemented!()
    }
    /// Returns the consensus branch id, which v5 and later name.
    #[must_use]
    pub fn branch_id(&self) -> Option<u32> {
        unimplemented!()
    }
}

/// Reads the transaction at the start of `bytes` and returns it with its length in bytes.
///
/// # Errors
/// [`TransactionError`] if no transaction begins there.
pub fn parse(bytes: &[u8]) -> Result<(TransactionView<'_>, usize), TransactionError> {
    Ok((TransactionView { bytes }, bytes.len()))
}

/// Returns the name of the one whole transaction that `bytes` hold, or nothing if they do not.
#[must_use]
pub fn transaction_id(bytes: &[u8]) -> Option<TransactionId> {
    let (view, length) = parse(bytes).ok()?;
    (length == bytes.len()).then(|| view.id())
}

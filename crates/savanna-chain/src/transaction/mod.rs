//! Transactions: where they end, and what they are called.

mod digest;
mod parse;

use savanna_wire::{AuthDigest, DecodeError, TransactionId, TxId, sha256d};
use thiserror::Error;

use parse::Parts;
pub use parse::parse;

/// What stands for the auth digest of a transaction before v5 (ZIP-244, ZIP-239): all ones.
pub const PRE_V5_AUTH_DIGEST: AuthDigest = AuthDigest([0xff; 32]);

/// The layouts of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// Transparent only.
    V1,
    /// With JoinSplits.
    V2,
    /// Overwinter's, with an expiry height (ZIP-202).
    V3,
    /// Sapling's (ZIP-243).
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

/// A transaction in the bytes it arrived as, with its parts told apart and none of them judged.
///
/// # Security
/// From v5 on the id does not bind input scripts, proofs and signatures: two transactions of one [`TxId`] may differ in
/// them, and only the auth digest tells which.
#[derive(Debug, Clone)]
pub struct TransactionView<'a> {
    bytes: &'a [u8],
    parts: Parts<'a>,
}

impl<'a> TransactionView<'a> {
    /// Returns the layout.
    #[must_use]
    pub const fn version(&self) -> TransactionVersion {
        self.parts.version
    }

    /// Returns the transaction's own bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Hashes the name by which the transaction is announced and asked for (ZIP-239).
    #[must_use]
    pub fn id(&self) -> TransactionId {
        match self.parts.version {
            TransactionVersion::V1 | TransactionVersion::V2 | TransactionVersion::V3 | TransactionVersion::V4 => {
                TransactionId::Legacy(self.txid())
            }
            TransactionVersion::V5 | TransactionVersion::V6 => {
                TransactionId::Witnessed(self.txid(), self.auth_digest())
            }
        }
    }

    /// Hashes the transaction id: SHA-256d of the bytes up to v4, then the tree of ZIP-244, for v6 as changed by ZIP-229.
    #[must_use]
    pub fn txid(&self) -> TxId {
        TxId(digest::txid(&self.parts).unwrap_or_else(|| sha256d(self.bytes)))
    }

    /// Hashes the authorizing data (ZIP-244, ZIP-229); [`PRE_V5_AUTH_DIGEST`] before v5.
    #[must_use]
    pub fn auth_digest(&self) -> AuthDigest {
        digest::auth_digest(&self.parts).map_or(PRE_V5_AUTH_DIGEST, AuthDigest)
    }

    /// Returns whether this is a coinbase: its only input spends nothing.
    #[must_use]
    pub fn is_coinbase(&self) -> bool {
        self.coinbase_script().is_some()
    }

    /// Returns the script of a coinbase's input.
    #[must_use]
    pub fn coinbase_script(&self) -> Option<&'a [u8]> {
        self.parts.inputs.coinbase_script()
    }

    /// Returns the expiry height, which v3 and later have. Zero is no expiry (ZIP-203).
    #[must_use]
    pub const fn expiry_height(&self) -> Option<u32> {
        self.parts.expiry
    }

    /// Returns the consensus branch id, which v5 and later name.
    #[must_use]
    pub fn branch_id(&self) -> Option<u32> {
        self.parts.modern.as_ref().map(|modern| modern.branch_id())
    }
}

/// Returns the name of the one whole transaction that `bytes` hold, or nothing if they do not.
#[must_use]
pub fn transaction_id(bytes: &[u8]) -> Option<TransactionId> {
    let (view, length) = parse(bytes).ok()?;
    (length == bytes.len()).then(|| view.id())
}

//! Transactions as bytes.

use bytes::Bytes;

use crate::DecodeError;
use crate::frame::Payload;

/// The longest transaction in bytes: a block's limit.
pub const MAX_TRANSACTION_LEN: usize = 2_000_000;

/// A transaction, as the bytes it arrived as. Nothing of it has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction(Bytes);

impl Transaction {
    /// Makes a transaction of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] above [`MAX_TRANSACTION_LEN`].
    pub fn new(bytes: Bytes) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_TRANSACTION_LEN {
            let (count, limit) = (bytes.len() as u64, MAX_TRANSACTION_LEN as u64);
            return Err(DecodeError::TooLarge { what: "tx", count, limit });
        }
        Ok(Self(bytes))
    }

    pub(crate) fn from_payload(payload: Payload<'_>) -> Result<Self, DecodeError> {
        Self::new(payload.into_bytes())
    }

    /// Returns the bytes as on the wire.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

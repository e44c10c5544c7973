//! What `getblocks` and `getheaders` ask by.

use crate::bounded::{Bounded, Element};
use crate::primitive::Reader;
use crate::{BlockHash, DecodeError, ProtocolVersion};

/// The most hashes of a locator.
pub const MAX_LOCATOR: usize = 101;

impl Element for BlockHash {
    fn wire_len(&self) -> usize {
        32
    }
}

/// The payload of `getblocks` and `getheaders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// The negotiated version. Zebra closes on any other; a reader ignores it.
    pub version: ProtocolVersion,
    /// Hashes of the asker's chain, newest first.
    pub hashes: Bounded<BlockHash, MAX_LOCATOR>,
    /// The last hash wanted, or [`BlockHash::ZERO`] for as many as fit.
    pub stop: BlockHash,
}

impl Locator {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = ProtocolVersion(reader.i32()?);
        let hashes = Bounded::decode(reader, 32, |reader| reader.array().map(BlockHash))?;
        let stop = BlockHash(reader.array()?);
        Ok(Self { version, hashes, stop })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.0.to_le_bytes());
        self.hashes.encode(out, |hash, out| out.extend_from_slice(&hash.0));
        out.extend_from_slice(&self.stop.0);
    }
}

//! The index: what is known of each block without reading it.

use savanna_wire::{Block, BlockHash, Checksum, Reader};

use crate::StoreError;
use crate::bodies::Place;

/// What the index holds of a block: enough to rebuild the chain of headers, and to serve the block without hashing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// The height.
    pub height: u32,
    /// The block's hash.
    pub hash: BlockHash,
    /// When it was mined, in Unix seconds, as its header claims.
    pub time: u32,
    /// The target in compact form, as its header has it.
    pub bits: u32,
    /// The checksum of the frame that carries the block.
    pub checksum: Checksum,
    /// The length of the block in bytes.
    pub length: u32,
}

impl IndexEntry {
    pub(crate) fn of(height: u32, block: &Block) -> Self {
        let header = block.header();
        // A block is at most 2 MB: the type says so.
        let length = u32::try_from(block.bytes().len()).unwrap_or(u32::MAX);
        Self { height, hash: block.hash(), time: header.time, bits: header.bits, checksum: block.checksum(), length }
    }
}

/// A row of the index: what is known of a block, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) entry: IndexEntry,
    pub(crate) place: Place,
}

impl Row {
    const LEN: usize = 64;

    /// Returns the position behind the block's last byte.
    pub(crate) fn end(&self) -> u64 {
        self.place.start.saturating_add(u64::from(self.entry.length))
    }

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let Self { entry, place } = self;
        let mut out = [0; Self::LEN];
        out[..32].copy_from_slice(&entry.hash.0);
        out[32..36].copy_from_slice(&entry.time.to_le_bytes());
        out[36..40].copy_from_slice(&entry.bits.to_le_bytes());
        out[40..44].copy_from_slice(&entry.checksum.0);
        out[44..48].copy_from_slice(&entry.length.to_le_bytes());
        out[48..56].copy_from_slice(&place.start.to_le_bytes());
        out[56..].copy_from_slice(&place.digest.to_le_bytes());
        out
    }

    pub(crate) fn decode(height: u32, bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.len() != Self::LEN {
            return Err(StoreError::corrupt(format!("the index entry of height {height} has {} bytes", bytes.len())));
        }
        let mut reader = Reader::new(bytes, "index entry");
        let mut read = || -> Result<Self, savanna_wire::DecodeError> {
            let entry = IndexEntry {
                height,
                hash: BlockHash(reader.array()?),
                time: reader.u32()?,
                bits: reader.u32()?,
                checksum: Checksum(reader.array()?),
                length: reader.u32()?,
            };
            Ok(Self { entry, place: Place { start: reader.u64()?, digest: reader.u64()? } })
        };
        read().map_err(|error| StoreError::corrupt(format!("the index entry of height {height}: {error}")))
    }
}

/// Reads the key of everything that is kept by height: four bytes, the most significant first, so that order is by height.
pub(crate) fn height_of(key: &[u8]) -> Result<u32, StoreError> {
    match <[u8; 4]>::try_from(key) {
        Ok(bytes) => Ok(u32::from_be_bytes(bytes)),
        Err(_) => Err(StoreError::corrupt(format!("a height has {} bytes", key.len()))),
    }
}

/// Reads a number of eight bytes, the most significant first.
pub(crate) fn number_of(bytes: &[u8]) -> Result<u64, StoreError> {
    match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => Ok(u64::from_be_bytes(bytes)),
        Err(_) => Err(StoreError::corrupt(format!("a number has {} bytes", bytes.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_round_trips_and_other_lengths_are_refused() {
        let entry = IndexEntry {
            height: 7,
            hash: BlockHash([9; 32]),
            time: 1,
            bits: 0x200f_0f0f,
            checksum: Checksum([1, 2, 3, 4]),
            length: 1687,
        };
        let row = Row { entry, place: Place { start: 1 << 40, digest: 3 } };
        let bytes = row.encode();
        assert_eq!(Row::decode(7, &bytes).unwrap(), row);
        assert_eq!(row.end(), (1 << 40) + 1687);
        for cut in 0..bytes.len() {
            assert!(Row::decode(7, &bytes[..cut]).is_err());
        }
        assert!(height_of(&[0; 3]).is_err());
        assert_eq!(height_of(&258u32.to_be_bytes()).unwrap(), 258);
    }
}

//! Block headers, and blocks as bytes beside their header.

use bytes::Bytes;

use crate::bounded::Element;
use crate::frame::{Checksum, Payload};
use crate::hash::{sha256d, sha256d_of_start_and_whole};
use crate::primitive::{Reader, write_compact_size};
use crate::{BlockHash, DecodeError, MerkleRoot};

/// The longest block with its header, in bytes.
pub const MAX_BLOCK_LEN: usize = 2_000_000;

/// An Equihash solution: 1344 bytes for parameters 200,9, or 36 for regtest's 48,5.
#[derive(Clone, PartialEq, Eq)]
pub struct Solution(Box<[u8]>);

impl Solution {
    /// The length of a solution for parameters 200,9, in bytes.
    pub const LEN: usize = 1344;
    /// The length of a solution for parameters 48,5, in bytes.
    pub const REGTEST_LEN: usize = 36;

    /// Makes a solution of `bytes`, or nothing if their number is none of the two lengths.
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Option<Self> {
        let bytes = bytes.into();
        matches!(bytes.len(), Self::LEN | Self::REGTEST_LEN).then_some(Self(bytes))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Solution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Solution({} bytes)", self.0.len())
    }
}

/// The header of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// The version as on the wire; consensus wants the top bit clear and at least 4.
    pub version: u32,
    /// The hash of the parent.
    pub previous: BlockHash,
    /// The root of the tree of transaction ids.
    pub merkle_root: MerkleRoot,
    /// What the block commits to besides; its meaning depends on the upgrade in force.
    pub commitment: [u8; 32],
    /// When it was mined, in Unix seconds, as the miner claims.
    pub time: u32,
    /// The target in compact form.
    pub bits: u32,
    /// The miner's nonce.
    pub nonce: [u8; 32],
    /// The proof of work.
    pub solution: Solution,
}

impl BlockHeader {
    /// The bytes of a header before its solution: what Equihash binds, with the nonce as the last 32.
    pub const FIXED_LEN: usize = 140;

    /// Reads a header.
    ///
    /// # Errors
    /// [`DecodeError`] if it is cut short or its solution has none of the two lengths.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u32()?;
        let previous = BlockHash(reader.array()?);
        let merkle_root = MerkleRoot(reader.array()?);
        let commitment = reader.array()?;
        let time = reader.u32()?;
        let bits = reader.u32()?;
        let nonce = reader.array()?;
        let len = reader.compact_size(Solution::LEN)?;
        let solution = Solution::new(reader.take(len)?).ok_or(DecodeError::Invalid { what: "solution length" })?;
        Ok(Self { version, previous, merkle_root, commitment, time, bits, nonce, solution })
    }

    /// Appends the header's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fixed_part());
        write_compact_size(out, self.solution.0.len() as u64);
        out.extend_from_slice(&self.solution.0);
    }

    /// Returns the first [`Self::FIXED_LEN`] bytes: everything before the solution.
    #[must_use]
    pub fn fixed_part(&self) -> [u8; Self::FIXED_LEN] {
        let mut fixed = [0; Self::FIXED_LEN];
        let parts: [&[u8]; 7] = [
            &self.version.to_le_bytes(),
            &self.previous.0,
            &self.merkle_root.0,
            &self.commitment,
            &self.time.to_le_bytes(),
            &self.bits.to_le_bytes(),
            &self.nonce,
        ];
        let mut at = 0;
        for part in parts {
            fixed[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        fixed
    }

    /// Returns the length of the header in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let len = self.solution.0.len();
        Self::FIXED_LEN + crate::compact_size_len(len as u64) + len
    }

    /// Hashes the header: SHA-256d of all of its bytes.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.encode(&mut bytes);
        BlockHash(sha256d(&bytes))
    }
}

impl Element for BlockHeader {
    /// Counts the byte behind it, which stands for no transactions.
    fn wire_len(&self) -> usize {
        self.encoded_len() + 1
    }
}

/// A block: the bytes it arrived as, its parsed header, and the checksum of the frame that carried it.
///
/// Only the header has been looked at. Whether the rest is a list of transactions that the header commits to is for
/// verification to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    header: BlockHeader,
    hash: BlockHash,
    bytes: Bytes,
    checksum: Checksum,
}

impl Block {
    /// Parses the header of `bytes` and hashes them once for the checksum of their frame.
    ///
    /// # Errors
    /// [`DecodeError`] if the header does not decode or the bytes are more than [`MAX_BLOCK_LEN`].
    pub fn new(bytes: Bytes) -> Result<Self, DecodeError> {
        let checksum = Checksum::of(&bytes);
        Self::with_checksum(bytes, checksum)
    }

    /// Makes a block of bytes whose frame checksum is already known, so that serving it hashes nothing but the header.
    /// A wrong checksum makes a frame that its reader drops.
    ///
    /// # Errors
    /// [`DecodeError`] as for [`Block::new`].
    pub fn with_checksum(bytes: Bytes, checksum: Checksum) -> Result<Self, DecodeError> {
        Self::from_payload(Payload::Shared(bytes), checksum, None)
    }

    /// Makes a block of bytes whose hash and frame checksum are already known, so that nothing is hashed: for bytes that the
    /// caller wrote down together with both, and knows to be the same.
    ///
    /// # Errors
    /// [`DecodeError`] as for [`Block::new`].
    pub fn with_hashes(bytes: Bytes, hash: BlockHash, checksum: Checksum) -> Result<Self, DecodeError> {
        Self::from_payload(Payload::Shared(bytes), checksum, Some(hash))
    }

    pub(crate) fn from_payload(
        payload: Payload<'_>,
        checksum: Checksum,
        hash: Option<BlockHash>,
    ) -> Result<Self, DecodeError> {
        let bytes = payload.into_bytes();
        let (header, header_len) = Self::decode_header(&bytes)?;
        let hash = hash.unwrap_or_else(|| BlockHash(sha256d(&bytes[..header_len])));
        Ok(Self { header, hash, bytes, checksum })
    }

    /// Hashes a block as a payload and its header as a header, and what both begin with only once. There is no header's hash
    /// where there is no header.
    pub(crate) fn hash_payload(payload: &[u8]) -> (Checksum, Option<BlockHash>) {
        let header_len = match payload.get(BlockHeader::FIXED_LEN..) {
            Some([0xfd, 0x40, 0x05, ..]) => BlockHeader::FIXED_LEN + 3 + Solution::LEN,
            Some([0x24, ..]) => BlockHeader::FIXED_LEN + 1 + Solution::REGTEST_LEN,
            Some(_) | None => return (Checksum::of(payload), None),
        };
        let Some((header, body)) = payload.split_at_checked(header_len) else { return (Checksum::of(payload), None) };
        let (hash, whole) = sha256d_of_start_and_whole(header, body);
        (Checksum::from_hash(whole), Some(BlockHash(hash)))
    }

    fn decode_header(bytes: &[u8]) -> Result<(BlockHeader, usize), DecodeError> {
        if bytes.len() > MAX_BLOCK_LEN {
            let (count, limit) = (bytes.len() as u64, MAX_BLOCK_LEN as u64);
            return Err(DecodeError::TooLarge { what: "block", count, limit });
        }
        let mut reader = Reader::new(bytes, "block");
        let header = BlockHeader::decode(&mut reader)?;
        Ok((header, bytes.len() - reader.remaining()))
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// Returns the block's name: the hash of its header.
    #[must_use]
    pub const fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Returns the whole block as on the wire.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the bytes after the header: the count of transactions, and the transactions.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.header.encoded_len()..]
    }

    /// Keeps `holder` for as long as anything has the bytes, on their way to a socket too: a place in a budget, say.
    #[must_use]
    pub fn keeping(self, holder: impl Send + 'static) -> Self {
        Self { bytes: Bytes::from_owner(Kept { bytes: self.bytes, _holder: holder }), ..self }
    }

    /// Returns the checksum of the `block` frame that carries these bytes.
    #[must_use]
    pub const fn checksum(&self) -> Checksum {
        self.checksum
    }
}

/// Bytes, and what is dropped with them.
struct Kept<T> {
    bytes: Bytes,
    _holder: T,
}

impl<T> AsRef<[u8]> for Kept<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn payload(solution: usize, body: usize) -> Vec<u8> {
        let solution = Solution::new(vec![5; solution]).unwrap();
        let (version, time, bits, nonce, commitment) = (4, 1, 2, [3; 32], [4; 32]);
        let (previous, merkle_root) = (BlockHash([6; 32]), MerkleRoot([7; 32]));
        let mut bytes = Vec::new();
        BlockHeader { version, previous, merkle_root, commitment, time, bits, nonce, solution }.encode(&mut bytes);
        bytes.resize(bytes.len() + body, 8);
        bytes
    }

    #[test]
    fn what_a_block_keeps_lives_as_long_as_its_bytes() {
        let (holder, block) = (Arc::new(()), Block::new(payload(Solution::LEN, 900).into()).unwrap());
        let kept = block.clone().keeping(Arc::clone(&holder));
        assert_eq!(kept, block);
        let end = kept.bytes().slice(kept.bytes().len() - 1..);
        drop(kept);
        assert_eq!(Arc::strong_count(&holder), 2);
        drop(end);
        assert_eq!(Arc::strong_count(&holder), 1);
    }

    #[test]
    fn a_payload_hashed_in_one_pass_has_the_hashes_of_two() {
        for (solution, body) in
            [Solution::LEN, Solution::REGTEST_LEN].into_iter().flat_map(|len| [(len, 0), (len, 900)])
        {
            let bytes = payload(solution, body);
            let block = Block::new(Bytes::from(bytes.clone())).unwrap();
            let hash = BlockHash(sha256d(&bytes[..bytes.len() - body]));
            assert_eq!(Block::hash_payload(&bytes), (Checksum(sha256d(&bytes)[..4].try_into().unwrap()), Some(hash)));
            assert_eq!(block.hash(), hash);
            for cut in [0, 3, BlockHeader::FIXED_LEN, BlockHeader::FIXED_LEN + 1, bytes.len() - body - 1] {
                assert_eq!(Block::hash_payload(&bytes[..cut]), (Checksum::of(&bytes[..cut]), None));
            }
        }
    }
}

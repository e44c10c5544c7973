//! Bloom filters (BIP-37): parsed, so that a stream that holds them reads on; never offered.

use crate::primitive::{Reader, write_compact_size};
use crate::{Bounded, DecodeError};

const MAX_FILTER_LEN: usize = 36_000;
const MAX_FILTER_HASHES: u32 = 50;
const MAX_ELEMENT_LEN: usize = 520;

/// The payload of `filterload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterLoad {
    /// The filter's bits.
    pub bits: Bounded<u8, MAX_FILTER_LEN>,
    hashes: u32,
    /// Added to the seed of each hash function.
    pub tweak: u32,
    /// How the filter changes as it matches.
    pub flags: u8,
}

impl FilterLoad {
    /// Makes a filter, or nothing if it has more than 50 hash functions.
    #[must_use]
    pub fn new(bits: Bounded<u8, MAX_FILTER_LEN>, hashes: u32, tweak: u32, flags: u8) -> Option<Self> {
        (hashes <= MAX_FILTER_HASHES).then_some(Self { bits, hashes, tweak, flags })
    }

    /// Returns the number of hash functions.
    #[must_use]
    pub const fn hashes(&self) -> u32 {
        self.hashes
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bits = decode_bytes(reader)?;
        let hashes = reader.u32()?;
        let tweak = reader.u32()?;
        let flags = reader.u8()?;
        Self::new(bits, hashes, tweak, flags).ok_or(DecodeError::Invalid { what: "number of hash functions" })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(&self.bits, out);
        out.extend_from_slice(&self.hashes.to_le_bytes());
        out.extend_from_slice(&self.tweak.to_le_bytes());
        out.push(self.flags);
    }
}

/// The payload of `filteradd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterAdd {
    /// The element to add.
    pub element: Bounded<u8, MAX_ELEMENT_LEN>,
}

impl FilterAdd {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { element: decode_bytes(reader)? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(&self.element, out);
    }
}

fn decode_bytes<const MAX: usize>(reader: &mut Reader<'_>) -> Result<Bounded<u8, MAX>, DecodeError> {
    let len = reader.compact_size(MAX)?;
    Ok(Bounded::truncated(reader.take(len)?.to_vec()))
}

fn encode_bytes<const MAX: usize>(bytes: &Bounded<u8, MAX>, out: &mut Vec<u8>) {
    write_compact_size(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

//! The journal of the reorganisations that an archive went through.

use savanna_wire::{BlockHash, DecodeError, Reader};

use crate::{StoreError, Tip};

/// How many reorganisations are kept: the newest.
pub(crate) const MAX_REORGANISATIONS: u64 = 1000;

/// A reorganisation that an archive went through: blocks left its end, and others took their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reorganisation {
    /// When the blocks left, in Unix seconds, as whoever removed them said.
    pub time: u64,
    /// The height of the last block that stayed; none if none did.
    pub fork: Option<u32>,
    /// The last block before.
    pub old_tip: Tip,
    /// The last block of the branch that took over, where that was known.
    pub new_tip: Option<Tip>,
    /// How many blocks left.
    pub left: u32,
}

impl Reorganisation {
    const LEN: usize = 91;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN);
        out.extend_from_slice(&self.time.to_le_bytes());
        out.push(u8::from(self.fork.is_some()));
        out.extend_from_slice(&self.fork.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.left.to_le_bytes());
        encode_tip(&mut out, Some(self.old_tip));
        encode_tip(&mut out, self.new_tip);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut reader = Reader::new(bytes, "reorganisation");
        let mut read = || -> Result<Option<Self>, DecodeError> {
            let time = reader.u64()?;
            let (has_fork, height) = (reader.u8()? != 0, reader.u32()?);
            let left = reader.u32()?;
            let (old_tip, new_tip) = (decode_tip(&mut reader)?, decode_tip(&mut reader)?);
            let fork = has_fork.then_some(height);
            Ok(old_tip.map(|old_tip| Self { time, fork, old_tip, new_tip, left }))
        };
        let found = read().map_err(|error| StoreError::corrupt(format!("a reorganisation: {error}")))?;
        found.filter(|_| bytes.len() == Self::LEN).ok_or_else(|| StoreError::corrupt("a reorganisation is not whole"))
    }
}

fn encode_tip(out: &mut Vec<u8>, tip: Option<Tip>) {
    let Tip { height, hash } = tip.unwrap_or(Tip { height: 0, hash: BlockHash::ZERO });
    out.push(u8::from(tip.is_some()));
    out.extend_from_slice(&height.to_le_bytes());
    out.extend_from_slice(&hash.0);
}

fn decode_tip(reader: &mut Reader<'_>) -> Result<Option<Tip>, DecodeError> {
    let is_there = reader.u8()? != 0;
    let tip = Tip { height: reader.u32()?, hash: BlockHash(reader.array()?) };
    Ok(is_there.then_some(tip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reorganisation_round_trips_and_other_lengths_are_refused() {
        let old_tip = Tip { height: 9, hash: BlockHash([1; 32]) };
        for (fork, new_tip) in [(Some(7), None), (None, Some(Tip { height: 11, hash: BlockHash([2; 32]) }))] {
            let whole = Reorganisation { time: 1 << 40, fork, old_tip, new_tip, left: 2 };
            let bytes = whole.encode();
            assert_eq!(Reorganisation::decode(&bytes).unwrap(), whole);
            for cut in 0..bytes.len() {
                assert!(Reorganisation::decode(&bytes[..cut]).is_err());
            }
            assert!(Reorganisation::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }
}

//! The primitives of the wire: little-endian integers, byte strings, CompactSize.

use crate::DecodeError;

/// The largest length or count a CompactSize may express: 32 MiB.
///
/// # Security
/// A larger one is malformed wherever it stands for a length or a count, so that no arithmetic on it can overflow and no
/// allocation can be sized by it.
pub const MAX_COMPACT_SIZE: u64 = 0x0200_0000;

/// A cursor over received bytes. Every read is checked; nothing is allocated.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`; `what` names the value in errors.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// Returns how many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Returns the bytes that are left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `length` bytes.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer are left.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(length) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(DecodeError::UnexpectedEnd { what: self.what, needed: length, left: self.rest.len() }),
        }
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(DecodeError::UnexpectedEnd { what: self.what, needed: N, left: self.rest.len() }),
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if none is left.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Reads a big-endian 16-bit integer, the wire's form of a port.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer than 2 bytes are left.
    #[inline]
    pub fn u16_be(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads a little-endian 32-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer than 4 bytes are left.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a little-endian signed 32-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer than 4 bytes are left.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_le_bytes)
    }

    /// Reads a little-endian 64-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer than 8 bytes are left.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a little-endian signed 64-bit integer.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedEnd`] if fewer than 8 bytes are left.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_le_bytes)
    }

    /// Reads a canonical CompactSize that stands for a value (ZIP-155's services), not for a length or count.
    ///
    /// # Errors
    /// [`DecodeError::NonCanonical`] if a shorter form exists, [`DecodeError::UnexpectedEnd`] if it is cut short.
    #[inline]
    pub fn compact_u64(&mut self) -> Result<u64, DecodeError> {
        let (value, least) = match self.u8()? {
            0xfd => (u64::from(u16::from_le_bytes(self.array()?)), 0xfd),
            0xfe => (u64::from(self.u32()?), 0x1_0000),
            0xff => (self.u64()?, 0x1_0000_0000),
            byte => return Ok(u64::from(byte)),
        };
        if value < least {
            return Err(DecodeError::NonCanonical { what: self.what });
        }
        Ok(value)
    }

    /// Reads a canonical CompactSize that stands for a length in bytes or a count of elements.
    ///
    /// # Errors
    /// [`DecodeError::TooLarge`] above `limit` or [`MAX_COMPACT_SIZE`]; otherwise as [`Reader::compact_u64`].
    ///
    /// # Security
    /// A count says nothing about how many elements follow. Whoever reserves memory for them bounds it by
    /// [`Reader::remaining`].
    #[inline]
    pub fn compact_size(&mut self, limit: usize) -> Result<usize, DecodeError> {
        let count = self.compact_u64()?;
        let limit = MAX_COMPACT_SIZE.min(limit as u64);
        match usize::try_from(count) {
            Ok(small) if count <= limit => Ok(small),
            Ok(_) | Err(_) => Err(DecodeError::TooLarge { what: self.what, count, limit }),
        }
    }

    /// Reads `count` elements of at least `least` bytes each.
    ///
    /// # Errors
    /// What `element` returns.
    ///
    /// # Security
    /// Reserves for no more elements than the remaining bytes can hold, whatever was declared.
    pub fn elements<T>(
        &mut self,
        count: usize,
        least: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut elements = Vec::with_capacity(count.min(self.remaining() / least.max(1)));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// Confirms that everything was read.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] if bytes are left over.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { left: self.rest.len() }) }
    }
}

/// Appends `value` as a canonical CompactSize.
pub fn write_compact_size(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_le_bytes();
    match compact_size_len(value) {
        1 => out.push(bytes[0]),
        3 => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..2]);
        }
        5 => {
            out.push(0xfe);
            out.extend_from_slice(&bytes[..4]);
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Returns how many bytes `value` takes as a CompactSize: 1, 3, 5 or 9.
#[must_use]
pub const fn compact_size_len(value: u64) -> usize {
    match value {
        0..=0xfc => 1,
        0xfd..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_size_round_trips_at_every_boundary() {
        for value in [0, 1, 0xfc, 0xfd, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX] {
            let mut out = Vec::new();
            write_compact_size(&mut out, value);
            assert_eq!(out.len(), compact_size_len(value));
            let mut reader = Reader::new(&out, "value");
            assert_eq!(reader.compact_u64(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn adversary_2_non_canonical_and_huge_compact_sizes_are_refused() {
        for bytes in [&[0xfd, 0xfc, 0][..], &[0xfe, 0xff, 0xff, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]] {
            let error = Reader::new(bytes, "count").compact_size(usize::MAX);
            assert_eq!(error, Err(DecodeError::NonCanonical { what: "count" }));
        }
        let over = [0xfe, 1, 0, 0, 2];
        assert!(matches!(Reader::new(&over, "count").compact_size(usize::MAX), Err(DecodeError::TooLarge { .. })));
        let most = [0xfe, 0, 0, 0, 2];
        assert_eq!(Reader::new(&most, "count").compact_size(usize::MAX), Ok(0x0200_0000));
    }

    #[test]
    fn adversary_1_elements_reserve_no_more_than_the_bytes_can_hold() {
        // Reserving for the declared count would overflow and panic.
        for least in [0, 1, 8] {
            let mut reader = Reader::new(&[0; 64], "list");
            let read = reader.elements(usize::MAX, least, Reader::u64);
            assert_eq!(read, Err(DecodeError::UnexpectedEnd { what: "list", needed: 8, left: 0 }));
        }
        let read = Reader::new(&[0; 64], "list").elements(8, 8, Reader::u64).unwrap();
        assert_eq!((read.len(), read.capacity()), (8, 8));
    }
}

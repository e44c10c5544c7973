//! Lists that cannot be longer than the wire allows.

use std::ops::Deref;

use thiserror::Error;

use crate::primitive::{Reader, compact_size_len, write_compact_size};
use crate::{DecodeError, MAX_PAYLOAD};

/// More elements than a message can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{len} elements, at most {limit} allowed")]
pub struct TooMany {
    /// How many were given.
    pub len: usize,
    /// How many of them fit.
    pub limit: usize,
}

/// What a [`Bounded`] list holds.
pub trait Element {
    /// Returns how many bytes the element takes in its message's payload.
    fn wire_len(&self) -> usize;
}

impl Element for u8 {
    fn wire_len(&self) -> usize {
        1
    }
}

/// A list of at most `MAX` elements that together fit into a payload.
///
/// The second bound tells only for inventory: [`MAX_PAYLOAD`] holds 30,840 entries that name a transaction by two hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Bounded<T, MAX> {
    /// The most elements such a list holds.
    pub const MAX: usize = MAX;

    /// Returns the list without its bound.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        least: usize,
        element: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<Self, DecodeError> {
        let count = reader.compact_size(MAX)?;
        reader.elements(count, least, element).map(Self)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, mut element: impl FnMut(&T, &mut Vec<u8>)) {
        write_compact_size(out, self.0.len() as u64);
        self.0.iter().for_each(|each| element(each, out));
    }
}

impl<T: Element, const MAX: usize> Bounded<T, MAX> {
    /// Keeps as many of the first `elements` as fit.
    #[must_use]
    pub fn truncated(mut elements: Vec<T>) -> Self {
        elements.truncate(Self::fitting(&elements));
        Self(elements)
    }

    /// Counts the first elements that fit: at most `MAX`, behind their count, within a payload.
    fn fitting(elements: &[T]) -> usize {
        let mut room = MAX_PAYLOAD - compact_size_len(MAX as u64);
        let fits = |element: &&T| match room.checked_sub(element.wire_len()) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        elements.iter().take(MAX).take_while(fits).count()
    }
}

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for Bounded<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Element, const MAX: usize> TryFrom<Vec<T>> for Bounded<T, MAX> {
    type Error = TooMany;

    fn try_from(elements: Vec<T>) -> Result<Self, TooMany> {
        let (len, limit) = (elements.len(), Self::fitting(&elements));
        if len > limit { Err(TooMany { len, limit }) } else { Ok(Self(elements)) }
    }
}

impl<T, const MAX: usize> IntoIterator for Bounded<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a Bounded<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

//! The way down from a header.

use savanna_wire::BlockHash;

use super::{Entry, HeaderChain};

/// Headers from one down to the root, with their heights.
#[derive(Debug, Clone)]
pub struct Ancestors<'a> {
    chain: &'a HeaderChain,
    next: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Hash(BlockHash),
    Height(u32),
    End,
}

impl<'a> Ancestors<'a> {
    pub(super) const fn new(chain: &'a HeaderChain, hash: BlockHash) -> Self {
        Self { chain, next: Step::Hash(hash) }
    }
}

impl Iterator for Ancestors<'_> {
    type Item = (u32, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        let height = match self.next {
            Step::Hash(hash) => {
                if let Some(side) = self.chain.side.get(hash) {
                    self.next = Step::Hash(side.previous);
                    return Some((side.height, side.entry));
                }
                self.chain.height_of(hash)?
            }
            Step::Height(height) => height,
            Step::End => return None,
        };
        self.next = height.checked_sub(1).map_or(Step::End, Step::Height);
        Some((height, self.chain.entry_at(height)?))
    }
}

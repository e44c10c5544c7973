//! Reading an archive.

use std::ops::ControlFlow;

use savanna_wire::{Block, BlockHash, BlockHeader, Reader, TxId};

use super::BlockStore;
use crate::StoreError;
use crate::engine::{Engine, damaged};
use crate::record::{IndexEntry, Row};
use crate::reorganisation::Reorganisation;
use crate::transactions::{Indexed, TransactionPlace, ids_of, place_of};
use crate::writer::{Status, read};

/// The longest header in bytes.
const MAX_HEADER: u32 = 1487;

/// How many rows of the index are read at a time.
const ROWS_AT_ONCE: usize = 4096;

impl BlockStore {
    /// Reads a block, and checks its bytes against their digest and its header against the hash in the index.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not those of the block that the index names; otherwise the disk's or the
    /// engine's.
    pub fn block(&self, height: u32) -> Result<Option<Block>, StoreError> {
        let block = self.serve(height)?;
        match block {
            Some(block) if block.header().hash() != block.hash() => Err(damaged(height)),
            block => Ok(block),
        }
    }

    /// Reads a block in order to send it: nothing of it is hashed with SHA-256.
    ///
    /// A digest says that the bytes are those that were written, and hash and checksum were kept with it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not those that were written; otherwise the disk's or the engine's.
    pub fn serve(&self, height: u32) -> Result<Option<Block>, StoreError> {
        self.with_engine(|engine| {
            let Some(row) = engine.row(height)? else { return Ok(None) };
            engine.block_of(&row).map(Some)
        })
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not those of the header that the index names; otherwise the disk's or the engine's.
    pub fn header(&self, height: u32) -> Result<Option<BlockHeader>, StoreError> {
        Ok(self.headers(height, 1)?.pop())
    }

    /// Reads `count` headers from `height` on, or as many as there are, of one and the same branch.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the bytes are not those of the headers that the index names; otherwise the disk's or the engine's.
    pub fn headers(&self, height: u32, count: usize) -> Result<Vec<BlockHeader>, StoreError> {
        self.with_engine(|engine| engine.rows(height, count)?.iter().map(|row| header_of(engine, row)).collect())
    }

    /// Reads the hashes of `count` blocks from `height` on, or of as many as there are, of one and the same branch.
    ///
    /// # Errors
    /// The disk's or the engine's, or [`StoreError::Corrupt`].
    pub fn hashes(&self, height: u32, count: usize) -> Result<Vec<BlockHash>, StoreError> {
        let rows = self.with_engine(|engine| engine.rows(height, count))?;
        Ok(rows.into_iter().map(|row| row.entry.hash).collect())
    }

    /// Reads the height of a block by its hash.
    ///
    /// # Errors
    /// The disk's or the engine's, or [`StoreError::Corrupt`].
    pub fn height(&self, hash: BlockHash) -> Result<Option<u32>, StoreError> {
        self.with_engine(|engine| engine.height(hash))
    }

    /// Reads what the index holds of a height.
    ///
    /// # Errors
    /// The disk's or the engine's, or [`StoreError::Corrupt`].
    pub fn index_entry(&self, height: u32) -> Result<Option<IndexEntry>, StoreError> {
        Ok(self.with_engine(|engine| engine.row(height))?.map(|row| row.entry))
    }

    /// Reads the index from `height` on, in order; it reads some 70 bytes a block, millions of them within seconds.
    ///
    /// The first item that is an error is the last item. It is read in pieces of some thousand: whoever reorganises meanwhile
    /// may find one piece of the one branch and the next of the other.
    pub fn index_from(&self, height: u32) -> impl Iterator<Item = Result<IndexEntry, StoreError>> + use<'_> {
        let mut next = ControlFlow::Continue(height);
        let pieces = std::iter::from_fn(move || {
            let ControlFlow::Continue(first) = next else { return None };
            let rows = self.with_engine(|engine| engine.rows(first, ROWS_AT_ONCE));
            next = match rows.as_ref().map(|rows| rows.last().filter(|_| rows.len() == ROWS_AT_ONCE)) {
                Ok(Some(last)) => {
                    last.entry.height.checked_add(1).map_or(ControlFlow::Break(()), ControlFlow::Continue)
                }
                Ok(None) | Err(_) => ControlFlow::Break(()),
            };
            Some(rows)
        });
        pieces.flat_map(|rows| match rows {
            Ok(rows) => rows.into_iter().map(|row| Ok(row.entry)).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }

    /// Reads the newest reorganisations that were noted, at most `count`, the newest first. The newest thousand are kept.
    ///
    /// # Errors
    /// The disk's or the engine's, or [`StoreError::Corrupt`].
    pub fn reorganisations(&self, count: usize) -> Result<Vec<Reorganisation>, StoreError> {
        self.with_engine(|engine| {
            let newest = engine.reorganisations.iter().rev().take(count);
            newest.map(|row| Reorganisation::decode(&row.value()?)).collect()
        })
    }

    /// Returns how far the index of transactions goes; none if there is none.
    #[must_use]
    pub fn indexed(&self) -> Option<Indexed> {
        let Status { tip, indexed, .. } = read(&self.status);
        indexed.map(|blocks| Indexed { blocks, of: tip.map_or(0, |tip| tip.height.saturating_add(1)) })
    }

    /// Finds the transaction `id` by the index of transactions; none if the blocks that it covers hold no such transaction.
    ///
    /// # Errors
    /// [`StoreError::NoTransactionIndex`] if there is none; otherwise the disk's or the engine's, or [`StoreError::Corrupt`].
    pub fn transaction(&self, id: TxId) -> Result<Option<TransactionPlace>, StoreError> {
        self.with_engine(|engine| {
            let transactions = engine.transactions.as_ref().ok_or(StoreError::NoTransactionIndex)?;
            let Some(place) = transactions.get(id.0)?.map(|bytes| place_of(&bytes)).transpose()? else {
                return Ok(None);
            };
            // The row may be left over from a block that could not be read when it was removed.
            let Some(row) = engine.row(place.height)? else { return Ok(None) };
            let index = usize::try_from(place.index).unwrap_or(usize::MAX);
            Ok((ids_of(&engine.block_of(&row)?).nth(index) == Some(id)).then_some(place))
        })
    }
}

fn header_of(engine: &Engine, row: &Row) -> Result<BlockHeader, StoreError> {
    let Row { entry, place } = row;
    let bytes = engine.bodies.read(place.start, entry.length.min(MAX_HEADER))?;
    let header = BlockHeader::decode(&mut Reader::new(&bytes, "stored header")).map_err(|_| damaged(entry.height))?;
    if header.hash() == entry.hash { Ok(header) } else { Err(damaged(entry.height)) }
}

//! What is refused before it costs memory or a proof.

use savanna_wire::{BlockHash, BlockHeader};
use thiserror::Error;

use super::{HeaderChain, HeaderError};
use crate::Context;

/// A run of headers of which one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("header {index}: {error}")]
pub struct RunError {
    /// Its place in the run.
    pub index: usize,
    /// What is wrong with it.
    pub error: HeaderError,
}

impl HeaderChain {
    /// Returns what the ancestors of a child of `hash` demand of it.
    ///
    /// # Errors
    /// [`HeaderError::Orphan`] where `hash` is not in the tree, and [`HeaderError::Context`] where too little below it is.
    pub fn context(&self, hash: BlockHash) -> Result<Context, HeaderError> {
        let (height, _) = self.ancestors(hash).next().ok_or(HeaderError::Orphan { previous: hash })?;
        let known = self.ancestors(hash).map(|(_, entry)| (entry.time, entry.bits));
        Ok(Context::new(self.parameters, height, known)?)
    }

    /// Checks a run of headers, each with its hash, as [`Self::insert`] would, without their proofs and without keeping any.
    ///
    /// # Errors
    /// [`RunError`] for the first that is refused. Those before it are right.
    ///
    /// # Security
    /// What this costs is less than the hashes took that have to be known for it. A flood of headers with little work, which
    /// have easier targets than their ancestors demand, ends here instead of at Equihash, some thousand times dearer.
    pub fn check(&self, headers: &[(BlockHeader, BlockHash)], now: u64) -> Result<(), RunError> {
        let mut at: Option<(BlockHash, Context)> = None;
        for (index, (header, hash)) in headers.iter().enumerate() {
            at = self.check_next(at, header, *hash, now).map_err(|error| RunError { index, error })?;
        }
        Ok(())
    }

    /// Checks one header of a run, of which `at` is the last that is not in the tree and what it demands of its child.
    fn check_next(
        &self,
        at: Option<(BlockHash, Context)>,
        header: &BlockHeader,
        hash: BlockHash,
        now: u64,
    ) -> Result<Option<(BlockHash, Context)>, HeaderError> {
        if self.contains(hash) {
            return Ok(None);
        }
        let mut context = match at {
            Some((last, context)) if last == header.previous => {
                self.refused.check(hash)?;
                context
            }
            Some(_) | None => {
                self.admit(hash, header.previous)?;
                self.context(header.previous)?
            }
        };
        context.check(header.time, header.bits, now)?;
        context.push(header.time, header.bits);
        Ok(Some((hash, context)))
    }

    /// Refuses a header that was rejected, stands on one that was, or parts from the best chain where that is settled.
    pub(super) fn admit(&self, hash: BlockHash, previous: BlockHash) -> Result<(), HeaderError> {
        self.refused.check(hash)?;
        self.refused.check(previous)?;
        match self.height_of(previous) {
            Some(fork_height) if fork_height < self.settled => {
                Err(HeaderError::TooDeep { fork_height, depth: self.tip().0 - fork_height })
            }
            Some(_) | None => Ok(()),
        }
    }
}

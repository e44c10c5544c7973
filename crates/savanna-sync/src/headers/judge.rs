//! What the tree says of an answer before any proof of it is looked at.

use savanna_chain::{ContextError, HeaderError, RunError};
use savanna_net::PeerId;
use savanna_wire::{BlockHash, BlockHeader};

use super::Headers;
use crate::{Found, verify};

/// What the tree says of headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They fit.
    Fit,
    /// Those fit that come before one which is passed over with all that follow it.
    Stopped(HeaderError),
    /// They are refused.
    Refused(RunError),
    /// They hang on a block below the tree's root: the first is of this height, where the archive knows better.
    Below(u32),
}

/// A peer's headers that were judged by the tree, and whose proofs are not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The peer.
    pub peer: PeerId,
    /// Its headers without those that are passed over, each with the hash that the next one says it has.
    pub run: Vec<(BlockHeader, BlockHash)>,
    /// How many of them, from the first on, are in the tree.
    pub known: usize,
    /// What is said of them.
    pub verdict: Verdict,
}

impl Headers {
    /// Judges a peer's headers by what their ancestors demand of them, when our clock says `unix`, in Unix seconds.
    ///
    /// # Security
    /// A flood of headers with easier targets than their ancestors demand, or that hang on nothing, ends here (low-work flooding):
    /// for a microsecond each and one hash an answer, where a proof takes some thousand times that.
    #[must_use]
    pub fn judge(&self, Found { peer, headers }: Found, unix: u64) -> Judged {
        let mut run = verify::claimed(headers);
        let known = run.iter().take_while(|(_, hash)| self.chain.contains(*hash)).count();
        let verdict = match self.chain.check(&run, unix) {
            Ok(()) => Verdict::Fit,
            Err(RunError { index, error }) => match error {
                HeaderError::Context(ContextError::Future { .. }) | HeaderError::Rejected { .. } => {
                    run.truncate(index);
                    Verdict::Stopped(error)
                }
                HeaderError::Orphan { .. } => {
                    self.height_below(&run).map_or(Verdict::Refused(RunError { index, error }), Verdict::Below)
                }
                HeaderError::Target(_)
                | HeaderError::TooHigh
                | HeaderError::Context(_)
                | HeaderError::TooDeep { .. }
                | HeaderError::LowWork
                | _ => Verdict::Refused(RunError { index, error }),
            },
        };
        Judged { peer, run, known, verdict }
    }

    /// Returns the height of the first of headers that stand on an anchor, or begin with one.
    fn height_below(&self, run: &[(BlockHeader, BlockHash)]) -> Option<u32> {
        let (first, hash) = run.first()?;
        let above = self.anchors.height_of(first.previous).and_then(|height| height.checked_add(1));
        above.or_else(|| self.anchors.height_of(*hash))
    }
}

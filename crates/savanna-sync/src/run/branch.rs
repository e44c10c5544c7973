//! From one branch to another, without losing what is there.

use savanna_store::Tip;

use super::Run;
use crate::{Progress, Source, Store};

impl<N, T, F> Run<N, T, F>
where
    N: Source,
    T: Store,
    F: FnMut(Progress),
{
    /// Goes on from where the best chain, which is another one above `fork`, parts from what was handed over.
    pub(super) fn rebase(&mut self, fork: u32) {
        let Some(handed) = self.disk.handed() else { return self.download.rewind(fork) };
        let chain = self.headers.chain();
        let mut below = chain.ancestors(handed.hash).map(|(height, entry)| Tip { height, hash: entry.hash });
        let shared = below.find(|tip| chain.hash_at(tip.height) == Some(tip.hash));
        let begin = self.disk.cut().unwrap_or(handed);
        // A branch that the tree has forgotten parts from the best chain no lower than it did.
        let lowest = || {
            let height = fork.min(begin.height);
            chain.hash_at(height).map(|hash| Tip { height, hash })
        };
        let Some(parting) = shared.or_else(lowest) else { return };
        if parting == begin {
            self.download.rewind(fork.max(parting.height));
        } else {
            self.download.restart(parting.height);
        }
        self.disk.part(parting);
    }

    /// Returns whether the store may be cut back to the fork: as many blocks of the other branch are here as are cut off, or as
    /// there is room for.
    pub(super) fn is_cut_due(&self) -> bool {
        let (Some(cut), Some(handed)) = (self.disk.cut(), self.disk.handed()) else { return false };
        let (frontier, target) = (self.download.frontier().min(self.proven().saturating_add(1)), self.target());
        frontier > handed.height.min(target) || frontier > cut.height + 1 && self.download.is_idle()
    }
}

//! Where the peers' chains end below the next checkpoint: what they have is taken by headers, each with its work.
//!
//! Such peers are behind, or there is nobody else on a network cut off from the rest. Their blocks are as good as any, as far as
//! they go. As soon as headers reach the checkpoint's height, known ground goes on.

use std::time::Duration;

use super::Run;
use super::ground::Way;
use crate::ground::{DOUBTED_AFTER, Ground};
use crate::{Source, Store};

/// How long lists may come of which none reaches the next checkpoint before headers are asked for; it doubles with each time that
/// headers claimed to reach it, so many times.
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 6;

/// Whether known ground is left, and for which checkpoint.
#[derive(Debug, Default)]
pub(super) struct Detour {
    around: Option<u32>,
    times: u32,
}

impl<N, T, F> Run<N, T, F>
where
    N: Source,
    T: Store,
    F: FnMut(crate::Progress),
{
    /// Returns the height of the checkpoint that no peer's chain reaches, while that is so.
    pub(super) const fn short_of(&self) -> Option<u32> {
        self.detour.around
    }

    /// Returns up to which height blocks may be taken: none at or above a checkpoint of which it is not known that they lead to it.
    pub(super) fn most(&self) -> u32 {
        self.detour.around.map_or(u32::MAX, |height| height.saturating_sub(1))
    }

    pub(super) fn is_detour_due(&self, ground: &Ground, now: Duration) -> bool {
        let patience = PATIENCE * (1 << self.detour.times.min(MAX_DOUBLINGS));
        let is_unreached = ground.unreached_for(now).is_some_and(|long| long >= patience);
        // A list that ends right below the checkpoint may be that of a peer whose chain does.
        let is_lacking = self
            .download
            .lacking()
            .is_some_and(|(height, long)| height == ground.first_end() && long >= patience.max(DOUBTED_AFTER));
        (is_unreached || is_lacking) && !self.disk.is_busy() && !self.source.is_gathering()
    }

    /// Leaves known ground. What was fetched of it and is not stored is forgotten.
    pub(super) fn leave_ground(&mut self, ground: &Ground) {
        self.detour.around = Some(ground.first_end());
        self.forget_unstored();
        self.root();
    }

    /// Goes back to known ground once headers reach the checkpoint's height.
    pub(super) fn return_to_ground(&mut self) {
        let is_over = self.detour.around.is_some_and(|height| self.known_height() >= height);
        if !is_over || matches!(self.way, Way::Rooting | Way::Ground(_)) || self.disk.is_busy() {
            return;
        }
        self.detour = Detour { around: None, times: self.detour.times + 1 };
        let archive = self.disk.tip().map(|tip| (tip.height, tip.hash));
        if let Some(ground) = Ground::new(&self.checkpoints, archive, self.until) {
            self.header_ask.take().iter().for_each(futures_util::future::AbortHandle::abort);
            self.header_asks += 1;
            self.unchecked.clear();
            self.forget_unstored();
            self.way = Way::Ground(Box::new(ground));
        }
    }

    fn forget_unstored(&mut self) {
        match self.disk.tip() {
            Some(tip) => self.download.restart(tip.height),
            None => self.download.rewind(0),
        }
    }
}

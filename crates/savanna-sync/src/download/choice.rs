//! Whom to ask for which blocks.

use std::time::Duration;

use savanna_peer::MAX_GETDATA_BLOCKS;
use savanna_wire::BlockHash;

use super::pace::Source;
use super::{Action, Ask, AskId, Download};

/// The most bytes of one answer that peers are known to give before they drop the rest.
const ANSWER_BYTES: usize = 1_000_000;

/// How long the lowest missing block may be with one peer before an idle one is asked as well.
const HEDGE_AFTER: Duration = Duration::from_millis(500);

impl<P: Copy + Ord> Download<P> {
    /// Gives the lowest blocks that nobody was asked for to the peer that will have them soonest.
    pub(super) fn next_ask(&mut self, now: Duration) -> Option<Action<P>> {
        let affordable = self.window.affordable();
        if affordable == 0 {
            return None;
        }
        // Whoever waits for room in the budget asks for a whole share then, rather than for one block at a time.
        let patient = !self.asks.is_empty() && !self.window.is_frontier_unasked();
        let mut order: Vec<(P, usize)> = Vec::new();
        let by_bytes = (ANSWER_BYTES / self.window.mean()).clamp(1, MAX_GETDATA_BLOCKS);
        for (&peer, source) in &self.sources {
            let share = source.share().min(by_bytes);
            if source.has_room_for(share) && (share <= affordable || !patient) {
                order.push((peer, share.min(affordable)));
            }
        }
        order.sort_by_key(|(peer, _)| self.sources.get(peer).map(Source::rank));
        order.into_iter().find_map(|(peer, share)| {
            let source = self.sources.get(&peer)?;
            let blocks = self.window.unasked(share, |height| !source.lacks(height, now));
            (!blocks.is_empty()).then(|| self.ask(peer, blocks, now))
        })
    }

    /// Asks an idle peer for the lowest missing block, when that is late and nothing else is left to ask for.
    pub(super) fn hedge(&mut self, now: Duration) -> Option<Action<P>> {
        if self.hedge_at().is_none_or(|at| at > now) {
            return None;
        }
        let (height, hash) = self.window.lowest_late()?;
        let idle = self.sources.iter().filter(|(_, source)| source.is_idle() && !source.lacks(height, now));
        let (&peer, _) = idle.min_by_key(|(_, source)| source.rank())?;
        Some(self.ask(peer, vec![(height, hash)], now))
    }

    /// Returns from when on the lowest missing block may be asked of a second peer, if one is idle.
    pub(super) fn hedge_at(&self) -> Option<Duration> {
        let (height, hash) = self.window.lowest_late()?;
        if self.window.affordable() > 0 && self.window.has_unasked() {
            return None;
        }
        self.sources.values().find(|source| source.is_idle() && !source.ever_lacked(height))?;
        let ask = self.asks.values().find(|ask| ask.blocks.contains(&(height, hash)))?;
        let source = self.sources.get(&ask.peer)?;
        Some(ask.at.max(source.answered_at()) + HEDGE_AFTER.max(source.expected(ask.blocks.len()) * 2))
    }

    fn ask(&mut self, peer: P, blocks: Vec<(u32, BlockHash)>, now: Duration) -> Action<P> {
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        for &(height, _) in &blocks {
            self.refetched += u64::from(self.window.ask(height));
        }
        if let Some(source) = self.sources.get_mut(&peer) {
            source.asked(blocks.len());
        }
        self.asks.insert(ask, Ask { peer, blocks: blocks.clone(), at: now });
        Action::Ask { peer, ask, blocks }
    }
}

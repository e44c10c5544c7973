//! How the chain becomes known: known ground by lists between checkpoints, then lists alone where headers prove nothing, and headers
//! above both.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use savanna_chain::{HeaderChain, Inserted, MAX_AHEAD_OF_CLOCK, ProofOfWork};
use savanna_peerset::RequestError;
use savanna_store::Tip;
use savanna_wire::{Block, BlockHash, Network};

use super::Run;
use super::ask::{Event, off_thread};
use super::disk::{Restored, restore};
use crate::download::{Failure, Sight};
use crate::ground::climb::{Climb, ClimbAsk, Fall};
use crate::ground::{Ground, GroundAction, GroundFailure, ListId};
use crate::headers::{HeaderFault, Headers};
use crate::{Fault, Listed, Progress, Source, Store};

/// By what the chain becomes known.
pub(super) enum Way {
    /// By lists between checkpoints.
    Ground(Box<Ground>),
    /// The chain above the last checkpoint is being read back.
    Rooting,
    /// By lists of one peer.
    Climb(Box<Climb>),
    /// By headers.
    Headers,
}

impl Way {
    /// Returns how to go on from what a store holds.
    pub(super) fn up(network: Network, chain: &HeaderChain, until: Option<u32>) -> Self {
        match ProofOfWork::of(network) {
            ProofOfWork::Unchecked { .. } => Self::Climb(Box::new(Climb::new(chain, until))),
            ProofOfWork::Equihash200_9 { .. } => Self::Headers,
        }
    }
}

impl<N, T, F> Run<N, T, F>
where
    N: Source,
    T: Store,
    F: FnMut(Progress),
{
    /// Returns whether it is headers that tell the chain.
    pub(super) const fn is_by_headers(&self) -> bool {
        matches!(self.way, Way::Headers)
    }

    /// Returns up to which height blocks are known to be there.
    pub(super) fn known_height(&self) -> u32 {
        let (tip, _) = self.headers.chain().tip();
        match &self.way {
            Way::Ground(ground) => ground.end(),
            Way::Climb(climb) => climb.top(),
            Way::Rooting | Way::Headers => tip,
        }
    }

    /// Returns up to which height blocks may be stored.
    pub(super) fn proven(&self) -> u32 {
        if let Way::Ground(ground) = &self.way { ground.proven() } else { u32::MAX }
    }

    /// Asks for what is not known of the chain, as far as that is not the headers' business.
    pub(super) fn explore(&mut self, now: Duration) {
        self.return_to_ground();
        match mem::replace(&mut self.way, Way::Headers) {
            Way::Ground(ground) => self.explore_ground(ground, now),
            Way::Climb(climb) => self.explore_climb(climb),
            way @ (Way::Rooting | Way::Headers) => self.way = way,
        }
    }

    /// Returns when [`Self::explore`] has something to do.
    pub(super) fn explore_at(&self) -> Option<Duration> {
        if let Way::Ground(ground) = &self.way { ground.poll_timeout() } else { None }
    }

    fn explore_ground(&mut self, mut ground: Box<Ground>, now: Duration) {
        if let Some((height, hash)) = ground.parting() {
            let Some(anew) = self.part_from_archive(Tip { height, hash }) else {
                return self.way = Way::Ground(ground);
            };
            ground = Box::new(anew);
        }
        if let Some(tip) = self.disk.cut().or(self.disk.tip()) {
            ground.handle_stored(tip.height);
            if tip.height >= ground.end() && !self.disk.is_busy() {
                return self.root();
            }
        }
        if self.is_detour_due(&ground, now) {
            return self.leave_ground(&ground);
        }
        if let Some((height, long)) = self.download.lacking() {
            ground.handle_lack(height, long, now);
        }
        while let Some(action) = ground.poll_action(self.download.next_height(), now) {
            match action {
                GroundAction::Ask { ask, whom, after, stop } => {
                    let lists = self.source.find_blocks(vec![after], Some(stop), whom);
                    self.events.push(Box::pin(async move { Event::Listed { ask: Some(ask), lists: lists.await } }));
                }
                GroundAction::List { first, hashes } => self.download.list(first, hashes),
                GroundAction::Unlist { first, last } => self.download.unlist(first..=last),
                GroundAction::Report(peer) => self.report(peer, Fault::HashList),
            }
        }
        self.download.prove(ground.proven(), ground.first_end());
        self.way = Way::Ground(ground);
    }

    /// Begins anew at a checkpoint that the archive holds, because what it holds above is of another chain. That stays until what
    /// takes its place is here.
    fn part_from_archive(&mut self, fork: Tip) -> Option<Ground> {
        let ground = Ground::new(&self.checkpoints, Some((fork.height, fork.hash)), self.until)?;
        self.download.restart(fork.height);
        self.disk.part(fork);
        Some(ground)
    }

    /// Reads back what the chain above known ground stands on.
    pub(super) fn root(&mut self) {
        self.way = Way::Rooting;
        self.download.prove(u32::MAX, u32::MAX);
        let (store, checkpoints) = (Arc::clone(&self.store), self.checkpoints.clone());
        self.events.push(Box::pin(async move {
            let rooted = off_thread(move || restore(store.as_ref(), &checkpoints)).await;
            Event::Rooted(rooted.and_then(|rooted| rooted).map(Box::new))
        }));
    }

    pub(super) fn handle_rooted(&mut self, Restored { chain, anchors }: Restored) {
        self.way = Way::up(self.network, &chain, self.until);
        self.headers = Headers::new(chain, self.until).above(anchors);
    }

    fn explore_climb(&mut self, mut climb: Box<Climb>) {
        let (tip, _) = self.headers.chain().tip();
        let lack = self.download.lacking().and_then(|(height, long)| climb.handle_lack(height, long));
        let invalid = match self.download.failure() {
            Some(Failure::Invalid { height, .. }) if height > tip => Some(climb.fall(height)),
            Some(Failure::Invalid { .. } | Failure::Unavailable { .. } | Failure::Undelivered { .. }) | None => None,
        };
        for fall in lack.into_iter().chain(invalid) {
            self.fall(fall);
        }
        if let Some(ClimbAsk { whom, locator }) = climb.poll_ask(self.headers.chain(), self.download.next_height()) {
            let lists = self.source.find_blocks(locator, None, whom);
            self.events.push(Box::pin(async move { Event::Listed { ask: None, lists: lists.await } }));
        }
        self.way = if climb.is_over() { Way::Headers } else { Way::Climb(climb) };
    }

    fn fall(&mut self, Fall { to, liar }: Fall) {
        self.download.rewind(to);
        if let Some(peer) = liar {
            self.report(peer, Fault::HashList);
        }
    }

    pub(super) fn handle_listed(&mut self, ask: Option<ListId>, lists: Result<Vec<Listed>, RequestError>) {
        let now = self.now();
        let liar = match (&mut self.way, ask, lists) {
            (Way::Ground(ground), Some(ask), Ok(lists)) => {
                ground.handle_lists(ask, lists, now);
                None
            }
            (Way::Ground(ground), Some(ask), Err(_)) => {
                ground.handle_failed(ask, now);
                None
            }
            (Way::Climb(climb), None, Ok(lists)) => match lists.into_iter().next() {
                Some(list) => climb.handle_list(self.headers.chain(), list),
                None => {
                    climb.handle_failed();
                    None
                }
            },
            (Way::Climb(climb), None, Err(_)) => {
                climb.handle_failed();
                None
            }
            (Way::Ground(_) | Way::Rooting | Way::Climb(_) | Way::Headers, _, _) => None,
        };
        if let Some(peer) = liar {
            self.report(peer, Fault::HashList);
        }
    }

    /// Lets blocks that came say whether they follow one another as was listed.
    pub(super) fn handle_sights(&mut self, sights: &[Sight], now: Duration) {
        let falls: Vec<Fall> = match &mut self.way {
            Way::Ground(ground) => {
                sights.iter().for_each(|sight| ground.handle_sight(sight, now));
                Vec::new()
            }
            Way::Climb(climb) => sights.iter().filter_map(|sight| climb.handle_sight(sight)).collect(),
            Way::Rooting | Way::Headers => Vec::new(),
        };
        for fall in falls {
            self.fall(fall);
        }
    }

    /// Tells the download what to fetch next, as far as it has room and the chain is known.
    pub(super) fn feed(&mut self) {
        let room = u32::try_from(self.download.room()).unwrap_or(u32::MAX);
        if room == 0 {
            return;
        }
        let first = self.download.next_height();
        let end = first.saturating_add(room).min(self.target().saturating_add(1));
        let (heights, chain) = (first..end, self.headers.chain());
        match &self.way {
            Way::Ground(ground) => self.download.extend_unlisted(heights.map(|height| ground.hash_at(height))),
            Way::Climb(climb) => self
                .download
                .extend(heights.map_while(|height| chain.hash_at(height).or_else(|| climb.hash_at(height)))),
            Way::Rooting | Way::Headers => self.download.extend(heights.map_while(|height| chain.hash_at(height))),
        }
    }

    /// Puts the headers of blocks that are to be written on the chain, where nothing else has, and cuts off what has no place there.
    pub(super) fn keep(&mut self, mut run: Vec<Block>) -> Vec<Block> {
        let Way::Climb(climb) = &mut self.way else { return run };
        let unix = (self.clock)();
        let (before, _) = self.headers.chain().tip();
        let mut kept = 0;
        let mut liar = None;
        for block in &run {
            let is_next = block.header().previous == self.headers.chain().tip().1;
            if is_next {
                // What is from the future by our clock tells nothing against its giver: headers decide.
                if u64::from(block.header().time) > unix.saturating_add(MAX_AHEAD_OF_CLOCK) {
                    break;
                }
                let giver = climb.giver(self.headers.chain().tip().0 + 1);
                let work = ProofOfWork::of(self.network).check(block.header(), block.hash());
                let kept = work.ok().map(|()| self.headers.extend(block.header(), block.hash(), unix));
                match kept {
                    Some(Ok(Inserted::Extended)) => climb.handle_kept(),
                    Some(Ok(_) | Err(_)) | None => {
                        liar = giver;
                        break;
                    }
                }
            } else if self.headers.chain().height_of(block.hash()).is_none() {
                break;
            }
            kept += 1;
        }
        let (tip, _) = self.headers.chain().tip();
        if tip > before {
            self.moved = true;
            (self.progress)(Progress::Headers { height: tip });
        }
        if kept < run.len() {
            let fall = climb.fall(tip + 1);
            let lost = run.drain(kept..).map(|block| block.bytes().len()).sum();
            self.download.handle_stored(lost);
            self.fall(fall);
            if let Some(peer) = liar {
                self.report(peer, Fault::Headers(HeaderFault::Invalid));
            }
        }
        run
    }

    /// Returns why known ground cannot be walked, if it cannot.
    pub(super) fn ground_failure(&self, now: Duration) -> Option<GroundFailure> {
        if let Way::Ground(ground) = &self.way { ground.failure(now) } else { None }
    }

    /// Returns the hash at a height, if it is known.
    pub(super) fn hash_at(&self, height: u32) -> Option<BlockHash> {
        let told = match &self.way {
            Way::Ground(ground) => ground.hash_at(height),
            Way::Climb(climb) => climb.hash_at(height),
            Way::Rooting | Way::Headers => None,
        };
        self.headers.chain().hash_at(height).or(told)
    }
}

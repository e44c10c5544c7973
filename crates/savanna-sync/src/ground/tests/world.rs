//! Peers that list and give blocks, a disk and a clock around a ground and a download, all of it generated from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_chain::check_body;
use savanna_peer::Missing;
use savanna_sim::regtest::{chain, extend, with_wrong_body};
use savanna_wire::{Block, Network};

use super::super::*;
use crate::download::{Action, Arrival, AskId, Delivery, Download, Limits};

/// What a peer tells when it is asked for a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tongue {
    /// The truth.
    Honest,
    /// The truth without the last hash.
    Scant,
    /// The truth up to a height.
    Behind(usize),
    /// Hashes of nothing, and the checkpoint.
    Invents,
    /// Another branch's hashes, and the checkpoint.
    Branches,
    /// The truth, with two hashes in each other's places.
    Swaps,
    /// One hash twice.
    Repeats,
    /// Too many hashes.
    Rambles,
    /// Nothing, ever.
    Silent,
}

impl Tongue {
    pub(super) const fn lies(self) -> bool {
        matches!(self, Self::Invents | Self::Branches | Self::Swaps)
    }
}

#[allow(clippy::large_enum_variant, reason = "few of them are there at once")]
enum Event {
    Lists(ListId, Vec<Listed>),
    Failed(ListId),
    Block(AskId, Arrival),
    Written(usize),
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) ground: Ground,
    pub(super) download: Download,
    pub(super) chain: Vec<Block>,
    pub(super) stored: Vec<Block>,
    pub(super) peers: BTreeMap<PeerId, Tongue>,
    pub(super) reported: BTreeSet<PeerId>,
    /// How many blocks were asked for.
    pub(super) asked: usize,
    /// The most questions for lists that were open at once.
    pub(super) most_lists: usize,
    /// One block of so many is missing, and one has a wrong body; none if it is 0.
    pub(super) missing_of: u32,
    pub(super) wrong_of: u32,
    pub(super) takes: Duration,
    branch: Vec<Block>,
    limits: Limits,
    rng: ChaCha8Rng,
    events: BinaryHeap<Reverse<(Duration, u64)>>,
    later: BTreeMap<u64, Event>,
    open_lists: usize,
    open: BTreeSet<AskId>,
    writing: bool,
    steps: usize,
}

impl World {
    /// Makes a world of a chain whose checkpoints lie `gap` blocks apart; the archive holds the first `held` blocks.
    pub(super) fn new(length: u32, gap: u32, held: usize, limits: Limits, tongues: &[Tongue]) -> Self {
        let chain = chain(length, 100);
        let listed = (0..=length).filter(|height| height.is_multiple_of(gap));
        let checkpoints = Checkpoints::new(listed.map(|height| (height, chain[height as usize].hash()))).unwrap();
        Self::with(chain, &checkpoints, held, limits, tongues)
    }

    pub(super) fn with(
        chain: Vec<Block>,
        checkpoints: &Checkpoints,
        held: usize,
        limits: Limits,
        tongues: &[Tongue],
    ) -> Self {
        let length = u32::try_from(chain.len()).unwrap();
        let archive = held.checked_sub(1).map(|last| (u32::try_from(last).unwrap(), chain[last].hash()));
        let branch = [&chain[..1], &extend(&chain[0], 0, length, 100, 9)].concat();
        Self {
            now: Duration::ZERO,
            ground: Ground::new(checkpoints, archive, None).unwrap(),
            download: Download::new(u32::try_from(held).unwrap(), limits),
            stored: chain[..held].to_vec(),
            peers: (1..).map(PeerId).zip(tongues.iter().copied()).collect(),
            reported: BTreeSet::new(),
            asked: 0,
            most_lists: 0,
            missing_of: 0,
            wrong_of: 0,
            takes: Duration::from_millis(50),
            chain,
            branch,
            limits,
            rng: ChaCha8Rng::seed_from_u64(7),
            events: BinaryHeap::new(),
            later: BTreeMap::new(),
            open_lists: 0,
            open: BTreeSet::new(),
            writing: false,
            steps: 0,
        }
    }

    pub(super) fn generated(seed: u64) -> Self {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |bound: u32| rng.next_u32() % bound;
        let length = 50 + below(400);
        let mut heights = vec![0];
        while heights[heights.len() - 1] < length {
            heights.push((heights[heights.len() - 1] + 1 + below(60)).min(length));
        }
        let chain = chain(length, 100 + below(400) as usize);
        let checkpoints = heights.iter().map(|&height| (height, chain[height as usize].hash()));
        let checkpoints = Checkpoints::new(checkpoints).unwrap();
        let held = below(2) * below(length);
        let bytes = 5_000 + below(200_000) as usize;
        let limits = Limits { bytes, blocks: 20 + below(500) as usize, under_way: 1 + below(200) as usize };
        let mut tongues = vec![Tongue::Honest];
        for _ in 0..below(8) {
            tongues.push(match below(8) {
                0 => Tongue::Scant,
                1 => Tongue::Behind(below(length) as usize),
                2 => Tongue::Invents,
                3 => Tongue::Branches,
                4 => Tongue::Swaps,
                5 => Tongue::Repeats,
                6 => Tongue::Rambles,
                _ => Tongue::Silent,
            });
        }
        let mut world = Self::with(chain, &checkpoints, held as usize, limits, &tongues);
        world.missing_of = below(3) * (3 + below(40));
        world.wrong_of = below(3) * (3 + below(40));
        world.takes = Duration::from_millis(u64::from(1 + below(300)));
        world.rng = rng;
        world
    }

    /// Runs until all of the ground is stored, and holds that against the chain.
    pub(super) fn run(&mut self) {
        let end = self.ground.end() as usize;
        while self.stored.len() <= end {
            self.step();
        }
        assert_eq!(self.stored, self.chain[..=end]);
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < 300_000, "no progress at {:?}", self.now);
        assert_eq!(self.ground.failure(self.now), None);
        self.act();
        self.write();
        let timeouts = [self.ground.poll_timeout(), self.download.poll_timeout()];
        let timeout = timeouts.into_iter().flatten().min();
        assert!(timeout.is_none_or(|at| at > self.now), "a deadline that passed is still there");
        match self.events.peek().map(|Reverse((at, _))| *at) {
            Some(at) if timeout.is_none_or(|timeout| at <= timeout) => {
                self.now = at;
                let Some(Reverse((_, number))) = self.events.pop() else { return };
                let event = self.later.remove(&number).unwrap();
                self.handle(event);
            }
            _ => self.now = timeout.expect("what is not complete waits for something"),
        }
        let held = self.download.unstored_bytes();
        assert!(held <= self.limits.bytes + 1000, "{held} bytes held, {} allowed", self.limits.bytes);
    }

    fn act(&mut self) {
        if let Some(last) = self.stored.len().checked_sub(1) {
            self.ground.handle_stored(u32::try_from(last).unwrap());
        }
        self.download.handle_timeout(self.now);
        if let Some((height, long)) = self.download.lacking() {
            self.ground.handle_lack(height, long, self.now);
        }
        while let Some(action) = self.ground.poll_action(self.download.next_height(), self.now) {
            match action {
                GroundAction::Ask { ask, whom, after, stop } => self.find(ask, whom, after, stop),
                GroundAction::List { first, hashes } => self.download.list(first, hashes),
                GroundAction::Unlist { first, last } => self.download.unlist(first..=last),
                GroundAction::Report(peer) => self.report(peer),
            }
        }
        self.download.prove(self.ground.proven(), self.ground.first_end());
        let first = self.download.next_height();
        let end = (first + u32::try_from(self.download.room()).unwrap()).min(self.ground.end() + 1);
        self.download.extend_unlisted((first..end).map(|height| self.ground.hash_at(height)));
        while let Some(action) = self.download.poll_action() {
            match action {
                Action::Ask { ask, blocks } => self.fetch(ask, &blocks),
                Action::Cancel(ask) => drop(self.open.remove(&ask)),
                Action::Report(_) => {}
            }
        }
        assert!(self.ground.listed() < 20_000, "{}", self.ground.listed());
    }

    fn report(&mut self, peer: PeerId) {
        assert!(self.peers[&peer].lies(), "{peer} is {:?}", self.peers[&peer]);
        self.reported.insert(peer);
    }

    fn find(&mut self, ask: ListId, whom: Whom, after: BlockHash, stop: BlockHash) {
        self.open_lists += 1;
        self.most_lists = self.most_lists.max(self.open_lists);
        let mut there: Vec<PeerId> = self.peers.keys().filter(|peer| !self.reported.contains(peer)).copied().collect();
        let most = if let Whom::Several(most) = whom { most } else { 1 };
        let mut lists = Vec::new();
        for _ in 0..most.min(there.len()) {
            let peer = there.swap_remove(self.rng.next_u32() as usize % there.len());
            lists.extend(self.list(peer, after, stop).map(|hashes| Listed { peer, hashes }));
        }
        if lists.is_empty() {
            return self.later(Duration::from_secs(5), Event::Failed(ask));
        }
        let takes = self.jitter();
        self.later(takes, Event::Lists(ask, lists));
    }

    /// Returns what a peer lists.
    fn list(&mut self, peer: PeerId, after: BlockHash, stop: BlockHash) -> Option<Vec<BlockHash>> {
        let place = |hash| self.chain.iter().position(|block| block.hash() == hash).unwrap();
        let (first, last) = (place(after) + 1, place(stop));
        let mut hashes: Vec<BlockHash> = self.chain[first..=last].iter().map(Block::hash).collect();
        let length = hashes.len();
        match self.peers[&peer] {
            Tongue::Honest => {}
            Tongue::Scant => drop(hashes.pop()),
            // It does not know the lower checkpoint, and begins at the first block.
            Tongue::Behind(height) if height < first => {
                hashes = self.chain[1..=height].iter().map(Block::hash).collect();
            }
            Tongue::Behind(height) => hashes.truncate(height - first + 1),
            Tongue::Invents => hashes[..length - 1].iter_mut().for_each(|hash| hash.0[9] ^= 1),
            Tongue::Branches => {
                for (hash, block) in hashes[..length - 1].iter_mut().zip(&self.branch[first..]) {
                    *hash = block.hash();
                }
            }
            Tongue::Swaps if length > 2 => hashes.swap(0, 1),
            Tongue::Swaps => {}
            Tongue::Repeats => hashes[0] = hashes[length - 1],
            Tongue::Rambles => hashes.push(after),
            Tongue::Silent => return None,
        }
        Some(hashes)
    }

    fn fetch(&mut self, ask: AskId, blocks: &[(u32, BlockHash)]) {
        self.open.insert(ask);
        self.asked += blocks.len();
        let is_branch_there =
            self.peers.iter().any(|(peer, tongue)| *tongue == Tongue::Branches && !self.reported.contains(peer));
        for &(height, hash) in blocks {
            let mut there = self.chain.iter().chain(if is_branch_there { &self.branch[..] } else { &[] });
            let block = there.find(|block| block.hash() == hash).cloned();
            let mut one_of = |count: u32| count > 0 && self.rng.next_u32().is_multiple_of(count);
            let (is_missing, is_wrong) = (one_of(self.missing_of), one_of(self.wrong_of));
            let result = match block {
                None => Err(Missing::NotFound),
                Some(_) if is_missing => Err(Missing::TimedOut),
                Some(block) => {
                    let block = if is_wrong { with_wrong_body(&block) } else { block };
                    let verdict = check_body(Network::Regtest, height, &block).map(drop);
                    Ok(Delivery { peer: PeerId(1), block, verdict })
                }
            };
            let takes = self.jitter();
            self.later(takes, Event::Block(ask, Arrival { hash, result }));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Lists(ask, lists) => {
                self.open_lists -= 1;
                self.ground.handle_lists(ask, lists, self.now);
            }
            Event::Failed(ask) => {
                self.open_lists -= 1;
                self.ground.handle_failed(ask, self.now);
            }
            Event::Block(ask, arrival) => {
                for sight in self.download.handle_arrivals(ask, vec![arrival], self.now) {
                    self.ground.handle_sight(&sight, self.now);
                }
            }
            Event::Written(bytes) => {
                self.writing = false;
                self.download.handle_stored(bytes);
            }
        }
    }

    fn write(&mut self) {
        if self.writing {
            return;
        }
        let run = self.download.take_run(10_000);
        if run.is_empty() {
            return;
        }
        for block in &run {
            assert_eq!(block, &self.chain[self.stored.len()], "what is handed over is of the chain");
            self.stored.push(block.clone());
        }
        self.writing = true;
        let bytes = run.iter().map(|block| block.bytes().len()).sum();
        self.later(Duration::from_millis(1), Event::Written(bytes));
    }

    fn jitter(&mut self) -> Duration {
        self.takes * (1 + self.rng.next_u32() % 100) / 100
    }

    fn later(&mut self, after: Duration, event: Event) {
        let number = self.later.last_key_value().map_or(0, |(last, _)| last + 1);
        self.later.insert(number, event);
        self.events.push(Reverse((self.now + after, number)));
    }
}

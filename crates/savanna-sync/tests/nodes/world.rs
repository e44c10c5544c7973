//! A world of nodes, and what happens in it: blocks are found, the network falls apart and comes together again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_net::PeerId;
use savanna_sim::regtest::{chain, extend};
use savanna_sync::{Progress, Store};
use savanna_wire::{Block, BlockHash, Host, PeerAddr};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use crate::habits::Habit;
use crate::node::{Node, is_up, join};
use crate::wire::{Line, Quality};

/// How long nodes have to agree once everything is whole.
const AGREE_WITHIN: Duration = Duration::from_secs(300);

/// How long a node waits before it dials again.
const REDIAL: Range<u64> = 1_000..10_000;

/// How much is padding of each block.
const PADDING: usize = 400;

/// What became of a world.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    pub(crate) nodes: usize,
    pub(crate) bad: usize,
    pub(crate) blocks: u32,
    pub(crate) reorganised: u32,
    pub(crate) agreed_after: Duration,
    /// What the virtual clock says at the end.
    pub(crate) age: Duration,
}

struct World {
    rng: RefCell<ChaCha8Rng>,
    nodes: Vec<Node>,
    /// On which side of the rift each node is while there is one.
    sides: RefCell<Option<Vec<bool>>>,
    lines: RefCell<Vec<(usize, usize, Line)>>,
    /// Which connection of a node leads to a bad one.
    bad: RefCell<BTreeSet<(usize, PeerId)>>,
    salt: Cell<u8>,
}

/// Lets a world begin, go through its troubles and agree.
pub(crate) async fn live(seed: u64) -> Report {
    let world = Rc::new(World::new(seed));
    let local = LocalSet::new();
    let report = local.run_until(world.run()).await;
    drop(local);
    if let Ok(world) = Rc::try_unwrap(world) {
        for node in world.nodes {
            node.end().await;
        }
    }
    report
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let trunk = chain(10 + rng.next_u32() % 300, PADDING);
        let (honest, miners, bad) = (3 + rng.next_u32() % 4, 2, rng.next_u32() % 3);
        let mut nodes = Vec::new();
        for _ in 0..miners {
            nodes.push(Node::start(&trunk, Habit::Miner, rng.next_u64()));
        }
        for _ in 0..honest {
            let known = 1 + rng.next_u32() as usize % trunk.len();
            let known = if rng.next_u32() % 2 == 0 { 0 } else { known };
            nodes.push(Node::start(&trunk[..known], Habit::Honest, rng.next_u64()));
        }
        for _ in 0..bad {
            let habit = Habit::BAD[rng.next_u32() as usize % Habit::BAD.len()];
            let blocks = if habit == Habit::Dwarf { dwarf(&trunk, &mut rng) } else { trunk.clone() };
            nodes.push(Node::start(&blocks, habit, rng.next_u64()));
        }
        Self {
            rng: RefCell::new(rng),
            nodes,
            sides: RefCell::new(None),
            lines: RefCell::new(Vec::new()),
            bad: RefCell::new(BTreeSet::new()),
            salt: Cell::new(1),
        }
    }

    async fn run(self: &Rc<Self>) -> Report {
        let began = Instant::now();
        let mut links = JoinSet::new();
        for (dialer, dialed) in self.topology() {
            let world = Rc::clone(self);
            links.spawn_local(async move { world.keep(dialer, dialed).await });
        }
        self.live_through_troubles().await;
        let healed = Instant::now();
        let best = self.best();
        while !self.followers().all(|(_, node)| node.store.tip().map(|tip| tip.hash) == best.last().map(Block::hash)) {
            assert!(healed.elapsed() < AGREE_WITHIN, "{}", self.disagreement(&best));
            sleep(Duration::from_millis(100)).await;
        }
        let agreed_after = healed.elapsed();
        self.judge(&best);
        links.shutdown().await;
        Report {
            nodes: self.nodes.len(),
            bad: self.nodes.iter().filter(|node| node.habit.is_bad()).count(),
            blocks: u32::try_from(best.len()).unwrap(),
            reorganised: self.followers().map(|(_, node)| count_reorganised(node)).sum(),
            agreed_after,
            age: began.elapsed(),
        }
    }

    /// Finds blocks, tears the network apart and heals it, in an order of the seed's.
    async fn live_through_troubles(&self) {
        for _ in 0..self.draw(2..6) {
            match self.draw(0..3) {
                0 => self.find_blocks(self.draw(0..2), self.draw(1..6)),
                1 => {
                    self.tear();
                    for _ in 0..self.draw(1..4) {
                        self.find_blocks(0, self.draw(0..8));
                        self.find_blocks(1, self.draw(0..8));
                        self.pass(1..240).await;
                    }
                    self.heal();
                }
                _ => self.pass(1..120).await,
            }
            self.pass(0..30).await;
        }
        // The last block leaves no two branches equal.
        let best = self.best();
        let (height, tip) = (u32::try_from(best.len() - 1).unwrap(), &best[best.len() - 1]);
        let chain = [best.clone(), extend(tip, height, 1, PADDING, self.next_salt())].concat();
        self.miners().for_each(|node| node.mine(&chain));
    }

    async fn pass(&self, seconds: Range<u64>) {
        sleep(Duration::from_secs(self.draw(seconds))).await;
    }

    /// Has a miner find blocks on the best chain that it can know of.
    fn find_blocks(&self, miner: u64, count: u64) {
        let Some(node) = self.miners().nth(usize::try_from(miner).unwrap()) else { return };
        let is_torn = self.sides.borrow().is_some();
        let own = node.store.blocks();
        let base = if is_torn { own } else { self.best() };
        let height = u32::try_from(base.len() - 1).unwrap();
        let more = extend(&base[base.len() - 1], height, u32::try_from(count).unwrap(), PADDING, self.next_salt());
        node.mine(&[base, more].concat());
    }

    /// Returns the longest chain that a miner has.
    fn best(&self) -> Vec<Block> {
        self.miners().map(|node| node.store.blocks()).max_by_key(Vec::len).unwrap()
    }

    fn miners(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.habit == Habit::Miner)
    }

    fn followers(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.habit == Habit::Honest)
    }

    /// Returns who dials whom: honest nodes and miners are joined however the network is torn, each on its side.
    fn topology(&self) -> Vec<(usize, usize)> {
        let mut links = BTreeSet::new();
        let count = self.nodes.len();
        for (index, _) in self.followers() {
            links.extend([(index, 0), (index, 1)]);
            for _ in 0..2 {
                let other = usize::try_from(self.draw(0..count as u64)).unwrap();
                if other != index && !links.contains(&(other, index)) {
                    links.insert((index, other));
                }
            }
            let bad = self.nodes.iter().enumerate().filter(|(_, node)| node.habit.is_bad());
            links.extend(bad.map(|(bad, _)| (index, bad)));
        }
        links.into_iter().collect()
    }

    /// Keeps two nodes joined, as far as the rift lets them.
    async fn keep(&self, dialer: usize, dialed: usize) {
        loop {
            if !self.is_torn_between(dialer, dialed) {
                let (line, ends) = self.line(dialer, dialed);
                self.lines.borrow_mut().push((dialer, dialed, line.clone()));
                let joined = join(&self.nodes[dialer], &self.nodes[dialed], address(dialed), ends).await;
                if let Some([near, far]) = joined {
                    self.note(dialer, near, dialed);
                    self.note(dialed, far, dialer);
                    while is_up(&line) {
                        sleep(Duration::from_secs(1)).await;
                    }
                }
                self.lines.borrow_mut().retain(|(_, _, line)| is_up(line));
            }
            sleep(Duration::from_millis(self.draw(REDIAL))).await;
        }
    }

    fn note(&self, node: usize, peer: PeerId, other: usize) {
        if self.nodes[other].habit.is_bad() {
            self.bad.borrow_mut().insert((node, peer));
        }
    }

    fn line(&self, _: usize, dialed: usize) -> (Line, [crate::wire::End; 2]) {
        let is_bad = self.nodes[dialed].habit.is_bad();
        let trickles = is_bad && self.draw(0..4) == 0;
        let breaks = is_bad && self.draw(0..4) == 0;
        let quality = Quality {
            latency: Duration::from_millis(self.draw(1..250)),
            loss: u32::try_from(self.draw(0..30)).unwrap(),
            rate: if trickles { 300 } else { 1_000_000 },
            breaks_after: if breaks { self.draw(1_000..60_000) } else { u64::MAX },
        };
        let rng = || ChaCha8Rng::seed_from_u64(self.rng.borrow_mut().next_u64());
        Line::new(quality, [rng(), rng()])
    }

    /// Tears the network in two, with a miner on each side.
    fn tear(&self) {
        let side = |index: usize| match index {
            0 | 1 => index == 0,
            _ => self.draw(0..2) == 0,
        };
        let sides: Vec<bool> = (0..self.nodes.len()).map(side).collect();
        self.sides.replace(Some(sides));
        for (dialer, dialed, line) in self.lines.borrow().iter() {
            if self.is_torn_between(*dialer, *dialed) {
                line.cut();
            }
        }
    }

    fn heal(&self) {
        self.sides.replace(None);
        self.lines.borrow().iter().for_each(|(_, _, line)| line.join());
    }

    fn is_torn_between(&self, one: usize, other: usize) -> bool {
        self.sides.borrow().as_ref().is_some_and(|sides| sides[one] != sides[other])
    }

    /// Checks what must hold of every node at the end.
    fn judge(&self, best: &[Block]) {
        let hashes: Vec<BlockHash> = best.iter().map(Block::hash).collect();
        for (index, node) in self.followers() {
            let stored = node.store.blocks();
            assert!(node.is_live(), "the follower of node {index} has ended");
            assert_eq!(stored.iter().map(Block::hash).collect::<Vec<_>>(), hashes, "node {index}");
            assert!(stored.iter().zip(best).all(|(stored, found)| stored.bytes() == found.bytes()), "node {index}");
            for progress in node.told.lock().unwrap().iter() {
                if let Progress::Reported { peer, why } = progress {
                    assert!(self.bad.borrow().contains(&(index, *peer)), "node {index} blames an honest peer: {why:?}");
                }
            }
        }
    }

    fn disagreement(&self, best: &[Block]) -> String {
        let tips = self.followers().map(|(index, node)| {
            let told = node.told.lock().unwrap();
            let last: Vec<_> = told.iter().rev().take(4).rev().collect();
            format!(
                "node {index}: {:?} of {} peers, told last {last:?}",
                node.store.tip(),
                node.set.peers().borrow().total()
            )
        });
        let habits: Vec<_> = self.nodes.iter().map(|node| node.habit).collect();
        format!("no agreement on height {}: {:#?}, nodes {habits:?}", best.len() - 1, tips.collect::<Vec<_>>())
    }

    fn next_salt(&self) -> u8 {
        self.salt.replace(self.salt.get().wrapping_add(1))
    }

    fn draw(&self, range: Range<u64>) -> u64 {
        range.start + self.rng.borrow_mut().next_u64() % (range.end - range.start)
    }
}

/// Returns a chain that parts from the trunk and has fewer blocks.
fn dwarf(trunk: &[Block], rng: &mut ChaCha8Rng) -> Vec<Block> {
    let fork = rng.next_u32() as usize % (trunk.len() - 1);
    let room = u32::try_from(trunk.len() - 2 - fork).unwrap();
    let count = if room == 0 { 0 } else { rng.next_u32() % room };
    let branch = extend(&trunk[fork], u32::try_from(fork).unwrap(), count, PADDING, 0xdd);
    [trunk[..=fork].to_vec(), branch].concat()
}

fn count_reorganised(node: &Node) -> u32 {
    let told = node.told.lock().unwrap();
    u32::try_from(told.iter().filter(|progress| matches!(progress, Progress::Reorganised { .. })).count()).unwrap()
}

fn address(node: usize) -> PeerAddr {
    PeerAddr { host: Host::V4(Ipv4Addr::new(10, u8::try_from(node).unwrap(), 0, 1)), port: 18344 }
}

//! Settling, pruning and rejecting against a tree kept the plain way, and under those who abuse them.

use savanna_chain::{Entry, HeaderChain, HeaderError, Inserted, MAX_REJECTED, MAX_REORG_DEPTH, Rejected, Target, Work};
use savanna_wire::{BlockHash, Network};

use crate::Random;

const EASY: u32 = 0x200f_0f0f;
const HARD: u32 = 0x2000_f0f0;

fn name(number: usize) -> BlockHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&(number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    BlockHash(hash)
}

struct Node {
    hash: BlockHash,
    parent: Option<usize>,
    height: u32,
    work: Work,
    entry: Entry,
}

/// A tree kept as a list, in which everything is looked for.
struct Plain {
    nodes: Vec<Node>,
    live: Vec<usize>,
    best: usize,
    root: u32,
    settled: u32,
    rejected: Vec<BlockHash>,
}

impl Plain {
    fn new(chain: &HeaderChain) -> Self {
        let root = chain.root();
        let node = Node { hash: root.entry.hash, parent: None, height: 0, work: root.work, entry: root.entry };
        Self { nodes: vec![node], live: vec![0], best: 0, root: 0, settled: 0, rejected: Vec::new() }
    }

    fn down(&self, from: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(from), |&at| self.nodes[at].parent)
            .take_while(|&at| self.nodes[at].height >= self.root)
    }

    fn best_chain(&self) -> Vec<usize> {
        self.down(self.best).collect()
    }

    /// The last node that a node's chain shares with the best one.
    fn fork(&self, at: usize) -> usize {
        let best = self.best_chain();
        let top = self.nodes[self.best].height;
        let is_best = |&at: &usize| best.get((top.wrapping_sub(self.nodes[at].height)) as usize) == Some(&at);
        self.down(at).find(is_best).unwrap()
    }

    fn tip(&self) -> (u32, BlockHash) {
        (self.nodes[self.best].height, self.nodes[self.best].hash)
    }

    fn attach(&mut self, parent: usize, bits: u32, chain: &mut HeaderChain) {
        let number = self.nodes.len();
        let entry = Entry { hash: name(number), time: 0, bits };
        let node = Node {
            hash: entry.hash,
            parent: Some(parent),
            height: self.nodes[parent].height + 1,
            work: self.nodes[parent].work.plus(Target::from_compact(bits).unwrap().work()),
            entry,
        };
        let (fork, tip) = (self.fork(parent), self.nodes[self.best].height);
        let fork_height = self.nodes[fork].height;
        let found = chain.attach(entry, self.nodes[parent].hash);
        if parent == fork && fork_height < self.settled {
            assert_eq!(found, Err(HeaderError::TooDeep { fork_height, depth: tip - fork_height }));
            return;
        }
        let expected = if parent == self.best {
            Inserted::Extended
        } else if node.work > self.nodes[self.best].work {
            Inserted::NewBest { fork_height, disconnected: tip - fork_height }
        } else {
            Inserted::Forked
        };
        assert_eq!(found, Ok(expected));
        assert_eq!(chain.attach(entry, self.nodes[parent].hash), Ok(Inserted::Known));
        self.nodes.push(node);
        self.live.push(number);
        if expected != Inserted::Forked {
            self.best = number;
        }
    }

    fn settle(&mut self, height: u32) {
        self.settled = self.settled.max(height.min(self.tip().0));
        let best = self.best_chain();
        let keep = |at: &usize| best.contains(at) || self.nodes[self.fork(*at)].height >= self.settled;
        self.live = self.live.iter().copied().filter(keep).collect();
    }

    fn prune(&mut self, height: u32) {
        let most = self.tip().0.saturating_sub(MAX_REORG_DEPTH + 112);
        let steps = height.min(most).saturating_sub(self.root) / 256;
        if steps > 0 {
            let root = self.root + 256 * steps;
            self.settle(root + 112);
            self.root = root;
            self.live.retain(|&at| self.nodes[at].height >= root);
        }
    }

    fn reject(&mut self, at: usize, chain: &mut HeaderChain) {
        let (hash, height, tip) = (self.nodes[at].hash, self.nodes[at].height, self.tip().0);
        let found = chain.reject(hash);
        if !self.best_chain().contains(&at) {
            assert_eq!(found, Ok(Rejected::Unchanged));
        } else if height <= self.settled {
            assert_eq!(found, Err(HeaderError::TooDeep { fork_height: height, depth: tip - height }));
            return;
        }
        let before = self.best;
        let gone: Vec<usize> =
            self.live.iter().copied().filter(|&each| self.down(each).any(|below| below == at)).collect();
        self.live.retain(|each| !gone.contains(each));
        self.rejected.push(hash);
        if found != Ok(Rejected::Unchanged) {
            self.best = self.nodes[at].parent.unwrap();
            let most = self.live.iter().map(|&each| self.nodes[each].work).max().unwrap();
            if most > self.nodes[self.best].work {
                // Of several with as much work, the one that the tree took.
                let is_it = |&&each: &&usize| self.nodes[each].work == most && self.nodes[each].hash == chain.tip().1;
                self.best = *self.live.iter().find(is_it).expect("the best of what remains");
            }
            let (old, new): (Vec<usize>, Vec<usize>) = (self.down(before).collect(), self.best_chain());
            let shared = old.iter().find(|each| new.contains(each)).unwrap();
            let fork_height = self.nodes[*shared].height;
            assert_eq!(found, Ok(Rejected::NewBest { fork_height, disconnected: tip - fork_height }));
        }
        let again = chain.attach(self.nodes[at].entry, self.nodes[self.nodes[at].parent.unwrap()].hash);
        assert_eq!(again, Err(HeaderError::Rejected { hash }));
        let child = Entry { hash: name(usize::MAX / 2), time: 0, bits: EASY };
        assert_eq!(chain.attach(child, hash), Err(HeaderError::Rejected { hash }));
    }

    fn assert_same(&self, chain: &HeaderChain) {
        let best = self.best_chain();
        assert_eq!((chain.tip(), chain.work()), (self.tip(), self.nodes[self.best].work));
        assert_eq!((chain.root_height(), chain.settled_height()), (self.root, self.settled));
        assert_eq!(chain.root().work, self.nodes[*best.last().unwrap()].work);
        assert_eq!(chain.side_len(), self.live.len() - best.len());
        assert_eq!(chain.entry_at(self.root.wrapping_sub(1)), None);
        for (at, node) in self.nodes.iter().enumerate() {
            assert_eq!(chain.contains(node.hash), self.live.contains(&at), "node {at}");
            let height = best.contains(&at).then_some(node.height);
            assert_eq!(chain.height_of(node.hash), height);
        }
        for &at in &self.live {
            let ends = chain.ancestors(self.nodes[at].hash).last().map(|(height, _)| height);
            assert_eq!(ends, Some(self.root));
        }
        let locator = chain.locator();
        assert_eq!((chain.find_fork(&locator), locator.last()), (Some(self.tip().0), Some(&chain.root().entry.hash)));
    }
}

#[test]
fn any_cuts_leave_the_tree_that_a_plain_search_finds() {
    let mut random = Random::new();
    for round in 0..40 {
        let mut chain = HeaderChain::new(Network::Regtest);
        let mut plain = Plain::new(&chain);
        for step in 0..120 {
            let live = plain.live.len();
            let recent = plain.live[live - 1 - random.below(live.min(12))];
            match random.below(20) {
                0..8 => plain.attach(plain.best, [EASY, HARD][random.below(2)], &mut chain),
                8..14 => plain.attach(recent, [EASY, HARD][random.below(2)], &mut chain),
                14..16 => plain.attach(plain.live[random.below(live)], EASY, &mut chain),
                16..18 if recent > 0 => plain.reject(recent, &mut chain),
                18 if random.below(3) == 0 => {
                    let height = random.upto(plain.tip().0 + 2);
                    plain.settle(height);
                    chain.settle(height);
                }
                _ => chain.prune(u32::MAX),
            }
            if step % 10 == 9 {
                plain.assert_same(&chain);
            }
        }
        assert!(chain.root_height() == 0, "round {round}: a chain so short keeps its root");
    }
}

#[test]
fn a_chain_that_is_pruned_as_it_grows_stays_flat_and_whole() {
    let mut random = Random::new();
    let mut chain = HeaderChain::new(Network::Regtest);
    let mut plain = Plain::new(&chain);
    for step in 0..1_700 {
        plain.attach_quickly(&mut chain);
        if step > 1_300 && random.below(40) == 0 {
            let live = plain.live.len();
            match random.below(4) {
                0 => plain.reject(plain.live[live - 1 - random.below(3)], &mut chain),
                1 => plain.attach(plain.live[random.below(live)], HARD, &mut chain),
                2 => plain.attach(plain.live[live - 1 - random.below(30)], HARD, &mut chain),
                _ => {
                    let height = random.upto(2_000);
                    plain.prune(height);
                    chain.prune(height);
                }
            }
        }
    }
    plain.prune(u32::MAX);
    chain.prune(u32::MAX);
    plain.assert_same(&chain);
    assert!(chain.root_height() >= 256, "{}", chain.root_height());
}

impl Plain {
    /// Adds a header to the best chain, without looking whether it was right.
    fn attach_quickly(&mut self, chain: &mut HeaderChain) {
        let number = self.nodes.len();
        let entry = Entry { hash: name(number), time: 0, bits: EASY };
        let below = &self.nodes[self.best];
        let work = below.work.plus(Target::from_compact(EASY).unwrap().work());
        assert_eq!(chain.attach(entry, below.hash), Ok(Inserted::Extended));
        let node = Node { hash: entry.hash, parent: Some(self.best), height: below.height + 1, work, entry };
        self.nodes.push(node);
        self.live.push(number);
        self.best = number;
    }
}

/// Adds `count` headers on top of `previous`, numbered from `first`, and returns the last one's result.
fn extend(
    chain: &mut HeaderChain,
    first: usize,
    count: usize,
    mut previous: BlockHash,
) -> Result<Inserted, HeaderError> {
    let mut last = Ok(Inserted::Known);
    for number in first..first + count {
        last = chain.attach(Entry { hash: name(number), time: 0, bits: EASY }, previous);
        previous = name(number);
    }
    last
}

#[test]
fn a_following_node_keeps_what_it_needs_and_no_more() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let mut most = 0;
    for number in 0..10_000 {
        let (_, tip) = chain.tip();
        extend(&mut chain, number, 1, tip).unwrap();
        chain.prune(u32::MAX);
        most = most.max(chain.tip().0 - chain.root_height());
    }
    assert_eq!(most, MAX_REORG_DEPTH + 112 + 255);
    let tip = chain.tip().0;
    let deepest = chain.hash_at(tip - MAX_REORG_DEPTH).unwrap();
    assert!(chain.context(deepest).is_ok(), "the deepest fork that is followed can be judged");
    assert_eq!(extend(&mut chain, 50_000, 1_000, deepest), Ok(Inserted::Forked));
    let taken = extend(&mut chain, 51_000, 1, name(50_999));
    assert_eq!(taken, Ok(Inserted::NewBest { fork_height: tip - 1_000, disconnected: 1_000 }));
    let lowest = chain.hash_at(chain.settled_height()).unwrap();
    assert!(chain.context(lowest).is_ok(), "whatever can be replaced can be judged");
}

#[test]
fn adversary_19_a_branch_from_below_what_is_settled_takes_no_memory() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 3_000, genesis).unwrap();
    extend(&mut chain, 10_000, 500, name(99)).unwrap();
    assert_eq!(chain.side_len(), 500);
    chain.settle(2_000);
    assert_eq!((chain.side_len(), chain.settled_height()), (0, 2_000));
    let refused = chain.attach(Entry { hash: name(20_000), time: 0, bits: HARD }, name(1_998));
    assert_eq!(refused, Err(HeaderError::TooDeep { fork_height: 1_999, depth: 1_001 }));
    assert_eq!(extend(&mut chain, 30_000, 1, name(1_999)), Ok(Inserted::Forked), "the last that is settled may fork");
    chain.settle(1_000);
    assert_eq!(chain.settled_height(), 2_000, "what is settled stays so");
    chain.settle(u32::MAX);
    assert_eq!((chain.settled_height(), chain.side_len()), (3_000, 0));
    assert_eq!(chain.reject(name(2_999)), Err(HeaderError::TooDeep { fork_height: 3_000, depth: 0 }));
    assert_eq!(extend(&mut chain, 40_000, 5, name(2_999)), Ok(Inserted::Extended));
}

#[test]
fn the_memory_of_what_was_rejected_is_bounded() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    let entry = |number| Entry { hash: name(number), time: 0, bits: EASY };
    for number in 0..=MAX_REJECTED {
        assert_eq!(chain.reject(name(number)), Ok(Rejected::Unchanged));
    }
    assert_eq!(chain.attach(entry(1), genesis), Err(HeaderError::Rejected { hash: name(1) }));
    assert_eq!(chain.attach(entry(0), genesis), Ok(Inserted::Extended), "the oldest was forgotten");
    chain.readmit(name(1));
    assert_eq!(chain.attach(entry(1), genesis), Ok(Inserted::Forked));
    assert_eq!(chain.attach(entry(2), genesis), Err(HeaderError::Rejected { hash: name(2) }));
    assert_eq!(chain.reject(genesis), Err(HeaderError::TooDeep { fork_height: 0, depth: 1 }), "the root stays");
}

#[test]
fn a_rejected_end_gives_way_to_the_branch_with_most_work() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 600, genesis).unwrap();
    extend(&mut chain, 1_000, 300, name(99)).unwrap();
    extend(&mut chain, 2_000, 200, name(399)).unwrap();
    extend(&mut chain, 3_000, 20, name(590)).unwrap();
    assert_eq!(chain.tip(), (611, name(3_019)));
    let taken = chain.reject(name(500));
    assert_eq!(taken, Ok(Rejected::NewBest { fork_height: 400, disconnected: 211 }));
    assert_eq!((chain.tip(), chain.side_len()), ((600, name(2_199)), 300 + 100));
    let cut = chain.reject(name(399));
    assert_eq!(cut, Ok(Rejected::NewBest { fork_height: 100, disconnected: 500 }), "what hung on it went with it");
    assert_eq!((chain.tip(), chain.side_len()), ((400, name(1_299)), 299));
    assert_eq!(chain.reject(name(1_000)), Ok(Rejected::NewBest { fork_height: 100, disconnected: 300 }));
    assert_eq!((chain.tip(), chain.side_len()), ((399, name(398)), 0));
}

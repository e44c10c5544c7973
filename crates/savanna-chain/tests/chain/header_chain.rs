//! The tree of headers against a tree kept the plain way, under floods, and over real headers.

use proptest::collection::vec;
use proptest::prelude::*;
use savanna_chain::{Entry, HeaderChain, HeaderError, Inserted, MAX_SIDE_HEADERS, Parameters, Root, Target, Work};
use savanna_wire::{BlockHash, MAX_LOCATOR, Network};

use crate::{NOW, Random, real_blocks, runner};

const EASY: u32 = 0x200f_0f0f;
/// A target a sixteenth of the easy one.
const HARD: u32 = 0x2000_f0f0;

/// A name that depends on a number alone; numbers that differ by 1000 share their first bytes.
fn name(number: u32) -> BlockHash {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&(number % 1000).wrapping_mul(0x9e37_79b1).to_le_bytes());
    hash[20..24].copy_from_slice(&(number + 1).to_le_bytes());
    BlockHash(hash)
}

fn insert(chain: &mut HeaderChain, number: u32, previous: BlockHash, bits: u32) -> Result<Inserted, HeaderError> {
    chain.attach(Entry { hash: name(number), time: number, bits }, previous)
}

/// Adds `count` headers, numbered from `first`, one on another on top of `previous`; returns the last result.
fn extend(chain: &mut HeaderChain, first: u32, count: u32, mut previous: BlockHash, bits: u32) -> Inserted {
    let mut last = Inserted::Known;
    for number in first..first + count {
        last = insert(chain, number, previous, bits).unwrap();
        previous = name(number);
    }
    last
}

/// A tree kept as a list, in which everything is looked for.
struct Plain {
    nodes: Vec<(BlockHash, Option<usize>, Work, u32)>,
    best: usize,
}

impl Plain {
    fn new(root: Root) -> Self {
        Self { nodes: vec![(root.entry.hash, None, root.work, root.height)], best: 0 }
    }

    fn insert(&mut self, hash: BlockHash, parent: usize, bits: u32) {
        let (_, _, work, height) = self.nodes[parent];
        let work = work.plus(Target::from_compact(bits).unwrap().work());
        self.nodes.push((hash, Some(parent), work, height + 1));
        if work > self.nodes[self.best].2 {
            self.best = self.nodes.len() - 1;
        }
    }

    /// Hashes from a node to the root.
    fn down(&self, from: usize) -> Vec<BlockHash> {
        std::iter::successors(Some(from), |&at| self.nodes[at].1).map(|at| self.nodes[at].0).collect()
    }
}

#[test]
fn any_tree_has_the_best_chain_that_a_plain_search_finds() {
    let step = (any::<prop::sample::Index>(), 0..5_usize, any::<bool>());
    let steps = vec(step, 1..150);
    runner(300)
        .run(&steps, |steps| {
            let root = Root::genesis(Network::Regtest);
            let (mut chain, mut plain) =
                (HeaderChain::with_root(Parameters::of(Network::Regtest), root), Plain::new(root));
            for (number, (any_parent, kind, hard)) in (0..).zip(steps) {
                let parent = if kind < 3 { any_parent.index(plain.nodes.len()) } else { plain.best };
                let bits = if hard { HARD } else { EASY };
                let (old_best, previous) = (plain.down(plain.best), plain.nodes[parent].0);
                plain.insert(name(number), parent, bits);
                let new_best = plain.down(plain.best);
                let inserted = insert(&mut chain, number, previous, bits).unwrap();
                let expected = if new_best[0] == old_best[0] {
                    Inserted::Forked
                } else if new_best[1] == old_best[0] {
                    Inserted::Extended
                } else {
                    let shared = old_best.iter().rev().zip(new_best.iter().rev()).take_while(|(a, b)| a == b).count();
                    let fork_height = u32::try_from(shared).unwrap() - 1;
                    Inserted::NewBest { fork_height, disconnected: u32::try_from(old_best.len() - shared).unwrap() }
                };
                prop_assert_eq!(inserted, expected);
                prop_assert_eq!(insert(&mut chain, number, previous, bits), Ok(Inserted::Known));
                same(&chain, &plain)?;
            }
            Ok(())
        })
        .unwrap();
}

fn same(chain: &HeaderChain, plain: &Plain) -> Result<(), TestCaseError> {
    let best = plain.down(plain.best);
    let height = u32::try_from(best.len()).unwrap() - 1;
    prop_assert_eq!(chain.tip(), (height, best[0]));
    prop_assert_eq!(chain.work(), plain.nodes[plain.best].2);
    prop_assert_eq!(chain.side_len(), plain.nodes.len() - best.len());
    for (above, &hash) in (0..).zip(&best) {
        prop_assert_eq!(chain.hash_at(height - above), Some(hash));
        prop_assert_eq!(chain.height_of(hash), Some(height - above));
        prop_assert_eq!(chain.next(hash), (above > 0).then(|| best[above as usize - 1]));
    }
    prop_assert_eq!(chain.hash_at(height + 1), None);
    for (at, &(hash, _, _, height)) in plain.nodes.iter().enumerate() {
        prop_assert!(chain.contains(hash));
        prop_assert_eq!(chain.height_of(hash).is_some(), best.contains(&hash));
        let down: Vec<(u32, BlockHash)> = chain.ancestors(hash).map(|(height, entry)| (height, entry.hash)).collect();
        prop_assert_eq!(down.iter().map(|&(_, hash)| hash).collect::<Vec<_>>(), plain.down(at));
        prop_assert_eq!(down[0].0, height);
    }
    Ok(())
}

#[test]
fn real_headers_link_up_from_the_known_genesis() {
    for network in [Network::Mainnet, Network::Testnet] {
        let mut chain = HeaderChain::new(network);
        for (_, height, block) in real_blocks().filter(|&(of, height, _)| of == network && height <= 10) {
            let inserted = chain.insert(block.header(), block.hash(), NOW).unwrap();
            assert_eq!(inserted, if height == 0 { Inserted::Known } else { Inserted::Extended });
            let Entry { hash, time, bits } = chain.entry_at(height).unwrap();
            assert_eq!(
                (hash, time, bits),
                (block.hash(), block.header().time, block.header().bits),
                "{network} {height}"
            );
        }
        assert_eq!(chain.tip().0, 10);
        let (_, _, far) = real_blocks().find(|&(of, height, _)| of == network && height > 100).unwrap();
        let previous = far.header().previous;
        assert_eq!(chain.insert(far.header(), far.hash(), NOW), Err(HeaderError::Orphan { previous }));
    }
}

#[test]
fn an_entry_of_the_best_chain_takes_40_bytes() {
    assert_eq!(size_of::<Entry>(), 40);
}

#[test]
fn of_branches_with_equal_work_the_one_seen_first_stays() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 3, genesis, EASY);
    assert_eq!(extend(&mut chain, 10, 3, genesis, EASY), Inserted::Forked);
    assert_eq!(chain.tip(), (3, name(2)));
    let taken = extend(&mut chain, 13, 1, name(12), EASY);
    assert_eq!(taken, Inserted::NewBest { fork_height: 0, disconnected: 3 });
    let back = insert(&mut chain, 3, name(2), HARD).unwrap();
    assert_eq!(back, Inserted::NewBest { fork_height: 0, disconnected: 4 });
    assert_eq!(chain.tip(), (4, name(3)), "fewer headers, more work");
}

#[test]
fn a_deep_switch_keeps_heights_and_work_right() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 3_000, genesis, EASY);
    let unit = Target::from_compact(EASY).unwrap().work();
    let times = |count: u32| (0..count).fold(Work::ZERO, |work, _| work.plus(unit));
    assert_eq!(chain.work(), times(3_001));
    extend(&mut chain, 10_000, 2_300, name(699), EASY);
    assert_eq!(chain.tip().1, name(2_999));
    let over = extend(&mut chain, 12_300, 1, name(12_299), EASY);
    assert_eq!(over, Inserted::NewBest { fork_height: 700, disconnected: 2_300 });
    assert_eq!((chain.tip(), chain.work()), ((3_001, name(12_300)), times(3_002)));
    assert_eq!((chain.hash_at(700), chain.hash_at(701)), (Some(name(699)), Some(name(10_000))));
    assert_eq!((chain.height_of(name(700)), chain.side_len()), (None, 2_300));
    let back = extend(&mut chain, 3_000, 2, name(2_999), EASY);
    assert_eq!(back, Inserted::NewBest { fork_height: 700, disconnected: 2_301 });
    assert_eq!((chain.tip(), chain.work()), ((3_002, name(3_001)), times(3_003)));
    assert_eq!(chain.height_of(name(2_500)), Some(2_501));
}

#[test]
fn a_locator_finds_the_fork_from_any_distance() {
    let mut ours = HeaderChain::new(Network::Regtest);
    let genesis = ours.tip().1;
    extend(&mut ours, 0, 20_000, genesis, EASY);
    let locator = ours.locator();
    let heights: Vec<u32> = locator.iter().map(|&hash| ours.height_of(hash).unwrap()).collect();
    assert_eq!(
        heights[..12],
        [20_000, 19_999, 19_998, 19_997, 19_996, 19_995, 19_994, 19_993, 19_992, 19_991, 19_989, 19_985]
    );
    assert!(heights.windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(heights.last(), Some(&0));
    assert!(locator.len() <= MAX_LOCATOR && locator.len() < 32, "{}", locator.len());

    for shared in [0, 1, 5, 19_000, 19_995] {
        let mut theirs = HeaderChain::new(Network::Regtest);
        extend(&mut theirs, 0, shared, genesis, EASY);
        let tip = theirs.tip().1;
        extend(&mut theirs, 30_000, 100, tip, EASY);
        let fork = theirs.find_fork(&locator).unwrap();
        assert!(fork <= shared && 20_000 - fork <= 2 * (20_000 - shared), "{shared}: {fork}");
    }
    assert_eq!(ours.find_fork(&[name(99_999)]), None);
    assert_eq!(ours.find_fork(&[]), None);
    assert_eq!(HeaderChain::new(Network::Regtest).locator(), vec![genesis]);
}

#[test]
fn the_longest_chain_imaginable_still_has_a_legal_locator() {
    let root = Root { height: u32::MAX - 5, ..Root::genesis(Network::Regtest) };
    let mut chain = HeaderChain::with_root(Parameters::of(Network::Regtest), root);
    extend(&mut chain, 0, 5, root.entry.hash, EASY);
    assert_eq!(chain.tip().0, u32::MAX);
    for previous in [name(4), name(3)] {
        let beside = insert(&mut chain, 100, previous, EASY);
        assert_eq!(beside, if previous == name(4) { Err(HeaderError::TooHigh) } else { Ok(Inserted::Forked) });
    }
    assert_eq!(insert(&mut chain, 101, name(100), EASY), Err(HeaderError::TooHigh));
    assert_eq!(chain.locator().len(), 6);
    assert_eq!(chain.next(name(4)), None);
    assert_eq!(chain.hash_at(0), None);
}

#[test]
fn hashes_after_run_to_the_stop_the_limit_or_the_tip() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 20, genesis, EASY);
    extend(&mut chain, 50, 3, name(4), EASY);
    let named = |range: std::ops::Range<u32>| range.map(name).collect::<Vec<_>>();
    assert_eq!(chain.hashes_after(genesis, BlockHash::ZERO, 500), named(0..20));
    assert_eq!(chain.hashes_after(genesis, BlockHash::ZERO, 7), named(0..7));
    assert_eq!(chain.hashes_after(name(3), name(8), 500), named(4..9));
    assert_eq!(chain.hashes_after(name(3), name(1), 500), named(4..20), "a stop behind stops nothing");
    assert_eq!(chain.hashes_after(name(19), BlockHash::ZERO, 500), vec![]);
    assert_eq!(chain.hashes_after(name(51), BlockHash::ZERO, 500), vec![], "not on the best chain");
    assert_eq!(chain.hashes_after(name(999), BlockHash::ZERO, 500), vec![]);
}

#[test]
fn a_chain_on_a_later_root_knows_nothing_below_it() {
    let entry = Entry { hash: name(0), time: 7, bits: EASY };
    let root = Root { height: 1_000, entry, work: Work::from_le_bytes([3; 32]) };
    let mut chain = HeaderChain::with_root(Parameters::of(Network::Regtest), root);
    extend(&mut chain, 1, 300, name(0), EASY);
    extend(&mut chain, 500, 290, name(5), EASY);
    assert_eq!((chain.root_height(), chain.tip()), (1_000, (1_300, name(300))));
    assert_eq!(
        extend(&mut chain, 790, 6, name(789), EASY),
        Inserted::NewBest { fork_height: 1_005, disconnected: 295 }
    );
    assert_eq!((chain.hash_at(999), chain.hash_at(1_000)), (None, Some(name(0))));
    assert_eq!(chain.locator().last(), Some(&name(0)));
    assert_eq!(chain.ancestors(name(300)).last().unwrap(), (1_000, entry));
    assert_eq!(chain.ancestors(name(9_999)).count(), 0);
}

#[test]
fn restored_headers_make_the_chain_that_inserted_ones_made() {
    let mut inserted = HeaderChain::new(Network::Regtest);
    let genesis = inserted.tip().1;
    extend(&mut inserted, 0, 700, genesis, EASY);
    extend(&mut inserted, 700, 50, name(699), HARD);
    let mut restored = HeaderChain::new(Network::Regtest);
    (1..=750).for_each(|height| restored.restore(inserted.entry_at(height).unwrap()));
    assert_eq!((restored.tip(), restored.work()), (inserted.tip(), inserted.work()));
    assert_eq!(restored.locator(), inserted.locator());
    let next = insert(&mut restored, 900, name(100), HARD);
    assert_eq!((next, insert(&mut inserted, 900, name(100), HARD)), (Ok(Inserted::Forked), Ok(Inserted::Forked)));
    assert_eq!(restored.hashes_after(genesis, name(749), 1_000), inserted.hashes_after(genesis, name(749), 1_000));
}

#[test]
fn adversary_19_orphans_and_bits_that_name_no_target_leave_no_trace() {
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    assert!(matches!(insert(&mut chain, 1, genesis, 0), Err(HeaderError::Target(_))));
    let orphan = insert(&mut chain, 1, name(77), EASY);
    assert_eq!(orphan, Err(HeaderError::Orphan { previous: name(77) }));
    assert!(!chain.contains(name(1)) && chain.side_len() == 0);
}

#[test]
fn adversary_13_times_at_the_extremes_are_kept_and_not_believed() {
    let mut chain = HeaderChain::new(Network::Mainnet);
    for (number, time) in [(0, 0), (1, u32::MAX), (2, 1 << 31)] {
        let previous = chain.tip().1;
        assert_eq!(chain.attach(Entry { hash: name(number), time, bits: EASY }, previous), Ok(Inserted::Extended));
        assert_eq!(chain.entry_at(number + 1).unwrap().time, time);
    }
}

#[test]
fn adversary_19_low_work_branches_fill_a_bounded_room_and_move_nothing() {
    let most = u32::try_from(MAX_SIDE_HEADERS).unwrap();
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 2_000, genesis, HARD);
    let (tip, work) = (chain.tip(), chain.work());

    // Headers side by side, from different depths.
    let mut random = Random::new();
    for number in 0..most + 3_000 {
        let parent = name(u32::try_from(random.below(1_000)).unwrap());
        let result = insert(&mut chain, 100_000 + number, parent, EASY);
        assert!(matches!(result, Ok(Inserted::Forked) | Err(HeaderError::LowWork)), "{result:?}");
        assert!(chain.side_len() <= MAX_SIDE_HEADERS);
    }
    assert_eq!((chain.side_len(), chain.tip(), chain.work()), (MAX_SIDE_HEADERS, tip, work));
    let low = insert(&mut chain, 900_000, genesis, EASY);
    assert_eq!(low, Err(HeaderError::LowWork));
    assert!(!chain.contains(name(900_000)));

    // An honest branch finds room all the same, and wins.
    let inserted = extend(&mut chain, 500_000, 1_001, name(999), HARD);
    assert_eq!(inserted, Inserted::NewBest { fork_height: 1_000, disconnected: 1_000 });
    assert!(chain.side_len() <= MAX_SIDE_HEADERS);
    assert_eq!(chain.tip(), (2_001, name(501_000)));
    assert!(chain.contains(name(1_999)), "the chain that was best outlives lesser branches");
}

#[test]
fn adversary_19_one_endless_branch_of_low_work_stops_growing() {
    let most = u32::try_from(MAX_SIDE_HEADERS).unwrap();
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 2_000, genesis, HARD);
    let tip = chain.tip();
    assert_eq!(extend(&mut chain, 100_000, most, genesis, EASY), Inserted::Forked);
    let next = insert(&mut chain, 100_000 + most, name(100_000 + most - 1), EASY);
    assert_eq!(next, Err(HeaderError::LowWork));
    assert_eq!((chain.side_len(), chain.tip()), (MAX_SIDE_HEADERS, tip));
    let better = insert(&mut chain, 700_000, name(1_900), HARD);
    assert_eq!(better, Ok(Inserted::Forked), "a branch with more work displaces the end of the flood");
    assert!(!chain.contains(name(100_000 + most - 1)));
}

#[test]
fn adversary_19_a_switch_away_from_a_long_chain_keeps_the_room_bounded() {
    let most = u32::try_from(MAX_SIDE_HEADERS).unwrap();
    let mut chain = HeaderChain::new(Network::Regtest);
    let genesis = chain.tip().1;
    extend(&mut chain, 0, 2_000, genesis, EASY);
    for number in 0..most {
        insert(&mut chain, 100_000 + number, name(number % 900), EASY).unwrap();
    }
    let inserted = extend(&mut chain, 200_000, 63, name(999), HARD);
    assert_eq!(inserted, Inserted::NewBest { fork_height: 1_000, disconnected: 1_000 });
    assert_eq!(chain.side_len(), MAX_SIDE_HEADERS, "63 places became free, 1000 were asked for");
    assert!(chain.contains(name(1_999)), "the chain that was best outlives lesser branches");
    for number in 0..50 {
        assert_eq!(insert(&mut chain, 300_000 + number, name(200_060), EASY), Ok(Inserted::Forked));
        assert_eq!(chain.side_len(), MAX_SIDE_HEADERS);
    }
    assert!(chain.contains(name(1_999)));
}

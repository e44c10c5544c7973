//! The climb by lists alone, list by list.

use savanna_chain::HeaderChain;
use savanna_wire::{Block, Network};

use super::super::climb::{Climb, Fall, LACKED_FOR};
use super::*;

const PEER: PeerId = PeerId(5);

fn hashes(blocks: &[Block]) -> Vec<BlockHash> {
    blocks.iter().map(Block::hash).collect()
}

fn listed(blocks: &[Block]) -> Listed {
    Listed { peer: PEER, hashes: hashes(blocks) }
}

fn sight(height: u32, block: &Block) -> Sight {
    Sight { height, hash: block.hash(), previous: block.header().previous }
}

fn on(blocks: &[Block]) -> HeaderChain {
    let mut tree = HeaderChain::new(Network::Regtest);
    for block in &blocks[1..] {
        tree.insert(block.header(), block.hash(), u64::MAX).unwrap();
    }
    tree
}

#[test]
fn full_lists_are_followed_by_the_next_and_a_short_one_ends_the_climb() {
    let chain = chain(1200, 10);
    let tree = on(&chain[..1]);
    let mut climb = Climb::new(&tree, None);
    let ask = climb.poll_ask(&tree, 0).unwrap();
    assert_eq!((ask.whom, ask.locator), (Whom::Anybody, vec![chain[0].hash()]));
    assert_eq!(climb.poll_ask(&tree, 0), None, "one at a time");
    for (from, to) in [(1, 500), (501, 1000), (1001, 1200)] {
        if from > 1 {
            let ask = climb.poll_ask(&tree, 0).unwrap();
            assert_eq!((ask.whom, ask.locator[0]), (Whom::First(PEER), chain[from - 1].hash()));
        }
        assert_eq!(climb.handle_list(&tree, listed(&chain[from..=to])), None);
        assert_eq!((climb.top() as usize, climb.hash_at(to as u32)), (to, Some(chain[to].hash())));
    }
    assert_eq!(climb.poll_ask(&tree, 5000), None);
    (1..=1200).for_each(|height| assert_eq!(climb.handle_sight(&sight(height, &chain[height as usize])), None));
    (1..=1200).for_each(|_| climb.handle_kept());
    assert!(climb.is_over());
}

#[test]
fn lists_are_kept_no_further_ahead_than_a_bound() {
    let chain = chain(3000, 10);
    let tree = on(&chain[..1]);
    let mut climb = Climb::new(&tree, None);
    for from in (1..).step_by(500) {
        let Some(_) = climb.poll_ask(&tree, 0) else { break };
        assert_eq!(climb.handle_list(&tree, listed(&chain[from..from + 500])), None);
    }
    assert_eq!(climb.top(), 1500);
    assert!(climb.poll_ask(&tree, 1).is_some());
    let mut climb = Climb::new(&tree, Some(20));
    assert!(climb.poll_ask(&tree, 0).is_some());
    assert_eq!(climb.handle_list(&tree, listed(&chain[1..501])), None);
    assert_eq!((climb.top(), climb.poll_ask(&tree, 0)), (20, None));
}

#[test]
fn adversary_19_a_list_whose_blocks_do_not_link_is_blamed_and_the_climb_ends_below() {
    let chain = chain(100, 10);
    let tree = on(&chain[..1]);
    let mut climb = Climb::new(&tree, None);
    let mut list = listed(&chain[1..=100]);
    list.hashes.swap(49, 50);
    assert!(climb.poll_ask(&tree, 0).is_some());
    assert_eq!(climb.handle_list(&tree, list), None);
    assert_eq!(climb.handle_sight(&sight(49, &chain[49])), None);
    assert_eq!(climb.handle_sight(&sight(50, &chain[51])), Some(Fall { to: 49, liar: Some(PEER) }));
    assert_eq!((climb.top(), climb.is_over()), (49, false));
    assert_eq!(climb.handle_sight(&sight(51, &chain[50])), None, "it is cut off already");
}

#[test]
fn a_peer_of_another_branch_is_not_blamed() {
    let chain = chain(50, 10);
    let branch = extend(&chain[40], 40, 20, 10, 3);
    let tree = on(&chain);
    // It parts from ours at a height that the locator does not name: its list begins with blocks of ours.
    let mut climb = Climb::new(&tree, None);
    assert!(climb.poll_ask(&tree, 0).is_some());
    let both: Vec<Block> = chain[37..=40].iter().chain(&branch).cloned().collect();
    assert_eq!(climb.handle_list(&tree, listed(&both)), None);
    assert!(climb.is_over());
    // Or at one that it does.
    let mut climb = Climb::new(&tree, None);
    assert!(climb.poll_ask(&tree, 0).is_some());
    assert_eq!(climb.handle_list(&tree, listed(&branch)), None);
    assert_eq!(climb.handle_sight(&sight(51, &branch[0])), Some(Fall { to: 50, liar: None }));
    assert!(climb.is_over());
}

#[test]
fn a_list_that_repeats_itself_is_blamed() {
    let chain = chain(50, 10);
    let tree = on(&chain[..1]);
    let mut climb = Climb::new(&tree, None);
    assert!(climb.poll_ask(&tree, 0).is_some());
    let twice: Vec<Block> = chain[1..30].iter().chain(&chain[20..50]).cloned().collect();
    assert_eq!(climb.handle_list(&tree, listed(&twice)), Some(PEER));
}

#[test]
fn adversary_22_what_nobody_has_ends_the_climb_below_it_after_a_while() {
    let chain = chain(50, 10);
    let tree = on(&chain[..1]);
    let mut climb = Climb::new(&tree, None);
    assert!(climb.poll_ask(&tree, 0).is_some());
    assert_eq!(climb.handle_list(&tree, listed(&chain[1..])), None);
    assert_eq!(climb.handle_lack(20, LACKED_FOR / 2), None);
    assert_eq!(climb.handle_lack(20, LACKED_FOR), Some(Fall { to: 19, liar: None }));
    assert_eq!(climb.top(), 19);
}

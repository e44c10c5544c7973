//! Known ground against generated peers under a virtual clock, and against each kind of list alone.
#![allow(clippy::cast_possible_truncation, reason = "a test's numbers are small")]

use savanna_sim::regtest::{chain, extend};

use super::*;
use crate::download::Limits;

mod climb;
mod world;

use world::{Tongue, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn f8_whatever_peers_list_and_withhold_the_chain_is_stored_whole_and_nothing_else() {
    for seed in 0..200 {
        World::generated(seed).run();
    }
}

#[test]
fn f8_lists_are_asked_for_side_by_side_and_their_blocks_fetched_at_once() {
    let mut world = World::new(2000, 100, 0, Limits::default(), &[Tongue::Honest; 8]);
    world.run();
    assert_eq!(world.most_lists, MOST_ASKED);
    // One range after the other takes twenty times a list and blocks, of 50 ms each.
    assert!(world.now < SECOND, "{:?}", world.now);
    assert_eq!(world.asked, 2001);
}

#[test]
fn a_ground_begins_in_the_middle_of_a_range_where_an_archive_ends_there() {
    for held in [1, 2, 99, 100, 101, 102, 150, 399] {
        let mut world = World::new(400, 100, held, Limits::default(), &[Tongue::Honest]);
        world.run();
        assert_eq!(world.asked, 401 - held);
    }
    let mut world = World::new(400, 100, 399, Limits::default(), &[Tongue::Honest]);
    let checkpoints = world.ground.checkpoints.clone();
    world.run();
    assert!(Ground::new(&checkpoints, Some((400, world.chain[400].hash())), None).is_none());
    assert!(Ground::new(&checkpoints, Some((7, world.chain[7].hash())), Some(99)).is_none());
    assert_eq!(Ground::new(&checkpoints, None, Some(399)).unwrap().end(), 300);
}

#[test]
fn adversary_19_each_list_that_is_false_costs_its_giver_the_connection_and_stores_nothing() {
    for lie in [Tongue::Invents, Tongue::Branches, Tongue::Swaps] {
        let mut world = World::new(1000, 50, 0, Limits::default(), &[lie, Tongue::Honest]);
        world.run();
        assert_eq!(world.reported, [PeerId(1)].into(), "{lie:?}");
        assert!(world.now < 20 * SECOND, "{lie:?}: {:?}", world.now);
    }
}

#[test]
fn adversary_22_a_peer_that_is_behind_or_rambles_is_passed_over_and_not_blamed() {
    for tongue in [Tongue::Behind(0), Tongue::Behind(120), Tongue::Repeats, Tongue::Rambles, Tongue::Silent] {
        let mut world = World::new(600, 50, 0, Limits::default(), &[tongue, tongue, Tongue::Honest]);
        world.run();
        assert!(world.reported.is_empty(), "{tongue:?}");
        assert!(world.now < 40 * SECOND, "{tongue:?}: {:?}", world.now);
    }
}

#[test]
fn a_list_without_its_last_hash_is_completed() {
    let mut world = World::new(300, 30, 0, Limits::default(), &[Tongue::Scant]);
    world.run();
    assert!(world.now < SECOND, "{:?}", world.now);
}

#[test]
fn a_range_larger_than_the_budget_is_proven_all_the_same() {
    for bytes in [1, 1000, 5000, 20_000] {
        let limits = Limits { bytes, ..Limits::default() };
        let mut world = World::new(200, 100, 0, limits, &[Tongue::Honest]);
        world.run();
        let counts = world.download.counts();
        assert!(counts.refetched.no_room > 0 && counts.arrived >= 201, "{counts:?}");
    }
}

#[test]
fn an_archive_of_another_chain_contradicts_the_checkpoint_above_it() {
    let mut world = World::new(300, 100, 150, Limits::default(), &[Tongue::Honest]);
    let checkpoints = world.ground.checkpoints.clone();
    let other = extend(&world.chain[100], 100, 49, 100, 3);
    world.ground = Ground::new(&checkpoints, Some((149, other[48].hash())), None).unwrap();
    while world.ground.contradicted.is_none() {
        world.step();
        if world.ground.contradicted.is_some() {
            break;
        }
    }
    assert_eq!(world.ground.failure(world.now), Some(GroundFailure::Contradicted { height: 200 }));
    assert_eq!(world.stored.len(), 150, "nothing is put on top of it");
}

#[test]
fn adversary_22_lists_that_nobody_gives_end_it_after_a_bound() {
    let chain = chain(100, 50);
    let checkpoints = Checkpoints::new([(0, chain[0].hash()), (100, chain[100].hash())]).unwrap();
    for is_answered in [true, false] {
        let mut ground = Ground::new(&checkpoints, None, None).unwrap();
        let (mut now, mut failure) = (Duration::ZERO, None);
        while failure.is_none() {
            if let Some(GroundAction::Ask { ask, .. }) = ground.poll_action(0, now) {
                now += Duration::from_millis(20);
                if is_answered {
                    let short = chain[1..50].iter().map(|block| block.hash()).collect();
                    ground.handle_lists(ask, vec![Listed { peer: PeerId(1), hashes: short }], now);
                } else {
                    ground.handle_failed(ask, now);
                }
            } else {
                now = ground.poll_timeout().unwrap();
            }
            failure = ground.failure(now);
        }
        let expected = if is_answered { GroundFailure::Unreached { height: 100 } } else { GroundFailure::Silent };
        assert_eq!(failure, Some(expected));
        assert!(now < UNREACHED_AFTER + 10 * SECOND, "{now:?}");
    }
}

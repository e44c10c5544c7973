//! The download against generated peers under a virtual clock, and against each kind of peer alone.

use super::*;
use savanna_sim::regtest::{chain, extend, with_wrong_body};

mod world;

use world::{Habit, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn honest(pace: u64) -> Habit {
    Habit { pace: MS * u32::try_from(pace).unwrap(), ..Habit::default() }
}

fn silent() -> Habit {
    Habit { silent_after: Some(0), ..Habit::default() }
}

#[test]
fn f8_whatever_the_peers_do_all_blocks_arrive_in_order_once() {
    for seed in 0..150 {
        let mut world = World::generated(seed);
        world.run_to_the_end();
        assert!(!world.gone.contains_key(&0), "the honest peer keeps its place");
    }
}

#[test]
fn whatever_the_peers_do_forks_in_the_middle_are_followed() {
    for seed in 1000..1060 {
        let mut world = World::generated(seed);
        for turn in 0..4 {
            for _ in 0..seed % 40 {
                world.step();
            }
            world.fork(seed, turn);
        }
        world.run_to_the_end();
    }
}

#[test]
fn f8_bodies_come_from_every_peer_in_parallel() {
    let mut world = World::new(chain(2000, 500), Limits::default());
    (0..4).for_each(|_| world.join(honest(10)));
    world.run_to_the_end();
    // 2001 blocks of 10 ms each are 20 s from one peer.
    assert!(world.now < 6 * SECOND, "{:?}", world.now);
    assert!(world.delivered.values().all(|&blocks| blocks > 300), "{:?}", world.delivered);
    assert_eq!(world.download.refetched(), 0);
}

#[test]
fn a_fast_peer_deserves_a_wider_window_and_a_slow_one_does_not() {
    let mut world = World::new(chain(3000, 500), Limits::default());
    world.join(honest(1));
    world.join(honest(60));
    world.run_to_the_end();
    assert_eq!(world.widest[&0], 48);
    assert_eq!(world.widest[&1], 16);
    assert!(world.delivered[&0] > 20 * world.delivered[&1]);
    assert!(world.gone.is_empty());
}

#[test]
fn adversary_22_a_silent_peer_is_replaced_within_seconds() {
    let mut world = World::new(chain(200, 500), Limits::default());
    world.join(silent());
    world.join(honest(5));
    world.run_to_the_end();
    assert!(world.now < 4 * SECOND, "{:?}", world.now);
}

#[test]
fn adversary_22_a_staller_loses_its_place_and_honest_peers_do_not() {
    let mut world = World::new(chain(6000, 500), Limits::default());
    world.join(honest(10));
    world.join(silent());
    world.join(Habit { silent_after: Some(40), ..honest(2) });
    world.join(honest(12));
    world.run_to_the_end();
    assert_eq!(world.gone, [(1, Fault::Stalled), (2, Fault::Stalled)].into());
}

#[test]
fn adversary_22_a_staller_at_the_windows_edge_is_hedged_before_its_time_is_up() {
    let limits = Limits { blocks: 64, ..Limits::default() };
    let mut world = World::new(chain(300, 500), limits);
    world.join(Habit { silent_after: Some(0), ..Habit::default() });
    (0..3).for_each(|_| world.join(honest(2)));
    // Eight blocks at the front are with the silent peer: the first moves on after half a second, the rest after two.
    while world.handed.is_empty() {
        world.step();
    }
    assert!(world.now < SECOND, "{:?}", world.now);
    world.run_to_the_end();
    assert!(world.now < 4 * SECOND, "{:?}", world.now);
}

#[test]
fn the_last_peer_is_waited_for_longer_and_then_let_go_of() {
    let mut world = World::new(chain(20, 500), Limits::default());
    world.join(silent());
    while world.gone.is_empty() {
        world.step();
    }
    assert!(world.now > 100 * SECOND && world.now < 140 * SECOND, "{:?}", world.now);
    assert_eq!(world.download.peers(), 0);
}

#[test]
fn adversary_21_a_wrong_body_costs_its_sender_its_place_and_the_hash_nothing() {
    let chain = chain(40, 500);
    let mut world = World::new(chain.clone(), Limits::default());
    world.join(Habit { lies: true, ..honest(1) });
    world.join(honest(5));
    world.step();
    while world.gone.is_empty() {
        world.step();
    }
    let (liar, fault) = world.gone.pop_first().unwrap();
    assert_eq!((liar, fault), (0, Fault::WrongBody));
    // At that very moment what the liar had is asked of the other, as far as its window goes.
    let at = world.now;
    world.run_to_the_end();
    assert!(world.now < at + SECOND);
    assert!(world.download.refetched() >= 8, "{}", world.download.refetched());
    assert_eq!(world.delivered[&1], 41);
}

#[test]
fn a_wrong_body_is_asked_elsewhere_at_once() {
    let chain = chain(0, 500);
    let mut download = Download::new(0, Limits::default());
    download.extend(chain.iter().map(Block::hash));
    download.handle_joined(0);
    let Some(Action::Ask { peer: 0, ask, blocks }) = download.poll_action(Duration::ZERO) else { panic!() };
    assert_eq!(blocks, [(0, chain[0].hash())]);
    download.handle_joined(1);
    let error = savanna_chain::check_body(savanna_wire::Network::Regtest, 0, &with_wrong_body(&chain[0])).unwrap_err();
    let answer = Answer { found: vec![(with_wrong_body(&chain[0]), Err(error))], missing: Vec::new() };
    download.handle_answer(ask, answer, MS);
    assert_eq!(download.poll_action(MS), Some(Action::Disconnect { peer: 0, fault: Fault::WrongBody }));
    let Some(Action::Ask { peer: 1, ask, .. }) = download.poll_action(MS) else { panic!() };
    assert_eq!(download.refetched(), 1);
    download.handle_answer(ask, Answer { found: vec![(chain[0].clone(), Ok(()))], missing: Vec::new() }, MS * 2);
    assert_eq!(download.take_run(usize::MAX), chain);
}

#[test]
fn f9_what_was_dropped_is_asked_again_at_once_and_what_came_is_kept() {
    let chain = chain(5, 500);
    let mut download = Download::new(0, Limits::default());
    download.extend(chain.iter().map(Block::hash));
    download.handle_joined(0);
    let Some(Action::Ask { ask, blocks, .. }) = download.poll_action(Duration::ZERO) else { panic!() };
    assert_eq!(blocks.len(), 6);
    let found = chain[..4].iter().map(|block| (block.clone(), Ok(()))).collect();
    let missing = chain[4..].iter().map(|block| (block.hash(), Missing::Dropped)).collect();
    download.handle_answer(ask, Answer { found, missing }, MS);
    let Some(Action::Ask { peer: 0, blocks, .. }) = download.poll_action(MS) else { panic!() };
    assert_eq!(blocks, [(4, chain[4].hash()), (5, chain[5].hash())]);
    assert_eq!(download.take_run(usize::MAX), chain[..4]);
    assert_eq!(download.refetched(), 0);
}

#[test]
fn blocks_that_nobody_asked_for_are_ignored() {
    let chain = chain(60, 500);
    let mut download = Download::new(0, Limits::default());
    download.extend(chain.iter().map(Block::hash));
    download.handle_joined(0);
    let Some(Action::Ask { ask, blocks, .. }) = download.poll_action(Duration::ZERO) else { panic!() };
    let found: Vec<_> = chain.iter().map(|block| (block.clone(), Ok(()))).collect();
    download.handle_answer(ask, Answer { found, missing: Vec::new() }, MS);
    assert_eq!(download.take_run(usize::MAX), chain[..blocks.len()]);
    // The same answer again is to no question at all.
    let found = vec![(chain[blocks.len()].clone(), Ok(()))];
    download.handle_answer(ask, Answer { found, missing: Vec::new() }, MS);
    assert_eq!(download.unstored_bytes(), chain[..blocks.len()].iter().map(|block| block.bytes().len()).sum());
}

#[test]
fn what_one_peer_lacks_is_asked_of_the_others() {
    let mut world = World::new(chain(300, 500), Limits::default());
    world.join(Habit { lacks: 100..200, ..honest(1) });
    world.join(Habit { lacks: 0..100, ..honest(1) });
    world.join(Habit { lacks: 150..301, ..honest(1) });
    world.run_to_the_end();
    assert!(world.now < 3 * SECOND, "{:?}", world.now);
    assert!(world.gone.is_empty(), "to lack a block is no fault");
}

#[test]
fn a_block_that_every_peer_lacks_ends_the_download_after_a_bound() {
    let mut world = World::new(chain(50, 500), Limits::default());
    (0..3).for_each(|_| world.join(Habit { lacks: 20..21, ..honest(1) }));
    while world.download.failure(world.now).is_none() {
        world.step();
    }
    assert_eq!(world.download.failure(world.now), Some(Failure::Unavailable { height: 20 }));
    assert!(world.now >= GIVE_UP_AFTER && world.now < GIVE_UP_AFTER + 2 * SECOND, "{:?}", world.now);
    assert_eq!(world.handed.len(), 20);
}

#[test]
fn a_rule_that_the_header_commits_to_ends_the_download() {
    use savanna_chain::BlockError;
    let chain = chain(3, 500);
    let mut download = Download::new(0, Limits::default());
    download.extend(chain.iter().map(Block::hash));
    download.handle_joined(0);
    let Some(Action::Ask { ask, .. }) = download.poll_action(Duration::ZERO) else { panic!() };
    let error = BlockError::CoinbaseHeight { height: 1, committed: true };
    assert!(!error.is_mutation());
    download.handle_answer(ask, Answer { found: vec![(chain[1].clone(), Err(error))], missing: Vec::new() }, MS);
    let expected = Failure::Invalid { height: 1, hash: chain[1].hash(), error };
    assert_eq!(download.failure(MS), Some(expected));
    download.rewind(0);
    assert_eq!(download.failure(MS), None, "another branch may do without it");
}

#[test]
fn a_fork_takes_back_what_is_above_it_and_goes_on_with_the_other_branch() {
    for fork in [0_u32, 5, 30, 64, 80, 200] {
        let old = chain(200, 500);
        let kept = usize::try_from(fork).unwrap() + 1;
        let branch = extend(&old[kept - 1], fork, 250, 300, 7);
        let new: Vec<Block> = old[..kept].iter().chain(&branch).cloned().collect();
        let mut world = World::new(old, Limits { blocks: 100, ..Limits::default() });
        (0..3).for_each(|_| world.join(honest(3)));
        while world.handed.len() < 60 {
            world.step();
        }
        world.switch_to(new, fork);
        world.run_to_the_end();
    }
}

#[test]
fn adversary_21_what_may_be_under_way_does_not_grow_with_the_number_of_peers() {
    let mut download = Download::new(0, Limits::default());
    download.extend((0..1024_u64).map(|number| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        BlockHash(hash)
    }));
    (0..100).for_each(|peer| download.handle_joined(peer));
    let mut asked = 0;
    while let Some(Action::Ask { blocks, .. }) = download.poll_action(Duration::ZERO) {
        asked += blocks.len();
    }
    assert_eq!(asked, Limits::default().under_way);
}

#[test]
fn adversary_22_prompt_answers_with_nothing_make_no_silent_peer_wait_longer() {
    let chain = chain(100, 500);
    let mut download = Download::new(0, Limits::default());
    download.extend(chain.iter().map(Block::hash));
    (0..2).for_each(|peer| download.handle_joined(peer));
    let mut now = Duration::ZERO;
    for turn in 0..60 {
        let asked = std::iter::from_fn(|| download.poll_action(now)).find_map(|action| match action {
            Action::Ask { ask, blocks, .. } => Some((ask, blocks)),
            Action::Cancel(_) | Action::Disconnect { .. } => None,
        });
        let Some((ask, blocks)) = asked else { break };
        now += SECOND;
        let wanted = &chain[usize::try_from(blocks[0].0).unwrap()];
        let found = if turn % 2 == 0 { Vec::new() } else { vec![(wanted.clone(), Ok(()))] };
        download.handle_answer(ask, Answer { found, missing: Vec::new() }, now);
    }
    assert!(now > 30 * SECOND, "{now:?}");
    assert_eq!(download.patience.get(), 2 * SECOND);
}

#[test]
fn a_slow_disk_holds_up_the_peers_and_not_the_memory() {
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    let mut world = World::new(chain(500, 2000), limits);
    world.write_pace = MS * 20;
    (0..4).for_each(|_| world.join(honest(1)));
    world.run_to_the_end();
    assert!(world.now > 5 * SECOND, "{:?}", world.now);
}

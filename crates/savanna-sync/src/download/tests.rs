//! The download against a generated network under a virtual clock, and against each kind of answer alone.

use savanna_sim::regtest::{chain, extend, with_wrong_body};

use super::*;

mod world;

use world::{Habit, World};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const PEER: PeerId = PeerId(7);

fn good(block: &Block) -> Arrival {
    Arrival { hash: block.hash(), result: Ok(Delivery { peer: PEER, block: block.clone(), verdict: Ok(()) }) }
}

fn wrong(block: &Block, height: u32) -> Arrival {
    let block = with_wrong_body(block);
    let verdict = savanna_chain::check_body(savanna_wire::Network::Regtest, height, &block).map(drop);
    Arrival { hash: block.hash(), result: Ok(Delivery { peer: PEER, block, verdict }) }
}

fn missing(block: &Block, why: Missing) -> Arrival {
    Arrival { hash: block.hash(), result: Err(why) }
}

/// Begins a download of a chain, and takes its only question.
fn asked(chain: &[Block]) -> (Download, AskId) {
    let mut download = Download::new(0, Limits::default());
    download.extend(chain.iter().map(Block::hash));
    let Some(Action::Ask { ask, blocks }) = download.poll_action() else { panic!("nothing is asked for") };
    assert_eq!(blocks.len(), chain.len());
    assert_eq!(download.poll_action(), None);
    (download, ask)
}

#[test]
fn f8_whatever_the_network_does_all_blocks_arrive_in_order_once() {
    for seed in 0..150 {
        World::generated(seed).run_to_the_end();
    }
}

#[test]
fn whatever_the_network_does_forks_in_the_middle_are_followed() {
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
fn f8_many_blocks_are_asked_for_ahead_of_the_lowest_missing_one() {
    let mut world = World::new(chain(2000, 500), Limits::default(), Habit { takes: 50 * MS, ..Habit::default() });
    world.run_to_the_end();
    // 2001 blocks one after the other are 100 s; 256 at once are 8 rounds.
    assert!(world.now < SECOND, "{:?}", world.now);
    assert_eq!(world.download.refetched(), 0);
}

#[test]
fn questions_stay_long_however_answers_trickle() {
    let mut world = World::new(chain(3000, 500), Limits::default(), Habit { jitter: 50 * MS, ..Habit::default() });
    world.run_to_the_end();
    assert!(world.asks < 3000 / LEAST_ASKED + 2, "{} questions", world.asks);
}

#[test]
fn adversary_21_a_wrong_body_is_reported_and_asked_again_at_once_and_the_hash_keeps_its_worth() {
    let chain = chain(3, 500);
    let (mut download, ask) = asked(&chain);
    download.handle_arrivals(ask, vec![good(&chain[0]), wrong(&chain[1], 1)], MS);
    assert_eq!(download.poll_action(), Some(Action::Report(PEER)));
    let Some(Action::Ask { ask: again, blocks }) = download.poll_action() else { panic!() };
    assert_eq!(blocks, [(1, chain[1].hash())]);
    assert_eq!(download.refetched(), 1);
    download.handle_arrivals(ask, vec![good(&chain[2]), good(&chain[3])], MS);
    download.handle_arrivals(again, vec![good(&chain[1])], MS);
    assert_eq!(download.take_run(usize::MAX), chain);
    assert_eq!(download.failure(), None);
}

#[test]
fn what_is_missing_is_asked_for_again_after_growing_rests_and_given_up_after_a_bound() {
    for (why, bound) in [(Missing::NotFound, GIVE_UP_AFTER), (Missing::TimedOut, UNDELIVERED_AFTER)] {
        let chain = chain(1, 500);
        let (mut download, mut ask) = asked(&chain);
        download.handle_arrivals(ask, vec![good(&chain[0])], MS);
        let (mut now, mut rests) = (MS, Vec::new());
        while download.failure().is_none() {
            download.handle_arrivals(ask, vec![missing(&chain[1], why)], now);
            assert_eq!(download.poll_action(), None, "not at once");
            let at = download.poll_timeout().unwrap();
            rests.push(at - now);
            now = at;
            download.handle_timeout(now);
            if let Some(Action::Ask { ask: again, blocks }) = download.poll_action() {
                assert_eq!(blocks, [(1, chain[1].hash())]);
                ask = again;
            }
        }
        let expected = if why == Missing::TimedOut {
            Failure::Undelivered { height: 1 }
        } else {
            Failure::Unavailable { height: 1 }
        };
        assert_eq!(download.failure(), Some(expected));
        assert!(now >= bound && now < bound + 10 * SECOND, "{now:?}");
        assert!(rests[..5].is_sorted_by(|a, b| a < b) && rests.iter().all(|&rest| rest <= 4 * SECOND), "{rests:?}");
    }
}

#[test]
fn a_block_that_came_late_is_lacking_no_more() {
    let chain = chain(0, 500);
    let (mut download, ask) = asked(&chain);
    download.handle_arrivals(ask, vec![missing(&chain[0], Missing::NotFound)], MS);
    download.handle_timeout(SECOND);
    let Some(Action::Ask { ask, .. }) = download.poll_action() else { panic!() };
    download.handle_arrivals(ask, vec![good(&chain[0])], 2 * SECOND);
    assert_eq!(download.failure(), None);
    assert_eq!(download.take_run(usize::MAX), chain);
    assert_eq!(download.refetched(), 0, "that nobody has it yet is nobody's fault");
}

#[test]
fn what_nobody_asked_for_is_ignored() {
    let all = chain(60, 500);
    let (mut download, ask) = asked(&all[..10]);
    let known: usize = all[..10].iter().map(|block| block.bytes().len()).sum();
    let other = Arrival { hash: all[3].hash(), ..good(&all[4]) };
    download.handle_arrivals(ask, vec![other], MS);
    assert_eq!(download.unstored_bytes(), 0, "another block under the name of this one");
    download.handle_timeout(SECOND);
    let Some(Action::Ask { ask: again, .. }) = download.poll_action() else { panic!() };
    download.handle_arrivals(ask, all.iter().map(good).collect(), MS);
    download.handle_arrivals(again, all.iter().map(good).collect(), MS);
    download.handle_arrivals(ask, all.iter().map(good).collect(), MS);
    assert_eq!(download.unstored_bytes(), known);
    assert_eq!(download.take_run(usize::MAX), all[..10]);
}

#[test]
fn a_rule_that_the_header_commits_to_ends_the_download() {
    let chain = chain(3, 500);
    let (mut download, ask) = asked(&chain);
    let error = BlockError::CoinbaseHeight { height: 1, committed: true };
    assert!(!error.is_mutation());
    let delivery = Delivery { peer: PEER, block: chain[1].clone(), verdict: Err(error) };
    download.handle_arrivals(ask, vec![Arrival { hash: chain[1].hash(), result: Ok(delivery) }], MS);
    assert_eq!(download.failure(), Some(Failure::Invalid { height: 1, hash: chain[1].hash(), error }));
    assert_eq!(download.poll_action(), None, "nobody is blamed");
    download.rewind(0);
    assert_eq!(download.failure(), None, "another branch may do without it");
}

#[test]
fn a_fork_takes_back_what_is_above_it_and_goes_on_with_the_other_branch() {
    for fork in [0_u32, 5, 30, 64, 80, 200] {
        let old = chain(200, 500);
        let kept = usize::try_from(fork).unwrap() + 1;
        let branch = extend(&old[kept - 1], fork, 250, 300, 7);
        let new: Vec<Block> = old[..kept].iter().chain(&branch).cloned().collect();
        let mut world = World::new(old, Limits { blocks: 100, ..Limits::default() }, Habit::default());
        while world.handed.len() < 60 {
            world.step();
        }
        world.switch_to(new, fork);
        world.run_to_the_end();
    }
}

#[test]
fn adversary_21_what_may_be_under_way_is_bounded_by_its_number() {
    let mut download = Download::new(0, Limits::default());
    download.extend((0..1024_u64).map(|number| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        BlockHash(hash)
    }));
    let mut asked = 0;
    while let Some(Action::Ask { blocks, .. }) = download.poll_action() {
        asked += blocks.len();
    }
    assert_eq!(asked, Limits::default().under_way);
}

#[test]
fn a_slow_disk_holds_up_the_network_and_not_the_memory() {
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    let mut world = World::new(chain(500, 2000), limits, Habit::default());
    world.write_pace = MS * 20;
    world.run_to_the_end();
    assert!(world.now > 5 * SECOND, "{:?}", world.now);
}

//! Lists of blocks: split over peers, put together, routed by what is known of who has what.

use savanna_peer::MAX_GETDATA_BLOCKS;
use savanna_wire::TransactionId;

use super::super::*;
use super::world::{Asked, SERVES, World, find, hashes, ms};
use crate::load::FIRST_WINDOW;

#[test]
fn f8_block_hashes_are_asked_of_one_peer_and_the_bodies_of_many_at_once() {
    let mut world = World::with_peers(8, 1);
    let found = world.ask(Ask::One(Request::FindBlocks { locator: hashes(0..1), stop: None }));
    let asked = world.asked[0].clone();
    assert!(matches!(asked.request, Request::FindBlocks { .. }));
    world.answer(asked.call, Ok(Response::BlockHashes(hashes(0..500))));
    assert!(world.result(found).is_ok());

    let id = world.ask(Ask::One(Request::Blocks(hashes(0..500))));
    for peer in 0..8 {
        let in_flight: usize = world.at(peer).iter().map(|asked| asked.hashes().len()).sum();
        assert_eq!(in_flight, FIRST_WINDOW, "peer {peer}");
    }
    let mut rounds = 0;
    while !world.asked.is_empty() {
        rounds += 1;
        world.pass(ms(50));
        for asked in world.asked.clone() {
            assert!(asked.hashes().len() <= MAX_GETDATA_BLOCKS);
            world.serve(&asked);
        }
    }
    // Windows grow: it takes fewer round trips than the first windows would.
    assert!(rounds < 500_usize.div_ceil(8 * FIRST_WINDOW) + 1, "{rounds}");
    let Ok(Outcome::Gathered(Response::Blocks(list))) = world.result(id) else { panic!("no blocks") };
    assert!(list.missing.is_empty() && list.found.iter().map(savanna_wire::Block::hash).eq(hashes(0..500)));
    world.assert_idle();
}

#[test]
fn windows_are_refilled_as_blocks_arrive_and_widen_with_throughput() {
    let mut world = World::with_peers(1, 2);
    world.ask(Ask::Stream(hashes(0..600)));
    let mut widest = 0;
    while let Some(asked) = world.asked.first().cloned() {
        world.pass(ms(10));
        world.serve(&asked);
        let (in_flight, window) = world.set.network.window(PeerId(0));
        let left = 600 - world.fetched.values().flatten().count();
        assert!(in_flight == window.min(left) || in_flight + window / 2 > window, "{in_flight} of {window}");
        widest = widest.max(window);
    }
    assert_eq!(widest, crate::load::WIDEST_WINDOW);
    world.assert_idle();
}

#[test]
fn what_a_peer_drops_is_asked_of_it_again_at_once() {
    let mut world = World::with_peers(1, 3);
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..4))));
    let asked = world.asked[0].clone();
    let (served, dropped) = (asked.hashes()[..1].to_vec(), asked.hashes()[1..].to_vec());
    let found = served.into_iter().map(find).collect();
    let missing = dropped.iter().map(|hash| (*hash, Missing::Dropped)).collect();
    world.answer(asked.call, Ok(Response::Blocks(Partial { found, missing })));
    let again = world.asked[0].clone();
    assert_eq!((again.peer, again.hashes()), (PeerId(0), dropped));
    world.serve(&again);
    let Ok(Outcome::Gathered(Response::Blocks(list))) = world.result(id) else { panic!("no blocks") };
    assert_eq!(list.found.len(), 4);
    world.assert_idle();
}

#[test]
fn what_one_peer_lacks_is_asked_elsewhere_and_nobody_is_asked_twice() {
    let mut world = World::with_peers(3, 4);
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..2))));
    let mut peers = BTreeSet::new();
    while let Some(asked) = world.asked.first().cloned() {
        assert!(peers.insert((asked.peer, asked.hashes())));
        world.refuse(&asked, Missing::NotFound);
    }
    assert_eq!(world.result(id), &Err(RequestError::NotFound));
    // They said so moments ago: nobody is bothered again.
    let before = world.total_asked;
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..2))));
    assert_eq!((world.result(id), world.total_asked), (&Err(RequestError::NotFound), before));
    // A while later they are.
    world.pass(ms(20_000));
    world.ask(Ask::One(Request::Blocks(hashes(0..1))));
    let asked = world.asked[0].clone();
    world.serve(&asked);
    world.assert_idle();
}

#[test]
fn adversary_25_only_answers_to_our_own_questions_say_who_lacks_what() {
    let mut world = World::with_peers(1, 5);
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..1))));
    let asked = world.asked[0].clone();
    let missing = hashes(0..50).into_iter().map(|hash| (hash, Missing::NotFound)).collect();
    world.answer(asked.call, Ok(Response::Blocks(Partial { found: Vec::new(), missing })));
    assert_eq!(world.result(id), &Err(RequestError::NotFound));
    assert_eq!(world.set.network.registry.len(), 1);
    let id = world.ask(Ask::One(Request::Blocks(hashes(1..50))));
    while let Some(asked) = world.asked.first().cloned() {
        world.serve(&asked);
    }
    assert!(world.result(id).is_ok());
    world.assert_idle();
}

#[test]
fn those_who_announced_a_block_are_asked_before_others() {
    let mut world = World::with_peers(20, 6);
    for turn in 0..50 {
        let announcer = PeerId(turn % 20);
        let wanted = hashes(turn as usize..turn as usize + 1);
        world.set.handle_announced(announcer, [Inventory::Block(wanted[0])], world.now);
        world.ask(Ask::One(Request::Blocks(wanted)));
        let asked = world.asked[0].clone();
        assert_eq!(asked.peer, announcer);
        world.serve(&asked);
    }
    // From whom we do not know, nothing is believed.
    let before = world.set.network.registry.len();
    world.set.handle_announced(PeerId(99), hashes(0..9).into_iter().map(Inventory::Block), world.now);
    assert_eq!(world.set.network.registry.len(), before);
    world.assert_idle();
}

#[test]
fn adversary_22_what_is_announced_and_never_delivered_comes_from_another_peer_within_seconds() {
    let mut world = World::with_peers(4, 7);
    let liar = PeerId(0);
    world.set.handle_announced(liar, hashes(0..300).into_iter().map(Inventory::Block), world.now);
    let id = world.ask(Ask::Stream(hashes(0..300)));
    assert!(!world.at(0).is_empty());
    let serve = |world: &mut World| {
        for asked in world.asked.clone().into_iter().filter(|asked| asked.peer != liar) {
            world.serve(&asked);
        }
    };
    while world.done.is_empty() {
        assert!(world.now < ms(6_000), "{} of 300", world.fetched[&id].len());
        serve(&mut world);
        world.pass(ms(50));
    }
    let list = &world.fetched[&id];
    assert!(list.iter().all(|fetched| fetched.result.as_ref().is_ok_and(|(peer, _)| *peer != liar)));
    assert!(world.set.network.window(liar).1 <= 4, "it keeps its window");
    world.assert_idle();
}

#[test]
fn a_peer_that_leaves_gives_everything_back() {
    let mut world = World::with_peers(2, 8);
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..100))));
    let held: BTreeSet<_> = world.at(0).iter().flat_map(Asked::hashes).collect();
    assert_eq!(held.len(), FIRST_WINDOW);
    world.leave(PeerId(0));
    while let Some(asked) = world.asked.first().cloned() {
        world.serve(&asked);
    }
    let Ok(Outcome::Gathered(Response::Blocks(list))) = world.result(id) else { panic!("no blocks") };
    assert_eq!(list.found.len(), 100);
    world.assert_idle();
}

#[test]
fn two_requests_never_ask_one_peer_for_the_same_block_at_once() {
    let mut world = World::with_peers(1, 9);
    let ids = [(); 2].map(|()| world.ask(Ask::One(Request::Blocks(hashes(0..1)))));
    for _ in ids {
        assert_eq!(world.asked.len(), 1);
        let asked = world.asked[0].clone();
        world.serve(&asked);
    }
    assert!(ids.iter().all(|id| world.result(*id).is_ok()));
    world.assert_idle();
}

#[test]
fn transactions_are_matched_by_their_ids() {
    let transactions: Vec<_> = (0..5).map(transaction).collect();
    let ids: Vec<_> = transactions.iter().map(|each| savanna_chain::transaction_id(each.bytes()).unwrap()).collect();
    let mut world = World::with_peers(2, 10);
    let id = world.ask(Ask::One(Request::Transactions(ids.clone())));
    while let Some(asked) = world.asked.first().cloned() {
        let Request::Transactions(wanted) = &asked.request else { panic!("{asked:?}") };
        // One that was not asked for comes along; one is missing here and there.
        let served: Vec<_> = ids.iter().enumerate().filter(|(_, id)| wanted.contains(id) && **id != ids[2]).collect();
        let found = served.iter().map(|(at, _)| transactions[*at].clone()).chain([transaction(77)]).collect();
        let lacking = wanted.iter().filter(|id| **id == ids[2]);
        let missing: Vec<(TransactionId, Missing)> = lacking.map(|id| (*id, Missing::NotFound)).collect();
        world.answer(asked.call, Ok(Response::Transactions(Partial { found, missing })));
    }
    let Ok(Outcome::Gathered(Response::Transactions(list))) = world.result(id) else { panic!("no transactions") };
    let expected: Vec<_> = [0, 1, 3, 4].map(|at: usize| transactions[at].clone()).into();
    assert_eq!((&list.found, &list.missing), (&expected, &vec![(ids[2], Missing::NotFound)]));
    world.assert_idle();
}

/// Makes a version 1 transaction with one input, one output and a lock time that tells it from others.
pub(super) fn transaction(lock_time: u32) -> savanna_wire::Transaction {
    let mut bytes = vec![1, 0, 0, 0, 1];
    bytes.extend([0; 32]);
    bytes.extend([0xff; 4]);
    bytes.extend([2, 0x51, 0x51]);
    bytes.extend([0xff; 4]);
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(lock_time.to_le_bytes());
    savanna_wire::Transaction::new(bytes.into()).unwrap()
}

#[test]
fn a_peer_that_serves_no_blocks_is_not_asked_for_them() {
    let mut world = World::new(Config::PUBLIC, 11);
    world.join(PeerId(0), Traits { serves_chain: false, ..SERVES });
    world.ask(Ask::One(Request::Blocks(hashes(0..1))));
    assert!(world.asked.is_empty());
    world.join(PeerId(1), SERVES);
    let asked = world.asked[0].clone();
    assert_eq!(asked.peer, PeerId(1));
    world.serve(&asked);
    world.assert_idle();
}

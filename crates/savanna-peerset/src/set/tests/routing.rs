//! Whom a question goes to, and what happens when that peer fails.

use savanna_peer::CloseReason;

use super::super::*;
use super::world::{SERVES, World, hashes, ms};

fn find_blocks() -> Request {
    Request::FindBlocks { locator: hashes(0..1), stop: None }
}

fn pong(asked: &super::world::Asked) -> Result<Response, savanna_peer::RequestError> {
    Ok(Response::Pong(ms(asked.peer.0)))
}

#[test]
fn nearer_peers_answer_more_and_none_captures_the_rest() {
    let mut world = World::new(Config::PUBLIC, 1);
    for peer in 0..10 {
        world.join(PeerId(peer), Traits { round_trip: Some(ms(10 + 50 * peer)), ..SERVES });
    }
    let mut share = [0; 10];
    for _ in 0..5_000 {
        world.ask(Ask::One(Request::Ping));
        let asked = world.asked[0].clone();
        share[asked.peer.0 as usize] += 1;
        world.pass(ms(10 + 50 * asked.peer.0));
        world.answer(asked.call, pong(&asked));
    }
    // The nearest wins whenever it is one of the two drawn of ten: a fifth of the time. The farthest never does.
    assert!((900..1_100).contains(&share[0]), "{share:?}");
    assert_eq!(share[9], 0);
    assert!(share.windows(2).all(|pair| pair[0] > pair[1]), "{share:?}");
    world.assert_idle();
}

#[test]
fn a_failed_question_is_put_to_another_peer_and_ends_honestly_when_all_fail() {
    let mut world = World::with_peers(3, 2);
    let id = world.ask(Ask::One(find_blocks()));
    let mut tried = BTreeSet::new();
    for _ in 0..3 {
        let asked = world.asked[0].clone();
        assert!(tried.insert(asked.peer));
        world.answer(asked.call, Err(savanna_peer::RequestError::TimedOut));
    }
    assert_eq!(world.result(id), &Err(RequestError::TimedOut));

    let id = world.ask(Ask::One(find_blocks()));
    let first = world.asked[0].peer;
    world.leave(first);
    let second = world.asked[0].clone();
    world.answer(second.call, Ok(Response::BlockHashes(hashes(0..5))));
    let answer = crate::Answer { peer: second.peer, response: Response::BlockHashes(hashes(0..5)) };
    assert_eq!(world.result(id), &Ok(Outcome::Answers(vec![answer])));

    let id = world.ask(Ask::One(find_blocks()));
    let peers = world.peers.clone();
    peers.into_iter().for_each(|peer| world.leave(peer));
    assert_eq!(world.result(id), &Err(RequestError::Closed(CloseReason::ClosedByPeer)));
    world.assert_idle();
}

#[test]
fn adversary_22_a_late_answer_is_not_waited_for() {
    let mut world = World::new(Config::PUBLIC, 3);
    world.join(PeerId(0), Traits { round_trip: Some(ms(1)), ..SERVES });
    let id = world.ask(Ask::One(find_blocks()));
    world.join(PeerId(1), SERVES);
    assert!(world.at(1).is_empty());
    world.pass(ms(600));
    let asked = world.at(1)[0].clone();
    world.answer(asked.call, Ok(Response::BlockHashes(Vec::new())));
    assert!(world.result(id).is_ok());
    // The late one was given up, and pays for it the next time.
    assert!(world.asked.is_empty());
    world.ask(Ask::One(Request::Ping));
    assert_eq!(world.asked[0].peer, PeerId(1));
    let asked = world.asked[0].clone();
    world.answer(asked.call, pong(&asked));
    world.assert_idle();
}

#[test]
fn distinct_peers_are_distinct_and_replaced_when_they_fail() {
    let mut world = World::with_peers(5, 4);
    let id = world.ask(Ask::Distinct(find_blocks(), 3));
    assert_eq!(world.asked.len(), 3);
    let failing = world.asked[0].clone();
    world.answer(failing.call, Err(savanna_peer::RequestError::TimedOut));
    assert_eq!(world.asked.len(), 3);
    for asked in world.asked.clone() {
        world.answer(asked.call, Ok(Response::BlockHashes(Vec::new())));
    }
    let Ok(Outcome::Answers(answers)) = world.result(id) else { panic!("no answers") };
    assert!(answers.len() == 3 && answers.iter().all(|answer| answer.peer != failing.peer));

    let id = world.ask(Ask::Distinct(Request::Ping, 9));
    for asked in world.asked.clone() {
        world.answer(asked.call, pong(&asked));
    }
    let Ok(Outcome::Answers(answers)) = world.result(id) else { panic!("no answers") };
    assert_eq!(answers.len(), 5, "fewer peers than wanted give fewer answers");
    for answer in answers {
        assert_eq!(answer.response, Response::Pong(ms(answer.peer.0)), "attributed to another");
    }
    world.assert_idle();
}

#[test]
fn announcements_go_to_everyone_and_addresses_to_two() {
    let mut world = World::with_peers(7, 5);
    for (request, audience) in [(Request::AdvertiseBlock(hashes(0..1)[0]), 7), (Request::AdvertisePeers(Vec::new()), 2)]
    {
        let id = world.ask(Ask::One(request));
        assert_eq!(world.asked.len(), audience);
        for asked in world.asked.clone() {
            world.answer(asked.call, Ok(Response::Nil));
        }
        assert!(world.result(id).is_ok());
    }
    world.assert_idle();
}

#[test]
fn requests_wait_in_order_for_a_busy_peer() {
    let mut world = World::with_peers(1, 6);
    let ids: Vec<_> = (0..4).map(|_| world.ask(Ask::One(find_blocks()))).collect();
    for (turn, id) in ids.iter().enumerate() {
        assert_eq!((world.asked.len(), world.done.len()), (1, turn));
        assert_eq!(world.set.peers().unready, 1);
        let asked = world.asked[0].clone();
        world.answer(asked.call, Ok(Response::BlockHashes(Vec::new())));
        assert!(world.result(*id).is_ok());
    }
    assert_eq!(world.set.peers().ready, 1);
    world.assert_idle();
}

#[test]
fn without_peers_a_request_waits_for_one_until_its_deadline() {
    let mut world = World::new(Config::PUBLIC, 7);
    let early = world.ask(Ask::One(Request::Ping));
    let blocks = world.ask(Ask::One(Request::Blocks(hashes(0..2))));
    world.pass(Config::PUBLIC.deadline);
    assert_eq!(world.result(early), &Err(RequestError::NoPeers));
    assert_eq!(world.result(blocks), &Err(RequestError::NoPeers));

    let late = world.ask(Ask::One(Request::Ping));
    world.pass(Config::PUBLIC.deadline / 2);
    world.join(PeerId(1), Traits { serves_chain: false, ..SERVES });
    let chain = world.ask(Ask::One(find_blocks()));
    let asked = world.asked[0].clone();
    assert_eq!((world.asked.len(), &asked.request), (1, &Request::Ping));
    world.answer(asked.call, pong(&asked));
    assert!(world.result(late).is_ok());
    world.pass(Config::PUBLIC.deadline);
    assert_eq!(world.result(chain), &Err(RequestError::NoPeers), "who does not serve the chain is not asked for it");
    world.assert_idle();
}

#[test]
fn f14_counts_are_one_snapshot_and_questions_are_counted_by_kind_and_outcome() {
    let mut world = World::with_peers(3, 8);
    world.ask(Ask::Distinct(find_blocks(), 2));
    let counts = world.set.peers();
    assert_eq!((counts.ready, counts.unready, counts.total()), (1, 2, 3));
    let (one, other) = (world.asked[0].clone(), world.asked[1].clone());
    assert_eq!(world.set.counts().in_flight(RequestKind::FindBlocks), 2);
    world.answer(one.call, Ok(Response::BlockHashes(Vec::new())));
    world.answer(other.call, Err(savanna_peer::RequestError::TimedOut));
    let id = world.ask(Ask::One(Request::Ping));
    world.cancel(id);
    let last = world.asked[0].clone();
    world.leave(last.peer);
    let sum = |outcome| world.set.counts().iter().filter(|(_, of, _)| *of == outcome).map(|(_, _, count)| count).sum();
    let sums: [u64; 5] = CallOutcome::ALL.map(sum);
    assert_eq!(sums, [1, 0, 1, 1, 1]);
    assert_eq!(world.set.counts().sent(RequestKind::FindBlocks), 3);
    assert_eq!(world.set.counts().ended(RequestKind::Ping, CallOutcome::Cancelled), 1);
    assert_eq!(world.set.peers().total(), 2);
    world.assert_idle();
}

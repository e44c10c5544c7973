//! What is bounded stays bounded, and what has ended leaves nothing behind.

use super::super::*;
use super::world::{SERVES, World, hashes, ms};
use crate::retry::RetryBudget;

#[test]
fn more_requests_than_are_kept_are_refused_and_longer_ones_too() {
    let mut world = World::new(Config { requests: 3, ..Config::PUBLIC }, 1);
    let kept: Vec<_> = (0..3).map(|_| world.ask(Ask::One(Request::Ping))).collect();
    let refused = world.ask(Ask::One(Request::Ping));
    assert_eq!(world.result(refused), &Err(RequestError::Overloaded));
    kept.into_iter().for_each(|id| world.cancel(id));
    let long = vec![hashes(0..1)[0]; MAX_HASHES + 1];
    let too_long = Err(RequestError::TooLong { len: MAX_HASHES + 1, limit: MAX_HASHES });
    let gathered = world.ask(Ask::One(Request::Blocks(long.clone())));
    let streamed = world.ask(Ask::Stream(long));
    assert_eq!((world.result(gathered), world.result(streamed)), (&too_long, &too_long));
    let empty = world.ask(Ask::One(Request::Blocks(Vec::new())));
    assert!(world.result(empty).is_ok());
    world.assert_idle();
}

#[test]
fn a_stream_is_not_fetched_further_than_it_is_read() {
    // Blocks here are of 1,000 bytes, and for all that is known at first they may be of 2,000,000.
    let mut world = World::new(Config { streamed_bytes: 50_000, ..Config::PUBLIC }, 2);
    (0..4).for_each(|peer| world.join(PeerId(peer), SERVES));
    let id = world.ask(Ask::Stream(hashes(0..500)));
    let mut read = 0;
    let mut turns = 0;
    while world.done.is_empty() {
        turns += 1;
        while let Some(asked) = world.asked.first().cloned() {
            world.pass(ms(20));
            world.serve(&asked);
            let held = world.fetched[&id].len() - read;
            assert!(held <= 50, "{held} blocks wait to be read");
        }
        // The reader takes a rest that is longer than any deadline.
        world.pass(2 * Config::PUBLIC.deadline);
        let waiting = world.fetched[&id].len() - read;
        read += waiting;
        world.read(id, 1_000 * waiting as u64);
    }
    assert!((10..300).contains(&turns), "{turns}");
    assert!(world.fetched[&id].iter().all(|fetched| fetched.result.is_ok()));
    world.assert_idle();
}

#[test]
fn a_list_that_is_too_large_ends_with_what_fits() {
    let mut world = World::new(Config { gathered_bytes: 30_000, ..Config::PUBLIC }, 3);
    world.join(PeerId(0), SERVES);
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..300))));
    while let Some(asked) = world.asked.first().cloned() {
        world.serve(&asked);
    }
    let Ok(Outcome::Gathered(Response::Blocks(list))) = world.result(id) else { panic!("no blocks") };
    assert!(!list.found.is_empty() && list.found.len() <= 30);
    assert!(list.missing.iter().all(|(_, why)| *why == Missing::Dropped));
    world.assert_idle();
}

#[test]
fn retries_stay_within_their_budget() {
    let mut world = World::with_peers(40, 4);
    let config = Config::PUBLIC;
    let mut first = 0;
    for _ in 0..400 {
        world.ask(Ask::One(Request::Peers));
        first += 1;
        while let Some(asked) = world.asked.first().cloned() {
            world.answer(asked.call, Err(savanna_peer::RequestError::TimedOut));
        }
    }
    let earned = RetryBudget::BURST as usize + first / 5;
    assert!(world.total_asked <= first + earned, "{} for {first}", world.total_asked);
    assert!(world.total_asked >= first + earned - 1);
    assert!(!world.open.is_empty(), "what cannot be afforded waits");
    let began = world.now;
    while !world.open.is_empty() {
        world.pass(ms(100));
        while let Some(asked) = world.asked.first().cloned() {
            world.answer(asked.call, Err(savanna_peer::RequestError::TimedOut));
        }
    }
    let trickle = ((world.now - began).as_millis() / RetryBudget::PERIOD.as_millis()) as usize + 1;
    assert!(world.total_asked <= first + earned + trickle);
    assert!(world.total_asked <= first * config.attempts);
    world.assert_idle();
}

#[test]
fn ten_thousand_dropped_requests_and_peers_leave_nothing_behind() {
    let mut world = World::with_peers(3, 5);
    for round in 0..10_000_u64 {
        let at = usize::try_from(round % 500).unwrap();
        let passing = PeerId(100 + round);
        world.join(passing, SERVES);
        world.set.handle_announced(passing, hashes(at..at + 10).into_iter().map(Inventory::Block), world.now);
        let ids = [
            world.ask(Ask::One(Request::Blocks(hashes(at..at + 30)))),
            world.ask(Ask::Stream(hashes(at..at + 30))),
            world.ask(Ask::One(Request::Ping)),
            world.ask(Ask::Distinct(Request::Peers, 2)),
        ];
        if let Some(asked) = world.asked.first().cloned()
            && matches!(asked.request, Request::Blocks(_))
        {
            world.serve(&asked);
        }
        world.pass(ms(1));
        ids.into_iter().for_each(|id| world.cancel(id));
        world.leave(passing);
        world.open.clear();
        world.fetched.clear();
        world.done.clear();
        if round % 1_000 == 0 {
            world.assert_idle();
        }
    }
    world.assert_idle();
    assert_eq!(world.set.network.registry.len(), 0);
    assert_eq!(world.set.poll_timeout(), None);
}

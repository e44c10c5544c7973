//! Nobody is held up by another: not a peer's nearness by what tells nothing of it, not an announcement by one who does not
//! read, not a list by an older one.

use super::super::*;
use super::world::{SERVES, World, find, hashes, ms};

fn advertise() -> Request {
    Request::AdvertiseBlock(hashes(0..1)[0])
}

#[test]
fn statements_and_lingering_answers_tell_nothing_of_nearness() {
    let mut world = World::new(Config::PUBLIC, 1);
    let (near, far) = (PeerId(0), PeerId(1));
    world.join(near, Traits { round_trip: Some(ms(10)), ..SERVES });
    world.join(far, Traits { round_trip: Some(ms(150)), ..SERVES });
    for turn in 0..20 {
        world.ask(Ask::One(Request::AdvertiseBlock(hashes(turn..turn + 1)[0])));
        for asked in [world.at(1)[0].clone(), world.at(0)[0].clone()] {
            world.answer(asked.call, Ok(Response::Nil));
            world.pass(ms(200));
        }
        world.ask(Ask::One(Request::PushTransaction(super::lists::transaction(1))));
        let asked = world.asked[0].clone();
        world.answer(asked.call, Ok(Response::Nil));
        world.ask(Ask::Distinct(Request::Peers, 2));
        for asked in [world.at(1)[0].clone(), world.at(0)[0].clone()] {
            world.answer(asked.call, Ok(Response::Peers(Vec::new())));
            world.pass(ms(1_000));
        }
    }
    for _ in 0..20 {
        world.ask(Ask::One(Request::Ping));
        let asked = world.asked[0].clone();
        assert_eq!(asked.peer, near);
        world.pass(ms(10));
        world.answer(asked.call, Ok(Response::Pong(ms(10))));
    }
    world.assert_idle();
}

#[test]
fn adversary_18_an_announcement_to_everyone_waits_a_second_for_who_does_not_read() {
    let mut world = World::with_peers(4, 2);
    let id = world.ask(Ask::One(advertise()));
    for asked in world.asked.clone().into_iter().filter(|asked| asked.peer != PeerId(0)) {
        world.answer(asked.call, Ok(Response::Nil));
    }
    assert!(!world.done.contains_key(&id));
    world.pass(ms(1_100));
    let Ok(Outcome::Answers(answers)) = world.result(id) else { panic!("{:?}", world.result(id)) };
    assert_eq!(answers.len(), 3);
    world.assert_idle();
}

#[test]
fn adversary_18_an_announcement_passes_by_who_has_as_much_to_do_as_is_admitted() {
    let mut world = World::with_peers(3, 3);
    let pings: Vec<_> = (0..crate::network::MAX_SMALL).map(|_| world.ask(Ask::Distinct(Request::Ping, 3))).collect();
    for peer in [1, 2] {
        world.at(peer).iter().for_each(|asked| world.answer(asked.call, Ok(Response::Pong(ms(1)))));
    }
    let id = world.ask(Ask::One(advertise()));
    let told = world.asked.iter().filter(|asked| asked.request == advertise()).cloned().collect::<Vec<_>>();
    assert_eq!(told.len(), 2);
    told.iter().for_each(|asked| world.answer(asked.call, Ok(Response::Nil)));
    assert!(world.result(id).is_ok());
    pings.into_iter().for_each(|id| world.cancel(id));
    world.assert_idle();
}

#[test]
fn an_older_list_does_not_starve_a_newer_one() {
    let mut world = World::with_peers(1, 4);
    let long = world.ask(Ask::Stream(hashes(0..560)));
    let short = world.ask(Ask::Stream(hashes(560..592)));
    while !world.done.contains_key(&short) {
        let asked = world.asked[0].clone();
        world.pass(ms(100));
        world.serve(&asked);
        assert!(!world.done.contains_key(&long), "the newer one comes last");
    }
    while let Some(asked) = world.asked.first().cloned() {
        world.serve(&asked);
    }
    assert!(world.result(long).is_ok() && world.result(short).is_ok());
    world.assert_idle();
}

#[test]
fn a_list_that_had_no_turn_yet_has_not_failed() {
    // An older list holds the only peer for longer than the newer may take.
    let mut world = World::with_peers(1, 6);
    let last_wanted = hashes(20..21);
    let window = world.ask(Ask::One(Request::Blocks(hashes(0..16))));
    let last = world.ask(Ask::One(Request::Blocks(last_wanted)));
    let (one, other) = (world.at(0)[0].clone(), world.at(0)[1].clone());
    world.pass(ms(29_000));
    world.answer(one.call, Ok(Response::Blocks(Partial::complete(vec![find(one.hashes()[0])]))));
    world.pass(ms(1_500));
    assert!(!world.done.contains_key(&last), "{:?}", world.done.get(&last));
    world.serve(&other);
    while let Some(asked) = world.asked.first().cloned() {
        world.serve(&asked);
    }
    assert!(world.result(window).is_ok() && world.result(last).is_ok());
    world.assert_idle();
}

#[test]
fn room_at_those_who_cannot_serve_it_opens_nothing() {
    let mut world = World::new(Config::PUBLIC, 7);
    world.join(PeerId(0), Traits { serves_chain: false, ..SERVES });
    assert!(!world.set.network.is_bulk_open(RequestKind::Blocks));
    assert!(world.set.network.is_bulk_open(RequestKind::Transactions));
    world.join(PeerId(1), SERVES);
    assert!(world.set.network.is_bulk_open(RequestKind::Blocks));
    world.join(PeerId(2), SERVES);
    // One that rests opens nothing either, as long as there is another who does not.
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..1))));
    let rests = world.asked[0].clone();
    world.refuse(&rests, Missing::Dropped);
    let full = world.ask(Ask::Stream(hashes(1..300)));
    assert!(!world.set.network.is_bulk_open(RequestKind::Blocks));
    world.cancel(id);
    world.cancel(full);
    world.assert_idle();
}

#[test]
fn a_chance_costs_no_attempt_of_those_who_serve() {
    let mut world = World::new(Config { attempts: 2, ..Config::PUBLIC }, 8);
    world.join(PeerId(0), SERVES);
    world.ask(Ask::One(Request::Blocks(hashes(0..1))));
    let rests = world.asked[0].clone();
    world.refuse(&rests, Missing::Dropped);
    (1..3).for_each(|peer| world.join(PeerId(peer), SERVES));
    world.pass(ms(2_000));

    let id = world.ask(Ask::One(Request::Blocks(hashes(1..2))));
    let first = world.asked.clone();
    assert!(first.len() == 2 && first[1].peer == PeerId(0), "one in earnest, and a chance: {first:?}");
    first.iter().rev().for_each(|asked| world.refuse(asked, Missing::NotFound));
    let second = world.asked[0].clone();
    assert_ne!(second.peer, first[0].peer);
    world.serve(&second);
    assert!(world.result(id).is_ok());
    world.assert_idle();
}

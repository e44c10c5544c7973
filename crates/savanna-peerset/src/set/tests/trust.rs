//! Who is asked first, who last, and for whom nobody waits.

use savanna_peer::Partial;

use super::super::*;
use super::world::{Asked, SERVES, World, hashes, ms};

fn find_headers() -> Request {
    Request::FindHeaders { locator: hashes(0..1), stop: None }
}

fn no_headers() -> Result<Response, savanna_peer::RequestError> {
    Ok(Response::Headers(Vec::new()))
}

/// Lets peer 0 give nothing, in one way or another, and peer 1 everything, until a stream of blocks is fetched.
fn fetch_beside(world: &mut World, range: std::ops::Range<usize>, mut give: impl FnMut(&mut World, &Asked)) {
    let id = world.ask(Ask::Stream(hashes(range)));
    while !world.done.contains_key(&id) {
        world.at(0).iter().for_each(|asked| give(world, asked));
        for asked in world.at(1) {
            world.pass(ms(2));
            world.serve(&asked);
        }
        if !world.done.contains_key(&id) && world.at(1).is_empty() {
            world.pass(ms(10));
        }
    }
    assert!(world.fetched[&id].iter().all(|fetched| matches!(fetched.result, Ok((PeerId(1), _)))));
}

#[test]
fn adversary_22_a_peer_that_answers_with_nothing_costs_nothing_of_what_retries_may() {
    for why in [Missing::Dropped, Missing::NotFound] {
        let mut world = World::with_peers(2, 9);
        let mut asked_of = 0;
        fetch_beside(&mut world, 0..600, |world, asked| {
            asked_of += asked.hashes().len();
            world.refuse(asked, why);
        });
        assert!(asked_of <= 16, "{asked_of}");
        assert!(world.now < ms(500), "{:?}", world.now);
        world.assert_idle();
    }
}

#[test]
fn adversary_22_a_silent_peer_is_waited_for_once_and_gets_one_block_at_a_time_beside_another() {
    let mut world = World::with_peers(2, 10);
    fetch_beside(&mut world, 0..300, |_, _| {});
    assert!(world.now < ms(1_000), "{:?}", world.now);
    let mut most = 0;
    for _ in 0..20 {
        let (before, total) = (world.now, world.total_asked);
        world.pass(ms(1_000));
        fetch_beside(&mut world, 300..600, |_, asked| assert_eq!(asked.hashes().len(), 1));
        assert!(world.now < before + ms(1_300), "it is not waited for");
        most = most.max(world.total_asked - total);
    }
    world.assert_idle();
}

#[test]
fn a_peer_that_delivers_again_has_its_place_again() {
    let mut world = World::with_peers(2, 11);
    fetch_beside(&mut world, 0..300, |world, asked| world.refuse(asked, Missing::Dropped));
    world.pass(ms(2_000));
    let id = world.ask(Ask::Stream(hashes(300..600)));
    let chance = world.at(0);
    assert_eq!((chance.len(), chance[0].hashes().len()), (1, 1));
    let beside = world.at(1).iter().any(|asked| asked.hashes().contains(&chance[0].hashes()[0]));
    assert!(beside, "what it is asked for comes from another too");
    world.serve(&chance[0]);
    let mut served = [0; 2];
    while let Some(asked) = world.asked.first().cloned() {
        served[usize::from(asked.peer == PeerId(1))] += asked.hashes().len();
        world.pass(ms(5));
        world.serve(&asked);
    }
    assert!(world.result(id).is_ok());
    assert!(served[0] > 50, "{served:?}");
    world.assert_idle();
}

#[test]
fn where_nobody_else_is_left_a_peer_that_gave_nothing_is_asked_all_the_same() {
    let mut world = World::with_peers(1, 12);
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..8))));
    world.at(0).iter().for_each(|asked| world.refuse(asked, Missing::TimedOut));
    assert!(world.result(id).is_err());
    let id = world.ask(Ask::One(Request::Blocks(hashes(0..8))));
    while let Some(asked) = world.asked.first().cloned() {
        world.serve(&asked);
    }
    let whole = hashes(0..8).into_iter().map(super::world::find).collect();
    assert_eq!(world.result(id), &Ok(Outcome::Gathered(Response::Blocks(Partial::complete(whole)))));
    world.assert_idle();
}

#[test]
fn adversary_22_a_slow_peer_is_given_no_more_time_than_others_deserve() {
    let mut world = World::with_peers(2, 13);
    fetch_beside(&mut world, 0..100, |_, _| {});
    // The time in which it lets each block come excuses it no further the next time.
    let before = world.now;
    for turn in 1..5 {
        let range = turn * 100..(turn + 1) * 100;
        fetch_beside(&mut world, range, |_, _| {});
        world.pass(ms(4_000));
    }
    assert!(world.now - before < ms(4 * 4_000 + 1_500), "{:?}", world.now - before);
    world.assert_idle();
}

#[test]
fn a_question_that_follows_another_goes_to_the_same_peer_unless_it_is_late_or_gone() {
    let mut world = World::with_peers(5, 14);
    for _ in 0..20 {
        let id = world.ask(Ask::Following(find_headers(), PeerId(3)));
        let asked = world.asked[0].clone();
        assert_eq!(asked.peer, PeerId(3));
        world.pass(ms(20));
        world.answer(asked.call, no_headers());
        assert!(world.result(id).is_ok());
    }
    let id = world.ask(Ask::Following(find_headers(), PeerId(3)));
    world.pass(ms(600));
    let second = world.asked.iter().find(|asked| asked.peer != PeerId(3)).unwrap().clone();
    world.answer(second.call, no_headers());
    let answer = crate::Answer { peer: second.peer, response: Response::Headers(Vec::new()) };
    assert_eq!(world.result(id), &Ok(Outcome::Answers(vec![answer])));
    world.leave(PeerId(3));
    world.ask(Ask::Following(find_headers(), PeerId(3)));
    let asked = world.asked[0].clone();
    world.answer(asked.call, no_headers());
    world.assert_idle();
}

#[test]
fn adversary_22_a_leader_far_slower_than_others_is_not_followed() {
    let mut world = World::new(Config::PUBLIC, 15);
    world.join(PeerId(0), Traits { round_trip: Some(ms(450)), ..SERVES });
    world.join(PeerId(1), Traits { round_trip: Some(ms(20)), ..SERVES });
    world.ask(Ask::Following(find_headers(), PeerId(0)));
    assert_eq!(world.asked[0].peer, PeerId(1));
    let asked = world.asked[0].clone();
    world.answer(asked.call, no_headers());
    world.assert_idle();
}

#[test]
fn adversary_22_the_slower_half_has_a_grace_and_no_more() {
    let mut world = World::with_peers(6, 16);
    let id = world.ask(Ask::Graced(Request::Ping, 8, ms(300)));
    assert_eq!(world.asked.len(), 6);
    for answered in 0..3 {
        world.pass(ms(100));
        assert!(!world.done.contains_key(&id), "{answered} of 6 answers are not enough");
        let asked = world.asked[0].clone();
        world.answer(asked.call, Ok(Response::Pong(ms(1))));
    }
    world.pass(ms(200));
    let asked = world.asked[0].clone();
    world.answer(asked.call, Ok(Response::Pong(ms(1))));
    assert!(!world.done.contains_key(&id));
    world.pass(ms(100));
    let Ok(Outcome::Answers(answers)) = world.result(id) else { panic!("no answers") };
    assert_eq!(answers.len(), 4, "what came in the time of grace counts");
    world.assert_idle();
}

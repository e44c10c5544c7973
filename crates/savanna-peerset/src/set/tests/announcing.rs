//! Who is told of a new block.

use super::super::*;
use super::world::{SERVES, World, hashes, ms};

fn advertise() -> Ask {
    Ask::One(Request::AdvertiseBlock(hashes(0..1)[0]))
}

fn told(world: &World) -> BTreeSet<PeerId> {
    world.asked.iter().map(|asked| asked.peer).collect()
}

fn answer_all(world: &mut World) {
    for asked in world.asked.clone() {
        world.answer(asked.call, Ok(Response::Nil));
    }
}

#[test]
fn a_block_is_announced_at_once_to_each_peer_that_lacks_it_and_once() {
    let mut world = World::with_peers(6, 1);
    let hash = hashes(0..1)[0];
    world.ask(Ask::One(Request::Blocks(vec![hash])));
    let delivery = world.asked[0].clone();
    world.serve(&delivery);
    let announcer = PeerId((delivery.peer.0 + 1) % 6);
    world.set.handle_announced(announcer, [Inventory::Block(hash)], world.now);

    let id = world.ask(advertise());
    let mut lacking = world.peers.clone();
    assert!(lacking.remove(&delivery.peer) && lacking.remove(&announcer));
    assert_eq!(told(&world), lacking);
    answer_all(&mut world);
    assert!(world.result(id).is_ok());
    assert_eq!(world.set.counts().spared(), 2);

    let again = world.ask(advertise());
    assert_eq!(world.result(again), &Ok(Outcome::Gathered(Response::Nil)));
    assert_eq!(world.set.counts().spared(), 8);
    world.join(PeerId(9), SERVES);
    world.ask(advertise());
    assert_eq!(told(&world), BTreeSet::from([PeerId(9)]));
    answer_all(&mut world);
    world.assert_idle();
}

#[test]
fn who_does_not_read_holds_up_no_announcement() {
    let mut world = World::with_peers(4, 2);
    let id = world.ask(advertise());
    assert_eq!(told(&world).len(), 4);
    let deaf = world.asked[0].clone();
    for asked in world.asked.clone().into_iter().skip(1) {
        world.answer(asked.call, Ok(Response::Nil));
    }
    // The next block goes out while the first is not read.
    let next = world.ask(Ask::One(Request::AdvertiseBlock(hashes(1..2)[0])));
    assert_eq!(told(&world).len(), 4);
    answer_all(&mut world);
    assert!(world.result(next).is_ok() && world.result(id).is_ok());

    let third = world.ask(Ask::One(Request::AdvertiseBlock(hashes(2..3)[0])));
    for asked in world.asked.clone().into_iter().filter(|asked| asked.peer != deaf.peer) {
        world.answer(asked.call, Ok(Response::Nil));
    }
    world.pass(ms(1_000));
    assert!(world.result(third).is_ok());
    // Who missed it is told with the next call.
    world.ask(Ask::One(Request::AdvertiseBlock(hashes(2..3)[0])));
    assert_eq!(told(&world), BTreeSet::from([deaf.peer]));
    answer_all(&mut world);
    world.assert_idle();
}

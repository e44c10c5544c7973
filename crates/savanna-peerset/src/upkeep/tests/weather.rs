//! When nobody answers: seeds, and our own faults.

use super::*;

fn failures(world: &World) -> u32 {
    world.book.records().map(|record| u32::from(record.failures)).sum()
}

#[test]
fn the_seeds_are_asked_when_the_book_is_dry_and_again_with_backoff() {
    let mut world = World::knowing(Policy::public(8), 0, 20);
    assert_eq!(world.actions(), [Action::AskSeeds]);
    let mut asked = vec![Duration::ZERO];
    world.plan.handle_seeds(&[], &mut world.book, world.now);
    while asked.len() < 10 && world.now.monotonic < seconds(100_000) {
        world.pass(world.plan.poll_timeout(world.now) - world.now.monotonic);
        if world.actions().contains(&Action::AskSeeds) {
            asked.push(world.now.monotonic);
            world.plan.handle_seeds(&[], &mut world.book, world.now);
        }
    }
    assert_eq!(asked.len(), 10, "{asked:?}");
    let rests: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(rests[0] <= seconds(60) && rests.last().unwrap() >= &seconds(1800), "{rests:?}");

    let answers = [SeedAnswer { seed: 0, addresses: (0..30).map(address).collect() }];
    let learned = world.plan.handle_seeds(&answers, &mut world.book, world.now);
    assert_eq!(learned.new, 30);
    world.run(|_| true);
    world.assert_full(8);
}

#[test]
fn the_seeds_are_asked_when_what_the_book_knows_is_dead_and_not_before() {
    let mut world = World::knowing(Policy::public(8), 1000, 21);
    assert!(!world.actions().contains(&Action::AskSeeds));
    let mut asked = None;
    while asked.is_none() && world.now.monotonic < seconds(60) {
        world.pass(seconds(1));
        asked = world.actions().contains(&Action::AskSeeds).then_some(world.now.monotonic);
    }
    assert!(asked.is_some_and(|asked| (seconds(14)..=seconds(17)).contains(&asked)), "{asked:?}");

    let mut local = World::knowing(Policy::local(8), 0, 21);
    assert_eq!(local.actions(), []);
}

#[test]
fn when_nobody_can_be_reached_it_is_nobodys_fault_and_dialling_slows_and_resumes() {
    let mut world = World::knowing(Policy::public(8), 600, 22);
    world.run_for(seconds(3600), |_| false);
    assert!(world.plan.is_offline());
    assert_eq!(failures(&world), 0);
    let before = world.book.records().map(|record| u64::from(record.attempts)).sum::<u64>();
    world.run_for(seconds(600), |_| false);
    let attempts = world.book.records().map(|record| u64::from(record.attempts)).sum::<u64>() - before;
    assert!((30..=70).contains(&attempts), "{attempts} dials in ten minutes");

    world.run_for(seconds(11), |_| true);
    assert!(!world.plan.is_offline());
    world.assert_full(8);
}

#[test]
fn the_dead_are_blamed_while_others_answer() {
    let mut world = World::knowing(Policy::public(8), 400, 23);
    let is_alive = |address: PeerAddr| digit(address).is_multiple_of(4);
    world.run_for(seconds(600), is_alive);
    world.assert_full(8);
    assert!(failures(&world) > 0);
    assert!(world.book.records().all(|record| record.failures == 0 || !is_alive(record.address)));
}

#[test]
fn connections_that_are_dead_and_not_yet_found_out_put_no_blame_on_others() {
    let mut world = World::knowing(Policy::public(12), 400, 24);
    world.run(|_| true);
    // The network goes away: for eighty seconds the connections seem to be there, and end one after the other.
    for address in world.staying() {
        world.pass(seconds(7));
        world.end(address, &CloseReason::TimedOut(savanna_peer::Timer::Ping(0)).into());
        world.run(|_| false);
    }
    assert!(failures(&world) <= 16, "{}", failures(&world));
}

#[test]
fn a_sleep_of_the_machine_is_noticed_and_forgives() {
    let mut world = World::new(Upkeep::with_policy(Policy::public(3), [address(999)], [], [25; 32]));
    for _ in 0..12 {
        world.run(|_| false);
        world.pass(seconds(400));
    }
    world.run(|_| false);
    let rests = world.plan.named.next().unwrap() - world.now.monotonic;
    assert!(rests > seconds(60), "{rests:?}");
    // The monotonic clock stands still while the machine sleeps.
    world.now.unix += 8 * 3600;
    assert_eq!(world.dials(), [(address(999), Purpose::Named)]);
}

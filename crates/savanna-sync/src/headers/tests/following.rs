//! What peers tell unasked once the end is known.

use super::*;

/// Returns a world that knows the end of `chain`, of which three peers have the whole.
fn at_end(chain: &[Block]) -> World {
    let peers = (0..3).map(|_| (Habit::Honest, chain.to_vec())).collect();
    let mut world = World::new(None, peers);
    world.run();
    assert!(world.headers.is_done() && world.headers.is_agreed());
    world.questions = 0;
    world
}

#[test]
fn an_announced_block_is_asked_for_at_once_and_of_nobody_else() {
    let all = chain(40, 0);
    let mut world = at_end(&all[..40]);
    world.peers[2].1 = all.clone();
    world.headers.handle_announced(PeerId(2), all[40].hash(), world.now);
    let action = world.headers.poll_action(world.now);
    assert!(matches!(action, Some(HeaderAction::Ask { whom: Whom::First(PeerId(2)), .. })), "{action:?}");
    let Some(HeaderAction::Ask { locator, .. }) = action else { return };
    let answers = [world.answer(2, &locator)];
    let heard = Heard { peer: PeerId(2), count: 1, last: Some(all[40].hash()) };
    assert!(world.headers.handle_heard(&[heard], world.now));
    assert_eq!(world.headers.handle_answers(&answers, world.now, UNIX).new, 1);
    assert_eq!(world.tip(), tip_of(&all));
    assert!(world.headers.is_done(), "no survey stands in the way");
    assert!(!world.headers.is_agreed(), "one peer is not several");
    world.headers.handle_announced(PeerId(1), all[40].hash(), world.now);
    assert_eq!(world.headers.poll_action(world.now), None, "it is known");
}

#[test]
fn adversary_17_random_hashes_lead_to_few_questions() {
    let all = chain(40, 0);
    let mut world = at_end(&all);
    for second in 0..600_u64 {
        world.now += Duration::from_secs(1);
        for number in 0..100 {
            let mut hash = [7; 32];
            hash[..8].copy_from_slice(&(second * 100 + number).to_le_bytes());
            world.headers.handle_announced(PeerId(1), BlockHash(hash), world.now);
        }
        let now = world.now;
        world.run();
        assert_eq!(world.now, now, "nothing is waited for");
    }
    assert!(world.questions < 20, "{} questions in ten minutes", world.questions);
    assert!(world.gone.is_empty());
}

#[test]
fn a_block_set_aside_is_let_in_again_and_its_rival_followed_meanwhile() {
    let trunk = chain(40, 0);
    let (first, second) = (branch(&trunk, 40, 1), {
        let rest = extend(&trunk[40], 40, 1, 0, 4);
        trunk.iter().cloned().chain(rest).collect::<Vec<_>>()
    });
    let mut world = at_end(&first);
    world.peers[1].1 = second.clone();
    world.headers.ask_again(world.now);
    world.run();
    assert_eq!(world.tip(), tip_of(&first), "of equals the one seen first");
    let withheld = first[41].hash();
    assert_eq!(world.headers.set_aside(withheld, world.now), Some(40));
    assert_eq!(world.tip(), tip_of(&second));
    world.headers.ask_again(world.now);
    world.run();
    assert_eq!(world.tip(), tip_of(&second));
    assert!(!world.headers.is_spurned() && world.gone.is_empty());

    let longer = extend(&first[41], 41, 1, 0, 9);
    world.peers[0].1.extend(longer);
    world.now += Duration::from_secs(6);
    world.headers.handle_timeout(world.now);
    world.headers.ask_again(world.now);
    world.run();
    assert_eq!(world.tip(), tip_of(&world.peers[0].1));
}

#[test]
fn adversary_22_peers_that_come_without_end_keep_no_survey_from_its_end() {
    let all = chain(40, 0);
    let mut world = at_end(&all);
    world.headers.ask_again(world.now);
    for number in 0..100 {
        world.headers.handle_joined(PeerId(1000 + number), world.now);
        world.headers.handle_announced(PeerId(2000 + number), BlockHash([3; 32]), world.now);
        if world.headers.is_done() {
            break;
        }
        if let Some(HeaderAction::Ask { whom, locator }) = world.headers.poll_action(world.now) {
            world.ask(whom, &locator);
        }
    }
    assert!(world.headers.is_done() && world.headers.is_agreed());
    assert!(world.questions <= 3, "{}", world.questions);
}

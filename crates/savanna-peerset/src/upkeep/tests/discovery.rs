//! Whom the plan takes from the book, and whom it keeps.

use super::*;

#[test]
fn the_target_is_reached_and_whoever_answers_beyond_it_is_met_and_let_go() {
    let mut world = World::knowing(Policy::public(4), 60, 5);
    let dials = world.addresses();
    assert_eq!(dials.len(), FIRST_DIALS);
    let admissions: Vec<_> = dials.iter().map(|address| world.connect(*address)).collect();
    assert_eq!(admissions[..4], [Admission::Keep { asks: true }; 4]);
    assert_eq!(admissions[4..], [Admission::Meet; 4]);
    assert_eq!((world.plan.connected(), world.book.counts().tried.total()), (4, 8), "met is tried");
    // Again and again, the ceiling holds.
    world.run_for(seconds(3600), |_| true);
    world.assert_full(4);
}

#[test]
fn adversary_23_peers_from_the_book_are_each_of_another_network() {
    let mut world = World::knowing(Policy::public(8), 4, 6);
    for host in 0..500 {
        let crowd = SocketAddr::from((Ipv4Addr::from_bits(0x0c00_0000 + host), 8233));
        world.learn(crowd.into());
    }
    world.run_for(seconds(600), |_| true);
    let groups: std::collections::BTreeSet<_> =
        world.staying().into_iter().map(|address| Netgroup::of(address.host)).collect();
    assert_eq!((world.plan.connected(), groups.len()), (5, 5));

    let mut world = World::knowing(Policy::local(8), 0, 6);
    (0..20).for_each(|host| world.learn(SocketAddr::from((Ipv4Addr::from_bits(0x0c00_0000 + host), 8233)).into()));
    world.run_for(seconds(60), |_| true);
    assert_eq!(world.plan.connected(), 8);
}

#[test]
fn feelers_move_addresses_to_tried_one_at_a_time() {
    let mut world = World::knowing(Policy::public(2), 100, 7);
    world.run(|_| true);
    assert_eq!(world.plan.connected(), 2);
    let tried = world.book.counts().tried.total();
    let mut feelers = 0;
    for _ in 0..600 {
        for (address, purpose) in world.dials() {
            feelers += usize::from(purpose == Purpose::Feeler);
            assert!(world.plan.count(Purpose::Feeler) <= 1);
            if world.connect(address) == Admission::Meet {
                world.end(address, &CloseReason::Local(LocalReason::Unused).into());
            }
        }
        world.pass(seconds(12));
    }
    // Two hours, one each two minutes on average.
    assert!((35..=90).contains(&feelers), "{feelers}");
    assert!(world.book.counts().tried.total() >= tried + 30);
    assert!(world.plan.connected() <= 3);
}

#[test]
fn anchors_come_first_after_a_restart() {
    let mut world = World::knowing(Policy::public(8), 60, 8);
    world.run_for(seconds(300), |_| true);
    let anchors = world.book.anchors().to_vec();
    assert_eq!(anchors.len(), Book::MAX_ANCHORS);
    assert!(anchors.iter().all(|anchor| world.staying().contains(anchor)));

    // The book was filled by somebody else meanwhile.
    let mut after = World::new(Upkeep::with_policy(Policy::public(8), [], anchors.clone(), [9; 32]));
    (1000..3000).for_each(|number| after.learn(address(number)));
    let dials = after.dials();
    let first: Vec<_> = anchors.iter().map(|anchor| (*anchor, Purpose::Anchor)).collect();
    assert_eq!(dials[..first.len()], first);
    assert!(dials[first.len()..].iter().all(|(_, purpose)| *purpose == Purpose::Full));
}

#[test]
fn adversary_24_a_discouraged_anchor_is_not_dialled() {
    let mut world = World::new(Upkeep::with_policy(Policy::public(8), [], [address(1), address(2)], [9; 32]));
    world.book.penalties_mut().penalize(address(1).host, 100, UnixTime::from(EPOCH));
    assert_eq!(world.dials(), [(address(2), Purpose::Anchor)]);
}

#[test]
fn adversary_11_an_address_that_is_our_own_is_dialled_once() {
    let mut world = World::knowing(Policy::public(8), 1, 10);
    assert_eq!(world.addresses(), [address(0)]);
    world.end(address(0), &CloseReason::Incompatible(Incompatibility::OurSelf).into());
    assert_eq!(world.book.own_addresses().collect::<Vec<_>>(), [address(0)]);
    world.learn(address(0));
    assert_eq!(world.book.counts().total(), 0);
    world.run_for(seconds(7200), |_| panic!("dialled again"));
}

#[test]
fn adversary_11_an_address_is_our_own_when_both_ends_say_so_and_not_when_one_claims_it() {
    let hung_up = CloseReason::ClosedByPeer.into();
    for claim_first in [true, false] {
        let mut world = World::knowing(Policy::public(8), 3, 10);
        let dials = world.addresses();
        assert_eq!(dials.len(), 3);
        // One is claimed to be ours and answers, one hangs up and nobody claims it, one is both.
        world.plan.handle_ourselves(dials[0], &mut world.book, world.now);
        let _ = world.connect(dials[0]);
        world.end(dials[0], &hung_up);
        world.end(dials[1], &hung_up);
        if claim_first {
            world.plan.handle_ourselves(dials[2], &mut world.book, world.now);
        }
        world.end(dials[2], &hung_up);
        if !claim_first {
            world.plan.handle_ourselves(dials[2], &mut world.book, world.now);
        }
        world.pass(seconds(60));
        world.plan.handle_ourselves(dials[1], &mut world.book, world.now);
        assert_eq!(world.book.own_addresses().collect::<Vec<_>>(), [dials[2]], "{claim_first}");
    }
}

#[test]
fn adversary_24_who_misbehaves_is_discouraged_and_who_is_slow_is_not() {
    let mut world = World::knowing(Policy::public(3), 3, 11);
    for dialled in world.addresses() {
        let _ = world.connect(dialled);
    }
    world.end(address(0), &CloseReason::Misbehaved(Offence::Flood).into());
    world.end(address(1), &CloseReason::TimedOut(savanna_peer::Timer::Ping(1)).into());
    let standing = |number| world.book.standing(address(number).host, UnixTime::from(EPOCH));
    assert_eq!([standing(0), standing(1), standing(2)], [Standing::Discouraged, Standing::Fine, Standing::Fine]);
    world.run_for(seconds(7200), |address| {
        assert_ne!(address, self::address(0));
        true
    });
    assert_eq!(world.plan.connected(), 2);
}

#[test]
fn a_named_peer_has_its_place_whenever_it_answers() {
    let mut world = World::new(Upkeep::with_policy(Policy::public(3), [address(999)], [], [12; 32]));
    (0..60).for_each(|number| world.learn(address(number)));
    world.run(|address| address != self::address(999));
    assert_eq!(world.plan.connected(), 3);
    world.run_for(seconds(1800), |_| true);
    assert!(world.staying().contains(&address(999)));
    world.assert_full(3);
    // The operator's peer is known to others by way of us.
    assert!(world.book.record(address(999)).is_some());
}

#[test]
fn busy_peers_let_the_target_grow_and_idle_ones_let_it_fall() {
    let mut world = World::knowing(Policy::public(3).growing_to(6), 60, 13);
    world.run(|_| true);
    world.plan.handle_counts(PeerCounts { ready: 0, unready: 3 }, world.now);
    world.run_for(seconds(30), |_| true);
    assert_eq!(world.plan.target(), 6);
    world.assert_full(6);
    world.plan.handle_counts(PeerCounts { ready: 2, unready: 4 }, world.now);
    world.run_for(seconds(1800), |_| true);
    assert_eq!(world.plan.target(), 3);
    world.assert_full(3);
}

#[test]
fn who_tells_of_blocks_first_keeps_its_place_and_the_oldest_half_is_safe() {
    let mut world = World::knowing(Policy::public(4), 400, 14);
    world.run(|_| true);
    world.pass(seconds(100));
    let mut peers: Vec<_> = world.plan.links.staying().map(|(address, link)| (link.since, address)).collect();
    peers.sort_unstable();
    let (safe, others): (Vec<_>, Vec<_>) =
        peers.iter().map(|(_, address)| *address).enumerate().partition(|(at, _)| *at < 2);
    // Whoever comes is the first to tell of each block: it replaces the two younger peers, and never the two elder.
    for block in 0..2000_u32 {
        world.run_for(seconds(25), |_| true);
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&block.to_le_bytes());
        let newest = world.plan.links.staying().max_by_key(|(_, link)| link.since).map(|(address, _)| address);
        world.plan.handle_block(newest, BlockHash(hash), world.now);
    }
    let staying = world.staying();
    assert!(safe.iter().all(|(_, address)| staying.contains(address)));
    assert!(others.iter().all(|(_, address)| !staying.contains(address)));
}

#[test]
fn the_loss_of_half_the_peers_is_made_good() {
    let mut world = World::knowing(Policy::public(12), 300, 15);
    world.run(|_| true);
    let is_dead = |address: PeerAddr| digit(address).is_multiple_of(2);
    for address in world.staying().into_iter().filter(|address| is_dead(*address)) {
        world.end(address, &CloseReason::TimedOut(savanna_peer::Timer::Ping(0)).into());
    }
    assert!(world.plan.connected() < 12);
    world.run_for(seconds(30), |address| !is_dead(address));
    world.assert_full(12);
    assert!(world.staying().iter().all(|address| !is_dead(*address)));
}

#[test]
fn a_peer_that_hangs_up_at_once_is_not_dialled_in_a_circle() {
    let mut world = World::knowing(Policy::public(2), 1, 16);
    let mut dials = 0;
    for _ in 0..3600 {
        for address in world.addresses() {
            dials += 1;
            let _ = world.connect(address);
            world.end(address, &CloseReason::ClosedByPeer.into());
        }
        world.pass(seconds(1));
    }
    assert!((3..=8).contains(&dials), "{dials}");
}

#[test]
fn f11_who_knew_nobody_is_met_again_when_nobody_else_is_left() {
    let mut world = World::knowing(Policy::local(4), 1, 17);
    world.run(|_| true);
    let mut met = Vec::new();
    while met.len() < 8 {
        world.pass(world.plan.poll_timeout(world.now) - world.now.monotonic);
        if world.actions().contains(&Action::Meet(address(0))) {
            met.push(world.now.monotonic);
            let _ = world.plan.handle_met(address(0), &[], &mut world.book, world.now);
        }
    }
    assert!(met[0] >= seconds(15) && met[0] <= seconds(40), "{met:?}");
    assert!(met.windows(2).all(|pair| pair[1] - pair[0] >= seconds(30)), "{met:?}");
    assert!(met[7] - met[6] >= seconds(600), "{met:?}");
    // It knows somebody at last.
    let told = AddrV2 { time: UnixTime::from(world.now.unix).0, services: Services::NODE_NETWORK, address: address(1) };
    assert_eq!(world.plan.handle_met(address(0), &[told], &mut world.book, world.now).new, 1);
    world.run(|_| true);
    assert_eq!(world.plan.connected(), 2);
}

#[test]
fn adversary_16_one_source_that_floods_the_book_gets_few_of_the_dials() {
    let (mut honest, mut all) = (0, 0);
    for seed in 0..8 {
        // Two hundred honest addresses answered before, and two thousand were told by a hundred networks.
        let mut world = World::new(Upkeep::with_policy(Policy::public(12), [], [], [seed; 32]));
        let unix = UnixTime::from(world.now.unix);
        let told = |number| AddrV2 { time: unix.0, services: Services::NODE_NETWORK, address: address(number) };
        for number in 0..2200_u32 {
            world.book.add(told(number), Source::Gossip(address(5000 + number % 100).host), unix);
        }
        for number in 0..200 {
            world.book.handle_success(address(number), Handshake::from(&info().remote), unix);
        }
        let tried = world.book.counts().tried.total();
        let enemies: Vec<_> = (10_000..40_000).map(told).collect();
        let learned = world.plan.handle_addresses(address(6000), &enemies, &mut world.book, world.now);
        assert!(learned.refused > 20_000, "{learned:?}");
        assert_eq!(world.book.counts().tried.total(), tried);
        // Each that is dialled leaves again, so that others are dialled.
        for _ in 0..40 {
            for dialled in world.addresses() {
                all += 1;
                honest += usize::from(dialled < address(10_000));
                let _ = world.connect(dialled);
                world.end(dialled, &CloseReason::ClosedByPeer.into());
            }
            world.pass(seconds(1));
        }
    }
    assert!(all > 1000 && honest * 10 >= all * 8, "{honest} of {all} dials were honest");
}

#[test]
fn adversary_26_dials_that_are_reset_cost_others_nothing() {
    let mut world = World::knowing(Policy::public(8), 60, 18);
    world.run(|address| digit(address) < 20);
    let staying = world.staying();
    assert_eq!(staying.len(), 8);
    // Everybody else resets whatever comes, for an hour: those who are there stay, and few dials are spent on it.
    let attempts = |world: &World| world.book.records().map(|record| u32::from(record.attempts)).sum::<u32>();
    let before = attempts(&world);
    let end = world.now.monotonic + seconds(3600);
    while world.now.monotonic < end {
        for dialled in world.addresses() {
            world.end(dialled, &CloseReason::ClosedByPeer.into());
        }
        world.pass(world.plan.poll_timeout(world.now) - world.now.monotonic);
    }
    assert_eq!(world.staying(), staying);
    assert!(attempts(&world) - before <= 60, "{}", attempts(&world) - before);
}

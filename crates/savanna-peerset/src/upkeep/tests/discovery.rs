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
fn who_is_named_is_dialled_for_that_alone_though_the_book_knows_the_address() {
    let mut world = World::new(Upkeep::with_policy(Policy::local(3), [address(1)], [], [12; 32]));
    assert_eq!(world.dials(), [(address(1), Purpose::Named)]);
    world.end(address(1), &DialFailure::Unreachable);
    world.learn(address(1));
    world.learn(address(2));
    // It rests, and nothing else brings it back before.
    assert_eq!(world.dials(), [(address(2), Purpose::Full)]);
    let _ = world.connect(address(2));
    for _ in 0..100 {
        let at = world.plan.poll_timeout(world.now);
        world.pass(at - world.now.monotonic);
        let there = world.staying();
        for (dialled, purpose) in world.dials() {
            assert_eq!((dialled, purpose), (address(1), Purpose::Named));
            assert!(!there.contains(&dialled), "it is there already");
            let _ = world.connect(dialled);
        }
    }
    assert_eq!((world.plan.connected(), world.plan.count(Purpose::Named)), (2, 1));
}

#[test]
fn a_named_address_that_is_in_use_is_not_dialled_beside_its_connection() {
    let mut world = World::new(Upkeep::with_policy(Policy::public(3), [address(1)], [], [12; 32]));
    world.plan.links.dial(address(1), Purpose::Full, world.now.monotonic);
    assert_eq!(world.connect(address(1)), Admission::Keep { asks: true });
    assert_eq!(world.dials(), []);
    assert_eq!((world.plan.connected(), world.plan.count(Purpose::Named)), (1, 1));
    // When it ends, it rests and is dialled again.
    world.end(address(1), &CloseReason::ClosedByPeer.into());
    assert_eq!(world.dials(), []);
    world.pass(FIRST_BACKOFF.mul_f64(1.25));
    assert_eq!(world.dials(), [(address(1), Purpose::Named)]);
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

/// Who stays, the oldest first.
fn by_age(world: &World) -> Vec<PeerAddr> {
    let mut peers: Vec<_> = world.plan.links.staying().map(|(address, link)| (link.since, address)).collect();
    peers.sort_unstable();
    peers.into_iter().map(|(_, address)| address).collect()
}

#[test]
fn who_delivers_takes_the_place_of_who_does_not_and_the_oldest_half_is_safe() {
    let mut world = World::knowing(Policy::public(4), 400, 14);
    world.run(|_| true);
    world.pass(seconds(100));
    let peers = by_age(&world);
    // Whoever comes delivers: it replaces the two younger peers, and never the two elder.
    for _ in 0..2000 {
        world.run_for(seconds(25), |_| true);
        if let Some(newest) = by_age(&world).pop() {
            world.plan.handle_delivered(newest, world.now.monotonic);
        }
    }
    let staying = world.staying();
    assert!(peers[..2].iter().all(|address| staying.contains(address)));
    assert!(peers[2..].iter().all(|address| !staying.contains(address)));
}

#[test]
fn adversary_22_who_invents_blocks_takes_nobodys_place() {
    let mut world = World::knowing(Policy::public(4), 400, 14);
    world.run(|_| true);
    world.pass(seconds(100));
    let before = by_age(&world);
    let invented = |number: u32| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&number.to_le_bytes());
        BlockHash(hash)
    };
    // Whoever comes tells of blocks without end. In a node that asks for nothing that changes nothing.
    let mut number = 0;
    for _ in 0..1000 {
        world.run_for(seconds(25), |_| true);
        world.plan.handle_block(invented(number), world.now);
        number += 1;
    }
    assert_eq!(by_age(&world)[..4], before);
    // Those who deliver keep their places even where another delivers more.
    for turn in 0..1000 {
        world.run_for(seconds(25), |_| true);
        let newest = *by_age(&world).last().unwrap();
        for delivering in [before[turn % 4], before[(turn + 1) % 4], newest] {
            world.plan.handle_asked(delivering, world.now.monotonic);
            world.plan.handle_delivered(delivering, world.now.monotonic);
        }
        world.plan.handle_delivered(before[(turn + 2) % 4], world.now.monotonic);
        world.plan.handle_delivered(before[(turn + 3) % 4], world.now.monotonic);
    }
    assert_eq!(by_age(&world)[..4], before);
    // And a node that asks and gets nothing looks for others, whatever is invented meanwhile.
    let attempts = |world: &World| world.book.records().map(|record| u32::from(record.attempts)).sum::<u32>();
    let mut an_hour = |is_served: bool| {
        let before_it = attempts(&world);
        for _ in 0..144 {
            world.run_for(seconds(25), |_| true);
            world.plan.handle_asked(before[0], world.now.monotonic);
            world.plan.handle_block(invented(number), world.now);
            number += 1;
            if is_served {
                world.plan.handle_delivered(before[0], world.now.monotonic);
            }
        }
        attempts(&world) - before_it
    };
    let (served, stale) = (an_hour(true), an_hour(false));
    assert!(stale >= served + 12, "{stale} dials in an hour without blocks, {served} in one with them");
}

#[test]
fn a_slow_anchor_keeps_its_place_and_a_dead_one_delays_no_other() {
    let anchors = [address(1), address(2)];
    for is_dead in [false, true] {
        let mut world = World::new(Upkeep::with_policy(Policy::public(8), [], anchors, [9; 32]));
        (1000..3000).for_each(|number| world.learn(address(number)));
        // All others answer at once, and the anchors only after seconds.
        let mut full = 0;
        for _ in 0..25 {
            for (dialled, purpose) in world.dials() {
                if purpose != Purpose::Anchor && matches!(world.connect(dialled), Admission::Meet) {
                    world.end(dialled, &CloseReason::Local(LocalReason::Unused).into());
                }
            }
            full = full.max(world.plan.connected());
            world.pass(ms(100));
        }
        assert_eq!((full, world.plan.connected()), (6, 6), "others are there, and two places are kept");
        if is_dead {
            anchors.iter().for_each(|anchor| world.end(*anchor, &DialFailure::Unreachable));
            world.run(|_| true);
        } else {
            for anchor in anchors {
                assert_eq!(world.connect(anchor), Admission::Keep { asks: true });
            }
        }
        assert_eq!(world.plan.connected(), 8);
        assert_eq!(anchors.iter().all(|anchor| world.staying().contains(anchor)), !is_dead);
    }
}

#[test]
fn adversary_24_a_banned_peer_is_not_dialled_though_it_is_named() {
    let mut world = World::new(Upkeep::with_policy(Policy::public(3), [address(1), address(2)], [], [12; 32]));
    let prefix = savanna_book::Prefix::of(address(1).host);
    let until = UnixTime(UnixTime::from(EPOCH).0 + 3600);
    world.book.penalties_mut().ban(prefix, until, UnixTime::from(EPOCH)).unwrap();
    world.run_for(seconds(3500), |dialled| dialled != address(1));
    assert_eq!(world.staying(), [address(2)]);
    // The ban has ended.
    world.run_for(seconds(1200), |_| true);
    assert_eq!(world.staying().len(), 2);
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
            let _ = world.plan.handle_met(address(0), Some(&[]), &mut world.book, world.now);
        }
    }
    assert!(met[0] >= seconds(15) && met[0] <= seconds(40), "{met:?}");
    assert!(met.windows(2).all(|pair| pair[1] - pair[0] >= seconds(30)), "{met:?}");
    assert!(met[7] - met[6] >= seconds(600), "{met:?}");
    // It knows somebody at last.
    let told = AddrV2 { time: UnixTime::from(world.now.unix).0, services: Services::NODE_NETWORK, address: address(1) };
    assert_eq!(world.plan.handle_met(address(0), Some(&[told]), &mut world.book, world.now).new, 1);
    world.run(|_| true);
    assert_eq!(world.plan.connected(), 2);
}

#[test]
fn f11_who_takes_one_connection_a_host_is_let_go_and_met_anew() {
    // On the public network at once, elsewhere when a second connection was refused.
    for policy in [Policy::public(4), Policy::local(4)] {
        let mut world = World::knowing(policy, 1, 17);
        world.run(|_| true);
        let (mut gone, mut busy) = (Vec::new(), true);
        while gone.len() < 4 {
            world.pass(world.plan.poll_timeout(world.now) - world.now.monotonic);
            if busy && world.now.monotonic < seconds(300) {
                world.plan.handle_asked(address(0), world.now.monotonic);
            } else {
                busy = false;
            }
            for action in world.actions() {
                match action {
                    Action::Meet(met) => {
                        assert!(policy.meets_beside && gone.is_empty());
                        world.plan.handle_met(met, None, &mut world.book, world.now);
                    }
                    Action::LetGo(peer) => {
                        assert!(!busy, "it has work to do");
                        gone.push(world.now.monotonic);
                        world.end(peer, &CloseReason::Local(LocalReason::Evicted).into());
                        // It is dialled again at once, and asked.
                        assert_eq!(world.addresses(), [address(0)]);
                        assert_eq!(world.connect(address(0)), Admission::Keep { asks: true });
                        let _ = world.plan.handle_addresses(address(0), &[], &mut world.book, world.now);
                    }
                    Action::AskSeeds => {
                        world.plan.handle_seeds(&[], &mut world.book, world.now);
                    }
                    Action::Dial(..) => panic!("{action:?}"),
                }
            }
        }
        assert!(gone.windows(2).all(|pair| pair[1] - pair[0] >= seconds(30)), "{gone:?}");
        // Once it does not come back. That is noticed, and it is dialled as others are.
        while world.plan.connected() > 0 {
            world.pass(world.plan.poll_timeout(world.now) - world.now.monotonic);
            for action in world.actions() {
                if let Action::LetGo(peer) = action {
                    world.end(peer, &CloseReason::Local(LocalReason::Evicted).into());
                    assert_eq!(world.addresses(), [address(0)]);
                    world.end(peer, &DialFailure::Unreachable);
                } else if action == Action::AskSeeds {
                    let _ = world.plan.handle_seeds(&[], &mut world.book, world.now);
                }
            }
        }
        world.run_for(seconds(7200), |_| true);
        assert_eq!(world.plan.connected(), 1);
    }
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

#[test]
fn adversary_24_a_named_peer_that_is_discouraged_while_it_is_met_again_is_dialled_later() {
    let mut world = World::new(Upkeep::with_policy(Policy::public(4), [address(0)], [], [19; 32]));
    world.run(|_| true);
    let mut leaving = None;
    while leaving.is_none() {
        world.pass(world.plan.poll_timeout(world.now) - world.now.monotonic);
        for action in world.actions() {
            match action {
                Action::LetGo(peer) => leaving = Some(peer),
                Action::AskSeeds => {
                    let _ = world.plan.handle_seeds(&[], &mut world.book, world.now);
                }
                Action::Dial(..) | Action::Meet(_) => panic!("{action:?}"),
            }
        }
    }
    let penalty = CloseReason::Misbehaved(Offence::Flood).penalty();
    world.book.penalties_mut().penalize(address(0).host, penalty, UnixTime::from(world.now.unix));
    world.end(leaving.unwrap(), &CloseReason::Local(LocalReason::Evicted).into());
    world.run_for(seconds(600), |_| true);
    assert_eq!(world.staying(), [address(0)]);
}

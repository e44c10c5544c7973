use std::net::{Ipv4Addr, SocketAddr};

use savanna_peer::Incompatibility;

use super::*;

fn address(number: u32) -> PeerAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + number), 8233)).into()
}

fn drain(plan: &mut Upkeep, now: Duration) -> Vec<PeerAddr> {
    std::iter::from_fn(|| plan.poll_dial(now)).collect()
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn f7_dials_are_concurrent_up_to_fifty_and_dead_addresses_delay_no_other() {
    let mut plan = Upkeep::new((0..200).map(address), 75, [1; 32]);
    assert_eq!(drain(&mut plan, ms(0)).len(), MAX_DIALS);
    assert_eq!((plan.dialing(), plan.poll_timeout(ms(0))), (MAX_DIALS, None));

    // One peer is wanted, and those dialled first never answer: others are dialled meanwhile.
    let mut plan = Upkeep::new((0..200).map(address), 1, [1; 32]);
    assert_eq!(drain(&mut plan, ms(0)).len(), FIRST_DIALS);
    assert_eq!(plan.poll_timeout(ms(0)), Some(SLOW_DIAL));
    assert_eq!(drain(&mut plan, SLOW_DIAL - ms(1)).len(), 0);
    for turn in 1..20 {
        drain(&mut plan, SLOW_DIAL * turn);
    }
    assert_eq!(plan.dialing(), MAX_DIALS);
}

#[test]
fn a_failing_address_rests_longer_each_time_and_recovers_when_it_lasts() {
    let mut plan = Upkeep::new([address(1)], 1, [2; 32]);
    let mut now = ms(0);
    let mut rests = Vec::new();
    for _ in 0..14 {
        assert_eq!(drain(&mut plan, now), [address(1)]);
        plan.handle_ended(address(1), &DialFailure::Unreachable, now);
        let next = plan.poll_timeout(now).unwrap();
        assert_eq!(plan.poll_dial(next - ms(1)), None);
        rests.push(next - now);
        now = next;
    }
    assert!(rests[0] >= FIRST_BACKOFF.mul_f64(0.75) && rests[0] <= FIRST_BACKOFF.mul_f64(1.25));
    assert!(rests.windows(2).take(8).all(|pair| pair[1] > pair[0]), "{rests:?}");
    assert!(rests.iter().all(|rest| *rest <= LONGEST_BACKOFF.mul_f64(1.25)));
    assert!(rests[12] != rests[13], "no jitter: {rests:?}");

    drain(&mut plan, now);
    plan.handle_connected(address(1), now);
    assert_eq!((plan.connected(), plan.dialing(), plan.poll_timeout(now)), (1, 0, None));
    now += STABLE;
    plan.handle_ended(address(1), &CloseReason::ClosedByPeer.into(), now);
    assert!(plan.poll_timeout(now).unwrap() - now <= FIRST_BACKOFF.mul_f64(1.25));
}

#[test]
fn an_incompatible_peer_is_left_alone_for_long() {
    let mut plan = Upkeep::new([address(1), address(1)], 5, [3; 32]);
    assert_eq!(drain(&mut plan, ms(0)).len(), 1);
    plan.handle_ended(address(1), &CloseReason::Incompatible(Incompatibility::OurSelf).into(), ms(0));
    assert!(plan.poll_timeout(ms(0)).unwrap() >= INCOMPATIBLE_FOR.mul_f64(0.75));
}

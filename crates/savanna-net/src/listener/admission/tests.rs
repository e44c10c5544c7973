#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small, or meant to wrap")]

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Longer than any bucket of a public node takes to fill up.
const REST: Duration = Duration::from_secs(64);

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    Ipv4Addr::new(a, b, c, d).into()
}

fn v6(network: u64, host: u64) -> IpAddr {
    Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host)).into()
}

/// A thousand connections a second for so many seconds; returns how many are admitted.
fn flood(door: &mut Admission, begin: Duration, seconds: u32, source: impl Fn(u32) -> IpAddr) -> u128 {
    let times = (0..seconds * 1000).map(|turn| (turn, begin + Duration::from_millis(turn.into())));
    times.map(|(turn, now)| u128::from(door.admit(source(turn), now))).sum()
}

fn most(rate: Rate, time: Duration) -> u128 {
    u128::from(rate.burst) + time.as_nanos() / rate.every.as_nanos()
}

#[test]
fn adversary_26_a_flood_from_one_network_takes_its_own_share_and_nothing_from_others() {
    let rates = AcceptRates::PUBLIC;
    let mut door = Admission::new(rates);
    let mut others = 0;
    for second in 0..20 {
        let now = REST + SECOND * second;
        let admitted = flood(&mut door, now, 1, |turn| v4(192, 0, 2, (turn % 256) as u8));
        assert!(admitted <= most(rates.netgroup, SECOND), "{admitted} in second {second}");
        assert!(second == 0 || admitted <= 1, "{admitted} in second {second}");
        others += u32::from(door.admit(v4(10, second as u8, 0, 1), now));
        others += u32::from(door.admit(v6(0x2001_0db8_0000_0000 | u64::from(second) << 32, 1), now));
        assert!(door.netgroups.len() < 100);
    }
    assert_eq!(others, 40);
}

#[test]
fn adversary_23_a_range_of_networks_is_one_source() {
    let rates = AcceptRates::PUBLIC;
    let within_10_seconds = most(rates.range, 10 * SECOND);
    let mut door = Admission::new(rates);
    // A /48 is given to anyone, and has 65,536 networks.
    let admitted = flood(&mut door, REST, 10, |turn| v6(0x2001_0db8_0001_0000 | u64::from(turn), 1));
    assert!((16..=within_10_seconds).contains(&admitted), "{admitted}");
    let admitted = flood(&mut door, REST, 10, |turn| v4(198, 51, (turn % 256) as u8, 7));
    assert!((16..=within_10_seconds).contains(&admitted), "{admitted}");
    assert!(door.admit(v4(203, 0, 113, 1), REST + 10 * SECOND));
}

#[test]
fn adversary_24_mapped_addresses_and_those_of_a_64_share_a_bucket() {
    let mut door = Admission::new(AcceptRates::PUBLIC);
    let spellings = [v4(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2).to_ipv6_mapped().into()];
    let admitted = (0..20).filter(|turn| door.admit(spellings[turn % 2], REST)).count();
    assert_eq!(admitted, 4);
    let admitted = (0..20).filter(|host| door.admit(v6(0x2001_0db8_0000_0000, 1 << host), REST)).count();
    assert_eq!(admitted, 4);
}

#[test]
fn adversary_26_a_flood_from_everywhere_is_bounded_in_number_and_in_memory() {
    let rates = AcceptRates::PUBLIC;
    let mut door = Admission::new(rates);
    // A multiplication scatters the sources over the whole of IPv4.
    let everywhere = |turn: u32| IpAddr::from(Ipv4Addr::from_bits(turn.wrapping_mul(2_654_435_761)));
    for round in 1..4 {
        let admitted = flood(&mut door, REST * round, 10, everywhere);
        assert!((160..=most(rates.all, 10 * SECOND)).contains(&admitted), "{admitted}");
        assert!(door.netgroups.len() <= MAX_BUCKETS && door.ranges.len() <= MAX_BUCKETS);
    }
    // Rates that would have more remembered than there is room for.
    let slow = Rate { burst: 1, every: 3600 * SECOND };
    let mut door = Admission::new(AcceptRates { netgroup: slow, range: slow, all: Rate::UNLIMITED });
    assert_eq!(flood(&mut door, SECOND, 10, everywhere), MAX_BUCKETS as u128);
    assert_eq!((door.netgroups.len(), door.ranges.len()), (MAX_BUCKETS, MAX_BUCKETS));
    assert!(door.admit(v4(1, 2, 3, 4), 4000 * SECOND), "what has rested is forgotten");
    assert_eq!(door.netgroups.len(), 1);
}

#[test]
fn a_bucket_empties_by_its_burst_and_fills_at_its_rate() {
    let rate = Rate { burst: 3, every: SECOND };
    let mut door = Admission::new(AcceptRates { netgroup: rate, range: Rate::UNLIMITED, all: Rate::UNLIMITED });
    let mut take = |millis| door.admit(v4(192, 0, 2, 1), Duration::from_millis(millis));
    assert_eq!([0, 0, 0, 0, 999].map(&mut take), [true, true, true, false, false]);
    assert_eq!([1000, 1000, 3500, 3500, 3999, 4000].map(&mut take), [true, false, true, true, false, true]);
    let mut shut = Admission::new(AcceptRates { all: Rate { burst: 0, every: SECOND }, ..AcceptRates::LOCAL });
    assert!(!shut.admit(v4(192, 0, 2, 1), REST));
    let mut open = Admission::new(AcceptRates::LOCAL);
    assert!((0..10_000).all(|_| open.admit(v4(127, 0, 0, 1), SECOND)));
    assert!(open.netgroups.is_empty());
}

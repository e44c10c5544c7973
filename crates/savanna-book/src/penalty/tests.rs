use std::net::{IpAddr, Ipv4Addr};

use super::*;

const NOW: UnixTime = UnixTime(1_790_000_000);
const DAY: u32 = Penalties::MARKED_FOR;

fn host(text: &str) -> Host {
    text.parse::<IpAddr>().unwrap().into()
}

fn v4(number: u32) -> Host {
    Host::V4(Ipv4Addr::from(number))
}

fn v6(network: u64) -> Host {
    IpAddr::from((u128::from(network) << 64 | 1).to_be_bytes()).into()
}

#[test]
fn points_add_up_and_are_forgiven_a_day_after_the_last() {
    let mut penalties = Penalties::default();
    let peer = host("1.2.3.4");
    for round in 0..9 {
        assert_eq!(penalties.penalize(peer, 10, NOW.plus(round)), Standing::Fine);
    }
    assert_eq!(penalties.penalize(peer, 0, NOW.plus(9)), Standing::Fine);
    assert_eq!(penalties.penalize(peer, 10, NOW.plus(9)), Standing::Discouraged);
    assert_eq!(penalties.standing(peer, NOW.plus(8 + DAY)), Standing::Discouraged);
    assert_eq!(penalties.standing(peer, NOW.plus(9 + DAY)), Standing::Fine);
    assert_eq!(penalties.penalize(peer, 10, NOW.plus(9 + DAY)), Standing::Fine);
    assert_eq!(penalties.penalize(peer, u32::MAX, NOW.plus(9 + DAY)), Standing::Discouraged);
    penalties.expire(NOW.plus(9 + 2 * DAY));
    assert_eq!(penalties.marks().count(), 0);
}

#[test]
fn adversary_24_another_name_or_port_or_a_neighbouring_address_evades_nothing() {
    let mut penalties = Penalties::default();
    let evasions = [
        ("12.34.56.78", "::ffff:12.34.56.78"),
        ("12.34.56.78", "2002:c22:384e:1::9"),
        ("12.34.56.78", "64:ff9b::c22:384e"),
        ("2a01:4f8:1:2::1", "2a01:4f8:1:2:ffff:ffff:ffff:ffff"),
        ("2002:505:505::1", "5.5.5.5"),
    ];
    for (known, evasion) in evasions {
        penalties.penalize(host(known), 100, NOW);
        assert_eq!(penalties.standing(host(evasion), NOW), Standing::Discouraged, "{evasion}");
    }
    for other in ["12.34.56.79", "2a01:4f8:1:3::1"] {
        assert_eq!(penalties.standing(host(other), NOW), Standing::Fine, "{other}");
    }
    assert_eq!(penalties.penalize(Host::TorV3([1; 32]), 100, NOW), Standing::Discouraged);
    assert_eq!(penalties.standing(Host::TorV3([2; 32]), NOW), Standing::Fine);
    assert_eq!(penalties.standing(Host::I2p([1; 32]), NOW), Standing::Fine);
}

#[test]
fn bans_are_by_prefix_last_as_long_as_the_longest_and_can_be_lifted() {
    let mut penalties = Penalties::default();
    let range = Prefix::new(host("10.20.0.0"), 16);
    assert_eq!(range.to_string(), "10.20.0.0/16");
    penalties.ban(range, NOW.plus(DAY), NOW).unwrap();
    penalties.ban(range, NOW.plus(5), NOW).unwrap();
    penalties.ban(Prefix::new(host("2002::"), 16), NOW.plus(DAY), NOW).unwrap();
    penalties.ban(Prefix::new(host("::"), 0), NOW.plus(1), NOW).unwrap();
    assert_eq!(penalties.standing(host("10.20.255.1"), NOW.plus(DAY - 1)), Standing::Banned);
    assert_eq!(penalties.standing(host("::ffff:10.20.255.1"), NOW), Standing::Banned);
    assert_eq!(penalties.standing(host("2002:101:101::1"), NOW.plus(2)), Standing::Banned);
    assert_eq!(penalties.standing(host("1.1.1.1"), NOW), Standing::Fine);
    assert_eq!(penalties.standing(host("2a01::1"), NOW), Standing::Banned);
    assert_eq!(penalties.standing(host("2a01::1"), NOW.plus(1)), Standing::Fine);
    assert_eq!(penalties.standing(host("10.20.255.1"), NOW.plus(DAY)), Standing::Fine);
    assert!(penalties.lift(range) && !penalties.lift(range));
    assert_eq!(penalties.standing(host("10.20.255.1"), NOW), Standing::Fine);
}

#[test]
fn adversary_24_a_full_list_of_bans_refuses_further_ones_and_frees_nobody() {
    let mut penalties = Penalties::default();
    for number in (0..).take(Penalties::MAX_BANS) {
        penalties.ban(Prefix::of(v4(0x0100_0000 + number)), NOW.plus(DAY), NOW).unwrap();
    }
    let one_more = Prefix::of(host("99.0.0.1"));
    assert_eq!(penalties.ban(one_more, NOW.plus(DAY), NOW), Err(TooManyBans));
    assert_eq!(penalties.standing(v4(0x0100_0000), NOW), Standing::Banned);
    assert_eq!(penalties.ban(one_more, NOW.plus(3 * DAY), NOW.plus(DAY)), Ok(()));
    assert_eq!(penalties.bans().count(), 1);
}

/// Whether everyone who was discouraged still is, and the list within its bound.
fn assert_holds(penalties: &Penalties, bad: &[Host], now: UnixTime) {
    assert!(penalties.marks().count() <= Penalties::MAX_MARKS);
    let free = bad.iter().filter(|host| penalties.standing(**host, now) == Standing::Fine).count();
    assert_eq!(free, 0);
}

#[test]
fn adversary_24_rotating_through_a_network_closes_that_network_and_frees_no_old_mark() {
    let old: Vec<_> = (0..100).map(|number| v4(0x0101_0101 + (number << 16))).collect();
    let mut rotations: Vec<Box<dyn Fn(u32) -> Host>> = Vec::new();
    rotations.push(Box::new(|number| v4(0x5000_0000 + number)));
    rotations.push(Box::new(|number| v4(0x5000_0000 + (number << 8))));
    rotations.push(Box::new(|number| v6(0x2a01_04f8_0000_0000 + u64::from(number))));
    rotations.push(Box::new(|number| v6(0x2a01_04f8_0000_0000 + (u64::from(number) << 16))));
    for rotate in rotations {
        let mut penalties = Penalties::default();
        for host in &old {
            penalties.penalize(*host, 100, NOW);
        }
        for number in 0..50_000 {
            penalties.penalize(rotate(number), 100, NOW.plus(1 + number / 100));
        }
        let now = NOW.plus(600);
        assert_holds(&penalties, &old, now);
        let rotated: Vec<_> = (0..40_000).map(rotate).collect();
        assert_holds(&penalties, &rotated, now);
        assert_eq!(penalties.standing(host("8.8.8.8"), now), Standing::Fine);
    }
}

#[test]
fn adversary_24_a_list_full_of_strangers_remembers_no_newcomer_and_frees_no_old_mark() {
    let mut penalties = Penalties::default();
    let scattered = |number: u32| v4((number.wrapping_mul(0x9e37) & 0xffff) << 16 | 0x0101);
    let old: Vec<_> = (0..).take(Penalties::MAX_MARKS).map(scattered).collect();
    for host in &old {
        assert_eq!(penalties.penalize(*host, 100, NOW), Standing::Discouraged);
    }
    for number in 0..20_000 {
        penalties.penalize(scattered(10_000 + number), 100, NOW.plus(number / 50));
    }
    assert_holds(&penalties, &old, NOW.plus(400));
    // Once they are forgiven there is room.
    let newcomer = host("99.99.99.99");
    assert_eq!(penalties.penalize(newcomer, 100, NOW.plus(DAY + 400)), Standing::Discouraged);
}

#[test]
fn adversary_24_unfinished_tallies_and_free_keys_crowd_out_nobody() {
    let mut penalties = Penalties::default();
    for number in 0..20_000_u32 {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        penalties.penalize(Host::TorV3(key), 100, NOW);
    }
    assert_eq!(penalties.marks().count(), Penalties::MAX_MARKS / 4);
    for number in 0..20_000_u32 {
        penalties.penalize(v4(0x0200_0000 + (number << 8)), 10, NOW);
    }
    assert_eq!(penalties.penalize(host("9.9.9.9"), 100, NOW), Standing::Discouraged);
    assert_eq!(penalties.standing(Host::TorV3([0; 32]), NOW), Standing::Discouraged);
    assert!(penalties.marks().count() <= Penalties::MAX_MARKS);
}

#[test]
fn what_stands_behind_loopback_is_many_peers_and_is_not_marked() {
    let mut penalties = Penalties::default();
    for loopback in ["127.0.0.1", "::1"] {
        assert_eq!(penalties.penalize(host(loopback), 1000, NOW), Standing::Fine);
    }
    assert_eq!(penalties.penalize(host("127.0.3.1"), 1000, NOW), Standing::Discouraged);
}

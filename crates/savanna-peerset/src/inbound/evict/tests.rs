#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;

const SECRET: [u8; 32] = [9; 32];

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Returns a host of an IPv4 /16.
fn host(range: u16, number: u16) -> Option<Host> {
    let [a, b] = (range.wrapping_add(0x1000)).to_be_bytes();
    let [c, d] = number.to_be_bytes();
    Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)).into())
}

fn candidate(number: u64, since: u64, host: Option<Host>) -> Candidate {
    let (block, transaction, headers) = (None, None, None);
    Candidate {
        peer: PeerId(number),
        host,
        is_discouraged: false,
        since: ms(since),
        round_trip: None,
        block,
        transaction,
        headers,
    }
}

/// Forty strangers of forty ranges, all connected before whoever is tested.
fn crowd() -> Vec<Candidate> {
    (100..140).map(|number| candidate(number, number, host(number as u16, 0))).collect()
}

fn is_evicted(tested: Candidate) -> bool {
    let mut candidates = crowd();
    candidates.push(tested);
    evict(&candidates, &SECRET) == Some(tested.peer)
}

#[test]
fn the_near_and_the_useful_are_protected() {
    let young = candidate(1, 1_000_000, host(7, 7));
    assert!(is_evicted(young));
    assert!(!is_evicted(Candidate { round_trip: Some(ms(900)), ..young }));
    assert!(!is_evicted(Candidate { block: Some(ms(1)), ..young }));
    assert!(!is_evicted(Candidate { transaction: Some(ms(1)), ..young }));
    assert!(!is_evicted(Candidate { headers: Some(ms(1)), ..young }));
    assert!(!is_evicted(Candidate { since: ms(1), ..young }));
}

#[test]
fn networks_that_are_few_are_protected_and_the_smallest_first() {
    let cjdns = savanna_wire::CjdnsIpv6::new("fc00::1".parse().unwrap()).unwrap();
    let young = |number, host| candidate(number, 1_000_000 + number, Some(host));
    for few in [Host::TorV3([1; 32]), Host::I2p([2; 32]), Host::Cjdns(cjdns), Host::V4(Ipv4Addr::LOCALHOST)] {
        assert!(!is_evicted(young(1, few)), "{few:?}");
    }
    // Onions without number leave a place to the one I2P destination.
    let onions = (1..80).map(|number| young(number, Host::TorV3([number as u8; 32])));
    let mut candidates: Vec<_> = crowd().into_iter().chain(onions).collect();
    candidates.push(young(99, Host::I2p([2; 32])));
    let evicted = evict(&candidates, &SECRET).unwrap();
    assert!((1..80).contains(&evicted.0), "{evicted}");
    let few = longest_of_the_few(&candidates, 5);
    assert!(few.contains(&PeerId(99)) && few.len() == 5);
}

#[test]
fn the_youngest_of_the_largest_crowd_goes() {
    let mut candidates = crowd();
    candidates.extend((1..=9).map(|number| candidate(number, 200 + number, host(1, number as u16))));
    candidates.extend((11..=16).map(|number| candidate(number, 300 + number, host(2, number as u16))));
    assert_eq!(evict(&candidates, &SECRET), Some(PeerId(9)));
    candidates.retain(|candidate| candidate.peer != PeerId(9));
    assert_eq!(evict(&candidates, &SECRET), Some(PeerId(8)));
    // An IPv4-mapped address is of its IPv4 range, by the type of hosts; all of an IPv6 /32 are one crowd.
    let six = |number: u64| {
        let ip = std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number) << 64);
        candidate(500 + number, 900 + number, Some(IpAddr::V6(ip).into()))
    };
    candidates.extend((0..20).map(six));
    assert_eq!(evict(&candidates, &SECRET), Some(PeerId(519)));
}

#[test]
fn a_group_of_the_secret_s_choice_is_protected_by_one_of_its_members() {
    // All alike but for their ranges, and none with a quality: the four ranges that the secret likes keep one each.
    let candidates: Vec<_> = (0..200).map(|number| candidate(number, 50, host((number % 100) as u16, 1))).collect();
    let protected = |secret: &[u8; 32]| {
        let mut left = candidates.clone();
        protect_groups(&mut left, secret);
        let left: BTreeSet<_> = left.iter().map(|candidate| candidate.peer).collect();
        candidates.iter().map(|candidate| candidate.peer).filter(|peer| !left.contains(peer)).collect::<Vec<_>>()
    };
    let (one, other) = (protected(&SECRET), protected(&[1; 32]));
    assert_eq!((one.len(), other.len()), (4, 4));
    assert_ne!(one, other, "who cannot know the secret cannot choose such a range");
    assert!(one.iter().all(|peer| peer.0 < 100), "the older of the two");
}

/// Replays an attack on 125 places, of which honest peers of as many ranges hold a hundred; returns the honest who are left.
/// The attacker's connections are the nearest and the most useful of all.
fn attack(ranges: u32) -> BTreeSet<u64> {
    let honest = |number: u64| Candidate {
        round_trip: Some(ms(50 + number)),
        block: Some(ms(number)),
        ..candidate(number, number, host(number as u16, 1))
    };
    let mut peers: Vec<_> = (0..100).map(honest).collect();
    for attempt in 0..1_500_u32 {
        if peers.len() == 125 {
            let Some(evicted) = evict(&peers, &SECRET) else { continue };
            peers.retain(|candidate| candidate.peer != evicted);
        }
        let (number, now) = (1_000 + u64::from(attempt), 1_000 + u64::from(attempt));
        let source = Ipv4Addr::from_bits(0x4000_0000 + ((attempt % ranges) << 16) + attempt / ranges % 0x1_0000);
        let last = Some(ms(now));
        peers.push(Candidate {
            round_trip: Some(ms(1)),
            block: last,
            transaction: last,
            headers: last,
            ..candidate(number, now, Some(Host::V4(source)))
        });
        assert!(peers.len() <= 125);
    }
    peers.iter().map(|candidate| candidate.peer.0).filter(|number| *number < 1_000).collect()
}

#[test]
fn adversary_26_whoever_has_few_ranges_pushes_out_himself() {
    for ranges in [1, 3, 8] {
        let left = attack(ranges);
        assert!(left.len() >= 97, "{} of 100 honest are left against {ranges} ranges", left.len());
    }
}

#[test]
fn adversary_26_whoever_has_every_range_cannot_push_out_the_old() {
    let left = attack(1_500);
    assert!(left.len() >= 45, "{} of 100 honest are left", left.len());
    assert!((0..45).all(|number| left.contains(&number)), "{left:?}");
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let any_host = prop_oneof![
        6 => (0..12_u16, any::<u16>()).prop_map(|(range, number)| host(range, number)),
        1 => any::<[u8; 32]>().prop_map(|key| Some(Host::TorV3(key))),
        1 => any::<[u8; 32]>().prop_map(|hash| Some(Host::I2p(hash))),
        1 => Just(Some(Host::V4(Ipv4Addr::LOCALHOST))),
        1 => Just(None),
    ];
    let time = || prop::option::of((0..1_000_u64).prop_map(ms));
    let one = (any_host, 0..1_000_u64, time(), time(), time(), time());
    prop::collection::vec(one, 0..150).prop_map(|all| {
        let candidates =
            all.into_iter().zip(0..).map(|((host, since, round_trip, block, transaction, headers), number)| {
                Candidate { round_trip, block, transaction, headers, ..candidate(number, since, host) }
            });
        candidates.collect()
    })
}

/// Returns the first `count` by a quality, told in another way than the rule does it.
fn best<Q: Ord>(all: &[Candidate], count: usize, quality: impl Fn(&Candidate) -> Option<Q>) -> BTreeSet<PeerId> {
    let mut all: Vec<_> = all
        .iter()
        .filter_map(|candidate| quality(candidate).map(|quality| (quality, candidate.since, candidate.peer)))
        .collect();
    all.sort();
    all.into_iter().take(count).map(|(_, _, peer)| peer).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_goes_who_is_protected(candidates in any_candidates(), secret: [u8; 32]) {
        let evicted = evict(&candidates, &secret);
        prop_assert!(evicted.is_some() || candidates.len() <= MAX_PROTECTED);
        let Some(evicted) = evicted else { return Ok(()) };
        prop_assert!(candidates.iter().any(|candidate| candidate.peer == evicted));
        prop_assert!(!best(&candidates, 8, |candidate| candidate.round_trip).contains(&evicted));
        prop_assert!(!best(&candidates, 4, |candidate| candidate.block.map(Reverse)).contains(&evicted));
        prop_assert!(!best(&candidates, 4, |candidate| candidate.transaction.map(Reverse)).contains(&evicted));
        prop_assert!(!best(&candidates, 4, |candidate| candidate.headers.map(Reverse)).contains(&evicted));
        // At least a quarter of those whom nothing else protects is protected for its age.
        let old = candidates.len().saturating_sub(MAX_PROTECTED) / 4;
        prop_assert!(!best(&candidates, old, |candidate| Some(candidate.since)).contains(&evicted));
    }

    #[test]
    fn the_order_of_candidates_is_of_no_account(
        (candidates, shuffled) in any_candidates().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        secret: [u8; 32],
    ) {
        prop_assert_eq!(evict(&candidates, &secret), evict(&shuffled, &secret));
    }
}

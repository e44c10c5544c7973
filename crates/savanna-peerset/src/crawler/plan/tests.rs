use std::net::{Ipv4Addr, SocketAddr};

use savanna_wire::{Services, UserAgent};

use super::*;
use crate::crawler::Introduction;

mod faults;
mod hostile;
mod resumed;

const SECOND: Duration = Duration::from_secs(1);

fn at(elapsed: Duration) -> Now {
    Now { monotonic: elapsed, unix: 1_800_000_000 + elapsed.as_secs().cast_signed() }
}

/// An address whose numbers count up through the /16s: neighbours are 256 numbers apart.
fn address(number: u32) -> PeerAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0x0100_0001 + ((number % 256) << 16) + (number / 256)), 8233)).into()
}

fn entries(addresses: impl IntoIterator<Item = PeerAddr>) -> Vec<AddrV2> {
    let entry = |address| AddrV2 { time: u32::MAX, services: Services(u64::MAX), address };
    addresses.into_iter().map(entry).collect()
}

fn plan(until: Option<Duration>) -> Plan {
    let config = PlanConfig { network: Network::Mainnet, scope: Scope::Public, overlays: false, until };
    Plan::new(config, [7; 32], at(Duration::ZERO))
}

fn introduction(version: i32) -> Introduction {
    Introduction {
        version: ProtocolVersion(version),
        services: Services::NODE_NETWORK,
        user_agent: UserAgent::new(*b"/Test:1/").unwrap(),
        height: 3_600_000,
        connect: None,
        round_trip: None,
        told: None,
        chain: Chain::Unknown,
    }
}

fn dials(plan: &mut Plan, now: Now) -> Vec<PeerAddr> {
    std::iter::from_fn(|| plan.poll_dial(now)).collect()
}

/// Lets a node that was dialled speak, tell addresses, and go.
fn meet(plan: &mut Plan, node: PeerAddr, told: impl IntoIterator<Item = PeerAddr>, now: Now) {
    plan.handle_introduction(node, introduction(170_190), now);
    let told = Some(entries(told));
    plan.handle_talk(node, Talk { told, chain: Chain::Ours, ..Talk::without_answers(Ending::Complete) }, now);
}

fn outcome(plan: &Plan, node: PeerAddr, now: Now) -> Outcome {
    plan.census(now).records.iter().find(|record| record.address == node).unwrap().outcome
}

#[test]
fn f11_only_answers_lead_on_and_everybody_is_asked_once() {
    let mut plan = plan(None);
    let now = at(SECOND);
    plan.introduce([address(0)], now);
    assert_eq!(dials(&mut plan, now), [address(0)]);
    assert_eq!(plan.poll_dial(now), None);
    // There is no way in for what comes unasked: what a node tells counts with the end of its conversation, once.
    meet(&mut plan, address(0), (1..300).map(address), now);
    meet(&mut plan, address(0), (300..900).map(address), now);
    let mut seen = Vec::new();
    while !plan.is_done(now) {
        let dialled = dials(&mut plan, now);
        assert!(!dialled.is_empty() && plan.progress().in_flight <= MAX_DIALS);
        for node in dialled {
            meet(&mut plan, node, (0..300).map(address), now);
            seen.push(node);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), plan.known()), (299, 300));
    assert!(plan.census(now).is_complete && plan.census(now).summary().reached == 300);
    assert!(plan.census(now).records.iter().all(|record| record.told_by >= 299));
}

#[test]
fn f11_a_node_is_met_again_after_its_rest_while_answers_bring_news() {
    let until = 2 * MEET_AGAIN + SECOND;
    let mut plan = plan(Some(until));
    plan.introduce([address(0)], at(SECOND));
    dials(&mut plan, at(SECOND));
    meet(&mut plan, address(0), [address(0), address(1)], at(SECOND));
    dials(&mut plan, at(SECOND));
    plan.handle_failure(address(1), Ending::ConnectionRefused, at(SECOND));
    assert_eq!(plan.poll_timeout(), Some(MEET_AGAIN + SECOND));
    assert_eq!(plan.poll_dial(at(MEET_AGAIN)), None);
    let again = at(MEET_AGAIN + SECOND);
    assert!(!plan.is_done(again) && dials(&mut plan, again).contains(&address(0)));
    // Half of the answers bring nothing: the network is known.
    meet(&mut plan, address(0), [address(1)], again);
    plan.handle_failure(address(1), Ending::ConnectionRefused, again);
    assert!(plan.is_done(again));
}

#[test]
fn silence_and_a_hang_up_get_a_second_chance_and_a_clear_word_none() {
    let mut plan = plan(None);
    let now = at(SECOND);
    plan.introduce([address(1), address(2), address(3)], now);
    dials(&mut plan, now);
    plan.handle_failure(address(1), Ending::TimedOut, now);
    plan.handle_failure(address(2), Ending::ConnectionRefused, now);
    plan.handle_failure(address(3), Ending::ClosedByPeer, now);
    assert!(!plan.is_done(now) && plan.poll_dial(now).is_none() && plan.is_complete());
    let later = at(SECOND + SECOND_CHANCE);
    assert_eq!(plan.poll_timeout(), Some(later.monotonic));
    assert_eq!(dials(&mut plan, later), [address(1), address(3)]);
    plan.handle_failure(address(1), Ending::TimedOut, later);
    plan.handle_failure(address(3), Ending::ClosedByPeer, later);
    assert!(plan.is_done(later));
    let summary = plan.census(later).summary();
    assert_eq!((summary.known, summary.silent, summary.refused), (3, 1, 2));
    let refused = [(Ending::ConnectionRefused, 1), (Ending::ClosedByPeer, 1)];
    assert_eq!(plan.progress().refused, refused);
}

#[test]
fn what_a_node_says_decides_where_it_is_counted() {
    let mut plan = plan(None);
    let now = at(SECOND);
    plan.introduce((0..5).map(address), now);
    dials(&mut plan, now);
    let mut left_behind = introduction(170_160);
    left_behind.height = 3_543_000;
    let versions = [introduction(170_190), left_behind, introduction(170_160), introduction(170_190)];
    for (number, said) in (0..).zip(versions) {
        plan.handle_introduction(address(number), said, now);
    }
    // It speaks, and hangs up before it is asked anything.
    plan.handle_talk(address(0), Talk::without_answers(Ending::ClosedByPeer), now);
    plan.handle_talk(address(1), Talk::without_answers(Ending::Complete), now);
    plan.handle_talk(address(2), Talk::without_answers(Ending::Complete), now);
    let told = Some(entries((100..200).map(address)));
    plan.handle_talk(address(3), Talk { told, chain: Chain::Other, ..Talk::without_answers(Ending::Complete) }, now);
    let outcomes = [Outcome::Reached, Outcome::Obsolete, Outcome::OtherChain, Outcome::OtherChain];
    for (number, expected) in (0..).zip(outcomes) {
        assert_eq!(outcome(&plan, address(number), now), expected, "{number}");
    }
    // What another chain's node tells are no nodes of ours.
    assert_eq!(plan.known(), 5);
    let summary = plan.census(now).summary();
    assert_eq!((summary.reached, summary.obsolete, summary.other_chain, summary.untried), (1, 1, 2, 1));
    assert_eq!(plan.progress().summary, summary);
}

#[test]
fn an_upgrade_that_most_have_not_reached_makes_nobody_obsolete() {
    let mut plan = plan(None);
    let now = at(SECOND);
    plan.introduce((0..3).map(address), now);
    dials(&mut plan, now);
    for (number, version, height) in [(0, 170_160, 3_543_000), (1, 170_160, 3_543_001), (2, 170_150, 3_428_200)] {
        plan.handle_introduction(address(number), Introduction { height, ..introduction(version) }, now);
        plan.handle_talk(address(number), Talk::without_answers(Ending::Complete), now);
    }
    let summary = plan.census(now).summary();
    assert_eq!((summary.reached, summary.obsolete), (2, 1));
    assert_eq!(outcome(&plan, address(2), now), Outcome::Obsolete);
}

#[test]
fn what_a_node_showed_once_is_not_lost_at_the_next_meeting() {
    let mut plan = plan(Some(10 * MEET_AGAIN));
    plan.introduce([address(0), address(1)], at(SECOND));
    dials(&mut plan, at(SECOND));
    plan.handle_introduction(address(0), introduction(170_190), at(SECOND));
    let talk = Talk {
        ending: Ending::Complete,
        round_trip: Some(SECOND),
        told: Some(entries([address(1), address(2)])),
        chain: Chain::Ours,
    };
    plan.handle_talk(address(0), talk, at(SECOND));
    plan.handle_introduction(address(1), introduction(170_190), at(SECOND));
    let elsewhere = Talk { chain: Chain::Other, ..Talk::without_answers(Ending::Complete) };
    plan.handle_talk(address(1), elsewhere, at(SECOND));

    let again = at(SECOND + MEET_AGAIN);
    dials(&mut plan, again);
    for number in 0..2 {
        plan.handle_introduction(address(number), introduction(170_190), again);
    }
    let named = Some(entries([address(1), address(3)]));
    plan.handle_talk(address(0), Talk { told: named, ..Talk::without_answers(Ending::ClosedByPeer) }, again);
    plan.handle_talk(address(1), Talk::without_answers(Ending::Local), again);
    let census = plan.census(again);
    let record = |node| census.records.iter().find(|record| record.address == node).unwrap();
    let kept = record(address(0)).introduction.as_ref().unwrap();
    assert_eq!((kept.chain, kept.round_trip, kept.told), (Chain::Ours, Some(SECOND), Some(2)));
    assert_eq!(record(address(1)).outcome, Outcome::OtherChain);
    assert_eq!(record(address(1)).ending, Some(Ending::Complete));
    // It is one teller, however often it tells; what is news counts.
    assert_eq!((record(address(1)).told_by, record(address(2)).told_by, record(address(3)).told_by), (1, 1, 1));
}

#[test]
fn what_has_no_way_is_known_and_not_dialled() {
    let mut plan = plan(None);
    let now = at(SECOND);
    plan.introduce([address(0)], now);
    dials(&mut plan, now);
    let onion = PeerAddr { host: savanna_wire::Host::TorV3([9; 32]), port: 8233 };
    meet(&mut plan, address(0), [onion, "10.0.0.1:8233".parse().unwrap()], now);
    assert!(plan.is_done(now));
    assert_eq!((plan.known(), outcome(&plan, onion, now)), (2, Outcome::Unroutable));
}

#[test]
fn the_same_seed_makes_the_same_plan() {
    let run = || {
        let mut plan = plan(None);
        plan.introduce((0..1_000).map(address), at(SECOND));
        dials(&mut plan, at(SECOND))
    };
    assert_eq!(run(), run());
}

#[test]
fn a_node_takes_few_bytes() {
    assert!(size_of::<Node>() <= 136, "{}", size_of::<Node>());
}

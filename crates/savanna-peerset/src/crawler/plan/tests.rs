use std::net::{Ipv4Addr, SocketAddr};

use savanna_wire::{Services, UserAgent};

use super::*;

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
fn silence_gets_a_second_chance_and_a_clear_word_none() {
    let mut plan = plan(None);
    let now = at(SECOND);
    plan.introduce([address(1), address(2), address(3)], now);
    dials(&mut plan, now);
    plan.handle_failure(address(1), Ending::TimedOut, now);
    plan.handle_failure(address(2), Ending::ConnectionRefused, now);
    plan.handle_failure(address(3), Ending::ClosedByPeer, now);
    assert!(!plan.is_done(now) && plan.poll_dial(now).is_none());
    let later = at(SECOND + SECOND_CHANCE);
    assert_eq!(plan.poll_timeout(), Some(later.monotonic));
    assert_eq!(dials(&mut plan, later), [address(1)]);
    plan.handle_failure(address(1), Ending::TimedOut, later);
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
fn adversary_16_made_up_addresses_wait_behind_honest_ones_and_end() {
    let mut plan = plan(None);
    let now = at(SECOND);
    let (liar, honest) = (address(0), [address(1), address(2), address(3)]);
    plan.introduce([liar], now);
    plan.introduce(honest, now);
    dials(&mut plan, now);
    meet(&mut plan, liar, (5_000..6_000).map(address), now);
    for node in honest {
        meet(&mut plan, node, (100..200).map(address), now);
    }
    // Those named by three groups come before the thousand that one group names.
    let mut first: Vec<_> = (0..100).map(|_| plan.poll_dial(now).unwrap()).collect();
    first.sort_unstable();
    let mut expected: Vec<_> = (100..200).map(address).collect();
    expected.sort_unstable();
    assert_eq!(first, expected);
}

#[test]
fn adversary_16_no_teller_and_no_group_of_tellers_goes_on_for_ever() {
    let until = Duration::from_secs(1_000_000);
    let mut plan = plan(Some(until));
    let mut now = at(SECOND);
    let liar = address(0);
    plan.introduce([liar], now);
    let mut next = 1;
    let (mut met, mut rounds) = (0, 0);
    // Each of its inventions lives next door, and tells a thousand more.
    let neighbour = |number: u32| PeerAddr { port: 1_000 + (number % 60_000) as u16, ..address(number / 60_000 * 256) };
    while !plan.is_done(now) && rounds < 100_000 {
        for node in dials(&mut plan, now) {
            // Twice what the group may tell is enough to show it.
            let tells = if met < 40 { 1_000 } else { 0 };
            meet(&mut plan, node, (next..next + tells).map(neighbour), now);
            next += tells;
            met += 1;
        }
        if let Some(when) = plan.poll_timeout()
            && plan.queue.len() == 0
        {
            now = at(when.max(now.monotonic));
        }
        rounds += 1;
    }
    assert!(plan.known() <= 1 + TOLD_PER_GROUP as usize, "{}", plan.known());
    assert!(plan.saturation.is_reached(), "it went on for {met} conversations");

    let mut alone = super::tests::plan(Some(until));
    alone.introduce([liar], now);
    for round in 0..10 {
        let node = alone.index[&liar];
        alone.hear(node, &entries((round * 1_000..(round + 1) * 1_000).map(|number| address(number + 1))), now);
    }
    assert_eq!(alone.known(), 1 + usize::from(TOLD_PER_NODE));
}

#[test]
fn adversary_16_no_more_nodes_are_known_than_there_is_room_for() {
    let mut plan = plan(None);
    let excess = u32::try_from(MAX_KNOWN).unwrap() + 1_000;
    plan.introduce((0..excess).map(address), at(SECOND));
    assert_eq!(plan.known(), MAX_KNOWN);
    let first = plan.poll_dial(at(SECOND)).unwrap();
    meet(&mut plan, first, (excess..excess + 100).map(address), at(SECOND));
    assert_eq!((plan.known(), plan.progress().summary.known), (MAX_KNOWN, MAX_KNOWN));
}

#[test]
fn groups_take_turns() {
    let mut plan = plan(None);
    let now = at(SECOND);
    let crowd = (0..200).map(|number| address(number * 256));
    let few = (1..6).map(address);
    plan.introduce([address(7)], now);
    dials(&mut plan, now);
    meet(&mut plan, address(7), crowd.chain(few), now);
    let first: Vec<_> = (0..12).map(|_| plan.poll_dial(now).unwrap()).collect();
    let of_crowd = first.iter().filter(|node| Group::from(node.host) == Group::V4([1, 0])).count();
    assert!(of_crowd <= 7, "{of_crowd} of 12 dials went to one group");
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
fn a_second_census_says_what_changed() {
    let mut first = plan(None);
    let now = at(SECOND);
    first.introduce((0..4).map(address), now);
    dials(&mut first, now);
    for number in 0..3 {
        meet(&mut first, address(number), [], now);
    }
    first.handle_failure(address(3), Ending::ConnectionRefused, now);
    assert_eq!(first.census(now).changes, None);
    let saved = first.saved(now);
    assert!(saved.is_complete);

    let mut second = plan(None);
    second.resume(saved, now);
    assert_eq!(dials(&mut second, now).len(), 4);
    meet(&mut second, address(0), [], now);
    second.handle_introduction(address(1), introduction(170_200), now);
    second.handle_talk(address(1), Talk::without_answers(Ending::Complete), now);
    second.handle_failure(address(2), Ending::ConnectionRefused, now);
    meet(&mut second, address(3), [], now);
    let changes = second.census(now).changes.unwrap();
    assert_eq!((&changes.new, &changes.gone), (&vec![address(3)], &vec![address(2)]));
    assert_eq!(changes.changed.len(), 1);
    assert_eq!(changes.changed[0].after.version, ProtocolVersion(170_200));
}

#[test]
fn an_interrupted_crawl_goes_on_where_it_was() {
    let mut first = plan(Some(10 * SECOND));
    first.introduce((0..4).map(address), at(SECOND));
    let dialled = dials(&mut first, at(SECOND));
    meet(&mut first, dialled[0], [], at(SECOND));
    let end = at(10 * SECOND);
    assert!(!first.is_done(at(2 * SECOND)) && first.is_done(end));
    let saved = first.saved(end);
    assert!(!saved.is_complete);

    let mut soon = plan(None);
    soon.resume(saved.clone(), at(20 * SECOND));
    soon.introduce((0..4).map(address), at(20 * SECOND));
    assert_eq!(dials(&mut soon, at(20 * SECOND)).len(), 3);
    assert_eq!(soon.census(at(20 * SECOND)).changes, None);

    let mut late = plan(None);
    late.resume(saved, at(20 * MEET_AGAIN));
    assert_eq!(dials(&mut late, at(20 * MEET_AGAIN)).len(), 4);
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

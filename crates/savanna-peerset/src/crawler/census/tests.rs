use std::net::{Ipv4Addr, SocketAddr};

use savanna_wire::Services;

use super::*;
use crate::crawler::Chain;

fn node(number: u32, version: i32, user_agent: &str, height: i32) -> Record {
    let address = SocketAddr::from((Ipv4Addr::from_bits(0x0102_0304 + (number << 15)), 8233));
    let mut record = Record::new(address.into(), 0);
    record.outcome = if version >= 170_190 { Outcome::Reached } else { Outcome::Obsolete };
    record.ending = Some(Ending::Complete);
    record.introduction = Some(Box::new(Introduction {
        version: ProtocolVersion(version),
        services: Services(1 | 1 << 63),
        user_agent: UserAgent::new(user_agent.as_bytes()).unwrap(),
        height,
        connect: Some(Duration::from_millis(u64::from(number))),
        round_trip: None,
        told: Some(3),
        chain: Chain::Ours,
    }));
    record
}

fn census(records: Vec<Record>) -> Census {
    let took = Duration::from_secs(1);
    Census { network: Network::Mainnet, began: 0, took, is_complete: true, passed_over: 0, records, changes: None }
}

#[test]
fn outcomes_add_up_and_only_the_living_are_described() {
    let mut records = vec![node(1, 170_190, "/A/", 100), node(2, 170_190, "/A/", 99), node(3, 170_150, "/B/", 90)];
    for (number, outcome) in [
        (4, Outcome::Silent),
        (5, Outcome::Refused),
        (6, Outcome::OtherChain),
        (7, Outcome::Unroutable),
        (8, Outcome::Untried),
    ] {
        let mut other = node(number, 170_190, "/Elsewhere/", 5_000_000);
        other.outcome = outcome;
        other.ending = Some(Ending::ClosedByPeer);
        records.push(other);
    }
    let census = census(records);
    let summary = census.summary();
    assert_eq!((summary.known, summary.reached, summary.obsolete, summary.other_chain), (8, 2, 1, 1));
    let parts = [summary.reached, summary.refused, summary.silent, summary.obsolete, summary.other_chain];
    assert_eq!(parts.iter().sum::<usize>() + summary.unroutable + summary.untried, summary.known);
    assert_eq!(census.endings(Outcome::Refused), [(Ending::ClosedByPeer, 1)]);

    let agents: Vec<_> = census.user_agents().iter().map(|(agent, count)| (agent.to_string(), *count)).collect();
    assert_eq!(agents, [("/A/".to_owned(), 2), ("/B/".to_owned(), 1)]);
    assert_eq!(census.services(), [(0, 3), (63, 3)]);
    assert_eq!(census.groups().iter().map(|(_, count)| count).sum::<usize>(), 3);
    assert_eq!((census.kinds()[0].known, census.kinds()[0].alive, census.hosts()), (8, 3, 3));
    assert_eq!(census.connect_times().unwrap().greatest, Duration::from_millis(3));
    assert_eq!(census.round_trips(), None);
}

#[test]
fn who_is_left_behind_follows_from_the_table_of_upgrades() {
    let census = census(vec![node(1, 170_190, "/A/", 0), node(2, 170_160, "/A/", 0), node(3, -7, "/A/", 0)]);
    let at = |upgrade| *census.upgrades().iter().find(|row| row.upgrade == upgrade).unwrap();
    assert_eq!((at(Upgrade::Nu7).ready, at(Upgrade::Nu7).left_behind), (1, 2));
    assert_eq!((at(Upgrade::Nu6_3).ready, at(Upgrade::Nu6_3).left_behind), (2, 1));
    assert_eq!(at(Upgrade::Nu7).activation_height, Some(3_543_405));
    assert_eq!(census.upgrades().len(), Upgrade::ALL.len());
}

#[test]
fn adversary_13_absurd_heights_move_no_median() {
    let mut records: Vec<_> = (0..8).map(|number| node(number, 170_190, "/A/", 3_600_000)).collect();
    records.extend([node(8, 170_190, "/A/", i32::MAX), node(9, 170_190, "/A/", i32::MIN)]);
    records.push(node(10, 170_190, "/A/", 3_599_995));
    let census = census(records);
    assert_eq!(census.heights().unwrap().median, 3_600_000);
    assert_eq!(census.lag(), Lag { in_step: 8, near: 1, behind: 0, far_behind: 1, ahead: 1 });
    assert_eq!(Spread::<i32>::of(Vec::new()), None);
    assert_eq!(Spread::of(vec![7]).unwrap().p99, 7);
}

#[test]
fn nodes_in_perfect_step_are_in_step_whenever_they_were_asked() {
    // Ten minutes of a crawl, and a block each 25 seconds behind NU7, each 75 before it.
    for (tip, spacing) in [(3_600_000, 25), (3_500_000, 75), (500_000, 150)] {
        let asked = |number: i32| {
            let mut record = node(number.unsigned_abs(), 170_190, "/A/", tip + number * 6 / spacing);
            record.last_seen = Some(1_800_000_000 + i64::from(number) * 6);
            record
        };
        let mut records: Vec<_> = (0..100).map(asked).collect();
        assert_eq!(census(records.clone()).lag(), Lag { in_step: 100, ..Lag::default() }, "{spacing}");
        // Whoever stood still is behind, though it claims what others claimed before.
        let late = records.last_mut().unwrap();
        late.introduction.as_mut().unwrap().height = tip - 8;
        assert_eq!(census(records).lag().in_step, 99, "{spacing}");
    }
}

#[test]
fn adversary_16_one_host_is_one_host_however_many_nodes_it_is() {
    let mut records = vec![node(1, 170_190, "/A/", 100)];
    for port in 1..8 {
        let mut other = node(2, 170_190, "/B/", 100);
        other.address.port = port;
        records.push(other);
    }
    for address in ["[2a01:4f8:1:2::1]:8233", "[2a01:4f8:1:2::ffff]:8233"] {
        let mut other = node(3, 170_190, "/B/", 100);
        other.address = address.parse().unwrap();
        records.push(other);
    }
    let census = census(records);
    assert_eq!(census.hosts(), 3);
    let agents = census.hosts_by(|said| said.user_agent.to_string());
    assert_eq!((agents["/A/"], agents["/B/"]), (1, 2));
}

//! The network itself: hosts of sessions that ask one another.

mod lines;
mod nodes;

use std::time::Duration;

use savanna_peer::{CloseReason, Timer};

use super::*;
use nodes::{Said, Talker};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn talkers(seed: u64, conditions: Conditions, count: u16) -> (Network<Talker>, Vec<HostId>) {
    let mut network = Network::new(seed, conditions);
    let hosts = (0..count).map(|number| network.add(ipv6(number, 1), Talker::new(number))).collect();
    (network, hosts)
}

/// Dials from one host to another, and lets them shake hands.
fn join(network: &mut Network<Talker>, from: HostId, to: HostId) {
    let address = network.address(to);
    network.with(from, |_, host| host.dial(address));
    network.run_for(secs(2));
    assert_eq!((network.node(from).peers(), network.node(to).peers()), (1, 1), "no handshake");
}

#[test]
fn a_run_replays_from_its_seed_and_another_seed_runs_otherwise() {
    let run = |seed| {
        let (mut network, hosts) = talkers(seed, Conditions::INTERNET, 20);
        for (turn, host) in hosts.iter().enumerate() {
            let others = (1..4).map(|step| network.address(hosts[(turn + step) % hosts.len()]));
            let others: Vec<_> = others.collect();
            network.with(*host, |_, host| others.into_iter().for_each(|other| _ = host.dial(other)));
        }
        network.run_for(secs(600));
        assert!(network.live().all(|(_, node)| node.peers() == 6));
        (network.trace_hash(), network.happenings())
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first.0, run(2).0);
    assert!(first.1 > 60 * 2 * 10 * 2, "sixty connections beat ten times: {first:?}");
}

#[test]
fn latency_is_what_the_round_trip_shows() {
    let conditions = Conditions { latency: (ms(40), ms(40)), ..Conditions::LOCAL };
    let (mut network, hosts) = talkers(1, conditions, 2);
    join(&mut network, hosts[0], hosts[1]);
    assert_eq!(network.node(hosts[0]).round_trips(), [ms(80)]);

    // A SYN and its answer, a version each way, the verack: a handshake takes two round trips.
    let began = network.node(hosts[0]).began_at();
    assert_eq!(began, ms(160));
}

#[test]
fn dials_lead_to_a_peer_or_are_refused_or_time_out() {
    let (mut network, hosts) = talkers(1, Conditions::LOCAL, 4);
    network.set_listening(hosts[1], false);
    network.kill(hosts[2], Death::Stopped);
    network.kill(hosts[3], Death::PoweredOff);
    let nobody = ipv6(99, 1);
    for to in [ipv6(1, 1), ipv6(2, 1), ipv6(3, 1), nobody] {
        network.with(hosts[0], |_, host| host.dial(to));
    }
    network.run_for(ms(2999));
    let failed = [Unreachable::Refused, Unreachable::Refused].map(Said::Failed);
    assert_eq!(network.node(hosts[0]).said(), failed);
    network.run_for(ms(2));
    let failed = [Unreachable::Refused, Unreachable::Refused, Unreachable::TimedOut, Unreachable::TimedOut];
    assert_eq!(network.node(hosts[0]).said(), failed.map(Said::Failed));
}

#[test]
fn a_host_that_dials_itself_is_known_as_itself() {
    let (mut network, hosts) = talkers(1, Conditions::LOCAL, 1);
    let own = network.address(hosts[0]);
    network.with(hosts[0], |_, host| host.dial(own));
    network.run_for(secs(5));
    let said = network.node(hosts[0]).said();
    assert!(said.iter().any(|said| matches!(said, Said::Closed(CloseReason::Incompatible(_)))), "{said:?}");
    assert_eq!(network.node(hosts[0]).peers(), 0);
}

#[test]
fn a_stopped_host_says_goodbye_and_a_dark_one_is_noticed_by_its_silence() {
    for (death, limit) in [(Death::Stopped, secs(2)), (Death::PoweredOff, secs(100))] {
        let (mut network, hosts) = talkers(1, Conditions::LOCAL, 2);
        join(&mut network, hosts[0], hosts[1]);
        network.kill(hosts[1], death);
        network.run_for(limit);
        let said = network.node(hosts[0]).said();
        match death {
            Death::Stopped => assert_eq!(said, [Said::Closed(CloseReason::ClosedByPeer)]),
            Death::PoweredOff => {
                assert!(matches!(said, [Said::Closed(CloseReason::TimedOut(Timer::Ping(_)))]), "{said:?}");
            }
        }
    }
}

#[test]
fn a_host_that_lost_its_memory_resets_what_it_is_sent() {
    let (mut network, hosts) = talkers(1, Conditions::LOCAL, 2);
    join(&mut network, hosts[0], hosts[1]);
    network.kill(hosts[1], Death::PoweredOff);
    network.run_for(secs(1));
    network.restart(hosts[1], Talker::new(1));
    network.run_for(secs(65));
    // The next heartbeat finds nobody who knows of the connection: long before its own deadline.
    assert_eq!(network.node(hosts[0]).said(), [Said::Closed(CloseReason::ClosedByPeer)]);
    join(&mut network, hosts[0], hosts[1]);
}

#[test]
fn a_failure_is_reported_with_its_seed_and_the_last_things_that_happened() {
    let (mut network, hosts) = talkers(77, Conditions::LOCAL, 2);
    join(&mut network, hosts[0], hosts[1]);
    let report = network.wires.trace.to_string();
    let first = report.lines().next().unwrap_or_default();
    assert!(first.contains(&format!("{:016x}", network.trace_hash())), "{first}");
    assert!(report.contains("h0 c0> connected") && report.contains("h1 c0< connected"), "{report}");
}

#[test]
fn a_thousand_hosts_with_ten_connections_each_beat_for_ten_minutes() {
    let (mut network, hosts) = talkers(5, Conditions::INTERNET, 1000);
    for (turn, host) in hosts.iter().enumerate() {
        let others = [1, 7, 49, 343, 401].map(|step| network.address(hosts[(turn + step) % hosts.len()]));
        network.with(*host, |_, host| others.into_iter().for_each(|other| _ = host.dial(other)));
    }
    network.run_for(secs(600));
    assert!(network.live().all(|(_, node)| node.peers() == 10));
}

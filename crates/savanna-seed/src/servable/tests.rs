use savanna_wire::{NativeIpv6, UserAgent};

use super::*;

const NOW: UnixTime = UnixTime(1_790_000_000);
const HEIGHT: i32 = 3_600_000;
const RULES: Rules = Rules {
    network: Network::Mainnet,
    scope: Scope::Public,
    floor: ProtocolVersion(170_190),
    height: Some(HEIGHT),
    asks_stay: false,
    now: NOW,
};

/// A candidate that owns its parts.
struct Node {
    address: PeerAddr,
    said: Option<Handshake>,
    chain: Chain,
    reliability: Reliability,
    steadiness: Steadiness,
    last_success: UnixTime,
    failures: u8,
}

fn good() -> Node {
    let mut reliability = Reliability::NEW;
    reliability.note(true, NOW);
    let said = Handshake {
        version: ProtocolVersion(170_190),
        services: Services(5),
        height: HEIGHT,
        user_agent: UserAgent::default(),
    };
    Node {
        address: "1.1.1.1:8233".parse().unwrap(),
        said: Some(said),
        chain: Chain::Ours,
        reliability,
        steadiness: Steadiness::NEW,
        last_success: NOW,
        failures: 0,
    }
}

fn judged(rules: &Rules, change: impl FnOnce(&mut Node)) -> Result<Nameable, Refusal> {
    let mut node = good();
    change(&mut node);
    rules.judge(&Candidate {
        address: node.address,
        said: node.said.as_ref(),
        chain: node.chain,
        reliability: &node.reliability,
        steadiness: node.steadiness,
        last_success: node.last_success,
        failures: node.failures,
    })
}

fn at(address: &str) -> impl FnOnce(&mut Node) {
    let address = address.parse().unwrap();
    move |node| node.address = address
}

fn saying(change: impl FnOnce(&mut Handshake)) -> impl FnOnce(&mut Node) {
    move |node| node.said.as_mut().map(change).unwrap()
}

fn claiming(height: i32) -> Result<Nameable, Refusal> {
    judged(&RULES, saying(|said| said.height = height))
}

#[test]
fn a_good_node_is_named_with_what_it_offers() {
    let named = Nameable { ip: "1.1.1.1".parse().unwrap(), services: Services(5) };
    assert_eq!(judged(&RULES, |_| ()), Ok(named));
    let named = judged(&RULES, at("[2a01:4f8::1]:8233")).unwrap();
    assert_eq!(named.ip, "2a01:4f8::1".parse::<IpAddr>().unwrap());
}

#[test]
fn each_reason_alone_is_enough() {
    let within = Rules::HEIGHT_WITHIN;
    let coming_and_going = || {
        let mut steadiness = Steadiness::NEW;
        (0..7).for_each(|each| steadiness.note(each % 2 == 0, NOW));
        steadiness
    };
    let strict = Rules { asks_stay: true, ..RULES };
    let table: [(Refusal, Result<Nameable, Refusal>); 19] = [
        (Refusal::Port, judged(&RULES, at("1.1.1.1:8234"))),
        (Refusal::Port, judged(&RULES, at("1.1.1.1:18233"))),
        (Refusal::Unroutable, judged(&RULES, at("10.0.0.1:8233"))),
        (Refusal::Unroutable, judged(&RULES, at("[2001:db8::1]:8233"))),
        (Refusal::Unroutable, judged(&RULES, |node| node.address.host = Host::TorV3([1; 32]))),
        (Refusal::Untried, judged(&RULES, |node| (node.said, node.reliability) = (None, Reliability::NEW))),
        (Refusal::Silent, judged(&RULES, |node| node.said = None)),
        (Refusal::OtherChain, judged(&RULES, |node| node.chain = Chain::Other)),
        (Refusal::OtherChain, judged(&RULES, |node| node.chain = Chain::Behind)),
        (Refusal::Unproven, judged(&RULES, |node| node.chain = Chain::Unknown)),
        (Refusal::NotServing, judged(&RULES, saying(|said| said.services = Services(4)))),
        (Refusal::Obsolete, judged(&RULES, saying(|said| said.version = ProtocolVersion(170_180)))),
        (Refusal::Behind, claiming(HEIGHT - within - 1)),
        (Refusal::Ahead, claiming(HEIGHT + within + 1)),
        (Refusal::Unseen, judged(&RULES, |node| node.last_success = NOW.minus(Rules::FRESH_FOR + 1))),
        (Refusal::Failing, judged(&RULES, |node| node.failures = 2)),
        (Refusal::Flapping, judged(&RULES, |node| node.steadiness = coming_and_going())),
        (Refusal::Unreliable, judged(&RULES, |node| node.reliability = Reliability::NEW)),
        (Refusal::New, judged(&strict, |_| ())),
    ];
    for (reason, verdict) in table {
        assert_eq!(verdict, Err(reason));
    }
    assert!(judged(&RULES, |node| node.failures = 1).is_ok(), "the first failure may be ours");
}

#[test]
fn heights_are_measured_from_where_the_network_has_come_since_they_were_told() {
    let within = Rules::HEIGHT_WITHIN;
    assert!(claiming(HEIGHT - within).is_ok() && claiming(HEIGHT + within).is_ok());
    // Two hours ago the network was 288 blocks behind where it is.
    let told_before = |height: i32| {
        judged(&RULES, |node| {
            node.last_success = NOW.minus(7_200);
            node.said.as_mut().unwrap().height = height;
        })
    };
    assert!(told_before(HEIGHT - 288 - within).is_ok());
    assert_eq!(told_before(HEIGHT - 288 - within - 1), Err(Refusal::Behind));
    assert_eq!(told_before(HEIGHT - 288 + within + 1), Err(Refusal::Ahead));
    let unknown = Rules { height: None, ..RULES };
    assert!(judged(&unknown, saying(|said| said.height = 0)).is_ok());
    for height in [i32::MIN, i32::MAX] {
        assert!(claiming(height).is_err());
        let extreme = Rules { height: Some(height), ..RULES };
        assert!(judged(&extreme, saying(|said| said.height = height)).is_ok());
    }
}

#[test]
fn private_addresses_are_named_on_networks_of_ones_own() {
    let regtest = Rules { network: Network::Regtest, scope: Scope::Private, height: None, ..RULES };
    assert!(judged(&regtest, at("127.0.0.1:18344")).is_ok());
    assert!(
        judged(&regtest, |node| {
            let ip = NativeIpv6::new("::1".parse().unwrap()).unwrap();
            node.address = PeerAddr { host: Host::V6(ip), port: 18_344 };
        })
        .is_ok()
    );
    assert_eq!(judged(&regtest, at("0.0.0.0:18344")), Err(Refusal::Unroutable));
}

#[test]
fn reasons_have_labels_of_their_own() {
    let labels: std::collections::BTreeSet<_> = Refusal::ALL.into_iter().map(Refusal::label).collect();
    assert_eq!(labels.len(), Refusal::ALL.len());
    assert!(Refusal::ALL.is_sorted());
}

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use savanna_wire::{Host, Services};
use tower::ServiceExt as _;

use super::*;

type Rolls = watch::Sender<Arc<Roll>>;

fn service() -> (Rolls, SeedService) {
    let rolls = Rolls::new(Arc::default());
    let service = SeedService::new(Network::Mainnet, rolls.subscribe(), Clock::start(), [7; 32]);
    (rolls, service)
}

fn node(ip: impl Into<IpAddr>) -> Nameable {
    Nameable { ip: ip.into(), services: Services(5) }
}

/// A roll of nodes in as many groups.
fn roll(nodes: u16) -> Arc<Roll> {
    let node = |i: u16| node(Ipv4Addr::new(20 + i.to_be_bytes()[0], i.to_be_bytes()[1], 1, 1));
    Arc::new(Roll { nodes: (0..nodes).map(node).collect() })
}

fn ips(response: Response) -> BTreeSet<IpAddr> {
    let Response::Peers(peers) = response else { panic!("no peers but {response:?}") };
    let count = peers.len();
    let ips: BTreeSet<_> = peers.iter().filter_map(|peer| peer.address.host.ip()).collect();
    assert_eq!(ips.len(), count, "each is told once");
    ips
}

async fn ask(service: &SeedService) -> Response {
    service.clone().oneshot(Request::Peers).await.unwrap()
}

#[tokio::test]
async fn f13_peers_are_told_the_roll_and_everything_else_is_nil() {
    let (rolls, service) = service();
    rolls.send_replace(roll(40));
    let Response::Peers(peers) = ask(&service).await else { panic!("nobody is told") };
    assert_eq!(peers.len(), 40);
    for peer in &peers {
        assert_eq!((peer.address.port, peer.services), (Network::Mainnet.default_port(), Services(5)));
        let Host::V4(ip) = peer.address.host else { panic!("{peer:?} was not in the roll") };
        assert!(rolls.borrow().nodes.contains(&node(ip)));
    }
    let others = [
        Request::Ping,
        Request::MempoolIds,
        Request::Blocks(vec![Network::Mainnet.genesis_hash()]),
        Request::FindHeaders { locator: Vec::new(), stop: None },
        Request::AdvertisePeers(peers),
    ];
    for request in others {
        assert_eq!(service.clone().oneshot(request).await.unwrap(), Response::Nil);
    }
}

#[tokio::test]
async fn f13_who_asks_before_the_first_roll_waits_for_it() {
    let (rolls, service) = service();
    let mut asking = Box::pin(ask(&service));
    assert!(futures_util::poll!(&mut asking).is_pending());
    // That nobody is found yet is no answer.
    rolls.send_replace(Arc::default());
    assert!(futures_util::poll!(&mut asking).is_pending());
    rolls.send_replace(roll(3));
    assert_eq!(ips(asking.await).len(), 3);
}

#[tokio::test]
async fn f13_a_roll_that_ends_is_told_no_more() {
    let (rolls, service) = service();
    rolls.send_replace(roll(3));
    assert_eq!(ips(ask(&service).await).len(), 3);
    rolls.send_replace(Arc::default());
    assert_eq!(ask(&service).await, Response::Nil, "nothing is known of the present, and nobody waits");
    rolls.send_replace(roll(4));
    assert_eq!(ips(ask(&service).await).len(), 4);
    drop(rolls);
    assert_eq!(ask(&service).await, Response::Nil, "nobody makes rolls any more");
}

#[tokio::test]
async fn f13_whoever_waits_when_there_will_be_no_roll_is_told_nothing() {
    let (rolls, service) = service();
    let mut asking = Box::pin(ask(&service));
    assert!(futures_util::poll!(&mut asking).is_pending());
    drop(rolls);
    assert_eq!(asking.await, Response::Nil);
    assert_eq!(ask(&service).await, Response::Nil);
}

#[tokio::test]
async fn f13_asked_without_pause_it_sheds_load_and_stays_right() {
    let (rolls, service) = service();
    let mut waiting = Vec::new();
    for _ in 0..SeedService::MOST_WAITING {
        let mut asking = Box::pin(ask(&service));
        assert!(futures_util::poll!(&mut asking).is_pending());
        waiting.push(asking);
    }
    for _ in 0..1_000 {
        let shed = service.clone().oneshot(Request::Peers).await;
        assert!(shed.is_err(), "more than {} wait", SeedService::MOST_WAITING);
    }
    // Who goes makes room.
    waiting.pop();
    let mut late = Box::pin(ask(&service));
    assert!(futures_util::poll!(&mut late).is_pending());
    rolls.send_replace(roll(30));
    for asking in waiting.into_iter().chain([late]) {
        assert_eq!(ips(asking.await).len(), 30);
    }
    assert_eq!(service.shared.waiting.load(Ordering::Relaxed), 0);
    // Whoever asks while the roll changes is told of one roll whole.
    for round in 0..10_000_u16 {
        if round % 100 == 0 {
            rolls.send_replace(roll(1 + round / 100));
        }
        let named: BTreeSet<_> = rolls.borrow().nodes.iter().map(|node| node.ip).collect();
        assert_eq!(ips(ask(&service).await), named);
    }
}

#[tokio::test]
async fn adversary_16_asking_again_shows_no_more_of_the_roll() {
    let (rolls, service) = service();
    rolls.send_replace(roll(2_000));
    let first = ips(ask(&service).await);
    assert_eq!(first.len(), SeedService::MOST_NAMED);
    for _ in 0..100 {
        assert_eq!(ips(ask(&service).await), first);
    }
}

#[tokio::test]
async fn adversary_23_a_crowded_group_is_told_of_once() {
    let (rolls, service) = service();
    let crowd = (0..=255).map(|i| node(Ipv4Addr::new(60, 1, 1, i)));
    let nodes = crowd.chain(roll(9).nodes.clone()).collect();
    rolls.send_replace(Arc::new(Roll { nodes }));
    let told = ips(ask(&service).await);
    let of_crowd = told.iter().filter(|ip| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 60)).count();
    assert_eq!((told.len(), of_crowd), (10, 1));
}

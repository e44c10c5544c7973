//! Nodes that find each other on loopback sockets, each at an address of its own.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use savanna::book::{Added, Prefix, Refusal, Source, UnixTime};
use savanna::chain::CURRENT_VERSION;
use savanna::net::Standing;
use savanna::tokio::sync::watch;
use savanna::tokio::time::timeout;
use savanna::tower::service_fn;
use savanna::wire::AddrV2;
use savanna::{Builder, Event, Gossip, Network, Nil, Node, PeerAddr, Request, Response, Services, tokio};

const BOUND: Duration = Duration::from_secs(5);

/// Longer than anything takes that is awaited here.
async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(120), awaited).await.expect("it takes too long")
}

/// A node at an address of its own, which others may dial and are told of.
fn node(number: u8) -> Builder {
    let host = IpAddr::V4(Ipv4Addr::new(127, 0, 9, number));
    let builder = Node::builder(Network::Regtest).services(Services::NODE_NETWORK).dial_from(host);
    builder.listen(SocketAddr::new(host, 0))
}

fn known(node: &Node) -> usize {
    node.book().with(|book| book.counts().total() as usize)
}

/// Waits until a node's counts say so.
async fn until(node: &Node, is_true: impl Fn(&Node) -> bool) {
    let mut changes = node.discovery();
    let waited = timeout(Duration::from_secs(120), async {
        while !is_true(node) {
            let _ = timeout(Duration::from_millis(200), changes.changed()).await;
        }
    });
    assert!(waited.await.is_ok(), "{:?} of {:?}: {:?}", node.counts(), node.listening(), node.discovery().borrow());
}

#[tokio::test]
async fn f11_twelve_nodes_find_each_other_from_one_address() {
    let first = node(1).outbound(6).start().await.unwrap();
    let address = first.listening()[0];
    let mut nodes = vec![first];
    for number in 2..=12 {
        nodes.push(node(number).peer(address).outbound(6).start().await.unwrap());
    }
    for node in &nodes {
        until(node, |node| known(node) >= 6 && node.counts().total() >= 4).await;
        // Nobody is dialled beyond the ceiling, but for one that is tried.
        let links = node.discovery().borrow().links.clone();
        assert!(links.values().sum::<usize>() <= 6 + 2 + 8, "{links:?}");
        let ours: PeerAddr = node.listening()[0].into();
        assert!(node.book().with(|book| book.record(ours).is_none()), "a node remembers itself as a peer");
    }
    // What is asked of a node is answered from its book.
    let answer = soon(nodes[3].ask(Request::Ping)).await;
    assert!(matches!(answer, Ok(Response::Pong(_))));
    for node in nodes {
        assert_eq!(soon(node.shutdown(BOUND)).await, 0);
    }
}

#[tokio::test]
async fn f11_a_node_hears_of_everybody_who_dials_it() {
    let hub = node(61).outbound(0).start().await.unwrap();
    let address = hub.listening()[0];
    let mut others = Vec::new();
    for number in 1..=40 {
        // Each of a range of its own, so that the book has a place for each.
        let host = IpAddr::V4(Ipv4Addr::new(127, number, 9, 61));
        let other = Node::builder(Network::Regtest).services(Services::NODE_NETWORK).dial_from(host);
        others.push(other.listen(SocketAddr::new(host, 0)).peer(address).outbound(1).start().await.unwrap());
    }
    // What says where a node is may be there before the node has joined.
    until(&hub, |hub| hub.discovery().borrow().told.new == 40).await;
    assert_eq!(hub.discovery().borrow().told.refused, 0);
}

#[tokio::test]
async fn a_node_that_keeps_to_the_named_learns_of_nobody() {
    let (one, other) = (node(21).outbound(0).start().await.unwrap(), node(22));
    let other = other.peer(one.listening()[0]).start().await.unwrap();
    let closed = node(23).peer(other.listening()[0]).named_only().start().await.unwrap();
    soon(closed.connected(1)).await;
    until(&other, |other| known(other) >= 1).await;
    // What it asks for itself is its own, and is not remembered either.
    let answer = soon(closed.ask(Request::Peers)).await;
    assert!(matches!(answer, Ok(Response::Peers(peers)) if !peers.is_empty()));
    assert_eq!((known(&closed), closed.counts().total()), (0, 1));
}

#[tokio::test]
async fn the_address_book_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let other = node(31).outbound(0).start().await.unwrap();
    let address: PeerAddr = other.listening()[0].into();
    let banned = Prefix::of("127.0.9.77".parse::<IpAddr>().unwrap().into());
    let node_of = || node(32).dir(dir.path());

    let before = node_of().peer(address).start().await.unwrap();
    until(&before, |node| node.book().with(|book| book.counts().tried.total() == 1)).await;
    before.book().with(|book| book.penalties_mut().ban(banned, UnixTime(u32::MAX), UnixTime(1)).unwrap());
    assert_eq!(soon(before.shutdown(BOUND)).await, 0);

    // Nobody is named: the book knows.
    let after = node_of().start().await.unwrap();
    soon(after.connected(1)).await;
    assert_eq!(after.book().with(|book| book.penalties().bans().next()), Some((banned, UnixTime(u32::MAX))));
}

#[tokio::test]
async fn adversary_24_who_is_banned_does_not_come_in() {
    let ours = node(41).outbound(0).start().await.unwrap();
    let address = ours.listening()[0];
    let banned = Prefix::of("127.0.9.42".parse::<IpAddr>().unwrap().into());
    ours.book().with(|book| book.penalties_mut().ban(banned, UnixTime(u32::MAX), UnixTime(1)).unwrap());
    let enemy = node(42).serve(Nil).peer(address).start().await.unwrap();
    let friend = node(43).serve(Nil).peer(address).start().await.unwrap();
    soon(async { tokio::join!(friend.connected(1), ours.connected(1)) }).await;
    soon(async {
        while ours.arrivals().barred == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((ours.counts().total(), enemy.counts().total()), (1, 0));
}

#[tokio::test]
async fn adversary_11_a_node_that_is_told_of_itself_remembers_that_it_is_itself() {
    let ours = node(51).start().await.unwrap();
    let own: PeerAddr = ours.listening()[0].into();
    let told = AddrV2 { time: 0, services: Services::NODE_NETWORK, address: own };
    let now = UnixTime(1_800_000_000);
    assert_eq!(ours.book().with(|book| book.add(told, Source::Config, now)), Added::New);
    until(&ours, |ours| ours.book().with(|book| book.own_addresses().any(|address| address == own))).await;
    let again = ours.book().with(|book| book.add(told, Source::Config, now));
    assert_eq!((again, known(&ours)), (Added::Refused(Refusal::Own), 0));
    assert_eq!(ours.discovery().borrow().dials.get("closed_by_peer"), Some(&1), "it is dialled once");
}

#[tokio::test]
async fn a_service_that_leaves_addresses_to_the_book_has_them_answered() {
    let service = service_fn(async |_| Ok::<_, std::convert::Infallible>(Response::Nil));
    let serving = node(71).outbound(0).serve(service).start().await.unwrap();
    let known: PeerAddr = "127.9.9.9:18233".parse().unwrap();
    serving.book().with(|book| {
        let now = UnixTime::from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
        let heard = AddrV2 { time: now.0, services: Services::NODE_NETWORK, address: known };
        assert_eq!(book.add(heard, Source::Config, now), Added::New);
    });
    let asking = node(72).named_only().peer(serving.listening()[0]).start().await.unwrap();
    let answer = soon(asking.ask(Request::Peers)).await.unwrap();
    assert!(matches!(&answer, Response::Peers(peers) if peers.iter().any(|peer| peer.address == known)), "{answer:?}");
}

#[tokio::test]
async fn a_peer_is_answered_by_the_network_that_it_comes_from() {
    let by_v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0);
    let serving = node(74).outbound(0).listen(by_v6).start().await.unwrap();
    serving.book().with(|book| {
        let now = UnixTime::from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
        for number in 0..400_u32 {
            let address = SocketAddr::new(Ipv4Addr::from_bits((11 << 24) + (number << 16) + 1).into(), 18233).into();
            book.add(AddrV2 { time: now.0, services: Services::NODE_NETWORK, address }, Source::Config, now);
        }
    });
    let asked = async |at: usize| {
        let asking = Node::builder(Network::Regtest).named_only().peer(serving.listening()[at]).start().await.unwrap();
        let Response::Peers(peers) = soon(asking.ask(Request::Peers)).await.unwrap() else { panic!() };
        peers
    };
    let (one, other, over_v6) = (asked(0).await, asked(0).await, asked(1).await);
    assert_eq!(one, other, "asking again shows no more of the book");
    assert!(over_v6.len() > 100 && over_v6 != one, "the answers tell that it is one node");
}

#[tokio::test]
async fn a_node_tells_where_it_is_once_it_serves_the_chain() {
    let nothing = Standing { height: 0, services: Services::NONE, floor: CURRENT_VERSION };
    let (standing, told) = watch::channel(nothing);
    let friend = node(75).outbound(0).start().await.unwrap();
    let mut events = friend.events();
    let ours = node(76).standing(told).peer(friend.listening()[0]).start().await.unwrap();
    soon(async { tokio::join!(ours.connected(1), friend.connected(1)) }).await;
    for asking in [&ours, &friend, &ours, &friend] {
        assert!(matches!(soon(asking.ask(Request::Ping)).await, Ok(Response::Pong(_))));
    }
    standing.send_replace(Standing { services: Services::NODE_NETWORK, ..nothing });
    let entries = soon(async {
        loop {
            if let Some(Event::Gossip { gossip: Gossip::Peers(entries), .. }) = events.next().await {
                break entries;
            }
        }
    });
    let entries = entries.await.into_iter().map(|entry| (entry.address, entry.services)).collect::<Vec<_>>();
    assert_eq!(entries, [(ours.listening()[0].into(), Services::NODE_NETWORK)], "the first that is told of it");
}

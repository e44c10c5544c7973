//! Nodes on loopback sockets: what the builder is told is what the node does.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::convert::Infallible;
use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use savanna::chain::CURRENT_VERSION;
use savanna::net::Standing;
use savanna::tokio::io::AsyncReadExt;
use savanna::tokio::net::{TcpListener, TcpStream};
use savanna::tokio::runtime::Handle;
use savanna::tokio::sync::watch;
use savanna::tokio::time::timeout;
use savanna::tower::{Service, ServiceExt, service_fn};
use savanna::wire::Host;
use savanna::{
    Block, Builder, CallOutcome, Direction, Event, Gossip, InboundService, Network, Node, Partial, PeerAddr, PeerSet,
    Proxy, Request, RequestError, RequestKind, Response, Services, StartError, connect, tokio,
};
use savanna_sim::regtest;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const BOUND: Duration = Duration::from_secs(5);

/// Longer than anything takes that is awaited here.
async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), awaited).await.expect("it takes too long")
}

/// Waits until no more tasks live than before.
async fn only(tasks: usize) {
    soon(async {
        while Handle::current().metrics().num_alive_tasks() > tasks {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn regtest_node() -> Builder {
    Node::builder(Network::Regtest)
}

/// A service that has every block of a chain.
fn serving(chain: &Arc<Vec<Block>>) -> impl InboundService + Sync + use<> {
    let chain = Arc::clone(chain);
    service_fn(move |request| {
        let Request::Blocks(hashes) = request else { return ready(Ok::<_, Infallible>(Response::Nil)) };
        let found = chain.iter().filter(|block| hashes.contains(&block.hash())).cloned().collect();
        ready(Ok(Response::Blocks(Partial::complete(found))))
    })
}

async fn server(chain: &Arc<Vec<Block>>) -> Node {
    regtest_node().outbound(0).serve(serving(chain)).listen(LOOPBACK).start().await.unwrap()
}

#[tokio::test]
async fn what_a_node_does_is_counted() {
    let server = server(&Arc::new(Vec::new())).await;
    let node = regtest_node().peer(server.listening()[0]).start().await.unwrap();
    soon(node.connected(1)).await;
    soon(node.ask(Request::Ping)).await.unwrap();
    let (ours, theirs) = (node.traffic(), server.traffic());
    assert_eq!((ours.connections(Direction::Outbound), theirs.connections(Direction::Inbound)), (1, 1));
    assert!(ours.dials().any(|dials| dials == ("connected", 1)));
    assert!(ours.received() > 0 && theirs.sent() >= ours.received());
    assert_eq!(ours.round_trips(RequestKind::Ping).count(), 1);
    let mut requests = node.peer_set().requests();
    soon(requests.wait_for(|counts| counts.in_flight(RequestKind::Ping) == 0)).await.unwrap();
    assert_eq!(node.requests().ended(RequestKind::Ping, CallOutcome::Answered), 1);

    let outlives = node.traffic().clone();
    node.shutdown(BOUND).await;
    assert_eq!(outlives.connections(Direction::Outbound), 0);
    assert_eq!(outlives.closed(Direction::Outbound).find(|(_, count)| *count > 0), Some(("local", 1)));
}

#[tokio::test]
async fn a_node_asks_the_peers_it_was_given_by_address_and_by_name() {
    let chain = Arc::new(regtest::chain(40, 500));
    let (one, other) = (server(&chain).await, server(&chain).await);
    let name = format!("localhost:{}", other.listening()[0].port());
    let node = regtest_node().peer(one.listening()[0]).peer_named(name.parse().unwrap()).start().await.unwrap();
    assert!(soon(node.connected(2)).await.total() >= 2);

    let wanted: Vec<_> = chain.iter().map(Block::hash).collect();
    let answer = soon(node.ask(Request::Blocks(wanted))).await;
    assert_eq!(answer, Ok(Response::Blocks(Partial::complete(chain.to_vec()))));
    let answer = soon(node.peer_set().clone().oneshot(Request::Ping)).await;
    assert!(matches!(answer, Ok(Response::Pong(_))));
}

#[tokio::test]
async fn who_dials_us_is_a_peer_like_any_other() {
    let (_height, standing) =
        watch::channel(Standing { height: 7, services: Services::NODE_NETWORK, floor: CURRENT_VERSION });
    let chain = Arc::new(regtest::chain(3, 100));
    let ours = regtest_node().outbound(0).serve(serving(&chain)).listen(LOOPBACK).standing(standing);
    let ours = ours.start().await.unwrap();
    let mut events = ours.events();

    let theirs = regtest_node().peer(ours.listening()[0]).user_agent("Test:1.0").relay(true).start().await.unwrap();
    let mut heard = theirs.events();
    let Some(Event::Joined { info, .. }) = soon(events.next()).await else { panic!("nobody joined") };
    assert_eq!(info.direction, Direction::Inbound);
    assert!(info.remote.user_agent.to_string().ends_with("/Test:1.0/"));
    assert!(info.remote.relay);
    assert_eq!(info.remote.services, Services::NONE);
    assert!(matches!(soon(ours.ask(Request::Ping)).await, Ok(Response::Pong(_))));

    soon(theirs.connected(1)).await;
    let hash = chain[2].hash();
    assert_eq!(soon(ours.ask(Request::AdvertiseBlock(hash))).await, Ok(Response::Nil));
    let mut remote = None;
    loop {
        match soon(heard.next()).await.unwrap() {
            Event::Joined { info, .. } => remote = Some(info.remote),
            Event::Gossip { gossip, .. } => break assert_eq!(gossip, Gossip::Block(hash)),
            other => panic!("{other:?}"),
        }
    }
    let remote = remote.unwrap();
    assert_eq!((remote.height, remote.services), (7, Services::NODE_NETWORK));
}

#[tokio::test]
async fn an_address_that_is_taken_stops_the_start_before_anything_runs() {
    let before = Handle::current().metrics().num_alive_tasks();
    let taken = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = taken.local_addr().unwrap();
    let peer: SocketAddr = "192.0.2.1:1".parse().unwrap();
    let refused = regtest_node().peer(peer).listen(LOOPBACK).listen(address).start().await;
    assert!(matches!(refused, Err(StartError::Listen { address: refused, .. }) if refused == address));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start() {
    let proxy = Proxy { address: "127.0.0.1:9050".parse().unwrap(), isolate: false };
    let onion = PeerAddr { host: Host::TorV3([1; 32]), port: 8233 };
    assert!(matches!(regtest_node().start().await, Err(StartError::NoPeers)));
    assert!(matches!(regtest_node().peer(onion).outbound(0).start().await, Err(StartError::NoPeers)));
    assert!(matches!(regtest_node().peer(onion).start().await, Err(StartError::NeedsProxy(peer)) if peer == onion));
    let named = regtest_node().proxy(proxy).peer_named("peer.invalid".parse().unwrap());
    assert!(matches!(named.start().await, Err(StartError::NameBehindProxy(_))));
    assert!(matches!(Node::builder(Network::Mainnet).proxy(proxy).start().await, Err(StartError::NoPeers)));
    assert!(matches!(regtest_node().user_agent("a/b").start().await, Err(StartError::UserAgent(_))));
}

#[tokio::test]
async fn shutdown_ends_every_task_and_closes_every_socket() {
    let before = Handle::current().metrics().num_alive_tasks();
    let ours = server(&Arc::default()).await;
    let address = ours.listening()[0];
    let theirs = regtest_node().peer(address).start().await.unwrap();
    soon(async { tokio::join!(ours.connected(1), theirs.connected(1)) }).await;
    let handle = theirs.peer_set().clone();

    assert_eq!(soon(ours.shutdown(BOUND)).await, 0);
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(soon(theirs.shutdown(BOUND)).await, 0);
    only(before).await;
    assert!(matches!(soon(handle.oneshot(Request::Ping)).await, Err(RequestError::Closed(_))));
}

#[tokio::test]
async fn a_dropped_node_leaves_nothing_behind() {
    let before = Handle::current().metrics().num_alive_tasks();
    let ours = server(&Arc::default()).await;
    let address = ours.listening()[0];
    let (client, tasks) = connect(Network::Regtest, address).await.unwrap();
    soon(ours.connected(1)).await;
    drop(ours);
    soon(client.closed()).await;
    drop((client, tasks));
    only(before).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_node_behind_a_proxy_dials_the_proxy() {
    let proxy = TcpListener::bind(LOOPBACK).await.unwrap();
    let peer: SocketAddr = "192.0.2.1:8233".parse().unwrap();
    let through = Proxy { address: proxy.local_addr().unwrap(), isolate: false };
    let node = regtest_node().peer(peer).proxy(through).start().await.unwrap();
    let (mut dialled, _) = soon(proxy.accept()).await.unwrap();
    let mut greeting = [0; 3];
    soon(dialled.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(greeting, [5, 1, 0]);
    soon(node.shutdown(BOUND)).await;
}

#[test]
fn nodes_and_handles_go_where_they_are_needed() {
    fn anywhere<T: Send + Sync>() {}
    fn movable<F: Send>(_: F) {}
    anywhere::<Node>();
    anywhere::<Builder>();
    anywhere::<PeerSet>();
    anywhere::<StartError>();
    movable(regtest_node().start());
}

/// A layer's service stands for the set: nothing of the set asks for more than `Service`.
#[tokio::test]
async fn the_set_takes_layers() {
    let ours = server(&Arc::default()).await;
    let node = regtest_node().peer(ours.listening()[0]).start().await.unwrap();
    let mut layered = savanna::tower::load_shed::LoadShed::new(node.peer_set().clone());
    let ready = soon(ServiceExt::<Request>::ready(&mut layered)).await.unwrap();
    assert!(matches!(soon(ready.call(Request::Ping)).await, Ok(Response::Pong(_))));
}

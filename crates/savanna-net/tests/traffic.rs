//! What connections do is counted, once each, under names that no peer chooses.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use savanna_net::{Connector, Direction, Nil, Request, Response, Traffic};
use savanna_peer::{CloseReason, Gossip, LocalReason, RequestKind};
use savanna_wire::{BlockHash, Host, Inventory, Message, PeerAddr, ProtocolVersion, TransactionId, TxId, Version};
use tokio::io::{AsyncReadExt, duplex};
use tokio::sync::mpsc;
use tower::ServiceExt;

use common::{BOUND, Node, Puppet, join, serving, settle, version, within};

const BOTH: [Direction; 2] = [Direction::Inbound, Direction::Outbound];

fn counted() -> (Node, Traffic) {
    let config = serving();
    let traffic = config.traffic.clone();
    (Node::with(config, Nil), traffic)
}

/// Returns the names that were counted at all, with how often.
fn seen(counts: impl Iterator<Item = (&'static str, u64)>) -> Vec<(&'static str, u64)> {
    counts.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(start_paused = true)]
async fn every_byte_is_counted_at_both_ends_and_every_connection_from_begin_to_end() {
    let ((mut dialler, ours), (mut dialled, theirs)) = (counted(), counted());
    let (client, other) = join(&mut dialler, &mut dialled).await;
    let (client, other) = (client.unwrap(), other.unwrap());
    assert_eq!(BOTH.map(|direction| ours.connections(direction)), [0, 1]);
    assert_eq!(BOTH.map(|direction| theirs.connections(direction)), [1, 0]);

    assert!(matches!(within(BOUND, client.ask(Request::Ping)).await, Ok(Response::Pong(_))));
    within(BOUND, client.ask(Request::AdvertiseBlock(BlockHash([1; 32])))).await.unwrap();
    assert_eq!(ours.round_trips(RequestKind::Ping).count(), 1);
    assert_eq!(ours.round_trips(RequestKind::AdvertiseBlock).count(), 0, "nobody answers a statement");

    client.close(CloseReason::Local(LocalReason::Evicted));
    within(BOUND, other.closed()).await;
    settle().await;
    assert!(ours.sent() > 200 && ours.received() > 200, "{ours:?}");
    assert_eq!((ours.sent(), ours.received()), (theirs.received(), theirs.sent()));
    assert_eq!(seen(ours.handshakes(Direction::Outbound)), [("ok", 1)]);
    assert_eq!(seen(theirs.handshakes(Direction::Inbound)), [("ok", 1)]);
    assert_eq!(seen(ours.closed(Direction::Outbound)), [("local", 1)]);
    assert_eq!(seen(theirs.closed(Direction::Inbound)), [("closed_by_peer", 1)]);
    assert_eq!(BOTH.map(|direction| ours.connections(direction)), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_goodbye_are_counted_as_far_as_they_went() {
    let (mut node, traffic) = counted();
    let (stream, theirs) = duplex(4096);
    let handshake = node.begin(stream, Direction::Outbound, None);
    let mut puppet = Puppet::new(theirs);
    puppet.accept().await;
    let client = within(BOUND, handshake).await.unwrap();
    assert!(matches!(puppet.next().await, Some(Message::Ping(_))));
    settle().await;
    let before = traffic.sent();
    let ids = (0..250).map(|byte| TransactionId::Legacy(TxId([byte; 32]))).collect();
    client.ask(Request::AdvertiseTransactions(ids)).await.unwrap();
    settle().await;
    client.close(CloseReason::Local(LocalReason::Evicted));
    within(BOUND, client.closed()).await;
    let mut read = vec![0; 3000];
    puppet.stream.read_exact(&mut read).await.unwrap();
    settle().await;
    // Then it reads no more, until the connection has ended.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(node.tasks.is_empty());
    puppet.stream.read_to_end(&mut read).await.unwrap();
    assert!(read.len() > 6000);
    assert_eq!(traffic.sent() - before, read.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_fails_is_counted_by_its_reason() {
    let (mut node, traffic) = counted();
    let mut shake = async |first: &[u8]| {
        let (stream, theirs) = duplex(4096);
        let handshake = node.begin(stream, Direction::Inbound, None);
        let mut puppet = Puppet::new(theirs);
        puppet.write(first).await;
        within(BOUND, handshake).await.unwrap_err()
    };
    let obsolete = Message::Version(Version { version: ProtocolVersion(170_001), ..version() });
    shake(&[0; 24]).await;
    shake(&savanna_wire::encode(&obsolete, common::MAGIC).concat()).await;
    shake(&[]).await;
    let outcomes = seen(traffic.handshakes(Direction::Inbound));
    assert_eq!(outcomes, [("malformed", 1), ("obsolete", 1), ("timed_out", 1)]);
    assert_eq!(seen(traffic.handshakes(Direction::Outbound)), []);
    assert_eq!(seen(traffic.closed(Direction::Inbound)), [], "what never was does not end");
    assert_eq!(traffic.handshake_times(Direction::Inbound).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_handshake_is_that_of_the_handshake() {
    let (mut node, traffic) = counted();
    let (stream, theirs) = duplex(4096);
    let handshake = node.begin(stream, Direction::Outbound, None);
    let mut puppet = Puppet::new(theirs);
    tokio::time::sleep(Duration::from_millis(300)).await;
    puppet.accept().await;
    within(BOUND, handshake).await.unwrap();
    let times = traffic.handshake_times(Direction::Outbound);
    let within = |millis| times.buckets().find(|(bound, _)| *bound == Duration::from_millis(millis)).unwrap().1;
    assert_eq!((within(250), within(500), times.count()), (0, 1, 1));
    assert!(times.sum() >= Duration::from_millis(300), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn gossip_is_counted_whether_it_was_passed_on_or_lost() {
    let mut config = serving();
    let (gossip, mut heard) = mpsc::channel(1);
    config.gossip = Some(gossip);
    let traffic = config.traffic.clone();
    let mut node = Node::with(config, Nil);
    let (ours, theirs) = duplex(64 * 1024);
    let handshake = node.begin(ours, Direction::Outbound, None);
    let mut puppet = Puppet::new(theirs);
    puppet.accept().await;
    let _client = within(BOUND, handshake).await.unwrap();
    for number in [1, 2] {
        puppet.send(Message::Inv(vec![Inventory::Block(BlockHash([number; 32]))].try_into().unwrap())).await;
    }
    settle().await;
    assert!(matches!(heard.recv().await, Some((_, Gossip::Block(_)))));
    assert_eq!(traffic.gossip().find(|(_, [taken, lost])| taken + lost > 0), Some(("block", [1, 1])));
}

#[tokio::test]
async fn dials_are_counted_by_how_they_ended() {
    let traffic = Traffic::default();
    let connector = Connector::direct().with_traffic(traffic.clone());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    connector.clone().oneshot(address.into()).await.unwrap();
    drop(listener);
    connector.clone().oneshot(address.into()).await.unwrap_err();
    let onion = PeerAddr { host: Host::TorV3([7; 32]), port: 8233 };
    connector.oneshot(onion).await.unwrap_err();
    assert_eq!(seen(traffic.dials()), [("connected", 1), ("refused", 1), ("needs_proxy", 1)]);
}

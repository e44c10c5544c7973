//! How connections end: with those who use them, with their node, and on no other terms of ours.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::convert::Infallible;
use std::time::Duration;

use savanna_net::{Direction, Response, SlotLimits, Slots};
use savanna_peer::{CloseReason, LocalReason, Partial, RequestError};
use savanna_wire::{BlockHash, Inventory, Message};
use tokio::io::duplex;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{Service, ServiceExt, service_fn};

use common::{BOUND, Node, Puppet, block, find_headers, no_headers, settle, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn f2_the_connection_ends_with_its_last_client_and_future() {
    let slots = Slots::new(SlotLimits::LOCAL);
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(Some(slots.outbound().unwrap())).await;
    let clone = client.clone();
    let unanswered = client.ask(find_headers(1));
    assert!(matches!(puppet.question().await, Some(Message::GetHeaders(_))));

    drop(client);
    drop(clone);
    assert!(timeout(SECOND, puppet.end()).await.is_err(), "a future still waits");
    assert_eq!(slots.taken(Direction::Outbound), 1);

    let before = Instant::now();
    drop(unanswered);
    puppet.end().await;
    settle().await;
    assert!(before.elapsed() < Duration::from_millis(5));
    assert_eq!(slots.taken(Direction::Outbound), 0);
    assert!(node.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn f2_an_answer_is_waited_for_without_any_client() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    let answer = client.oneshot(find_headers(1));
    let serve = async {
        assert!(matches!(puppet.question().await, Some(Message::GetHeaders(_))));
        sleep(3 * SECOND).await;
        puppet.send(no_headers()).await;
        puppet.end().await;
    };
    let (answer, ()) = within(BOUND, async { tokio::join!(answer, serve) }).await;
    assert_eq!(answer, Ok(Response::Headers(Vec::new())));
    settle().await;
    assert!(node.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn f2_a_peer_that_reads_nothing_holds_up_no_end() {
    let slots = Slots::new(SlotLimits::LOCAL);
    let block = block(500_000);
    let service = service_fn(move |_| {
        let answer = Response::Blocks(Partial::complete(vec![block.clone()]));
        async { Ok::<_, Infallible>(answer) }
    });
    let mut node = Node::with(common::serving(), service);
    let (client, mut puppet) = node.meet(Some(slots.outbound().unwrap())).await;
    let wanted = vec![Inventory::Block(BlockHash([9; 32]))];
    puppet.send(Message::GetData(wanted.try_into().unwrap())).await;
    settle().await;

    let before = Instant::now();
    drop(client);
    settle().await;
    assert_eq!((node.tasks.len(), slots.taken(Direction::Outbound)), (0, 0), "after {:?}", before.elapsed());
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn f2_a_question_that_is_being_answered_holds_up_no_end() {
    let (held, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    let service = service_fn(move |_| {
        let held = held.clone();
        async move {
            held.closed().await;
            Ok::<_, Infallible>(Response::Nil)
        }
    });
    let mut node = Node::with(common::serving(), service);
    let (client, mut puppet) = node.meet(None).await;
    puppet.send(Message::Mempool).await;
    settle().await;

    let before = Instant::now();
    drop(client);
    settle().await;
    assert!(node.tasks.is_empty());
    drop(node);
    assert_eq!(dropped.recv().await, None, "the question is dropped with its connection");
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn f3_heartbeats_keep_no_connection() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    for _ in 0..5 {
        let Some(Message::Ping(nonce)) = puppet.next().await else { panic!("no heartbeat") };
        puppet.send(Message::Pong(nonce)).await;
    }
    assert!(!client.is_closed());
    assert!(matches!(puppet.next().await, Some(Message::Ping(_))), "a heartbeat that stays unanswered");
    let before = Instant::now();
    drop(client);
    puppet.end().await;
    assert!(before.elapsed() < Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn f5_a_dropped_handshake_runs_on_and_its_connection_ends_at_once() {
    let slots = Slots::new(SlotLimits::LOCAL);
    let mut node = Node::new();
    let (ours, theirs) = duplex(4096);
    drop(node.begin(ours, Direction::Outbound, Some(slots.outbound().unwrap())));
    let mut puppet = Puppet::new(theirs);
    puppet.accept().await;
    puppet.end().await;
    settle().await;
    assert_eq!((node.tasks.len(), slots.taken(Direction::Outbound)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_on_an_aborted_connection_is_told() {
    let mut node = Node::new();
    let (mut client, mut puppet) = node.meet(None).await;
    let mut waiting = Vec::new();
    while let Ok(ready) = timeout(Duration::from_millis(1), client.ready()).await {
        waiting.push(ready.unwrap().call(find_headers(1)));
    }
    let closed = RequestError::Closed(CloseReason::Local(LocalReason::Shutdown));
    let ready = tokio::spawn(async move { client.ready().await.map(|_| ()) });
    settle().await;
    drop(node);
    assert_eq!(within(SECOND, ready).await.unwrap(), Err(closed.clone()));
    for answer in waiting {
        assert_eq!(within(SECOND, answer).await, Err(closed.clone()));
    }
    puppet.end().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_every_connection_within_its_bound() {
    let mut node = Node::new();
    let mut peers = Vec::new();
    for _ in 0..50 {
        peers.push(node.meet(None).await);
    }
    let before = Instant::now();
    assert_eq!(node.tasks.shutdown(2 * SECOND).await, 0);
    assert!(before.elapsed() <= 2 * SECOND);
    for (client, mut puppet) in peers {
        assert_eq!(client.closed().await, CloseReason::Local(LocalReason::Shutdown));
        puppet.end().await;
    }
    let (ours, _theirs) = duplex(64);
    let mut handshake = node.handshake;
    let refused = handshake.call(savanna_net::HandshakeRequest {
        stream: ours,
        direction: Direction::Outbound,
        peer: None,
        route: savanna_net::Route::Direct,
        slot: None,
    });
    assert_eq!(within(BOUND, refused).await.unwrap_err().reason, CloseReason::Local(LocalReason::Shutdown));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rounds_leave_nothing_behind() {
    let slots = Slots::new(SlotLimits::LOCAL);
    let (mut dialler, mut dialled) = (Node::new(), Node::new());
    for round in 0..1000 {
        let (ours, theirs) = duplex(4096);
        let outbound = dialler.begin(ours, Direction::Outbound, Some(slots.outbound().unwrap()));
        let here = slots.inbound([127, 0, 0, 1].into()).unwrap();
        let inbound = dialled.begin(theirs, Direction::Inbound, Some(here));
        match round % 3 {
            0 => drop((outbound, inbound)),
            1 => drop(outbound.await.unwrap()),
            _ => drop((outbound.await.unwrap(), inbound.await.unwrap())),
        }
    }
    advance(60 * SECOND).await;
    while !dialler.tasks.is_empty() || !dialled.tasks.is_empty() {
        within(SECOND, tokio::task::yield_now()).await;
    }
    assert_eq!((slots.taken(Direction::Inbound), slots.taken(Direction::Outbound)), (0, 0));
}

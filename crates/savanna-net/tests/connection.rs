//! The founding behaviours of a connection, over pipes and under a clock that jumps.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::time::Duration;

use savanna_net::{Client, Direction, Request, Response, ResponseFuture};
use savanna_peer::{CloseReason, Incompatibility, LocalReason, Partial, RequestError, Timer};
use savanna_wire::{BlockHash, Message, ProtocolVersion, RejectCode, TransactionId, TxId};
use tokio::io::duplex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tower::{Service, ServiceExt, service_fn};

use common::{BOUND, Node, Puppet, block, find_headers, join, no_headers, serving, settle, version, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn f1_one_peer_ends_and_the_other_notices_nothing() {
    let mut node = Node::new();
    let (first, mut bad) = node.meet(None).await;
    let (second, mut good) = node.meet(None).await;
    assert_ne!(first.id(), second.id());
    assert_eq!(node.tasks.len(), 2);

    let answer = second.ask(Request::Ping);
    bad.write(&[0; 24]).await;
    assert!(matches!(within(BOUND, first.closed()).await, CloseReason::Malformed(_)));
    bad.end().await;
    settle().await;
    assert_eq!(node.tasks.len(), 1);
    assert!(first.is_closed() && !second.is_closed());
    assert!(matches!(first.ask(Request::Ping).await, Err(RequestError::Closed(CloseReason::Malformed(_)))));

    let (answer, ()) = tokio::join!(answer, async { while timeout(SECOND, good.question()).await.is_ok() {} });
    assert!(matches!(answer, Ok(Response::Pong(_))));
    assert!(second.round_trip().is_some());
}

#[tokio::test(start_paused = true)]
async fn f4_a_pong_with_another_nonce_is_ignored() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    let Some(Message::Ping(nonce)) = puppet.next().await else { panic!("no heartbeat") };
    let sent = Instant::now();
    puppet.send(Message::Pong(nonce ^ 1)).await;
    let reason = within(BOUND, client.closed()).await;
    assert!(matches!(reason, CloseReason::TimedOut(Timer::Ping(_))), "{reason}");
    assert!(sent.elapsed() >= serving().outbound.ping);
}

#[tokio::test(start_paused = true)]
async fn f5_a_handshake_needs_nobody_to_poll_it() {
    let mut node = Node::new();
    let (ours, theirs) = duplex(4096);
    let unpolled = node.begin(ours, Direction::Outbound, None);
    let mut puppet = Puppet::new(theirs);
    puppet.accept().await;
    assert!(matches!(puppet.next().await, Some(Message::Ping(_))));
    let client = within(BOUND, unpolled).await.unwrap();
    assert_eq!(client.info().remote, version());
}

#[tokio::test(start_paused = true)]
async fn a_refused_peer_is_told_why_and_remembered() {
    let mut node = Node::new();
    // So narrow that the refusal is still under way when the session has ended.
    let (ours, theirs) = duplex(16);
    let handshake = node.begin(ours, Direction::Inbound, None);
    let mut puppet = Puppet::new(theirs);
    let obsolete = savanna_wire::Version { version: ProtocolVersion(170_001), ..version() };
    puppet.send(Message::Version(obsolete.clone())).await;
    let error = within(BOUND, handshake).await.unwrap_err();
    assert!(matches!(error.reason, CloseReason::Incompatible(Incompatibility::Obsolete { .. })));
    assert_eq!(error.remote.as_deref(), Some(&obsolete));
    let Some(Message::Reject(reject)) = puppet.next().await else { panic!("no reject") };
    assert_eq!(reject.code, RejectCode::OBSOLETE);
    assert_eq!(puppet.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_is_remembered() {
    let mut node = Node::new();
    let (ours, theirs) = duplex(4096);
    let handshake = node.begin(ours, Direction::Outbound, None);
    let mut puppet = Puppet::new(theirs);
    puppet.send(Message::Version(version())).await;
    drop(puppet);
    let error = within(BOUND, handshake).await.unwrap_err();
    assert_eq!((error.reason, error.remote.as_deref()), (CloseReason::ClosedByPeer, Some(&version())));
}

#[tokio::test(start_paused = true)]
async fn f10_a_dropped_future_cancels_and_its_late_answer_is_nobodys() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    let (unwanted, wanted) = (block(1), block(2));
    let dropped = client.ask(Request::Blocks(vec![unwanted.hash()]));
    assert!(matches!(puppet.question().await, Some(Message::GetData(_))));
    drop(dropped);
    settle().await;
    let asked = client.ask(Request::Blocks(vec![wanted.hash()]));
    let serve = async {
        assert!(matches!(puppet.question().await, Some(Message::GetData(_))));
        puppet.send(Message::Block(unwanted)).await;
        puppet.send(Message::Block(wanted.clone())).await;
    };
    let (answer, ()) = within(BOUND, async { tokio::join!(asked, serve) }).await;
    assert_eq!(answer, Ok(Response::Blocks(Partial::complete(vec![wanted]))));
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_future_wanted_makes_room() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    let hashes = |of: u8| Request::Blocks((0..48).map(|each| BlockHash([of; 32].map(|byte| byte ^ each))).collect());
    let expect = async |puppet: &mut Puppet| {
        for _ in 0..3 {
            let asked = within(SECOND, async {
                loop {
                    match puppet.next().await {
                        // No fence is answered, so the peer is still busy with what it was asked.
                        Some(Message::Ping(_)) => {}
                        other => break other,
                    }
                }
            });
            assert!(matches!(asked.await, Some(Message::GetData(items)) if items.len() == 16));
        }
    };
    let dropped = client.ask(hashes(0));
    expect(&mut puppet).await;
    drop(dropped);
    settle().await;
    let _wanted = client.ask(hashes(64));
    expect(&mut puppet).await;
}

#[tokio::test(start_paused = true)]
async fn the_late_answer_to_a_dropped_future_lets_the_next_ask() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    let dropped = client.ask(find_headers(1));
    assert!(matches!(puppet.question().await, Some(Message::GetHeaders(_))));
    drop(dropped);
    let next = client.ask(find_headers(2));
    settle().await;
    puppet.send(no_headers()).await;
    let serve = async {
        assert!(matches!(within(SECOND, puppet.question()).await, Some(Message::GetHeaders(_))));
        puppet.send(no_headers()).await;
    };
    let (answer, ()) = within(SECOND, async { tokio::join!(next, serve) }).await;
    assert_eq!(answer, Ok(Response::Headers(Vec::new())));
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_kind_wait_for_each_other_and_dropped_ones_do_not_count() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    let first = client.ask(find_headers(1));
    let dropped = client.ask(find_headers(2));
    let third = client.ask(find_headers(3));
    settle().await;
    drop(dropped);
    let serve = async {
        for expected in [1, 3] {
            let Some(Message::GetHeaders(locator)) = puppet.question().await else { panic!("no question") };
            assert_eq!(locator.hashes[0], BlockHash([expected; 32]));
            puppet.send(no_headers()).await;
        }
        assert!(timeout(SECOND, puppet.question()).await.is_err(), "the dropped one was asked");
    };
    let (first, third, ()) = within(BOUND, async { tokio::join!(first, third, serve) }).await;
    assert_eq!((first, third), (Ok(Response::Headers(Vec::new())), Ok(Response::Headers(Vec::new()))));
}

#[tokio::test(start_paused = true)]
async fn what_waits_too_long_is_given_up() {
    let mut config = serving();
    config.outbound.ping = 3 * config.outbound.request;
    let patience = config.outbound.request;
    let mut node = Node::with(config, savanna_net::Nil);
    let (client, mut puppet) = node.meet(None).await;
    let before = Instant::now();
    let (asked, waiting) = (client.ask(find_headers(1)), client.ask(find_headers(2)));
    assert_eq!(within(BOUND, waiting).await, Err(RequestError::TimedOut));
    assert!(before.elapsed() >= patience && before.elapsed() < patience + SECOND);
    assert_eq!(within(SECOND, asked).await, Err(RequestError::TimedOut));
    assert!(!client.is_closed());
    drop(client);
    puppet.end().await;
}

#[tokio::test(start_paused = true)]
async fn readiness_means_room_in_the_queue() {
    let mut node = Node::new();
    let (mut client, _puppet) = node.meet(None).await;
    let mut idle = client.clone();
    let mut waiting = Vec::new();
    while let Ok(ready) = timeout(Duration::from_millis(1), client.ready()).await {
        waiting.push(ready.unwrap().call(find_headers(1)));
        assert!(waiting.len() < 1000, "the queue has no bound");
    }
    let late = client.ask(find_headers(1));
    let ready_again = tokio::spawn(async move { idle.ready().await.map(|_| ()) });
    settle().await;
    assert!(!ready_again.is_finished());
    waiting.clear();
    within(SECOND, ready_again).await.unwrap().unwrap();
    within(SECOND, client.ready()).await.unwrap();
    drop(late);
    settle().await;
    assert!(!client.is_closed());
}

/// Fills the queue of a client whose peer answers nothing.
async fn fill(client: &mut Client) -> Vec<ResponseFuture> {
    let mut waiting = Vec::new();
    while let Ok(ready) = timeout(Duration::from_millis(1), client.ready()).await {
        waiting.push(ready.unwrap().call(find_headers(1)));
        assert!(waiting.len() < 1000, "the queue has no bound");
    }
    waiting
}

fn wait_for_room(client: &Client) -> JoinHandle<bool> {
    let mut client = client.clone();
    tokio::spawn(async move { client.ready().await.is_ok() })
}

#[tokio::test(start_paused = true)]
async fn room_that_a_dropped_future_gives_back_makes_a_client_ready() {
    let mut node = Node::new();
    let (mut client, mut puppet) = node.meet(None).await;
    let _waiting = fill(&mut client).await;
    let mut next = client.ask(find_headers(2));
    assert!(timeout(Duration::from_millis(1), &mut next).await.is_err());
    let ready = wait_for_room(&client);
    settle().await;
    assert!(matches!(puppet.question().await, Some(Message::GetHeaders(_))));
    puppet.send(no_headers()).await;
    settle().await;
    assert!(!ready.is_finished(), "the room is that of who came first");
    drop(next);
    assert!(within(Duration::from_millis(10), ready).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_ready_while_the_peer_reads_nothing() {
    let mut node = Node::new();
    let (ours, theirs) = duplex(4096);
    let handshake = node.begin(ours, Direction::Outbound, None);
    let mut puppet = Puppet::new(theirs);
    puppet.accept().await;
    let mut client = within(BOUND, handshake).await.unwrap();
    let _asked = client.ask(find_headers(1));
    assert!(matches!(puppet.question().await, Some(Message::GetHeaders(_))));
    let ids = (0..250).map(|byte| TransactionId::Legacy(TxId([byte; 32]))).collect();
    client.ask(Request::AdvertiseTransactions(ids)).await.unwrap();
    let _waiting = fill(&mut client).await;
    let ready = wait_for_room(&client);
    settle().await;
    assert!(!ready.is_finished());
    // What is answered makes room for a question more, though that one cannot be written yet.
    puppet.send(no_headers()).await;
    assert!(within(Duration::from_millis(10), ready).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_client_closes_for_all() {
    let mut node = Node::new();
    let (client, mut puppet) = node.meet(None).await;
    let answer = client.ask(find_headers(1));
    let reason = CloseReason::Misbehaved(savanna_peer::Offence::InvalidAnswer);
    client.clone().close(reason.clone());
    client.close(CloseReason::Local(LocalReason::Evicted));
    assert_eq!(within(BOUND, client.closed()).await, reason);
    assert_eq!(within(BOUND, answer).await, Err(RequestError::Closed(reason.clone())));
    assert_eq!(client.clone().ready().await.unwrap_err(), RequestError::Closed(reason));
    puppet.end().await;
}

#[tokio::test(start_paused = true)]
async fn f12_a_question_of_the_peers_is_a_request_to_the_service() {
    let ids = vec![TransactionId::Legacy(TxId([5; 32])), TransactionId::Legacy(TxId([6; 32]))];
    let answer = ids.clone();
    let mut server = Node::with(
        serving(),
        service_fn(move |request| {
            assert_eq!(request, Request::MempoolIds);
            let ids = answer.clone();
            async move { Ok::<_, std::convert::Infallible>(Response::TransactionIds(ids)) }
        }),
    );
    let mut node = Node::new();
    let (client, _server_side) = join(&mut node, &mut server).await;
    let answer = within(BOUND, client.unwrap().ask(Request::MempoolIds)).await;
    assert_eq!(answer, Ok(Response::TransactionIds(ids)));
}

//! The set as a service, over stand-ins for peers.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Fake, Net, chain, serve, settle, soon};
use savanna_net::PeerId;
use savanna_peer::{CloseReason, Gossip, LocalReason, Offence, Request, RequestKind, Response};
use savanna_peerset::{CallOutcome, Event, Fetched, RequestError};
use savanna_wire::{Block, BlockHash};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

const TICK: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn the_network_is_a_service() {
    let mut net = Net::new();
    let chain = chain(40, 500);
    for id in 0..3 {
        net.add(&Fake::serving(id, &chain, TICK)).await;
    }
    let pong = net.set.ready().await.unwrap().call(Request::Ping).await.unwrap();
    assert!(matches!(pong, Response::Pong(_)));
    let hashes: Vec<_> = chain.iter().map(Block::hash).collect();
    let unknown = BlockHash([9; 32]);
    let wanted = [&hashes[..], &[unknown]].concat();
    let Response::Blocks(list) = net.set.clone().oneshot(Request::Blocks(wanted)).await.unwrap() else { panic!() };
    assert_eq!(list.found, **chain);
    assert_eq!(list.missing, [(unknown, savanna_peer::Missing::NotFound)]);
    let answers = net.set.distinct(2).oneshot(Request::Ping).await.unwrap();
    assert_eq!(answers.iter().map(|answer| answer.peer).collect::<BTreeSet<_>>().len(), 2);
    let tx = net.set.clone().oneshot(Request::AdvertiseBlock(unknown)).await;
    assert_eq!(tx, Ok(Response::Nil));
}

#[tokio::test(start_paused = true)]
async fn f8_bodies_are_fetched_in_parallel_from_many_peers() {
    let net = Net::new();
    let chain = chain(400, 2_000);
    let peers: Vec<_> = (0..8).map(|id| Fake::serving(id, &chain, TICK)).collect();
    for peer in &peers {
        net.add(peer).await;
    }
    let find = Request::FindBlocks { locator: vec![BlockHash::ZERO], stop: None };
    let Response::BlockHashes(hashes) = net.set.clone().oneshot(find).await.unwrap() else { panic!() };
    assert_eq!(hashes.len(), 400);
    let begin = Instant::now();
    let mut stream = net.set.blocks(hashes).await.unwrap();
    let mut from = BTreeMap::<PeerId, usize>::new();
    let mut came = BTreeSet::new();
    while let Some(Fetched { hash, result }) = soon(stream.next()).await {
        let (peer, block) = result.unwrap();
        assert_eq!(block.hash(), hash);
        assert!(came.insert(hash), "told twice");
        *from.entry(peer).or_default() += 1;
    }
    assert_eq!(came.len(), 400);
    // One by one it would take 400 delays, and one peer with its widest window takes 9.
    assert!(begin.elapsed() <= 6 * TICK, "{:?}", begin.elapsed());
    assert!(from.len() == 8 && from.values().all(|count| *count >= 16), "{from:?}");
    let counts = *net.set.requests().borrow();
    assert_eq!((counts.sent(RequestKind::FindBlocks), counts.sent(RequestKind::FindHeaders)), (1, 0));
    assert_eq!(counts.ended(RequestKind::Blocks, CallOutcome::Answered), counts.sent(RequestKind::Blocks));
}

#[tokio::test(start_paused = true)]
async fn f14_the_counts_are_one_snapshot_and_follow_the_peers() {
    let net = Net::new();
    let counts = net.set.peers();
    let requests = net.set.requests();
    let (quiet, busy) = (Fake::silent(1), Fake::silent(2));
    net.add(&quiet).await;
    net.add(&busy).await;
    let now = *counts.borrow();
    assert_eq!((now.ready, now.unready, now.total()), (2, 0, 2));
    let asked = net.set.clone().oneshot(Request::MempoolIds);
    let asked = tokio::spawn(asked);
    settle().await;
    let now = *counts.borrow();
    assert_eq!((now.ready, now.unready, now.total()), (1, 1, 2));
    assert_eq!(requests.borrow().in_flight(RequestKind::MempoolIds), 1);
    asked.abort();
    settle().await;
    assert_eq!(counts.borrow().ready, 2);
    assert_eq!(requests.borrow().ended(RequestKind::MempoolIds, CallOutcome::Cancelled), 1);
    quiet.hang_up();
    settle().await;
    assert_eq!(counts.borrow().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn events_tell_who_came_what_they_said_and_why_they_went() {
    let net = Net::new();
    let mut events = net.set.events();
    let peer = Fake::silent(1);
    net.add(&peer).await;
    net.gossip.send((PeerId(1), Gossip::Block(BlockHash([3; 32])))).await.unwrap();
    settle().await;
    peer.hang_up();
    assert!(matches!(soon(events.next()).await, Some(Event::Joined { peer: PeerId(1), .. })));
    assert!(matches!(soon(events.next()).await, Some(Event::Gossip { gossip: Gossip::Block(_), .. })));
    let Some(Event::Left { reason, .. }) = soon(events.next()).await else { panic!() };
    assert_eq!(reason, CloseReason::ClosedByPeer);

    // Who does not listen loses the oldest, and is told how many.
    for _ in 0..3_000 {
        net.gossip.send((PeerId(1), Gossip::Block(BlockHash([3; 32])))).await.unwrap();
    }
    settle().await;
    let Some(Event::Lagged(lost)) = soon(events.next()).await else { panic!() };
    assert_eq!(lost, 3_000 - 1_024);
    assert!(matches!(soon(events.next()).await, Some(Event::Gossip { .. })));
    drop(net);
    while soon(events.next()).await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn who_announced_a_block_is_asked_for_it() {
    let net = Net::new();
    let chain = chain(20, 500);
    let peers: Vec<_> = (0..10).map(|id| Fake::serving(id, &chain, TICK)).collect();
    for peer in &peers {
        net.add(peer).await;
    }
    for (at, block) in chain.iter().enumerate() {
        let announcer = &peers[at % 10];
        let before = announcer.asked();
        net.gossip.send((PeerId(at as u64 % 10), Gossip::Block(block.hash()))).await.unwrap();
        settle().await;
        let found = net.set.clone().oneshot(Request::Blocks(vec![block.hash()])).await;
        assert!(matches!(found, Ok(Response::Blocks(list)) if list.found == [block.clone()]));
        assert_eq!(announcer.asked(), before + 1, "block {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn adversary_22_a_staller_delays_a_list_by_seconds_and_is_passed_by() {
    let net = Net::new();
    let chain = chain(300, 2_000);
    let staller = Fake::silent(0);
    net.add(&staller).await;
    for id in 1..4 {
        net.add(&Fake::serving(id, &chain, TICK)).await;
    }
    let begin = Instant::now();
    let hashes = chain.iter().map(Block::hash).collect();
    let Response::Blocks(list) = soon(net.set.clone().oneshot(Request::Blocks(hashes))).await.unwrap() else {
        panic!()
    };
    assert_eq!(list.found, **chain);
    assert!(staller.asked() > 0 && begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    settle().await;
    assert_eq!(staller.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_report_closes_the_one_connection_and_touches_no_other() {
    let net = Net::new();
    let chain = chain(60, 500);
    let peers: Vec<_> = (0..4).map(|id| Fake::serving(id, &chain, TICK)).collect();
    for peer in &peers {
        net.add(peer).await;
    }
    let mut stream = net.set.blocks(chain.iter().map(Block::hash).collect()).await.unwrap();
    let first = soon(stream.next()).await.unwrap();
    let (liar, _) = first.result.unwrap();
    net.set.report(liar, Offence::InvalidAnswer);
    let mut count = 1;
    while let Some(fetched) = soon(stream.next()).await {
        assert!(fetched.result.is_ok());
        count += 1;
    }
    assert_eq!(count, 60);
    for peer in &peers {
        let is_blamed = peer.reason() == Some(CloseReason::Misbehaved(Offence::InvalidAnswer));
        assert_eq!(is_blamed, savanna_peerset::Peer::id(peer) == liar);
    }
    settle().await;
    assert_eq!(net.set.peers().borrow().total(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_waits_for_its_reader() {
    let net = Net::new();
    let chain = chain(80, 1_900_000);
    let served = Arc::new(AtomicUsize::new(0));
    for id in 0..4 {
        let (chain, served) = (Arc::clone(&chain), Arc::clone(&served));
        let serving = move |request| {
            let response = serve(&chain, request);
            let Response::Blocks(list) = &response else { panic!("{response:?}") };
            served.fetch_add(list.found.len(), Ordering::Relaxed);
            ready(Ok(response))
        };
        net.add(&Fake::new(id, serving)).await;
    }
    let mut stream = net.set.blocks(chain.iter().map(Block::hash).collect()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    // As many as fit have come, and no more.
    let served = served.load(Ordering::Relaxed) as u64 * 1_900_000;
    let limit = savanna_peerset::Config::PUBLIC.streamed_bytes;
    assert!((limit / 2..=limit).contains(&served), "{served}");
    let mut count = 0;
    while let Some(fetched) = soon(stream.next()).await {
        assert_eq!(fetched.result.err(), None, "after {count} blocks");
        count += 1;
    }
    assert_eq!(count, 80);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_callers_wait_and_each_ends_once() {
    let mut net = Net::new();
    let chain = chain(1, 500);
    net.add(&Fake::serving(1, &chain, TICK)).await;
    let answers: Vec<_> = (0..3_000).map(|_| net.set.call(Request::Ping)).collect();
    std::future::poll_fn(|cx| net.set.poll_ready(cx).map(|ready| assert!(ready.is_ok()))).await;
    let (mut answered, mut refused) = (0, 0);
    for answer in answers {
        match soon(answer).await {
            Ok(Response::Pong(_)) => answered += 1,
            Err(RequestError::Overloaded) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answered + refused, 3_000);
    assert!(answered >= 1_024, "{answered}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_dropped_futures_and_sets_leave_nothing_behind() {
    let silent = Fake::silent(1);
    let net = Net::new();
    net.add(&silent).await;
    for _ in 0..1_000 {
        let set = net.set.clone();
        let pending = [set.clone().oneshot(Request::Ping), set.clone().oneshot(Request::Peers)].map(tokio::spawn);
        let mut stream = set.blocks(vec![BlockHash([1; 32]), BlockHash([2; 32])]).await.unwrap();
        assert!(futures_util::FutureExt::now_or_never(stream.next()).is_none());
        tokio::task::yield_now().await;
        pending.iter().for_each(tokio::task::JoinHandle::abort);
    }
    settle().await;
    assert!(silent.asked() >= 1_000);
    assert_eq!((silent.waiting(), net.tasks.len()), (0, 1));
    assert_eq!(net.set.peers().borrow().ready, 1);

    let tasks = net.tasks;
    drop(net.set);
    settle().await;
    assert!(tasks.is_empty(), "the set outlives its handles");
    assert_eq!(silent.copies(), 1);

    for round in 0..1_000 {
        let net = Net::new();
        let peer = Fake::serving(round, &chain(1, 500), Duration::ZERO);
        net.set.add(peer.clone()).await;
        soon(net.set.clone().oneshot(Request::Ping)).await.unwrap();
        let (tasks, future) = (net.tasks, net.set.clone().oneshot(Request::Ping));
        drop(net.set);
        if round % 2 == 0 {
            // An unfinished future keeps the set until it has its answer.
            assert!(soon(future).await.is_ok());
        } else {
            drop(future);
        }
        settle().await;
        assert!(tasks.is_empty());
        assert_eq!((peer.waiting(), peer.copies()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_answers_those_who_wait() {
    let net = Net::new();
    net.add(&Fake::new(1, |_| pending())).await;
    let waiting = tokio::spawn(net.set.clone().oneshot(Request::Ping));
    let mut stream = net.set.blocks(vec![BlockHash([1; 32])]).await.unwrap();
    settle().await;
    assert_eq!(net.tasks.shutdown(TICK).await, 0);
    let ended = RequestError::Closed(CloseReason::Local(LocalReason::Shutdown));
    assert_eq!(soon(waiting).await.unwrap(), Err(ended.clone()));
    assert_eq!(soon(stream.next()).await, None);
    assert_eq!(soon(net.set.clone().oneshot(Request::Ping)).await, Err(ended.clone()));
    assert_eq!(net.set.blocks(Vec::new()).await.unwrap_err(), ended);
    assert!(soon(net.set.events().next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_whether_it_is_whole_or_the_set_has_ended() {
    let net = Net::new();
    let chain = chain(300, 500);
    net.add(&Fake::serving(1, &chain, TICK)).await;
    let mut hashes: Vec<_> = chain.iter().map(Block::hash).collect();
    hashes.push(hashes[0]);
    let mut whole = net.set.blocks(hashes.clone()).await.unwrap();
    while soon(whole.next()).await.is_some() {}
    assert!(whole.is_whole());

    let mut cut = net.set.blocks(hashes).await.unwrap();
    assert!(soon(cut.next()).await.is_some());
    let Net { set, tasks, .. } = net;
    tasks.shutdown(Duration::from_secs(1)).await;
    while soon(cut.next()).await.is_some() {}
    assert!(!cut.is_whole());
    drop(set);
}

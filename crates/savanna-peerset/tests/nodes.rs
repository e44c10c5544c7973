//! The set over real connections: nodes joined by pipes, and by sockets on loopback.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod common;

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use common::{Net, SEED, chain, serve, settle, soon};
use savanna_net::{
    Client, Clock, Connector, Direction, Handshake, HandshakeRequest, InboundService, Listener, Network, Nil,
    NodeConfig, Route, SlotLimits, Slots, Tasks,
};
use savanna_peer::{CloseReason, LocalReason, Missing, Partial, Request, Response};
use savanna_peerset::{Config, Dialer, Event, Fetched, PeerSet, Upkeep};
use savanna_wire::{Block, BlockHash, Services, TransactionId, TxId};
use tokio::io::duplex;
use tokio::time::Instant;
use tower::load_shed::LoadShedLayer;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};

fn serving() -> NodeConfig {
    let mut config = NodeConfig::new(Network::Regtest);
    config.session.services = Services::NODE_NETWORK;
    config
}

fn node<S: InboundService>(service: S, tasks: &Tasks) -> Handshake<S> {
    Handshake::new(serving(), service, Clock::start(), tasks.spawner())
}

/// Joins two nodes by a pipe; returns the dialler's client and the other's.
async fn join<A: InboundService, B: InboundService>(
    dialler: &mut Handshake<A>,
    dialled: &mut Handshake<B>,
) -> (Client, Client) {
    let (ours, theirs) = duplex(64 * 1024);
    let request =
        |stream, direction| HandshakeRequest { stream, direction, peer: None, route: Route::Direct, slot: None };
    let outbound = dialler.call(request(ours, Direction::Outbound));
    let inbound = dialled.call(request(theirs, Direction::Inbound));
    let (outbound, inbound) = soon(async { tokio::join!(outbound, inbound) }).await;
    (outbound.unwrap(), inbound.unwrap())
}

/// A service that takes no more than two questions at a time, and never ends those for transactions.
fn limited(chain: &Arc<Vec<Block>>) -> impl InboundService + use<> {
    let chain = Arc::clone(chain);
    let service = service_fn(move |request: Request| {
        let response = serve(&chain, request.clone());
        async move {
            if matches!(request, Request::Transactions(_)) {
                std::future::pending::<()>().await;
            }
            Ok::<_, BoxError>(response)
        }
    });
    let limit = tower::limit::GlobalConcurrencyLimitLayer::new(2);
    LoadShedLayer::new().layer(limit.layer(service))
}

#[tokio::test(start_paused = true)]
async fn adversary_18_who_overloads_the_inbound_service_loses_its_own_connection_alone() {
    let net = Net::new();
    let chain = chain(30, 500);
    let tasks = Tasks::new();
    let mut ours = node(limited(&chain), &tasks);
    let mut events = net.set.events();
    let mut honest = node(
        service_fn({
            let chain = Arc::clone(&chain);
            move |request| ready(Ok::<_, Infallible>(serve(&chain, request)))
        }),
        &tasks,
    );
    let mut greedy = node(Nil, &tasks);

    let (asks_us, our_side) = join(&mut honest, &mut ours).await;
    net.set.add(our_side).await;
    let ask_us = || asks_us.ask(Request::Blocks(vec![chain[5].hash()]));
    let begun = Instant::now();
    for round in 0..3_u8 {
        let (client, our_side) = join(&mut greedy, &mut ours).await;
        net.set.add(our_side).await;
        // As much as the service takes at a time: nobody else is answered.
        let wanted = |each| Request::Transactions(vec![TransactionId::Legacy(TxId([each; 32]))]);
        let _flood = [0, 1].map(|each| client.ask(wanted(each)));
        settle().await;
        let answer = soon(ask_us()).await;
        let nothing =
            Response::Blocks(Partial { found: Vec::new(), missing: vec![(chain[5].hash(), Missing::Dropped)] });
        assert_eq!(answer, Ok(nothing), "round {round}");
        assert!(!client.is_closed() && !asks_us.is_closed());
        // It asks on, and is gone: then there is room again.
        let _more = client.ask(wanted(2));
        assert_eq!(soon(client.closed()).await, CloseReason::ClosedByPeer);
        let answer = soon(ask_us()).await;
        assert_eq!(answer, Ok(Response::Blocks(Partial::complete(vec![chain[5].clone()]))), "round {round}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "no deadline had to end the flood");
    let mut reasons = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(1), events.next()).await {
        if let Event::Left { reason, .. } = event {
            reasons.push(reason);
        }
    }
    assert_eq!(reasons, [(); 3].map(|()| CloseReason::Local(LocalReason::Overloaded)));
    let found = soon(net.set.clone().oneshot(Request::Blocks(vec![chain[5].hash()]))).await;
    assert!(matches!(found, Ok(Response::Blocks(list)) if list.found == [chain[5].clone()]));
    assert!(!asks_us.is_closed());
}

#[tokio::test]
async fn f8_a_chain_comes_from_many_nodes_over_loopback() {
    let chain = chain(600, 4_000);
    let tasks = Tasks::new();
    let slots = Slots::new(SlotLimits::LOCAL);
    let mut addresses = Vec::new();
    for _ in 0..4 {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), slots.clone()).await.unwrap();
        addresses.push(listener.local_addr().unwrap().into());
        let chain = Arc::clone(&chain);
        let mut serves = node(service_fn(move |request| ready(Ok::<_, Infallible>(serve(&chain, request)))), &tasks);
        let (set, peers) = (Tasks::new(), tasks.spawner());
        peers.spawn(async move {
            let _set = set;
            let mut held = Vec::new();
            loop {
                let accepted = listener.accept().await;
                held.push(serves.call(HandshakeRequest::inbound(accepted)).await);
            }
        });
    }

    let (ours, clock) = (Tasks::new(), Clock::start());
    let handshake = Handshake::new(NodeConfig::new(Network::Regtest), Nil, clock, ours.spawner());
    let set = PeerSet::spawn(Config::PUBLIC, SEED, None, clock, &ours.spawner());
    let plan = Upkeep::new(addresses, 4, SEED);
    set.keep_connected(plan, Dialer::new(Connector::direct(), handshake, slots.clone()), clock, &ours.spawner());
    soon(set.peers().wait_for(|counts| counts.total() == 4)).await.unwrap();
    assert_eq!(slots.taken(Direction::Outbound), 4);

    let mut locator = vec![BlockHash::ZERO];
    let mut hashes = Vec::new();
    while hashes.len() < 600 {
        let find = Request::FindBlocks { locator: locator.clone(), stop: None };
        let Response::BlockHashes(found) = soon(set.clone().oneshot(find)).await.unwrap() else { panic!() };
        locator = vec![*found.last().unwrap()];
        hashes.extend(found);
    }
    let mut stream = set.blocks(hashes).await.unwrap();
    let mut peers = std::collections::BTreeSet::new();
    let mut count = 0;
    while let Some(Fetched { result, .. }) = soon(stream.next()).await {
        peers.insert(result.unwrap().0);
        count += 1;
    }
    assert_eq!((count, peers.len()), (600, 4));

    drop((stream, set));
    soon(async {
        while !ours.is_empty() || slots.taken(Direction::Outbound) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

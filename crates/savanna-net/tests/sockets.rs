//! Real sockets on loopback, under the real clock.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use savanna_net::{
    Accepted, Client, Connector, DialError, Direction, HandshakeRequest, Listener, PeerAddr, Proxy, ProxyError,
    Request, Response, Route, SlotLimits, Slots, connect,
};
use savanna_peer::CloseReason;
use savanna_wire::{Host, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

use common::{Node, Puppet, block, within};

const BOUND: Duration = Duration::from_secs(20);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn listen(limits: SlotLimits) -> (Listener, Slots, SocketAddr) {
    let slots = Slots::new(limits);
    let listener = Listener::bind(ANY, slots.clone()).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, slots, address)
}

async fn accept(node: &mut Node, listener: &Listener) -> Client {
    let accepted = listener.accept().await;
    node.handshake.call(HandshakeRequest::inbound(accepted)).await.unwrap()
}

#[tokio::test]
async fn f6_dialling_and_shaking_hands_are_two_services() {
    let (listener, slots, address) = listen(SlotLimits::LOCAL).await;
    let (mut dialled, dialler) = (Node::new(), Node::new());
    let dial = async {
        let stream = Connector::direct().oneshot(address.into()).await.unwrap();
        assert!(stream.stream.nodelay().unwrap());
        assert_eq!((stream.peer, stream.route), (address.into(), Route::Direct));
        let slot = slots.outbound().unwrap();
        dialler.handshake.clone().oneshot(HandshakeRequest::outbound(stream, Some(slot))).await.unwrap()
    };
    let (outbound, inbound) = within(BOUND, async { tokio::join!(dial, accept(&mut dialled, &listener)) }).await;
    assert_eq!(outbound.peer_addr(), Some(address.into()));
    assert_eq!(outbound.info().direction, Direction::Outbound);
    assert_eq!(inbound.info().direction, Direction::Inbound);
    assert_eq!((slots.taken(Direction::Outbound), slots.taken(Direction::Inbound)), (1, 1));
    for client in [&outbound, &inbound] {
        assert!(matches!(within(BOUND, client.ask(Request::Ping)).await, Ok(Response::Pong(_))));
    }
    drop(outbound);
    assert_eq!(within(BOUND, inbound.closed()).await, CloseReason::ClosedByPeer);
    drop(inbound);
    within(BOUND, async {
        while slots.taken(Direction::Outbound) + slots.taken(Direction::Inbound) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Zebra's second small write waits for the acknowledgement of its first.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_that_gathers_small_writes_is_acknowledged_while_it_owes_more() {
    const ROUNDS: usize = 31;
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let blocks: Vec<_> = (100..116).map(block).collect();
    let hashes: Vec<_> = blocks.iter().map(savanna_wire::Block::hash).collect();
    let peer = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(false).unwrap();
        let mut peer = Puppet::new(stream);
        peer.accept().await;
        while let Some(message) = peer.next().await {
            match message {
                Message::Ping(nonce) => peer.send(Message::Pong(nonce)).await,
                Message::GetData(_) => {
                    for block in &blocks {
                        peer.send(Message::Block(block.clone())).await;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let (client, tasks) = within(BOUND, connect(savanna_net::Network::Regtest, address)).await.unwrap();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let answer = within(BOUND, client.ask(Request::Blocks(hashes.clone()))).await;
        assert!(matches!(answer, Ok(Response::Blocks(answer)) if answer.found.len() == hashes.len()));
        rounds.push(begun.elapsed());
    }
    rounds.sort();
    // The system takes 40 ms for an acknowledgement that nobody presses for.
    assert!(rounds[ROUNDS / 2] < Duration::from_millis(35), "{rounds:?}");
    drop(client);
    within(BOUND, tasks.shutdown(BOUND)).await;
    peer.await.unwrap();
}

#[tokio::test]
async fn one_call_connects() {
    let (listener, _, address) = listen(SlotLimits::LOCAL).await;
    let mut dialled = Node::new();
    let (connected, _inbound) = within(BOUND, async {
        tokio::join!(connect(savanna_net::Network::Regtest, address), accept(&mut dialled, &listener))
    })
    .await;
    let (client, tasks) = connected.unwrap();
    assert!(matches!(within(BOUND, client.ask(Request::Ping)).await, Ok(Response::Pong(_))));
    assert_eq!(within(BOUND, tasks.shutdown(BOUND)).await, 0);
}

#[tokio::test]
async fn a_reset_is_the_peers_end() {
    let (listener, _, address) = listen(SlotLimits::LOCAL).await;
    let mut dialled = Node::new();
    let raw = TcpStream::connect(address).await.unwrap();
    let accepted = within(BOUND, listener.accept()).await;
    let handshake = dialled.handshake.call(HandshakeRequest::inbound(accepted));
    raw.set_zero_linger().unwrap();
    drop(raw);
    assert_eq!(within(BOUND, handshake).await.unwrap_err().reason, CloseReason::ClosedByPeer);
}

#[tokio::test]
async fn dials_that_lead_nowhere_say_why() {
    let gone = TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
    let refused = within(BOUND, Connector::direct().oneshot(gone.into())).await;
    assert!(matches!(refused, Err(DialError::Connect(_))));

    let onion = PeerAddr { host: Host::TorV3([1; 32]), port: 8233 };
    let alone = within(BOUND, Connector::direct().oneshot(onion)).await;
    assert!(matches!(alone, Err(DialError::NeedsProxy)));

    let unreachable = Connector::proxied(Proxy { address: gone, isolate: false });
    let no_proxy = within(BOUND, unreachable.oneshot(onion)).await;
    assert!(matches!(no_proxy, Err(DialError::Proxy(ProxyError::Unreachable(_)))));

    let silent = TcpListener::bind(ANY).await.unwrap();
    let proxy = Proxy { address: silent.local_addr().unwrap(), isolate: false };
    let deadline = Duration::from_millis(50);
    let late = within(BOUND, Connector::proxied(proxy).with_deadline(deadline).oneshot(onion)).await;
    assert!(matches!(late, Err(DialError::TimedOut(after)) if after == deadline));
}

/// Serves one client as a SOCKS5 proxy that wants a user name, and returns the name and the host that were asked for.
async fn serve_socks(proxy: TcpListener, upstream: SocketAddr) -> (Vec<u8>, Vec<u8>) {
    let (mut client, _) = proxy.accept().await.unwrap();
    let mut greeting = [0; 3];
    client.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 1, 2]);
    client.write_all(&[5, 2]).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), 1);
    let user = sized(&mut client).await;
    assert_eq!(sized(&mut client).await, user);
    client.write_all(&[1, 0]).await.unwrap();
    let mut request = [0; 4];
    client.read_exact(&mut request).await.unwrap();
    assert_eq!(request, [5, 1, 0, 3]);
    let host = sized(&mut client).await;
    assert_eq!(client.read_u16().await.unwrap(), 8233);
    let mut server = TcpStream::connect(upstream).await.unwrap();
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1]).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
    (user, host)
}

async fn sized(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u8().await.unwrap();
    let mut bytes = vec![0; length.into()];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn an_onion_is_reached_through_a_proxy() {
    let (listener, _, address) = listen(SlotLimits::LOCAL).await;
    let proxy = TcpListener::bind(ANY).await.unwrap();
    let connector = Connector::proxied(Proxy { address: proxy.local_addr().unwrap(), isolate: true });
    let mut serving = JoinSet::new();
    serving.spawn(serve_socks(proxy, address));

    let (mut dialled, mut dialler) = (Node::new(), Node::new());
    let onion = PeerAddr { host: Host::TorV3([7; 32]), port: 8233 };
    let dial = async {
        let stream = connector.oneshot(onion).await.unwrap();
        assert_eq!((stream.peer, stream.route), (onion, Route::Proxied));
        dialler.handshake.call(HandshakeRequest::outbound(stream, None)).await.unwrap()
    };
    let (client, inbound) = within(BOUND, async { tokio::join!(dial, accept(&mut dialled, &listener)) }).await;
    assert!(matches!(within(BOUND, client.ask(Request::Ping)).await, Ok(Response::Pong(_))));
    drop((client, inbound));
    let (user, host) = within(BOUND, serving.join_next()).await.unwrap().unwrap();
    assert_eq!((user.len(), host.len()), (16, 62));
    assert!(host.ends_with(b".onion"));
}

#[tokio::test]
async fn adversary_26_a_flood_of_connections_is_shed_and_the_old_stay() {
    let limits = SlotLimits { inbound: 8, ..SlotLimits::LOCAL };
    let (listener, slots, address) = listen(limits).await;
    let (mut dialled, mut dialler) = (Node::new(), Node::new());
    let outbound_slot = slots.outbound().unwrap();
    let dial = async {
        let stream = Connector::direct().oneshot(address.into()).await.unwrap();
        dialler.handshake.call(HandshakeRequest::outbound(stream, Some(outbound_slot))).await.unwrap()
    };
    let (old, _inbound) = within(BOUND, async { tokio::join!(dial, accept(&mut dialled, &listener)) }).await;

    let flood = async {
        let mut shed = 0;
        let mut held = Vec::new();
        for round in 0..1000 {
            // A connection that is shed may be reset before connecting to it has returned.
            match TcpStream::connect(address).await {
                Ok(stream) if round < 7 => held.push(stream),
                Ok(mut stream) => shed += u32::from(within(BOUND, stream.read_u8()).await.is_err()),
                Err(_) => shed += 1,
            }
        }
        (shed, held)
    };
    let admit = async {
        let mut admitted: Vec<Accepted> = Vec::new();
        loop {
            admitted.push(listener.accept().await);
            assert!(admitted.len() <= 7, "more than there are slots");
        }
    };
    let (shed, _held) = within(BOUND, async {
        tokio::select! {
            counted = flood => counted,
            () = admit => unreachable!(),
        }
    })
    .await;
    assert_eq!(shed, 993);
    assert_eq!(slots.taken(Direction::Outbound), 1);
    assert!(matches!(within(BOUND, old.ask(Request::Ping)).await, Ok(Response::Pong(_))));
}

//! A node that many dial, on sockets: each from a loopback address of its own.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::cast_possible_truncation, reason = "a test may")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use savanna::book::{Prefix, UnixTime};
use savanna::net::{Clock, Connector, Handshake, HandshakeRequest, NodeConfig};
use savanna::tokio::io::AsyncReadExt;
use savanna::tokio::net::{TcpSocket, TcpStream};
use savanna::tokio::time::timeout;
use savanna::tower::{Service, ServiceExt};
use savanna::wire::Host;
use savanna::{
    Client, CloseReason, Direction, Event, InboundFilter, LocalReason, Network, Nil, Node, Request, Response,
    SlotLimits, Tasks, tokio,
};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// More peers than can be protected, so that somebody always has to go, and beside them room to shake hands in.
const SLOTS: usize = 32;
const PLACES: usize = 28;

/// Longer than anything takes that is awaited here.
async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), awaited).await.expect("it takes too long")
}

/// An address of a /16 of its own.
fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, (number % 250) as u8 + 1, (number / 250) as u8, 1)
}

/// Those who dial, and what they run.
struct Crowd {
    handshake: Handshake<Nil>,
    _tasks: Tasks,
}

impl Crowd {
    fn new() -> Self {
        let tasks = Tasks::new();
        let mut config = NodeConfig::new(Network::Regtest);
        config.session.required_services = savanna::Services::NONE;
        Self { handshake: Handshake::new(config, Nil, Clock::start(), tasks.spawner()), _tasks: tasks }
    }

    async fn dial(&mut self, from: Ipv4Addr, address: SocketAddr) -> Option<Client> {
        let dialed = Connector::direct().dialing_from(from.into()).oneshot(address.into()).await.ok()?;
        self.handshake.call(HandshakeRequest::outbound(dialed, None)).await.ok()
    }
}

#[tokio::test]
async fn adversary_24_a_ban_closes_the_connections_that_are_there() {
    let ours = Node::builder(Network::Regtest).outbound(0).serve(Nil).listen(LOOPBACK).start().await.unwrap();
    let (address, mut events, mut crowd) = (ours.listening()[0], ours.events(), Crowd::new());
    let enemy = crowd.dial(source(1), address).await.unwrap();
    let friend = crowd.dial(source(2), address).await.unwrap();
    soon(ours.connected(2)).await;
    let ban = Prefix::of(IpAddr::V4(source(1)).into());
    ours.book().with(|book| book.penalties_mut().ban(ban, UnixTime(u32::MAX), UnixTime(1)).unwrap());
    assert_eq!(soon(enemy.closed()).await, CloseReason::ClosedByPeer);
    let reason = soon(async {
        loop {
            if let Some(Event::Left { reason, .. }) = events.next().await {
                break reason;
            }
        }
    });
    assert_eq!(reason.await, CloseReason::Local(LocalReason::Barred));
    assert!(matches!(soon(friend.ask(Request::Ping)).await, Ok(Response::Pong(_))));
    assert_eq!(ours.counts().total(), 1);
}

#[tokio::test]
async fn a_node_dials_from_the_address_that_it_is_told() {
    let ours = Node::builder(Network::Regtest).outbound(0).serve(Nil).listen(LOOPBACK).start().await.unwrap();
    let mut events = ours.events();
    let from = Ipv4Addr::new(127, 77, 7, 7);
    let theirs = Node::builder(Network::Regtest).peer(ours.listening()[0]).dial_from(from.into());
    let _theirs = theirs.start().await.unwrap();
    let Some(Event::Joined { address: Some(address), .. }) = soon(events.next()).await else { panic!() };
    assert_eq!(address.host, Host::V4(from));
}

#[tokio::test]
async fn adversary_26_a_newcomer_takes_the_place_of_one_that_nothing_protects() {
    let limits = SlotLimits { inbound: SLOTS, ..SlotLimits::LOCAL };
    let ours = Node::builder(Network::Regtest).outbound(0).serve(Nil).listen(LOOPBACK).slots(limits);
    let ours = ours.start().await.unwrap();
    let (address, mut events, mut crowd) = (ours.listening()[0], ours.events(), Crowd::new());
    let mut clients = Vec::new();
    for number in 0..10 * PLACES {
        clients.push(soon(crowd.dial(source(number), address)).await.unwrap());
    }
    // Everyone who joined beyond the places cost another its own, one for one, and at no moment there were more.
    let (mut joined, mut evicted) = (0, 0);
    while joined < 10 * PLACES || evicted < 9 * PLACES {
        match soon(events.next()).await.unwrap() {
            Event::Joined { info, .. } => {
                assert_eq!(info.direction, Direction::Inbound);
                joined += 1;
            }
            Event::Left { reason, .. } => {
                assert_eq!(reason, CloseReason::Local(LocalReason::Evicted));
                evicted += 1;
            }
            other => panic!("{other:?}"),
        }
        assert!(ours.counts().total() <= PLACES);
    }
    assert_eq!((joined, evicted, ours.counts().total()), (10 * PLACES, 9 * PLACES, PLACES));
    for client in clients.iter().filter(|client| client.is_closed()) {
        assert_eq!(client.closed().await, CloseReason::ClosedByPeer);
    }
    soon(async {
        while clients.iter().filter(|client| !client.is_closed()).count() > PLACES {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(matches!(soon(ours.ask(Request::Ping)).await, Ok(Response::Pong(_))));
}

#[tokio::test]
async fn adversary_26_who_only_connects_pushes_nobody_out() {
    let limits = SlotLimits { inbound: SLOTS, ..SlotLimits::LOCAL };
    let ours = Node::builder(Network::Regtest).outbound(0).serve(Nil).listen(LOOPBACK).slots(limits);
    let ours = ours.start().await.unwrap();
    let (address, mut crowd, mut clients) = (ours.listening()[0], Crowd::new(), Vec::new());
    for number in 0..PLACES {
        clients.push(soon(crowd.dial(source(number), address)).await.unwrap());
    }
    soon(ours.connected(PLACES)).await;
    let mut held = Vec::new();
    for number in 0..10_000_usize {
        let stream = connect_from(source(PLACES + number), address).await;
        if held.len() < SLOTS - PLACES {
            // There is room to shake hands in, for a while.
            held.push(stream.unwrap());
        } else if let Ok(mut stream) = stream {
            assert!(soon(stream.read_u8()).await.is_err());
        }
    }
    let arrivals = ours.arrivals();
    assert_eq!(arrivals.admitted + arrivals.no_slot, 10_000 + PLACES as u64);
    assert_eq!(ours.counts().total(), PLACES);
    assert!(clients.iter().all(|client| !client.is_closed()));
}

#[tokio::test]
async fn adversary_26_who_fills_the_lobby_keeps_out_himself() {
    let limits = SlotLimits { inbound: SLOTS, ..SlotLimits::LOCAL };
    let ours = Node::builder(Network::Regtest).outbound(0).serve(Nil).listen(LOOPBACK).slots(limits);
    let ours = ours.start().await.unwrap();
    let (address, mut crowd, mut clients) = (ours.listening()[0], Crowd::new(), Vec::new());
    for number in 0..PLACES {
        clients.push(soon(crowd.dial(source(number), address)).await.unwrap());
    }
    soon(ours.connected(PLACES)).await;
    let mut silent = Vec::new();
    for number in 0..100 {
        silent.push(connect_from(Ipv4Addr::new(127, 200, number, 1), address).await);
    }
    // A newcomer of another range finds room to shake hands in, and then a place.
    let mut events = ours.events();
    let _newcomer = soon(crowd.dial(source(PLACES), address)).await.unwrap();
    let joined = soon(async {
        loop {
            if let Some(Event::Joined { address, .. }) = events.next().await {
                break address.unwrap();
            }
        }
    })
    .await;
    assert_eq!(joined.host, Host::V4(source(PLACES)));
    assert_eq!(ours.counts().total(), PLACES);
}

async fn connect_from(from: Ipv4Addr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(address).await
}

#[tokio::test]
async fn adversary_24_who_is_banned_comes_in_by_no_listener() {
    let banned = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[1] == 66);
    let ours = Node::builder(Network::Regtest).outbound(0).serve(Nil).listen(LOOPBACK).listen(LOOPBACK);
    let ours = ours.inbound_filter(InboundFilter::new(banned)).start().await.unwrap();
    let mut crowd = Crowd::new();
    for &address in ours.listening() {
        assert!(soon(crowd.dial(Ipv4Addr::new(127, 66, 0, 1), address)).await.is_none());
    }
    let _client = soon(crowd.dial(Ipv4Addr::new(127, 67, 0, 1), ours.listening()[1])).await.unwrap();
    assert_eq!(soon(ours.connected(1)).await.total(), 1);
}

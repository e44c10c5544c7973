//! Who may come in, on sockets: loopback has as many addresses as are needed.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may")]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use savanna_net::{
    AcceptRates, Accepted, Connector, DialError, Dialed, Direction, Door, InboundFilter, Listener, Netgroup, PeerAddr,
    SlotLimits, Slots,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), awaited).await.expect("it takes too long")
}

const fn source(b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, b, c, d))
}

async fn dial(from: IpAddr, address: SocketAddr) -> Result<Dialed, DialError> {
    soon(Connector::direct().dialing_from(from).oneshot(address.into())).await
}

/// Whether a connection was shed: reset before the dial was over, or as the first thing after.
async fn is_shed(dialed: Result<Dialed, DialError>) -> bool {
    match dialed {
        Ok(mut dialed) => soon(dialed.stream.read_u8()).await.is_err(),
        Err(DialError::Connect(_)) => true,
        Err(error) => panic!("{error}"),
    }
}

/// Listens behind a door, and hands on who comes in.
async fn listen(door: Door, tasks: &mut JoinSet<()>) -> (SocketAddr, mpsc::UnboundedReceiver<Accepted>) {
    let listener = Listener::bind(ANY, door).await.unwrap();
    let (address, (sender, accepted)) = (listener.local_addr().unwrap(), mpsc::unbounded_channel());
    tasks.spawn(async move { while sender.send(listener.accept().await).is_ok() {} });
    (address, accepted)
}

fn open() -> Slots {
    Slots::new(SlotLimits { inbound: 10_000, per_host: 10_000, per_netgroup: 10_000, ..SlotLimits::LOCAL })
}

#[tokio::test]
async fn a_dial_comes_from_the_address_that_it_is_told() {
    let mut tasks = JoinSet::new();
    let (address, mut accepted) = listen(open().into(), &mut tasks).await;
    for from in [source(0, 0, 1), source(3, 2, 1), source(255, 255, 254)] {
        let dialed = dial(from, address).await.unwrap();
        assert!(dialed.stream.nodelay().unwrap());
        assert_eq!(dialed.stream.local_addr().unwrap().ip(), from);
        assert_eq!(soon(accepted.recv()).await.unwrap().peer.host, PeerAddr::from(SocketAddr::new(from, 1)).host);
    }
    // Neither from an address that is another's, nor from the other version of IP.
    for from in [IpAddr::from([192, 0, 2, 1]), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        assert!(matches!(dial(from, address).await, Err(DialError::Connect(_))), "{from}");
    }
}

#[tokio::test]
async fn adversary_24_whoever_is_barred_finds_the_door_shut() {
    let barred = Netgroup::from(source(66, 6, 0));
    let slots = open();
    let door = Door::from(slots.clone()).with_filter(InboundFilter::new(move |ip| Netgroup::from(ip) == barred));
    let mut tasks = JoinSet::new();
    let (address, mut accepted) = listen(door.clone(), &mut tasks).await;
    for number in 1..20 {
        assert!(is_shed(dial(source(66, 6, number), address).await).await);
    }
    let _comes_in = dial(source(66, 7, 1), address).await.unwrap();
    let _place = soon(accepted.recv()).await.unwrap();
    assert_eq!(slots.taken(Direction::Inbound), 1);
    let arrivals = door.arrivals();
    assert_eq!((arrivals.admitted, arrivals.barred, arrivals.too_fast, arrivals.no_slot), (1, 19, 0, 0));
}

#[tokio::test]
async fn adversary_26_a_flooding_network_is_shed_while_others_come_in() {
    let slots = open();
    let door = Door::new(slots.clone(), AcceptRates::PUBLIC);
    let mut tasks = JoinSet::new();
    let (address, mut accepted) = listen(door.clone(), &mut tasks).await;
    let (begun, mut shed, mut held) = (Instant::now(), 0, Vec::new());
    for number in 0..1000_u32 {
        let dialed = dial(source(9, 9, (number % 250) as u8 + 1), address).await;
        if number < 4 {
            held.push((dialed.unwrap(), soon(accepted.recv()).await.unwrap()));
        } else {
            drop(dialed);
            shed += 1;
        }
        if number % 100 == 50 {
            // Of another /16 each: the flood has cost them nothing.
            let other = dial(source(10 + (number / 100) as u8, 0, 1), address).await.unwrap();
            let from = PeerAddr::from(other.stream.local_addr().unwrap());
            let place = soon(async {
                loop {
                    let place = accepted.recv().await.unwrap();
                    if place.peer == from {
                        break place;
                    }
                }
            })
            .await;
            held.push((other, place));
        }
    }
    soon(async {
        while door.arrivals().admitted + door.arrivals().too_fast < 1010 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refilled = begun.elapsed().as_secs() / 5 + 1;
    let arrivals = door.arrivals();
    assert_eq!((shed, arrivals.barred, arrivals.no_slot), (996, 0, 0));
    assert!((14..=14 + refilled).contains(&arrivals.admitted), "{arrivals:?}");
    assert_eq!(held.len(), 14);
    assert!(slots.taken(Direction::Inbound) >= 14);
}

/// What a guest is told who is let in.
const WELCOME: u8 = 7;

/// How long a guest waits to be let in or refused before it tries again: a connection can be lost on its way to the listener.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets in whom the door admits, each until it leaves, and counts who is inside.
async fn host(listener: Listener, inside: Arc<AtomicUsize>, most: Arc<AtomicUsize>) {
    let mut guests = JoinSet::new();
    loop {
        let mut accepted = listener.accept().await;
        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let inside = Arc::clone(&inside);
        guests.spawn(async move {
            if accepted.stream.write_u8(WELCOME).await.is_ok() {
                // It says nothing: this ends when it leaves.
                let _ = accepted.stream.read_u8().await;
            }
            // The place is given back behind it.
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(accepted);
        });
    }
}

/// Tries to come in; returns the connection, or `None` if it was refused by a reset or an end.
async fn attempt(from: IpAddr, address: SocketAddr) -> Option<Dialed> {
    for _ in 0..5 {
        let mut dialed = match Connector::direct().dialing_from(from).oneshot(address.into()).await {
            Ok(dialed) => dialed,
            Err(DialError::Connect(error)) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(DialError::TimedOut(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        match timeout(PATIENCE, dialed.stream.read_u8()).await {
            Ok(Ok(word)) => {
                assert_eq!(word, WELCOME);
                return Some(dialed);
            }
            Ok(Err(error)) => {
                assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
                return None;
            }
            Err(_) => dialed.stream.set_zero_linger().unwrap(),
        }
    }
    panic!("neither let in nor refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adversary_26_the_limit_is_exact_under_ten_thousand_attempts() {
    const LIMIT: usize = 125;
    const ATTEMPTS: usize = 10_000;
    // Far fewer than the system keeps for a listener that is slow to accept.
    const AT_A_TIME: usize = 128;
    let slots = Slots::new(SlotLimits { inbound: LIMIT, per_host: LIMIT, per_netgroup: LIMIT, ..SlotLimits::LOCAL });
    let door = Door::from(slots.clone());
    let (inside, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let listener = Listener::bind(ANY, door.clone()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(host(listener, Arc::clone(&inside), Arc::clone(&most)));

    let (mut under_way, mut held, mut refused) = (JoinSet::new(), Vec::new(), 0);
    for number in 0..ATTEMPTS + AT_A_TIME {
        if number < ATTEMPTS {
            let from = source((number % 250) as u8 + 1, (number / 250) as u8, 1);
            under_way.spawn(attempt(from, address));
        }
        if number >= AT_A_TIME {
            match soon(under_way.join_next()).await.unwrap().unwrap() {
                Some(guest) => held.push(guest),
                None => refused += 1,
            }
        }
        assert!(slots.taken(Direction::Inbound) <= LIMIT);
    }
    assert!(under_way.is_empty());
    assert_eq!((held.len(), refused), (LIMIT, ATTEMPTS - LIMIT));
    assert_eq!((inside.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), (LIMIT, LIMIT));
    assert_eq!(slots.taken(Direction::Inbound), LIMIT);

    // Places that are given back are as many as are given anew.
    held.truncate(LIMIT - 10);
    soon(async {
        while slots.taken(Direction::Inbound) > LIMIT - 10 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for number in 0..20 {
        held.extend(attempt(source(251, number, 1), address).await);
    }
    assert_eq!((held.len(), slots.taken(Direction::Inbound)), (LIMIT, LIMIT));
    assert_eq!(most.load(Ordering::SeqCst), LIMIT);
}

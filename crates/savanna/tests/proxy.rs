//! A node that finds its peers through a proxy, and never past it.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use savanna::book::{Added, Source, UnixTime};
use savanna::tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use savanna::tokio::net::{TcpListener, TcpSocket, TcpStream};
use savanna::tokio::task::JoinSet;
use savanna::tokio::time::timeout;
use savanna::wire::{AddrV2, Host};
use savanna::{Builder, Event, Events, Network, Node, PeerAddr, Proxy, Services, tokio};

const BOUND: Duration = Duration::from_secs(5);

/// Where the proxy's own connections come from.
const EXIT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 10, 99));

async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), awaited).await.expect("it takes too long")
}

fn node(number: u8) -> Builder {
    let host = IpAddr::V4(Ipv4Addr::new(127, 0, 10, number));
    let builder = Node::builder(Network::Regtest).services(Services::NODE_NETWORK).dial_from(host);
    builder.outbound(0).listen(SocketAddr::new(host, 0))
}

/// A SOCKS5 proxy without authentication that leads IPv4 addresses to where they are, and every onion to one place. It notes what
/// it is asked for.
async fn serve_socks(listener: TcpListener, behind_onions: SocketAddr, asked: Arc<Mutex<Vec<String>>>) {
    let mut all = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        all.spawn(relay(client, behind_onions, Arc::clone(&asked)));
    }
}

async fn relay(mut client: TcpStream, behind_onions: SocketAddr, asked: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut greeting = [0; 3];
    client.read_exact(&mut greeting).await.ok()?;
    assert_eq!(greeting, [5, 1, 0]);
    client.write_all(&[5, 0]).await.ok()?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await.ok()?;
    assert_eq!(request[..3], [5, 1, 0]);
    let target = match request[3] {
        1 => {
            let ip = Ipv4Addr::from_bits(client.read_u32().await.ok()?);
            let address = SocketAddr::new(ip.into(), client.read_u16().await.ok()?);
            asked.lock().unwrap().push(address.to_string());
            address
        }
        3 => {
            let mut name = vec![0; client.read_u8().await.ok()?.into()];
            client.read_exact(&mut name).await.ok()?;
            let name = String::from_utf8(name).unwrap();
            let port = client.read_u16().await.ok()?;
            asked.lock().unwrap().push(format!("{name}:{port}"));
            behind_onions
        }
        other => panic!("an address of kind {other}"),
    };
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::new(EXIT, 0)).ok()?;
    let mut server = socket.connect(target).await.ok()?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1]).await.ok()?;
    let _ = copy_bidirectional(&mut client, &mut server).await;
    Some(())
}

/// Waits for somebody who dials a node, and returns where from.
async fn arrival(events: &mut Events) -> Host {
    loop {
        if let Some(Event::Joined { address: Some(address), .. }) = events.next().await {
            return address.host;
        }
    }
}

#[tokio::test]
async fn behind_a_proxy_every_dial_goes_through_it_and_the_book_is_filled_by_gossip() {
    // One node in the open, which knows of four onion services; behind all of them stands another.
    let (first, hidden) = (node(1).addrv2(true).start().await.unwrap(), node(2).start().await.unwrap());
    let (mut at_first, mut at_hidden) = (first.events(), hidden.events());
    let onion = |number: u8| PeerAddr { host: Host::TorV3([number; 32]), port: 18344 };
    for number in 1..=4 {
        let told = AddrV2 { time: 0, services: Services::NODE_NETWORK, address: onion(number) };
        let now = UnixTime(u32::try_from(now_unix()).unwrap());
        assert_eq!(first.book().with(|book| book.add(told, Source::Config, now)), Added::New);
    }
    let socks = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy { address: socks.local_addr().unwrap(), isolate: false };
    let asked = Arc::new(Mutex::new(Vec::new()));
    let mut serving = JoinSet::new();
    serving.spawn(serve_socks(socks, hidden.listening()[0], Arc::clone(&asked)));

    let open = first.listening()[0];
    let ours = Node::builder(Network::Regtest).proxy(proxy).peer(open).outbound(3).start().await.unwrap();
    let exit = Host::from(EXIT);
    assert_eq!(soon(arrival(&mut at_first)).await, exit);
    assert_eq!(soon(arrival(&mut at_hidden)).await, exit);
    soon(ours.connected(2)).await;

    let admitted = first.arrivals().admitted + hidden.arrivals().admitted;
    let asked = asked.lock().unwrap().clone();
    assert!(asked.len() as u64 >= admitted, "{admitted} connections by {asked:?}");
    let asked: BTreeSet<String> = asked.into_iter().collect();
    assert!(asked.contains(&open.to_string()), "{asked:?}");
    let onions = asked.iter().filter(|name| name.ends_with(".onion:18344")).count();
    assert!(onions >= 1 && onions + 1 == asked.len(), "{asked:?}");
    assert_eq!(ours.discovery().borrow().seeds_asked, 0);
    assert_eq!(soon(ours.shutdown(BOUND)).await, 0);
}

fn now_unix() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

//! A service with made-up nodes, and one that asks it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "of all records only two kinds have addresses")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use savanna_seed::{Dns, Keys, Limits, NameServer, Nameable, Roll, Zone, Zones};
use savanna_wire::Services;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub const MAIN: &str = "seed.example.org";
pub const TEST: &str = "testnet-seed.example.org";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn keys() -> Keys {
    Keys::from_pkcs8(&Keys::generate().unwrap()).unwrap()
}

/// Nodes of as many netgroups: a third IPv6, every second with services 5.
pub fn roll(nodes: u8) -> Roll {
    let node = |i: u8| {
        let ip: IpAddr = match i % 3 {
            0 => Ipv6Addr::new(0x2a00, u16::from(i), 0xdddd, 1, 2, 3, 4, 5).into(),
            _ => Ipv4Addr::new(20 + i, 9, 1, 1).into(),
        };
        Nameable { ip, services: Services(if i.is_multiple_of(2) { 5 } else { 1 }) }
    };
    Roll { nodes: (0..nodes).map(node).collect() }
}

pub fn zone(name: &str, keys: Option<Keys>) -> Zone {
    let server = NameServer { name: format!("a.ns.{name}"), addresses: vec![Ipv4Addr::LOCALHOST.into()] };
    Zone::new(name, &[server], "hostmaster@example.org", 60, keys).unwrap()
}

pub struct Service {
    pub zones: Zones,
    pub at: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Service {
    pub async fn of(zones: impl IntoIterator<Item = Zone>, limits: Limits) -> Self {
        let zones = Zones::new(zones, [9; 32], now()).unwrap();
        let dns = Dns::bind(&["127.0.0.1:0".parse().unwrap()], zones.clone(), limits, 5).unwrap();
        let at = dns.local_addrs().unwrap()[0];
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move { dns.serve(async { drop(stopped.await) }).await.unwrap() });
        Self { zones, at, stop, task }
    }

    /// Both zones, the first signed, with nodes.
    pub async fn full(limits: Limits) -> Self {
        let service = Self::of([zone(MAIN, Some(keys())), zone(TEST, None)], limits).await;
        service.zones.update(MAIN, roll(120), now()).await.unwrap();
        service.zones.update(TEST, roll(12), now()).await.unwrap();
        service
    }

    pub async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    pub async fn udp(&self, message: &Message) -> Message {
        Message::from_vec(&self.raw(&message.to_vec().unwrap()).await.expect("an answer")).unwrap()
    }

    /// Sends bytes, and returns those that come back, if any come within two seconds.
    pub async fn raw(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(bytes, self.at).await.unwrap();
        let mut answer = vec![0; 65_535];
        let len = timeout(Duration::from_secs(2), socket.recv(&mut answer)).await.ok()?.unwrap();
        answer.truncate(len);
        Some(answer)
    }

    pub async fn tcp(&self, message: &Message) -> Message {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let bytes = message.to_vec().unwrap();
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }
}

pub fn lenient() -> Limits {
    Limits { rate: 1_000_000, burst: 1_000_000, ..Limits::default() }
}

pub fn ask(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind));
    message
}

pub fn with_edns(mut message: Message, size: u16, dnssec: bool) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(size).set_dnssec_ok(dnssec);
    message.set_edns(edns);
    message
}

pub fn kinds(records: &[hickory_proto::rr::Record]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for record in records {
        *kinds.entry(record.record_type().to_string()).or_insert(0) += 1;
    }
    kinds
}

pub fn addresses(message: &Message) -> Vec<IpAddr> {
    let ip = |data: &RData| match data {
        RData::A(ip) => Some(IpAddr::V4(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
        _ => None,
    };
    message.answers.iter().filter_map(|record| ip(&record.data)).collect()
}

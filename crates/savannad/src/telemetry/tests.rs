use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use savanna_chain::CURRENT_VERSION;
use savanna_net::{
    AcceptRates, Client, Clock, Direction, Door, Handshake, HandshakeRequest, Listener, Network, Nil, NodeConfig,
    Route, SlotLimits, Slots,
};
use savanna_peer::{Request, RequestKind};
use savanna_peerset::{CallOutcome, Config, PeerSet, RequestCounts};
use savanna_seed::{Count, Counts, Published};
use savanna_wire::{Services, UserAgent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::{Service as _, ServiceExt as _};

use super::metrics::ALL;
use super::*;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How many peers come that shake hands, each with a name of its own, and how many that do not.
const HONEST: usize = 25;
const GARBAGE: u8 = 200;

async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), awaited).await.expect("it takes too long")
}

/// A set of peers that is dialled, and its numbers.
struct World {
    tasks: Tasks,
    telemetry: Telemetry,
    numbers: SocketAddr,
    set: PeerSet,
    door: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let (tasks, telemetry, clock) = (Tasks::new(), Telemetry::new(), Clock::start());
        let numbers = telemetry.serve(LOOPBACK, &tasks).await.unwrap();
        let node = NodeConfig { traffic: telemetry.traffic(), ..NodeConfig::new(Network::Regtest) };
        let set = PeerSet::spawn(Config::PUBLIC, [7; 32], None, clock, &tasks.spawner());
        telemetry.watch(&set);
        telemetry.crawl();
        telemetry.add(Discovery(savanna_peerset::Discovery::new().counts()));
        let entrance = Door::new(Slots::new(SlotLimits::LOCAL), AcceptRates::LOCAL);
        telemetry.add(entrance.clone());
        telemetry.add(Everything);
        let listener = Listener::bind(LOOPBACK, entrance).await.unwrap();
        let door = listener.local_addr().unwrap();
        let mut handshake = Handshake::new(node, Nil, clock, tasks.spawner());
        let (spawner, joined) = (tasks.spawner(), set.clone());
        tasks.spawn(async move {
            loop {
                let shaking = handshake.call(HandshakeRequest::inbound(listener.accept().await));
                let joined = joined.clone();
                spawner.spawn(async move {
                    if let Ok(client) = shaking.await {
                        joined.add(client).await;
                    }
                });
            }
        });
        Self { tasks, telemetry, numbers, set, door }
    }

    /// Comes as a peer that calls itself `name`.
    async fn join(&self, name: &[u8]) -> Client {
        let mut node = NodeConfig::new(Network::Regtest);
        node.session.services = Services::NODE_NETWORK;
        node.session.required_services = Services::NONE;
        node.session.user_agent = UserAgent::new(name.to_vec()).unwrap();
        let stream = TcpStream::connect(self.door).await.unwrap();
        let mut handshake = Handshake::new(node, Nil, Clock::start(), self.tasks.spawner());
        let direction = Direction::Outbound;
        let request = HandshakeRequest { stream, direction, peer: None, route: Route::Direct, slot: None };
        soon(handshake.call(request)).await.unwrap()
    }

    /// Comes with bytes that are no handshake, and stays until sent away.
    async fn disturb(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(self.door).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        // Closed or reset, it has ended.
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    }

    async fn scrape(&self) -> String {
        let answer = get(self.numbers, "/metrics").await;
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        page.to_owned()
    }
}

/// The numbers of a node that has all of them, and of a seeder.
struct Everything;

impl Source for Everything {
    fn write(&self, page: &mut Page) {
        NodeNumbers { tip: Some(1), free: Some(2), ..NodeNumbers::default() }.write(page);
        let surveyed =
            |network| NetworkNumbers { network, floor: CURRENT_VERSION, named: 0, published: Published::default() };
        NetworkNumbers::write(&[Network::Mainnet, Network::Testnet, Network::Regtest].map(surveyed), page);
        let answered = Count { kind: "aaaa", outcome: "nodata", transport: "udp", count: 3 };
        DnsNumbers(Counts { answered: vec![answered], ..Counts::default() }).write(page);
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

fn samples(page: &str) -> impl Iterator<Item = (&str, f64)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name, value.parse().unwrap()))
}

/// Returns the name of every series, which must be there once.
fn series(page: &str) -> BTreeSet<String> {
    let names: Vec<_> = samples(page).map(|(name, _)| name.to_owned()).collect();
    let set: BTreeSet<_> = names.iter().cloned().collect();
    assert_eq!(names.len(), set.len(), "a series is there twice");
    set
}

fn value(page: &str, name: &str) -> f64 {
    samples(page).find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no {name} in\n{page}")).1
}

fn sum(page: &str, beginning: &str) -> f64 {
    samples(page).filter(|(name, _)| name.starts_with(beginning)).map(|(_, value)| value).sum()
}

#[tokio::test]
async fn f14_peers_whatever_they_send_add_no_series_and_the_sums_hold() {
    let world = World::new().await;
    let before = world.scrape().await;
    assert_eq!(sum(&before, "savanna_peers{"), 0.0);

    let mut clients = Vec::new();
    for number in 0..HONEST {
        let name = format!("/evil-{number}/\"}} 1\nsavanna_fake{{x=\"\u{1b}[2J\\");
        clients.push(world.join(name.as_bytes()).await);
    }
    for number in 0..GARBAGE {
        let noise =
            [b"GET /evil HTTP/1.1\r\nX: ".repeat(usize::from(number % 7)), vec![number; 3 * usize::from(number)]]
                .concat();
        world.disturb(&noise).await;
    }
    soon(world.set.peers().wait_for(|counts| counts.total() == HONEST)).await.unwrap();
    for _ in 0..HONEST {
        soon(world.set.clone().oneshot(Request::Ping)).await.unwrap();
    }
    // A ping that takes long is put to another peer too.
    let answered = |counts: &RequestCounts| counts.ended(RequestKind::Ping, CallOutcome::Answered);
    let mut requests = world.set.requests();
    let is_over =
        |counts: &RequestCounts| answered(counts) >= HONEST as u64 && counts.in_flight(RequestKind::Ping) == 0;
    let counts = *soon(requests.wait_for(is_over)).await.unwrap();

    let after = world.scrape().await;
    assert_eq!(series(&before), series(&after));
    for chosen in ["evil", "fake", "127.0.0.1", "peer-"] {
        assert!(!after.contains(chosen), "{chosen} is in\n{after}");
    }
    assert_eq!(sum(&after, "savanna_peers{"), HONEST as f64);
    assert_eq!(value(&after, "savanna_connections{direction=\"inbound\"}"), HONEST as f64);
    assert_eq!(value(&after, "savanna_handshakes_total{direction=\"inbound\",outcome=\"ok\"}"), HONEST as f64);
    assert_eq!(sum(&after, "savanna_handshakes_total{"), HONEST as f64 + f64::from(GARBAGE));
    assert_eq!(value(&after, "savanna_arrivals_total{outcome=\"admitted\"}"), HONEST as f64 + f64::from(GARBAGE));
    assert_eq!(sum(&after, "savanna_arrivals_total{"), HONEST as f64 + f64::from(GARBAGE));
    assert_eq!(value(&after, "savanna_handshake_duration_seconds_count{direction=\"inbound\"}"), HONEST as f64);
    assert_eq!(value(&after, "savanna_requests_total{kind=\"ping\",outcome=\"answered\"}"), answered(&counts) as f64);
    assert!(value(&after, "savanna_round_trip_seconds_count{kind=\"ping\"}") >= HONEST as f64);
    assert_eq!(sum(&after, "savanna_requests_in_flight{"), 0.0);
    assert!(value(&after, "savanna_received_bytes_total") > value(&after, "savanna_sent_bytes_total"), "noise came");

    drop(clients);
    soon(world.set.peers().wait_for(|counts| counts.total() == 0)).await.unwrap();
    let at_last = world.scrape().await;
    assert_eq!(series(&before), series(&at_last));
    assert_eq!(sum(&at_last, "savanna_connections_closed_total{direction=\"inbound\""), HONEST as f64);
    assert_eq!(sum(&at_last, "savanna_connections{"), 0.0);
}

#[tokio::test]
async fn ten_thousand_readings_leave_nothing_behind() {
    let world = World::new().await;
    let first = world.scrape().await;
    let descriptors = value(&first, "process_open_fds");
    for _ in 0..10_000 {
        assert_eq!(world.telemetry.page().lines().count(), first.lines().count());
    }
    for _ in 0..500 {
        world.scrape().await;
    }
    let last = world.scrape().await;
    assert_eq!(series(&first), series(&last));
    // The other tests of this process open some of their own.
    assert!(value(&last, "process_open_fds") < descriptors + 400.0, "500 readings kept their descriptors");
    assert_eq!(world.tasks.len(), 3, "the page, the door, the set");
}

#[tokio::test]
async fn the_page_is_what_prometheus_reads() {
    let page = World::new().await.scrape().await;
    assert!(page.ends_with('\n') && !page.contains("\n\n"), "{page}");
    for metric in ALL {
        let (name, kind) = (metric.name, metric.kind.name());
        assert_eq!(
            page.matches(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help)).count(),
            1,
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        assert_eq!(name.ends_with("_seconds"), kind == "histogram" || name.contains("time"), "{name}");
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("# TYPE ")).count(), ALL.len());
    let document = include_str!("../../../../docs/metrics.md");
    for (name, _) in samples(&page) {
        let labels = name.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').unwrap();
            let is_documented = document.contains(&format!("`{}`", value.trim_matches('"')));
            assert!(is_documented || ["le", "version"].contains(&label), "{name}");
        }
    }
    // The buckets of a histogram grow up to its count.
    let buckets =
        samples(&page).filter(|(name, _)| name.starts_with("savanna_round_trip_seconds_bucket{kind=\"ping\""));
    let bounds: Vec<_> =
        buckets.map(|(name, _)| name.rsplit("le=\"").next().unwrap().trim_end_matches("\"}")).collect();
    assert_eq!((bounds[0], *bounds.last().unwrap()), ("0.00025", "+Inf"));
    assert!(bounds.iter().map(|bound| bound.parse::<f64>().unwrap()).is_sorted());
}

#[test]
fn every_metric_stands_in_the_document_and_no_other() {
    let document = include_str!("../../../../docs/metrics.md");
    let rows = document.lines().filter(|line| line.starts_with("| `savanna_") || line.starts_with("| `process_"));
    let documented: Vec<_> = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>()).collect();
    for metric in ALL {
        let name = format!("`{}`", metric.name);
        let row = documented.iter().find(|row| row[1] == name);
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        assert_eq!(row[2], metric.kind.name(), "{name}");
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        assert_eq!(row[3], labels.join(", "), "{name}");
    }
    assert_eq!(documented.len(), ALL.len());
}

//! Nodes by the hundred on loopback sockets, each at an address of its own, which find each other from the address of one.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use savanna::tokio::time::interval;
use savanna::{Direction, Event, Events, Network, Node, PeerId, Services, tokio};

/// How many peers each node dials.
const OUTBOUND: usize = 6;

/// How many addresses each node is to know at least: one more than it needs.
const KNOWN: usize = OUTBOUND + 1;

/// How many files all of them have open at a time: both ends of each connection, and the dials that come to nothing.
const FILES: u64 = 10_000;

/// How long they may take.
const BOUND: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_hundred_nodes_find_each_other_from_one_address() {
    find_each_other(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes a minute where the machine has other things to do: a step of its own"]
async fn f11_five_hundred_nodes_find_each_other_from_one_address() {
    find_each_other(500).await;
}

/// Starts so many nodes that know the first and nobody else, and waits until each has the peers that it wants, and all are
/// one network.
async fn find_each_other(nodes: usize) {
    admit_files();
    let began = Instant::now();
    let mut all = vec![Villager::start(0, None).await];
    for number in 1..nodes {
        all.push(Villager::start(number, Some(all[0].address())).await);
    }
    let started = began.elapsed();
    let mut looks = interval(Duration::from_millis(250));
    let mut most_files = 0;
    loop {
        looks.tick().await;
        most_files = most_files.max(open_files());
        let lacks = lacks(&all);
        if lacks.is_empty() {
            break;
        }
        assert!(
            began.elapsed() < BOUND,
            "after {:?}, {} of {nodes} nodes lack something:\n{}",
            began.elapsed(),
            lacks.len(),
            lacks.join("\n")
        );
    }
    let links: usize = all.iter().map(|node| node.dialed().len()).sum();
    let mut known: Vec<_> = all.iter().map(Villager::known).collect();
    known.sort_unstable();
    eprintln!(
        "{nodes} nodes, started within {started:?}, have found each other after {:?}: {links} connections, {} to {} \
         addresses known, half of the nodes {} and more, at most {most_files} files open",
        began.elapsed(),
        known[0],
        known[nodes - 1],
        known[nodes / 2],
    );

    let hosts: BTreeSet<_> = all.iter().map(|node| node.address().ip()).collect();
    for node in &all {
        let strangers: Vec<_> = node.peers(|peers| peers.callers.difference(&hosts).copied().collect());
        assert!(strangers.is_empty(), "{} was dialled from {strangers:?}, where no node is", node.address());
    }
}

/// Raises the limit of open files, which often stands at 1024 and may be raised by whoever asks.
fn admit_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < FILES) {
        assert!(maximum.is_none_or(|maximum| maximum >= FILES), "{FILES} files are needed, {maximum:?} admitted");
        setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum }).unwrap();
    }
}

/// Counts the open files of this process, where the system tells.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Says what each node lacks that lacks something: peers, addresses, or a path to the first.
fn lacks(all: &[Villager]) -> Vec<String> {
    let apart = apart(all);
    let lack = |node: &Villager| {
        let (address, dialed, known) = (node.address(), node.dialed(), node.known());
        let is_apart = apart.contains(&address);
        let is_lacking = is_apart || dialed.len() < OUTBOUND || known < KNOWN;
        is_lacking.then(|| {
            let (counts, lost) = (node.node.discovery().borrow().clone(), node.peers(|peers| peers.lost));
            format!(
                "{address}: {} of {OUTBOUND} peers dialled {dialed:?}, {known} of {KNOWN} addresses known, apart from the \
                 first: {is_apart}, events lost: {lost}, {counts:?}, {:?}",
                dialed.len(),
                node.node.arrivals(),
            )
        })
    };
    all.iter().filter_map(lack).collect()
}

/// Returns those to whom no path of connections leads from the first.
fn apart(all: &[Villager]) -> BTreeSet<SocketAddr> {
    let mut beside = BTreeMap::<SocketAddr, BTreeSet<SocketAddr>>::new();
    for node in all {
        for peer in node.dialed() {
            beside.entry(node.address()).or_default().insert(peer);
            beside.entry(peer).or_default().insert(node.address());
        }
    }
    let mut apart: BTreeSet<_> = all.iter().map(Villager::address).collect();
    let mut reached = vec![all[0].address()];
    while let Some(address) = reached.pop() {
        if apart.remove(&address) {
            reached.extend(beside.get(&address).into_iter().flatten());
        }
    }
    apart
}

/// A node, and what has been seen of it.
struct Villager {
    node: Node,
    peers: Arc<Mutex<Peers>>,
}

#[derive(Default)]
struct Peers {
    /// Whom it has dialled and is connected to.
    dialed: BTreeMap<PeerId, SocketAddr>,
    /// From where it has been dialled.
    callers: BTreeSet<IpAddr>,
    /// How many events came too fast to be seen.
    lost: u64,
}

impl Villager {
    async fn start(number: usize, first: Option<SocketAddr>) -> Self {
        // Two of each range of networks, and never the address that is used where none is chosen.
        let host = IpAddr::V4(Ipv4Addr::new(127, (number % 250 + 1) as u8, (number / 250) as u8, 1));
        let builder = Node::builder(Network::Regtest).services(Services::NODE_NETWORK).dial_from(host);
        let builder = builder.listen(SocketAddr::new(host, 0)).outbound(OUTBOUND);
        let builder = first.into_iter().fold(builder, savanna::Builder::peer);
        let node = builder.start().await.unwrap_or_else(|error| panic!("node {number} does not start: {error}"));
        let peers = Arc::<Mutex<Peers>>::default();
        tokio::spawn(watch(node.events(), Arc::clone(&peers)));
        Self { node, peers }
    }

    fn address(&self) -> SocketAddr {
        self.node.listening()[0]
    }

    fn known(&self) -> usize {
        self.node.book().with(|book| book.counts().total() as usize)
    }

    fn dialed(&self) -> BTreeSet<SocketAddr> {
        self.peers(|peers| peers.dialed.values().copied().collect())
    }

    fn peers<T>(&self, read: impl FnOnce(&Peers) -> T) -> T {
        read(&self.peers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn watch(mut events: Events, peers: Arc<Mutex<Peers>>) {
    while let Some(event) = events.next().await {
        let mut peers = peers.lock().unwrap();
        match event {
            Event::Joined { peer, info, address } => {
                let address = address.and_then(|address| address.socket_addr()).unwrap();
                match info.direction {
                    Direction::Outbound => drop(peers.dialed.insert(peer, address)),
                    Direction::Inbound => drop(peers.callers.insert(address.ip())),
                }
            }
            Event::Left { peer, .. } => drop(peers.dialed.remove(&peer)),
            Event::Lagged(lost) => peers.lost += lost,
            _ => {}
        }
    }
}

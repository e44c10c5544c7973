//! How zebrad and nodes of ours introduce each other. Without `SAVANNA_ZEBRAD` the test says that it was skipped.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "a test may")]

mod common;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use common::Zebrad;
use savanna::{Builder, Direction, Event, Events, Network, Node, Services};
use serde_json::json;
use tokio::time::{sleep, timeout};

/// How many nodes zebrad is not told of.
const OTHERS: u8 = 6;

/// How many of them the first tells it of, which knows all: half.
const TOLD: usize = 3;

/// Zebra asks for addresses every 31 seconds at most, accepts one connection a second, and asks each peer once: which of its rounds
/// brings all that is waited for is left to chance.
const BOUND: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn zebrad_finds_nodes_through_the_gossip_of_one_and_tells_another_of_them() {
    let first = node(Ipv4Addr::LOCALHOST).outbound(0).start().await.unwrap();
    let mut others = Vec::new();
    for number in 1..=OTHERS {
        let other = node(Ipv4Addr::new(127, number, 60, 1)).peer(first.listening()[0]).outbound(1).start().await;
        others.push(other.unwrap());
    }
    // They announce themselves to the first, since they have dialled it.
    until("the first knows the others", || known(&first).len() == usize::from(OTHERS)).await;
    let arrivals = others.iter().map(Node::events).collect();

    let began = Instant::now();
    let Some(zebrad) = Zebrad::start_dialing("NU5 = 1", &[first.listening()[0]]) else { return };
    let dialed = timeout(BOUND, dialed_by_zebra(arrivals)).await.expect("zebrad dials nobody it was told of");
    eprintln!("zebrad dialled {TOLD} nodes that it was told of {:?} after its start", began.elapsed());
    let dialed: BTreeSet<_> = dialed.into_iter().map(|number| others[number].listening()[0]).collect();
    until("zebrad lists whom it dialled", || dialed.is_subset(&outbound_of(&zebrad))).await;

    // Nobody can dial the newcomer, and it dials nobody else: what it knows is what zebrad answered.
    let newcomer = Node::builder(Network::Regtest).peer(zebrad.peer).outbound(1).start().await.unwrap();
    let began = Instant::now();
    until("zebrad answers", || newcomer.discovery().borrow().answered.new > 0).await;
    eprintln!("zebrad told {:?} within {:?}", newcomer.discovery().borrow().answered, began.elapsed());
    assert_eq!(newcomer.discovery().borrow().dials.get("connected"), Some(&1), "somebody else was asked");
    let all: BTreeSet<_> = others.iter().chain([&first]).map(|node| node.listening()[0]).chain([zebrad.peer]).collect();
    let heard = known(&newcomer);
    assert!(heard.is_subset(&all), "{heard:?} has others than {all:?}");
    assert!(heard.iter().any(|address| dialed.contains(address)), "{heard:?} has none of {dialed:?}");
}

fn node(host: Ipv4Addr) -> Builder {
    let builder = Node::builder(Network::Regtest).services(Services::NODE_NETWORK).dial_from(IpAddr::V4(host));
    builder.listen(SocketAddr::new(host.into(), 0))
}

fn known(node: &Node) -> BTreeSet<SocketAddr> {
    node.book().with(|book| book.records().filter_map(|record| record.address.socket_addr()).collect())
}

/// Waits until as many of the nodes as zebrad was told of have been dialled by it, and returns which those are.
async fn dialed_by_zebra(arrivals: Vec<Events>) -> BTreeSet<usize> {
    let mut dialed = BTreeSet::new();
    let mut waiting: tokio::task::JoinSet<usize> = tokio::task::JoinSet::new();
    for (number, events) in arrivals.into_iter().enumerate() {
        waiting.spawn(async move {
            zebra_comes(events).await;
            number
        });
    }
    while dialed.len() < TOLD {
        dialed.insert(waiting.join_next().await.unwrap().unwrap());
    }
    dialed
}

async fn zebra_comes(mut events: Events) {
    loop {
        let event = events.next().await.expect("the node ended");
        if let Event::Joined { info, .. } = event
            && info.direction == Direction::Inbound
            && String::from_utf8_lossy(info.remote.user_agent.as_bytes()).contains("Zebra")
        {
            return;
        }
    }
}

/// Returns whom zebrad says that it has dialled.
fn outbound_of(zebrad: &Zebrad) -> BTreeSet<SocketAddr> {
    let peers = zebrad.call("getpeerinfo", &json!([]));
    let outbound = peers.as_array().unwrap().iter().filter(|peer| peer["inbound"] == json!(false));
    outbound.filter_map(|peer| peer["addr"].as_str()?.parse().ok()).collect()
}

/// Looks again and again until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = timeout(BOUND, async {
        while !is_so() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "it takes too long: {what}");
}

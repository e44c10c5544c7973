//! How `zebra-network`'s whole pool and nodes of ours introduce each other.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use savanna::book::{Family, UnixTime};
use savanna::{Builder, Direction, Event, Network, Node, Services};
use savanna_interop::{Fixture, TheirNode, within};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How many nodes there are beside the first.
const OTHERS: u8 = 6;

/// How many of them the first tells of, which knows them all: half.
const TOLD: usize = 3;

fn node(host: Ipv4Addr) -> Builder {
    let builder = Node::builder(Network::Regtest).services(Services::NODE_NETWORK).dial_from(IpAddr::V4(host));
    builder.listen(SocketAddr::new(host.into(), 0))
}

fn known(node: &Node) -> BTreeSet<SocketAddr> {
    node.book().with(|book| book.records().filter_map(|record| record.address.socket_addr()).collect())
}

/// Waits until a node says so: whenever what is counted of how it finds peers changes, and now and then.
async fn until(what: &str, node: &Node, is_so: impl Fn(&Node) -> bool) -> Result<()> {
    let mut counts = node.discovery();
    within(what, async {
        while !is_so(node) {
            let _ = timeout(Duration::from_millis(200), counts.changed()).await;
        }
        anyhow::Ok(())
    })
    .await?
}

/// Returns how many addresses a node tells whoever asks now.
fn told(node: &Node) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    node.book().with(|book| book.answer(Family::V4, UnixTime::from(now)).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn zebras_pool_finds_our_nodes_through_the_gossip_of_one() -> Result<()> {
    let first = node(Ipv4Addr::LOCALHOST).outbound(0).start().await?;
    let (mut others, mut arrivals) = (Vec::new(), JoinSet::new());
    for number in 1..=OTHERS {
        let other = node(Ipv4Addr::new(127, number, 50, 1)).peer(first.listening()[0]).outbound(1).start().await?;
        let (mut events, address) = (other.events(), other.listening()[0]);
        arrivals.spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Joined { info, .. } = event
                    && info.direction == Direction::Inbound
                    && info.remote.user_agent.as_bytes() == b"/interop/"
                {
                    return Ok(address);
                }
            }
            bail!("a node has ended")
        });
        others.push(other);
    }
    until("the first knows the others", &first, |first| known(first).len() == others.len()).await?;
    // What it told one of them early it tells everybody for a while, and zebra-network takes one answer of a connection.
    until("the first tells of enough others", &first, |first| told(first) >= TOLD).await?;

    let zebra = TheirNode::start_regtest(&Fixture::new()?, &[first.listening()[0]]).await?;
    let mut dialed = BTreeSet::new();
    while dialed.len() < TOLD {
        let next = within("zebra-network dials whom it was told of", arrivals.join_next()).await?;
        dialed.insert(next.unwrap()??);
    }
    drop(zebra);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn zebras_answer_fills_our_book() -> Result<()> {
    let mut theirs = Vec::new();
    for _ in 0..4 {
        theirs.push(node(Ipv4Addr::LOCALHOST).outbound(0).start().await?);
    }
    let addresses: Vec<_> = theirs.iter().map(|node| node.listening()[0]).collect();
    let zebra = TheirNode::start_regtest(&Fixture::new()?, &addresses).await?;
    for node in &theirs {
        within("zebra-network dials those that it is given", node.connected(1)).await?;
    }

    // Nobody can dial it, and it dials nobody else: what it knows is what it was answered.
    let newcomer = Node::builder(Network::Regtest).peer(zebra.address).outbound(1).start().await?;
    until("zebra-network answers", &newcomer, |node| node.discovery().borrow().answered.new > 0).await?;
    assert_eq!(newcomer.discovery().borrow().dials.get("connected"), Some(&1), "somebody else was asked");
    let (heard, told) = (known(&newcomer), addresses.iter().copied().collect::<BTreeSet<_>>());
    let all: BTreeSet<_> = told.iter().copied().chain([zebra.address]).collect();
    assert!(heard.is_subset(&all), "{heard:?} has others than {all:?}");
    // Of the five that it knows with itself, it tells three.
    assert!(heard.intersection(&told).count() >= 2, "{heard:?} has too few of {told:?}");

    // And they lead somewhere.
    let more = Node::builder(Network::Regtest).peer(zebra.address).outbound(3).start().await?;
    within("whom zebra-network told of is dialled", more.connected(3)).await?;
    drop(zebra);
    Ok(())
}

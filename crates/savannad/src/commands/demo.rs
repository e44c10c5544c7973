//! `savanna demo`: the whole house at work on one machine, with no network.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::try_join_all;
use savanna_chain::Checkpoints;
use savanna_net::{
    Client, Clock, Connector, Handshake, HandshakeRequest, Listener, Nil, NodeConfig, PeerId, SlotLimits, Slots, Tasks,
};
use savanna_peer::{Gossip, Request};
use savanna_peerset::{Config, Event, Events, PeerSet};
use savanna_sync::{Fault, MemoryStore, Options, Progress, Summary};
use savanna_wire::{Network, Services};
use serde::Serialize;
use tokio::sync::mpsc;
use tower::{Service as _, ServiceExt as _};

use super::summary::Outcome;
use crate::cli::DemoArgs;
use crate::telemetry::Telemetry;

mod node;

use node::{Chain, Manner, Node};

/// The peers of the newcomer.
const MANNERS: [Manner; 4] = [Manner::Stalls, Manner::Lies, Manner::Honest, Manner::Honest];

/// How long the demonstration may take in all.
const BOUND: Duration = Duration::from_secs(60);

/// How long connections have to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Starts the nodes, lets a newcomer fetch, and prints what happened.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let telemetry = Telemetry::start(&args.metrics, &tasks).await?;
    let chain = Chain::mainnet()?;
    if !args.json {
        println!(
            "Four nodes on this machine hold blocks 0 to {} of mainnet. A newcomer asks them for all.\n",
            chain.height()
        );
    }
    let mut nodes = try_join_all(MANNERS.map(|manner| start(Node::new(chain.clone(), manner), &tasks))).await?;
    let result = tokio::time::timeout(BOUND, fetch(&mut nodes, &tasks, &telemetry))
        .await
        .context("it did not end within a minute")?;
    tasks.shutdown(DRAIN).await;
    let (summary, fates) = result?;
    if args.json {
        println!("{}", serde_json::to_string(&Report::new(&summary, &nodes, &fates))?);
    } else {
        print!("{}", to_text(&summary, &nodes, &fates));
    }
    Ok(())
}

/// A node that is being dialled.
struct Started {
    node: Node,
    address: SocketAddr,
    /// Those who have dialled it.
    visitors: mpsc::Receiver<Client>,
}

/// Listens, and answers everybody who dials.
async fn start(node: Node, tasks: &Tasks) -> anyhow::Result<Started> {
    let slots = Slots::new(SlotLimits::LOCAL);
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener::bind(loopback, slots).await.context("this machine lets nobody listen on loopback")?;
    let address = listener.local_addr()?;
    let mut config = NodeConfig::new(Network::Mainnet);
    config.session.services = Services::NODE_NETWORK;
    config.session.height = node.height();
    let handshake = Handshake::new(config, node.clone(), Clock::start(), tasks.spawner());
    let mut stop = tasks.spawner().stop();
    let spawner = tasks.spawner();
    let (door, visitors) = mpsc::channel(1);
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.stopped() => return,
            };
            let shaking = handshake.clone().call(HandshakeRequest::inbound(accepted));
            let door = door.clone();
            spawner.spawn(async move {
                // The connection lasts as long as its client, and its client as long as the peer stays.
                if let Ok(client) = shaking.await {
                    let _ = door.send(client.clone()).await;
                    client.closed().await;
                }
            });
        }
    });
    Ok(Started { node, address, visitors })
}

/// What became of each peer of the newcomer that did not stay.
type Fates = BTreeMap<SocketAddr, &'static str>;

/// Dials every node and fetches what they have.
async fn fetch(nodes: &mut [Started], tasks: &Tasks, telemetry: &Telemetry) -> anyhow::Result<(Summary, Fates)> {
    let (clock, mut config) = (Clock::start(), NodeConfig::new(Network::Mainnet));
    let (gossip, heard) = mpsc::channel(nodes.len());
    (config.gossip, config.traffic) = (Some(gossip), telemetry.traffic());
    let set = PeerSet::spawn(Config::PUBLIC, config.seed, Some(heard), clock, &tasks.spawner());
    telemetry.watch(&set);
    let mut events = set.events();
    let connector = Connector::direct().with_traffic(telemetry.traffic());
    let handshake = Handshake::new(config, Nil, clock, tasks.spawner());
    let mut names = BTreeMap::new();
    for started in nodes.iter() {
        let dialed = connector.clone().oneshot(started.address.into()).await?;
        let client = handshake.clone().call(HandshakeRequest::outbound(dialed, None)).await?;
        names.insert(client.id(), started.address);
        set.add(client).await;
    }
    boast(nodes, &mut events).await?;
    let mut fates = Fates::new();
    let store = Arc::new(MemoryStore::new(Network::Mainnet));
    // The network's checkpoints are far above what these nodes have.
    let checkpoints = Some(Checkpoints::new([(0, Network::Mainnet.genesis_hash())])?);
    let options = Options { checkpoints, ..Options::default() };
    let summary = savanna_sync::sync(set, store, options, |event| note(&event, &names, &mut fates)).await?;
    Ok((summary, fates))
}

/// Lets those who do not deliver announce what they have, once the newcomer knows all its peers, and waits until it has heard:
/// whoever announces a block is asked for it first.
async fn boast(nodes: &mut [Started], events: &mut Events) -> anyhow::Result<()> {
    let (mut joined, mut heard, mut boasts) = (0, 0, 0);
    while joined < nodes.len() {
        let event = events.next().await.context("the newcomer's peers are gone")?;
        joined += usize::from(matches!(event, Event::Joined { .. }));
    }
    for Started { node, visitors, .. } in nodes.iter_mut().filter(|started| started.node.manner() != Manner::Honest) {
        let visitor = visitors.recv().await.context("nobody dialled")?;
        visitor.ask(Request::AdvertiseBlock(node.genesis())).await?;
        boasts += 1;
    }
    while heard < boasts {
        let event = events.next().await.context("the newcomer's peers are gone")?;
        heard += usize::from(matches!(event, Event::Gossip { gossip: Gossip::Block(_), .. }));
    }
    Ok(())
}

fn note(event: &Progress, names: &BTreeMap<PeerId, SocketAddr>, fates: &mut Fates) {
    if let Progress::Reported { peer, why } = event
        && let Some(address) = names.get(peer)
    {
        fates.insert(*address, describe(*why));
    }
}

const fn describe(why: Fault) -> &'static str {
    match why {
        Fault::WrongBody => "caught: a body that is not its header's",
        Fault::Headers(_) | Fault::HashList => "refused: bad headers",
    }
}

impl Started {
    fn asked(&self) -> usize {
        self.node.tally().asked.load(Ordering::Relaxed)
    }

    fn sent(&self) -> usize {
        self.node.tally().sent.load(Ordering::Relaxed)
    }

    fn fate(&self, fates: &Fates) -> &'static str {
        fates.get(&self.address).copied().unwrap_or(match self.node.manner() {
            Manner::Stalls if self.asked() > 0 => "passed over: others were asked in its place",
            Manner::Honest | Manner::Stalls | Manner::Lies => "stayed",
        })
    }
}

/// The result as JSON: what `sync` prints, and a record of each node.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    outcome: Outcome,
    nodes: Vec<Record>,
}

#[derive(Serialize)]
struct Record {
    manner: &'static str,
    address: String,
    asked: usize,
    sent: usize,
    outcome: &'static str,
}

impl Report {
    fn new(summary: &Summary, nodes: &[Started], fates: &Fates) -> Self {
        let record = |node: &Started| Record {
            manner: node.node.manner().name(),
            address: node.address.to_string(),
            asked: node.asked(),
            sent: node.sent(),
            outcome: node.fate(fates),
        };
        Self { outcome: summary.into(), nodes: nodes.iter().map(record).collect() }
    }
}

fn to_text(summary: &Summary, nodes: &[Started], fates: &Fates) -> String {
    let mut text = format!("{:<17} {:<8} {:>5} {:>5}  {}\n", "node", "manner", "asked", "sent", "outcome");
    for node in nodes {
        let (address, manner) = (node.address.to_string(), node.node.manner().name());
        text += &format!("{address:<17} {manner:<8} {:>5} {:>5}  {}\n", node.asked(), node.sent(), node.fate(fates));
    }
    let Summary { tip_height, tip_hash, blocks, refetched, .. } = summary;
    text + &format!(
        "\n{blocks} blocks fetched and verified (links, work, merkle roots, bodies), {refetched} of them asked for again, \
         in {:.1} s.\nThe tip is height {tip_height}: {tip_hash}\n",
        summary.seconds()
    )
}

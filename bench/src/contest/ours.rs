//! Savanna.
//!
//! [`connect_all`] is the one place that knows how our side reaches its peers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use savanna_net::{Client, Clock, Connector, Handshake, HandshakeRequest, Nil, NodeConfig, Standing, Tasks};
use savanna_peer::{Request, Response};
use savanna_peerset::crawler::{Plan, PlanConfig, Scope, Surveyor, survey_config};
use savanna_peerset::{Config, PeerSet};
use savanna_store::BlockStore;
use savanna_sync::Options;
use savanna_sync::serve::{ArchiveService, Limits};
use savanna_wire::{PeerAddr, Services};
use tokio::sync::watch;
use tower::{Service, ServiceExt};

use super::{CONNECT, Fetched, Idle, Pings, Surveyed, median_micros, most_resident, resident};
use crate::chain::NETWORK;
use crate::measure::Stopwatch;

/// How many connections are dialled at once.
const AT_ONCE: usize = 64;

/// What the peer set's choices are drawn from: the same in every run.
const SEED: [u8; 32] = [7; 32];

/// Connects to each address once.
async fn connect_all(addresses: impl IntoIterator<Item = SocketAddr>, tasks: &Tasks) -> Result<Vec<Client>> {
    let handshake = Handshake::new(NodeConfig::new(NETWORK), Nil, Clock::start(), tasks.spawner());
    let dials = addresses.into_iter().map(|address| {
        let mut handshake = handshake.clone();
        async move {
            let dialed = Connector::direct().with_deadline(CONNECT).oneshot(PeerAddr::from(address)).await?;
            anyhow::Ok(handshake.call(HandshakeRequest::outbound(dialed, None)).await?)
        }
    });
    stream::iter(dials).buffer_unordered(AT_ONCE).try_collect().await
}

pub(super) async fn sync(dir: &Path, tip: u32, addresses: &[SocketAddr]) -> Result<Fetched> {
    let store = Arc::new(BlockStore::open(dir, NETWORK)?);
    let tasks = Tasks::new();
    let set = PeerSet::spawn(Config::PUBLIC, SEED, None, Clock::start(), &tasks.spawner());
    for client in connect_all(addresses.iter().copied(), &tasks).await? {
        set.add(client).await;
    }
    let watch = Stopwatch::start();
    // All is durable when this returns. The handle that is left keeps closing the store out of the measurement.
    let summary = savanna_sync::sync(set, Arc::clone(&store), Options::default(), |_| {}).await?;
    let spent = watch.spent();
    ensure!(summary.tip_height == tip, "the sync ended at height {}", summary.tip_height);
    Ok(Fetched::new(spent, summary.blocks as usize))
}

/// Serves an archive at an address of its own.
pub(super) async fn serve(dir: &Path) -> Result<savanna::Node> {
    let store = Arc::new(BlockStore::open(dir, NETWORK)?);
    let service = ArchiveService::new(store, Limits::default());
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(savanna::Node::builder(NETWORK).named_only().outbound(0).serve(service).listen(listen).start().await?)
}

/// A node as people run it: it syncs, and serves what it has meanwhile.
pub(super) struct Syncing {
    node: savanna::Node,
    store: Arc<BlockStore>,
    /// Says that nothing is offered before the archive is whole.
    _standing: watch::Sender<Standing>,
}

/// Starts a node that dials `peers` and listens at an address of its own.
pub(super) async fn node(dir: &Path, peers: &[SocketAddr]) -> Result<Syncing> {
    let store = Arc::new(BlockStore::open(dir, NETWORK)?);
    let floor = savanna_chain::floor(NETWORK, None);
    let (sender, standing) = watch::channel(Standing { height: 0, services: Services::NONE, floor });
    let service = ArchiveService::new(Arc::clone(&store), Limits::default()).yielding_to(standing.clone());
    let builder = savanna::Node::builder(NETWORK).named_only().outbound(peers.len()).standing(standing).serve(service);
    let builder = peers.iter().fold(builder, |builder, peer| builder.peer(*peer));
    let node = builder.listen(SocketAddr::from(([127, 0, 0, 1], 0))).start().await?;
    Ok(Syncing { node, store, _standing: sender })
}

impl Syncing {
    pub(super) fn listening(&self) -> &[SocketAddr] {
        self.node.listening()
    }

    /// Goes on to the tip once everybody is there.
    pub(super) async fn sync(self, tip: u32, peers: usize, guests: usize) -> Result<Fetched> {
        self.node.connected(peers + guests).await;
        let watch = Stopwatch::start();
        let set = self.node.peer_set().clone();
        let summary = savanna_sync::sync(set, Arc::clone(&self.store), Options::default(), |_| {}).await?;
        let spent = watch.spent();
        ensure!(summary.tip_height == tip, "the sync ended at height {}", summary.tip_height);
        Ok(Fetched::new(spent, summary.blocks as usize))
    }
}

pub(super) async fn ping(pings: &Pings) -> Result<f64> {
    let tasks = Tasks::new();
    let clients = connect_all([pings.peer], &tasks).await?;
    let client = clients.first().context("there is one client")?;
    let mut trips = Vec::with_capacity(pings.rounds);
    for _ in 0..pings.rounds {
        let before = Instant::now();
        let Response::Pong(_) = client.ask(Request::Ping).await? else { bail!("no pong") };
        trips.push(before.elapsed());
    }
    Ok(median_micros(trips))
}

pub(super) async fn set_ping(pings: &Pings) -> Result<f64> {
    let tasks = Tasks::new();
    let mut set = PeerSet::spawn(Config::PUBLIC, [7; 32], None, Clock::start(), &tasks.spawner());
    for client in connect_all([pings.peer], &tasks).await? {
        set.add(client).await;
    }
    set.peers().wait_for(|peers| peers.ready == 1).await?;
    let mut trips = Vec::with_capacity(pings.rounds);
    for _ in 0..pings.rounds {
        let before = Instant::now();
        let Response::Pong(_) = set.ready().await?.call(Request::Ping).await? else { bail!("no pong") };
        trips.push(before.elapsed());
    }
    Ok(median_micros(trips))
}

/// Returns the bytes that each of many idle connections holds.
pub(super) async fn idle(idle: &Idle) -> Result<f64> {
    let tasks = Tasks::new();
    // The first brings what all share.
    let mut held = connect_all([idle.peer], &tasks).await?;
    let before = resident();
    held.extend(connect_all(std::iter::repeat_n(idle.peer, idle.connections), &tasks).await?);
    settle(&held).await?;
    let grown = resident().saturating_sub(before);
    ensure!(held.iter().all(|client| !client.is_closed()), "a connection ended");
    Ok(grown as f64 / idle.connections as f64)
}

/// Waits until every connection has its first round trip behind it: then nothing is under way.
async fn settle(clients: &[Client]) -> Result<()> {
    let settled = async {
        for client in clients {
            while client.round_trip().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(CONNECT, settled).await.context("a connection does not settle")
}

/// Surveys a network, beginning with one of its peers.
pub(super) async fn census(first: SocketAddr) -> Result<Surveyed> {
    let (tasks, clock, node) = (Tasks::new(), Clock::start(), survey_config(NETWORK));
    let config = PlanConfig { network: NETWORK, scope: Scope::Private, overlays: false, until: None };
    let watch = Stopwatch::start();
    let mut plan = Plan::new(config, node.seed, clock.now());
    plan.introduce([first.into()], clock.now());
    Surveyor::new(node, Connector::direct(), clock, tasks.spawner()).run(&mut plan, |_| {}).await;
    let summary = plan.census(clock.now()).summary();
    let spent = watch.spent();
    Ok(Surveyed {
        wall: spent.wall.as_secs_f64(),
        cpu: spent.cpu.as_secs_f64(),
        known: summary.known,
        reached: summary.reached,
        most_resident: most_resident(),
    })
}

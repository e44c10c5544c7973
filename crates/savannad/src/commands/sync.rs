//! `savanna sync`: the chain, fetched from peers, verified and kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::future::join_all;
use savanna_net::{
    Client, Clock, Connector, Handshake, HandshakeRequest, LOOKUP_DEADLINE, Nil, NodeConfig, PeerId, Target, Tasks,
    resolve,
};
use savanna_store::{BlockStore, StoreError};
use savanna_sync::{Options, Peer, Summary, SyncError};
use savanna_wire::Network;
use tokio::signal::unix::{SignalKind, signal};
use tower::{Service as _, ServiceExt as _};

use super::summary::Outcome;
use crate::cli::SyncArgs;
use crate::telemetry::Telemetry;

mod progress;

use progress::Reporter;

/// How long connections have to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Fetches up to the tip, and prints where that is.
pub(crate) async fn run(args: SyncArgs) -> anyhow::Result<()> {
    let store = open(&args.dir, args.network).await?;
    let reporter = Reporter::new();
    let tasks = Tasks::new();
    let telemetry = Telemetry::start(&args.metrics, &tasks).await?;
    let node = NodeConfig { traffic: telemetry.traffic(), ..NodeConfig::new(args.network) };
    let peers = connect_all(&args.peers, args.network, node, &tasks, &reporter).await?;
    let result = fetch(peers, Arc::clone(&store), args.until, &reporter).await;
    reporter.finish();
    tasks.shutdown(DRAIN).await;
    let summary = result?;
    if args.json {
        println!("{}", serde_json::to_string(&Outcome::from(&summary))?);
    } else {
        println!("{}", to_text(&summary));
    }
    Ok(())
}

async fn open(dir: &Path, network: Network) -> anyhow::Result<Arc<BlockStore>> {
    let path = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || BlockStore::open(&path, network)).await?;
    let store = opened.map_err(|error| {
        // The other errors name the directory themselves.
        let is_anonymous = matches!(error, StoreError::Io(_) | StoreError::Engine(_) | StoreError::Corrupt { .. });
        let error = anyhow::Error::new(error);
        if is_anonymous { error.context(format!("{} cannot hold the chain", dir.display())) } else { error }
    })?;
    Ok(Arc::new(store))
}

/// Connects to every peer at once. Those that fail are told of; that all fail is an error.
async fn connect_all(
    targets: &[Target],
    network: Network,
    node: NodeConfig,
    tasks: &Tasks,
    reporter: &Reporter,
) -> anyhow::Result<Vec<Client>> {
    let connector = Connector::direct().with_traffic(node.traffic.clone());
    let handshake = Handshake::new(node, Nil, Clock::start(), tasks.spawner());
    let tries = targets.iter().map(|target| {
        let (connector, handshake) = (connector.clone(), handshake.clone());
        async move { (target, connect(target, network, connector, handshake).await) }
    });
    let (mut clients, mut failures) = (Vec::new(), Vec::new());
    for (target, result) in join_all(tries).await {
        match result {
            Ok(client) => clients.push(client),
            Err(error) => failures.push(format!("{target}: {error}")),
        }
    }
    if clients.is_empty() {
        return Err(anyhow!("no peer could be reached: {}", failures.join("; ")));
    }
    failures.iter().for_each(|failure| reporter.line(&format!("peer not reached: {failure}")));
    Ok(clients)
}

async fn connect(
    target: &Target,
    network: Network,
    connector: Connector,
    mut handshake: Handshake<Nil>,
) -> anyhow::Result<Client> {
    let mut last = None;
    for address in resolve(target, network.default_port(), LOOKUP_DEADLINE).await? {
        match connector.clone().oneshot(address.into()).await {
            Ok(dialed) => match handshake.call(HandshakeRequest::outbound(dialed, None)).await {
                Ok(client) => return Ok(client),
                Err(error) => last = Some(anyhow::Error::new(error)),
            },
            Err(error) => last = Some(anyhow::Error::new(error)),
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("it has no address")))
}

/// Synchronises until it is done or somebody interrupts it.
async fn fetch(
    clients: Vec<Client>,
    store: Arc<BlockStore>,
    until: Option<u32>,
    reporter: &Reporter,
) -> anyhow::Result<Summary> {
    let known = clients.iter().map(|client| (client.id(), client.clone())).collect();
    let peers = clients.into_iter().map(peer).collect();
    let options = Options { until, ..Options::default() };
    let synchronising = savanna_sync::sync(peers, Arc::clone(&store), options, |event| reporter.show(&event, &known));
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be watched")?;
    tokio::select! {
        result = synchronising => result.map_err(|error| explain(error, reporter)),
        _ = tokio::signal::ctrl_c() => Err(interrupted(store).await?),
        _ = terminate.recv() => Err(interrupted(store).await?),
    }
}

/// Adds what became of the peers to an error that is about them.
fn explain(error: SyncError, reporter: &Reporter) -> anyhow::Error {
    let gone = reporter.gone();
    if matches!(error, SyncError::NoPeers | SyncError::InvalidHeaders) && !gone.is_empty() {
        anyhow!("{error}: {}", gone.join("; "))
    } else {
        error.into()
    }
}

fn peer(client: Client) -> Peer<PeerId, Client> {
    let closer = client.clone();
    Peer::new(client.id(), client, move |reason| closer.close(reason))
}

/// Makes durable what is there, and says how to go on.
async fn interrupted(store: Arc<BlockStore>) -> anyhow::Result<anyhow::Error> {
    let tip = tokio::task::spawn_blocking(move || store.flush().map(|()| store.tip())).await??;
    let height = tip.map_or_else(|| "before the first block".to_owned(), |tip| format!("at height {}", tip.height));
    Ok(anyhow!("interrupted {height}; the same command goes on from there"))
}

fn to_text(summary: &Summary) -> String {
    let Summary { tip_height, tip_hash, blocks, peers, refetched, .. } = summary;
    let at = format!("height {tip_height}: {tip_hash}");
    if *blocks == 0 {
        return format!("{at}\nnothing new");
    }
    let (megabytes, seconds) = (summary.bytes as f64 / 1e6, summary.seconds());
    let again = if *refetched == 0 { String::new() } else { format!(", {refetched} of them asked for again") };
    let from = if *peers == 1 { "1 peer".to_owned() } else { format!("{peers} peers") };
    format!("{at}\n{blocks} blocks ({megabytes:.1} MB) from {from} in {seconds:.1} s{again}")
}

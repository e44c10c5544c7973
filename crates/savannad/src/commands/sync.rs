//! `savanna sync`: the chain, fetched from peers, verified and kept.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use savanna_net::{Clock, Network, NodeConfig, Tasks};
use savanna_peerset::{Config, Event, PeerSet};
use savanna_store::{BlockStore, StoreError};
use savanna_sync::{Options, Summary, SyncError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::summary::Outcome;
use crate::cli::SyncArgs;
use crate::telemetry::Telemetry;

mod dial;
mod progress;

use dial::{Missed, Places};
use progress::Reporter;

/// How long connections have to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Fetches up to the tip, and prints where that is.
pub(crate) async fn run(args: SyncArgs) -> anyhow::Result<()> {
    let store = open(&args.dir, args.network).await?;
    let reporter = Reporter::new();
    let places = Places::find(&args.peers, args.network).await?;
    places.unknown().for_each(|missed| reporter.miss(missed));
    let tasks = Tasks::new();
    let telemetry = Telemetry::start(&args.metrics, &tasks).await?;
    let result = fetch(places, Arc::clone(&store), args.until, &tasks, &telemetry, &reporter).await;
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

/// Synchronises with whoever is connected, until it is done or somebody interrupts it.
async fn fetch(
    places: Places,
    store: Arc<BlockStore>,
    until: Option<u32>,
    tasks: &Tasks,
    telemetry: &Telemetry,
    reporter: &Reporter,
) -> anyhow::Result<Summary> {
    let clock = Clock::start();
    let node = NodeConfig { traffic: telemetry.traffic(), ..NodeConfig::new(places.network()) };
    let set = PeerSet::spawn(Config::PUBLIC, node.seed, None, clock, &tasks.spawner());
    telemetry.watch(&set);
    let mut events = set.events();
    let (missed, mut misses) = mpsc::unbounded_channel::<Missed>();
    let mut untried = places.addresses();
    let mut has_joined = false;
    let source = places.keep_connected(set, node, clock, tasks, missed);
    let options = Options { until, ..Options::default() };
    let synchronising = savanna_sync::sync(source, Arc::clone(&store), options, |progress| reporter.show(&progress));
    let mut synchronising = pin!(synchronising);
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be watched")?;
    loop {
        tokio::select! {
            // Whoever is told of is known by then.
            biased;
            Some(event) = events.next() => {
                has_joined |= matches!(event, Event::Joined { .. });
                reporter.hear(&event);
            }
            Some(missed) = misses.recv() => {
                reporter.miss(&missed);
                untried.remove(&missed.peer);
                if untried.is_empty() && !has_joined {
                    bail!("no peer could be reached: {}", reporter.trouble().join("; "));
                }
            }
            result = &mut synchronising => return result.map_err(|error| explain(error, reporter)),
            _ = tokio::signal::ctrl_c() => return Err(interrupted(store).await?),
            _ = terminate.recv() => return Err(interrupted(store).await?),
        }
    }
}

/// Adds what became of the peers to an error that is about them.
fn explain(error: SyncError, reporter: &Reporter) -> anyhow::Error {
    let trouble = reporter.trouble();
    let is_about_peers = matches!(error, SyncError::NoPeers | SyncError::InvalidHeaders | SyncError::Silent);
    if is_about_peers && !trouble.is_empty() { anyhow!("{error}: {}", trouble.join("; ")) } else { error.into() }
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

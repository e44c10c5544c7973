//! `savanna sync`: the chain, fetched from peers, verified and kept.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use savanna_net::{Clock, Network, NodeConfig, Tasks};
use savanna_peerset::{Config, DnsSeeds, Events, PeerSet, Seeds};
use savanna_store::{BlockStore, StoreError};
use savanna_sync::{Options, Summary, SyncError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::gathering::Gathering;
use super::summary::Outcome;
use crate::cli::SyncArgs;
use crate::telemetry::Telemetry;

mod dial;
mod find;
mod outlook;
mod progress;

use dial::{Missed, Places};
use find::{FIRST_PEER_WITHIN, Search};
use outlook::{Named, Outlook};
use progress::Reporter;

/// How long connections have to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Fetches up to the tip, and prints where that is.
pub(crate) async fn run(args: SyncArgs) -> anyhow::Result<()> {
    let network = args.network;
    let is_finding = args.peers.is_empty();
    if is_finding && network.dns_seeds().is_empty() {
        bail!("{network} has no DNS seeds, so name a peer with --peer");
    }
    let store = open(&args.dir, network).await?;
    let reporter = if is_finding { Reporter::of_found() } else { Reporter::of_named() };
    let places = if is_finding { None } else { Some(Places::find(&args.peers, network).await?) };
    places.iter().flat_map(Places::unknown).for_each(|missed| reporter.miss(missed));
    let tasks = Tasks::new();
    let telemetry = Telemetry::start(&args.metrics, &tasks).await?;
    let job = Job { store, until: args.until, telemetry: &telemetry, reporter: &reporter };
    let result = match places {
        Some(places) => fetch_from_named(places, &job, &tasks).await,
        None => fetch_from_found(DnsSeeds(network), &args.dir, &job).await,
    };
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

/// What is to be fetched, and who is told of it.
struct Job<'a> {
    store: Arc<BlockStore>,
    until: Option<u32>,
    telemetry: &'a Telemetry,
    reporter: &'a Reporter,
}

/// Fetches from the peers that were named, and from nobody else.
async fn fetch_from_named(places: Places, job: &Job<'_>, tasks: &Tasks) -> anyhow::Result<Summary> {
    let clock = Clock::start();
    let node = NodeConfig { traffic: job.telemetry.traffic(), ..NodeConfig::new(places.network()) };
    let set = PeerSet::spawn(Config::PUBLIC, node.seed, None, clock, &tasks.spawner());
    job.telemetry.watch(&set);
    let events = set.events();
    let (missed, misses) = mpsc::unbounded_channel::<Missed>();
    let mut outlook = Outlook::Named(Named::new(places.addresses(), misses));
    let source = places.keep_connected(set, node, clock, tasks, missed);
    fetch(source, events, &mut outlook, Options::default(), job).await
}

/// Fetches from peers that seeds name, and those others, and that the address book in `dir` knows.
async fn fetch_from_found(seeds: impl Seeds + Sync, dir: &Path, job: &Job<'_>) -> anyhow::Result<Summary> {
    let search = Search::start(job.store.network(), dir, seeds, job.telemetry).await?;
    job.reporter.line(&match search.known() {
        0 => "looking for peers".to_owned(),
        known => format!("looking for peers; known addresses: {known}"),
    });
    let (source, events) = (search.source(), search.events());
    let options = Options { first_peer_within: FIRST_PEER_WITHIN, ..Options::default() };
    let mut outlook = Outlook::Found(search);
    let result = fetch(source, events, &mut outlook, options, job).await;
    outlook.end(DRAIN).await;
    result
}

/// Synchronises with whoever is connected, until it is done or somebody interrupts it.
async fn fetch(
    source: Gathering,
    mut events: Events,
    outlook: &mut Outlook,
    options: Options,
    job: &Job<'_>,
) -> anyhow::Result<Summary> {
    let Job { store, until, reporter, .. } = job;
    let options = Options { until: *until, ..options };
    let synchronising = savanna_sync::sync(source, Arc::clone(store), options, |progress| reporter.show(&progress));
    let mut synchronising = pin!(synchronising);
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be watched")?;
    loop {
        tokio::select! {
            // Whoever is told of is known by then.
            biased;
            Some(event) = events.next() => {
                outlook.hear(&event);
                reporter.hear(&event);
            }
            () = outlook.is_in_vain(reporter) => bail!("no peer could be reached: {}", outlook.why(reporter)),
            result = &mut synchronising => return result.map_err(|error| explain(error, &outlook.why(reporter))),
            _ = tokio::signal::ctrl_c() => return Err(interrupted(Arc::clone(store)).await?),
            _ = terminate.recv() => return Err(interrupted(Arc::clone(store)).await?),
        }
    }
}

/// Adds what became of the peers to an error that is about them.
fn explain(error: SyncError, trouble: &str) -> anyhow::Error {
    let is_about_peers = matches!(error, SyncError::NoPeers | SyncError::InvalidHeaders | SyncError::Silent);
    if is_about_peers && !trouble.is_empty() { anyhow!("{error}: {trouble}") } else { error.into() }
}

/// Makes durable what is there, and says how to go on.
async fn interrupted(store: Arc<BlockStore>) -> anyhow::Result<anyhow::Error> {
    let tip = tokio::task::spawn_blocking(move || store.flush().map(|()| store.tip())).await??;
    let height = tip.map_or_else(|| "before the first block".to_owned(), |tip| format!("at height {}", tip.height));
    Ok(anyhow!("interrupted {height}; the same command goes on from there"))
}

fn to_text(summary: &Summary) -> String {
    let Summary { tip_height, tip_hash, blocks, peers, refetched, short_of, .. } = summary;
    let behind = short_of.map_or_else(String::new, |height| {
        format!("\nthe chains of these peers end there, and the network has a block at height {height}: others may have more")
    });
    let at = format!("height {tip_height}: {tip_hash}{behind}");
    if *blocks == 0 {
        return format!("{at}\nnothing new");
    }
    let (megabytes, seconds) = (summary.bytes as f64 / 1e6, summary.seconds());
    let again = if *refetched == 0 { String::new() } else { format!(", {refetched} of them asked for again") };
    let from = if *peers == 1 { "1 peer".to_owned() } else { format!("{peers} peers") };
    format!("{at}\n{blocks} blocks ({megabytes:.1} MB) from {from} in {seconds:.1} s{again}")
}

#[cfg(test)]
mod tests;

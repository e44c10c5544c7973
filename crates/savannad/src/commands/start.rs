//! `savanna start`: a node that finds peers, follows the chain, keeps it, and serves it to others, until it is told to end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use savanna::{Node, StartError};
use savanna_net::{Proxy, Tasks, Traffic};
use savanna_store::BlockStore;
use savanna_sync::serve::{ArchiveService, Limits};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::parts::Parts;
use super::seeds::{NamedSeeds, Watched};
use super::signals::Signals;
use crate::cli::NodeArgs;
use crate::config::{Config, check_variables, number, process_environment};
use crate::telemetry::{self, Telemetry};
use crate::web;

mod chain;
mod disk;
mod following;
mod neighbours;
mod offer;
mod pages;
mod refusal;
mod screen;

use chain::Chain;
use disk::Disk;
use following::Following;
use neighbours::Neighbours;
use offer::Offer;
use pages::View;
pub(super) use refusal::of_socket;

/// What of the time for the end is left to the disk.
const FOR_DISK: u32 = 2;

/// How long it takes until names that nobody knew are looked up again; it doubles up to the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Runs a node until a signal ends it.
pub(crate) async fn run(args: NodeArgs) -> anyhow::Result<()> {
    check_variables(std::env::vars_os().map(|(name, _)| name))?;
    let mut config = Config::load(&args, &process_environment)?;
    telemetry::init_node(&config.log, config.log_format)?;
    config.keep_to_what_is_there();
    let mut signals = Signals::watch()?;
    let running = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "ended before it began");
            return Ok(());
        }
        running = Running::start(config) => running?,
    };
    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "ending; a second signal ends at once");
            Ok(())
        }
        part = running.parts.ended() => Err(anyhow!("the part of the node that is {part} has ended, which is a fault of this program")),
    };
    tokio::select! {
        drained = running.drain() => ended.and(drained),
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once: blocks since the last durable point may have to be fetched again");
            // Nothing is to be waited for: not even what the destructors would wait for.
            std::process::exit(1)
        }
    }
}

/// A node that runs.
struct Running {
    config: Config,
    store: Arc<BlockStore>,
    node: Node,
    tasks: Tasks,
    parts: Parts,
    chain: Arc<watch::Sender<Chain>>,
}

impl Running {
    /// Opens the disk, binds every socket, and then begins to run.
    ///
    /// # Errors
    /// A sentence that a person can act on. Nothing runs then.
    async fn start(config: Config) -> anyhow::Result<Self> {
        let store = disk::open(&config).await?;
        let pages = match config.http {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| refusal::of_http(address, &error))?),
            None => None,
        };
        let telemetry = Telemetry::new();
        let chain = Arc::new(watch::Sender::new(Chain::of(store.tip())));
        let offer = Offer::new(&config, &chain);
        let limits = Limits { bytes: number(config.serve_memory), ..Limits::DEFAULT };
        let service = ArchiveService::new(Arc::clone(&store), limits).yielding_to(offer.standing());
        let seeds = NamedSeeds { names: config.dns_seeds.clone(), network: config.network };
        let (seeds, answered) = Watched::new(seeds);
        let asks_seeds = !config.dns_seeds.is_empty() || !config.network.dns_seeds().is_empty();
        let mut rest = FIRST_REST;
        let node = loop {
            let builder = builder(&config, telemetry.traffic()).serve(service.clone()).standing(offer.standing());
            let builder = if asks_seeds { builder.seeds(seeds.clone()) } else { builder };
            match builder.start().await {
                Ok(node) => break node,
                // A machine that has only begun may have no names yet.
                Err(error @ StartError::Resolve(_)) => {
                    tracing::warn!("{error}; the names are looked up again in {} s", rest.as_secs());
                    sleep(rest).await;
                    rest = (rest * 2).min(LONGEST_REST);
                }
                Err(error) => return Err(refusal::of_start(error, &config)),
            }
        };
        telemetry.find(&node);
        let neighbours = Neighbours::new(&config, answered, node.discovery(), Arc::clone(&chain));
        let disk = Disk::new(Arc::clone(&store), Arc::clone(&chain));
        let (standing, seen) = (offer.standing(), neighbours.clone());
        let view = View::new(&config, &node, &telemetry, standing, service, disk.clone(), seen);
        telemetry.add(view.clone());
        let running = Self { config, store, node, tasks: Tasks::new(), parts: Parts::new(), chain };
        running.announce();
        running.spawn(offer, neighbours, disk, view, pages.map(|listener| (listener, telemetry)))?;
        Ok(running)
    }

    /// Says where the node begins.
    fn announce(&self) {
        let Self { config, store, node, .. } = self;
        let (network, dir, tip) = (config.network, config.dir.display(), store.tip());
        let height = tip.map_or_else(|| "none".to_owned(), |tip| tip.height.to_string());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %network, %dir, %height, "savanna begins");
        node.listening().iter().for_each(|address| tracing::info!(%address, "peers may dial this node"));
    }

    fn spawn(
        &self,
        offer: Offer,
        neighbours: Neighbours,
        disk: Disk,
        view: View,
        pages: Option<(TcpListener, Telemetry)>,
    ) -> anyhow::Result<()> {
        let Self { config, store, node, tasks, parts, chain } = self;
        let spawn = |name, part: BoxFuture<'static, ()>| tasks.spawn(parts.watch(name, tasks.spawner().stop(), part));
        let set = node.peer_set();
        let following =
            Following::new(config, set.clone(), Arc::clone(store), Arc::clone(chain), neighbours.clone(), disk.clone());
        spawn("following the chain", following.run().boxed());
        spawn("telling where it stands", offer.run(set.clone()).boxed());
        spawn("listening to its peers", neighbours.listen(node.events()).boxed());
        spawn("showing how far it is", screen::run(view.clone()).boxed());
        if config.transaction_index {
            spawn("noting transactions", disk.index_transactions().boxed());
        }
        if let Some((listener, telemetry)) = pages {
            let address = listener.local_addr()?;
            tracing::info!("/metrics, /health, /ready and /status at http://{address}");
            let pages = pages::router(view, parts.alive()).merge(telemetry.pages());
            tasks.spawn(web::serve(listener, pages::or_nothing(pages), tasks.spawner().stop()));
        }
        Ok(())
    }

    /// Ends in good order: nobody is let in or asked any more, the book is saved, and what was written is made durable.
    async fn drain(self) -> anyhow::Result<()> {
        let began = Instant::now();
        let bound = Duration::from_secs(self.config.shutdown);
        let for_tasks = bound / FOR_DISK;
        let (aborted, late) = tokio::join!(self.node.shutdown(for_tasks), self.tasks.shutdown(for_tasks));
        if aborted + late > 0 {
            tracing::warn!(tasks = aborted + late, "what did not end in time was cut short");
        }
        let store = Arc::clone(&self.store);
        let flushing = tokio::task::spawn_blocking(move || store.flush().map(|()| store.tip()));
        match timeout(bound.saturating_sub(began.elapsed()), flushing).await {
            Ok(Ok(Ok(tip))) => {
                let height = tip.map_or_else(|| "none".to_owned(), |tip| tip.height.to_string());
                tracing::info!(%height, "ended");
                Ok(())
            }
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => bail!("the disk took longer than {} s to write the last blocks", bound.as_secs()),
        }
    }
}

/// Says what the node is to be, but for what it serves.
fn builder(config: &Config, traffic: Traffic) -> savanna::Builder {
    let mut builder = Node::builder(config.network)
        .dir(&config.dir)
        .traffic(traffic)
        .outbound(number(config.outbound))
        .private_addresses(config.private_addresses)
        .slots(config.slots())
        .accept_rates(config.rates());
    if config.outbound == savanna::DEFAULT_OUTBOUND as u64 {
        builder = builder.grow_to(savanna::DEFAULT_CEILING);
    }
    if config.named_only {
        builder = builder.named_only();
    }
    if let Some(address) = config.proxy {
        builder = builder.proxy(Proxy { address, isolate: true });
    }
    if !config.user_agent.is_empty() {
        builder = builder.user_agent(&config.user_agent);
    }
    builder = config.listen.iter().fold(builder, |builder, address| builder.listen(*address));
    config.peers.iter().cloned().fold(builder, savanna::Builder::peer_named)
}

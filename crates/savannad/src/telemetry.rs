//! What the program tells of itself apart from its results: log lines, and numbers for Prometheus.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use savanna::Node;
use savanna_net::{Tasks, Traffic};
use savanna_peerset::PeerSet;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::cli::MetricsArgs;

use page::Page;
pub(crate) use sources::CrawlNumbers;
use sources::{Build, Crawl, Discovery, Network, Process};

mod http;
mod metrics;
mod page;
mod sources;

/// The environment variable that sets how much is logged, as in `SAVANNA_LOG=savanna_net=debug`.
pub(crate) const LOG_VARIABLE: &str = "SAVANNA_LOG";

/// Sends log lines to standard error; results alone go to standard output.
pub(crate) fn init() {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

/// Something that has numbers.
pub(crate) trait Source: Send + Sync + 'static {
    /// Writes its numbers as they are at this moment.
    fn write(&self, page: &mut Page);
}

/// The numbers of a command.
///
/// Nothing is collected: whoever asks for the page has it written from the counters as they are. So an unread page costs
/// nothing, and one that is read often keeps nothing.
#[derive(Clone)]
pub(crate) struct Telemetry {
    traffic: Traffic,
    sources: Arc<Mutex<Vec<Box<dyn Source>>>>,
}

impl Telemetry {
    /// Begins to count, and to serve the numbers if that is wanted, until `tasks` end.
    pub(crate) async fn start(args: &MetricsArgs, tasks: &Tasks) -> anyhow::Result<Self> {
        let telemetry = Self::new();
        if let Some(address) = args.metrics {
            let served = telemetry.serve(address, tasks).await;
            let served = served.with_context(|| format!("metrics cannot be served at {address}"))?;
            eprintln!("metrics at http://{served}/metrics");
        }
        Ok(telemetry)
    }

    /// Serves the numbers, and returns where.
    async fn serve(&self, address: SocketAddr, tasks: &Tasks) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let served = listener.local_addr()?;
        let (telemetry, stop) = (self.clone(), tasks.spawner().stop());
        tasks.spawn(http::serve(listener, move || telemetry.page(), stop));
        Ok(served)
    }

    fn new() -> Self {
        let traffic = Traffic::default();
        let telemetry = Self { traffic: traffic.clone(), sources: Arc::default() };
        telemetry.add(Build);
        telemetry.add(traffic);
        telemetry.add(Process::start());
        telemetry
    }

    /// Returns what is to count the connections and the dials of the command.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }

    /// Tells of a crawl from here on; what is sent is its numbers.
    pub(crate) fn crawl(&self) -> watch::Sender<CrawlNumbers> {
        let (numbers, told) = watch::channel(CrawlNumbers::default());
        self.add(Crawl(told));
        numbers
    }

    /// Tells of a set of peers from here on, which this does not keep alive. There can be one.
    pub(crate) fn watch(&self, set: &PeerSet) {
        self.add(Network::of(set));
    }

    /// Tells of a node that finds its own peers from here on, which this does not keep alive. There can be one, and no set of
    /// peers beside it.
    pub(crate) fn find(&self, node: &Node) {
        self.watch(node.peer_set());
        self.add(Discovery(node.discovery()));
        self.add(node.door().clone());
    }

    /// Tells of something more from here on.
    pub(crate) fn add(&self, source: impl Source) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// Writes all numbers in Prometheus' text format.
    pub(crate) fn page(&self) -> String {
        let mut page = Page::new();
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|source| source.write(&mut page));
        page.finish()
    }
}

#[cfg(test)]
mod tests;

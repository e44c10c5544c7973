//! What the program tells of itself apart from its results: log lines, and numbers for Prometheus.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use savanna::Node;
use savanna_net::{Tasks, Traffic};
use savanna_peerset::PeerSet;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::MetricsArgs;
use crate::web;

pub(crate) use log::{Screen, init, init_node, init_seeder, is_filter, is_private_filter};
pub(crate) use node::{NodeNumbers, TROUBLES};
pub(crate) use page::Page;
pub(crate) use seed::{DnsNumbers, NetworkNumbers};
pub(crate) use sources::CrawlNumbers;
use sources::{Build, Crawl, Discovery, Network, Process};

mod log;
mod metrics;
mod node;
mod page;
mod seed;
mod sources;

/// Where the numbers are.
const PATH: &str = "/metrics";

/// What their text is (Prometheus' exposition format).
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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
        let nothing_else = async || (StatusCode::NOT_FOUND, format!("404 Not Found: the numbers are at {PATH}\n"));
        tasks.spawn(web::serve(listener, self.pages().fallback(nothing_else), tasks.spawner().stop()));
        Ok(served)
    }

    /// Returns the page of the numbers, to be served.
    pub(crate) fn pages(&self) -> Router {
        let telemetry = self.clone();
        let page = move || std::future::ready(([(header::CONTENT_TYPE, CONTENT_TYPE)], telemetry.page()));
        Router::new().route(PATH, get(page))
    }

    /// Begins to count.
    pub(crate) fn new() -> Self {
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

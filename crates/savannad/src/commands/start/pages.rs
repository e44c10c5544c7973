//! What the node tells over HTTP: whether it works, whether it is of use, and where it stands.

use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use savanna::Node;
use savanna_net::{Direction, Traffic};
use savanna_peerset::PeerCounts;
use savanna_store::BlockStore;
use savanna_sync::serve::{ArchiveService, ServeCounts};
use savanna_wire::{Network, Services};
use serde::Serialize;
use tokio::sync::watch;

use super::chain::Chain;
use super::disk::Disk;
use super::neighbours::Neighbours;
use crate::config::Config;
use crate::telemetry::{NodeNumbers, Page, Source, Telemetry};

/// What can be seen of a node. Clones see the same.
#[derive(Clone)]
pub(super) struct View {
    network: Network,
    began: Instant,
    traffic: Traffic,
    peers: watch::Receiver<PeerCounts>,
    chain: watch::Receiver<Chain>,
    standing: watch::Receiver<savanna_net::Standing>,
    service: Arc<ArchiveService<BlockStore>>,
    disk: Disk,
    neighbours: Neighbours,
}

/// How many peers there are, by who dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Peers {
    pub(super) inbound: u64,
    pub(super) outbound: u64,
    /// Those that take any question at once.
    pub(super) ready: usize,
}

/// The answer of `/status`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    network: String,
    uptime_seconds: u64,
    tip_height: Option<u32>,
    tip_hash: Option<String>,
    target_height: u32,
    synced: bool,
    serving: bool,
    peers: Peers,
    sync: Sync,
    served: Served,
    transactions: Transactions,
    reorganisations: u64,
    disk: Room,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Sync {
    blocks_per_second: u64,
    bytes_per_second: u64,
    blocks: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Served {
    headers: u64,
    blocks: u64,
    bytes: u64,
}

/// Transactions that peers have announced of late.
#[derive(Debug, Serialize)]
struct Transactions {
    announced: usize,
    by_several: usize,
}

#[derive(Debug, Serialize)]
struct Room {
    free_bytes: Option<u64>,
}

/// The answer of `/ready`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl View {
    pub(super) fn new(
        config: &Config,
        node: &Node,
        telemetry: &Telemetry,
        standing: watch::Receiver<savanna_net::Standing>,
        service: ArchiveService<BlockStore>,
        disk: Disk,
        neighbours: Neighbours,
    ) -> Self {
        let (network, began, peers) = (config.network, Instant::now(), node.peer_set().peers());
        let (traffic, service, chain) = (telemetry.traffic(), Arc::new(service), neighbours.chain());
        Self { network, began, traffic, peers, chain, standing, service, disk, neighbours }
    }

    /// Returns the chain as it is.
    pub(super) fn chain(&self) -> Chain {
        self.chain.borrow().clone()
    }

    pub(super) fn peers(&self) -> Peers {
        let ready = self.peers.borrow().ready;
        let count = |direction| self.traffic.connections(direction);
        Peers { inbound: count(Direction::Inbound), outbound: count(Direction::Outbound), ready }
    }

    /// Returns whether peers are told that the chain is served.
    pub(super) fn is_serving(&self) -> bool {
        self.standing.borrow().services.contains(Services::NODE_NETWORK)
    }

    fn served(&self) -> ServeCounts {
        self.service.counts()
    }

    fn status(&self) -> Status {
        let (chain, served) = (self.chain(), self.served());
        let (rate, transactions) = (chain.rate(Instant::now()), self.neighbours.transactions());
        Status {
            version: env!("CARGO_PKG_VERSION"),
            network: self.network.to_string(),
            uptime_seconds: self.began.elapsed().as_secs(),
            tip_height: chain.height(),
            tip_hash: chain.tip.map(|tip| tip.hash.to_string()),
            target_height: chain.target,
            synced: chain.is_synced,
            serving: self.is_serving(),
            peers: self.peers(),
            sync: Sync {
                blocks_per_second: rate.blocks,
                bytes_per_second: rate.bytes,
                blocks: chain.blocks,
                bytes: chain.bytes,
            },
            served: Served { headers: served.headers, blocks: served.blocks, bytes: served.block_bytes },
            transactions: Transactions { announced: transactions.transactions, by_several: transactions.shared },
            reorganisations: chain.reorganisations,
            disk: Room { free_bytes: self.disk.free() },
            trouble: chain.trouble().map(|trouble| trouble.sentence.clone()),
        }
    }

    /// Says why the node is of no use yet, if it is not.
    fn unready(&self) -> Option<String> {
        let chain = self.chain();
        if let Some(trouble) = chain.trouble() {
            return Some(trouble.sentence.clone());
        }
        if self.peers.borrow().total() == 0 {
            return Some("there is no peer".to_owned());
        }
        let height = chain.height().map_or_else(|| "no block".to_owned(), |height| format!("height {height}"));
        (!chain.is_synced).then(|| format!("the chain is being fetched: {height} of {} is here", chain.target))
    }
}

impl Source for View {
    fn write(&self, page: &mut Page) {
        let chain = self.chain();
        let rate = chain.rate(Instant::now());
        let numbers = NodeNumbers {
            tip: chain.height(),
            target: chain.target,
            is_synced: chain.is_synced,
            is_serving: self.is_serving(),
            blocks: chain.blocks,
            bytes: chain.bytes,
            blocks_per_second: rate.blocks,
            bytes_per_second: rate.bytes,
            reorganisations: chain.reorganisations,
            download: chain.download,
            transactions: self.neighbours.transactions(),
            trouble: chain.trouble().map(|trouble| trouble.kind.label()),
            served: self.served(),
            free: self.disk.free(),
        };
        numbers.write(page);
    }
}

/// Serves what can be seen; `fallen` names a part of the node that has ended.
pub(super) fn router(view: View, fallen: watch::Receiver<Option<&'static str>>) -> Router {
    let health = move || {
        let fallen = *fallen.borrow();
        ready(match fallen {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(part) => (StatusCode::SERVICE_UNAVAILABLE, format!("the part that is {part} has ended\n")),
        })
    };
    let status = async |State(view): State<View>| Json(view.status());
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(readiness))
        .route("/status", get(status))
        .with_state(view)
}

async fn readiness(State(view): State<View>) -> Response {
    let reason = view.unready();
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reason.is_none(), reason })).into_response()
}

/// Tells whoever asks for something else what there is.
pub(super) fn or_nothing(pages: Router) -> Router {
    pages.fallback(async || (StatusCode::NOT_FOUND, "404 Not Found: there are /metrics, /health, /ready and /status\n"))
}

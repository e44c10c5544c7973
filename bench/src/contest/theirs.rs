//! `zebra-network`: one peer by `connect_isolated_tcp_direct`, its whole pool by `init`.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use savanna_wire::BlockHash;
use tower_04::{Service, ServiceExt, service_fn};
use zebra_chain::block;
use zebra_chain::chain_tip::NoChainTip;
use zebra_chain::parameters::{Network, testnet::RegtestParameters};
use zebra_network::address_book_peers::AddressBookPeers as _;
use zebra_network::types::Nonce;
use zebra_network::{BoxError, CacheDir, Config, NetworkService, Request, Response, connect_isolated_tcp_direct};

use super::{Fetched, Idle, Pings, median_micros, resident};
use crate::measure::Stopwatch;

/// How many requests wait at the pool for each peer: one under way and one to follow it.
const PER_PEER: usize = 2;

/// How many connections are dialled at once.
const AT_ONCE: usize = 64;

/// How often a request may fail before the contest does.
const FAILURES: usize = 100;

fn network() -> Network {
    Network::new_regtest(RegtestParameters::default())
}

fn theirs(error: BoxError) -> anyhow::Error {
    anyhow!("zebra-network: {error}")
}

/// Makes a pool that is connected to all of `peers`.
async fn pool(peers: &[SocketAddr]) -> Result<NetworkService> {
    let config = Config {
        network: network(),
        listen_addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        initial_testnet_peers: peers.iter().map(ToString::to_string).collect(),
        cache_dir: CacheDir::IsEnabled(false),
        max_connections_per_ip: peers.len(),
        peerset_initial_target_size: peers.len(),
        // Longer than any contest: nothing is to be crawled meanwhile.
        crawl_new_peer_interval: Duration::from_secs(3600),
        ..Config::default()
    };
    let nothing = service_fn(|_: Request| async { Ok::<_, BoxError>(Response::Nil) });
    let (pool, book, _, _) = zebra_network::init(config, nothing, NoChainTip, "/bench/".to_owned()).await;
    let connected = || book.lock().map(|book| book.recently_live_peers(chrono_now()).len()).unwrap_or_default();
    let all = async {
        while connected() < peers.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::CONNECT, all).await.context("zebra-network does not connect to all peers")?;
    Ok(pool)
}

pub(super) async fn fetch(hashes: &[BlockHash], batch: usize, peers: &[SocketAddr]) -> Result<Fetched> {
    let pool = pool(peers).await?;
    let watch = Stopwatch::start();
    let mut wanted: Vec<HashSet<block::Hash>> =
        hashes.chunks(batch).rev().map(|chunk| chunk.iter().map(|hash| block::Hash(hash.0)).collect()).collect();
    let mut under_way = FuturesUnordered::new();
    let (mut blocks, mut failures) = (0, 0);
    loop {
        while under_way.len() < PER_PEER * peers.len()
            && let Some(ask) = wanted.pop()
        {
            let mut pool = pool.clone();
            under_way.push(async move {
                let asked = async { pool.ready().await?.call(Request::BlocksByHash(ask.clone())).await };
                (asked.await, ask)
            });
        }
        let Some((answer, ask)) = under_way.next().await else { break };
        match answer {
            Ok(Response::Blocks(found)) => {
                blocks += found.iter().filter(|response| response.is_available()).count();
                let missing: HashSet<_> = found.iter().filter_map(|response| response.missing()).collect();
                if !missing.is_empty() {
                    wanted.push(missing);
                }
            }
            Ok(other) => bail!("zebra-network answers {}", other.command()),
            Err(error) => {
                failures += 1;
                ensure!(failures < FAILURES, theirs(error));
                wanted.push(ask);
            }
        }
    }
    let spent = watch.spent();
    ensure!(blocks == hashes.len(), "zebra-network received {blocks} of {} blocks", hashes.len());
    Ok(Fetched::new(spent, blocks))
}

pub(super) async fn ping(pings: &Pings) -> Result<f64> {
    let mut client = connect_isolated_tcp_direct(&network(), pings.peer, "/bench/".to_owned()).await.map_err(theirs)?;
    let mut trips = Vec::with_capacity(pings.rounds);
    for _ in 0..pings.rounds {
        let before = Instant::now();
        let asked = async { client.ready().await?.call(Request::Ping(Nonce::default())).await };
        let Response::Pong(_) = asked.await.map_err(|error| anyhow!("zebra-network: {error}"))? else {
            bail!("no pong")
        };
        trips.push(before.elapsed());
    }
    Ok(median_micros(trips))
}

/// Returns the bytes that each of many idle connections holds.
pub(super) async fn idle(idle: &Idle) -> Result<f64> {
    let network = network();
    let connect = || connect_isolated_tcp_direct(&network, idle.peer, "/bench/".to_owned());
    let first = connect().await.map_err(theirs)?;
    let before = resident();
    let dials = (0..idle.connections).map(|_| connect());
    let mut held: Vec<_> = stream::iter(dials).buffer_unordered(AT_ONCE).try_collect().await.map_err(theirs)?;
    // Ready is who has nothing under way.
    for client in &mut held {
        client.ready().await.map_err(|error| anyhow!("zebra-network: {error}"))?;
    }
    let grown = resident().saturating_sub(before);
    drop((first, held));
    Ok(grown as f64 / idle.connections as f64)
}

fn chrono_now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

//! Zebra's side: a whole pool by `init`, with an inbound service that serves the fixture.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc;
use tower_04::{Service, ServiceExt, service_fn};
use zebra_chain::block::CountedHeader;
use zebra_chain::chain_tip::NoChainTip;
use zebra_chain::parameters::Network;
use zebra_chain::serialization::DateTime32;
use zebra_network::types::{MetaAddr, PeerServices};
use zebra_network::{
    AddressBook, BlockAdvertiser, BoxError, CacheDir, Config, InventoryResponse, NetworkService, Request, Response,
    init,
};

use crate::{Fixture, within};

/// How often the pool looks for somebody to dial; a minute where nobody says otherwise.
const CRAWL_EVERY: Duration = Duration::from_secs(1);

/// A node of Zebra's that listens on loopback.
pub struct TheirNode {
    /// Where it listens.
    pub address: SocketAddr,
    pool: NetworkService,
    advertiser: BlockAdvertiser<NoChainTip>,
    asked: mpsc::UnboundedReceiver<Request>,
}

impl TheirNode {
    /// Starts a node on mainnet that serves the fixture and dials `peers`.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(fixture: &Arc<Fixture>, peers: &[SocketAddr]) -> Result<Self> {
        let peers = peers.iter().map(ToString::to_string).collect();
        let config = Config { network: Network::Mainnet, initial_mainnet_peers: peers, ..config()? };
        Self::start_with(fixture, config, Addresses::OfFixture).await
    }

    /// Starts a node on regtest that serves the fixture, dials `peers` and whoever they tell it of, and tells of the addresses
    /// that it has come to know. Of `peers` it dials those on `127.0.0.1` alone.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_regtest(fixture: &Arc<Fixture>, peers: &[SocketAddr]) -> Result<Self> {
        let peers = peers.iter().map(ToString::to_string).collect();
        let network = Network::new_regtest(Default::default());
        let config =
            Config { network, initial_testnet_peers: peers, crawl_new_peer_interval: CRAWL_EVERY, ..config()? };
        Self::start_with(fixture, config, Addresses::OfBook(Arc::default())).await
    }

    async fn start_with(fixture: &Arc<Fixture>, config: Config, addresses: Addresses) -> Result<Self> {
        let address = config.listen_addr;
        let (asked_in, asked) = mpsc::unbounded_channel();
        let (served, told) = (Arc::clone(fixture), addresses.clone());
        let service = service_fn(move |request: Request| {
            let _ = asked_in.send(request.clone());
            let response = match request {
                Request::Peers => Response::Peers(told.tell(&served)),
                request => answer(&served, request),
            };
            async move { Ok::<_, BoxError>(response) }
        });
        let starting = init(config, service, NoChainTip, "/interop/".to_owned());
        let (pool, book, _, advertiser) = within("zebra-network starts", starting).await?;
        addresses.begin(book);
        Ok(Self { address, pool, advertiser, asked })
    }

    /// Asks the pool.
    ///
    /// # Errors
    /// Whatever the pool says.
    pub async fn ask(&mut self, request: Request) -> Result<Response> {
        let name = request.command();
        let asking = async { self.pool.ready().await?.call(request).await };
        within(name, asking).await?.map_err(|error: BoxError| anyhow!("zebra-network: {name}: {error}"))
    }

    /// Announces a block to peers.
    ///
    /// # Errors
    /// Whatever the pool says.
    pub async fn advertise(&mut self, hash: zebra_chain::block::Hash) -> Result<()> {
        let advertising = async { self.advertiser.ready().await?.call(Request::AdvertiseBlockToAll(hash)).await };
        within("zebra-network advertises", advertising).await?.map_err(|error: BoxError| anyhow!("{error}"))?;
        Ok(())
    }

    /// Waits until a peer has asked or told something that `is_wanted`, whatever else comes in between.
    ///
    /// # Errors
    /// If none does.
    pub async fn asked(&mut self, what: &str, is_wanted: impl Fn(&Request) -> bool) -> Result<Request> {
        within(what, async {
            loop {
                let request = self.asked.recv().await.context("zebra-network has stopped")?;
                if is_wanted(&request) {
                    return Ok(request);
                }
            }
        })
        .await?
    }
}

/// Returns what every node is configured as.
fn config() -> Result<Config> {
    Ok(Config {
        // It does not tell which port it was given, so it is told one that was free a moment ago.
        listen_addr: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?,
        cache_dir: CacheDir::IsEnabled(false),
        // Several nodes live at one address.
        max_connections_per_ip: 8,
        ..Config::default()
    })
}

/// Which addresses peers are told that ask for some.
#[derive(Clone)]
enum Addresses {
    OfFixture,
    /// Those of the pool's own book, which is there once the pool has started.
    OfBook(Arc<OnceLock<Arc<Mutex<AddressBook>>>>),
}

impl Addresses {
    fn begin(&self, book: Arc<Mutex<AddressBook>>) {
        if let Self::OfBook(cell) = self {
            let _ = cell.set(book);
        }
    }

    fn tell(&self, fixture: &Fixture) -> Vec<MetaAddr> {
        match self {
            Self::OfFixture => fixture.addresses.iter().map(told_peer).collect(),
            Self::OfBook(cell) => cell.get().map_or_else(Vec::new, |book| {
                book.lock().unwrap_or_else(PoisonError::into_inner).fresh_get_addr_response()
            }),
        }
    }
}

fn answer(fixture: &Fixture, request: Request) -> Response {
    let ours = |hash: &zebra_chain::block::Hash| savanna_wire::BlockHash(hash.0);
    let after = |known: &[zebra_chain::block::Hash], stop: Option<zebra_chain::block::Hash>| {
        let known: Vec<_> = known.iter().map(ours).collect();
        &fixture.their_blocks[fixture.after(&known, stop.as_ref().map(ours))]
    };
    match request {
        Request::FindBlocks { known_blocks, stop } => {
            Response::BlockHashes(after(&known_blocks, stop).iter().map(|block| block.hash()).collect())
        }
        Request::FindHeaders { known_blocks, stop } => {
            let counted = |block: &Arc<zebra_chain::block::Block>| CountedHeader { header: Arc::clone(&block.header) };
            Response::BlockHeaders(after(&known_blocks, stop).iter().map(counted).collect())
        }
        Request::BlocksByHash(hashes) => {
            let find = |hash| match fixture.their_blocks.iter().find(|block| block.hash() == hash) {
                Some(block) => InventoryResponse::Available((Arc::clone(block), None)),
                None => InventoryResponse::Missing(hash),
            };
            Response::Blocks(hashes.into_iter().map(find).collect())
        }
        Request::TransactionsById(ids) => {
            let find = |id| match fixture.their_transactions.iter().find(|transaction| transaction.id == id) {
                Some(transaction) => InventoryResponse::Available((transaction.clone(), None)),
                None => InventoryResponse::Missing(id),
            };
            Response::Transactions(ids.into_iter().map(find).collect())
        }
        Request::MempoolTransactionIds => {
            Response::TransactionIds(fixture.their_transactions.iter().map(|transaction| transaction.id).collect())
        }
        _ => Response::Nil,
    }
}

fn told_peer(address: &SocketAddr) -> MetaAddr {
    MetaAddr::new_gossiped_meta_addr((*address).into(), PeerServices::NODE_NETWORK, DateTime32::now())
}

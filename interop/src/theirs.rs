//! Zebra's side: a whole pool by `init`, with an inbound service that serves the fixture.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc;
use tower_04::{Service, ServiceExt, service_fn};
use zebra_chain::block::CountedHeader;
use zebra_chain::chain_tip::NoChainTip;
use zebra_chain::parameters::Network;
use zebra_chain::serialization::DateTime32;
use zebra_network::types::{MetaAddr, PeerServices};
use zebra_network::{
    BlockAdvertiser, BoxError, CacheDir, Config, InventoryResponse, NetworkService, Request, Response, init,
};

use crate::{Fixture, within};

/// A node of Zebra's on mainnet that listens on loopback.
pub struct TheirNode {
    /// Where it listens.
    pub address: SocketAddr,
    pool: NetworkService,
    advertiser: BlockAdvertiser<NoChainTip>,
    asked: mpsc::UnboundedReceiver<Request>,
}

impl TheirNode {
    /// Starts a node that serves the fixture and dials `peers`.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(fixture: &Arc<Fixture>, peers: &[SocketAddr]) -> Result<Self> {
        // It does not tell which port it was given, so it is told one that was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = Config {
            network: Network::Mainnet,
            listen_addr: address,
            initial_mainnet_peers: peers.iter().map(ToString::to_string).collect(),
            cache_dir: CacheDir::IsEnabled(false),
            // Both nodes live at one address.
            max_connections_per_ip: 8,
            ..Config::default()
        };
        let (asked_in, asked) = mpsc::unbounded_channel();
        let served = Arc::clone(fixture);
        let service = service_fn(move |request: Request| {
            let _ = asked_in.send(request.clone());
            let response = answer(&served, request);
            async move { Ok::<_, BoxError>(response) }
        });
        let starting = init(config, service, NoChainTip, "/interop/".to_owned());
        let (pool, _, _, advertiser) = within("zebra-network starts", starting).await?;
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

fn answer(fixture: &Fixture, request: Request) -> Response {
    let ours = |hash: &zebra_chain::block::Hash| savanna_wire::BlockHash(hash.0);
    let after = |known: &[zebra_chain::block::Hash], stop: Option<zebra_chain::block::Hash>| {
        let known: Vec<_> = known.iter().map(ours).collect();
        &fixture.their_blocks[fixture.after(&known, stop.as_ref().map(ours))]
    };
    match request {
        Request::Peers => Response::Peers(fixture.addresses.iter().map(told_peer).collect()),
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

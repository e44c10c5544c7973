//! Whom the examples talk to: the peers that the command line names, or a few that are started here, on loopback.
#![allow(dead_code, reason = "each example uses a part of this")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a node may have no answer to whatever else is asked")]

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use savanna::net::{LOOKUP_DEADLINE, Nil, resolve};
use savanna::tokio::time::timeout;
use savanna::tower::service_fn;
use savanna::{Block, Builder, Missing, Network, Node, Partial, Request, Response, Target, Transaction};
use savanna_sim::regtest;

/// Where the nodes that are started here listen: wherever the system has room.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How long ending may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

pub(crate) struct Peers {
    pub(crate) network: Network,
    pub(crate) targets: Vec<Target>,
    chain: Arc<Vec<Block>>,
    nodes: Vec<Node>,
}

impl Peers {
    /// Reads `NETWORK PEER...` from the command line. Without arguments, starts `count` nodes that hold the same short chain.
    pub(crate) async fn find(count: usize) -> Result<Self, Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1);
        let chain = Arc::new(regtest::chain(120, 2_000));
        if let Some(network) = arguments.next() {
            let targets = arguments.map(|peer| peer.parse()).collect::<Result<_, _>>()?;
            return Ok(Self { network: network.parse()?, targets, chain, nodes: Vec::new() });
        }
        let (mut targets, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let chain = Arc::clone(&chain);
            let service = service_fn(move |request| {
                let answer = answer(&chain, &request);
                async { Ok::<_, Infallible>(answer) }
            });
            let node = Node::builder(Network::Regtest).outbound(0).serve(service).listen(LOOPBACK).start().await?;
            targets.push(node.listening()[0].to_string().parse()?);
            nodes.push(node);
        }
        Ok(Self { network: Network::Regtest, targets, chain, nodes })
    }

    /// Begins a node that dials them.
    pub(crate) fn builder(&self) -> Builder<Nil> {
        self.targets.iter().cloned().fold(Node::builder(self.network), Builder::peer_named)
    }

    /// Waits until the node is connected to all of them, or to one that a seed named; five seconds at most.
    pub(crate) async fn joined(&self, node: &Node) -> usize {
        let _ = timeout(Duration::from_secs(5), node.connected(self.targets.len().max(1))).await;
        node.counts().total()
    }

    /// Returns an address of the first of them.
    pub(crate) async fn first(&self) -> Result<SocketAddr, Box<dyn Error>> {
        let target = self.targets.first().ok_or("name a peer behind the network")?;
        Ok(resolve(target, self.network.default_port(), LOOKUP_DEADLINE).await?[0])
    }

    /// Has each node that was started here announce a block. Real peers announce theirs when they have them.
    pub(crate) async fn announce(&self) -> Result<(), Box<dyn Error>> {
        for (node, block) in self.nodes.iter().zip(self.chain.iter().rev()) {
            node.connected(1).await;
            node.ask(Request::AdvertiseBlock(block.hash())).await?;
        }
        Ok(())
    }

    /// Ends what was started here.
    pub(crate) async fn shutdown(self) {
        for node in self.nodes {
            node.shutdown(DRAIN).await;
        }
    }
}

/// Answers as a node that holds a chain.
fn answer(chain: &[Block], request: &Request) -> Response {
    match request {
        Request::FindBlocks { locator, .. } => {
            let known = chain.iter().rposition(|block| locator.contains(&block.hash())).map_or(0, |at| at + 1);
            Response::BlockHashes(chain[known..].iter().map(Block::hash).collect())
        }
        Request::Blocks(hashes) => {
            let mut answer = Partial::complete(Vec::new());
            for hash in hashes {
                match chain.iter().find(|block| block.hash() == *hash) {
                    Some(block) => answer.found.push(block.clone()),
                    None => answer.missing.push((*hash, Missing::NotFound)),
                }
            }
            Response::Blocks(answer)
        }
        _ => Response::Nil,
    }
}

/// Returns a transaction: the coinbase of a block.
pub(crate) fn transaction() -> Result<Transaction, Box<dyn Error>> {
    let genesis = regtest::genesis();
    let first = savanna::chain::transactions(&genesis)?.next().ok_or("the block is empty")??;
    Ok(Transaction::new(first.bytes().to_vec().into())?)
}

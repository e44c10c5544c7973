//! Our side: a listener, a handshake, and an inbound service that serves the fixture.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use savanna_net::{
    Client, Clock, Connector, Handshake, HandshakeRequest, Listener, Network, NodeConfig, PeerId, SlotLimits, Slots,
    Tasks,
};
use savanna_peer::{Gossip, Missing, Partial, Request, Response};
use savanna_wire::{AddrV2, PeerAddr, Services};
use tokio::sync::mpsc;
use tower::{Service, ServiceExt};

use crate::{Fixture, within};

/// How long a handshake may take: Zebra takes in one connection a second.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A node of ours on mainnet that listens on loopback.
pub struct OurNode {
    /// Where it listens.
    pub address: SocketAddr,
    handshake: Handshake<Serving>,
    tasks: Tasks,
    inbound: mpsc::UnboundedReceiver<Client>,
    asked: mpsc::UnboundedReceiver<Request>,
    gossip: mpsc::Receiver<(PeerId, Gossip)>,
}

impl OurNode {
    /// Starts a node that serves the fixture.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(fixture: &Arc<Fixture>) -> Result<Self> {
        let (gossip_in, gossip) = mpsc::channel(64);
        let (asked_in, asked) = mpsc::unbounded_channel();
        let (inbound_in, inbound) = mpsc::unbounded_channel();
        let tasks = Tasks::new();
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), Slots::new(SlotLimits::LOCAL)).await?;
        let address = listener.local_addr()?;
        let service = Serving { fixture: Arc::clone(fixture), asked: asked_in };
        let handshake = Handshake::new(config(fixture, gossip_in), service, Clock::start(), tasks.spawner());
        let (mut accepting, spawner) = (handshake.clone(), tasks.spawner());
        let mut stop = spawner.stop();
        spawner.spawn(async move {
            let accept = async {
                loop {
                    let accepted = listener.accept().await;
                    if let Ok(client) = accepting.call(HandshakeRequest::inbound(accepted)).await {
                        // The queue keeps the client, and so the connection, until the test takes it.
                        let _ = inbound_in.send(client);
                    }
                }
            };
            tokio::select! {
                () = accept => {}
                () = stop.stopped() => {}
            }
        });
        Ok(Self { address, handshake, tasks, inbound, asked, gossip })
    }

    /// Connects to a peer.
    ///
    /// # Errors
    /// If there is no connection or no handshake.
    pub async fn connect(&mut self, address: SocketAddr) -> Result<Client> {
        let dialed = Connector::direct().with_deadline(HANDSHAKE).oneshot(PeerAddr::from(address)).await?;
        Ok(self.handshake.call(HandshakeRequest::outbound(dialed, None)).await?)
    }

    /// Waits for the next peer that has dialled us.
    ///
    /// # Errors
    /// If none does.
    pub async fn accepted(&mut self) -> Result<Client> {
        within("a peer dials us", self.inbound.recv()).await?.context("the node has stopped")
    }

    /// Waits for the next question that a peer asks.
    ///
    /// # Errors
    /// If none does.
    pub async fn asked(&mut self) -> Result<Request> {
        within("a peer asks us", self.asked.recv()).await?.context("the node has stopped")
    }

    /// Waits for a question of one kind, whatever else is asked in between.
    ///
    /// # Errors
    /// If none is asked.
    pub async fn asked_for(&mut self, wanted: &Request) -> Result<()> {
        within("a peer asks us a certain thing", async {
            while self.asked().await? != *wanted {}
            anyhow::Ok(())
        })
        .await?
    }

    /// Waits for the next thing that a peer tells unasked.
    ///
    /// # Errors
    /// If none does.
    pub async fn told(&mut self) -> Result<Gossip> {
        let told = within("a peer tells us something", self.gossip.recv()).await?;
        Ok(told.context("the node has stopped")?.1)
    }

    /// Ends every connection.
    ///
    /// # Errors
    /// If a task does not end by itself.
    pub async fn shutdown(self) -> Result<()> {
        let aborted = self.tasks.shutdown(SHUTDOWN).await;
        ensure!(aborted == 0, "{aborted} tasks had to be aborted");
        Ok(())
    }
}

fn config(fixture: &Fixture, gossip: mpsc::Sender<(PeerId, Gossip)>) -> NodeConfig {
    let mut config = NodeConfig::new(Network::Mainnet);
    config.session.services = Services::NODE_NETWORK;
    config.session.relay = true;
    config.session.height = u32::try_from(fixture.blocks.len() - 1).unwrap_or(0);
    config.outbound.handshake = HANDSHAKE;
    config.gossip = Some(gossip);
    config
}

/// Serves the fixture, and tells what was asked.
#[derive(Debug, Clone)]
struct Serving {
    fixture: Arc<Fixture>,
    asked: mpsc::UnboundedSender<Request>,
}

impl Service<Request> for Serving {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let _ = self.asked.send(request.clone());
        ready(Ok(answer(&self.fixture, request)))
    }
}

fn answer(fixture: &Fixture, request: Request) -> Response {
    match request {
        Request::Peers => Response::Peers(fixture.addresses.iter().map(told_peer).collect()),
        Request::FindBlocks { locator, stop } => {
            Response::BlockHashes(fixture.hashes()[fixture.after(&locator, stop)].to_vec())
        }
        Request::FindHeaders { locator, stop } => {
            let blocks = &fixture.blocks[fixture.after(&locator, stop)];
            Response::Headers(blocks.iter().map(|block| block.header().clone()).collect())
        }
        Request::Blocks(hashes) => {
            let find = |hash| fixture.blocks.iter().find(|block| block.hash() == hash).cloned();
            Response::Blocks(parted(hashes, find))
        }
        Request::Transactions(ids) => Response::Transactions(parted(ids, |id| fixture.transactions.get(&id).cloned())),
        Request::MempoolIds => Response::TransactionIds(fixture.ids()),
        _ => Response::Nil,
    }
}

/// Parts what is there from what is not.
fn parted<Id: Copy, T>(ids: Vec<Id>, find: impl Fn(Id) -> Option<T>) -> Partial<T, Id> {
    let missing = ids.iter().filter(|id| find(**id).is_none()).map(|id| (*id, Missing::NotFound)).collect();
    Partial { found: ids.into_iter().filter_map(find).collect(), missing }
}

fn told_peer(address: &SocketAddr) -> AddrV2 {
    let time = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    AddrV2 {
        time: u32::try_from(time).unwrap_or(u32::MAX),
        services: Services::NODE_NETWORK,
        address: (*address).into(),
    }
}

//! The peers that a person named: looked up, dialled, and dialled again when they go.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::bail;
use futures_util::future::join_all;
use savanna_net::{
    Client, Clock, Connector, Handshake, HandshakeRequest, LOOKUP_DEADLINE, Network, Nil, NodeConfig, PeerAddr,
    Spawner, Target, Tasks, resolve,
};
use savanna_peerset::{DialFailure, PeerSet, Upkeep};
use tokio::sync::mpsc;
use tower::{Service, ServiceExt as _};

use crate::commands::gathering::{Gathering, Gone};

/// A peer that was not reached, and why.
#[derive(Debug, Clone)]
pub(super) struct Missed {
    pub(super) peer: String,
    pub(super) why: String,
}

/// Where the peers are that a person named.
#[derive(Debug)]
pub(super) struct Places {
    network: Network,
    /// All addresses of a peer by the first of them: one connection to each peer is enough.
    found: BTreeMap<PeerAddr, Vec<PeerAddr>>,
    unknown: Vec<Missed>,
}

impl Places {
    /// Looks the peers up, all at once. That there is no address at all is an error.
    pub(super) async fn find(targets: &[Target], network: Network) -> anyhow::Result<Self> {
        let look_up =
            async |target: &Target| (target.clone(), resolve(target, network.default_port(), LOOKUP_DEADLINE).await);
        let mut places = Self { network, found: BTreeMap::new(), unknown: Vec::new() };
        for (target, result) in join_all(targets.iter().map(look_up)).await {
            let addresses = result.map(|found| found.into_iter().map(PeerAddr::from).collect::<Vec<_>>());
            match addresses.as_ref().map(|found| found.first().copied()) {
                Ok(Some(first)) => drop(places.found.insert(first, addresses.unwrap_or_default())),
                Ok(None) => places.add_unknown(&target, "it has no address".to_owned()),
                Err(error) => places.add_unknown(&target, error.to_string()),
            }
        }
        if places.found.is_empty() {
            let unknown: Vec<_> = places.unknown.iter().map(|missed| missed.why.clone()).collect();
            bail!("no peer could be reached: {}", unknown.join("; "));
        }
        Ok(places)
    }

    fn add_unknown(&mut self, target: &Target, why: String) {
        self.unknown.push(Missed { peer: target.to_string(), why });
    }

    pub(super) const fn network(&self) -> Network {
        self.network
    }

    /// Returns every address that is going to be dialled, as text.
    pub(super) fn addresses(&self) -> BTreeSet<String> {
        self.found.values().flatten().map(ToString::to_string).collect()
    }

    /// Returns the peers of which no address was found.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Missed> {
        self.unknown.iter()
    }

    /// Dials every peer, takes those that answer into `set`, and dials them again when they go. Failures go to `missed`.
    /// Returns what the peers are asked by.
    pub(super) fn keep_connected(
        self,
        set: PeerSet,
        node: NodeConfig,
        clock: Clock,
        tasks: &Tasks,
        missed: mpsc::UnboundedSender<Missed>,
    ) -> Gathering {
        let (named, gone) = (self.found.len(), Gone::default());
        let plan = Upkeep::new(self.found.keys().copied(), named, node.seed);
        let connector = Connector::direct().with_traffic(node.traffic.clone());
        let handshake = Handshake::new(node, Nil, clock, tasks.spawner());
        let dial =
            Dial { found: self.found, gone: gone.clone(), connector, handshake, missed, spawner: tasks.spawner() };
        set.keep_connected(plan, dial, clock, &tasks.spawner());
        Gathering::of_named(set, named, gone)
    }
}

/// Leads from the first address of a peer to the peer, by the first of its addresses that works.
struct Dial {
    found: BTreeMap<PeerAddr, Vec<PeerAddr>>,
    gone: Gone,
    connector: Connector,
    handshake: Handshake<Nil>,
    missed: mpsc::UnboundedSender<Missed>,
    spawner: Spawner,
}

impl Service<PeerAddr> for Dial {
    type Response = Client;
    type Error = DialFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Client, DialFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, first: PeerAddr) -> Self::Future {
        let addresses = self.found.get(&first).cloned().unwrap_or_default();
        let (gone, spawner) = (self.gone.clone(), self.spawner.clone());
        let (connector, mut handshake, missed) = (self.connector.clone(), self.handshake.clone(), self.missed.clone());
        Box::pin(async move {
            let mut failure = DialFailure::Unreachable;
            for address in addresses {
                let why = match connector.clone().oneshot(address).await {
                    Ok(dialed) => match handshake.call(HandshakeRequest::outbound(dialed, None)).await {
                        Ok(client) => {
                            let watched = client.clone();
                            spawner.spawn(async move {
                                watched.closed().await;
                                gone.note(first);
                            });
                            return Ok(client);
                        }
                        Err(error) => {
                            let why = error.to_string();
                            failure = DialFailure::Closed(error.reason);
                            why
                        }
                    },
                    Err(error) => error.to_string(),
                };
                // Nobody listens once the synchronisation is over.
                let _ = missed.send(Missed { peer: address.to_string(), why });
            }
            gone.note(first);
            Err(failure)
        })
    }
}

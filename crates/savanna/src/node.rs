//! A running node: a hold on the network, and on all that runs for it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tower::Service;

use savanna_net::{Arrivals, Door, Nil, Tasks, Traffic};
use savanna_peer::{Request, Response};
use savanna_peerset::{
    Discovery, DiscoveryCounts, Events, PeerCounts, PeerSet, RequestCounts, ResponseFuture, SharedBook,
};
use savanna_wire::Network;

use crate::Builder;

/// A running node, made by a [`Builder`].
///
/// It owns its tasks and its sockets: [`shutdown`](Self::shutdown) ends them in good order, dropping it at once. Handles of its
/// [`PeerSet`] that outlive it answer that the connection has ended.
#[derive(Debug)]
pub struct Node {
    set: PeerSet,
    traffic: Traffic,
    listening: Vec<SocketAddr>,
    door: Door,
    book: SharedBook,
    discovery: Discovery,
    tasks: Tasks,
}

impl Node {
    /// Begins to say what a node is to be.
    #[must_use]
    pub fn builder(network: Network) -> Builder<Nil> {
        Builder::new(network)
    }

    pub(crate) const fn new(
        set: PeerSet,
        traffic: Traffic,
        listening: Vec<SocketAddr>,
        door: Door,
        book: SharedBook,
        discovery: Discovery,
        tasks: Tasks,
    ) -> Self {
        Self { set, traffic, listening, door, book, discovery, tasks }
    }

    /// Asks the network. Without a peer yet, the request waits for one, at most until its deadline.
    ///
    /// Dropping the future cancels the request.
    pub fn ask(&self, request: Request) -> ResponseFuture<Response> {
        self.set.clone().call(request)
    }

    /// Returns the network as a service, to be cloned for layers and for other tasks: it also streams blocks, asks several
    /// peers the same, and takes complaints about peers.
    #[must_use]
    pub const fn peer_set(&self) -> &PeerSet {
        &self.set
    }

    /// Waits until there are at least so many peers, and returns how many there are.
    ///
    /// It may wait for ever, where peers are out of reach: a timeout around it is the caller's.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn connected(&self, peers: usize) -> PeerCounts {
        let mut counts = self.set.peers();
        // An error means that the set has ended, with the last counts left to read.
        let _ = counts.wait_for(|counts| counts.total() >= peers).await;
        *counts.borrow()
    }

    /// Returns how many peers there are.
    #[must_use]
    pub fn counts(&self) -> PeerCounts {
        *self.set.peers().borrow()
    }

    /// Returns how many questions were put to peers, by kind and outcome.
    #[must_use]
    pub fn requests(&self) -> RequestCounts {
        *self.set.requests().borrow()
    }

    /// Returns what counts the bytes, the dials, the handshakes and the times of all connections. It outlives the node.
    #[must_use]
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns the address book: what it knows can be read, and bans and addresses added.
    ///
    /// A ban keeps out who dials us, keeps us from dialling, and closes the connections that are there.
    #[must_use]
    pub const fn book(&self) -> &SharedBook {
        &self.book
    }

    /// Returns how peers are found and kept, as it changes.
    #[must_use]
    pub fn discovery(&self) -> watch::Receiver<DiscoveryCounts> {
        self.discovery.counts()
    }

    /// Listens to what happens from here on: peers that come and go, and what they tell unasked.
    #[must_use]
    pub fn events(&self) -> Events {
        self.set.events()
    }

    /// Returns the addresses that are listened on, in the order in which they were named.
    #[must_use]
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Returns the door by which peers come who dial us, to be watched by others than the holder of the node.
    #[must_use]
    pub const fn door(&self) -> &Door {
        &self.door
    }

    /// Returns what became of the connections that peers dialled.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        self.door.arrivals()
    }

    /// Ends the node: tells every task to stop, waits at most `bound` for them, aborts the rest and returns how many those
    /// were.
    ///
    /// Connections send what they still have for their peers; that takes them a second at most.
    ///
    /// # Cancel safety
    /// Dropping the future aborts what has not ended.
    pub async fn shutdown(self, bound: Duration) -> usize {
        let Self { set, tasks, .. } = self;
        drop(set);
        tasks.shutdown(bound).await
    }
}

//! Shaking hands: from a stream to a client.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower::Service;

use savanna_peer::{CloseReason, Direction, LocalReason, Session};
use savanna_wire::{PeerAddr, Services, Version, VersionAddr, sha256d};

use crate::client::{Client, PeerId};
use crate::config::NodeConfig;
use crate::connection::{Connection, InboundService, Parts};
use crate::connector::{Dialed, Route};
use crate::listener::Accepted;
use crate::slots::Slot;
use crate::traffic::Meter;
use crate::transport::Transport;
use crate::{Clock, Spawner};

/// A stream on which hands are to be shaken.
#[derive(Debug)]
pub struct HandshakeRequest<T = TcpStream> {
    /// The stream.
    pub stream: T,
    /// Who began the connection.
    pub direction: Direction,
    /// Where the peer is, as far as it is known.
    pub peer: Option<PeerAddr>,
    /// How the stream reaches the peer.
    pub route: Route,
    /// The connection's place, given back at its end.
    pub slot: Option<Slot>,
}

impl HandshakeRequest {
    /// Asks for a handshake with a peer that was dialled.
    #[must_use]
    pub fn outbound(dialed: Dialed, slot: Option<Slot>) -> Self {
        let Dialed { stream, peer, route } = dialed;
        Self { stream, direction: Direction::Outbound, peer: Some(peer), route, slot }
    }

    /// Asks for a handshake with a peer that dialled us.
    #[must_use]
    pub fn inbound(accepted: Accepted) -> Self {
        let Accepted { stream, peer, slot } = accepted;
        Self { stream, direction: Direction::Inbound, peer: Some(peer), route: Route::Direct, slot: Some(slot) }
    }
}

/// A handshake that did not lead to a connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no handshake: {reason}")]
#[non_exhaustive]
pub struct HandshakeError {
    /// Why it ended.
    pub reason: CloseReason,
    /// What the peer said of itself, if it came to that.
    ///
    /// Where the reason is [`Incompatibility::OurSelf`](savanna_peer::Incompatibility::OurSelf), the address of its receiver
    /// is the one under which this node dialled itself.
    pub remote: Option<Box<Version>>,
}

impl HandshakeError {
    pub(crate) fn new(reason: CloseReason, remote: Option<&Version>) -> Self {
        Self { reason, remote: remote.cloned().map(Box::new) }
    }
}

/// Shakes hands with peers, and answers with a [`Client`] of the connection.
///
/// `S` is the inbound service, which answers what peers ask; [`Nil`](crate::Nil) answers nothing. Every connection works on
/// a clone of its own.
///
/// A connection ends within a second of its [`Tasks`](crate::Tasks)' signal to stop: in that time it sends what it still has
/// for its peer.
#[derive(Debug, Clone)]
pub struct Handshake<S> {
    node: Arc<Node>,
    service: S,
}

#[derive(Debug)]
struct Node {
    config: NodeConfig,
    clock: Clock,
    spawner: Spawner,
    next_id: AtomicU64,
}

impl<S> Handshake<S> {
    /// Makes a service that runs its connections on `spawner`.
    #[must_use]
    pub fn new(config: NodeConfig, service: S, clock: Clock, spawner: Spawner) -> Self {
        Self { node: Arc::new(Node { config, clock, spawner, next_id: AtomicU64::new(0) }), service }
    }

    /// Returns one of the same node whose connections work on another service, which is made of this one's.
    #[must_use]
    pub fn map_service<T>(&self, map: impl FnOnce(&S) -> T) -> Handshake<T> {
        Handshake { node: Arc::clone(&self.node), service: map(&self.service) }
    }
}

impl<S, T> Service<HandshakeRequest<T>> for Handshake<S>
where
    S: InboundService,
    T: Transport,
{
    type Response = Client;
    type Error = HandshakeError;
    type Future = HandshakeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        Poll::Ready(Ok(()))
    }

    /// Begins the handshake at once, in a task of its own, where it runs to its end or its deadline whether or not the future
    /// is polled. Who drops the future gives up the connection, not the handshake.
    fn call(&mut self, request: HandshakeRequest<T>) -> HandshakeFuture {
        let (reply, outcome) = oneshot::channel();
        let connection = self.node.connection(request, self.service.clone(), reply);
        self.node.spawner.spawn(Box::new(connection).run(self.node.spawner.stop()));
        HandshakeFuture(outcome)
    }
}

impl Node {
    fn connection<S: InboundService, T: Transport>(
        &self,
        request: HandshakeRequest<T>,
        service: S,
        reply: oneshot::Sender<Result<Client, HandshakeError>>,
    ) -> Connection<T, S> {
        let HandshakeRequest { stream, direction, peer, route, slot } = request;
        let id = PeerId(self.next_id.fetch_add(1, Ordering::Relaxed));
        tracing::debug!(%id, ?direction, peer = peer.map(tracing::field::display), "handshake begins");
        let mut config = self.config.session.clone();
        config.timeouts = self.config.timeouts(direction, route);
        if let Some(address) = peer.and_then(PeerAddr::socket_addr) {
            config.receiver = VersionAddr { services: Services::NONE, address };
        }
        if let Some(standing) = &self.config.standing {
            let standing = *standing.borrow();
            config.height = standing.height;
            config.services = standing.services;
            config.floor = standing.floor;
        }
        let patience = config.timeouts.request;
        let session = Session::new(config, direction, self.seed(id), self.clock.now());
        Connection::new(Parts {
            id,
            address: peer,
            stream,
            session,
            service,
            slot,
            patience,
            clock: self.clock,
            gossip: self.config.gossip.clone(),
            standing: self.config.standing.clone(),
            meter: Meter::new(self.config.traffic.clone(), direction),
            established: reply,
        })
    }

    /// Derives a connection's seed from the node's, so that a run replays from one seed.
    fn seed(&self, id: PeerId) -> [u8; 32] {
        let mut input = [0; 40];
        input[..32].copy_from_slice(&self.config.seed);
        input[32..].copy_from_slice(&id.0.to_be_bytes());
        sha256d(&input)
    }
}

/// The outcome of a handshake.
pub struct HandshakeFuture(oneshot::Receiver<Result<Client, HandshakeError>>);

impl Future for HandshakeFuture {
    type Output = Result<Client, HandshakeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The task says how it ended, unless it was ended from outside, or never ran.
        let outcome = ready!(Pin::new(&mut self.0).poll(cx));
        let shutdown = || HandshakeError::new(CloseReason::Local(LocalReason::Shutdown), None);
        Poll::Ready(outcome.unwrap_or_else(|_| Err(shutdown())))
    }
}

impl fmt::Debug for HandshakeFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandshakeFuture")
    }
}

//! From an address to a peer: dialling and shaking hands as one service.

use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use thiserror::Error;
use tower::Service;

use savanna_net::{Client, Connector, Handshake, HandshakeRequest, InboundService, Slots};
use savanna_peer::CloseReason;
use savanna_wire::PeerAddr;

/// Why an address led to no peer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// Nobody answered there.
    #[error("the address cannot be reached")]
    Unreachable,
    /// There is no place for another connection.
    #[error("every slot is taken")]
    NoSlot,
    /// The connection, or the handshake on it, ended.
    #[error("the connection ended: {0}")]
    Closed(CloseReason),
}

impl DialFailure {
    /// Returns a short name from a fixed set, for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NoSlot => "no_slot",
            Self::Closed(reason) => reason.label(),
        }
    }
}

/// Dials, and shakes hands with whoever answers.
#[derive(Debug, Clone)]
pub struct Dialer<S> {
    connector: Connector,
    handshake: Handshake<S>,
    slots: Slots,
}

impl<S> Dialer<S> {
    /// Makes a dialler whose connections take places of `slots`.
    #[must_use]
    pub const fn new(connector: Connector, handshake: Handshake<S>, slots: Slots) -> Self {
        Self { connector, handshake, slots }
    }
}

impl<S: InboundService> Service<PeerAddr> for Dialer<S> {
    type Response = Client;
    type Error = DialFailure;
    type Future = BoxFuture<'static, Result<Client, DialFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFailure>> {
        Poll::Ready(Ok(()))
    }

    /// Dials when the future is polled. The handshake runs in a task of its own.
    fn call(&mut self, address: PeerAddr) -> Self::Future {
        let Self { mut connector, mut handshake, slots } = self.clone();
        async move {
            let slot = slots.outbound().map_err(|_| DialFailure::NoSlot)?;
            let dialed = connector.call(address).await.map_err(|_| DialFailure::Unreachable)?;
            let shaking = handshake.call(HandshakeRequest::outbound(dialed, Some(slot)));
            shaking.await.map_err(|error| DialFailure::Closed(error.reason))
        }
        .boxed()
    }
}

//! What a peer set needs of a peer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use savanna_net::{Client, PeerId};
use savanna_peer::{CloseReason, PeerInfo, Request, RequestError, Response};
use savanna_wire::PeerAddr;

/// One peer that can be asked: a [`Client`], or a stand-in for it.
pub trait Peer: Send + Sync + 'static {
    /// Returns the number of the connection.
    fn id(&self) -> PeerId;

    /// Returns what the handshake told of the peer.
    fn info(&self) -> &PeerInfo;

    /// Returns where the peer is, if that is known.
    fn address(&self) -> Option<PeerAddr>;

    /// Returns the round trip that was measured last.
    fn round_trip(&self) -> Option<Duration>;

    /// Asks the peer. Dropping the future cancels.
    fn ask(&self, request: Request) -> BoxFuture<'static, Result<Response, RequestError>>;

    /// Waits for the end of the connection and returns the reason.
    fn closed(&self) -> BoxFuture<'static, CloseReason>;

    /// Ends the connection.
    fn close(&self, reason: CloseReason);
}

impl<P: Peer + ?Sized> Peer for Arc<P> {
    fn id(&self) -> PeerId {
        (**self).id()
    }

    fn info(&self) -> &PeerInfo {
        (**self).info()
    }

    fn address(&self) -> Option<PeerAddr> {
        (**self).address()
    }

    fn round_trip(&self) -> Option<Duration> {
        (**self).round_trip()
    }

    fn ask(&self, request: Request) -> BoxFuture<'static, Result<Response, RequestError>> {
        (**self).ask(request)
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        (**self).closed()
    }

    fn close(&self, reason: CloseReason) {
        (**self).close(reason);
    }
}

impl Peer for Client {
    fn id(&self) -> PeerId {
        Self::id(self)
    }

    fn info(&self) -> &PeerInfo {
        Self::info(self)
    }

    fn address(&self) -> Option<PeerAddr> {
        self.peer_addr()
    }

    fn round_trip(&self) -> Option<Duration> {
        Self::round_trip(self)
    }

    fn ask(&self, request: Request) -> BoxFuture<'static, Result<Response, RequestError>> {
        Self::ask(self, request).boxed()
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        let client = self.clone();
        async move { client.closed().await }.boxed()
    }

    fn close(&self, reason: CloseReason) {
        Self::close(self, reason);
    }
}

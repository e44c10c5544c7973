//! Dialling peers: a TCP connection, and nothing of the protocol yet.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tower::Service;

use savanna_wire::PeerAddr;

use crate::Traffic;
use crate::proxy::{Proxy, ProxyError};

/// How long a direct dial may take.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(3);

/// How long a dial through a proxy may take, the way to the proxy included.
pub const PROXIED_DIAL_DEADLINE: Duration = Duration::from_secs(20);

/// How a connection reaches its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// Straight.
    Direct,
    /// Through a proxy.
    Proxied,
}

/// A connection to a peer that has not been spoken to yet.
#[derive(Debug)]
pub struct Dialed {
    /// The connection.
    pub stream: TcpStream,
    /// Whom it leads to.
    pub peer: PeerAddr,
    /// How it gets there.
    pub route: Route,
}

/// Why a peer was not reached.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The peer is on an overlay network, and there is no proxy into it.
    #[error("the peer can only be reached through a proxy")]
    NeedsProxy,
    /// The peer, or the proxy, did not answer in time.
    #[error("it did not answer within {0:?}")]
    TimedOut(Duration),
    /// The system could not connect.
    #[error("it cannot be reached: {0}")]
    Connect(#[from] io::Error),
    /// The proxy could not connect.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// Dials peers, directly or, where there is a proxy, always through that.
///
/// # Security
/// A node with a proxy never dials a peer directly: one such dial would tell who the node is.
#[derive(Debug, Clone)]
pub struct Connector {
    proxy: Option<Proxy>,
    local: Option<IpAddr>,
    deadline: Duration,
    traffic: Option<Traffic>,
}

impl Connector {
    /// Makes a connector that dials directly, within [`DIAL_DEADLINE`].
    #[must_use]
    pub const fn direct() -> Self {
        Self { proxy: None, local: None, deadline: DIAL_DEADLINE, traffic: None }
    }

    /// Makes a connector that dials through a proxy, within [`PROXIED_DIAL_DEADLINE`].
    #[must_use]
    pub const fn proxied(proxy: Proxy) -> Self {
        Self { proxy: Some(proxy), local: None, deadline: PROXIED_DIAL_DEADLINE, traffic: None }
    }

    /// Sets how long a dial may take.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets what counts the dials. One that is given up is not counted.
    #[must_use]
    pub fn with_traffic(mut self, traffic: Traffic) -> Self {
        self.traffic = Some(traffic);
        self
    }

    /// Dials from an address of this machine, instead of the one that the system would choose. Peers, and the proxy, of the
    /// other version of IP are out of reach then.
    #[must_use]
    pub const fn dialing_from(mut self, local: IpAddr) -> Self {
        self.local = Some(local);
        self
    }

    async fn dial(self, peer: PeerAddr) -> Result<Dialed, DialError> {
        let dialing = async {
            match self.proxy {
                None => self.dial_direct(peer).await,
                Some(proxy) => self.dial_through(proxy, peer).await,
            }
        };
        let dialed = timeout(self.deadline, dialing).await.map_err(|_| DialError::TimedOut(self.deadline)).flatten();
        if let Some(traffic) = &self.traffic {
            traffic.count_dial(&dialed);
        }
        match &dialed {
            Ok(dialed) => tracing::debug!(%peer, route = ?dialed.route, "connected"),
            Err(error) => tracing::debug!(%peer, %error, "not connected"),
        }
        dialed
    }

    async fn dial_direct(&self, peer: PeerAddr) -> Result<Dialed, DialError> {
        let address = peer.socket_addr().ok_or(DialError::NeedsProxy)?;
        let stream = self.connect(address).await?;
        Ok(Dialed { stream, peer, route: Route::Direct })
    }

    async fn dial_through(&self, proxy: Proxy, peer: PeerAddr) -> Result<Dialed, DialError> {
        let mut stream = self.connect(proxy.address).await.map_err(ProxyError::Unreachable)?;
        proxy.open(&mut stream, peer).await?;
        Ok(Dialed { stream, peer, route: Route::Proxied })
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = match self.local {
            None => TcpStream::connect(address).await?,
            Some(local) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(SocketAddr::new(local, 0))?;
                socket.connect(address).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Service<PeerAddr> for Connector {
    type Response = Dialed;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Dialed, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    /// Dials when the future is polled; dropping the future gives up.
    fn call(&mut self, peer: PeerAddr) -> Self::Future {
        Box::pin(self.clone().dial(peer))
    }
}

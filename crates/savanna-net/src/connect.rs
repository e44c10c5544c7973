//! One connection, for those who need no more.

use thiserror::Error;
use tower::{Service, ServiceExt};

use savanna_wire::{Network, PeerAddr};

use crate::connector::{Connector, DialError};
use crate::handshake::{Handshake, HandshakeError, HandshakeRequest};
use crate::{Client, Clock, Nil, NodeConfig, Tasks};

/// Why [`connect`] led to no connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The peer was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The peer was reached, and there was no handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

/// Connects to a peer and shakes hands, as a node that answers nothing.
///
/// The connection lasts as long as the client and the [`Tasks`] do.
///
/// ```no_run
/// use savanna_net::{Network, Request, Response, connect};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let address: std::net::SocketAddr = "127.0.0.1:18344".parse()?;
/// let (client, _tasks) = connect(Network::Regtest, address).await?;
/// println!("{} at height {}", client.info().remote.user_agent, client.info().remote.height);
/// if let Response::Pong(round_trip) = client.ask(Request::Ping).await? {
///     println!("{round_trip:?} away");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ConnectError`] if the peer is not reached within [`DIAL_DEADLINE`](crate::DIAL_DEADLINE), or refuses, or does not
/// serve the chain.
///
/// # Panics
/// If the operating system has no randomness.
pub async fn connect(network: Network, address: impl Into<PeerAddr>) -> Result<(Client, Tasks), ConnectError> {
    let tasks = Tasks::new();
    let dialed = Connector::direct().oneshot(address.into()).await?;
    let mut handshake = Handshake::new(NodeConfig::new(network), Nil, Clock::start(), tasks.spawner());
    let client = handshake.call(HandshakeRequest::outbound(dialed, None)).await?;
    Ok((client, tasks))
}

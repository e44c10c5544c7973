//! Accepting the connections of peers who dial us.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use savanna_wire::{Network, PeerAddr};

use crate::slots::Slot;

pub use admission::{AcceptRates, Rate};
pub use door::{Arrivals, Door, InboundFilter};

mod admission;
mod door;

/// How long accepting rests when the system has no descriptors or no memory for another connection, to begin with.
const FIRST_REST: Duration = Duration::from_millis(20);

/// How long accepting rests at most.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A connection that a peer dialled, and its place.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// Where it comes from. The port is the peer's source port: nobody listens there.
    pub peer: PeerAddr,
    /// Its place.
    pub slot: Slot,
}

/// A listening socket, and who may come in by it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    door: Door,
}

impl Listener {
    /// Returns the address to listen on unless told otherwise: every IPv4 interface, the network's port.
    #[must_use]
    pub const fn default_address(network: Network) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), network.default_port())
    }

    /// Listens, and lets those in whom `door` admits: a [`Door`], or [`Slots`](crate::Slots) where nothing but places matters.
    ///
    /// # Errors
    /// [`io::Error`] if the address is taken, or not ours to take.
    pub async fn bind(address: SocketAddr, door: impl Into<Door>) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, door: door.into() })
    }

    /// Returns the address that is listened on.
    ///
    /// # Errors
    /// [`io::Error`] if the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits for the next connection that may come in.
    ///
    /// # Security
    /// Connections that may not are reset at once, before a byte of them is read, and cost no task. When descriptors
    /// run out, accepting rests a moment instead of failing or spinning.
    ///
    /// # Cancel safety
    /// No accepted connection is lost.
    pub async fn accept(&self) -> Accepted {
        next(&self.door, || self.socket.accept()).await
    }
}

async fn next<F>(door: &Door, mut accept: impl FnMut() -> F) -> Accepted
where
    F: Future<Output = io::Result<(TcpStream, SocketAddr)>>,
{
    let mut rest = FIRST_REST;
    loop {
        match accept().await {
            Ok((stream, from)) => {
                rest = FIRST_REST;
                if let Some(accepted) = admit(door, stream, from) {
                    return accepted;
                }
            }
            Err(error) if is_of_one_connection(&error) => tracing::debug!(%error, "a connection failed while accepted"),
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted, resting {} ms", rest.as_millis());
                sleep(rest).await;
                rest = (rest * 2).min(LONGEST_REST);
            }
        }
    }
}

fn admit(door: &Door, stream: TcpStream, from: SocketAddr) -> Option<Accepted> {
    let peer = PeerAddr::from(from);
    let slot = match door.admit(from.ip()) {
        Ok(slot) => slot,
        Err(error) => {
            tracing::debug!(%peer, %error, "connection shed");
            // A reset leaves no trace in the system's tables, as an orderly end would for a minute.
            let _ = stream.set_zero_linger();
            return None;
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "connection gone before it began");
        return None;
    }
    tracing::debug!(%peer, "accepted");
    Some(Accepted { stream, peer, slot })
}

/// Whether an error is about the connection that was to be accepted, and not about accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted].contains(&error.kind())
}

#[cfg(test)]
mod tests;

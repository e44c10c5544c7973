//! Why a node does not start.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use savanna_net::{ResolveError, Target};
use savanna_store::PeerStoreError;
use savanna_wire::PeerAddr;

/// Why a node does not start. Nothing runs then, and no socket is left open.
///
/// A peer that cannot be reached is no such reason: it is dialled again later.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node has nobody to dial and no address to be dialled at.
    #[error("there is no peer to dial, and no address to listen on")]
    NoPeers,
    /// None of the names has an address; this is what became of the last.
    #[error("no peer has an address: {0}")]
    Resolve(#[from] ResolveError),
    /// A name cannot be looked up without passing by the proxy.
    #[error("looking up {0} would pass by the proxy; name the peer by its address")]
    NameBehindProxy(Target),
    /// A peer on an overlay network was named, and there is no proxy into it.
    #[error("{0} can only be reached through a proxy")]
    NeedsProxy(PeerAddr),
    /// The address book is in use by another process, or its path cannot be that of a directory.
    #[error(transparent)]
    Store(#[from] PeerStoreError),
    /// The runtime is being shut down.
    #[error("the runtime is being shut down")]
    Stopped,
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The program's part of the user agent is empty, too long, or has characters that do not belong there.
    #[error("{0:?} is no part of a user agent: it takes printable ASCII without slashes, at most 256 bytes in all")]
    UserAgent(String),
}

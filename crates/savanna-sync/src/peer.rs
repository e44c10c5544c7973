//! A peer, as far as a synchronisation needs one.

use std::fmt;

use savanna_peer::CloseReason;

/// A peer: something to name it by, a service that asks it, and a way to end its connection.
pub struct Peer<Id, S> {
    /// Its name among the peers of one synchronisation.
    pub id: Id,
    /// Asks it. Clones ask the same peer.
    pub service: S,
    /// Ends its connection, with the reason.
    pub close: Box<dyn Fn(CloseReason) + Send + Sync>,
}

impl<Id, S> Peer<Id, S> {
    /// Makes a peer of its parts.
    pub fn new(id: Id, service: S, close: impl Fn(CloseReason) + Send + Sync + 'static) -> Self {
        Self { id, service, close: Box::new(close) }
    }
}

impl<Id: fmt::Debug, S> fmt::Debug for Peer<Id, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", &self.id).finish_non_exhaustive()
    }
}

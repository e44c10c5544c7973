//! What runs on a host.

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::{Connection, ConnectionId, Host};

/// A node: told what happens to its host, and free to use it.
///
/// Each call is followed by one of [`poll_timeout`](Self::poll_timeout).
pub trait Node {
    /// Takes that the host is up.
    fn on_start(&mut self, host: &mut Host<'_>) {
        let _ = host;
    }

    /// Takes a connection: one that this node dialled, or one that somebody dialled to it.
    fn on_connected(&mut self, connection: Connection, host: &mut Host<'_>);

    /// Takes that a dial led nowhere.
    fn on_failed(&mut self, connection: Connection, failure: Unreachable, host: &mut Host<'_>) {
        let _ = (connection, failure, host);
    }

    /// Takes bytes of the other end's.
    fn on_bytes(&mut self, id: ConnectionId, bytes: Bytes, host: &mut Host<'_>);

    /// Takes that a full pipe has room again.
    fn on_writable(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        let _ = (id, host);
    }

    /// Takes that the other end is gone, and the connection with it. Not called for what this node closed.
    fn on_closed(&mut self, id: ConnectionId, host: &mut Host<'_>);

    /// Takes that a deadline has passed.
    fn on_timer(&mut self, host: &mut Host<'_>) {
        let _ = host;
    }

    /// Returns the node's next deadline, on the network's clock.
    fn poll_timeout(&self) -> Option<Duration> {
        None
    }
}

/// Why a dial led nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreachable {
    /// The host is up and listens not, or not there.
    #[error("nobody listens there")]
    Refused,
    /// Nothing came back in time: no such host, or none that can be reached.
    #[error("nobody answers there")]
    TimedOut,
}

//! What a node can do.

use std::net::SocketAddr;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use savanna_peer::Now;

use super::wires::Wires;
use super::{ConnectionId, HostId};

/// The host that a node runs on, for the time of one call.
#[derive(Debug)]
pub struct Host<'a> {
    wires: &'a mut Wires,
    id: HostId,
}

impl<'a> Host<'a> {
    pub(super) const fn new(wires: &'a mut Wires, id: HostId) -> Self {
        Self { wires, id }
    }

    /// Returns which host this is.
    #[must_use]
    pub const fn id(&self) -> HostId {
        self.id
    }

    /// Returns where the host listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.wires.machine(self.id).address
    }

    /// Returns what the clock shows.
    #[must_use]
    pub const fn now(&self) -> Now {
        self.wires.now()
    }

    /// Returns the host's own randomness, which depends on nothing but the network's seed and the host's number.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        &mut self.wires.machine_mut(self.id).rng
    }

    /// Dials an address. The node is told later of the connection, or why there is none.
    pub fn dial(&mut self, address: SocketAddr) -> ConnectionId {
        let from = self.address();
        self.dial_from(from, address)
    }

    /// Dials an address from a further one of the host's.
    pub fn dial_from(&mut self, from: SocketAddr, address: SocketAddr) -> ConnectionId {
        self.wires.dial(self.id, from, address)
    }

    /// Returns how many bytes the pipe to the other end takes. The node is told when a full one has room again.
    pub fn room(&mut self, id: ConnectionId) -> usize {
        self.wires.room(id)
    }

    /// Sends bytes, or nothing if the connection is not open. A pipe without room takes them nevertheless.
    pub fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        self.wires.send(id, bytes);
    }

    /// Lets what arrives wait in the pipe, or lets it come again.
    pub fn pause(&mut self, id: ConnectionId, is_paused: bool) {
        self.wires.pause(id, is_paused);
    }

    /// Closes a connection, or gives up a dial. What has been sent still arrives; the node hears no more of it.
    pub fn close(&mut self, id: ConnectionId) {
        self.wires.close(id);
    }
}

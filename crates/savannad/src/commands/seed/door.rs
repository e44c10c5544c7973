//! The peers who dial the seeder to ask for addresses.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use savanna_net::{Door, Handshake, HandshakeRequest, Listener, Slots};
use savanna_seed::SeedService;
use tokio::time::timeout;
use tower::Service as _;

use crate::commands::start::of_socket;
use crate::config::ZoneConfig;

/// How long a peer may stay. It has asked by then, and others want its place.
const STAY: Duration = Duration::from_secs(120);

/// Listens at every address of a network, or at none.
///
/// # Errors
/// A sentence about the address that cannot be had.
pub(super) async fn bind(config: &ZoneConfig) -> anyhow::Result<Vec<Listener>> {
    let door = Door::new(Slots::new(config.slots()), config.rates());
    let mut listeners = Vec::new();
    for address in &config.listen {
        let bound = Listener::bind(*address, door.clone()).await;
        listeners.push(bound.map_err(|error| of_socket(*address, &error, "--listen"))?);
    }
    Ok(listeners)
}

/// Returns where a listener is.
pub(super) fn address(listener: &Listener) -> Option<SocketAddr> {
    listener.local_addr().ok()
}

/// Takes peers in, each for as long as it may stay.
///
/// How many there are at a time is bounded by the listener's slots.
pub(super) async fn take_in(listener: Listener, mut handshake: Handshake<SeedService>) {
    let mut peers = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let shaking = handshake.call(HandshakeRequest::inbound(accepted));
                peers.push(async move {
                    if let Ok(client) = shaking.await {
                        // Dropping the client, the last one, ends the connection.
                        let _ = timeout(STAY, client.closed()).await;
                    }
                });
            }
            Some(()) = peers.next() => {}
        }
    }
}

//! Taking in the peers who dial us.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tower::Service;

use savanna_net::{Handshake, HandshakeRequest, InboundService, Listener, Stop};
use savanna_peerset::PeerSet;

/// Accepts connections, shakes hands on all of them at once, and hands the peers to the set, until told to stop.
///
/// How many handshakes are under way is bounded by the listener's slots; whether there is a place after them, the set decides.
pub(crate) async fn take_in<S: InboundService>(
    listener: Listener,
    mut handshake: Handshake<S>,
    set: PeerSet,
    mut stop: Stop,
) {
    let mut shaking = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            accepted = listener.accept() => shaking.push(handshake.call(HandshakeRequest::inbound(accepted))),
            Some(shaken) = shaking.next() => {
                if let Ok(client) = shaken {
                    set.add(client).await;
                }
            }
        }
    }
}

//! What happens to the set, for whoever listens.

use tokio::sync::broadcast;

use savanna_net::PeerId;
use savanna_peer::{CloseReason, Gossip, PeerInfo};
use savanna_wire::PeerAddr;

use crate::{DialFailure, Purpose};

/// How many events are kept for a slow listener; beyond them the oldest are lost, and it is told how many.
pub(crate) const MAX_EVENTS: usize = 1024;

/// Something that happened to the set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A peer joined.
    Joined {
        /// Its number.
        peer: PeerId,
        /// What the handshake told of it.
        info: PeerInfo,
        /// Where it is.
        address: Option<PeerAddr>,
    },
    /// A peer left.
    Left {
        /// Its number.
        peer: PeerId,
        /// Why.
        reason: CloseReason,
    },
    /// A peer told something unasked.
    Gossip {
        /// Its number.
        peer: PeerId,
        /// What it told.
        gossip: Gossip,
    },
    /// An address that was dialled led to no peer.
    DialFailed {
        /// The address.
        address: PeerAddr,
        /// What it was dialled for.
        purpose: Purpose,
        /// Why.
        failure: DialFailure,
    },
    /// This node dialled itself, as one who dialled us with a nonce of ours claims.
    MetOurselves {
        /// Where, as it claims.
        address: PeerAddr,
    },
    /// So many events were lost, because they were not taken in time. Those of all kinds share one room, so gossip may have taken
    /// that of peers who joined or left: [`PeerSet::peers`](crate::PeerSet::peers) always tells how many there are.
    Lagged(u64),
}

/// The events of a set from the moment of listening on. It keeps nothing alive.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// Waits for the next event; returns nothing once the set has ended.
    ///
    /// # Cancel safety
    /// No event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Event::Lagged(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

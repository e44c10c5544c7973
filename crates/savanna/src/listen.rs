//! Taking in the peers who dial us.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tower::Service;

use savanna_book::Family;
use savanna_net::{
    Accepted, Handshake, HandshakeError, HandshakeRequest, InboundService, Listener, Netgroup, SlotLimits, Slots, Stop,
};
use savanna_peer::{CloseReason, Direction, Incompatibility};
use savanna_peerset::{MAX_PROTECTED, PeerSet};

use crate::answers::Answers;

/// Why a handshake with this very node ends.
const OURSELF: CloseReason = CloseReason::Incompatible(Incompatibility::OurSelf);

/// How many of the inbound slots peers leave to those who are shaking hands, at most: an eighth where there are few.
const LOBBY: usize = 16;

/// The slots of those who dial us, of which peers take a part.
///
/// # Security
/// Who only connects is to push nobody out, and is to be in the way of nobody who does more: so there is a lobby to shake hands
/// in, beside the places of peers, and of one range of networks one at a time is in it.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    slots: Slots,
    places: usize,
}

impl Rooms {
    pub(crate) const fn new(limits: &SlotLimits, slots: Slots) -> Self {
        Self { slots, places: places(limits.inbound) }
    }

    /// Returns how many peers are kept of those who dial us.
    pub(crate) const fn places(&self) -> usize {
        self.places
    }

    /// Returns whether one more may be a peer without taking another's place.
    pub(crate) fn have_place(&self) -> bool {
        self.slots.taken(Direction::Inbound) < self.places
    }

    /// Returns whether whoever is let in stands in the lobby.
    fn is_lobby_entered(&self) -> bool {
        self.slots.taken(Direction::Inbound) > self.places
    }
}

/// Returns how many places for peers there are among so many slots.
const fn places(slots: usize) -> usize {
    let (evictable, eighth) = (slots.saturating_sub(MAX_PROTECTED), slots / 8);
    let lobby = if evictable < eighth { evictable } else { eighth };
    slots - if lobby < LOBBY { lobby } else { LOBBY }
}

/// Accepts connections, shakes hands on all of them at once, and hands the peers to the set, until told to stop.
///
/// How many handshakes are under way is bounded by the listener's slots; whether there is a place after them, the set decides.
pub(crate) async fn take_in<S: InboundService>(
    listener: Listener,
    rooms: Rooms,
    handshake: Handshake<Answers<S>>,
    set: PeerSet,
    mut stop: Stop,
) {
    let mut shaking = FuturesUnordered::new();
    let mut in_lobby = BTreeSet::new();
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            accepted = listener.accept() => {
                let range = rooms.is_lobby_entered().then(|| range(&accepted)).flatten();
                if let Some(range) = range && !in_lobby.insert(range) {
                    tracing::debug!(peer = %accepted.peer, "connection shed: another of its range is in the lobby");
                    let _ = accepted.stream.set_zero_linger();
                    continue;
                }
                let family = Family::of(accepted.peer.host);
                let mut handshake = handshake.map_service(|answers| answers.over(family));
                let shaken = handshake.call(HandshakeRequest::inbound(accepted));
                shaking.push(async move { (range, shaken.await) });
            }
            Some((range, shaken)) = shaking.next() => {
                if let Some(range) = range {
                    in_lobby.remove(&range);
                }
                match shaken {
                    Ok(client) => set.add(client).await,
                    Err(HandshakeError { reason: OURSELF, remote: Some(remote), .. }) => {
                        set.note_ourselves(remote.receiver.address.into());
                    }
                    Err(_) => {}
                }
            }
        }
    }
}

fn range(accepted: &Accepted) -> Option<Netgroup> {
    accepted.peer.host.ip().map(|ip: IpAddr| Netgroup::from(ip).range())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_slots_are_left_to_shake_hands_in() {
        let places = [0, 1, 24, 25, 26, 32, 125, 128, 1000].map(places);
        assert_eq!(places, [0, 1, 24, 24, 24, 28, 110, 112, 984]);
    }
}

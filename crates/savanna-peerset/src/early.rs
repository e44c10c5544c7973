//! Addresses that peers tell before the set knows the peers.

use std::collections::VecDeque;

use savanna_net::PeerId;
use savanna_peer::Gossip;

/// How many messages are kept; beyond them the oldest is lost.
const MAX_EARLY: usize = 128;

/// How many messages of one peer are kept; more of them are lost.
///
/// # Security
/// Who shakes hands and has no place in the set cannot push out what others tell.
const MAX_OF_ONE: usize = 2;

/// What peers have told that are about to join.
///
/// A connection and the set are two tasks, so what a peer tells right after the handshake can be there before the peer. That is
/// where a node says who it is, once a day.
#[derive(Debug, Default)]
pub(crate) struct Early(VecDeque<(PeerId, Gossip)>);

impl Early {
    pub(crate) fn keep(&mut self, peer: PeerId, gossip: Gossip) {
        if self.0.iter().filter(|(other, _)| *other == peer).count() >= MAX_OF_ONE {
            return;
        }
        if self.0.len() >= MAX_EARLY {
            self.0.pop_front();
        }
        self.0.push_back((peer, gossip));
    }

    /// Takes out what a peer has told.
    pub(crate) fn take(&mut self, peer: PeerId) -> Vec<Gossip> {
        let (taken, left): (VecDeque<_>, _) = self.0.drain(..).partition(|(other, _)| *other == peer);
        self.0 = left;
        taken.into_iter().map(|(_, gossip)| gossip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_early_is_kept_within_bounds() {
        let mut early = Early::default();
        for peer in 0..1000 {
            for _ in 0..5 {
                early.keep(PeerId(peer), Gossip::Peers(Vec::new()));
            }
        }
        assert_eq!((early.0.len(), early.take(PeerId(999)).len(), early.take(PeerId(999)).len()), (MAX_EARLY, 2, 0));
        assert!(early.take(PeerId(0)).is_empty());
    }
}

//! What the network tells a follower unasked.

use futures_util::stream::{self, BoxStream, StreamExt};
use savanna_net::PeerId;
use savanna_peer::Gossip;
use savanna_peerset::{Event, Events};
use savanna_wire::{BlockHash, Services};

/// Something that peers tell unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// A peer has a block.
    Announced {
        /// The peer.
        peer: PeerId,
        /// The block's hash.
        hash: BlockHash,
    },
    /// A peer that serves the chain is there.
    Joined {
        /// The peer.
        peer: PeerId,
    },
    /// News was lost, and nobody knows which.
    Missed,
}

/// Makes the news of what happens to a peer set. It ends with the set, and keeps nothing alive.
pub fn news(events: Events) -> BoxStream<'static, News> {
    let events = stream::unfold(events, |mut events| async { Some((events.next().await?, events)) });
    events.filter_map(|event| async move { translate(&event) }).boxed()
}

fn translate(event: &Event) -> Option<News> {
    match event {
        Event::Gossip { peer, gossip: Gossip::Block(hash) } => Some(News::Announced { peer: *peer, hash: *hash }),
        Event::Joined { peer, info, .. } => {
            info.remote.services.contains(Services::NODE_NETWORK).then_some(News::Joined { peer: *peer })
        }
        Event::Lagged(_) => Some(News::Missed),
        Event::Gossip { .. } | Event::Left { .. } | Event::DialFailed { .. } | Event::MetOurselves { .. } | _ => None,
    }
}

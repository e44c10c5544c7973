//! What the node tells its peers of itself: where it stands, and each new tip.

use std::sync::Arc;

use savanna_chain::floor;
use savanna_net::Standing;
use savanna_peer::Request;
use savanna_peerset::PeerSet;
use savanna_wire::{BlockHash, Network, Services};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::chain::Chain;
use crate::config::Config;

/// What is told, as the chain changes.
pub(super) struct Offer {
    network: Network,
    /// Whether there may be nobody to say where the chain ends: what is here is the chain then, until somebody has more.
    is_local: bool,
    chain: watch::Receiver<Chain>,
    standing: watch::Sender<Standing>,
}

impl Offer {
    pub(super) fn new(config: &Config, chain: &Arc<watch::Sender<Chain>>) -> Self {
        let is_root = config.peers.is_empty() && config.dns_seeds.is_empty();
        let (network, is_local) = (config.network, is_root || matches!(config.network, Network::Regtest));
        let chain = chain.subscribe();
        let standing = watch::Sender::new(standing(network, is_local, &chain.borrow()));
        Self { network, is_local, chain, standing }
    }

    /// Returns where the node stands, as it changes.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Tells for as long as the chain is followed.
    pub(super) async fn run(self, set: PeerSet) {
        // Where nobody is there to be told, an announcement waits; where the node stands does not wait with it.
        let announcing = announce_each(set, self.chain.clone());
        tokio::join!(self.stand(), announcing);
    }

    async fn stand(mut self) {
        while self.chain.changed().await.is_ok() {
            let now = standing(self.network, self.is_local, &self.chain.borrow_and_update());
            self.standing.send_if_modified(|standing| {
                let is_news = *standing != now;
                *standing = now;
                is_news
            });
        }
    }
}

async fn announce_each(set: PeerSet, mut chain: watch::Receiver<Chain>) {
    let mut announced = None;
    while chain.changed().await.is_ok() {
        let news = chain.borrow_and_update().news.map(|tip| tip.hash);
        if let Some(hash) = news.filter(|hash| announced != Some(*hash)) {
            announced = Some(hash);
            announce(&set, hash).await;
        }
    }
}

/// Tells every peer that lacks it of a block. Peers that do not hear of it ask.
async fn announce(set: &PeerSet, hash: BlockHash) {
    if let Err(error) = set.clone().oneshot(Request::AdvertiseBlock(hash)).await {
        tracing::debug!(%hash, %error, "the new tip was announced to nobody");
    }
}

/// Returns where a node with a chain stands. The chain is offered while it is whole to the tip, and to nobody before.
fn standing(network: Network, is_local: bool, chain: &Chain) -> Standing {
    let height = chain.height();
    let is_whole = height.is_some() && (chain.is_synced || (is_local && !chain.is_behind() && !chain.is_stopped()));
    let services = if is_whole { Services::NODE_NETWORK } else { Services::NONE };
    // An archive that has only begun says nothing of the rules in force.
    let floor = floor(network, None).max(floor(network, height));
    Standing { height: height.unwrap_or(0), services, floor }
}

#[cfg(test)]
mod tests {
    use savanna_store::Tip;
    use savanna_sync::Progress;

    use super::*;

    fn chain(height: u32) -> Chain {
        Chain::of(Some(Tip { height, hash: BlockHash([1; 32]) }))
    }

    #[test]
    fn the_chain_is_offered_only_while_it_is_whole() {
        let offered = |network, is_local, chain: &Chain| standing(network, is_local, chain).services;
        let mut kept = chain(10);
        assert_eq!(offered(Network::Mainnet, false, &kept), Services::NONE);
        assert_eq!(offered(Network::Regtest, true, &kept), Services::NODE_NETWORK);
        assert_eq!(offered(Network::Regtest, true, &Chain::of(None)), Services::NONE);
        let never = |_: &savanna_sync::Trouble| unreachable!("there is no trouble");
        kept.note(&Progress::Headers { height: 11 }, None, never);
        assert_eq!(offered(Network::Regtest, true, &kept), Services::NONE);
        kept.note(&Progress::Synced { height: 11, hash: BlockHash([2; 32]) }, None, never);
        assert_eq!(offered(Network::Mainnet, false, &kept), Services::NODE_NETWORK);
        kept.note(&Progress::Behind { height: 11, target: 20 }, None, never);
        assert_eq!(offered(Network::Mainnet, false, &kept), Services::NONE);
    }

    #[test]
    fn adversary_27_nothing_is_offered_while_the_chain_is_not_followed() {
        let tip = Tip { height: 11, hash: BlockHash([2; 32]) };
        let mut kept = chain(10);
        kept.note(&Progress::Synced { height: tip.height, hash: tip.hash }, None, |_| {
            unreachable!("there is no trouble")
        });
        for (network, is_local) in [(Network::Mainnet, false), (Network::Regtest, true)] {
            let mut kept = kept.clone();
            assert_eq!(standing(network, is_local, &kept).services, Services::NODE_NETWORK);
            kept.stop();
            assert_eq!(standing(network, is_local, &kept).services, Services::NONE);
            kept.reopened(Some(tip));
            assert_eq!(standing(network, is_local, &kept).services, Services::NONE);
            kept.take_up();
            let services = if is_local { Services::NODE_NETWORK } else { Services::NONE };
            assert_eq!(standing(network, is_local, &kept).services, services);
        }
    }

    #[test]
    fn the_floor_never_falls_below_what_is_taken_to_be_in_force() {
        let begun = standing(Network::Mainnet, false, &chain(5));
        assert_eq!((begun.height, begun.floor), (5, floor(Network::Mainnet, None)));
        let ahead = standing(Network::Mainnet, false, &chain(u32::MAX));
        assert!(ahead.floor >= begun.floor);
    }
}

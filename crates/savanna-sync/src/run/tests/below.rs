//! Peers whose chains end, or leave ours, below what a long archive keeps in memory.

use super::follow::{Follower, near};
use super::ground::known;
use super::*;
use crate::News;
use crate::headers::HeaderFault;

/// What the archive holds to begin with: enough that the tree's root is far above the first block.
const HELD: usize = 2_500;

fn shy() -> Habit {
    Habit { unlisted: true, ..near() }
}

/// Makes an archive that ends far above its last checkpoint.
fn archive(chain: &[Block]) -> (Arc<MemoryStore>, Options) {
    let store = memory();
    store.append(&chain[..HELD]).unwrap();
    (store, known(chain, 400, 2_400))
}

#[tokio::test(start_paused = true)]
async fn peers_that_lag_below_the_root_keep_their_places() {
    let chain = chain(2_700, 20);
    for lag in [2, 301, 1_100, 1_250, 2_450] {
        for stranger in [false, true] {
            let lagging = Habit { stranger, ..shy() };
            let net = Net::of([(&chain[..lag], lagging), (&chain[..], shy())]).await;
            let (store, options) = archive(&chain);
            sync(net.set.clone(), Arc::clone(&store), options, |_| {}).await.unwrap();
            assert_eq!(store.blocks(), chain);
            assert!(net.closed.lock().unwrap().is_empty(), "{lag} {stranger}: {:?}", net.closed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_knows_no_hash_of_ours_and_begins_at_the_first_block_keeps_its_place() {
    let chain = chain(2_700, 20);
    let net = Net::of([(&chain[..], Habit { stranger: true, ..shy() }), (&chain[..], shy())]).await;
    let (store, options) = archive(&chain);
    sync(net.set.clone(), Arc::clone(&store), options, |_| {}).await.unwrap();
    assert_eq!(store.blocks(), chain);
    let reasons = net.closed.lock().unwrap().clone();
    assert!(reasons.is_empty(), "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn adversary_19_a_chain_that_leaves_ours_below_the_root_costs_its_peer_the_place() {
    let chain = chain(2_700, 20);
    let other = branch(&chain, 310, 3_000);
    for stranger in [false, true] {
        let net = Net::of([(&other[..], Habit { stranger, ..shy() }), (&chain[..], shy())]).await;
        let (store, options) = archive(&chain);
        let mut gone = Vec::new();
        let note = |progress| {
            if let Progress::Reported { peer, why } = progress {
                gone.push((peer, why));
            }
        };
        sync(net.set.clone(), Arc::clone(&store), options, note).await.unwrap();
        assert_eq!(store.blocks(), chain);
        if !stranger {
            assert_eq!(gone, [(PeerId(0), Fault::Headers(HeaderFault::LowWork))]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_has_pruned_blames_nobody_who_lags() {
    let chain = chain(2_720, 20);
    let (store, options) = archive(&chain);
    let mut net = Net::of([(&chain[..2_700], shy()), (&chain[..2_700], shy())]).await;
    let mut follower = Follower::start_on(store, net.set.clone(), options);
    follower.synced(&chain[..2_700]).await;
    for lag in [2, 500, 1_300, 1_500, 2_690] {
        let peer = net.join(&chain[..lag], shy()).await;
        follower.news.send(News::Joined { peer }).unwrap();
    }
    let mixed = branch(&chain, 700, 2_300);
    let other = net.join(&mixed, shy()).await;
    follower.news.send(News::Joined { peer: other }).unwrap();
    for height in 2_700..=2_720 {
        net.give(0, &chain[..=height]);
        net.give(1, &chain[..=height]);
        follower.announce(0, &chain[height]);
        follower.synced(&chain[..=height]).await;
    }
    let gone: Vec<PeerId> = net.closed.lock().unwrap().keys().copied().collect();
    assert!(gone.iter().all(|peer| *peer == other), "{gone:?}");
    assert_eq!(follower.store.blocks(), chain);
}

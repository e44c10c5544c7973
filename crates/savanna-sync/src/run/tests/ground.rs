//! Whole synchronisations over known ground, and by lists alone.

use futures_util::stream;
use savanna_chain::Checkpoints;
use tokio::time::timeout;

use super::follow::{Follower, near};
use super::*;
use crate::download::Limits;
use crate::{Trouble, follow};

/// Knows a chain's blocks at multiples of `gap`, up to and with `last`.
pub(super) fn known(chain: &[Block], gap: usize, last: usize) -> Options {
    let heights = (0..=last).step_by(gap);
    let listed = heights.map(|height| (u32::try_from(height).unwrap(), chain[height].hash()));
    Options { checkpoints: Some(Checkpoints::new(listed).unwrap()), ..Options::default() }
}

#[tokio::test(start_paused = true)]
async fn f8_known_ground_is_fetched_from_all_peers_and_what_is_above_it_as_ever() {
    let chain = chain(1500, 200);
    for last in [300, 1000, 1500] {
        let net = net_of(&chain, [honest(), honest(), honest()]).await;
        let store = memory();
        let summary = sync(net.set.clone(), Arc::clone(&store), known(&chain, 50, last), |_| {}).await.unwrap();
        assert_eq!(store.blocks(), chain);
        assert_eq!((summary.blocks, summary.refetched, summary.peers), (1501, 0, 3));
        assert!(net.closed.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_run_goes_on_in_the_middle_of_a_range() {
    let chain = chain(700, 200);
    let store = memory();
    for (goal, expected) in [(Some(130), 131), (Some(260), 130), (None, 440)] {
        let net = net_of(&chain, [honest(), honest()]).await;
        let options = Options { until: goal, ..known(&chain, 100, 600) };
        let summary = sync(net.set.clone(), Arc::clone(&store), options, |_| {}).await.unwrap();
        assert_eq!(summary.blocks, expected);
    }
    assert_eq!(store.blocks(), chain);
}

#[tokio::test(start_paused = true)]
async fn adversary_19_whoever_lists_what_leads_nowhere_is_found_out() {
    let chain = chain(900, 200);
    let liar = Habit { mislists: Some(30), ..honest() };
    let net = net_of(&chain, [liar, honest(), honest()]).await;
    let store = memory();
    let started = Instant::now();
    let mut gone = BTreeMap::new();
    let note = |progress| {
        if let Progress::Reported { peer, why } = progress {
            assert_eq!(gone.insert(peer, why), None);
        }
    };
    sync(net.set.clone(), Arc::clone(&store), known(&chain, 30, 900), note).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert_eq!(gone, [(PeerId(0), Fault::HashList)].into());
    assert!(started.elapsed() < 20_000 * MS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn adversary_21_wrong_bodies_on_known_ground_cost_their_giver_the_connection_and_no_hash_its_worth() {
    let chain = chain(900, 200);
    let net = net_of(&chain, [Habit { lies: true, ..honest() }, honest(), honest()]).await;
    let store = memory();
    sync(net.set.clone(), Arc::clone(&store), known(&chain, 100, 900), |_| {}).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert_eq!(net.closed.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn adversary_22_bad_peers_on_known_ground_cost_seconds() {
    let chain = chain(4000, 10);
    let quick = Habit { headers_take: MS, pace: MS / 16, ..Habit::default() };
    let bad = [
        ("silent", Habit { hides: true, silent_after: Some(0), ..quick.clone() }),
        ("stalling", Habit { silent_after: Some(0), ..quick.clone() }),
        ("fading", Habit { silent_after: Some(300), ..quick.clone() }),
        ("empty", Habit { empty: true, ..quick.clone() }),
        ("lacking", Habit { lacks: 0..4001, ..quick.clone() }),
        ("scant", Habit { headers_at_most: Some(3), ..quick.clone() }),
        ("leaving", Habit { closes_after: Some(100), ..quick.clone() }),
    ];
    for (name, habit) in bad {
        let net = net_of(&chain, [habit, quick.clone()]).await;
        let (store, started) = (memory(), Instant::now());
        sync(net.set.clone(), Arc::clone(&store), known(&chain, 200, 4000), |_| {}).await.unwrap();
        assert_eq!(store.blocks(), chain, "{name}");
        assert!(started.elapsed() < 15_000 * MS, "{name}: {:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn adversary_19_nothing_that_parts_below_the_last_checkpoint_is_followed() {
    let chain = chain(300, 50);
    let deep = branch(&chain, 150, 400);
    let net = Net::of([(&deep[..], honest()), (&chain[..], honest())]).await;
    let store = memory();
    let summary = sync(net.set.clone(), Arc::clone(&store), known(&chain, 100, 200), |_| {}).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert_eq!(summary.tip_height, 300);
}

#[tokio::test(start_paused = true)]
async fn an_archive_of_another_chain_than_the_checkpoints_ends_it_with_a_clear_sentence() {
    let chain = chain(1400, 50);
    let store = memory();
    store.append(&branch(&chain, 120, 1100)).unwrap();
    let net = net_of(&chain, [honest()]).await;
    let error = sync(net.set.clone(), Arc::clone(&store), known(&chain, 100, 1400), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::Contradicted { height: 1200 }), "{error}");
    assert!(error.to_string().starts_with("the stored blocks do not lead to the checkpoint at height 1200"));
    assert_eq!(store.blocks().len(), 1221);
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn stale_blocks_at_an_archives_end_are_cut_off_once_checkpoints_tell_of_them() {
    let chain = chain(700, 50);
    // Where the archive's chain parts, where it ends, and where it is cut.
    let cases = [(149, 150, 100), (120, 150, 100), (199, 200, 100), (120, 210, 100), (299, 399, 200), (5, 420, 0)];
    for (part, end, expected) in cases {
        for bytes in [Limits::default().bytes, 3000] {
            let options = Options { limits: Limits { bytes, ..Limits::default() }, ..known(&chain, 100, 600) };
            let store = memory();
            let old = branch(&chain, part, end - u32::try_from(part).unwrap());
            store.append(&old).unwrap();
            let net = net_of(&chain, [honest(), honest()]).await;
            let mut cuts = Vec::new();
            let note = |progress| {
                if let Progress::Reorganised { fork, old: gone, left, .. } = progress {
                    assert_eq!(gone, Tip { height: end, hash: old[old.len() - 1].hash() });
                    cuts.push((fork, left));
                }
            };
            sync(net.set.clone(), Arc::clone(&store), options, note).await.unwrap();
            assert_eq!(store.blocks(), chain, "{part} {end} {bytes}");
            assert_eq!(cuts, [(expected, end - expected)]);
            assert!(net.closed.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn adversary_22_stale_blocks_stay_until_there_are_others_in_their_place() {
    let chain = chain(700, 50);
    for (part, end) in [(149, 150), (120, 210)] {
        let store = memory();
        let old = branch(&chain, part, end - u32::try_from(part).unwrap());
        store.append(&old).unwrap();
        let net = net_of(&chain, [Habit { lacks: 130..700, ..honest() }]).await;
        let error = sync(net.set.clone(), Arc::clone(&store), known(&chain, 100, 600), |_| {}).await.unwrap_err();
        assert!(matches!(error, SyncError::Unavailable { .. }), "{error}");
        assert_eq!(store.blocks(), old);
    }
}

#[tokio::test(start_paused = true)]
async fn what_peers_have_that_are_behind_the_next_checkpoint_is_fetched() {
    let chain = chain(300, 50);
    for end in [10, 150, 199] {
        let net = net_of(&chain[..=end], [honest(), honest()]).await;
        let (store, started) = (memory(), Instant::now());
        let summary = sync(net.set.clone(), Arc::clone(&store), known(&chain, 100, 300), |_| {}).await.unwrap();
        assert_eq!(store.blocks(), chain[..=end]);
        assert_eq!(summary.short_of, Some(if end < 100 { 100 } else { 200 }));
        assert!(started.elapsed() < 15_000 * MS, "{:?}", started.elapsed());
        assert!(net.closed.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn known_ground_goes_on_once_a_peer_reaches_the_next_checkpoint() {
    let chain = chain(700, 50);
    let behind = Habit { pace: 20 * MS, grows: [(120, chain.clone())].into(), ..honest() };
    let net = net_of(&chain[..=150], [behind]).await;
    let store = memory();
    let summary = sync(net.set.clone(), Arc::clone(&store), known(&chain, 100, 600), |_| {}).await.unwrap();
    assert_eq!((summary.tip_height, summary.short_of), (700, None));
    assert_eq!(store.blocks(), chain);
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn adversary_19_a_branch_that_reaches_past_a_checkpoint_it_does_not_have_is_left() {
    let chain = chain(700, 50);
    let deep = branch(&chain, 150, 300);
    let net = Net::of([(&deep[..], honest()), (&chain[..=160], honest())]).await;
    let store = memory();
    let ended = sync(net.set.clone(), Arc::clone(&store), known(&chain, 100, 600), |_| {});
    let ended = tokio::time::timeout(400_000 * MS, ended).await.unwrap();
    assert!(matches!(ended, Err(SyncError::Unreached { height: 200 })), "{ended:?}");
    assert!(store.blocks().len() <= 200, "{}", store.blocks().len());
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_an_archive_of_another_chain_than_the_checkpoints_ends_with_a_clear_sentence() {
    let chain = chain(1400, 50);
    let store = memory();
    store.append(&branch(&chain, 120, 1100)).unwrap();
    let net = net_of(&chain, [honest(), honest()]).await;
    let following = follow(net.set.clone(), Arc::clone(&store), known(&chain, 100, 1400), stream::empty(), |_| {});
    let error = timeout(Duration::from_secs(60), following).await.expect("it ends");
    assert!(matches!(error, SyncError::Contradicted { height: 1200 }), "{error}");
    assert_eq!(store.blocks().len(), 1221);
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn adversary_22_a_follower_tells_of_checkpoints_that_no_peer_reaches_until_one_does() {
    let chain = chain(300, 50);
    let net = net_of(&chain[..150], [near(), near()]).await;
    let mut follower = Follower::start_on(memory(), net.set.clone(), known(&chain, 100, 300));
    let told = |told: &Progress| {
        assert!(!matches!(told, Progress::Synced { .. }), "who agrees below a checkpoint is behind: {told:?}");
        if let Progress::Trouble(trouble) = told { Some(trouble.clone()) } else { None }
    };
    let (trouble, _) = follower.wait(told).await;
    assert_eq!(trouble, Trouble::Unreached { height: 200 });
    assert!(trouble.to_string().starts_with("no peer's chain reaches the checkpoint at height 200"));
    assert_eq!(follower.store.blocks(), chain[..150]);
    net.give(1, &chain);
    follower.recovered().await;
    follower.synced(&chain).await;
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn adversary_22_a_follower_tells_of_silence_on_known_ground_and_goes_on_after_it() {
    let chain = chain(300, 50);
    let mut net = net_of(&chain, [Habit { hides: true, ..near() }]).await;
    let mut follower = Follower::start_on(memory(), net.set.clone(), known(&chain, 100, 300));
    assert_eq!(follower.trouble().await, Trouble::Silent);
    net.join(&chain, near()).await;
    follower.recovered().await;
    follower.synced(&chain).await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_names_the_block_that_everybody_lacks_on_known_ground() {
    let chain = chain(300, 50);
    let net = net_of(&chain, [Habit { lacks: 150..151, ..near() }]).await;
    let mut follower = Follower::start_on(memory(), net.set.clone(), known(&chain, 100, 300));
    assert_eq!(follower.trouble().await, Trouble::Undelivered { height: 150, hash: chain[150].hash() });
    net.lack(0, 0..0);
    follower.recovered().await;
    follower.synced(&chain).await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_comes_by_headers_where_nobody_lists_it() {
    let chain = chain(900, 50);
    let shy = Habit { unlisted: true, ..honest() };
    let net = net_of(&chain, [shy.clone(), shy]).await;
    let store = memory();
    sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
    assert_eq!(store.blocks(), chain);
}

#[tokio::test(start_paused = true)]
async fn adversary_22_hashes_of_nothing_cost_the_climb_and_not_the_chain() {
    let chain = chain(900, 50);
    let inventor = Habit { mislists: Some(usize::MAX), ..honest() };
    let net = net_of(&chain, [inventor, honest(), honest()]).await;
    let (store, started) = (memory(), Instant::now());
    sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert!(started.elapsed() < 20_000 * MS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn adversary_19_a_header_of_a_forbidden_version_is_refused_on_the_climb() {
    let mut chain = chain(300, 50);
    let mut bytes = chain[300].bytes().to_vec();
    bytes[0] = 3;
    chain[300] = Block::new(bytes.into()).unwrap();
    let net = net_of(&chain, [honest()]).await;
    let store = memory();
    sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap_err();
    assert_eq!(store.blocks(), chain[..300]);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_counted() {
    let chain = chain(400, 50);
    let liar = Habit { lies: true, ..honest() };
    let net = net_of(&chain, [liar, honest()]).await;
    let mut counts = Vec::new();
    let note = |progress| {
        if let Progress::Download(count) = progress {
            counts.push(count);
        }
    };
    sync(net.set.clone(), memory(), Options::default(), note).await.unwrap();
    let last = counts.last().unwrap();
    assert_eq!((last.arrived, last.blocks_under_way, last.bytes_held), (401, 0, 0));
    assert!(last.refetched.wrong_body > 0 && last.asked >= 401 + last.refetched.wrong_body, "{last:?}");
    assert!(counts.iter().any(|count| count.blocks_under_way > 0 && count.window > 0));
}

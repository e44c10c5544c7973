//! A follower of peers in this process, under a clock that jumps.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::{MemoryStore, News, Trouble, follow};

/// A follower that runs.
pub(super) struct Follower {
    pub(super) store: Arc<MemoryStore>,
    pub(super) news: UnboundedSender<News>,
    pub(super) told: UnboundedReceiver<Progress>,
    pub(super) task: JoinHandle<SyncError>,
}

impl Follower {
    fn start(source: impl Source, options: Options) -> Self {
        Self::start_on(memory(), source, options)
    }

    /// Starts on what a store holds.
    pub(super) fn start_on(store: Arc<MemoryStore>, source: impl Source, options: Options) -> Self {
        let (news, mut heard) = unbounded_channel();
        let (tell, told) = unbounded_channel();
        let heard = stream::poll_fn(move |cx| heard.poll_recv(cx));
        let task = follow(source, Arc::clone(&store), options, heard, move |progress| _ = tell.send(progress));
        Self { store, news, told, task: tokio::spawn(sendable(task)) }
    }

    pub(super) fn announce(&self, peer: usize, block: &Block) {
        self.announce_hash(peer, block.hash());
    }

    fn announce_hash(&self, peer: usize, hash: BlockHash) {
        self.news.send(News::Announced { peer: PeerId(peer as u64), hash }).unwrap();
    }

    /// Waits for what is looked for, and returns it with how long that took.
    pub(super) async fn wait<R>(&mut self, mut look: impl FnMut(&Progress) -> Option<R>) -> (R, Duration) {
        let since = Instant::now();
        let found = async {
            loop {
                let progress = self.told.recv().await.expect("it goes on");
                if let Some(found) = look(&progress) {
                    return found;
                }
            }
        };
        let found = timeout(Duration::from_secs(300), found).await.expect("it is told within five minutes");
        (found, since.elapsed())
    }

    pub(super) async fn synced(&mut self, chain: &[Block]) -> Duration {
        let (height, hash) = (u32::try_from(chain.len() - 1).unwrap(), chain[chain.len() - 1].hash());
        let ((), took) = self.wait(|told| (*told == Progress::Synced { height, hash }).then_some(())).await;
        assert_eq!(self.store.blocks(), chain);
        took
    }

    pub(super) async fn trouble(&mut self) -> Trouble {
        let trouble =
            |told: &Progress| if let Progress::Trouble(trouble) = told { Some(trouble.clone()) } else { None };
        self.wait(trouble).await.0
    }

    pub(super) async fn recovered(&mut self) {
        self.wait(|told| (*told == Progress::Recovered).then_some(())).await;
    }
}

pub(super) fn near() -> Habit {
    Habit { headers_take: 5 * MS, pace: MS, ..Habit::default() }
}

/// Makes a follower that is at the tip of `chain`, of which so many peers have the whole.
async fn at_tip(chain: &[Block], habits: impl IntoIterator<Item = Habit>) -> (Net, Follower) {
    let net = net_of(chain, habits).await;
    let mut follower = Follower::start(net.set.clone(), Options { seed: 7, ..Options::default() });
    follower.synced(chain).await;
    (net, follower)
}

#[tokio::test(start_paused = true)]
async fn five_hundred_blocks_are_followed_as_changing_peers_announce_them() {
    let all = chain(520, 50);
    // Who says nothing to surveys holds up no announced block.
    let silent = Habit { hides: true, ..near() };
    let (net, mut follower) = at_tip(&all[..21], [near(), near(), near(), silent]).await;
    let seed = 2025;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut longest = Duration::ZERO;
    for height in 21..=520 {
        let first = usize::try_from(random.next_u32() % 3).unwrap();
        net.give(first, &all[..=height]);
        follower.announce(first, &all[height]);
        let tip = Progress::Tip { height: u32::try_from(height).unwrap(), hash: all[height].hash() };
        let ((), took) = follower.wait(|told| (*told == tip).then_some(())).await;
        longest = longest.max(took);
        (0..3).for_each(|peer| net.give(peer, &all[..=height]));
        tokio::time::sleep(MS * (random.next_u32() % 3000)).await;
    }
    assert!(longest < 200 * MS, "{longest:?}");
    assert_eq!(follower.store.blocks(), all);
    assert!(net.closed.lock().unwrap().is_empty());
    follower.synced(&all).await;
}

#[tokio::test(start_paused = true)]
async fn a_block_that_nobody_announces_is_found_by_asking() {
    let all = chain(60, 50);
    let (net, mut follower) = at_tip(&all[..60], [near(), near()]).await;
    net.give(1, &all);
    assert!(follower.synced(&all).await < 45_000 * MS);
    drop(follower.news);
    tokio::task::yield_now().await;
    assert!(!follower.task.is_finished(), "the end of the news is no end");
}

#[tokio::test(start_paused = true)]
async fn reorganisations_are_followed_as_deep_as_the_network_follows_them() {
    let old = chain(1100, 20);
    for depth in [1, 10, 99, 999, 1000] {
        let new = branch(&old, 1100 - depth, u32::try_from(depth).unwrap() + 1);
        let (net, mut follower) = at_tip(&old, [near(), near(), near()]).await;
        (0..3).for_each(|peer| net.give(peer, &new));
        follower.announce(1, &new[1101]);
        let reorganised = |told: &Progress| {
            let Progress::Reorganised { fork, old, new, left } = told else { return None };
            Some((*fork, *old, *new, *left))
        };
        let ((fork, left_tip, new_tip, left), took) = follower.wait(reorganised).await;
        assert_eq!((fork, left), (1100 - u32::try_from(depth).unwrap(), u32::try_from(depth).unwrap()));
        assert_eq!(left_tip, Tip { height: 1100, hash: old[1100].hash() });
        assert_eq!(new_tip, Tip { height: 1101, hash: new[1101].hash() }, "cut and written in one go");
        assert!(took < 10_000 * MS, "{took:?}");
        follower.synced(&new).await;
        assert!(net.closed.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reorganisation_deeper_than_the_network_follows_is_refused_and_told() {
    let old = chain(1100, 20);
    let new = branch(&old, 99, 1010);
    let (net, mut follower) = at_tip(&old, [near(), near(), near()]).await;
    (0..3).for_each(|peer| net.give(peer, &new));
    follower.announce(1, &new[1101]);
    assert_eq!(follower.trouble().await, Trouble::DeepFork { depth: 1000 });
    assert_eq!(follower.store.blocks(), old);
}

#[tokio::test(start_paused = true)]
async fn two_branches_that_overtake_each_other_are_both_followed() {
    let trunk = chain(100, 20);
    let left = branch(&trunk, 60, 140);
    let right = trunk[..=60].iter().cloned().chain(extend(&trunk[60], 60, 140, 50, 5)).collect::<Vec<_>>();
    let (net, mut follower) = at_tip(&trunk, [near(), near()]).await;
    for step in 0..20 {
        let (peer, branch) = if step % 2 == 0 { (0, &left) } else { (1, &right) };
        let tip = 102 + 2 * step;
        net.give(peer, &branch[..=tip]);
        follower.announce(peer, &branch[tip]);
        let hash = branch[tip].hash();
        follower.wait(|told| matches!(told, Progress::Tip { hash: told, .. } if *told == hash).then_some(())).await;
        assert_eq!(follower.store.blocks(), branch[..=tip]);
    }
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn adversary_22_hashes_that_nobody_has_hold_up_no_block() {
    let all = chain(140, 50);
    let (net, mut follower) = at_tip(&all[..101], [near(), near(), near()]).await;
    let seed = 19;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for height in 101..=140 {
        for _ in 0..50 {
            let mut hash = [0; 32];
            random.fill_bytes(&mut hash);
            follower.announce_hash(0, BlockHash(hash));
        }
        net.give(1, &all[..=height]);
        follower.announce(1, &all[height]);
        let hash = all[height].hash();
        let tip = |told: &Progress| matches!(told, Progress::Tip { hash: told, .. } if *told == hash).then_some(());
        let ((), took) = follower.wait(tip).await;
        assert!(took < 200 * MS, "{took:?}");
        net.give(2, &all[..=height]);
    }
}

#[tokio::test(start_paused = true)]
async fn adversary_22_a_block_that_is_announced_and_never_delivered_costs_seconds() {
    let all = chain(101, 50);
    let withheld = branch(&all, 100, 1);
    let (net, mut follower) = at_tip(&all[..101], [near(), near(), near()]).await;
    // Whoever announces it has its header alone: every peer lacks the block.
    net.lack(0, 101..102);
    net.give(0, &withheld);
    follower.announce(0, &withheld[101]);
    tokio::time::sleep(100 * MS).await;
    (1..3).for_each(|peer| net.give(peer, &all));
    follower.announce(1, &all[101]);
    let hash = all[101].hash();
    let stored = |told: &Progress| {
        matches!(told, Progress::Tip { hash: told, .. } | Progress::Synced { hash: told, .. } if *told == hash)
            .then_some(())
    };
    let ((), took) = follower.wait(stored).await;
    assert!(took < 10_000 * MS, "{took:?}");
    assert_eq!(follower.store.blocks(), all);
}

#[tokio::test(start_paused = true)]
async fn a_block_far_below_the_tip_that_everybody_lacks_is_told_and_waited_for() {
    let all = chain(3000, 20);
    let lacking = Habit { lacks: 500..501, ..near() };
    let net = net_of(&all, [lacking.clone(), lacking]).await;
    let mut follower = Follower::start(net.set.clone(), Options::default());
    assert_eq!(follower.trouble().await, Trouble::Undelivered { height: 500, hash: all[500].hash() });
    net.lack(1, 0..0);
    follower.recovered().await;
    follower.synced(&all).await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_block_under_a_valid_header_costs_its_branch() {
    let all = chain(102, 50);
    let mut invalid = all[..=100].to_vec();
    // The coinbase of the next block says that its height is 41.
    invalid.extend(extend(&all[100], 40, 1, 50, 3));
    invalid.extend(extend(&invalid[101], 101, 5, 50, 3));
    let (net, mut follower) = at_tip(&all[..101], [near(), near(), near()]).await;
    net.give(0, &invalid);
    net.give(1, &all);
    follower.announce(0, &invalid[106]);
    follower.announce(1, &all[102]);
    let trouble = follower.trouble().await;
    let hash = invalid[101].hash();
    assert!(matches!(trouble, Trouble::InvalidBlock { height: 101, hash: of, .. } if of == hash), "{trouble}");
    follower.synced(&all).await;
    follower.recovered().await;
    assert!(net.closed.lock().unwrap().is_empty(), "who follows a miner is not to blame");
    tokio::time::sleep(100_000 * MS).await;
    assert_eq!(follower.store.blocks(), all);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_late_is_told_and_believed_again_once_it_is_right() {
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    let all = chain(400, 50);
    CLOCK.store(u64::from(all[100].header().time), Ordering::Relaxed);
    let shy = Habit { unlisted: true, ..near() };
    let net = net_of(&all, [shy.clone(), shy.clone(), shy]).await;
    let options = Options { clock: || CLOCK.load(Ordering::Relaxed), ..Options::default() };
    let mut follower = Follower::start(net.set.clone(), options);
    assert_eq!(follower.trouble().await, Trouble::Clock);
    let stored =
        |told: &Progress| matches!(told, Progress::Stored { height, target, .. } if height == target).then_some(());
    follower.wait(stored).await;
    let stored = follower.store.blocks().len();
    assert!(stored > 100 && stored <= 197, "{stored}");
    CLOCK.store(u64::from(all[400].header().time), Ordering::Relaxed);
    follower.synced(&all).await;
    assert!(net.closed.lock().unwrap().is_empty(), "it was our clock");

    let error =
        sync(net.set.clone(), memory(), Options { clock: || 1_296_688_602, ..Options::default() }, |_| {}).await;
    assert!(matches!(error, Err(SyncError::Clock)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_header_from_the_future_of_one_peer_is_set_aside() {
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    let all = chain(101, 50);
    CLOCK.store(u64::from(all[101].header().time), Ordering::Relaxed);
    let early = branch(&all, 100, 200);
    let net = Net::of([(&all[..], near()), (&early[..], near()), (&all[..], near())]).await;
    let options = Options { clock: || CLOCK.load(Ordering::Relaxed), ..Options::default() };
    let mut follower = Follower::start(net.set.clone(), options);
    // The part of it that is not from the future has more work.
    let synced = |told: &Progress| if let Progress::Synced { height, .. } = told { Some(*height) } else { None };
    let (height, _) = follower.wait(synced).await;
    assert!((190..=200).contains(&height), "{height}");
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn everybody_goes_and_comes_back() {
    let all = chain(300, 50);
    let peers = |age| usize::from(age < 20_000 * MS || age > 200_000 * MS);
    let mut follower = Follower::start(Stub { peers, ..Stub::new(all.clone()) }, Options::default());
    follower.synced(&all).await;
    assert_eq!(follower.trouble().await, Trouble::NoPeers);
    follower.recovered().await;
    assert!(!follower.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn adversary_19_a_low_work_branch_that_was_stored_first_makes_way() {
    let best = chain(700, 20);
    let low = branch(&best, 100, 500);
    let (mut net, mut follower) = at_tip(&low, [near()]).await;
    for _ in 0..2 {
        let peer = net.join(&best, near()).await;
        follower.news.send(News::Joined { peer }).unwrap();
    }
    assert!(follower.synced(&best).await < 10_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn adversary_27_it_ends_when_the_disk_is_full_and_goes_on_once_there_is_room() {
    let all = chain(300, 50);
    let net = net_of(&all, [near()]).await;
    let store = Watched::new(200);
    let ended = follow(net.set.clone(), Arc::clone(&store), Options::default(), stream::empty(), |_| {});
    let ended = timeout(Duration::from_secs(60), ended).await.unwrap();
    assert!(matches!(ended, SyncError::Store(StoreError::Io(_))), "{ended}");
    let held = store.blocks.blocks().len();
    assert!(held <= 200);
    store.room.store(usize::MAX, Ordering::Relaxed);
    let mut stored = 0;
    let synced = std::cell::Cell::new(false);
    let note = |progress| {
        if let Progress::Stored { blocks, .. } = progress {
            stored = blocks;
        }
        synced.set(synced.get() || matches!(progress, Progress::Synced { height: 300, .. }));
    };
    let following = follow(net.set.clone(), Arc::clone(&store), Options::default(), stream::empty(), note);
    assert!(timeout(Duration::from_secs(60), following).await.is_err(), "it goes on");
    assert!(synced.get());
    assert_eq!(store.blocks.blocks(), all);
    assert_eq!(stored, 301 - held as u64, "nothing is fetched twice");
}

#[tokio::test(start_paused = true)]
async fn a_deep_branch_of_one_peer_is_no_trouble() {
    let old = chain(1100, 20);
    let new = branch(&old, 99, 1010);
    let (net, mut follower) = at_tip(&old, [near(), near(), near()]).await;
    net.give(1, &new);
    follower.announce(1, &new[1101]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(net.closed.lock().unwrap().len(), 1);
    while let Ok(told) = follower.told.try_recv() {
        assert!(!matches!(told, Progress::Trouble(_)), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_trouble_of_a_withheld_block_ends_once_several_agree_on_the_rest() {
    let all = chain(100, 50);
    let withheld = branch(&all, 100, 1);
    let (net, mut follower) = at_tip(&all, [near(), near(), near()]).await;
    net.lack(0, 101..102);
    net.give(0, &withheld);
    follower.announce(0, &withheld[101]);
    assert_eq!(follower.trouble().await, Trouble::Undelivered { height: 101, hash: withheld[101].hash() });
    assert!(
        follower.synced(&all).await < 10_000 * MS,
        "who asks for the height of the chain is told the one that is kept"
    );
    follower.recovered().await;
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_network_that_is_lost_withholds_nothing() {
    let all = chain(61, 50);
    let (net, mut follower) = at_tip(&all[..61], [near(), near()]).await;
    (0..2).for_each(|peer| net.lack(peer, 61..62));
    (0..2).for_each(|peer| net.give(peer, &all));
    follower.announce(0, &all[61]);
    tokio::time::sleep(1000 * MS).await;
    (0..2).for_each(|peer| net.silence(peer, true));
    tokio::time::sleep(20_000 * MS).await;
    (0..2).for_each(|peer| net.lack(peer, 0..0));
    (0..2).for_each(|peer| net.silence(peer, false));
    let hash = all[61].hash();
    let stored = |told: &Progress| {
        assert!(!matches!(told, Progress::Trouble(Trouble::Undelivered { .. })), "{told:?}");
        matches!(told, Progress::Stored { height: 61, .. }).then_some(())
    };
    let ((), took) = follower.wait(stored).await;
    assert!(took < 40_000 * MS, "{took:?}");
    assert_eq!(follower.store.blocks()[61].hash(), hash);
}

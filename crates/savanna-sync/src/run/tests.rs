//! Whole synchronisations with peers in this process, under a clock that jumps.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use savanna_chain::Entry;
use savanna_peer::CloseReason;
use savanna_sim::regtest::{chain, extend};
use savanna_store::{BlockStore, StoreError};
use savanna_wire::Block;

use super::*;
use crate::MemoryStore;

mod below;
mod follow;
mod ground;
mod peers;
mod stub;

use peers::{Habit, Net};
use stub::Stub;

const MS: Duration = Duration::from_millis(1);

fn honest() -> Habit {
    Habit { pace: MS, ..Habit::default() }
}

fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Network::Regtest))
}

fn until(height: u32) -> Options {
    Options { until: Some(height), ..Options::default() }
}

/// Makes peers of habits, all with the same chain.
async fn net_of(chain: &[Block], habits: impl IntoIterator<Item = Habit>) -> Net {
    Net::of(habits.into_iter().map(|habit| (chain, habit))).await
}

/// Takes nothing that could not be spawned.
fn sendable<T: Future + Send>(future: T) -> T {
    future
}

fn branch(trunk: &[Block], fork: usize, count: u32) -> Vec<Block> {
    let branch = extend(&trunk[fork], u32::try_from(fork).unwrap(), count, 50, 9);
    trunk[..=fork].iter().cloned().chain(branch).collect()
}

#[tokio::test(start_paused = true)]
async fn f8_a_chain_comes_from_all_peers_and_is_kept_whole() {
    let chain = chain(1500, 200);
    let net = net_of(&chain, [honest(), honest(), honest()]).await;
    let store = memory();
    let mut told = Vec::new();
    let run = sync(net.set.clone(), Arc::clone(&store), Options::default(), |progress| told.push(progress));
    let summary = sendable(run).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert_eq!((summary.tip_height, summary.tip_hash), (1500, chain[1500].hash()));
    assert_eq!(summary.blocks, 1501);
    assert_eq!(summary.bytes, chain.iter().map(|block| block.bytes().len() as u64).sum::<u64>());
    assert_eq!((summary.peers, summary.refetched), (3, 0));
    assert!(net.closed.lock().unwrap().is_empty());
    assert!(told.contains(&Progress::Headers { height: 1500 }));
    let last = told.iter().rev().find_map(|progress| {
        let Progress::Stored { height, target, blocks, .. } = progress else { return None };
        Some((*height, *target, *blocks))
    });
    assert_eq!(last, Some((1500, 1500, 1501)));
}

#[tokio::test(start_paused = true)]
async fn adversaries_21_and_22_cost_the_liar_its_place_and_the_chain_nothing() {
    let chain = chain(4000, 200);
    let slow = Habit { pace: 40 * MS, ..Habit::default() };
    let habits = [
        Habit { lies: true, ..slow.clone() },
        Habit { silent_after: Some(0), ..slow.clone() },
        Habit { at_most: Some(3), ..slow.clone() },
        Habit { lacks: 500..900, ..slow.clone() },
        slow,
    ];
    let net = net_of(&chain, habits).await;
    let store = memory();
    let mut gone = BTreeMap::new();
    let note = |progress| {
        if let Progress::Reported { peer, why } = progress {
            assert_eq!(gone.insert(peer, why), None);
        }
    };
    let summary = sync(net.set.clone(), Arc::clone(&store), Options::default(), note).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert!(summary.refetched >= 2, "{}", summary.refetched);
    assert_eq!(summary.peers, 4, "the liar does not count");
    assert_eq!(gone, [(PeerId(0), Fault::WrongBody)].into());
    let expected = [(PeerId(0), CloseReason::Misbehaved(Offence::InvalidAnswer))];
    assert_eq!(*net.closed.lock().unwrap(), expected.into());
}

#[tokio::test(start_paused = true)]
async fn a_later_run_goes_on_where_the_first_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(700, 3000);
    let open = || Arc::new(BlockStore::open(dir.path(), Network::Regtest).unwrap());
    for (goal, expected_tip, expected_blocks) in
        [(Some(400), 400, 401), (None, 700, 300), (None, 700, 0), (Some(3), 700, 0)]
    {
        let net = net_of(&chain, [honest(), honest()]).await;
        let options = Options { until: goal, ..Options::default() };
        let summary = sync(net.set.clone(), open(), options, |_| {}).await.unwrap();
        assert_eq!((summary.tip_height, summary.blocks), (expected_tip, expected_blocks));
    }
    let store = open();
    for (height, block) in (0..).zip(&chain) {
        assert_eq!(store.block(height).unwrap().as_ref(), Some(block));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_branch_with_less_work_is_cut_back_to_the_fork() {
    let new = chain(500, 50);
    let old = branch(&new, 400, 60);
    let store = memory();
    store.append(&old).unwrap();
    let net = net_of(&new, [honest(), honest()]).await;
    let (mut forks, old_tip) = (Vec::new(), old[460].hash());
    let note = |progress| {
        if let Progress::Reorganised { fork, old, new, left } = progress {
            assert_eq!((old.height, left, old.hash), (460, 60, old_tip));
            assert!(new.height > old.height);
            forks.push(fork);
        }
    };
    let summary = sync(net.set.clone(), Arc::clone(&store), Options::default(), note).await.unwrap();
    assert_eq!(store.blocks(), new);
    assert_eq!(summary.blocks, 100);
    assert_eq!(forks, [400]);
}

#[tokio::test(start_paused = true)]
async fn a_better_branch_that_shows_up_in_the_middle_replaces_what_was_stored() {
    let low = chain(1000, 50);
    let best = branch(&low, 950, 100);
    for headers_take in [0, 10, 300, 900] {
        let late = Habit { headers_take: MS * headers_take, ..honest() };
        let net = Net::of([(&low[..], honest()), (&best[..], late)]).await;
        let store = memory();
        let summary = sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
        assert_eq!(store.blocks(), best);
        assert_eq!(summary.tip_height, 1050);
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_mined_meanwhile_are_fetched_as_well() {
    let chain = chain(1200, 50);
    let habit = Habit { pace: 200 * MS, grows: [(500, chain.clone())].into(), ..Habit::default() };
    let net = net_of(&chain[..1000], [habit]).await;
    let store = memory();
    let summary = sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
    assert_eq!(summary.tip_height, 1200);
    assert_eq!(store.blocks(), chain);
}

#[tokio::test(start_paused = true)]
async fn peers_that_close_are_missed_only_when_the_last_is_gone() {
    let chain = chain(600, 50);
    let leaving = Habit { closes_after: Some(100), ..honest() };
    let net = net_of(&chain, [leaving.clone(), leaving.clone(), honest()]).await;
    let store = memory();
    assert_eq!(sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap().tip_height, 600);
    assert_eq!(store.blocks(), chain);

    let net = net_of(&chain, [leaving.clone(), leaving]).await;
    let store = memory();
    let error = sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::NoPeers), "{error}");
    let stored = store.blocks();
    assert!(stored.len() > 50 && stored[..] == chain[..stored.len()], "what came in order is kept");
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_told_by_its_name() {
    let chain = chain(100, 50);
    let net = net_of(&chain, []).await;
    let error = sync(net.set.clone(), memory(), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::NoPeers), "{error}");

    let invents = Habit { invents: true, ..honest() };
    let net = net_of(&chain, [invents.clone(), invents]).await;
    let error = sync(net.set.clone(), memory(), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::InvalidHeaders), "{error}");
    assert_eq!(net.closed.lock().unwrap().len(), 2);

    let net = net_of(&chain, [honest(), honest()]).await;
    let error = sync(net.set.clone(), memory(), until(101), |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "no peer has a block above height 100, and 101 was asked for");

    let lacking = Habit { lacks: 50..51, ..honest() };
    let net = net_of(&chain, [lacking.clone(), lacking]).await;
    let error = sync(net.set.clone(), memory(), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::Unavailable { height: 50 }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_block_that_breaks_a_rule_ends_it_although_every_peer_has_it() {
    let mut chain = chain(20, 50);
    // The coinbase of the next block says that its height is 41.
    chain.extend(extend(&chain[20], 40, 1, 50, 0));
    let net = net_of(&chain, [honest(), honest()]).await;
    let error = sync(net.set.clone(), memory(), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::InvalidBlock { height: 21, hash, .. } if hash == chain[21].hash()), "{error}");
    assert!(net.closed.lock().unwrap().is_empty(), "the peers only follow their miners");
}

/// A store whose disk is full after so many blocks, and that notes how many blocks there were at each flush, and when.
struct Watched {
    blocks: MemoryStore,
    room: AtomicUsize,
    flushes: Mutex<Vec<(Instant, usize)>>,
}

impl Watched {
    fn new(room: usize) -> Arc<Self> {
        let (blocks, room) = (MemoryStore::new(Network::Regtest), AtomicUsize::new(room));
        Arc::new(Self { blocks, room, flushes: Mutex::default() })
    }
}

impl Store for Watched {
    fn network(&self) -> Network {
        self.blocks.network()
    }
    fn tip(&self) -> Option<Tip> {
        self.blocks.tip()
    }
    fn entries(&self, height: u32, count: usize) -> Result<Vec<Entry>, StoreError> {
        self.blocks.entries(height, count)
    }
    fn append(&self, run: &[Block]) -> Result<(), StoreError> {
        if self.blocks.blocks().len() + run.len() > self.room.load(Ordering::Relaxed) {
            return Err(StoreError::Io(std::io::ErrorKind::StorageFull.into()));
        }
        self.blocks.append(run)
    }
    fn truncate(&self, height: u32) -> Result<(), StoreError> {
        self.blocks.truncate(height)
    }
    fn flush(&self) -> Result<(), StoreError> {
        self.flushes.lock().unwrap().push((Instant::now(), self.blocks.blocks().len()));
        self.blocks.flush()
    }
}

#[tokio::test(start_paused = true)]
async fn adversary_27_a_full_disk_ends_it_with_the_disks_own_words() {
    let chain = chain(300, 50);
    let net = net_of(&chain, [honest()]).await;
    let store = Watched::new(200);
    let error = sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::Store(StoreError::Io(_))), "{error}");
    let stored = store.blocks.blocks();
    assert!(stored.len() <= 200 && stored[..] == chain[..stored.len()]);
}

#[tokio::test(start_paused = true)]
async fn adversary_27_small_blocks_do_not_wait_long_to_be_durable() {
    let chain = chain(300, 50);
    let net = net_of(&chain, [Habit { pace: 200 * MS, ..Habit::default() }]).await;
    let store = Watched::new(usize::MAX);
    let started = Instant::now();
    sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
    let flushes = store.flushes.lock().unwrap();
    let times = std::iter::once(started).chain(flushes.iter().map(|&(at, _)| at));
    let longest = times.clone().zip(times.skip(1)).map(|(before, after)| after - before).max().unwrap();
    assert!(longest < 15_000 * MS, "{longest:?}");
    assert!(flushes.len() < 10, "not after every write");
}

#[tokio::test(start_paused = true)]
async fn adversary_27_what_came_before_a_silence_is_durable_before_its_end() {
    let chain = chain(300, 50);
    let net = net_of(&chain, [Habit { silent_after: Some(100), ..honest() }]).await;
    let store = Watched::new(usize::MAX);
    let started = Instant::now();
    let error = sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::Undelivered { .. }), "{error}");
    let flushes = store.flushes.lock().unwrap();
    assert_eq!(flushes.len(), 2, "one in time, one at the end");
    assert!(flushes[0].0 - started < 12_000 * MS && flushes[0].1 == store.blocks.blocks().len());
    assert!(flushes[1].0 - started > 60_000 * MS);
}

#[tokio::test(start_paused = true)]
async fn adversary_22_headers_do_not_wait_for_a_leader_that_is_just_not_silent() {
    let chain = chain(3000, 50);
    let slow = Habit { headers_take: 1900 * MS, ..honest() };
    let net = net_of(&chain, [slow, honest()]).await;
    let started = Instant::now();
    sync(net.set.clone(), memory(), Options::default(), |_| {}).await.unwrap();
    assert!(started.elapsed() < 8_000 * MS, "{:?}", started.elapsed());
    assert!(net.closed.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn adversary_22_headers_that_nobody_gives_end_it_after_a_bound() {
    let chain = chain(30, 50);
    let hiding = Habit { hides: true, ..honest() };
    let net = net_of(&chain, [hiding.clone(), hiding]).await;
    let started = Instant::now();
    let error = sync(net.set.clone(), memory(), Options::default(), |_| {}).await.unwrap_err();
    assert!(matches!(error, SyncError::Silent), "{error}");
    assert!(started.elapsed() < 100_000 * MS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_ends_without_is_asked_for_again() {
    let chain = chain(300, 50);
    let store = memory();
    let stub = Stub { at_most: 40, ..Stub::new(chain.clone()) };
    let summary = sync(stub, Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert!(summary.refetched > 0);
}

#[tokio::test(start_paused = true)]
async fn peers_that_come_back_in_time_are_waited_for_and_others_are_not() {
    let chain = chain(3000, 50);
    let late = Stub { peers: |age| usize::from(age >= 9_000 * MS), ..Stub::new(chain.clone()) };
    assert_eq!(sync(late, memory(), Options::default(), |_| {}).await.unwrap().tip_height, 3000);
    let pause = |age| usize::from(age < 500 * MS || age > 25_000 * MS);
    let back = Stub { peers: pause, ..Stub::new(chain.clone()) };
    assert_eq!(sync(back, memory(), Options::default(), |_| {}).await.unwrap().tip_height, 3000);

    for (peers, bound) in
        [((|_| 0) as fn(Duration) -> usize, 10_000 * MS), (|age| usize::from(age < 500 * MS), 30_000 * MS)]
    {
        let stub = Stub { peers, ..Stub::new(chain.clone()) };
        let (started, reported) = (Instant::now(), Arc::clone(&stub.reported));
        let error = sync(stub, memory(), Options::default(), |_| {}).await.unwrap_err();
        assert!(matches!(error, SyncError::NoPeers), "{error}");
        assert!(started.elapsed() >= bound && started.elapsed() < bound + 2_000 * MS, "{:?}", started.elapsed());
        assert!(reported.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn adversary_22_headers_do_not_wait_for_a_leader_that_tells_them_one_by_one() {
    let chain = chain(3000, 50);
    let scant = Habit { headers_at_most: Some(1), headers_take: 100 * MS, ..honest() };
    let net = net_of(&chain, [scant, Habit { headers_take: 100 * MS, ..honest() }]).await;
    let started = Instant::now();
    sync(net.set.clone(), memory(), Options::default(), |_| {}).await.unwrap();
    assert!(started.elapsed() < 15_000 * MS, "{:?}", started.elapsed());
}

/// Returns how long a chain takes from peers of these habits.
async fn time_from(chain: &[Block], habits: impl IntoIterator<Item = Habit>) -> Duration {
    let net = net_of(chain, habits).await;
    let (store, started) = (memory(), Instant::now());
    sync(net.set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
    assert_eq!(store.blocks().len(), chain.len());
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn adversary_22_a_bad_peer_beside_a_good_one_costs_no_more_than_seconds() {
    let chain = chain(12_000, 10);
    let quick = Habit { headers_take: MS, pace: MS / 16, ..Habit::default() };
    let alone = time_from(&chain, [quick.clone()]).await;
    let bad = [
        ("silent", Habit { hides: true, silent_after: Some(0), ..quick.clone() }),
        ("stalling", Habit { silent_after: Some(0), ..quick.clone() }),
        ("empty", Habit { empty: true, ..quick.clone() }),
        ("lacking", Habit { lacks: 0..12_001, ..quick.clone() }),
        ("slow", Habit { pace: 400 * MS, headers_take: 300 * MS, ..quick.clone() }),
        ("fading", Habit { silent_after: Some(500), ..quick.clone() }),
    ];
    let mut times = Vec::new();
    for (name, habit) in bad {
        times.push((name, time_from(&chain, [habit, quick.clone()]).await));
    }
    assert!(times.iter().all(|(_, beside)| *beside < 2 * alone + 3_000 * MS), "{times:?} beside, {alone:?} alone");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_not_believed_of_the_first_peer_while_others_are_about_to_come() {
    let chain = chain(300, 50);
    let second = |age| if age < 2_000 * MS { 1 } else { 2 };
    let stub = Stub { peers: second, gathers: |age| age < 2_200 * MS, ..Stub::new(chain.clone()) };
    assert_eq!(sync(stub, memory(), Options::default(), |_| {}).await.unwrap().tip_height, 300);
    let silent = Stub { gathers: |age| age < 2_200 * MS, ..Stub::new(chain) };
    let started = Instant::now();
    assert_eq!(sync(silent, memory(), Options::default(), |_| {}).await.unwrap().tip_height, 0);
    assert!(started.elapsed() >= 2_200 * MS && started.elapsed() < 4_000 * MS, "{:?}", started.elapsed());
}

#![allow(clippy::wildcard_enum_match_arm, reason = "a test says what it expects of few kinds")]

use std::sync::atomic::{AtomicBool, AtomicUsize};

use savanna_chain::{CURRENT_VERSION, Entry};
use savanna_peer::{MAX_BLOCK_HASHES, MAX_GETDATA_BLOCKS};
use savanna_sim::regtest::{chain, extend};
use savanna_store::{BlockStore, Tip};
use savanna_wire::{BlockHeader, MAX_HEADERS, Network, TxId};

use super::*;
use crate::{MemoryStore, Store};

const MS: Duration = Duration::from_millis(1);

fn memory(blocks: &[Block]) -> Arc<MemoryStore> {
    let store = MemoryStore::new(Network::Regtest);
    store.append(blocks).unwrap();
    Arc::new(store)
}

fn service<T: Archive>(archive: &Arc<T>) -> ArchiveService<T> {
    ArchiveService::new(Arc::clone(archive), Limits::DEFAULT)
}

async fn ask<T: Archive>(service: &mut ArchiveService<T>, request: Request) -> Response {
    service.call(request).await.unwrap()
}

fn names(blocks: &[Block]) -> Vec<BlockHash> {
    blocks.iter().map(Block::hash).collect()
}

async fn headers<T: Archive>(service: &mut ArchiveService<T>, locator: &[BlockHash]) -> Vec<BlockHash> {
    match ask(service, Request::FindHeaders { locator: locator.to_vec(), stop: None }).await {
        Response::Headers(headers) => headers.iter().map(BlockHeader::hash).collect(),
        other => panic!("{other:?}"),
    }
}

async fn hashes<T: Archive>(
    service: &mut ArchiveService<T>,
    locator: &[BlockHash],
    stop: Option<BlockHash>,
) -> Vec<BlockHash> {
    match ask(service, Request::FindBlocks { locator: locator.to_vec(), stop }).await {
        Response::BlockHashes(hashes) => hashes,
        other => panic!("{other:?}"),
    }
}

async fn blocks<T: Archive>(service: &mut ArchiveService<T>, asked: &[BlockHash]) -> Partial<Block, BlockHash> {
    match ask(service, Request::Blocks(asked.to_vec())).await {
        Response::Blocks(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// What every archive is to answer, whatever it is kept in.
async fn answers_as_peers_expect<T: Archive>(archive: Arc<T>, chain: &[Block]) {
    let (mut service, all, unknown) = (service(&archive), names(chain), BlockHash([9; 32]));
    let tip = all.len() - 1;

    // The last common block of the locator counts, which is the first of it that is in the chain.
    assert_eq!(headers(&mut service, &[unknown, all[10], all[3]]).await, all[11..11 + MAX_HEADERS]);
    assert_eq!(hashes(&mut service, &[unknown, all[10], all[3]], None).await, all[11..11 + MAX_BLOCK_HASHES]);
    // Nothing in common, or nothing named: from the genesis block on.
    for locator in [&[unknown][..], &[]] {
        assert_eq!(headers(&mut service, locator).await, all[..MAX_HEADERS]);
        assert_eq!(hashes(&mut service, locator, None).await, all[..MAX_BLOCK_HASHES]);
    }
    // Zebra names one hash to go on, and asks at the tip every two seconds.
    assert_eq!(headers(&mut service, &[all[tip - 2]]).await, all[tip - 1..]);
    for _ in 0..100 {
        assert_eq!(hashes(&mut service, &[all[tip]], None).await, []);
    }
    assert_eq!(headers(&mut service, &[all[tip]]).await, []);
    // Up to and with where it is to stop; a stop that is not ahead leaves nothing, one that is unknown changes nothing.
    assert_eq!(hashes(&mut service, &[all[5]], Some(all[9])).await, all[6..=9]);
    assert_eq!(hashes(&mut service, &[all[5]], Some(all[5])).await, []);
    assert_eq!(hashes(&mut service, &[all[5]], Some(all[2])).await, []);
    assert_eq!(hashes(&mut service, &[all[tip - 1]], Some(unknown)).await, all[tip..]);

    // What is asked for, in that order, with the bytes and the checksum that it was stored with; the rest is named as lacking.
    let asked = [all[7], unknown, all[2], all[400]];
    let answer = blocks(&mut service, &asked).await;
    assert_eq!(answer.found, [&chain[7], &chain[2], &chain[400]].map(Clone::clone));
    assert_eq!(answer.missing, [(unknown, Missing::NotFound)]);
    drop(answer);
    let answer = blocks(&mut service, &all[..20]).await;
    assert_eq!(answer.found, chain[..MAX_GETDATA_BLOCKS]);
    assert!(answer.missing.iter().all(|(_, why)| *why == Missing::Dropped) && answer.missing.len() == 4);

    let counts = service.counts();
    assert_eq!((counts.blocks, counts.missing, counts.dropped), (19, 1, 4));
    assert_eq!((counts.failed, counts.overloaded, counts.repeated, counts.paced), (0, 0, 0, 0));
    drop(answer);
    assert_eq!(service.counts().held_bytes, 0);
}

#[tokio::test]
async fn an_archive_in_memory_answers_as_peers_expect() {
    let chain = chain(520, 100);
    answers_as_peers_expect(memory(&chain), &chain).await;
}

#[tokio::test]
async fn an_archive_on_disk_answers_as_peers_expect() {
    let (dir, chain) = (tempfile::tempdir().unwrap(), chain(520, 100));
    let store = BlockStore::open(dir.path(), Network::Regtest).unwrap();
    store.append(&chain).unwrap();
    answers_as_peers_expect(Arc::new(store), &chain).await;
}

#[tokio::test]
async fn an_empty_archive_and_other_questions_have_honest_answers() {
    let mut service = service(&Arc::new(MemoryStore::new(Network::Regtest)));
    assert_eq!(headers(&mut service, &[]).await, []);
    assert_eq!(hashes(&mut service, &[BlockHash([1; 32])], None).await, []);
    // Zebra asks for the memory pool unasked.
    assert_eq!(ask(&mut service, Request::MempoolIds).await, Response::TransactionIds(Vec::new()));
    let id = TransactionId::Legacy(TxId([1; 32]));
    let missing = Partial { found: Vec::new(), missing: vec![(id, Missing::NotFound)] };
    assert_eq!(ask(&mut service, Request::Transactions(vec![id])).await, Response::Transactions(missing));
    for request in [Request::Peers, Request::Ping, Request::AdvertiseBlock(BlockHash::ZERO)] {
        assert_eq!(ask(&mut service, request).await, Response::Nil);
    }
}

#[tokio::test]
async fn an_answer_ends_at_a_million_bytes_and_holds_at_least_one_block() {
    let genesis = savanna_sim::regtest::genesis();
    let big = extend(&genesis, 0, 1, 1_900_000, 0);
    let rest = extend(&big[0], 1, 4, 400_000, 0);
    let chain: Vec<Block> = [vec![genesis], big, rest].concat();
    let (archive, all) = (memory(&chain), names(&chain));
    let mut service = service(&archive);
    let answer = blocks(&mut service, &all[1..4]).await;
    assert_eq!((answer.found.as_slice(), answer.missing.len()), (&chain[1..2], 2));
    drop(answer);
    let answer = blocks(&mut service, &all[2..]).await;
    assert_eq!(answer.found, chain[2..4]);
    drop(answer);
    // What is lacking is named, though it stands behind what no longer fits.
    let unknown = BlockHash([9; 32]);
    let asked = [all[2], all[3], all[4], unknown];
    let answer = blocks(&mut service, &asked).await;
    assert_eq!(answer.missing, [(all[4], Missing::Dropped), (unknown, Missing::NotFound)]);
}

/// An archive whose chain becomes another one in the middle of a question, as often as it is told.
struct Shifting {
    store: MemoryStore,
    branches: [Vec<Block>; 2],
    fork: u32,
    turn: Mutex<(usize, usize)>,
    is_broken: AtomicBool,
    /// How many hashes were read.
    rows: AtomicUsize,
}

impl Shifting {
    fn shift(&self) {
        let mut turn = self.turn.lock().unwrap();
        if turn.0 > 0 {
            *turn = (turn.0 - 1, 1 - turn.1);
            self.store.truncate(self.fork).unwrap();
            self.store.append(&self.branches[turn.1]).unwrap();
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(StoreError::Corrupt { what: "a test's own".into() });
        }
        Ok(())
    }
}

impl Store for Shifting {
    fn network(&self) -> Network {
        Network::Regtest
    }

    fn tip(&self) -> Option<Tip> {
        self.store.tip()
    }

    fn entries(&self, height: u32, count: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.entries(height, count)
    }

    fn append(&self, run: &[Block]) -> Result<(), StoreError> {
        self.store.append(run)
    }

    fn truncate(&self, height: u32) -> Result<(), StoreError> {
        self.store.truncate(height)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Archive for Shifting {
    fn height_of(&self, hash: BlockHash) -> Result<Option<u32>, StoreError> {
        self.check()?;
        let height = self.store.height_of(hash);
        self.shift();
        height
    }

    fn hashes(&self, height: u32, count: usize) -> Result<Vec<BlockHash>, StoreError> {
        let hashes = self.store.hashes(height, count);
        self.rows.fetch_add(hashes.as_ref().map_or(0, Vec::len), Ordering::Relaxed);
        self.shift();
        hashes
    }

    fn headers(&self, height: u32, count: usize) -> Result<Vec<BlockHeader>, StoreError> {
        self.store.headers(height, count)
    }

    fn length_at(&self, height: u32) -> Result<Option<usize>, StoreError> {
        self.store.length_at(height)
    }

    fn block_at(&self, height: u32) -> Result<Option<Block>, StoreError> {
        self.store.block_at(height)
    }
}

#[tokio::test]
async fn a_reorganisation_under_a_question_leaves_an_answer_that_links() {
    let trunk = chain(20, 50);
    let branches = [1, 2].map(|salt| extend(&trunk[20], 20, 30, 50, salt));
    let store = MemoryStore::new(Network::Regtest);
    store.append(&trunk).unwrap();
    let (turn, is_broken, rows) = (Mutex::new((0, 0)), AtomicBool::new(false), AtomicUsize::new(0));
    let archive = Arc::new(Shifting { store, branches: branches.clone(), fork: 20, turn, is_broken, rows });
    archive.store.append(&branches[0]).unwrap();
    for shifts in 0..8 {
        for locator in [trunk[15].hash(), branches[0][4].hash(), branches[1][4].hash()] {
            let mut service = service(&archive);
            archive.turn.lock().unwrap().0 = shifts;
            let request = Request::FindHeaders { locator: vec![locator, trunk[15].hash()], stop: None };
            let Response::Headers(headers) = ask(&mut service, request).await else { panic!("no headers") };
            if let Some(first) = headers.first() {
                assert!([locator, trunk[15].hash()].contains(&first.previous), "{shifts}");
            }
            assert!(headers.windows(2).all(|pair| pair[1].previous == pair[0].hash()), "{shifts}");
        }
        let mut service = service(&archive);
        archive.turn.lock().unwrap().0 = shifts;
        let asked: Vec<_> = [&branches[0][3], &branches[1][3], &trunk[3]].map(Block::hash).into();
        let answer = blocks(&mut service, &asked).await;
        assert!(answer.found.iter().all(|block| asked.contains(&block.hash())) && answer.found.contains(&trunk[3]));
        assert_eq!(answer.found.len() + answer.missing.len(), 3);
    }
}

#[tokio::test]
async fn a_disk_that_fails_costs_the_answer_and_no_connection() {
    let chain = chain(20, 50);
    let store = MemoryStore::new(Network::Regtest);
    store.append(&chain).unwrap();
    let (turn, is_broken) = (Mutex::new((0, 0)), AtomicBool::new(true));
    let rows = AtomicUsize::new(0);
    let archive = Shifting { store, branches: [Vec::new(), Vec::new()], fork: 20, turn, is_broken, rows };
    let mut service = service(&Arc::new(archive));
    let locator = vec![chain[3].hash()];
    assert_eq!(ask(&mut service, Request::FindHeaders { locator: locator.clone(), stop: None }).await, Response::Nil);
    assert_eq!(blocks(&mut service, &locator).await.missing, [(locator[0], Missing::NotFound)]);
    assert_eq!(service.counts().failed, 2);
}

#[tokio::test(start_paused = true)]
async fn adversary_18_answers_that_are_not_read_take_their_peers_room_and_nobody_elses() {
    let genesis = savanna_sim::regtest::genesis();
    let chain = extend(&genesis, 0, 1, 900_000, 0);
    let (archive, asked) = (memory(&[vec![genesis], chain.clone()].concat()), names(&chain));
    let limits = Limits { peer_bytes: 4_000_000, bytes: 16_000_000, ..Limits::DEFAULT };
    let service = ArchiveService::new(archive, limits);
    // Six peers that read nothing, and keep asking.
    let mut unread = Vec::new();
    let mut idle: Vec<_> = (0..6).map(|_| service.clone()).collect();
    for _ in 0..5 {
        for peer in &mut idle {
            unread.extend(blocks(peer, &asked).await.found);
        }
    }
    let held: u64 = unread.iter().map(|block| block.bytes().len() as u64).sum();
    assert_eq!(service.counts().held_bytes, held);
    assert!(held <= 16_000_000 && service.counts().overloaded > 0, "{held}");
    // There is room for each that reads.
    for _ in 0..4 {
        let mut newcomer = service.clone();
        for _ in 0..10 {
            assert_eq!(blocks(&mut newcomer, &asked).await.found.len(), 1);
        }
    }
    drop(unread);
    assert_eq!(service.counts().held_bytes, 0);
    assert_eq!(blocks(&mut idle[0], &asked).await.found.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn adversary_20_repeated_locators_are_paced_and_cost_nobody_else() {
    let chain = chain(400, 20);
    let (archive, all) = (memory(&chain), names(&chain));
    let service = service(&archive);
    let (mut flooder, mut honest) = (service.clone(), service.clone());
    let started = Instant::now();
    for _ in 0..1_200 {
        assert_eq!(headers(&mut flooder, &[all[3]]).await.len(), MAX_HEADERS);
    }
    // Ten a second, beyond a credit of two hundred.
    let took = started.elapsed();
    assert!((98..=101).contains(&took.as_secs()), "{took:?}");
    assert!(service.counts().repeated > 900);
    // Who goes on is not held up, and neither is who asks at the tip.
    let before = Instant::now();
    let mut at = all[0];
    while at != all[400] {
        at = *headers(&mut honest, &[at]).await.last().unwrap();
    }
    for _ in 0..100 {
        assert_eq!(hashes(&mut honest, &[at], None).await, []);
    }
    assert!(before.elapsed() < 10 * MS);
}

#[tokio::test(start_paused = true)]
async fn adversary_20_questions_that_are_answered_with_nothing_are_paced_as_repeats_are() {
    let chain = chain(400, 20);
    let (archive, all) = (memory(&chain), names(&chain));
    for request in [
        Request::FindHeaders { locator: vec![all[0]], stop: Some(all[0]) },
        Request::FindHeaders { locator: vec![all[400]], stop: None },
        Request::FindBlocks { locator: vec![all[9]], stop: Some(all[3]) },
    ] {
        let mut flooder = service(&archive);
        let started = Instant::now();
        for _ in 0..1_200 {
            let answer = ask(&mut flooder, request.clone()).await;
            assert!(answer == Response::Headers(Vec::new()) || answer == Response::BlockHashes(Vec::new()));
        }
        let took = started.elapsed();
        assert!((98..=101).contains(&took.as_secs()), "{took:?}");
    }
}

#[tokio::test]
async fn rows_beyond_a_stop_are_not_read() {
    let trunk = chain(20, 50);
    let store = MemoryStore::new(Network::Regtest);
    store.append(&trunk).unwrap();
    let (turn, is_broken, rows) = (Mutex::new((0, 0)), AtomicBool::new(false), AtomicUsize::new(0));
    let archive = Shifting { store, branches: [Vec::new(), Vec::new()], fork: 20, turn, is_broken, rows };
    let all = names(&trunk);
    for (from, stop, expected) in [(0, 0, 0), (9, 3, 0), (9, 9, 0), (0, 4, 5), (3, 20, 18)] {
        archive.rows.store(0, Ordering::Relaxed);
        let told = answer::hashes(&archive, &[all[from]], Some(all[stop])).unwrap().items;
        assert_eq!(told, all[from + 1..(stop + 1).max(from + 1)]);
        assert_eq!(archive.rows.load(Ordering::Relaxed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_read_for_a_peer_that_goes_away_is_charged() {
    let chain = chain(9, 100_000);
    let (archive, all) = (memory(&chain), names(&chain));
    let (_stand, standing) = watch::channel(Standing { height: 0, services: Services::NONE, floor: CURRENT_VERSION });
    let limits = Limits { rate_while_syncing: 1_000_000, reads: 1, ..Limits::DEFAULT };
    let service = ArchiveService::new(archive, limits).yielding_to(standing);
    let started = Instant::now();
    assert!(service.clone().call(Request::Blocks(all[1..].to_vec())).now_or_never().is_none(), "it is being read");
    assert_eq!(blocks(&mut service.clone(), &all[..1]).await.found.len(), 1);
    assert!(started.elapsed() > 800 * MS, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn peers_are_served_slowly_while_our_own_chain_is_not_whole() {
    let chain = chain(200, 100_000);
    let (archive, all) = (memory(&chain), names(&chain));
    let syncing = Standing { height: 0, services: Services::NONE, floor: CURRENT_VERSION };
    let (stand, standing) = watch::channel(syncing);
    let service =
        ArchiveService::new(archive, Limits { rate_while_syncing: 1_000_000, ..Limits::DEFAULT }).yielding_to(standing);
    let mut peers = [service.clone(), service.clone(), service.clone()];
    let started = Instant::now();
    for (at, asked) in all[1..181].chunks(9).enumerate() {
        assert_eq!(blocks(&mut peers[at % 3], asked).await.found.len(), 9);
    }
    let took = started.elapsed();
    // 18 MB at one a second, and the price of twenty questions.
    assert!((17_000..20_000).contains(&took.as_millis()), "{took:?}");
    assert!(service.counts().paced > 0);

    stand.send_replace(Standing { services: Services::NODE_NETWORK, ..syncing });
    let before = Instant::now();
    for asked in all[1..181].chunks(9) {
        assert_eq!(blocks(&mut peers[0], asked).await.found.len(), 9);
    }
    assert!(before.elapsed() < 100 * MS);
}

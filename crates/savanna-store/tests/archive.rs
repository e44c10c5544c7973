//! What an archive keeps besides blocks: reorganisations, transactions, when it grew; and how it is served from.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

use std::fs;
use std::path::Path;

use savanna_sim::regtest::{chain, extend};
use savanna_store::{BlockStore, Options, Reorganisation, StoreError, Tip, TransactionPlace};
use savanna_wire::{Block, Network, TxId};

const WITH_TRANSACTIONS: Options = Options { transaction_index: true };

fn open(dir: &Path) -> BlockStore {
    BlockStore::open(dir, Network::Regtest).unwrap()
}

fn tip_of(height: u32, block: &Block) -> Tip {
    Tip { height, hash: block.hash() }
}

fn coinbase(block: &Block) -> TxId {
    savanna_chain::transactions(block).unwrap().next().unwrap().unwrap().txid()
}

#[test]
fn reorganisations_are_noted_and_survive_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let old = chain(1500, 10);
    let store = open(dir.path());
    store.append(&old).unwrap();
    assert_eq!(store.reorganisations(10).unwrap(), []);
    // Nothing has to leave, so nothing is noted; nor where blocks leave for another reason.
    store.reorganise(Some(1500), None, 5).unwrap();
    store.truncate(Some(1400)).unwrap();
    assert_eq!(store.reorganisations(10).unwrap(), []);

    let new_tip = Some(tip_of(1390, &old[5]));
    assert_eq!(store.reorganise(Some(1380), new_tip, 77).unwrap(), Some(tip_of(1380, &old[1380])));
    let first = Reorganisation { time: 77, fork: Some(1380), old_tip: tip_of(1400, &old[1400]), new_tip, left: 20 };
    assert_eq!(store.reorganisations(10).unwrap(), [first]);
    drop(store);
    let store = open(dir.path());
    // In more than one step.
    assert_eq!(store.reorganise(None, None, 78).unwrap(), None);
    let second = Reorganisation { time: 78, fork: None, old_tip: tip_of(1380, &old[1380]), new_tip: None, left: 1381 };
    assert_eq!(store.reorganisations(10).unwrap(), [second, first]);
    assert_eq!(store.reorganisations(1).unwrap(), [second]);
}

#[test]
fn the_newest_thousand_reorganisations_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(1, 10);
    let store = open(dir.path());
    store.append(&chain).unwrap();
    for time in 0..1003 {
        store.reorganise(Some(0), None, time).unwrap();
        store.append(&chain[1..]).unwrap();
    }
    let kept = store.reorganisations(usize::MAX).unwrap();
    assert_eq!(kept.iter().map(|one| one.time).collect::<Vec<_>>(), (3..1003).rev().collect::<Vec<_>>());
}

#[test]
fn transactions_are_found_where_they_are_and_leave_with_their_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let old = chain(30, 200);
    let store = BlockStore::open_with(dir.path(), Network::Regtest, WITH_TRANSACTIONS).unwrap();
    store.append(&old).unwrap();
    let at = |height| Some(TransactionPlace { height, index: 0 });
    assert!(store.indexed().unwrap().is_whole());
    assert_eq!(store.transaction(coinbase(&old[17])).unwrap(), at(17));
    assert_eq!(store.transaction(TxId([7; 32])).unwrap(), None);
    store.truncate(Some(5)).unwrap();
    assert_eq!(store.transaction(coinbase(&old[17])).unwrap(), None);
    let branch = extend(&old[5], 5, 20, 200, 9);
    store.append(&branch).unwrap();
    drop(store);
    // An index that is there is kept up without being asked for.
    let store = open(dir.path());
    let more = extend(&branch[19], 25, 3, 200, 9);
    store.append(&more).unwrap();
    assert!(store.indexed().unwrap().is_whole());
    for (height, block) in (6..).zip(branch.iter().chain(&more)) {
        assert_eq!(store.transaction(coinbase(block)).unwrap(), at(height));
    }
    for block in &old[6..] {
        assert_eq!(store.transaction(coinbase(block)).unwrap(), None);
    }
}

#[test]
fn an_archive_that_is_there_is_indexed_step_by_step_while_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(60, 400_000);
    let store = open(dir.path());
    store.append(&chain[..50]).unwrap();
    assert!(matches!(store.index_transactions(), Err(StoreError::NoTransactionIndex)));
    assert!(matches!(store.transaction(TxId([0; 32])), Err(StoreError::NoTransactionIndex)));
    assert_eq!(store.indexed(), None);
    drop(store);
    let store = BlockStore::open_with(dir.path(), Network::Regtest, WITH_TRANSACTIONS).unwrap();
    assert_eq!((store.indexed().unwrap().blocks, store.indexed().unwrap().of), (0, 50));
    let first = store.index_transactions().unwrap();
    assert!(first.blocks > 0 && !first.is_whole(), "{first:?}");
    store.append(&chain[50..55]).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.indexed().unwrap().blocks, first.blocks, "it goes on where it was");
    store.truncate(Some(2)).unwrap();
    assert_eq!(store.indexed().unwrap().blocks, 3);
    store.append(&chain[3..]).unwrap();
    while !store.index_transactions().unwrap().is_whole() {}
    for (height, block) in (0..).zip(&chain) {
        assert_eq!(store.transaction(coinbase(block)).unwrap(), Some(TransactionPlace { height, index: 0 }));
    }
}

#[test]
fn headers_and_hashes_are_read_in_one_go() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(300, 2000);
    let store = open(dir.path());
    store.append(&chain).unwrap();
    for (height, count, read) in [(0, 160, 160), (141, 160, 160), (142, 160, 159), (300, 1, 1), (301, 9, 0), (5, 0, 0)]
    {
        let expected = &chain[height.min(300)..][..read];
        let from = u32::try_from(height).unwrap();
        let headers = store.headers(from, count).unwrap();
        assert!(headers.iter().eq(expected.iter().map(Block::header)), "{height} {count}");
        assert!(
            store.hashes(from, count).unwrap().into_iter().eq(expected.iter().map(Block::hash)),
            "{height} {count}"
        );
    }
    for (height, block) in (0..).zip(&chain) {
        assert_eq!(store.serve(height).unwrap().as_ref(), Some(block));
    }
    assert_eq!(store.serve(301).unwrap(), None);
}

#[test]
fn adversary_27_rotten_bytes_are_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(3, 2000);
    let store = open(dir.path());
    store.append(&chain).unwrap();
    let path = dir.path().join("blocks");
    let whole = fs::read(&path).unwrap();
    let start = chain[0].bytes().len();
    for at in [0, 4, 100, 150, 177, 1000, chain[1].bytes().len() - 1] {
        let mut rotten = whole.clone();
        rotten[start + at] ^= 1;
        fs::write(&path, rotten).unwrap();
        assert!(matches!(store.serve(1), Err(StoreError::Corrupt { .. })), "{at}");
        assert_eq!(store.headers(0, 4).is_err(), at < 177, "{at}");
    }
    fs::write(&path, &whole[..start + 50]).unwrap();
    assert!(matches!(store.serve(1), Err(StoreError::Corrupt { .. })));
    assert!(matches!(store.headers(0, 4), Err(StoreError::Corrupt { .. })));
}

#[test]
fn it_is_known_how_much_is_durable_and_when_the_archive_grew() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(9, 100);
    let store = open(dir.path());
    assert_eq!((store.durable(), store.last_growth()), (None, None));
    store.append(&chain[..5]).unwrap();
    let grown = store.last_growth().unwrap();
    assert_eq!(store.durable(), None);
    store.flush().unwrap();
    store.append(&chain[5..]).unwrap();
    assert_eq!(store.durable(), Some(4));
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.durable(), Some(4));
    assert!(store.last_growth().unwrap() >= grown);
    store.truncate(Some(2)).unwrap();
    assert_eq!(store.durable(), Some(2));
}

#[test]
fn whose_blocks_a_directory_holds_is_read_without_opening_it() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    for empty in [dir.path(), &missing] {
        assert!(matches!(BlockStore::network_of(empty), Err(StoreError::Missing { .. })));
    }
    assert!(!missing.exists());
    let store = open(dir.path());
    assert_eq!(BlockStore::network_of(dir.path()).unwrap(), Network::Regtest);
    drop(store);
    let marker = dir.path().join("savanna-blocks");
    fs::write(&marker, "savanna block store\nformat 9\n").unwrap();
    let error = BlockStore::network_of(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 9, .. }));
    assert!(error.to_string().ends_with("a newer version of it wrote there"), "{error}");
    fs::remove_file(&marker).unwrap();
    assert!(matches!(BlockStore::network_of(dir.path()), Err(StoreError::Foreign { .. })));
}

#[test]
fn adversary_27_blocks_without_their_index_are_not_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.append(&chain(5, 100)).unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    let length = || fs::metadata(dir.path().join("blocks")).unwrap().len();
    let before = length();
    assert!(matches!(BlockStore::open(dir.path(), Network::Regtest), Err(StoreError::Corrupt { .. })));
    assert_eq!(length(), before);
}

/// A measurement, to be run by hand on a machine that has nothing else to do.
#[test]
#[ignore = "it measures"]
fn serving_reads_a_gigabyte_and_a_half_a_second_on_one_core() {
    const PASSES: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(2000, 60_000);
    let store = open(dir.path());
    for run in chain.chunks(100) {
        store.append(run).unwrap();
    }
    for (name, read) in [("serve", BlockStore::serve as fn(&BlockStore, u32) -> _), ("block", BlockStore::block)] {
        let began = std::time::Instant::now();
        let mut bytes = 0;
        for height in (0..2001).cycle().take(2001 * PASSES) {
            bytes += read(&store, height).unwrap().unwrap().bytes().len();
        }
        println!("{name}: {:.2} GB/s", bytes as f64 / 1e9 / began.elapsed().as_secs_f64());
    }
}

#[test]
fn a_run_takes_the_place_of_another_that_it_shares_blocks_with() {
    for transaction_index in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { transaction_index };
        let store = BlockStore::open_with(dir.path(), Network::Regtest, options).unwrap();
        let old = chain(30, 50);
        store.append(&old).unwrap();
        let new = [&old[25..=27], &extend(&old[27], 27, 9, 50, 7)[..]].concat();
        assert_eq!(store.replace(Some(24), &new, 5).unwrap().map(|tip| tip.height), Some(36));
        for (height, block) in (0..).zip(old[..25].iter().chain(&new)) {
            assert_eq!(store.block(height).unwrap().as_ref(), Some(block));
            assert_eq!(store.height(block.hash()).unwrap(), Some(height));
            if transaction_index {
                let id = savanna_chain::transactions(block).unwrap().next().unwrap().unwrap().txid();
                assert_eq!(store.transaction(id).unwrap().map(|place| place.height), Some(height));
            }
        }
        assert!(old[28..].iter().all(|block| store.height(block.hash()).unwrap().is_none()));
        let noted = store.reorganisations(9).unwrap();
        assert_eq!(noted.len(), 1);
        assert_eq!((noted[0].fork, noted[0].left, noted[0].new_tip), (Some(24), 6, store.tip()));
        // What does not stand on the fork changes nothing.
        assert!(store.replace(Some(30), &new, 6).is_err());
        assert!(!store.has_failed());
    }
}

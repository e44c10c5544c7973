//! What the archive promises, and what it does when its files are another's or rotten.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use savanna_sim::regtest::{chain, extend, genesis};
use savanna_wire::Checksum;

use super::*;
use crate::IndexEntry;
use crate::engine::{BODIES, gap};

fn open(dir: &Path) -> BlockStore {
    BlockStore::open(dir, Network::Regtest).unwrap()
}

fn assert_holds(store: &BlockStore, expected: &[Block]) {
    let last = expected.len().checked_sub(1).map(|last| u32::try_from(last).unwrap());
    assert_eq!(store.tip().map(|tip| tip.height), last);
    let entries: Vec<IndexEntry> = store.index_from(0).map(Result::unwrap).collect();
    assert_eq!(entries.len(), expected.len());
    for (height, (block, entry)) in (0..).zip(expected.iter().zip(entries)) {
        assert_eq!(entry, IndexEntry::of(height, block));
        assert_eq!(store.block(height).unwrap().as_ref(), Some(block));
        assert_eq!(store.header(height).unwrap().as_ref(), Some(block.header()));
        assert_eq!(store.height(block.hash()).unwrap(), Some(height));
    }
    assert_eq!(store.block(u32::try_from(expected.len()).unwrap()).unwrap(), None);
}

#[test]
fn what_is_appended_is_read_back_here_and_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(40, 3000);
    let store = open(dir.path());
    assert_holds(&store, &[]);
    store.append(&chain[..1]).unwrap();
    let tip = store.append(&chain[1..]).unwrap().unwrap();
    assert_eq!((tip.height, tip.hash), (40, chain[40].hash()));
    assert_holds(&store, &chain);
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path());
    assert_holds(&store, &chain);
    let tail: Vec<u32> = store.index_from(38).map(|entry| entry.unwrap().height).collect();
    assert_eq!(tail, [38, 39, 40]);
}

#[test]
fn a_run_that_does_not_link_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(5, 100);
    let store = open(dir.path());
    assert!(matches!(store.append(&chain[1..]), Err(StoreError::NotNext { tip: None, .. })));
    store.append(&chain[..3]).unwrap();
    let holed = [chain[3].clone(), chain[5].clone()];
    assert!(matches!(store.append(&holed), Err(StoreError::NotNext { tip: Some(3), .. })));
    assert_holds(&store, &chain[..3]);
    store.append(&chain[3..]).unwrap();
    assert_holds(&store, &chain);
}

#[test]
fn a_fork_is_switched_by_truncating_to_where_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    let old = chain(2500, 10);
    let store = open(dir.path());
    store.append(&old).unwrap();
    assert_eq!(store.truncate(Some(9999)).unwrap().unwrap().height, 2500);
    let tip = store.truncate(Some(7)).unwrap().unwrap();
    assert_eq!((tip.height, tip.hash), (7, old[7].hash()));
    assert_holds(&store, &old[..8]);
    assert_eq!(store.height(old[8].hash()).unwrap(), None);
    let branch = extend(&old[7], 7, 30, 500, 1);
    store.append(&branch).unwrap();
    let new: Vec<Block> = old[..8].iter().chain(&branch).cloned().collect();
    assert_holds(&store, &new);
    store.flush().unwrap();
    drop(store);
    let store = open(dir.path());
    assert_holds(&store, &new);
    assert_eq!(store.truncate(None).unwrap(), None);
    assert_holds(&store, &[]);
    store.append(&[genesis()]).unwrap();
}

#[test]
fn another_networks_directory_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(3, 100);
    let store = open(dir.path());
    store.append(&chain).unwrap();
    drop(store);
    let error = BlockStore::open(dir.path(), Network::Mainnet).unwrap_err();
    assert!(matches!(error, StoreError::Network { expected: Network::Mainnet, found: Network::Regtest, .. }));
    assert!(error.to_string().ends_with("holds blocks of regtest, not of mainnet"), "{error}");
    assert_holds(&open(dir.path()), &chain);
}

#[test]
fn foreign_directories_and_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("photo.jpg"), b"precious").unwrap();
    assert!(matches!(BlockStore::open(dir.path(), Network::Regtest), Err(StoreError::Foreign { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is written into it");

    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let marker = dir.path().join("savanna-blocks");
    fs::write(&marker, "savanna block store\nformat 3\nwhatever format 3 says\n").unwrap();
    assert!(matches!(BlockStore::open(dir.path(), Network::Regtest), Err(StoreError::Format { found: 3, .. })));
    fs::write(&marker, "savanna block store\nformat 1\nnetwork regtest\n").unwrap();
    let error = BlockStore::open(dir.path(), Network::Regtest).unwrap_err();
    assert!(error.to_string().ends_with("has store format 1, this program reads format 2"), "{error}");
    fs::write(&marker, [0xff; 40]).unwrap();
    assert!(matches!(BlockStore::open(dir.path(), Network::Regtest), Err(StoreError::Foreign { .. })));
}

#[test]
fn a_second_opening_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    assert!(matches!(BlockStore::open(dir.path(), Network::Regtest), Err(StoreError::Locked { .. })));
    drop(first);
    open(dir.path());
}

#[test]
fn a_kill_while_the_store_is_made_leaves_nothing_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let draft = dir.path().join("db.new");
    drop(claim(dir.path(), Network::Regtest).unwrap());
    fs::create_dir_all(draft.join("keyspaces")).unwrap();
    fs::write(draft.join("0.jnl"), [0; 100]).unwrap();
    let store = open(dir.path());
    assert_holds(&store, &[]);
    assert!(!draft.exists());
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Writes a store whose blocks are partly in tables and partly in the journal alone.
fn write_store(dir: &Path, chain: &[Block]) {
    let store = open(dir);
    let half = chain.len() / 2;
    store.append(&chain[..half]).unwrap();
    store
        .with_engine(|engine| {
            for keyspace in [&engine.index, &engine.heights, &engine.marks] {
                keyspace.rotate_memtable_and_wait().unwrap();
            }
            Ok(())
        })
        .unwrap();
    store.append(&chain[half..]).unwrap();
    store.flush().unwrap();
}

/// Reads all that is there. Whatever is read has to be what was written.
fn read_all(dir: &Path, chain: &[Block]) -> Result<(), StoreError> {
    let store = BlockStore::open(dir, Network::Regtest)?;
    for entry in store.index_from(0) {
        let height = entry?.height;
        let expected = &chain[usize::try_from(height).unwrap()];
        assert_eq!(&store.block(height)?.ok_or_else(|| gap(height))?, expected);
        assert_eq!(&store.header(height)?.ok_or_else(|| gap(height))?, expected.header());
    }
    Ok(())
}

#[test]
fn adversary_27_rotten_and_cut_files_are_errors_and_never_panics() {
    let chain = chain(60, 2000);
    let whole = tempfile::tempdir().unwrap();
    write_store(whole.path(), &chain);
    read_all(whole.path(), &chain).unwrap();
    let mut paths = Vec::new();
    files(whole.path(), &mut paths);
    let (mut refused, mut read) = (0, 0);
    for path in &paths {
        let bytes = fs::read(path).unwrap();
        // The journal is preallocated: what matters in it is where it holds anything.
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let mut damages: Vec<Vec<u8>> = [0, used / 3, used.saturating_sub(1)].map(|len| bytes[..len].to_vec()).into();
        // Every fifth of the file, and the fields at the beginning of the journal.
        let fields = if path.extension().is_some_and(|kind| kind == "jnl") { 0..30 } else { 0..0 };
        for at in (0..5).map(|fifth| used * fifth / 5 + 5).chain(fields).filter(|&at| at < used) {
            let mut rotten = bytes.clone();
            rotten[at] ^= 0x55;
            damages.push(rotten);
        }
        for damaged in damages {
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            let target = dir.path().join(path.strip_prefix(whole.path()).unwrap());
            fs::write(&target, &damaged).unwrap();
            match read_all(dir.path(), &chain) {
                Ok(()) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 20 && read > 0, "{refused} refused, {read} read from {} files", paths.len());
}

/// Appends ten blocks that are durable and ten that are not.
fn half_durable(dir: &Path) -> Vec<Block> {
    let chain = chain(19, 2000);
    let store = open(dir);
    store.append(&chain[..10]).unwrap();
    store.flush().unwrap();
    store.append(&chain[10..]).unwrap();
    chain
}

/// Returns where the block at a height begins in the file of blocks.
fn start_of(chain: &[Block], height: usize) -> usize {
    chain[..height].iter().map(|block| block.bytes().len()).sum()
}

#[test]
fn adversary_27_blocks_that_the_machine_lost_are_let_go_of_and_written_anew() {
    // The machine loses the end of the file, or a page in the middle of it.
    for (height, loses_end) in [10, 11, 15, 19].into_iter().flat_map(|height| [(height, true), (height, false)]) {
        let dir = tempfile::tempdir().unwrap();
        let chain = half_durable(dir.path());
        let path = dir.path().join(BODIES);
        let mut bytes = fs::read(&path).unwrap();
        let at = start_of(&chain, height) + 300;
        if loses_end {
            bytes.truncate(at)
        } else {
            bytes[at..at + 500].fill(0)
        }
        fs::write(&path, bytes).unwrap();
        let store = open(dir.path());
        assert_holds(&store, &chain[..height]);
        assert_eq!(fs::metadata(&path).unwrap().len(), start_of(&chain, height) as u64, "no room is lost");
        store.append(&chain[height..]).unwrap();
        assert_holds(&store, &chain);
        drop(store);
        assert_holds(&open(dir.path()), &chain);
    }
}

#[test]
fn adversary_27_what_was_durable_and_is_rotten_is_an_error_and_nothing_is_let_go_of() {
    let dir = tempfile::tempdir().unwrap();
    let chain = half_durable(dir.path());
    let path = dir.path().join(BODIES);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..start_of(&chain, 9)]).unwrap();
    let refusal = BlockStore::open(dir.path(), Network::Regtest).unwrap_err();
    assert!(matches!(refusal, StoreError::Corrupt { .. }), "{refusal}");
    let mut rotten = whole;
    rotten[start_of(&chain, 4) + 1000] ^= 1;
    fs::write(&path, rotten).unwrap();
    let store = open(dir.path());
    assert!(matches!(store.block(4), Err(StoreError::Corrupt { .. })));
    assert_eq!(store.block(3).unwrap().as_ref(), Some(&chain[3]));
}

#[test]
fn adversary_27_a_cut_below_what_is_durable_makes_what_follows_it_not_durable() {
    let dir = tempfile::tempdir().unwrap();
    let chain = half_durable(dir.path());
    let store = open(dir.path());
    store.truncate(Some(4)).unwrap();
    let branch = extend(&chain[4], 4, 10, 700, 1);
    store.append(&branch).unwrap();
    drop(store);
    let path = dir.path().join(BODIES);
    let bytes = fs::read(&path).unwrap();
    let kept = bytes.len() - branch[9].bytes().len() - 100;
    fs::write(&path, &bytes[..kept]).unwrap();
    let store = open(dir.path());
    let expected: Vec<Block> = chain[..5].iter().chain(&branch[..8]).cloned().collect();
    assert_holds(&store, &expected);
}

/// Names the directory that a re-executed test process writes to until it is killed.
const CHILD_DIR: &str = "SAVANNA_STORE_TEST_CHILD_DIR";

/// Appends runs for ever, and tells the height after each flush.
fn write_until_killed(dir: &Path) {
    let store = open(dir);
    let mut parent = match store.tip() {
        Some(tip) => store.block(tip.height).unwrap().unwrap(),
        None => {
            store.append(&[genesis()]).unwrap();
            genesis()
        }
    };
    loop {
        let run = extend(&parent, store.tip().unwrap().height, 50, 5000, 3);
        parent = run[49].clone();
        let tip = store.append(&run).unwrap().unwrap();
        if tip.height.is_multiple_of(3) {
            store.flush().unwrap();
            println!("flushed {}", tip.height);
        }
    }
}

/// Runs this very test in a child, kills it after `lines` lines, and returns the last height it said was durable.
fn run_and_kill(dir: &Path, lines: usize) -> u32 {
    let test = "blocks::tests::adversary_27_a_kill_in_mid_write_loses_nothing_that_was_flushed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let heights = output.lines().map_while(Result::ok);
    let mut heights = heights.filter_map(|line| Some(line.split_once("flushed ")?.1.parse().unwrap()));
    let last = heights.nth(lines).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // What was said between that line and the kill counts as well.
    heights.last().unwrap_or(last)
}

#[test]
fn adversary_27_a_kill_in_mid_write_loses_nothing_that_was_flushed() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return write_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..6 {
        let flushed = run_and_kill(dir.path(), round * 2);
        let store = open(dir.path());
        let tip = store.tip().unwrap();
        assert!(tip.height >= flushed && flushed > before, "{flushed} was flushed, {} is there", tip.height);
        before = tip.height;
        let mut previous = BlockHash::ZERO;
        for entry in store.index_from(0) {
            let entry = entry.unwrap();
            let block = store.block(entry.height).unwrap().unwrap();
            assert_eq!(block.header().previous, previous);
            assert_eq!(Checksum::of(block.bytes()), entry.checksum);
            previous = block.hash();
        }
        assert_eq!(previous, tip.hash);
    }
}

/// Names the directory that a re-executed test process appends to and then waits.
const WAIT_DIR: &str = "SAVANNA_STORE_TEST_WAIT_DIR";

/// Appends a few small blocks, says so, and waits to be killed.
fn append_and_wait(dir: &Path) {
    let chain = chain(7, 100);
    let store = open(dir);
    store.append(&chain[..5]).unwrap();
    store.append(&chain[5..]).unwrap();
    store.truncate(Some(6)).unwrap();
    println!("appended");
    loop {
        std::thread::park();
    }
}

#[test]
fn adversary_27_a_kill_of_the_process_alone_loses_nothing_that_was_appended() {
    if let Some(dir) = std::env::var_os(WAIT_DIR) {
        return append_and_wait(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "blocks::tests::adversary_27_a_kill_of_the_process_alone_loses_nothing_that_was_appended";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(WAIT_DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("appended")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_holds(&open(dir.path()), &chain(7, 100)[..7]);
}

/// Names the directory that a re-executed test process writes to until its disk is full.
const FULL_DIR: &str = "SAVANNA_STORE_TEST_FULL_DIR";

/// Appends until the disk refuses, and sees that the handle then takes no more.
fn write_until_full(dir: &Path) {
    let store = open(dir);
    let mut parent = genesis();
    let write = |run: &[Block]| store.append(run).and_then(|_| store.flush());
    let mut result = write(std::slice::from_ref(&parent));
    while result.is_ok() {
        println!("flushed {}", store.tip().unwrap().height);
        let run = extend(&parent, store.tip().unwrap().height, 20, 60_000, 3);
        result = write(&run);
        parent = run[19].clone();
    }
    let refusal = result.unwrap_err();
    assert!(matches!(refusal, StoreError::Io(_)), "{refusal}");
    assert!(matches!(store.append(&[parent]), Err(StoreError::Failed)));
    assert!(matches!(store.truncate(None), Err(StoreError::Failed)));
    assert!(matches!(store.flush(), Err(StoreError::Failed)));
    println!("full");
}

#[cfg(unix)]
#[test]
fn adversary_27_a_full_disk_is_an_error_and_what_was_flushed_is_there_once_it_has_room() {
    if let Some(dir) = std::env::var_os(FULL_DIR) {
        return write_until_full(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "blocks::tests::adversary_27_a_full_disk_is_an_error_and_what_was_flushed_is_there_once_it_has_room";
    // The journal may grow to its 64 MiB and no further: writing beyond is an error instead of a signal.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 131072; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(FULL_DIR, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("full\n"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let flushed: u32 = said.lines().rev().find_map(|line| line.split_once("flushed ")?.1.parse().ok()).unwrap();
    assert!(flushed > 900, "{flushed}");
    let store = open(dir.path());
    let tip = store.tip().unwrap();
    assert!(tip.height >= flushed);
    let last = store.block(tip.height).unwrap().unwrap();
    store.append(&extend(&last, tip.height, 20, 60_000, 3)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.index_from(0).map(Result::unwrap).count(), usize::try_from(tip.height).unwrap() + 21);
}

//! A process killed at any moment while it appends, cuts off and makes durable: nothing that was durable is lost, and nothing
//! that is there is wrong.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_chain::check_body;
use savanna_sim::regtest::{extend, genesis};
use savanna_store::{BlockStore, Options, Tip, TransactionPlace};
use savanna_wire::{BlockHash, Checksum, Network};

/// At how many moments a process is killed.
const KILLS: u32 = 50;

/// How high a chain grows before most of it leaves again.
const MAX_HEIGHT: u32 = 120;

/// Name the directory and the seed of a re-executed test process.
const CHILD_DIR: &str = "SAVANNA_STORE_TEST_KILL_DIR";
const CHILD_SEED: &str = "SAVANNA_STORE_TEST_KILL_SEED";

const OPTIONS: Options = Options { transaction_index: true };

fn below(rng: &mut ChaCha8Rng, bound: u32) -> u32 {
    rng.next_u32() % bound
}

fn say(word: &str, Tip { height, hash }: Tip) {
    println!("{word} {height} {hash}");
}

/// Appends, cuts off and makes durable at random, for ever. What is made durable is said afterwards, and what is to leave
/// before it does.
fn write_until_killed(dir: &Path, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let store = BlockStore::open_with(dir, Network::Regtest, OPTIONS).unwrap();
    if store.tip().is_none() {
        store.append(&[genesis()]).unwrap();
    }
    loop {
        let tip = store.tip().unwrap();
        match below(&mut rng, 10) {
            0..6 if tip.height < MAX_HEIGHT => {
                let parent = store.serve(tip.height).unwrap().unwrap();
                let (count, padding) = (1 + below(&mut rng, 20), below(&mut rng, 10_000));
                let salt = u8::try_from(below(&mut rng, 256)).unwrap();
                store.append(&extend(&parent, tip.height, count, padding.try_into().unwrap(), salt)).unwrap();
            }
            0..8 => {
                store.flush().unwrap();
                say("durable", tip);
            }
            _ => {
                let depth = if tip.height >= MAX_HEIGHT { MAX_HEIGHT - 30 } else { below(&mut rng, 30) };
                let fork = tip.height.saturating_sub(depth);
                say("cutting", Tip { height: fork, hash: store.hashes(fork, 1).unwrap()[0] });
                store.reorganise(Some(fork), None, 1).unwrap();
            }
        }
    }
}

/// Runs this very test in a child, kills it at a random moment, and returns what has to be there: what was durable, or what
/// was left of that.
fn run_and_kill(dir: &Path, rng: &mut ChaCha8Rng, mut floor: Option<Tip>) -> Option<Tip> {
    let test = "adversary_27_no_moment_to_be_killed_at_loses_what_was_durable_or_leaves_anything_wrong";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_SEED, rng.next_u64().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut hear = |line: String| {
        // The harness may have begun the line.
        let mut words = line.rsplit(' ');
        let (Some(hash), Some(height), Some(word)) = (words.next(), words.next(), words.next()) else { return };
        let (Ok(height), Ok(hash)) = (height.parse(), hash.parse()) else { return };
        let told = Tip { height, hash };
        match word {
            "durable" => floor = Some(told),
            "cutting" => floor = floor.map(|floor| if height < floor.height { told } else { floor }),
            _ => {}
        }
    };
    lines.by_ref().take(below(rng, 30) as usize).for_each(&mut hear);
    // Anywhere within what it does next.
    let (began, wait) = (Instant::now(), Duration::from_micros(u64::from(below(rng, 20_000))));
    while began.elapsed() < wait {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said between that line and the kill counts as well.
    lines.for_each(hear);
    floor
}

/// Checks everything that is there, as `savanna archive verify` does, and that it reaches up to what was durable.
fn verify(dir: &Path, floor: Option<Tip>) -> u32 {
    let store = BlockStore::open(dir, Network::Regtest).unwrap();
    let Some(tip) = store.tip() else {
        assert_eq!(floor, None);
        return 0;
    };
    if let Some(floor) = floor {
        assert_eq!(store.height(floor.hash).unwrap(), Some(floor.height), "{floor:?} was durable, {tip:?} is the tip");
    }
    let mut previous = BlockHash::ZERO;
    for entry in store.index_from(0) {
        let entry = entry.unwrap();
        let block = store.block(entry.height).unwrap().unwrap();
        assert_eq!(block.header().previous, previous);
        assert_eq!(Checksum::of(block.bytes()), entry.checksum);
        check_body(Network::Regtest, entry.height, &block).unwrap();
        assert_eq!(store.height(block.hash()).unwrap(), Some(entry.height));
        let id = savanna_chain::transactions(&block).unwrap().next().unwrap().unwrap().txid();
        let place = TransactionPlace { height: entry.height, index: 0 };
        assert_eq!(store.transaction(id).unwrap(), Some(place));
        previous = block.hash();
    }
    assert_eq!(previous, tip.hash);
    assert!(store.indexed().unwrap().is_whole());
    tip.height
}

#[test]
fn adversary_27_no_moment_to_be_killed_at_loses_what_was_durable_or_leaves_anything_wrong() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let seed = std::env::var(CHILD_SEED).unwrap().parse().unwrap();
        return write_until_killed(Path::new(&dir), seed);
    }
    let seed = std::env::var("SAVANNA_SEED").map_or(27, |seed| seed.parse().unwrap());
    println!("seed {seed}; another is given as SAVANNA_SEED");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let (mut floor, mut highest) = (None, 0);
    for _ in 0..KILLS {
        floor = run_and_kill(dir.path(), &mut rng, floor);
        highest = verify(dir.path(), floor).max(highest);
    }
    assert!(highest > 30 && floor.is_some(), "the children wrote {highest} blocks at most");
}

/// Puts one branch of nine blocks in the place of another, for ever.
fn replace_until_killed(dir: &Path, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let store = BlockStore::open_with(dir, Network::Regtest, OPTIONS).unwrap();
    let fork = store.serve(10).unwrap().unwrap();
    println!("begun");
    loop {
        let salt = u8::try_from(below(&mut rng, 256)).unwrap();
        store.replace(Some(10), &extend(&fork, 10, 9, 30_000, salt), 1).unwrap();
    }
}

#[test]
fn adversary_27_a_kill_within_a_reorganisation_leaves_either_branch_whole() {
    const SELF: &str = "adversary_27_a_kill_within_a_reorganisation_leaves_either_branch_whole";
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let seed = std::env::var(CHILD_SEED).unwrap().parse().unwrap();
        return replace_until_killed(Path::new(&dir), seed);
    }
    let seed = 41;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let store = BlockStore::open_with(dir.path(), Network::Regtest, OPTIONS).unwrap();
    let genesis = genesis();
    let rest = extend(&genesis, 0, 19, 3_000, 0);
    store.append(&[&[genesis], &rest[..]].concat()).unwrap();
    drop(store);
    for _ in 0..KILLS / 2 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([SELF, "--exact", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .env(CHILD_SEED, rng.next_u64().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.into_iter().any(|line| line.ends_with("begun")));
        let (began, wait) = (Instant::now(), Duration::from_micros(u64::from(below(&mut rng, 30_000))));
        while began.elapsed() < wait {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(verify(dir.path(), None), 19);
    }
    assert!(BlockStore::open(dir.path(), Network::Regtest).unwrap().reorganisations(1).unwrap().len() == 1);
}

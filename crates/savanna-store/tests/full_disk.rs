//! An archive on a disk that is full: nothing is lost, reads go on, and the same handle goes on writing when there is room.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use savanna_sim::regtest::{chain, extend};
use savanna_store::{BlockStore, Options, StoreError};
use savanna_wire::{Block, Network};
use tempfile::TempDir;

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap()
}

/// A file system of its own with little room, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts `size` bytes. Where nothing may be mounted, the caller's test has nothing to test.
    #[allow(clippy::explicit_write, reason = "the harness keeps to itself what the macro prints")]
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "savanna-test"]).arg(dir.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        writeln!(std::io::stderr(), "SKIPPED: nothing can be mounted here, so no full disk was tried").unwrap();
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0.path()).status().ok();
    }
}

/// Appends runs of `step` until one is refused, makes every other one durable, and returns how many blocks are there and
/// durable.
fn fill(store: &BlockStore, chain: &[Block], step: usize) -> (usize, usize) {
    let (mut there, mut durable) = (0, 0);
    for (index, run) in chain.chunks(step).enumerate() {
        if let Err(error) = store.append(run) {
            assert!(matches!(error, StoreError::Io(_) | StoreError::Engine(_)), "{error}");
            return (there, durable);
        }
        there += run.len();
        if index % 2 == 0 {
            if store.flush().is_err() {
                return (there, durable);
            }
            durable = there;
        }
    }
    panic!("everything fitted");
}

fn assert_holds(store: &BlockStore, chain: &[Block]) {
    assert_eq!(store.tip().map(|tip| tip.height as usize + 1), Some(chain.len()));
    for (height, block) in (0..).zip(chain) {
        assert_eq!(store.block(height).unwrap().as_ref(), Some(block));
    }
}

/// Fills the disk under `dir`, has `make_room` make some, and sees that the same handle goes on.
fn fill_and_go_on(dir: &Path, chain: &[Block], make_room: impl FnOnce()) {
    let store = Arc::new(BlockStore::open_with(dir, Network::Regtest, Options { transaction_index: true }).unwrap());
    let (there, durable) = fill(&store, chain, 20);
    assert!(durable > 0, "the disk has room for something");
    for (height, block) in (0..).zip(&chain[..there]) {
        assert_eq!(store.block(height).unwrap().as_ref(), Some(block), "reads go on");
    }
    assert!(store.has_failed());
    assert!(matches!(store.append(&chain[there..]), Err(StoreError::Failed)));
    assert!(store.reopen().is_err(), "the disk is as full as before");
    assert_eq!(store.serve(0).unwrap().as_ref(), Some(&chain[0]), "reads go on even so");

    make_room();
    // Somebody reads all the time.
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                assert_eq!(store.serve(0).unwrap().as_ref(), Some(&chain[0]));
            }
        });
        let tip = store.reopen().unwrap().unwrap();
        ended.store(true, Ordering::Relaxed);
        assert!(tip.height as usize + 1 >= durable, "{durable} were durable, {tip:?} is left");
    });
    assert!(
        matches!(BlockStore::open(dir, Network::Regtest), Err(StoreError::Locked { .. })),
        "it was kept throughout"
    );
    let left = store.tip().unwrap().height as usize + 1;
    assert!(left <= there + 20, "no more than was tried");
    assert_holds(&store, &chain[..left]);
    store.append(&chain[left..left + 40]).unwrap();
    store.flush().unwrap();
    assert_holds(&store, &chain[..left + 40]);
    assert!(store.indexed().unwrap().is_whole());
    drop(store);
    assert_holds(&BlockStore::open(dir, Network::Regtest).unwrap(), &chain[..left + 40]);
}

#[test]
fn adversary_27_a_full_disk_loses_nothing_and_the_handle_goes_on_when_there_is_room() {
    // The journal alone is 64 MB long, most of which are never written.
    let Some(disk) = SmallDisk::mount("12m") else { return };
    let ballast = disk.path("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let chain = chain(1500, 10_000);
    fill_and_go_on(&disk.path("archive"), &chain, || fs::remove_file(&ballast).unwrap());
}

#[test]
fn adversary_27_a_disk_without_room_for_an_archive_is_an_error_and_leaves_nothing_in_the_way() {
    let Some(disk) = SmallDisk::mount("1m") else { return };
    let (ballast, dir) = (disk.path("ballast"), disk.path("archive"));
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let refusal = BlockStore::open(&dir, Network::Regtest).unwrap_err();
    assert!(matches!(refusal, StoreError::Io(_) | StoreError::Engine(_)), "{refusal}");
    fs::remove_file(&ballast).unwrap();
    let chain = chain(3, 100);
    let store = BlockStore::open(&dir, Network::Regtest).unwrap();
    store.append(&chain).unwrap();
    assert_holds(&store, &chain);
}

/// Names the directory in which a re-executed test process meets a bound on the length of files.
const CHILD_DIR: &str = "SAVANNA_STORE_TEST_LIMIT_DIR";

/// Has a shell ignore the signal that would end a process at the bound, so that it meets an error as on a full disk.
#[test]
fn adversary_27_files_that_may_grow_no_further_are_a_full_disk() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let whole = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(1_500_000), maximum: whole.maximum }).unwrap();
        let archive = Path::new(&dir).join("archive");
        let chain = chain(300, 10_000);
        let store = BlockStore::open(&archive, Network::Regtest);
        // The journal is longer than the bound from the beginning, so it is made before.
        assert!(store.is_err());
        setrlimit(Resource::Fsize, whole).unwrap();
        let store = BlockStore::open(&archive, Network::Regtest).unwrap();
        setrlimit(Resource::Fsize, Rlimit { current: Some(1_500_000), maximum: whole.maximum }).unwrap();
        let (there, durable) = fill(&store, &chain, 20);
        assert!(durable > 0);
        assert_eq!(store.block(0).unwrap().as_ref(), Some(&chain[0]));
        setrlimit(Resource::Fsize, whole).unwrap();
        let tip = store.reopen().unwrap().unwrap();
        assert_eq!(tip.height as usize + 1, there, "what was refused is not there");
        store.append(&chain[there..]).unwrap();
        assert_holds(&store, &chain);
        println!("went on");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let test = "adversary_27_files_that_may_grow_no_further_are_a_full_disk";
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD_DIR, dir.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("went on"), "{told}");
}

#[test]
fn opening_again_without_need_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let old = chain(30, 500);
    let store = BlockStore::open(dir.path(), Network::Regtest).unwrap();
    store.append(&old).unwrap();
    assert_eq!(store.reopen().unwrap(), store.tip());
    assert_holds(&store, &old);
    store.truncate(Some(10)).unwrap();
    assert_eq!(store.reopen().unwrap().unwrap().height, 10);
    let branch = extend(&old[10], 10, 5, 500, 1);
    store.append(&branch).unwrap();
    let new: Vec<Block> = old[..=10].iter().chain(&branch).cloned().collect();
    assert_holds(&store, &new);
    assert_eq!(store.reopen().unwrap().unwrap().height, number(new.len()) - 1);
    assert_holds(&store, &new);
}

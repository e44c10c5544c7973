//! The command against a real zebrad. Without `SAVANNA_ZEBRAD` each test says that it was skipped.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "a test may")]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Zebrad, last_json, run, savanna, stderr};
use serde_json::{Value, json};

const BLOCKS: u32 = 5000;

#[test]
fn connect_tells_who_zebrad_is() {
    let Some(zebrad) = Zebrad::start("NU5 = 1") else { return };
    zebrad.mine(200);
    let peer = zebrad.peer.to_string();
    let output = run(&["connect", &peer, "--network", "regtest", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = last_json(&output);
    assert_eq!(seen["address"], json!(peer));
    assert_eq!(seen["height"], json!(200));
    assert_eq!(seen["headers"], json!(160));
    assert_eq!(seen["services"], json!(1));
    assert!(seen["user_agent"].as_str().unwrap().contains("Zebra"));
    assert!(seen["rtt_ms"].as_f64().unwrap() > 0.0);
    assert!(seen["addresses"].is_number());

    let output = run(&["connect", &peer, "--network", "mainnet"]);
    assert_eq!(output.status.code(), Some(1), "a peer of another network was taken for one of ours");
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}

#[test]
fn sync_fetches_zebrads_chain_again_and_after_a_kill() {
    let Some(zebrad) = Zebrad::start("NU5 = 1") else { return };
    zebrad.mine(BLOCKS);
    let best = zebrad.call("getbestblockhash", &json!([]));
    let peer = zebrad.peer.to_string();

    let dir = tempfile::tempdir().unwrap();
    let whole = sync(&peer, dir.path());
    assert_eq!((&whole["tip_height"], &whole["tip_hash"]), (&json!(BLOCKS), &best));
    assert_eq!(whole["blocks"], json!(BLOCKS));
    let again = sync(&peer, dir.path());
    assert_eq!((&again["tip_hash"], &again["blocks"]), (&best, &json!(0)));

    let dir = tempfile::tempdir().unwrap();
    let kept = kill_in_the_middle(&peer, dir.path());
    let resumed = sync(&peer, dir.path());
    assert_eq!((&resumed["tip_height"], &resumed["tip_hash"]), (&json!(BLOCKS), &best));
    let fetched = resumed["blocks"].as_u64().unwrap();
    assert!(fetched < u64::from(BLOCKS), "nothing of the {kept} bytes on disk was used: {fetched} blocks fetched");
}

#[test]
fn sync_verifies_v6_coinbases() {
    let Some(zebrad) = Zebrad::start("NU7 = 1") else { return };
    zebrad.mine(300);
    let dir = tempfile::tempdir().unwrap();
    let seen = sync(&zebrad.peer.to_string(), dir.path());
    assert_eq!(seen["tip_hash"], zebrad.call("getbestblockhash", &json!([])));
}

fn sync(peer: &str, dir: &Path) -> Value {
    let dir = dir.to_str().unwrap();
    let output = run(&["sync", "--network", "regtest", "--peer", peer, "--dir", dir, "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    last_json(&output)
}

/// Kills a sync once a good part of the chain is on disk, and returns how many bytes are.
fn kill_in_the_middle(peer: &str, dir: &Path) -> u64 {
    let arguments = ["sync", "--network", "regtest", "--peer", peer, "--dir", dir.to_str().unwrap(), "--json"];
    let mut process = savanna(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let half = u64::from(BLOCKS) * 1700 / 2;
    while size_of(dir) < half {
        assert!(began.elapsed() < Duration::from_secs(60), "half of the chain was not on disk within a minute");
        assert!(process.try_wait().unwrap().is_none(), "the sync ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    size_of(dir)
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size_of(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

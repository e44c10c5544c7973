//! The command against a real zebrad. Without `SAVANNA_ZEBRAD` each test says that it was skipped.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, reason = "a test may")]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{Zebrad, last_json, run, savanna, stderr};
use serde_json::{Value, json};

const BLOCKS: u32 = 5000;

/// When syncs are killed: before, during and after the bulk of the work, on a fast machine and on a slow one.
const KILLS_AFTER_MS: [u64; 8] = [150, 300, 450, 600, 900, 1300, 1800, 2500];

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
    assert_eq!(whole["blocks"], json!(BLOCKS + 1), "the genesis block is fetched like any other");
    let again = sync(&peer, dir.path());
    assert_eq!((&again["tip_hash"], &again["blocks"]), (&best, &json!(0)));

    let resumed: Vec<u64> = KILLS_AFTER_MS.iter().map(|&delay| fetched_after_kill(&peer, delay, &best)).collect();
    let part = 1..u64::from(BLOCKS);
    assert!(resumed.iter().any(|fetched| part.contains(fetched)), "no kill was in the middle: {resumed:?}");
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

/// Kills a sync after so many milliseconds, runs it again, and returns how many blocks the second run had to fetch.
fn fetched_after_kill(peer: &str, delay: u64, best: &Value) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["sync", "--network", "regtest", "--peer", peer, "--dir", dir.path().to_str().unwrap(), "--json"];
    let mut process = savanna(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(delay));
    process.kill().unwrap();
    process.wait().unwrap();
    let resumed = sync(peer, dir.path());
    assert_eq!((&resumed["tip_height"], &resumed["tip_hash"]), (&json!(BLOCKS), best));
    resumed["blocks"].as_u64().unwrap()
}

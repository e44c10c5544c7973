//! Every example does what it says, without a network.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Runs an example and returns what it prints.
fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(built(name)).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Returns where the example is: cargo builds examples beside tests, unless it is told to build one test alone.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(file);
    assert!(path.exists(), "{} is not built; `cargo build --examples` builds it", path.display());
    path
}

#[test]
fn handshake_says_who_the_peer_is() {
    let printed = run("handshake", &[]);
    assert!(printed.contains(concat!("is /Savanna:", env!("CARGO_PKG_VERSION"), "/\n")), "{printed}");
    assert!(printed.contains("version 170190, services 0x1, height 0\n"), "{printed}");
    assert!(printed.trim_end().ends_with("s away"), "{printed}");
}

#[test]
fn fetch_blocks_fetches_all_of_them_from_three_peers() {
    let printed = run("fetch_blocks", &[]);
    assert!(printed.contains("3 peers\n120 blocks follow 029f11d8"), "{printed}");
    let shares = printed.lines().filter_map(|line| line.split_once(" of them came from peer-"));
    let shares: Vec<usize> = shares.map(|(blocks, _)| blocks.parse().unwrap()).collect();
    assert_eq!((shares.len(), shares.iter().sum::<usize>()), (3, 120), "{printed}");
    assert!(!printed.contains("missing") && !printed.contains("wrong"), "{printed}");
}

#[test]
fn watch_inventory_prints_one_announcement_of_each_peer() {
    let printed = run("watch_inventory", &[]);
    let mut peers: Vec<&str> =
        printed.lines().filter_map(|line| line.split_once(" has block ")).map(|at| at.0).collect();
    peers.sort_unstable();
    assert_eq!(peers, ["peer-0", "peer-1", "peer-2"], "{printed}");
}

#[test]
fn answer_hands_over_its_transaction() {
    let printed = run("answer", &[]);
    assert!(printed.starts_with("listening on 127.0.0.1:"), "{printed}");
    assert!(printed.ends_with("the node has 1 transaction\nit handed over 1 of 204 bytes\n"), "{printed}");
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_example_with_an_address_talks_to_who_is_there() {
    let answering = Command::new(built("answer")).args(["regtest", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn();
    let mut answering = Running(answering.unwrap());
    let mut line = String::new();
    BufReader::new(answering.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap();

    let printed = run("handshake", &["regtest", address]);
    assert!(printed.starts_with(&format!("{address} is /Savanna:")), "{printed}");
    assert!(printed.contains("/answer:1.0/\n"), "{printed}");
}

#[test]
fn examples_are_short() {
    for example in ["answer", "fetch_blocks", "handshake", "watch_inventory"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{example}.rs"));
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(lines < 60, "{example} has {lines} lines");
    }
}

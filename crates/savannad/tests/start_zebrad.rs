//! A node between real zebrads: it follows one, introduces another to the chain, and takes the side of the longer branch.
//! Without `SAVANNA_ZEBRAD` it says that it was skipped.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

mod common;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use common::Zebrad;
use common::node::{Node, address};

const UPGRADES: &str = "NU5 = 1";
const BLOCKS: u32 = 2_000;

#[test]
#[ignore = "takes two minutes"]
fn a_chain_passes_from_zebrad_by_way_of_a_node_to_zebrad_and_so_does_its_longer_branch() {
    let Some(mut miner) = Zebrad::start_keeping(UPGRADES) else { return };
    miner.mine(BLOCKS);
    let (dir, listen) = (tempfile::tempdir().unwrap(), address());
    let mut node = Node::start(dir.path(), &["--peer", &miner.peer.to_string(), "--listen", &listen]);
    node.wait_until("ready", |node| node.get("/ready").is_some_and(|(status, _)| status == 200));
    assert_eq!(node.status()["tip_hash"], best(&miner));
    miner.stop();

    let fresh = miner.another(UPGRADES, &[listen.parse().unwrap()]);
    let took = wait_until(&format!("the fresh zebrad is at {BLOCKS}"), || height(&fresh) == json!(BLOCKS));
    println!("the fresh zebrad had {BLOCKS} blocks {took:?} after it was up");

    miner.come_back();
    node.wait_until("with its peer again", |node| node.status()["peers"]["outbound"] == json!(1));
    for mined in 1..=3 {
        miner.mine(1);
        let took = wait_until("the fresh zebrad follows", || height(&fresh) == json!(BLOCKS + mined));
        println!("block {} reached the fresh zebrad by way of the node after {took:?}", BLOCKS + mined);
        assert!(took < Duration::from_secs(30), "an announcement took {took:?}");
    }
    assert_eq!(best(&fresh), best(&miner));

    // Each mines on alone, and the node learns of the shorter branch first.
    node.end(Signal::TERM);
    miner.mine(2);
    fresh.mine(5);
    let peer = miner.peer.to_string();
    let mut alone = Node::start(dir.path(), &["--peer", &peer]);
    let shorter = best(&miner);
    alone.wait_until("on the shorter branch", |node| node.status()["tip_hash"] == shorter);
    alone.end(Signal::TERM);
    // It dials both: zebrad waits a minute before it dials somebody again.
    let mut node = Node::start(dir.path(), &["--peer", &peer, &fresh.peer.to_string(), "--listen", &listen]);
    let longer = best(&fresh);
    node.wait_until("on the longer branch", |node| node.status()["tip_hash"] == longer);
    wait_until("the miner is on the longer branch", || best(&miner) == longer);
    assert_eq!(node.status()["reorganisations"], json!(1));
    assert!(node.told().contains("another branch has more work"), "{}", node.told());
    node.end(Signal::TERM);
}

fn best(zebrad: &Zebrad) -> Value {
    zebrad.call("getbestblockhash", &json!([]))
}

fn height(zebrad: &Zebrad) -> Value {
    zebrad.call("getblockcount", &json!([]))
}

/// Waits until something is so, and returns how long it took.
fn wait_until(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < common::node::PATIENCE, "not within {:?}: {what}", common::node::PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

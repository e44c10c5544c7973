//! `savanna start` and `savanna config` as an operator meets them, on regtest and on loopback.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

mod common;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use savanna_sim::regtest;
use savanna_store::BlockStore;
use savanna_wire::Network;
use serde_json::{Value, json};

use common::node::{DRAIN, Node, address, clean, keep};
use common::{Zebrad, run, savanna, stderr};

#[test]
fn a_newcomer_fetches_the_chain_of_another_node_and_both_end_in_good_order() {
    let chain = regtest::chain(300, 200);
    let (kept, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    keep(kept.path(), &chain);
    let listen = address();
    let mut elder = Node::start(kept.path(), &["--listen", &listen]);
    elder.wait_until("healthy", |node| node.get("/health") == Some((200, "ok\n".to_owned())));
    let (status, body) = elder.get("/ready").unwrap();
    assert_eq!((status, body), (503, json!({"ready": false, "reason": "there is no peer"}).to_string()));
    assert_eq!(elder.status()["serving"], json!(true), "nobody has more, so what it has is the chain");

    let mut newcomer = Node::start(fresh.path(), &["--peer", &listen]);
    newcomer.wait_until("ready", |node| node.get("/ready").is_some_and(|(status, _)| status == 200));
    let seen = newcomer.status();
    let tip = chain.last().unwrap().hash().to_string();
    assert_eq!((&seen["tip_height"], &seen["tip_hash"], &seen["synced"]), (&json!(300), &json!(tip), &json!(true)));
    assert_eq!((&seen["target_height"], &seen["trouble"]), (&json!(300), &Value::Null));
    assert_eq!((&seen["network"], &seen["peers"]["outbound"]), (&json!("regtest"), &json!(1)));
    assert_eq!(seen["sync"]["blocks"], json!(301));
    newcomer.wait_until("serving", |node| node.status()["serving"] == json!(true));
    let (_, page) = newcomer.get("/metrics").unwrap();
    assert_eq!(seen["transactions"], json!({"announced": 0, "by_several": 0}));
    let downloaded = "savanna_download_blocks_total{event=\"arrived\"} 301";
    for line in [downloaded, "savanna_tip_height 300", "savanna_synced 1", "savanna_trouble{kind=\"no_peers\"} 0"] {
        assert!(page.lines().any(|known| known == line), "no {line} in\n{page}");
    }
    let (_, page) = elder.get("/metrics").unwrap();
    assert!(page.lines().any(|known| known == "savanna_served_total{kind=\"blocks\"} 301"), "{page}");
    assert_eq!(newcomer.get("/nothing").unwrap().0, 404);

    newcomer.end(Signal::TERM);
    elder.end(Signal::INT);
    let store = BlockStore::open(fresh.path(), Network::Regtest).unwrap();
    assert_eq!((store.tip().unwrap().height, store.durable()), (300, Some(300)));
}

#[test]
fn adversary_27_a_node_that_is_killed_goes_on_where_it_was() {
    let chain = regtest::chain(2_000, 2_000);
    let (kept, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    keep(kept.path(), &chain);
    let listen = address();
    let _elder = Node::start(kept.path(), &["--listen", &listen]);
    let mut newcomer = Node::start(fresh.path(), &["--peer", &listen]);
    newcomer.wait_until("under way", |node| node.status()["tip_height"].as_u64().is_some_and(|height| height > 0));
    newcomer.signal(Signal::KILL);
    assert!(!newcomer.wait().0.success());

    let mut again = Node::start(fresh.path(), &["--peer", &listen]);
    again.wait_for_height(2_000);
    assert_eq!(again.status()["tip_hash"], json!(chain.last().unwrap().hash().to_string()));
    again.end(Signal::TERM);
}

#[test]
fn a_node_without_a_peer_says_why_and_is_not_ready_and_ends_all_the_same() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), address());
    let mut node = Node::start(dir.path(), &["--peer", &peer]);
    node.wait_until("in trouble", |node| !node.status()["trouble"].is_null());
    let trouble = node.status()["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("no peer") && trouble.contains(&peer), "{trouble}");
    assert_eq!(node.get("/ready").unwrap().0, 503);
    assert_eq!(node.get("/health").unwrap().0, 200);
    assert!(node.get("/metrics").unwrap().1.contains("savanna_trouble{kind=\"no_peers\"} 1"));
    node.end(Signal::TERM);
}

#[test]
fn a_node_whose_peers_have_no_address_yet_says_so_and_waits_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), &["--peer", "nobody.invalid:1"]);
    node.wait_until("looking again", |node| node.told().matches("the names are looked up again in").count() > 1);
    assert!(node.told().contains("nobody.invalid"), "{}", node.told());
    node.end(Signal::TERM);
}

#[test]
fn transactions_of_a_chain_that_was_kept_without_an_index_are_noted_beside_everything_else() {
    let chain = regtest::chain(300, 200);
    let kept = tempfile::tempdir().unwrap();
    keep(kept.path(), &chain);
    let listen = address();
    let settings = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(settings.path(), "transaction_index = true").unwrap();
    let mut node = Node::start(kept.path(), &["--listen", &listen, "--config", settings.path().to_str().unwrap()]);
    node.wait_until("indexed", |node| node.told().contains("the index of transactions is whole"));
    assert_eq!(node.get("/health").unwrap().0, 200);
    node.end(Signal::TERM);
    let options = savanna_store::Options { transaction_index: true };
    let store = BlockStore::open_with(kept.path(), Network::Regtest, options).unwrap();
    assert!(store.index_transactions().unwrap().is_whole());
}

#[test]
fn what_keeps_a_node_from_starting_is_one_sentence_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken_at, own) = (taken.local_addr().unwrap().to_string(), address());
    let used = tempfile::tempdir().unwrap();
    let _user = BlockStore::open(used.path(), Network::Regtest).unwrap();
    let other = tempfile::tempdir().unwrap();
    drop(BlockStore::open(other.path(), Network::Testnet).unwrap());
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("letter"), "dear").unwrap();
    let path = |dir: &tempfile::TempDir| dir.path().to_str().unwrap().to_owned();
    let tries: [(&str, &[&str], &str); 6] = [
        (&path(&dir), &["--listen", &taken_at], "is taken: another program listens at"),
        (&path(&dir), &["--listen", &own, "--http", &taken_at], "choose another with --http"),
        (&path(&dir), &[], "name a peer with --peer"),
        (&path(&used), &["--listen", &own], "is in use by another process"),
        (&path(&other), &["--listen", &own], "holds blocks of testnet, not of regtest"),
        (&path(&foreign), &["--listen", &own], "is not empty and is no block store"),
    ];
    for (dir, more, says) in tries {
        let arguments = [&["start", "--network", "regtest", "--dir", dir][..], more].concat();
        let output = clean(&mut savanna(&arguments)).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let last = stderr(&output).lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("savanna: ") && last.contains(says), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_wrong_setting_is_named_with_its_file_and_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "network = \"regtest\"\nlisten = []\npeer = [\"a:1\"]\n").unwrap();
    let path = file.path().to_str().unwrap();
    for command in ["start", "config"] {
        let output = clean(&mut savanna(&[command, "--config", path])).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let expected =
            format!("savanna: {path}, line 3: peer: there is no such key; `savanna config` lists them all\n");
        assert_eq!(stderr(&output), expected);
    }
    let output = clean(&mut savanna(&["config"])).env("SAVANNA_OUTBOUND", "many").output().unwrap();
    assert!(stderr(&output).starts_with("savanna: SAVANNA_OUTBOUND: it is to be a number"), "{}", stderr(&output));
    let output = clean(&mut savanna(&["start"])).env("SAVANNA_PEER", "a:1").output().unwrap();
    assert!(stderr(&output).contains("SAVANNA_PEERS is the nearest"), "{}", stderr(&output));
    assert_eq!(run(&["start", "--network", "bitcoin"]).status.code(), Some(2));
}

#[test]
fn what_config_prints_is_read_as_the_same() {
    let print = |file: Option<&str>| {
        let arguments: Vec<_> =
            ["config"].into_iter().chain(file.into_iter().flat_map(|file| ["--config", file])).collect();
        let output = clean(&mut savanna(&arguments)).env("HOME", "/home/somebody").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = print(None);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &printed).unwrap();
    assert_eq!(print(file.path().to_str()), printed);
    std::fs::write(file.path(), "outbound = 3").unwrap();
    assert_eq!(print(file.path().to_str()), printed.replace("outbound = 12", "outbound = 3"));
}

#[test]
fn a_second_signal_ends_at_once_and_clients_that_trickle_hold_up_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let listen = address();
    let mut node = Node::start(dir.path(), &["--listen", &listen]);
    node.wait_until("healthy", |node| node.get("/health").is_some());
    let mut trickling = TcpStream::connect(&node.http).unwrap();
    trickling.write_all(b"GET /st").unwrap();
    let silent = TcpStream::connect(&listen).unwrap();
    node.end(Signal::TERM);
    drop(silent);

    let mut node = Node::start(dir.path(), &["--listen", &listen]);
    node.wait_until("healthy", |node| node.get("/health").is_some());
    node.signal(Signal::TERM);
    node.signal(Signal::TERM);
    let (_, took) = node.wait();
    assert!(took < DRAIN, "it took {took:?}");
}

#[test]
fn a_node_follows_zebrad_as_it_mines() {
    let Some(zebrad) = Zebrad::start("NU5 = 1") else { return };
    zebrad.mine(500);
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path(), &["--peer", &zebrad.peer.to_string()]);
    node.wait_until("ready", |node| node.get("/ready").is_some_and(|(status, _)| status == 200));
    assert_eq!(node.status()["tip_height"], json!(500));
    for height in 501..=505 {
        zebrad.mine(1);
        node.wait_for_height(height);
    }
    assert_eq!(node.status()["tip_hash"], zebrad.call("getbestblockhash", &json!([])));
    node.end(Signal::TERM);
}

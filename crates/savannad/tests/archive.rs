//! `savanna archive` as a person meets it.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

mod common;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Output, Stdio};

use common::{last_json, run, savanna, stderr};
use savanna_sim::regtest::{chain, extend, with_wrong_body};
use savanna_store::{BlockStore, Options, Tip};
use savanna_wire::{Block, Network, TxId};
use serde_json::{Value, json};

fn open(dir: &Path) -> BlockStore {
    BlockStore::open(dir, Network::Regtest).unwrap()
}

fn archive(dir: &Path, arguments: &[&str]) -> Output {
    run(&[&["archive"], arguments, &["--dir", dir.to_str().unwrap()]].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes an archive of `chain` and leaves it closed.
fn write(dir: &Path, chain: &[Block]) {
    let store = open(dir);
    store.append(chain).unwrap();
    store.flush().unwrap();
}

fn coinbase(block: &Block) -> TxId {
    savanna_chain::transactions(block).unwrap().next().unwrap().unwrap().txid()
}

fn assert_fails(output: &Output, sentence: &str) {
    let told = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    // On a slow machine there is progress before it.
    let sentences: Vec<&str> = told.lines().filter(|line| line.starts_with("savanna: ")).collect();
    assert!(
        sentences.len() == 1 && sentences[0].contains(sentence) && told.ends_with(&format!("{}\n", sentences[0])),
        "{told}"
    );
}

#[test]
fn what_is_wrong_with_the_directory_is_one_sentence_and_status_1() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, store) = (dir.path().join("missing"), dir.path().join("store"));
    let each: [&[&str]; 5] = [&["info"], &["verify"], &["get", "0"], &["export", "0.."], &["index"]];
    for arguments in each {
        assert_fails(&archive(&missing, arguments), "there is no block store in");
    }
    assert!(!missing.exists(), "nothing is made");
    fs::write(dir.path().join("photo.jpg"), b"precious").unwrap();
    for arguments in each {
        assert_fails(&archive(dir.path(), arguments), "is not empty and is no block store");
    }
    let opened = open(&store);
    for arguments in each {
        assert_fails(&archive(&store, arguments), "end the savanna start or savanna sync that has it open");
    }
    drop(opened);
    for arguments in [&["verify"][..], &["get", "0"], &["export", "0.."]] {
        assert_fails(&archive(&store, arguments), "holds no block yet");
    }
    assert!(stdout(&archive(&store, &["info"])).contains("the archive is empty"));
    fs::write(store.join("savanna-blocks"), "savanna block store\nformat 9\nnetwork regtest\n").unwrap();
    assert_fails(&archive(&store, &["info"]), "a newer version of it wrote there");
}

#[test]
fn wrong_usage_is_status_2() {
    let wrong: [&[&str]; 9] = [
        &["archive"],
        &["archive", "info"],
        &["archive", "get", "--dir", "d"],
        &["archive", "get", "tip", "--dir", "d"],
        &["archive", "get", "1", "--hex", "--json", "--dir", "d"],
        &["archive", "export", "--dir", "d"],
        &["archive", "export", "7..3", "--dir", "d"],
        &["archive", "export", "x..", "--dir", "d"],
        &["archive", "burn", "--dir", "d"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn info_says_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let old = chain(50, 3000);
    write(dir.path(), &old);
    let store = open(dir.path());
    let branch = extend(&old[45], 45, 10, 3000, 1);
    let new_tip = Tip { height: 55, hash: branch[9].hash() };
    store.reorganise(Some(45), Some(new_tip), 1_800_000_000).unwrap();
    store.append(&branch).unwrap();
    drop(store);

    let output = archive(dir.path(), &["info", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let info = last_json(&output);
    assert_eq!(info["network"], json!("regtest"));
    assert_eq!((&info["tip_height"], &info["tip_hash"]), (&json!(55), &json!(new_tip.hash.to_string())));
    assert_eq!((&info["blocks"], &info["durable_height"]), (&json!(56), &json!(45)));
    assert_eq!(info["tip_time"], json!(branch[9].header().time));
    assert_eq!(info["transactions_indexed"], Value::Null);
    // 17 hashes a block are what the easiest target of regtest stands for.
    assert_eq!(info["work"], json!((56 * 17).to_string()));
    let fork = &info["reorganisations"][0];
    assert_eq!(
        (&fork["fork_height"], &fork["blocks_left"], &fork["time"]),
        (&json!(45), &json!(5), &json!(1_800_000_000))
    );
    assert_eq!(fork["old_tip_hash"], json!(old[50].hash().to_string()));
    assert!(info["disk_bytes"].as_u64().unwrap() > info["block_bytes"].as_u64().unwrap());

    let text = stdout(&archive(dir.path(), &["info"]));
    for part in [
        "regtest",
        "height 55: ",
        "up to height 45",
        "not indexed",
        "5 blocks above height 45 left",
        "952 hashes",
        "bound by nothing that is checked",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn verify_checks_everything_and_names_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(700, 1000);
    write(dir.path(), &chain);
    let output = archive(dir.path(), &["verify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for part in
        ["701 blocks", "nothing is wrong", "links", "merkle roots", "rules of the body", "proofs, signatures, scripts"]
    {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.contains("this network demands no work"), "{text}");

    let path = dir.path().join("blocks");
    let mut bytes = fs::read(&path).unwrap();
    for height in [4, 5, 300] {
        let start: usize = chain[..height].iter().map(|block| block.bytes().len()).sum();
        bytes[start + 200] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    let output = archive(dir.path(), &["verify"]);
    assert_fails(&output, "is damaged at 3 heights: 4 to 5, 300");
    assert!(stdout(&output).contains("height 300: "), "{}", stdout(&output));
    let output = archive(dir.path(), &["verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let seen = last_json(&output);
    assert_eq!((&seen["blocks"], &seen["damaged"]), (&json!(701), &json!(3)));
    let heights: Vec<&Value> = seen["damage"].as_array().unwrap().iter().map(|one| &one["height"]).collect();
    assert_eq!(heights, [&json!(4), &json!(5), &json!(300)]);
    assert_fails(&archive(dir.path(), &["get", "4", "--hex"]), "height 4");
}

#[test]
fn verify_finds_what_was_stored_without_being_verified() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = chain(30, 100);
    chain[7] = with_wrong_body(&chain[7]);
    // The times of a chain have to rise.
    let early = savanna_sim::regtest::with_header(&chain[30], 30, |header| header.time = 1);
    chain.push(early);
    write(dir.path(), &chain);
    let output = archive(dir.path(), &["verify"]);
    assert_fails(&output, "is damaged at 2 heights: 7, 31");
    let text = stdout(&output);
    assert!(text.contains("height 7: the merkle root is"), "{text}");
    assert!(text.contains("height 31: its time is"), "{text}");
}

#[test]
fn get_gives_a_block_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(20, 500);
    write(dir.path(), &chain);
    let (block, hash) = (&chain[13], chain[13].hash().to_string());
    for name in ["13", &hash] {
        assert_eq!(archive(dir.path(), &["get", name]).stdout, block.bytes()[..]);
        let text = stdout(&archive(dir.path(), &["get", name, "--hex"]));
        let digits: String = block.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, digits + "\n");
        let summary = last_json(&archive(dir.path(), &["get", name, "--json"]));
        assert_eq!((&summary["height"], &summary["hash"]), (&json!(13), &json!(hash)));
        assert_eq!(summary["transactions"], json!([coinbase(block).to_string()]));
        assert_eq!((&summary["bits"], &summary["size"]), (&json!("200f0f0f"), &json!(block.bytes().len())));
    }
    assert_fails(&archive(dir.path(), &["get", "21"]), "height 21 is not there: the archive ends at height 20");
    assert_fails(&archive(dir.path(), &["get", &"7".repeat(64)]), "savanna archive index");
}

#[test]
fn a_transaction_is_found_once_the_archive_is_indexed() {
    let dir = tempfile::tempdir().unwrap();
    let chain = chain(20, 500);
    write(dir.path(), &chain);
    let id = coinbase(&chain[9]).to_string();
    assert_fails(&archive(dir.path(), &["get", &id]), "savanna archive index");
    let output = archive(dir.path(), &["index"]);
    assert!(output.status.success() && stdout(&output).contains("21 blocks"), "{}", stderr(&output));
    assert!(stdout(&archive(dir.path(), &["index"])).contains("0 of them new"));
    let bytes = archive(dir.path(), &["get", &id]).stdout;
    let parsed = savanna_chain::transactions(&chain[9]).unwrap().next().unwrap().unwrap();
    assert_eq!(bytes, parsed.bytes());
    let summary = last_json(&archive(dir.path(), &["get", &id, "--json"]));
    assert_eq!((&summary["id"], &summary["height"], &summary["index"]), (&json!(id), &json!(9), &json!(0)));
    assert_fails(&archive(dir.path(), &["get", &"7".repeat(64)]), "no block and no transaction");
    assert_eq!(last_json(&archive(dir.path(), &["info", "--json"]))["transactions_indexed"], json!(21));
    let store = BlockStore::open_with(dir.path(), Network::Regtest, Options::default()).unwrap();
    assert!(store.indexed().unwrap().is_whole());
}

/// Reads what was exported back into blocks.
fn import(mut bytes: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let (magic, rest) = bytes.split_at(4);
        assert_eq!(magic, Network::Regtest.magic().0);
        let (length, rest) = rest.split_at(4);
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        let (block, rest) = rest.split_at(length);
        blocks.push(Block::new(block.to_vec().into()).unwrap());
        bytes = rest;
    }
    blocks
}

#[test]
fn export_writes_blocks_as_others_take_them_in() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = (dir.path().join("store"), dir.path().join("bootstrap.dat"));
    let chain = chain(40, 5000);
    write(&store, &chain);
    for (range, first, last) in [("0..", 0, 40), ("7..9", 7, 9), ("7-7", 7, 7)] {
        let output = archive(&store, &["export", range]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(import(&output.stdout), chain[first..=last], "{range}");
    }
    let name = file.to_str().unwrap();
    let output = archive(&store, &["export", "0..", "--output", name]);
    assert!(stdout(&output).contains("41 blocks"), "{}", stderr(&output));
    assert_eq!(import(&fs::read(&file).unwrap()), chain);
    assert_fails(&archive(&store, &["export", "1..2", "--output", name]), "it is there already");
    assert_eq!(import(&fs::read(&file).unwrap()), chain, "it is left as it was");
    assert_fails(&archive(&store, &["export", "3..41"]), "height 41 is not there: the archive ends at height 40");
    assert_fails(&archive(&store, &["export", "41.."]), "height 41 is not there");
}

#[test]
fn a_reader_that_goes_away_ends_an_export_quietly() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &chain(60, 100_000));
    let mut export = savanna(&["archive", "export", "0..", "--dir", dir.path().to_str().unwrap()]);
    let mut child = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && !stderr(&output).contains("savanna: "), "{}", stderr(&output));
}

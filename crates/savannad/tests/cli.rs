//! The command as a person meets it: usage, errors, exit statuses.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use common::{free_port, last_json, run, stderr};
use serde_json::json;

#[test]
fn wrong_usage_is_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let wrong: [&[&str]; 8] = [
        &[],
        &["connect"],
        &["connect", "host:0"],
        &["connect", "127.0.0.1:1", "--network", "bitcoin"],
        &["sync", "--network", "regtest", "--dir", dir, "--peer"],
        &["sync", "--network", "regtest", "--peer", "127.0.0.1:1"],
        &["sync", "--network", "regtest", "--peer", "127.0.0.1:1", "--dir", dir, "--until", "-1"],
        &["fly"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?} printed a result");
    }
}

#[test]
fn help_and_version_are_status_0() {
    for arguments in [&["--help"][..], &["--version"], &["sync", "--help"], &["connect", "--help"], &["demo", "--help"]]
    {
        assert!(run(arguments).status.success(), "{arguments:?}");
    }
}

#[test]
fn a_peer_that_is_not_there_is_one_sentence_and_status_1() {
    let peer = format!("127.0.0.1:{}", free_port());
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let tries: [&[&str]; 3] = [
        &["connect", &peer, "--network", "regtest"],
        &["connect", "host.invalid", "--network", "regtest"],
        &["sync", "--network", "regtest", "--peer", &peer, "--dir", dir, "--json"],
    ];
    for arguments in tries {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?} printed a result");
        assert!(stderr(&output).lines().any(|line| line.starts_with("savanna: ")), "{}", stderr(&output));
    }
}

#[test]
fn where_there_are_no_seeds_a_sync_asks_for_a_peer_in_one_sentence_and_status_1() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["sync", "--network", "regtest", "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "savanna: regtest has no DNS seeds, so name a peer with --peer\n");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it left something behind");
}

#[test]
fn peers_that_are_named_are_kept_to_and_no_book_is_begun() {
    let peer = format!("127.0.0.1:{}", free_port());
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["sync", "--network", "regtest", "--peer", &peer, "--dir", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(dir.path().join("savanna-blocks").is_file());
    assert!(!dir.path().join("peers-regtest.redb").exists());
}

#[test]
fn a_listener_that_speaks_no_zcash_is_one_sentence_and_status_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let web_server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 24]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
    });
    let output = run(&["connect", &peer, "--network", "regtest"]);
    web_server.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}

#[test]
fn a_file_in_place_of_the_directory_is_one_sentence_and_status_1() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let peer = format!("127.0.0.1:{}", free_port());
    let dir = file.path().to_str().unwrap();
    let output = run(&["sync", "--network", "regtest", "--peer", &peer, "--dir", dir]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(dir), "{}", stderr(&output));
}

#[test]
fn a_working_directory_that_is_gone_is_one_sentence_and_status_1() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let script = "cd \"$1\" && rmdir \"$1\" && exec \"$2\" sync --network regtest --peer 127.0.0.1:1 --dir \"$3\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(&gone).arg(env!("CARGO_BIN_EXE_savanna")).arg(dir.path().join("chain"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("working directory is gone"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
}

#[test]
fn the_demo_fetches_everything_past_a_staller_and_a_liar() {
    let output = run(&["demo", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let seen = last_json(&output);
    assert_eq!(seen["tip_height"], json!(10));
    let tip = "00074c46a4aa8172df8ae2ad1848a2e084e1b6989b7d9e6132adc938bf835b36";
    assert_eq!(seen["tip_hash"], json!(tip));
    assert!(seen["refetched"].as_u64().unwrap() > 0, "{seen}");
    let output = run(&["demo"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    for role in ["honest", "stalls", "lies"] {
        assert!(table.contains(role), "{role} is not in the table:\n{table}");
    }
}

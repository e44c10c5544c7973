//! `savanna crawl` against peers on loopback.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, missing_docs, reason = "a test may")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use common::{free_port, last_json, run, savanna, stderr};
use savanna_wire::{
    AddrV1, BlockHash, BlockHeader, Bounded, Decoded, Decoder, MerkleRoot, Message, Network, ProtocolVersion, Services,
    Solution, UserAgent, Version, VersionAddr, encode,
};
use serde_json::{Value, json};

/// What a peer is.
#[derive(Debug, Clone, Copy)]
enum Peer {
    /// It speaks a version, and tells of the others when asked.
    Speaks {
        version: i32,
        user_agent: &'static str,
    },
    /// It holds another chain.
    Elsewhere,
    HangsUp,
    SaysNothing,
}

const GOOD: Peer = Peer::Speaks { version: 170_190, user_agent: "/Good:1/" };

/// Starts peers that know each other.
fn start(peers: &[Peer]) -> Vec<SocketAddr> {
    let listeners: Vec<_> = peers.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    for (peer, listener) in peers.iter().copied().zip(listeners) {
        serve(listener, Arc::new((peer, addresses.clone())));
    }
    addresses
}

fn serve(listener: TcpListener, peer: Arc<(Peer, Vec<SocketAddr>)>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let peer = Arc::clone(&peer);
            thread::spawn(move || {
                let _ = talk(stream, peer.0, &peer.1);
            });
        }
    });
}

fn talk(mut stream: TcpStream, peer: Peer, all: &[SocketAddr]) -> std::io::Result<()> {
    let (version, user_agent) = match peer {
        Peer::Speaks { version, user_agent } => (version, user_agent),
        Peer::Elsewhere => (170_190, "/Elsewhere:1/"),
        Peer::HangsUp => return Ok(()),
        Peer::SaysNothing => return stream.read_to_end(&mut Vec::new()).map(|_| ()),
    };
    let (mut decoder, mut buffer) = (Decoder::new(Network::Regtest.magic()), BytesMut::new());
    let mut chunk = [0; 4096];
    loop {
        while let Ok(Some(Decoded::Message(message))) = decoder.decode(&mut buffer) {
            let answers = match message {
                Message::Version(_) => vec![Message::Version(introduction(version, user_agent)), Message::Verack],
                Message::Verack => {
                    decoder.complete_handshake(ProtocolVersion(version));
                    Vec::new()
                }
                Message::Ping(nonce) => vec![Message::Pong(nonce)],
                Message::GetAddr => {
                    let entry = |address: &SocketAddr| AddrV1 { time: 1, services: Services(1), address: *address };
                    vec![Message::Addr(Bounded::truncated(all.iter().map(entry).collect()))]
                }
                Message::GetHeaders(_) if matches!(peer, Peer::Elsewhere) => {
                    vec![Message::Headers(Bounded::truncated(vec![foreign_header()]))]
                }
                _ => Vec::new(),
            };
            for answer in answers {
                stream.write_all(&encode(&answer, Network::Regtest.magic()).concat())?;
            }
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..count]);
    }
}

fn introduction(version: i32, user_agent: &str) -> Version {
    Version {
        version: ProtocolVersion(version),
        services: Services::NODE_NETWORK,
        time: i64::MIN,
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr::UNSPECIFIED,
        nonce: 5,
        user_agent: UserAgent::new(user_agent.as_bytes()).unwrap(),
        height: 7,
        relay: true,
    }
}

fn foreign_header() -> BlockHeader {
    BlockHeader {
        version: 4,
        previous: BlockHash([9; 32]),
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: 0,
        bits: 0x200f_0f0f,
        nonce: [0; 32],
        solution: Solution::new([0; 36]).unwrap(),
    }
}

fn node<'a>(census: &'a Value, address: &SocketAddr) -> &'a Value {
    let nodes = census["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["address"] == json!(address.to_string())).unwrap()
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_census_counts_everybody_once_by_what_came_of_it() {
    let obsolete = Peer::Speaks { version: 170_001, user_agent: "/Old:1/" };
    let strange = Peer::Speaks { version: 170_190, user_agent: "=\x1b[31m\"/" };
    let peers = start(&[GOOD, GOOD, strange, obsolete, Peer::Elsewhere, Peer::HangsUp, Peer::SaysNothing]);
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("nodes.csv");
    let first = peers[0].to_string();
    let output =
        run(&["crawl", "--network", "regtest", "--peer", &first, "--json", "-", "--csv", csv.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let census = last_json(&output);
    let summary = &census["summary"];
    for (key, count) in
        [("known", 7), ("reached", 3), ("refused", 1), ("silent", 1), ("obsolete", 1), ("other_chain", 1)]
    {
        assert_eq!(summary[key], json!(count), "{key} in {summary}");
    }
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(census["nodes"].as_array().unwrap().len(), 7);
    assert_eq!((&census["complete"], &census["changes"]), (&json!(true), &Value::Null));
    assert_eq!(node(&census, &peers[2])["user_agent"], json!(r#"=\x1b[31m\"/"#));
    assert_eq!(node(&census, &peers[3])["version"], json!(170_001));
    // Readers that keep numbers as floating point keep it whole.
    assert_eq!(node(&census, &peers[3])["services"], json!("1"));
    assert_eq!((&census["passed_over"], &census["versions"][0]["hosts"]), (&json!(0), &json!(1)));
    assert_eq!(node(&census, &peers[4])["chain"], json!("other"));
    assert_eq!(node(&census, &peers[5])["ending"], json!("closed_by_peer"));
    assert!(node(&census, &peers[1])["rtt_ms"].as_f64().unwrap() > 0.0);
    let table = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(table.lines().count(), 8);
    assert!(!table.contains('\x1b') && table.contains("\"'=\\x1b"), "{table}");
}

#[test]
fn a_second_census_says_what_changed_and_survives_a_damaged_state() {
    let dir = tempfile::tempdir().unwrap();
    let (state, json_file) = (dir.path().join("state"), dir.path().join("census.json"));
    let all = start(&[GOOD, GOOD]);
    let crawl = |first: &SocketAddr| {
        let output = run(&[
            "crawl",
            "--network",
            "regtest",
            "--peer",
            &first.to_string(),
            "--dir",
            state.to_str().unwrap(),
            "--json",
            json_file.to_str().unwrap(),
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        (read(&json_file), stderr(&output))
    };
    let (census, _) = crawl(&all[0]);
    assert_eq!((&census["summary"]["reached"], &census["changes"]), (&json!(2), &Value::Null));

    // Nobody is left of the first network but in the state, and a new peer stands by.
    let newcomer = start(&[Peer::Speaks { version: 170_190, user_agent: "/New:1/" }]);
    let (census, _) = crawl(&newcomer[0]);
    assert_eq!(census["summary"]["known"], json!(3));
    assert_eq!(census["changes"]["new"], json!([newcomer[0].to_string()]));
    assert_eq!((&census["changes"]["gone"], &census["changes"]["changed"]), (&json!([]), &json!([])));

    let file = state.join("crawl-regtest.jsonl");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&file, bytes).unwrap();
    let (census, said) = crawl(&all[0]);
    assert_eq!((&census["summary"]["known"], &census["changes"]), (&json!(2), &Value::Null));
    assert_eq!(said.lines().filter(|line| line.contains("set aside")).count(), 1, "{said}");
    let (_, said) = crawl(&all[0]);
    assert!(!said.contains("set aside"), "{said}");
}

#[test]
fn time_and_interruption_end_a_crawl_with_the_census_so_far() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = listener.local_addr().unwrap().to_string();
    let output = run(&["crawl", "--network", "regtest", "--peer", &first, "--for", "1s", "--json", "-"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let census = last_json(&output);
    assert_eq!((&census["summary"]["untried"], &census["complete"]), (&json!(1), &json!(false)));

    let mut command = savanna(&["crawl", "--network", "regtest", "--peer", &first, "--json", "-"]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The first connection is that of the crawl before. Whoever dials listens for signals already.
    let _silent = [listener.accept().unwrap(), listener.accept().unwrap()];
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(last_json(&output)["summary"]["known"], json!(1));
}

#[test]
fn with_nobody_to_ask_there_is_one_sentence_and_status_1() {
    for arguments in [
        &["crawl", "--network", "regtest"][..],
        &["crawl", "--network", "regtest", "--peer", "host.invalid"],
        &["crawl", "--network", "regtest", "--peer", "127.0.0.1:1", "--json", "-", "--csv", "-"],
        &["crawl", "--network", "regtest", "--peer", "127.0.0.1:1", "--json", "/nowhere/at/all"],
        &["crawl", "--network", "regtest", "--peer", "127.0.0.1:1", "--dir", "/dev/null"],
        &["crawl", "--network", "mainnet", "--peer", "localhost"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    for arguments in [&["crawl", "--for", "soon"][..], &["crawl", "--network", "bitcoin"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    // Somebody who refuses was asked.
    let refused = format!("127.0.0.1:{}", free_port());
    let output = run(&["crawl", "--network", "regtest", "--peer", &refused]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("connection_refused 1"));
}

#[test]
fn a_second_interrupt_ends_the_program_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = listener.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    // Nobody reads it, so writing the census takes for ever.
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = savanna(&["crawl", "--network", "regtest", "--peer", &first, "--json", pipe.to_str().unwrap()])
        .spawn()
        .unwrap();
    // Whoever dials listens for signals already.
    let _silent = listener.accept().unwrap();
    let pid = child.id().to_string();
    let began = Instant::now();
    // Two that come at the same moment are one.
    let status = loop {
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it goes on");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130));
}

#[test]
fn what_cannot_be_kept_or_written_is_said_before_anybody_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = listener.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let crawl = ["crawl", "--network", "regtest", "--peer", &first];
    let mut running = savanna(&[&crawl[..], &["--dir", state.to_str().unwrap()]].concat()).spawn().unwrap();
    let _silent = listener.accept().unwrap();
    let refused = |arguments: &[&str]| {
        let output = run(&[&crawl[..], arguments].concat());
        assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(1), 1), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(refused(&["--dir", state.to_str().unwrap()]).contains("is in use by another crawl"));
    running.kill().unwrap();
    running.wait().unwrap();

    let file = dir.path().join("census");
    let (file, same) = (file.to_str().unwrap(), dir.path().join("./census"));
    let told = refused(&["--json", file, "--csv", same.to_str().unwrap()]);
    assert!(told.contains("cannot hold two results"), "{told}");
    assert!(refused(&["--report", dir.path().to_str().unwrap()]).contains("cannot be written"));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody was asked");
}

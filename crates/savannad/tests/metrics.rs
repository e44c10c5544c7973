//! The numbers that a running command serves, as Prometheus would read them.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use common::{run, savanna, stderr};
use savanna_wire::{Decoded, Decoder, Message, Network, ProtocolVersion, Services, UserAgent, Version, encode};

/// A command that is running, ended when dropped.
struct Running {
    process: Child,
    numbers: SocketAddr,
}

impl Running {
    /// Starts the command and waits until it says where its numbers are.
    fn start(arguments: &[&str]) -> Self {
        let mut process = savanna(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let numbers = said.find_map(|line| {
            let line = line.unwrap();
            let address = line.strip_prefix("metrics at http://")?.strip_suffix("/metrics")?;
            Some(address.parse().unwrap())
        });
        // It goes on talking, and must not be stopped by a pipe that nobody empties.
        std::thread::spawn(move || said.count());
        Self { process, numbers: numbers.expect("it said where") }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.numbers).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn value(&self, series: &str) -> f64 {
        let page = self.ask("GET /metrics HTTP/1.1\r\nHost: savanna\r\n\r\n");
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A peer that shakes hands, and then listens without an answer. Its thread ends with the connection, and returns how many
/// bytes came.
fn silent_peer(user_agent: &'static [u8]) -> (SocketAddr, std::sync::mpsc::Receiver<usize>, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, when_asked) = std::sync::mpsc::channel();
    let peer = std::thread::spawn(move || {
        let magic = Network::Regtest.magic();
        let (mut stream, _) = listener.accept().unwrap();
        let mut decoder = Decoder::new(magic);
        decoder.complete_handshake(ProtocolVersion::WTX);
        let (mut buffer, mut piece, mut received) = (BytesMut::new(), [0; 4096], 0);
        loop {
            let count = stream.read(&mut piece).unwrap_or(0);
            if count == 0 {
                return received;
            }
            received += count;
            buffer.extend_from_slice(&piece[..count]);
            while let Some(Decoded::Message(message)) = decoder.decode(&mut buffer).unwrap() {
                if let Message::Version(version) = message {
                    let user_agent = UserAgent::new(user_agent).unwrap();
                    let version = Version { services: Services::NODE_NETWORK, nonce: 1, user_agent, ..version };
                    let words = [Message::Version(version), Message::Verack];
                    let bytes: Vec<u8> = words.iter().flat_map(|word| encode(word, magic).concat()).collect();
                    stream.write_all(&bytes).unwrap();
                    asked.send(bytes.len()).unwrap();
                } else if matches!(message, Message::GetHeaders(_) | Message::GetBlocks(_)) {
                    asked.send(received).unwrap();
                }
            }
        }
    });
    (address, when_asked, peer)
}

#[test]
fn a_running_sync_tells_its_numbers() {
    let (address, asked, peer) = silent_peer(b"/evil:\"}\n/");
    let (dir, address) = (tempfile::tempdir().unwrap(), address.to_string());
    let dir = dir.path().to_str().unwrap();
    let sync = ["sync", "--network", "regtest", "--peer", &address, "--dir", dir, "--metrics", "127.0.0.1:0"];
    let running = Running::start(&sync);
    let (said, heard) = (asked.recv().unwrap(), asked.recv().unwrap());

    assert_eq!(running.value("savanna_build_info{version=\"0.1.0\"}"), 1.0);
    assert_eq!(running.value("savanna_dials_total{outcome=\"connected\"}"), 1.0);
    assert_eq!(running.value("savanna_handshakes_total{direction=\"outbound\",outcome=\"ok\"}"), 1.0);
    assert_eq!(running.value("savanna_connections{direction=\"outbound\"}"), 1.0);
    assert_eq!(running.value("savanna_received_bytes_total"), said as f64);
    assert!(running.value("savanna_sent_bytes_total") >= heard as f64);
    if cfg!(target_os = "linux") {
        assert!(running.value("process_resident_memory_bytes") > 1e6);
        assert!(running.value("process_open_fds") > 3.0);
    }
    assert!(running.ask("GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(!running.ask("GET /metrics HTTP/1.1\r\n\r\n").contains("evil"));
    drop(running);
    assert!(peer.join().unwrap() >= heard);
}

#[test]
fn an_address_that_is_taken_is_one_sentence_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let tries: [&[&str]; 2] = [
        &["demo", "--metrics", &address],
        &["sync", "--network", "regtest", "--peer", "127.0.0.1:1", "--dir", dir, "--metrics", &address],
    ];
    for arguments in tries {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?} printed a result");
        assert!(stderr(&output).starts_with(&format!("savanna: metrics cannot be served at {address}: ")));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
}

#[test]
fn an_address_that_is_none_is_status_2() {
    for wrong in ["nowhere", "127.0.0.1", ":9100", "localhost:9100", "70000", ""] {
        let output = run(&["demo", "--metrics", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
}

#[test]
fn the_demo_says_where_its_numbers_are() {
    let output = run(&["demo", "--json", "--metrics", "0"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("metrics at http://127.0.0.1:"), "{}", stderr(&output));
}

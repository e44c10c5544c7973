//! A node of the command that runs, watched over its pages.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use savanna_store::BlockStore;
use savanna_wire::{Block, Network};
use serde_json::{Value, json};

use super::{free_port, savanna};

/// How long anything here may take: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How long an orderly end may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// A node that runs, killed when dropped.
pub(crate) struct Node {
    pub(crate) process: Child,
    pub(crate) http: String,
    told: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Node {
    /// Starts a node on regtest with a directory, and what else is given.
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        let http = format!("127.0.0.1:{}", free_port());
        let arguments = ["start", "--network", "regtest", "--http", &http, "--dir", dir.to_str().unwrap()];
        let mut process = savanna(&[&arguments, more].concat());
        let mut process = clean(&mut process).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let told = Arc::<Mutex<String>>::default();
        let (heard, lines) = (Arc::clone(&told), BufReader::new(process.stderr.take().unwrap()));
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut told = heard.lock().unwrap();
                told.push_str(&line);
                told.push('\n');
            }
        });
        Self { process, http, told, reader: Some(reader) }
    }

    /// Asks for a page, and returns the status and the body.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub(crate) fn status(&self) -> Value {
        self.get("/status").map_or(Value::Null, |(_, body)| serde_json::from_str(&body).unwrap())
    }

    /// Waits until the node's state is as wanted.
    pub(crate) fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("it ended with {status} before {what}:\n{}", self.told());
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {}\n{}", self.status(), self.told());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn wait_for_height(&mut self, height: usize) {
        self.wait_until(&format!("at height {height}"), |node| node.status()["tip_height"] == json!(height));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, and returns how it was and how long it took.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let status = self.process.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status, began.elapsed())
    }

    pub(crate) fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let (status, took) = self.wait();
        assert!(status.success(), "{status}:\n{}", self.told());
        assert!(took < DRAIN, "the end took {took:?}");
    }

    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Keeps the settings of whoever runs the tests out.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SAVANNA_")) {
        command.env_remove(name);
    }
    command
}

/// Keeps a chain in a directory, as an earlier run would have.
pub(crate) fn keep(dir: &Path, blocks: &[Block]) {
    let store = BlockStore::open(dir, Network::Regtest).unwrap();
    store.append(blocks).unwrap();
    store.flush().unwrap();
}

pub(crate) fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

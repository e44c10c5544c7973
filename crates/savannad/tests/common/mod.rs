//! What the tests of the command share: running it, and a real zebrad to run it against.
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) mod node;

/// Prepares the command under test.
pub(crate) fn savanna(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_savanna"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    savanna(arguments).output().unwrap()
}

/// Reads the last line of standard output as JSON.
pub(crate) fn last_json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}; stderr: {}", stderr(output)))
}

/// Returns standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Finds a port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One test with zebrads at a time: two cores serve no more.
static TURN: Mutex<()> = Mutex::new(());

/// A zebrad on a regtest of its own, ended when dropped.
pub(crate) struct Zebrad {
    process: Child,
    rpc: SocketAddr,
    pub(crate) peer: SocketAddr,
    binary: PathBuf,
    dir: TempDir,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Zebrad {
    /// Starts the binary that `SAVANNA_ZEBRAD` names, with the activation heights given as TOML lines.
    ///
    /// Without the variable there is no such peer, and the caller's test has nothing to test.
    pub(crate) fn start(activation_heights: &str) -> Option<Self> {
        Self::start_dialing(activation_heights, &[])
    }

    /// The same, with peers that zebrad is to dial. Of hosts it dials on regtest `127.0.0.1` alone, unless peers tell it of others.
    pub(crate) fn start_dialing(activation_heights: &str, peers: &[SocketAddr]) -> Option<Self> {
        let binary = named()?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self::run(binary, Some(turn), activation_heights, peers, false))
    }

    /// The same as [`Self::start`], with a chain on disk, so that it can [come back](Self::come_back).
    pub(crate) fn start_keeping(activation_heights: &str) -> Option<Self> {
        let binary = named()?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self::run(binary, Some(turn), activation_heights, &[], true))
    }

    /// Starts another beside this one, with peers that it is to dial.
    pub(crate) fn another(&self, activation_heights: &str, peers: &[SocketAddr]) -> Self {
        Self::run(self.binary.clone(), None, activation_heights, peers, false)
    }

    fn run(
        binary: PathBuf,
        turn: Option<MutexGuard<'static, ()>>,
        activation_heights: &str,
        peers: &[SocketAddr],
        keeps: bool,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (peer, rpc) = (free_address(), free_address());
        let config = zebrad_config(peer, rpc, activation_heights, peers, keeps.then_some(dir.path()));
        std::fs::write(dir.path().join("zebrad.toml"), config).unwrap();
        let zebrad = Self { process: spawn(&binary, dir.path()), rpc, peer, binary, dir, _turn: turn };
        zebrad.wait_until_up();
        zebrad
    }

    /// Ends it in good order, and leaves its directory.
    pub(crate) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn come_back(&mut self) {
        self.process = spawn(&self.binary, self.dir.path());
        self.wait_until_up();
    }

    fn wait_until_up(&self) {
        let began = Instant::now();
        // Its genesis block comes somewhat later than its interface, and without it nothing can be mined.
        let has_tip = || self.try_call("getbestblockhash", &json!([])).is_ok_and(|answer| answer["error"].is_null());
        while !has_tip() || TcpStream::connect(self.peer).is_err() {
            assert!(began.elapsed() < Duration::from_secs(90), "zebrad did not come up in 90 seconds");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Mines blocks, at most 500 a call to the node.
    pub(crate) fn mine(&self, mut blocks: u32) {
        while blocks > 0 {
            let batch = blocks.min(500);
            self.call("generate", &json!([batch]));
            blocks -= batch;
        }
    }

    /// Calls a method of the node's RPC interface.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let answer = self.try_call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"));
        assert!(answer["error"].is_null(), "zebrad refused {method}: {answer}");
        answer["result"].clone()
    }

    fn try_call(&self, method: &str, params: &Value) -> std::io::Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut stream = TcpStream::connect(self.rpc)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let request = format!(
            "POST / HTTP/1.0\r\nHost: zebrad\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(serde_json::from_str(body)?)
    }
}

impl Drop for Zebrad {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Returns the binary that is to be tried against.
fn named() -> Option<PathBuf> {
    let named = std::env::var_os("SAVANNA_ZEBRAD").filter(|path| !path.is_empty());
    if named.is_none() {
        eprintln!("SKIPPED: SAVANNA_ZEBRAD names no zebrad, so nothing was tried against one");
    }
    named.map(PathBuf::from)
}

fn spawn(binary: &Path, dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = Command::new(binary);
    command.arg("-c").arg(dir.join("zebrad.toml")).arg("start").stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

fn zebrad_config(
    peer: SocketAddr,
    rpc: SocketAddr,
    activation_heights: &str,
    peers: &[SocketAddr],
    state: Option<&Path>,
) -> String {
    let state =
        state.map_or_else(|| "ephemeral = true".to_owned(), |dir| format!("ephemeral = false\ncache_dir = {dir:?}"));
    let peers: Vec<_> = peers.iter().map(SocketAddr::to_string).collect();
    format!(
        r#"
[network]
network = "Regtest"
listen_addr = "{peer}"
cache_dir = false
max_connections_per_ip = 100
initial_testnet_peers = {peers:?}
crawl_new_peer_interval = "2s"
[network.testnet_parameters.activation_heights]
{activation_heights}
[mining]
miner_address = "t27eWDgjFYJGVXmzrXeVjnb5J3uXDM9xH9v"
[state]
{state}
[rpc]
listen_addr = "{rpc}"
enable_cookie_auth = false
"#
    )
}

//! A chain from a real zebrad: how long another zebrad takes from its start, and how long Savanna.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Options;
use crate::contest::{Fetched, enter};
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

/// The variable that names the zebrad.
const VARIABLE: &str = "SAVANNA_ZEBRAD";

/// How long a zebrad may take to start, or to fetch the chain.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a zebrad is asked how far it is.
const POLL: Duration = Duration::from_millis(50);

/// How many blocks are mined by one call.
const MINED_AT_ONCE: u32 = 500;

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let Some(binary) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from) else {
        eprintln!("skipped: {VARIABLE} names no zebrad");
        return Ok(Vec::new());
    };
    let blocks = if options.quick { 500 } else { 5_000 };
    let source = Zebrad::start(&binary, None)?;
    source.mine(blocks)?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..options.samples().min(3) {
        ours.push(fetch(&source, blocks)?);
        let began = Instant::now();
        let follower = Zebrad::start(&binary, Some(source.peer))?;
        follower.wait_for(blocks)?;
        theirs.push(began.elapsed().as_secs_f64());
    }
    Ok(vec![Row {
        name: format!("{blocks} regtest blocks from one zebrad, from the start of the program"),
        unit: "s",
        better: Better::Lower,
        ours,
        theirs: Some(theirs),
        limit: None,
        goals: if options.quick { vec![] } else { vec![Goal::AtMost(3.0)] },
        note: "Theirs is zebrad 7.0.0, ready when its RPC tells the height. A zebrad takes one connection a second."
            .to_owned(),
    }])
}

/// Has Savanna fetch the chain, from the start of its process to its end.
fn fetch(source: &Zebrad, blocks: u32) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let arguments = [dir.path().display().to_string(), blocks.to_string(), source.peer.to_string()];
    let began = Instant::now();
    enter::<Fetched>("ours-sync", &arguments)?;
    Ok(began.elapsed().as_secs_f64())
}

/// A zebrad on regtest, ended with its handle.
struct Zebrad {
    process: Child,
    peer: SocketAddr,
    rpc: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Zebrad {
    fn start(binary: &Path, follows: Option<SocketAddr>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (peer, rpc) = (free_address()?, free_address()?);
        let config = dir.path().join("zebrad.toml");
        fs::write(&config, configuration(peer, rpc, follows))?;
        let process = Command::new(binary)
            .arg("-c")
            .arg(&config)
            .arg("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let this = Self { process, peer, rpc, _dir: dir };
        this.wait_for(0)?;
        Ok(this)
    }

    fn mine(&self, blocks: u32) -> Result<()> {
        let mut left = blocks;
        while left > 0 {
            let count = left.min(MINED_AT_ONCE);
            self.call("generate", &json!([count]))?;
            left -= count;
        }
        self.wait_for(blocks)
    }

    fn wait_for(&self, height: u32) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let found = self.call("getblockcount", &json!([])).ok().and_then(|found| found.as_u64());
            if found.is_some_and(|found| found >= u64::from(height)) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        bail!("a zebrad did not reach height {height} in time")
    }

    /// Calls a method by JSON-RPC over HTTP.
    fn call(&self, method: &str, params: &Value) -> Result<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut stream = TcpStream::connect(self.rpc)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        let mut answer: Value = serde_json::from_str(body)?;
        ensure!(answer.get("error").is_none_or(Value::is_null), "{method}: {answer}");
        Ok(answer["result"].take())
    }
}

impl Drop for Zebrad {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn configuration(peer: SocketAddr, rpc: SocketAddr, follows: Option<SocketAddr>) -> String {
    let peers = follows.map_or(String::new(), |peer| format!("\"{peer}\""));
    format!(
        "[network]\nnetwork = \"Regtest\"\nlisten_addr = \"{peer}\"\ncache_dir = false\nmax_connections_per_ip = 100\n\
         initial_testnet_peers = [{peers}]\n[network.testnet_parameters.activation_heights]\nNU5 = 1\n\
         [mining]\nminer_address = 't27eWDgjFYJGVXmzrXeVjnb5J3uXDM9xH9v'\n[state]\nephemeral = true\n\
         [rpc]\nlisten_addr = \"{rpc}\"\nenable_cookie_auth = false\n"
    )
}

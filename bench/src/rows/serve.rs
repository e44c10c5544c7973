//! Blocks from the archive to peers on loopback: how much one core serves.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use savanna_store::BlockStore;
use savanna_wire::{Block, BlockHash, Bounded, Inventory, Message, encode};

use crate::Options;
use crate::chain::{Chain, NETWORK};
use crate::farm::{self, MessageReader};
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

const SIZE: usize = 60_000;

/// How many peers ask at once, and how many questions of sixteen each has under way.
const PEERS: usize = 2;
const BATCH: usize = 16;
const PIPELINED: usize = 2;

/// How many bytes are read at once.
const BUFFER: usize = 1024 * 1024;

/// The bytes before each payload.
const FRAME_HEADER: usize = 24;

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let (blocks, passes) = if options.quick { (100, 1) } else { (2_000, 4) };
    let chain = Chain::assemble(blocks, SIZE)?;
    let dir = tempfile::tempdir()?;
    store(&chain, dir.path())?;
    let hashes = Arc::new(chain.hashes[1..].to_vec());
    let mut served = Samples::default();
    for _ in 0..options.samples() {
        let server = Server::start(dir.path())?;
        served.push(ask(server.address, &hashes, passes)?);
    }
    Ok(vec![Row {
        name: format!("{blocks} blocks of {} kB served from the archive by one core", SIZE / 1000),
        unit: "MB/s",
        better: Better::Higher,
        ours: served,
        theirs: None,
        limit: None,
        goals: vec![Goal::AtLeast(400.0)],
        note: format!("By wall clock; the server is kept on one core, {PEERS} peers ask from the others."),
    }])
}

fn store(chain: &Chain, dir: &Path) -> Result<()> {
    let store = BlockStore::open(dir, NETWORK)?;
    for frames in chain.frames.chunks(500) {
        let blocks =
            frames.iter().map(|frame| Block::new(frame.slice(FRAME_HEADER..))).collect::<Result<Vec<_>, _>>()?;
        store.append(&blocks)?;
    }
    Ok(store.flush()?)
}

/// A process that serves an archive, ended with its handle.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(dir: &Path) -> Result<Self> {
        let mut process = Command::new("taskset")
            .args(["-c", &first_core()?])
            .arg(std::env::current_exe()?)
            .arg("ours-serve")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().context("its standard output is piped")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        Ok(Self { process, address: serde_json::from_str::<String>(&line)?.parse()? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn first_core() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = list.context("the system does not tell which cores there are")?.trim();
    Ok(list.chars().take_while(char::is_ascii_digit).collect())
}

/// Asks for every block so many times, by all peers together, and returns the megabytes that came in a second.
fn ask(server: SocketAddr, hashes: &Arc<Vec<BlockHash>>, passes: usize) -> Result<f64> {
    let streams = (0..PEERS).map(|_| {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        farm::greet(&stream, &mut MessageReader::new(stream.try_clone()?))?;
        anyhow::Ok(stream)
    });
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let began = Instant::now();
    let peers = streams.into_iter().map(|stream| {
        let hashes = Arc::clone(hashes);
        thread::spawn(move || receive(stream, &hashes, passes))
    });
    let peers: Vec<_> = peers.collect();
    let counts = peers.into_iter().map(|peer| peer.join().map_err(|_| anyhow!("a peer panicked"))?);
    let bytes: u64 = counts.sum::<Result<u64>>()?;
    Ok(bytes as f64 / 1e6 / began.elapsed().as_secs_f64())
}

fn receive(stream: TcpStream, hashes: &[BlockHash], passes: usize) -> Result<u64> {
    let mut stream = BufReader::with_capacity(BUFFER, stream);
    let mut asks = (0..passes).flat_map(|_| hashes.chunks(BATCH));
    let mut under_way = std::collections::VecDeque::new();
    let mut ask = |stream: &TcpStream| -> Result<usize> {
        let Some(hashes) = asks.next() else { return Ok(0) };
        let items = hashes.iter().map(|hash| Inventory::Block(*hash)).collect();
        let message = Message::GetData(Bounded::truncated(items));
        (&mut &*stream).write_all(&encode(&message, NETWORK.magic()).concat())?;
        Ok(hashes.len())
    };
    for _ in 0..PIPELINED {
        under_way.push_back(ask(stream.get_ref())?);
    }
    let (mut bytes, mut payload) = (0, Vec::new());
    while let Some(count) = under_way.pop_front().filter(|count| *count > 0) {
        for _ in 0..count {
            bytes += read_block(&mut stream, &mut payload)?;
        }
        under_way.push_back(ask(stream.get_ref())?);
    }
    Ok(bytes)
}

/// Reads up to the end of the next block, past whatever else comes.
fn read_block(stream: &mut impl Read, payload: &mut Vec<u8>) -> Result<u64> {
    loop {
        let mut header = [0; FRAME_HEADER];
        stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
        payload.resize(length as usize, 0);
        stream.read_exact(payload)?;
        ensure!(&header[4..12] != b"notfound", "a block was not found");
        if &header[4..10] == b"block\0" {
            return Ok(u64::from(length));
        }
    }
}

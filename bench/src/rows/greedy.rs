//! Our own sync while peers who dialled us ask for everything as fast as they can.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use savanna_store::BlockStore;
use savanna_wire::{Block, BlockHash, Bounded, Inventory, Locator, Message, encode};

use crate::Options;
use crate::chain::{Chain, NETWORK};
use crate::contest::Fetched;
use crate::farm::{self, Farm, MessageReader, PEERS};
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

const SIZE: usize = 60_000;

/// How many blocks are in the archive before: what the greedy ask for.
const HELD: usize = 500;

/// How many greedy peers there are.
const GREEDY: usize = 2;

/// How many blocks a question asks for.
const BATCH: usize = 16;

/// How many bytes are read at once.
const BUFFER: usize = 1024 * 1024;

/// The bytes before each payload.
const FRAME_HEADER: usize = 24;

/// How long a greedy peer that is thrown out waits until it dials again.
const BREATH: Duration = Duration::from_millis(50);

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let blocks = if options.quick { 200 } else { 3_000 };
    let chain = Arc::new(Chain::assemble(HELD + blocks, SIZE)?);
    let farm = Farm::start(&chain, PEERS, Duration::ZERO)?;
    let (mut beside, mut alone, mut memory, mut taken) = <(Samples, Samples, Samples, Samples)>::default();
    for _ in 0..options.samples() {
        let (ours, _) = sync(&chain, &farm, 0)?;
        alone.push(ours.wall);
        let (ours, bytes) = sync(&chain, &farm, GREEDY)?;
        ensure!(bytes > 0, "the greedy peers got nothing");
        beside.push(ours.wall);
        memory.push(ours.most_resident as f64 / f64::from(1 << 20));
        taken.push(bytes as f64 / 1e6 / ours.wall);
    }
    let title = format!("Sync of {blocks} blocks of {} kB from {PEERS} peers beside {GREEDY} greedy ones", SIZE / 1000);
    let row = |name: String, unit, ours, limit, goal, note: String| Row {
        name,
        unit,
        better: Better::Lower,
        ours,
        theirs: None,
        limit,
        goals: vec![goal],
        note,
    };
    let note = format!(
        "The greedy ask without a pause for {HELD} blocks that are there, for headers and for hashes, and ping. They got {:.1} \
         MB/s. The limit is ours without them.",
        taken.median()
    );
    let of_memory = "The most that was resident at any time, with the default budgets.".to_owned();
    Ok(vec![
        row(title.clone(), "s", beside, Some(alone), Goal::TimesLimit(1.2), note),
        row(format!("{title}: memory"), "MiB", memory, None, Goal::AtMost(300.0), of_memory),
    ])
}

/// Has a node sync beside so many greedy peers; returns what it took, and how many bytes they got.
fn sync(chain: &Arc<Chain>, farm: &Farm, greedy: usize) -> Result<(Fetched, u64)> {
    let dir = tempfile::tempdir()?;
    store(chain, dir.path())?;
    let mut node = Contestant::start(dir.path(), chain.tip(), greedy, &farm.addresses)?;
    let address = node.line::<String>()?.parse()?;
    let (crowd, before) = (Arc::new(Crowd::default()), farm.connected());
    let peers: Vec<_> = (0..greedy)
        .map(|_| {
            let (crowd, chain) = (Arc::clone(&crowd), Arc::clone(chain));
            thread::spawn(move || crowd.ask(address, &chain))
        })
        .collect();
    let found = node.line::<Fetched>();
    crowd.is_over.store(true, Ordering::Relaxed);
    drop(node);
    for peer in peers {
        ensure!(peer.join().is_ok(), "a greedy peer panicked");
    }
    ensure!(farm.connected() <= before + PEERS, "a peer of the farm was left");
    Ok((found?, crowd.received.load(Ordering::Relaxed)))
}

fn store(chain: &Chain, dir: &Path) -> Result<()> {
    let store = BlockStore::open(dir, NETWORK)?;
    let blocks = chain.frames[..=HELD].iter().map(|frame| Block::new(frame.slice(FRAME_HEADER..)));
    store.append(&blocks.collect::<Result<Vec<_>, _>>()?)?;
    Ok(store.flush()?)
}

/// A process that syncs and serves, ended with its handle.
struct Contestant {
    process: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Contestant {
    fn start(dir: &Path, tip: usize, guests: usize, peers: &[SocketAddr]) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("ours-node")
            .arg(dir)
            .args([tip.to_string(), guests.to_string()])
            .args(peers.iter().map(SocketAddr::to_string))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().context("its standard output is piped")?;
        Ok(Self { process, out: BufReader::new(out) })
    }

    /// Waits for what it prints next.
    fn line<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        serde_json::from_str(&line).context("the node said nothing to be read")
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        // It has nothing to save.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Those who ask for everything.
#[derive(Default)]
struct Crowd {
    received: AtomicU64,
    is_over: AtomicBool,
}

impl Crowd {
    /// Asks until it is over, on one connection after the other.
    fn ask(&self, server: SocketAddr, chain: &Chain) {
        let questions = questions(chain);
        while !self.is_over.load(Ordering::Relaxed) {
            // Whoever is thrown out comes back.
            let _ = self.converse(server, &questions);
            thread::sleep(BREATH);
        }
    }

    fn converse(&self, server: SocketAddr, questions: &[Vec<u8>]) -> Result<()> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        farm::greet_as_guest(&stream, &mut MessageReader::new(stream.try_clone()?))?;
        thread::scope(|scope| {
            scope.spawn(|| self.receive(&stream));
            let asked = questions.iter().cycle().try_for_each(|question| (&stream).write_all(question));
            let _ = stream.shutdown(std::net::Shutdown::Both);
            Ok(asked?)
        })
    }

    fn receive(&self, mut stream: &TcpStream) {
        let mut buffer = vec![0; BUFFER];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            self.received.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

/// Returns questions for all that is held: for blocks, and with each for headers, for hashes and for a pong.
fn questions(chain: &Chain) -> Vec<Vec<u8>> {
    let held = &chain.hashes[1..=HELD];
    held.chunks(BATCH)
        .map(|hashes| {
            let items = hashes.iter().map(|hash| Inventory::Block(*hash)).collect();
            let locator = || Locator {
                version: farm::VERSION,
                hashes: Bounded::truncated(vec![hashes[0]]),
                stop: BlockHash::ZERO,
            };
            let messages = [
                Message::GetData(Bounded::truncated(items)),
                Message::GetHeaders(locator()),
                Message::GetBlocks(locator()),
                Message::Ping(7),
            ];
            messages.iter().flat_map(|message| encode(message, NETWORK.magic()).concat()).collect()
        })
        .collect()
}

//! The contestants, each a process of its own: started by the bench from its own binary, measured by itself, heard on its
//! standard output.

mod bare;
pub(crate) mod book;
mod ours;
mod theirs;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use savanna_wire::BlockHash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chain::Chain;
use crate::farm::{Farm, PEERS};
use crate::measure::Spent;
use crate::survey;

/// How long a connection may take, counted from the dial.
const CONNECT: Duration = Duration::from_secs(20);

/// How long a whole contest may take.
const CONTEST: Duration = Duration::from_secs(300);

/// What a contestant is to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Contest {
    /// Savanna: fetches a chain from its headers on, verifies it and stores it.
    OursSync {
        /// The directory to store it in.
        dir: PathBuf,
        /// The height of the last block.
        tip: u32,
        /// Whom to fetch from.
        peers: Vec<SocketAddr>,
    },
    /// Savanna: serves the chain of an archive until it is ended; prints the address.
    OursServe {
        /// The directory that holds the archive.
        dir: PathBuf,
    },
    /// Savanna: a node that listens and serves while it goes on with a chain that it has begun; prints the address first.
    OursNode {
        /// The directory that holds the archive.
        dir: PathBuf,
        /// The height of the last block.
        tip: u32,
        /// How many peers who dial it are waited for.
        guests: usize,
        /// Whom to fetch from.
        peers: Vec<SocketAddr>,
    },
    /// zebra-network: receives blocks through its pool of peers, and lets go of them.
    TheirsFetch {
        /// The file of the blocks' hashes.
        hashes: PathBuf,
        /// How many blocks one request asks for.
        batch: usize,
        /// Whom to fetch from.
        peers: Vec<SocketAddr>,
    },
    /// Bare sockets and files: receives the same bytes, asked for in sixteens, hashes them twice and writes them.
    BareFetch {
        /// The file of the blocks' hashes.
        hashes: PathBuf,
        /// The directory to write them to.
        dir: PathBuf,
        /// Whom to fetch from.
        peers: Vec<SocketAddr>,
    },
    /// Savanna: pings through a client.
    OursPing(Pings),
    /// Savanna: pings through a peer set.
    OursSetPing(Pings),
    /// zebra-network: pings through a client.
    TheirsPing(Pings),
    /// An async TCP stream: 32 bytes there and back.
    Echo(Pings),
    /// Savanna: holds connections that are idle.
    OursIdle(Idle),
    /// zebra-network: holds connections that are idle.
    TheirsIdle(Idle),
    /// Savanna: fills an address book, and says how many bytes it holds for each address.
    OursBook,
    /// Savanna: surveys a network from one address.
    OursCensus {
        /// Whom to begin with.
        first: SocketAddr,
    },
    /// Stands as a network to be surveyed until it is ended; prints the address of the first peer.
    SurveyFarm(survey::Network),
    /// Stands as the farm until it is ended, so that a contestant can be looked at by hand; prints the peers' addresses.
    Farm {
        /// How many blocks it has.
        blocks: usize,
        /// How many bytes a block has at most.
        size: usize,
        /// How many milliseconds each answer is held back.
        delay: u64,
        /// Where the blocks' hashes are written.
        hashes: PathBuf,
    },
}

/// Round trips to be measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Pings {
    /// On a runtime of one thread, or of as many as there are cores to use.
    runtime: Flavor,
    peer: SocketAddr,
    rounds: usize,
}

/// A kind of async runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Flavor {
    /// Everything on one thread: no round trip pays for waking another.
    Single,
    /// As programs commonly run.
    Multi,
}

/// Connections to be held.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Idle {
    peer: SocketAddr,
    connections: usize,
}

/// What a fetch took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Fetched {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) blocks: u64,
    /// The most bytes of memory held at any time.
    pub(crate) most_resident: u64,
}

impl Fetched {
    fn new(spent: Spent, blocks: usize) -> Self {
        Self {
            wall: spent.wall.as_secs_f64(),
            cpu: spent.cpu.as_secs_f64(),
            blocks: blocks as u64,
            most_resident: most_resident(),
        }
    }
}

/// What a census found, and what it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Surveyed {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
    pub(crate) known: usize,
    pub(crate) reached: usize,
    /// The most bytes of memory held at any time.
    pub(crate) most_resident: u64,
}

impl Contest {
    /// Does it, in this process, and prints what was found.
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::OursSync { dir, tip, peers } => print(async_main(ours::sync(&dir, tip, &peers))?),
            Self::OursServe { dir } => async_main_for_good(async move {
                let node = ours::serve(&dir).await?;
                print(node.listening().first().context("it listens")?.to_string())?;
                // It serves as long as it is held.
                std::mem::forget(node);
                Ok(())
            }),
            Self::OursNode { dir, tip, guests, peers } => {
                let work = async {
                    let node = ours::node(&dir, &peers).await?;
                    print(node.listening().first().context("it listens")?.to_string())?;
                    node.sync(tip, peers.len(), guests).await
                };
                print(async_main(work)?)
            }
            Self::TheirsFetch { hashes, batch, peers } => {
                print(async_main(theirs::fetch(&read_hashes(&hashes)?, batch, &peers))?)
            }
            Self::BareFetch { hashes, dir, peers } => print(bare::fetch(&read_hashes(&hashes)?, &dir, &peers)?),
            Self::OursPing(pings) => print(pings.runtime.run(async move { ours::ping(&pings).await })?),
            Self::OursSetPing(pings) => print(pings.runtime.run(async move { ours::set_ping(&pings).await })?),
            Self::TheirsPing(pings) => print(pings.runtime.run(async move { theirs::ping(&pings).await })?),
            Self::Echo(pings) => print(pings.runtime.run(async move { bare::echo(&pings).await })?),
            Self::OursIdle(idle) => print(async_main(ours::idle(&idle))?),
            Self::TheirsIdle(idle) => print(async_main(theirs::idle(&idle))?),
            Self::OursBook => print(book::weigh()),
            Self::OursCensus { first } => print(async_main(ours::census(first))?),
            Self::SurveyFarm(network) => async_main_for_good(async move {
                let addresses = survey::start(network).await?;
                print(addresses.first().context("a network has peers")?.to_string())
            }),
            Self::Farm { blocks, size, delay, hashes } => {
                let chain = Arc::new(Chain::assemble(blocks, size)?);
                write_hashes(&hashes, &chain.hashes[1..])?;
                let farm = Farm::start(&chain, PEERS, Duration::from_millis(delay))?;
                print(&farm.addresses)?;
                loop {
                    std::thread::park();
                }
            }
        }
    }
}

/// Starts this binary as a contestant and returns what it prints.
pub(crate) fn enter<T: DeserializeOwned>(name: &str, arguments: &[String]) -> Result<T> {
    let binary = std::env::current_exe()?;
    let child =
        Command::new(binary).arg(name).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(child.status.success(), "the contestant {name} failed: {}", child.status);
    serde_json::from_slice(&child.stdout).with_context(|| format!("the contestant {name} said nothing to be read"))
}

/// Writes hashes for contestants to read.
pub(crate) fn write_hashes(file: &Path, hashes: &[BlockHash]) -> Result<()> {
    Ok(fs::write(file, hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())?)
}

fn read_hashes(file: &Path) -> Result<Vec<BlockHash>> {
    let bytes = fs::read(file)?;
    Ok(bytes.as_chunks::<32>().0.iter().map(|hash| BlockHash(*hash)).collect())
}

fn print(found: impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

fn async_main<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let found = runtime.block_on(async { tokio::time::timeout(CONTEST, work).await })?;
    runtime.shutdown_background();
    found
}

/// Runs what is spawned by `work` until the process is ended.
fn async_main_for_good(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        work.await?;
        std::future::pending().await
    })
}

impl Flavor {
    /// Runs `work` as a task of its own, so that it wakes like any other.
    fn run<T: Send + 'static>(self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        match self {
            Self::Single => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async { tokio::time::timeout(CONTEST, tokio::spawn(work)).await })??
            }
            Self::Multi => async_main(async { tokio::spawn(work).await? }),
        }
    }
}

/// Returns the bytes of memory that this process holds.
fn resident() -> u64 {
    memory("VmRSS:")
}

/// Returns the most bytes of memory that this process has held.
fn most_resident() -> u64 {
    memory("VmHWM:")
}

fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// Returns the median of round trips, in microseconds.
fn median_micros(mut trips: Vec<Duration>) -> f64 {
    trips.sort_unstable();
    trips.get(trips.len() / 2).map_or(f64::NAN, |trip| trip.as_secs_f64() * 1e6)
}

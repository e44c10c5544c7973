//! `savanna archive info`: what is there, without reading the blocks.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use savanna_chain::{Target, Work};
use savanna_store::{BlockStore, Options, Reorganisation};
use serde::Serialize;

use super::{UNVERIFIED, date, open, print, size};
use crate::cli::ReportArgs;

/// How many of the reorganisations are told of.
const REORGANISATIONS: usize = 5;

/// An archive, in the order of its keys.
#[derive(Debug, Serialize)]
struct Info {
    network: &'static str,
    tip_height: Option<u32>,
    tip_hash: Option<String>,
    tip_time: Option<u32>,
    blocks: u32,
    block_bytes: u64,
    disk_bytes: u64,
    durable_height: Option<u32>,
    last_growth: Option<u64>,
    work: String,
    /// How many blocks the index of transactions covers; nothing where there is none.
    transactions_indexed: Option<u32>,
    reorganisations: Vec<Fork>,
    not_verified: &'static str,
}

#[derive(Debug, Serialize)]
struct Fork {
    time: u64,
    fork_height: Option<u32>,
    old_tip_height: u32,
    old_tip_hash: String,
    new_tip_height: Option<u32>,
    new_tip_hash: Option<String>,
    blocks_left: u32,
}

impl From<Reorganisation> for Fork {
    fn from(from: Reorganisation) -> Self {
        let Reorganisation { time, fork, old_tip, new_tip, left } = from;
        Self {
            time,
            fork_height: fork,
            old_tip_height: old_tip.height,
            old_tip_hash: old_tip.hash.to_string(),
            new_tip_height: new_tip.map(|tip| tip.height),
            new_tip_hash: new_tip.map(|tip| tip.hash.to_string()),
            blocks_left: left,
        }
    }
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let store = open(&args.dir, Options::default())?;
    let info = look_at(&store)?;
    if args.json { print(&serde_json::to_string(&info)?) } else { print(to_text(&info).trim_end()) }
}

fn look_at(store: &BlockStore) -> anyhow::Result<Info> {
    let tip = store.tip();
    let (mut work, mut block_bytes, mut tip_time) = (Work::ZERO, 0, None);
    for entry in store.index_from(0) {
        let entry = entry?;
        let own = Target::from_compact(entry.bits).with_context(|| format!("the block at height {}", entry.height))?;
        work = work.plus(own.work());
        block_bytes += u64::from(entry.length);
        tip_time = Some(entry.time);
    }
    let disk_bytes = disk_bytes(store.dir()).with_context(|| format!("{} cannot be read", store.dir().display()))?;
    Ok(Info {
        network: store.network().name(),
        tip_height: tip.map(|tip| tip.height),
        tip_hash: tip.map(|tip| tip.hash.to_string()),
        tip_time,
        blocks: tip.map_or(0, |tip| tip.height.saturating_add(1)),
        block_bytes,
        disk_bytes,
        durable_height: store.durable(),
        last_growth: store.last_growth(),
        work: work.to_string(),
        transactions_indexed: store.indexed().map(|indexed| indexed.blocks),
        reorganisations: store.reorganisations(REORGANISATIONS)?.into_iter().map(Fork::from).collect(),
        not_verified: UNVERIFIED,
    })
}

/// Adds up what the files under `dir` take, holes left out.
fn disk_bytes(dir: &Path) -> std::io::Result<u64> {
    const SECTOR: u64 = 512;
    std::fs::read_dir(dir)?.try_fold(0, |sum, entry| {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let own = if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * SECTOR };
        Ok(sum + own)
    })
}

fn to_text(info: &Info) -> String {
    let mut text = String::new();
    let mut line = |name: &str, what: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<16} {what}");
    };
    line("network", info.network);
    match (info.tip_height, &info.tip_hash, info.tip_time) {
        (Some(height), Some(hash), Some(time)) => {
            line("tip", &format!("height {height}: {hash}"));
            line("tip's time", &date(u64::from(time)));
        }
        _ => line("tip", "none: the archive is empty"),
    }
    line("blocks", &format!("{} ({}), {} on disk", info.blocks, size(info.block_bytes), size(info.disk_bytes)));
    line(
        "durable",
        &info.durable_height.map_or_else(|| "nothing".to_owned(), |height| format!("up to height {height}")),
    );
    if let Some(grown) = info.last_growth {
        line("last grown", &date(grown));
    }
    line("work", &format!("{} hashes", info.work));
    line(
        "transactions",
        &match info.transactions_indexed {
            None => "not indexed".to_owned(),
            Some(blocks) if blocks >= info.blocks => "indexed".to_owned(),
            Some(blocks) => format!("indexed in {blocks} of {} blocks", info.blocks),
        },
    );
    if info.reorganisations.is_empty() {
        line("reorganisations", "none");
    }
    for (index, fork) in info.reorganisations.iter().enumerate() {
        line(if index == 0 { "reorganisations" } else { "" }, &to_sentence(fork));
    }
    line(
        "verified",
        "before they were stored: links, work where the network demands it, merkle roots, rules of the body",
    );
    line("", "`savanna archive verify` does it again");
    line("not verified", UNVERIFIED);
    text
}

fn to_sentence(fork: &Fork) -> String {
    let blocks = if fork.blocks_left == 1 { "1 block".to_owned() } else { format!("{} blocks", fork.blocks_left) };
    let above = fork.fork_height.map_or_else(String::new, |height| format!(" above height {height}"));
    format!("{}: {blocks}{above} left, up to {}", date(fork.time), fork.old_tip_hash)
}

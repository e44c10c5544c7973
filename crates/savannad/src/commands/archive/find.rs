//! `savanna archive get`: one block, or one transaction.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, anyhow, bail};
use savanna_chain::transactions;
use savanna_store::{BlockStore, Options, TransactionPlace};
use savanna_wire::{Block, BlockHash, TxId};
use serde::Serialize;

use super::{open, print, tip_of, unless_gone};
use crate::cli::{GetArgs, Name};

/// What was asked for.
enum Found {
    Block { height: u32, block: Block },
    Transaction { id: TxId, place: TransactionPlace, block: Block, bytes: Vec<u8> },
}

/// A block, in the order of its keys.
#[derive(Serialize)]
struct BlockSummary {
    height: u32,
    hash: String,
    previous: String,
    merkle_root: String,
    time: u32,
    bits: String,
    size: usize,
    transactions: Vec<String>,
}

/// A transaction, in the order of its keys.
#[derive(Serialize)]
struct TransactionSummary {
    id: String,
    height: u32,
    block: String,
    index: u32,
    size: usize,
}

/// Prints it as bytes, as digits, or as what it is.
pub(super) fn run(args: &GetArgs) -> anyhow::Result<()> {
    let is_raw = !args.hex && !args.json;
    if is_raw && io::stdout().is_terminal() {
        bail!("a block is binary, and standard output is a terminal: ask for --hex or --json, or pipe it somewhere");
    }
    let store = open(&args.dir, Options::default())?;
    let found = match args.name {
        Name::Height(height) => at_height(&store, height)?,
        Name::Hash(hash) => by_hash(&store, hash)?,
    };
    if args.json {
        return print(&found.to_json()?);
    }
    if args.hex {
        return print(&hex(found.bytes()));
    }
    let mut stdout = io::stdout().lock();
    unless_gone(stdout.write_all(found.bytes()).and_then(|()| stdout.flush()))
}

impl Found {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Block { block, .. } => block.bytes(),
            Self::Transaction { bytes, .. } => bytes,
        }
    }

    fn to_json(&self) -> anyhow::Result<String> {
        let text = match self {
            Self::Block { height, block } => serde_json::to_string(&summary_of(*height, block)?),
            Self::Transaction { id, place, block, bytes } => {
                let (id, block, size) = (id.to_string(), block.hash().to_string(), bytes.len());
                let TransactionPlace { height, index } = *place;
                serde_json::to_string(&TransactionSummary { id, height, block, index, size })
            }
        };
        Ok(text?)
    }
}

fn summary_of(height: u32, block: &Block) -> anyhow::Result<BlockSummary> {
    let header = block.header();
    let ids: Result<Vec<String>, _> =
        transactions(block)?.map(|view| view.map(|view| view.txid().to_string())).collect();
    Ok(BlockSummary {
        height,
        hash: block.hash().to_string(),
        previous: header.previous.to_string(),
        merkle_root: header.merkle_root.to_string(),
        time: header.time,
        bits: format!("{:08x}", header.bits),
        size: block.bytes().len(),
        transactions: ids?,
    })
}

fn at_height(store: &BlockStore, height: u32) -> anyhow::Result<Found> {
    let tip = tip_of(store)?.height;
    let beyond = || format!("height {height} is not there: the archive ends at height {tip}");
    let block = store.block(height)?.with_context(beyond)?;
    Ok(Found::Block { height, block })
}

/// Takes a hash for a block's first, and then for a transaction's id.
fn by_hash(store: &BlockStore, hash: BlockHash) -> anyhow::Result<Found> {
    if let Some(height) = store.height(hash)? {
        return at_height(store, height);
    }
    let Some(indexed) = store.indexed() else {
        return Err(anyhow!(
            "no block {hash} is there; if it is a transaction, `savanna archive index` has to be run before it can be found"
        ));
    };
    let id = TxId(hash.0);
    let Some(place) = store.transaction(id)? else {
        let how_far = if indexed.is_whole() { "" } else { ", as far as they are indexed" };
        return Err(anyhow!("no block and no transaction {hash} is there{how_far}"));
    };
    let block = store.block(place.height)?.context("its block is missing")?;
    let index = usize::try_from(place.index).unwrap_or(usize::MAX);
    let bytes = transactions(&block)?.nth(index).context("its block does not hold it")??.bytes().to_vec();
    Ok(Found::Transaction { id, place, block, bytes })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

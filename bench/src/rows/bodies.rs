//! One core: from the bytes of a block to its header, the ids of its transactions and a checked merkle root.

use std::hint::black_box;
use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use blake2b_simd::Params;
use bytes::Bytes;
use savanna_chain::check_body;
use savanna_wire::{Block, Checksum, Network, sha256d};
use zebra_chain::block::merkle;
use zebra_chain::serialization::{ZcashDeserialize, ZcashSerialize};
use zebra_chain::transaction::Transaction;
use zebra_test::vectors::{MAINNET_BLOCKS, TESTNET_BLOCKS};

use crate::Options;
use crate::measure::{Samples, thread_cpu};
use crate::table::{Better, Goal, Row};

struct Vector {
    network: Network,
    height: u32,
    bytes: Bytes,
}

/// What has to be hashed of a block at the least, in one pass each.
struct Hashing {
    header: Vec<u8>,
    /// Transactions whose id is SHA-256d of all of their bytes.
    legacy: Vec<Vec<u8>>,
    /// As many bytes as the BLAKE2b tree of a later transaction's id covers.
    modern: Vec<Vec<u8>>,
    /// Inner nodes of the merkle tree.
    inner: usize,
}

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let vectors = vectors();
    let hashing = vectors.iter().map(|vector| Hashing::of(&vector.bytes)).collect::<Result<Vec<_>>>()?;
    let megabytes = vectors.iter().map(|vector| vector.bytes.len()).sum::<usize>() as f64 / 1e6;
    let passes = if options.quick { 2 } else { 20 };
    let (mut ours, mut theirs, mut limit) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..options.samples() {
        ours.push(rate(megabytes, passes, || vectors.iter().try_for_each(ours_once))?);
        // Theirs is slow: fewer passes give as good a number.
        theirs.push(rate(megabytes, passes.div_ceil(8), || vectors.iter().try_for_each(theirs_once))?);
        limit.push(rate(megabytes, passes, || {
            hashing.iter().for_each(Hashing::hash);
            Ok(())
        })?);
    }
    let name = format!("{} blocks of zebra-test to header, ids and checked root, one core", vectors.len());
    let note = format!(
        "{megabytes:.1} MB. Ours also checks the rules of a body that need no cryptography; theirs is `Block` deserialized, \
         its hash, transaction hashes and root; the limit hashes the same bytes in one pass each, SHA-256d or BLAKE2b."
    );
    Ok(vec![Row {
        name,
        unit: "MB/s",
        better: Better::Higher,
        ours,
        theirs: Some(theirs),
        limit: Some(limit),
        goals: vec![Goal::TimesTheirs(8.0), Goal::PartOfLimit(0.5)],
        note,
    }])
}

fn vectors() -> Vec<Vector> {
    let network = |network, blocks: &std::collections::BTreeMap<u32, &'static [u8]>| {
        let one = |(height, bytes): (&u32, &&'static [u8])| Vector {
            network,
            height: *height,
            bytes: Bytes::from_static(bytes),
        };
        blocks.iter().map(one).collect::<Vec<_>>()
    };
    let mut all = network(Network::Mainnet, &MAINNET_BLOCKS);
    all.extend(network(Network::Testnet, &TESTNET_BLOCKS));
    all
}

/// Returns the megabytes that go through `work` in a second of this thread's CPU time.
fn rate(megabytes: f64, passes: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let before = thread_cpu();
    for _ in 0..passes {
        work()?;
    }
    Ok(megabytes * passes as f64 / (thread_cpu() - before).as_secs_f64())
}

fn ours_once(vector: &Vector) -> Result<()> {
    // A frame's checksum belongs to the wire, and is not part of this.
    let block = Block::with_checksum(vector.bytes.clone(), Checksum([0; 4]))?;
    let summary = check_body(vector.network, vector.height, &block);
    black_box(summary.with_context(|| format!("{} block {}", vector.network, vector.height))?);
    Ok(())
}

fn theirs_once(vector: &Vector) -> Result<()> {
    let block = zebra_chain::block::Block::zcash_deserialize(Cursor::new(&vector.bytes))?;
    let root: merkle::Root = block.transactions.iter().map(|transaction| transaction.hash()).collect();
    ensure!(root == block.header.merkle_root, "zebra-chain finds another root");
    black_box(block.hash());
    Ok(())
}

impl Hashing {
    fn of(bytes: &[u8]) -> Result<Self> {
        let block = zebra_chain::block::Block::zcash_deserialize(Cursor::new(bytes))?;
        let mut this = Self {
            header: block.header.zcash_serialize_to_vec()?,
            legacy: Vec::new(),
            modern: Vec::new(),
            inner: inner_nodes(block.transactions.len()),
        };
        for transaction in &block.transactions {
            let bytes = transaction.zcash_serialize_to_vec()?;
            if transaction.version() < 5 {
                this.legacy.push(bytes);
            } else {
                let covered = covered_by_id(transaction)?.min(bytes.len());
                this.modern.push(bytes[..covered].to_vec());
            }
        }
        Ok(this)
    }

    fn hash(&self) {
        black_box(sha256d(&self.header));
        self.legacy.iter().for_each(|bytes| {
            black_box(sha256d(bytes));
        });
        for bytes in &self.modern {
            black_box(Params::new().hash_length(32).hash(bytes));
        }
        for _ in 0..self.inner {
            black_box(sha256d(black_box(&[0; 64])));
        }
    }
}

fn inner_nodes(leaves: usize) -> usize {
    let mut level = leaves;
    let mut nodes = 0;
    while level > 1 {
        level = level.div_ceil(2);
        nodes += level;
    }
    nodes
}

/// Returns how many bytes of a v5 transaction its id covers (ZIP-244).
fn covered_by_id(transaction: &Transaction) -> Result<usize> {
    let mut outputs = 0;
    for output in transaction.outputs().iter() {
        outputs += output.zcash_serialize_to_vec()?.len();
    }
    let spends = transaction.sapling_nullifiers().count();
    let sapling = transaction.sapling_outputs().count();
    let actions = transaction.orchard_actions().count();
    Ok(20 + 40 * transaction.inputs().len() + outputs + 128 * spends + 756 * sapling + 820 * actions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_its_inner_nodes() {
        assert_eq!([0, 1, 2, 3, 4, 5].map(inner_nodes), [0, 0, 1, 3, 3, 6]);
    }
}

//! Regtest chains: the real genesis block, and blocks of one hand-made coinbase each, which pass every check of a body.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what is made from small numbers is legal")]

use bytes::Bytes;
use savanna_chain::merkle_root;
use savanna_wire::{Block, BlockHash, BlockHeader, MerkleRoot, Solution, TxId, sha256d};

const GENESIS_SOLUTION: [u8; 36] = [
    0x01, 0x93, 0x6b, 0x7d, 0xb1, 0xeb, 0x4a, 0xc3, 0x9f, 0x15, 0x1b, 0x87, 0x04, 0x64, 0x2d, 0x0a, 0x8b, 0xda, 0x13,
    0xec, 0x54, 0x7d, 0x54, 0xcd, 0x5e, 0x43, 0xba, 0x14, 0x2f, 0xc6, 0xd8, 0x87, 0x7c, 0xab, 0x07, 0xb3,
];

/// The text that all of Zcash's genesis coinbases carry, with what its script begins with.
const GENESIS_SCRIPT: &[u8] =
    b"\x04\xff\xff\x07\x1f\x01\x04\x45Zcash0b9c4eef8b7cc417ee5001e3500984b6fea35683a7cac141a043c42064835d34";

const GENESIS_KEY: &str = "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51e\
                           c112de5c384df7ba0b8d578a4c702b6bf11d5f";

/// Makes a transaction of v1 with a coinbase input of `script` and one output to `lock`.
fn coinbase(script: &[u8], lock: &[u8]) -> Vec<u8> {
    let mut tx = vec![1, 0, 0, 0, 1];
    tx.extend([0; 32]);
    tx.extend([0xff; 4]);
    tx.push(u8::try_from(script.len()).unwrap());
    tx.extend(script);
    tx.extend([0xff; 4]);
    tx.push(1);
    tx.extend([0; 8]);
    savanna_wire::write_compact_size(&mut tx, lock.len() as u64);
    tx.extend(lock);
    tx.extend([0; 4]);
    tx
}

/// Encodes a height as coinbase scripts begin with it.
fn height_push(height: u32) -> Vec<u8> {
    if height <= 16 {
        return vec![0x50 + u8::try_from(height).unwrap()];
    }
    let mut number: Vec<u8> = height.to_le_bytes().into();
    while number.last() == Some(&0) {
        number.pop();
    }
    if number.last().is_some_and(|last| last & 0x80 != 0) {
        number.push(0);
    }
    number.insert(0, u8::try_from(number.len()).unwrap());
    number
}

fn block(mut header: BlockHeader, transaction: &[u8]) -> Block {
    header.merkle_root = merkle_root(&[TxId(sha256d(transaction))]);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.push(1);
    bytes.extend(transaction);
    Block::new(Bytes::from(bytes)).unwrap()
}

fn genesis_header() -> BlockHeader {
    let mut nonce = [0; 32];
    nonce[0] = 9;
    BlockHeader {
        version: 4,
        previous: BlockHash::ZERO,
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: 1_296_688_602,
        bits: 0x200f_0f0f,
        nonce,
        solution: Solution::new(GENESIS_SOLUTION).unwrap(),
    }
}

/// Makes the regtest genesis block.
#[must_use]
pub fn genesis() -> Block {
    let key = (0..GENESIS_KEY.len()).step_by(2).map(|at| u8::from_str_radix(&GENESIS_KEY[at..at + 2], 16).unwrap());
    let lock: Vec<u8> = std::iter::once(0x41).chain(key).chain([0xac]).collect();
    block(genesis_header(), &coinbase(GENESIS_SCRIPT, &lock))
}

/// Makes `count` blocks that follow `parent` at `height`, told from other branches by `salt`, with `padding` bytes each.
#[must_use]
pub fn extend(parent: &Block, height: u32, count: u32, padding: usize, salt: u8) -> Vec<Block> {
    let mut chain: Vec<Block> = Vec::new();
    for height in height + 1..=height + count {
        let parent = chain.last().unwrap_or(parent);
        let time = parent.header().time + 75;
        let header = BlockHeader { previous: parent.hash(), time, nonce: [salt; 32], ..genesis_header() };
        let script = [height_push(height), vec![salt; 4]].concat();
        chain.push(block(header, &coinbase(&script, &vec![0x6a; padding])));
    }
    chain
}

/// Makes a chain of the genesis block and `count` more, of `padding` bytes each.
#[must_use]
pub fn chain(count: u32, padding: usize) -> Vec<Block> {
    let genesis = genesis();
    let rest = extend(&genesis, 0, count, padding, 0);
    std::iter::once(genesis).chain(rest).collect()
}

/// Makes the block that follows `parent` at `height`, with a header that `change` has had its way with.
#[must_use]
pub fn with_header(parent: &Block, height: u32, change: impl FnOnce(&mut BlockHeader)) -> Block {
    let next = extend(parent, height, 1, 0, 0).remove(0);
    let mut header = next.header().clone();
    change(&mut header);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.extend(next.body());
    Block::new(Bytes::from(bytes)).unwrap()
}

/// Makes a block with the header of `block` and a body of its own.
#[must_use]
pub fn with_wrong_body(block: &Block) -> Block {
    let mut bytes = Vec::new();
    block.header().encode(&mut bytes);
    bytes.push(1);
    bytes.extend(coinbase(b"not what was committed to", &[]));
    Block::new(Bytes::from(bytes)).unwrap()
}

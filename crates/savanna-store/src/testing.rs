//! Chains for tests: real links from the regtest genesis block on, and bodies of noise.

use bytes::Bytes;
use savanna_wire::{Block, BlockHash, BlockHeader, MerkleRoot, Solution};

/// Makes the regtest genesis header; it hashes to the network's genesis hash.
fn genesis_header() -> BlockHeader {
    let solution = [
        0x01, 0x93, 0x6b, 0x7d, 0xb1, 0xeb, 0x4a, 0xc3, 0x9f, 0x15, 0x1b, 0x87, 0x04, 0x64, 0x2d, 0x0a, 0x8b, 0xda,
        0x13, 0xec, 0x54, 0x7d, 0x54, 0xcd, 0x5e, 0x43, 0xba, 0x14, 0x2f, 0xc6, 0xd8, 0x87, 0x7c, 0xab, 0x07, 0xb3,
    ];
    let mut nonce = [0; 32];
    nonce[0] = 9;
    let root: BlockHash = "c4eaa58879081de3c24a7b117ed2b28300e7ec4c4c1dff1d3f1268b7857a4ddb".parse().unwrap();
    BlockHeader {
        version: 4,
        previous: BlockHash::ZERO,
        merkle_root: MerkleRoot(root.0),
        commitment: [0; 32],
        time: 1_296_688_602,
        bits: 0x200f_0f0f,
        nonce,
        solution: Solution::new(solution).unwrap(),
    }
}

fn block(header: &BlockHeader, body: impl Iterator<Item = u8>) -> Block {
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.extend(body);
    Block::new(Bytes::from(bytes)).unwrap()
}

/// Makes the genesis block.
pub(crate) fn genesis() -> Block {
    block(&genesis_header(), std::iter::empty())
}

/// Makes `count` blocks that follow `parent`, told from those of other chains by `salt`.
pub(crate) fn extend(parent: &Block, count: usize, body_len: usize, salt: u8) -> Vec<Block> {
    let mut chain = Vec::with_capacity(count);
    let mut header = BlockHeader { previous: parent.hash(), ..genesis_header() };
    for number in 0..count {
        header.nonce = [salt; 32];
        let noise = (0..body_len).map(|at| (at.wrapping_mul(31) ^ number).to_le_bytes()[0] ^ salt);
        let next = block(&header, noise);
        header.previous = next.hash();
        chain.push(next);
    }
    chain
}

/// Makes a chain of the genesis block and `count` more.
pub(crate) fn chain(count: usize, body_len: usize) -> Vec<Block> {
    let genesis = genesis();
    let rest = extend(&genesis, count, body_len, 0);
    std::iter::once(genesis).chain(rest).collect()
}

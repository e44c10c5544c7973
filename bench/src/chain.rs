//! A chain to be fetched: headers without proof as on regtest, and real transactions from the blocks of `zebra-test`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use bytes::Bytes;
use savanna_chain::{merkle_root, parse};
use savanna_wire::{Block, BlockHash, BlockHeader, Message, Network, Solution, TxId, encode, write_compact_size};
use zebra_chain::block::genesis::regtest_genesis_block;
use zebra_chain::serialization::ZcashSerialize;
use zebra_test::vectors::BLOCKS;

/// The network whose rules the chain follows.
pub(crate) const NETWORK: Network = Network::Regtest;

/// The target that every block of regtest has.
const BITS: u32 = 0x200f_0f0f;

/// Seconds between blocks.
const SPACING: u32 = 75;

/// The bytes before each payload.
const FRAME_HEADER: usize = 24;

/// How many transactions are tried for what is left of a block before it counts as full.
const TRIES: usize = 64;

/// Blocks from genesis on, as the frames that carry them.
pub(crate) struct Chain {
    pub(crate) hashes: Vec<BlockHash>,
    pub(crate) headers: Vec<BlockHeader>,
    /// Each with its frame header, ready to be written.
    pub(crate) frames: Vec<Bytes>,
    heights: BTreeMap<BlockHash, usize>,
    /// All payloads together.
    pub(crate) bytes: usize,
}

impl Chain {
    /// Makes a chain of the genesis block and `count` more, each of up to `size` bytes.
    pub(crate) fn assemble(count: usize, size: usize) -> Result<Self> {
        let genesis = regtest_genesis_block().zcash_serialize_to_vec()?;
        let mut chain =
            Self { hashes: Vec::new(), headers: Vec::new(), frames: Vec::new(), heights: BTreeMap::new(), bytes: 0 };
        chain.push(Block::new(genesis.into())?);
        let pool = Pool::of_vectors();
        for height in 1..=count {
            let parent = chain.headers.last().context("there is a genesis block")?;
            let (body, merkle_root) = pool.body(height, size);
            let header = BlockHeader {
                version: 4,
                previous: chain.hashes[height - 1],
                merkle_root,
                commitment: [0; 32],
                time: parent.time + SPACING,
                bits: BITS,
                nonce: [0; 32],
                solution: Solution::new([0; Solution::LEN]).context("the length is one of the two")?,
            };
            let mut bytes = Vec::with_capacity(header.encoded_len() + body.len());
            header.encode(&mut bytes);
            bytes.extend_from_slice(&body);
            chain.push(Block::new(bytes.into())?);
        }
        Ok(chain)
    }

    fn push(&mut self, block: Block) {
        self.heights.insert(block.hash(), self.hashes.len());
        self.hashes.push(block.hash());
        self.headers.push(block.header().clone());
        self.bytes += block.bytes().len();
        self.frames.push(encode(&Message::Block(block), NETWORK.magic()).concat().into());
    }

    /// Returns the frame of a block that has the header of the one at `height` and the body of a neighbour.
    pub(crate) fn lie(&self, height: usize) -> Result<Vec<u8>> {
        let neighbour = if height == self.tip() { height - 1 } else { height + 1 };
        let body = &self.frames[neighbour][FRAME_HEADER + self.headers[neighbour].encoded_len()..];
        let mut bytes = Vec::with_capacity(Solution::LEN + body.len());
        self.headers[height].encode(&mut bytes);
        bytes.extend_from_slice(body);
        Ok(encode(&Message::Block(Block::new(bytes.into())?), NETWORK.magic()).concat())
    }

    /// Returns the height of the last block.
    pub(crate) fn tip(&self) -> usize {
        self.hashes.len() - 1
    }

    pub(crate) fn height(&self, hash: &BlockHash) -> Option<usize> {
        self.heights.get(hash).copied()
    }
}

/// Real transactions to fill blocks with.
struct Pool {
    transactions: Vec<(TxId, &'static [u8])>,
}

impl Pool {
    fn of_vectors() -> Self {
        let mut seen = BTreeSet::new();
        let mut transactions = Vec::new();
        for bytes in BLOCKS.iter() {
            let Ok(block) = Block::new(Bytes::from_static(bytes)) else { continue };
            let mut rest = &bytes[block.header().encoded_len()..];
            // Behind the count, whose length its first byte tells.
            rest = &rest[match rest[0] {
                0xfd => 3,
                0xfe => 5,
                _ => 1,
            }..];
            while let Ok((view, length)) = parse(rest) {
                if !view.is_coinbase() && seen.insert(view.txid()) {
                    transactions.push((view.txid(), &rest[..length]));
                }
                rest = &rest[length..];
            }
        }
        Self { transactions }
    }

    /// Returns a count and transactions, and their merkle root. Bodies of different heights hold different parts of the pool.
    fn body(&self, height: usize, size: usize) -> (Vec<u8>, savanna_wire::MerkleRoot) {
        let room = size.saturating_sub(BlockHeader::FIXED_LEN + 3 + Solution::LEN + 3);
        let coinbase = coinbase(height);
        let mut ids = vec![savanna_chain::parse(&coinbase).map(|(view, _)| view.txid()).unwrap_or_default()];
        let mut filled = coinbase;
        // A stride that shares no factor with the pool's length visits all of it.
        let first = height * 7919 % self.transactions.len();
        let mut misses = 0;
        for at in 0..self.transactions.len() {
            let (id, bytes) = self.transactions[(first + at) % self.transactions.len()];
            if filled.len() + bytes.len() > room {
                misses += 1;
                if misses > TRIES {
                    break;
                }
                continue;
            }
            ids.push(id);
            filled.extend_from_slice(bytes);
        }
        let mut body = Vec::with_capacity(3 + filled.len());
        write_compact_size(&mut body, ids.len() as u64);
        body.extend_from_slice(&filled);
        (body, merkle_root(&ids))
    }
}

/// Writes a coinbase of v1 that says its height and pays nobody.
fn coinbase(height: usize) -> Vec<u8> {
    let mut script = match height {
        1..=16 => vec![0x50 + height as u8],
        _ => {
            let length = ((u32::BITS - (height as u32).leading_zeros()) / 8 + 1) as usize;
            let mut push = vec![length as u8];
            push.extend_from_slice(&(height as u64).to_le_bytes()[..length]);
            push
        }
    };
    // At least two bytes, and one that zcashd's miners put there too.
    script.push(0);
    let mut bytes = 1_u32.to_le_bytes().to_vec();
    bytes.push(1);
    bytes.extend_from_slice(&[0; 32]);
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.push(script.len() as u8);
    bytes.extend_from_slice(&script);
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.push(1);
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    // OP_TRUE: anyone may spend it.
    bytes.extend_from_slice(&[1, 0x51]);
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use savanna_chain::check_body;
    use zebra_chain::serialization::ZcashDeserialize;

    #[test]
    fn a_lie_has_the_right_header_and_another_body() {
        let chain = Chain::assemble(4, 5_000).unwrap();
        for height in [1, 4] {
            let block = Block::new(Bytes::from(chain.lie(height).unwrap()).slice(FRAME_HEADER..)).unwrap();
            assert_eq!(block.hash(), chain.hashes[height]);
            assert!(check_body(NETWORK, height as u32, &block).unwrap_err().is_mutation());
        }
    }

    #[test]
    fn both_contestants_read_the_chain() {
        let chain = Chain::assemble(40, 60_000).unwrap();
        for (height, frame) in chain.frames.iter().enumerate() {
            let bytes = frame.slice(24..);
            let block = Block::new(bytes.clone()).unwrap();
            check_body(NETWORK, height as u32, &block).unwrap();
            let theirs = zebra_chain::block::Block::zcash_deserialize(&bytes[..]).unwrap();
            assert_eq!(theirs.hash().0, block.hash().0);
            let root: zebra_chain::block::merkle::Root = theirs.transactions.iter().map(|tx| tx.hash()).collect();
            assert_eq!(root, theirs.header.merkle_root);
            assert_eq!(theirs.coinbase_height().unwrap().0 as usize, height);
            assert!(height == 0 || (50_000..=60_000).contains(&bytes.len()), "{} bytes", bytes.len());
        }
    }
}

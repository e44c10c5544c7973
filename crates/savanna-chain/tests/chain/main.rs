//! The verified part of the chain seen from outside: real blocks, an oracle, and bytes that lie.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod body;
mod cuts;
mod difficulty;
mod header_chain;
mod layout;
mod oracle;
mod plain;
mod regtest;
mod speed;
mod work;

use bytes::Bytes;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use savanna_wire::{Block, Network};

/// Our clock, in Unix seconds: 2026.
const NOW: u64 = 1_790_000_000;

/// Every real block at hand: network, height and bytes.
fn real_blocks() -> impl Iterator<Item = (Network, u32, Block)> {
    use zebra_test::vectors::{MAINNET_BLOCKS, TESTNET_BLOCKS};
    let of = |network| move |(&height, &bytes): (&u32, &&'static [u8])| (network, height, block(bytes));
    MAINNET_BLOCKS.iter().map(of(Network::Mainnet)).chain(TESTNET_BLOCKS.iter().map(of(Network::Testnet)))
}

fn block(bytes: &[u8]) -> Block {
    Block::new(Bytes::copy_from_slice(bytes)).unwrap()
}

/// Makes a block of `header` and other bytes after it.
fn with_body(header: &Block, body: &[u8]) -> Block {
    let mut bytes = Vec::new();
    header.header().encode(&mut bytes);
    bytes.extend_from_slice(body);
    block(&bytes)
}

/// The seed of a random test, from the environment or fixed; printed, so that a failure can be replayed.
fn seed() -> u64 {
    let seed = std::env::var("SAVANNA_SEED").map_or(0x5a_7a_aa, |text| text.parse().unwrap());
    println!("SAVANNA_SEED={seed}");
    seed
}

/// A runner of `cases` cases that depends on [`seed`] alone.
fn runner(cases: u32) -> TestRunner {
    salted_runner(cases, 0)
}

/// A runner that depends on [`seed`] and on `salt`.
fn salted_runner(cases: u32, salt: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_le_bytes());
    bytes[8..12].copy_from_slice(&salt.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// A small generator for samples, xorshift.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(seed() | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    fn upto(&mut self, most: u32) -> u32 {
        u32::try_from(self.below(most as usize + 1)).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

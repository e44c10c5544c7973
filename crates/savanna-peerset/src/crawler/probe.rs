//! Telling this network's chain from others that share its magic.

use savanna_chain::Upgrade;
use savanna_wire::{BlockHash, BlockHeader, Network, ProtocolVersion};

use super::{Chain, Introduction};

/// How far beyond a height a claim must be to count as evidence: nodes that were left behind stop near it.
const MARGIN: u32 = 1_000;

/// A block that only this network's chain has, and the question that brings its header alone.
///
/// # Security
/// Zclassic, Flux and others took Zcash's magic over, and some share its first blocks, so neither the magic nor the genesis
/// block tells them apart. The block asked for is from after NU5, which none of them has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    network: Network,
    block: Option<KnownBlock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KnownBlock {
    height: u32,
    parent: BlockHash,
    hash: BlockHash,
}

/// Mainnet's block 1,687,107, three after NU5.
const MAINNET: KnownBlock = KnownBlock {
    height: 1_687_107,
    parent: BlockHash([
        0x6b, 0x51, 0xdd, 0xb8, 0x52, 0x96, 0x93, 0xb9, 0x85, 0xfa, 0xe4, 0x32, 0xa3, 0x09, 0x10, 0x5d, 0xed, 0x97,
        0xe9, 0xd2, 0x7b, 0xf2, 0xf7, 0x0e, 0xc5, 0x40, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00,
    ]),
    hash: BlockHash([
        0x98, 0xb4, 0xe4, 0xac, 0xb3, 0xc2, 0x35, 0xcb, 0x2d, 0xe6, 0x84, 0x65, 0x71, 0x9a, 0xe8, 0x0c, 0x80, 0x3e,
        0x7f, 0x31, 0xb6, 0x94, 0xc4, 0x54, 0x6f, 0x5e, 0x5a, 0x00, 0x00, 0x00, 0x00, 0x00,
    ]),
};

/// Testnet's block 1,842,468, 48 after NU5.
const TESTNET: KnownBlock = KnownBlock {
    height: 1_842_468,
    parent: BlockHash([
        0x15, 0xf9, 0x51, 0x44, 0x9e, 0x37, 0x9d, 0x8d, 0xc6, 0xd0, 0xc0, 0x23, 0x3f, 0x32, 0x62, 0xa4, 0x3b, 0x46,
        0x8e, 0x8c, 0xc5, 0xe0, 0x5f, 0x23, 0x86, 0x28, 0x8e, 0x64, 0xaf, 0x73, 0x06, 0x00,
    ]),
    hash: BlockHash([
        0x5d, 0xa7, 0xd1, 0x37, 0x07, 0xbb, 0xfa, 0x5f, 0x7a, 0xc0, 0x18, 0x71, 0xc6, 0x08, 0xbc, 0xe5, 0x50, 0x88,
        0x4f, 0xab, 0x0b, 0x3a, 0xd1, 0x73, 0xd6, 0xcc, 0xc0, 0x10, 0xce, 0x13, 0x4c, 0x00,
    ]),
};

impl Probe {
    /// Makes the probe for a network. On regtest every chain is a chain of its own, so the genesis block has to do.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        let block = match network {
            Network::Mainnet => Some(MAINNET),
            Network::Testnet => Some(TESTNET),
            Network::Regtest => None,
        };
        Self { network, block }
    }

    /// Returns the locator to ask by, newest first.
    #[must_use]
    pub fn locator(&self) -> Vec<BlockHash> {
        self.block.map(|block| block.parent).into_iter().chain([self.network.genesis_hash()]).collect()
    }

    /// Returns the last header wanted.
    #[must_use]
    pub fn stop(&self) -> Option<BlockHash> {
        self.block.map(|block| block.hash)
    }

    /// Judges the answer to a question for headers.
    #[must_use]
    pub fn judge(&self, headers: &[BlockHeader]) -> Chain {
        let Some(first) = headers.first() else { return Chain::Unknown };
        let (hash, genesis) = (first.hash(), self.network.genesis_hash());
        match self.block {
            Some(block) if first.previous == block.parent => {
                if hash == block.hash {
                    Chain::Ours
                } else {
                    Chain::Other
                }
            }
            Some(_) if first.previous == genesis || hash == genesis => Chain::Behind,
            None if first.previous == genesis || hash == genesis => Chain::Ours,
            Some(_) | None => Chain::Other,
        }
    }

    /// Returns whether what a node says of itself can only be true on another chain.
    ///
    /// Without an answer to the probe there are two signs: a height far beyond an upgrade that the node's version cannot
    /// follow, and, from a node that has not come as far as the known block, a height far beyond that.
    #[must_use]
    pub fn is_elsewhere(&self, introduction: &Introduction) -> bool {
        match introduction.chain {
            Chain::Other => true,
            Chain::Ours => false,
            Chain::Behind => self.block.is_some_and(|block| is_far_beyond(introduction.height, block.height)),
            Chain::Unknown => self
                .left_behind_at(introduction.version)
                .is_some_and(|height| is_far_beyond(introduction.height, height)),
        }
    }

    /// Returns the first height at which a version no longer does.
    fn left_behind_at(&self, version: ProtocolVersion) -> Option<u32> {
        let lacks = |upgrade: &Upgrade| version < upgrade.protocol_version(self.network);
        Upgrade::ALL.into_iter().find(lacks)?.activation_height(self.network)
    }
}

fn is_far_beyond(claimed: i32, height: u32) -> bool {
    i64::from(claimed) > i64::from(height) + i64::from(MARGIN)
}

#[cfg(test)]
mod tests;

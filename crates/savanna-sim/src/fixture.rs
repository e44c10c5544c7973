//! Things that peers send one another, made up from small numbers.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use savanna_peer::{Config, SelfKey, Timeouts};
use savanna_wire::{
    AddrV2, Block, BlockHash, BlockHeader, MerkleRoot, Network, ProtocolVersion, Services, Solution, Transaction,
    TransactionId, TxId, UserAgent, Version, VersionAddr, sha256d,
};

/// The version that simulated nodes speak.
const VERSION: ProtocolVersion = ProtocolVersion(170_190);

/// Makes the configuration of a node on regtest that offers blocks; nodes of different numbers are strangers.
///
/// # Panics
/// Never: the user agent is short enough.
#[must_use]
pub fn config(node: u8) -> Config {
    Config {
        magic: Network::Regtest.magic(),
        version: VERSION,
        floor: VERSION,
        services: Services::NODE_NETWORK,
        required_services: Services::NODE_NETWORK,
        user_agent: UserAgent::new(format!("/Simulated:{node}/").into_bytes()).unwrap_or_default(),
        height: u32::from(node),
        relay: true,
        addrv2: false,
        receiver: VersionAddr::UNSPECIFIED,
        self_key: SelfKey::new([node; 32]),
        transaction_id,
        timeouts: Timeouts::OUTBOUND,
    }
}

/// Makes the `version` of a well-behaved peer with a nonce of its own.
#[must_use]
pub fn version(nonce: u64) -> Version {
    Version {
        version: VERSION,
        services: Services::NODE_NETWORK,
        time: 1_800_000_000,
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr::UNSPECIFIED,
        nonce,
        user_agent: UserAgent::new(*b"/Puppet:1.0/").unwrap_or_default(),
        height: 1,
        relay: true,
    }
}

/// Makes a header that differs from those of other numbers.
#[must_use]
#[allow(clippy::missing_panics_doc, reason = "36 bytes are a legal solution")]
pub fn header(number: u32) -> BlockHeader {
    BlockHeader {
        version: 4,
        previous: BlockHash::ZERO,
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: number,
        bits: 0x200f_0f0f,
        nonce: [0; 32],
        solution: Solution::new([0; Solution::REGTEST_LEN]).expect("36 bytes are a legal solution"),
    }
}

/// Makes a block with the header of a number and `length` zeroes behind it.
#[must_use]
#[allow(clippy::missing_panics_doc, reason = "the header is legal")]
pub fn block(number: u32, length: usize) -> Block {
    let mut bytes = Vec::new();
    header(number).encode(&mut bytes);
    bytes.resize(bytes.len() + length, 0);
    Block::new(bytes.into()).expect("the header is legal")
}

/// Makes bytes that stand for a transaction.
#[must_use]
#[allow(clippy::missing_panics_doc, reason = "four bytes are within the limit")]
pub fn transaction(number: u32) -> Transaction {
    Transaction::new(Bytes::copy_from_slice(&number.to_be_bytes())).expect("four bytes are within the limit")
}

/// Names the bytes of a simulated transaction.
#[must_use]
#[allow(clippy::unnecessary_wraps, reason = "a configuration takes this shape")]
pub fn transaction_id(bytes: &[u8]) -> Option<TransactionId> {
    Some(TransactionId::Legacy(TxId(sha256d(bytes))))
}

/// Makes the address of a peer.
#[must_use]
pub fn address(number: u32) -> AddrV2 {
    let ip = Ipv4Addr::from(0x0101_0101_u32.wrapping_add(number));
    AddrV2 { time: 1, services: Services::NODE_NETWORK, address: SocketAddr::from((ip, 8233)).into() }
}

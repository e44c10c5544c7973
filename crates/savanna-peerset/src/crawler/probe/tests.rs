use savanna_wire::{Block, MerkleRoot, Services, Solution, UserAgent};

use super::*;

fn header(previous: BlockHash) -> BlockHeader {
    BlockHeader {
        version: 4,
        previous,
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: 0,
        bits: 0x1f07_ffff,
        nonce: [0; 32],
        solution: Solution::new(vec![0; 1344]).unwrap(),
    }
}

fn claims(version: i32, height: i32, chain: Chain) -> Introduction {
    Introduction {
        version: ProtocolVersion(version),
        services: Services::NODE_NETWORK,
        user_agent: UserAgent::default(),
        height,
        connect: None,
        round_trip: None,
        told: None,
        chain,
    }
}

/// The headers themselves, as the chains have them.
const MAINNET_HEADER: &[u8] = include_bytes!("mainnet_1687107.header");
const TESTNET_HEADER: &[u8] = include_bytes!("testnet_1842468.header");

#[test]
fn the_known_blocks_are_the_real_ones() {
    for (network, known, bytes) in
        [(Network::Mainnet, MAINNET, MAINNET_HEADER), (Network::Testnet, TESTNET, TESTNET_HEADER)]
    {
        let header = Block::new(bytes.into()).unwrap().header().clone();
        assert_eq!((header.previous, header.hash()), (known.parent, known.hash), "{network}");
        // Nobody made these up: there is work in them.
        savanna_chain::check_work(network, &header, header.hash()).unwrap();
        assert_eq!(Probe::new(network).judge(&[header]), Chain::Ours);
    }
}

#[test]
fn headers_tell_whose_chain_it_is() {
    let probe = Probe::new(Network::Mainnet);
    let genesis = Network::Mainnet.genesis_hash();
    assert_eq!(probe.locator(), [MAINNET.parent, genesis]);
    assert_eq!(probe.judge(&[]), Chain::Unknown);
    assert_eq!(probe.judge(&[header(genesis)]), Chain::Behind);
    assert_eq!(probe.judge(&[header(BlockHash([7; 32]))]), Chain::Other);
    // Its parent is right, and it is another block: a chain that left ours there.
    assert_eq!(probe.judge(&[header(MAINNET.parent)]), Chain::Other);
    let regtest = Probe::new(Network::Regtest);
    assert_eq!((regtest.locator().len(), regtest.stop()), (1, None));
    assert_eq!(regtest.judge(&[header(Network::Regtest.genesis_hash())]), Chain::Ours);
    assert_eq!(regtest.judge(&[header(genesis)]), Chain::Other);
}

#[test]
fn claims_tell_where_headers_do_not() {
    let probe = Probe::new(Network::Mainnet);
    // A node of before NU7 stops at its activation; one that goes on goes on elsewhere.
    assert!(!probe.is_elsewhere(&claims(170_160, 3_543_404, Chain::Unknown)));
    assert!(probe.is_elsewhere(&claims(170_160, 3_600_000, Chain::Unknown)));
    assert!(!probe.is_elsewhere(&claims(170_160, 3_600_000, Chain::Ours)));
    assert!(!probe.is_elsewhere(&claims(170_190, i32::MAX, Chain::Unknown)));
    assert!(!probe.is_elsewhere(&claims(170_190, 5_000, Chain::Behind)));
    assert!(probe.is_elsewhere(&claims(170_190, 2_000_000, Chain::Behind)));
    assert!(probe.is_elsewhere(&claims(170_190, 0, Chain::Other)));
    assert!(!probe.is_elsewhere(&claims(-1, i32::MIN, Chain::Unknown)));
}

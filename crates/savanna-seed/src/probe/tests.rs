use rand_chacha::rand_core::SeedableRng;

use savanna_chain::ProofOfWork;
use savanna_wire::{MerkleRoot, Reader, Solution};

use super::*;

/// Blocks 1,687,107 of mainnet and 1,842,468 of testnet, which bear real work.
const MAINNET: &[u8] = include_bytes!("../../../savanna-peerset/src/crawler/probe/mainnet_1687107.header");

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::from_seed([3; 32])
}

fn real() -> BlockHeader {
    BlockHeader::decode(&mut Reader::new(MAINNET, "header")).unwrap()
}

/// A header that links to another, and did what work can be done at the network's limit within a test.
fn mined(previous: BlockHash, bits: u32) -> BlockHeader {
    let target = Target::from_compact(bits).unwrap();
    let mut header = BlockHeader {
        version: 4,
        previous,
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: 0,
        bits,
        nonce: [0; 32],
        solution: Solution::new(vec![0; Solution::LEN]).unwrap(),
    };
    while !target.allows(header.hash()) {
        header.time += 1;
    }
    header
}

fn chain_behind(parent: BlockHash, length: usize, bits: u32) -> Vec<BlockHeader> {
    let mut headers: Vec<BlockHeader> = Vec::new();
    for _ in 0..length {
        let previous = headers.last().map_or(parent, BlockHeader::hash);
        headers.push(mined(previous, bits));
    }
    headers
}

fn asked(probe: &ChainProbe) -> (Question, Anchor) {
    let question = probe.question(Depth::Deep, &mut rng());
    (question, question.anchor.unwrap())
}

#[test]
fn the_deep_question_is_drawn_from_the_newest_known_blocks() {
    let probe = ChainProbe::of(Network::Mainnet);
    assert_eq!(probe.anchors.len(), ChainProbe::ANCHORS);
    assert!(probe.anchors.is_sorted_by(|a, b| a.height > b.height));
    assert!(probe.anchors[0].height >= 3_522_460);
    let mut rng = rng();
    let drawn = (0..400).map(|_| probe.question(Depth::Deep, &mut rng).anchor.unwrap().height);
    assert_eq!(drawn.collect::<std::collections::BTreeSet<_>>().len(), ChainProbe::ANCHORS);
    let (question, anchor) = asked(&probe);
    assert_eq!(question.locator(), [anchor.hash, Network::Mainnet.genesis_hash()]);
    assert_eq!((question.stop(), question.depth()), (None, Depth::Deep));
    let light = probe.question(Depth::Light, &mut rng);
    assert_eq!((light.depth(), light.stop().is_some()), (Depth::Light, true));
}

#[test]
fn the_difficulty_of_the_known_blocks_is_read_from_their_hashes() {
    // Mainnet's target was about 2^-41 of all hashes in 2026, testnet's about 2^-18.
    for (network, bits) in [(Network::Mainnet, 36..=44), (Network::Testnet, 14..=22)] {
        let target = ChainProbe::of(network).least_work.unwrap();
        let exponent = target.to_compact() >> 24;
        let zero_bits = 256 - 8 * (exponent - 3) - (32 - (target.to_compact() & 0x7f_ffff).leading_zeros());
        assert!(bits.contains(&zero_bits), "{network}: {target:?} has {zero_bits} leading zero bits");
    }
}

#[test]
fn real_headers_with_real_work_pass() {
    let header = real();
    let anchor = Anchor { height: 1_687_106, hash: header.previous };
    let probe = ChainProbe::new(Network::Mainnet, [anchor]);
    // One real header is at hand, so the parts are judged that one shows.
    let hashes = [header.hash()];
    let work = total_work(std::slice::from_ref(&header), &hashes).unwrap();
    assert!(probe.is_enough(work, 1));
    assert!(probe.is_proven(std::slice::from_ref(&header), &mut rng()));
    let (question, _) = asked(&probe);
    assert_eq!(probe.judge(&question, &[header], 3_500_000, &mut rng()), Chain::Other, "one is too few");
}

#[test]
fn work_that_a_desk_can_do_does_not_pass() {
    let probe = ChainProbe::of(Network::Mainnet);
    let (question, anchor) = asked(&probe);
    let cheap = chain_behind(anchor.hash, 20, ProofOfWork::limit_bits(Network::Mainnet));
    let hashes: Vec<_> = cheap.iter().map(BlockHeader::hash).collect();
    let work = total_work(&cheap, &hashes).unwrap();
    assert!(!probe.is_enough(work, cheap.len()));
    assert_eq!(probe.judge(&question, &cheap, 3_600_000, &mut rng()), Chain::Other);
    // Names of more work than was done are found out by the hash.
    let mut boasting = cheap;
    boasting[7].bits = 0x1c00_ffff;
    assert_eq!(probe.judge(&question, &boasting, 3_600_000, &mut rng()), Chain::Other);
    // Even where the work would be enough, nothing solves Equihash.
    let easy = ChainProbe { least_work: None, ..probe };
    let cheap = chain_behind(anchor.hash, 20, ProofOfWork::limit_bits(Network::Mainnet));
    assert_eq!(easy.judge(&question, &cheap, 3_600_000, &mut rng()), Chain::Other);
}

#[test]
fn answers_of_other_chains_and_of_those_on_their_way_are_told_apart() {
    let probe = ChainProbe::of(Network::Mainnet);
    let (question, anchor) = asked(&probe);
    let limit = ProofOfWork::limit_bits(Network::Mainnet);
    let genesis = Network::Mainnet.genesis_hash();
    let judge = |headers: &[BlockHeader]| probe.judge(&question, headers, 3_600_000, &mut rng());
    assert_eq!(judge(&[]), Chain::Unknown);
    assert_eq!(judge(&chain_behind(genesis, 3, limit)), Chain::Behind);
    assert_eq!(judge(&chain_behind(BlockHash([9; 32]), 20, limit)), Chain::Other);
    let mut broken = chain_behind(anchor.hash, 20, limit);
    broken.remove(10);
    assert_eq!(judge(&broken), Chain::Other);
    // What was prepared for another question does not link to this one's block.
    let another = probe.anchors.iter().find(|each| **each != anchor).unwrap();
    assert_eq!(judge(&chain_behind(another.hash, 20, limit)), Chain::Other);
}

#[test]
fn adversary_19_targets_that_are_none_do_not_panic() {
    let probe = ChainProbe::of(Network::Testnet);
    let (question, anchor) = asked(&probe);
    for bits in [0, u32::MAX, 0x0080_0000, 0xff00_0001, 0x0100_0000] {
        let mut header = mined(anchor.hash, ProofOfWork::limit_bits(Network::Testnet));
        header.bits = bits;
        assert_eq!(probe.judge(&question, &vec![header; 160], i32::MIN, &mut rng()), Chain::Other);
    }
}

#[test]
fn on_regtest_the_first_block_has_to_do() {
    let probe = ChainProbe::of(Network::Regtest);
    let question = probe.question(Depth::Deep, &mut rng());
    let genesis = Network::Regtest.genesis_hash();
    assert_eq!((question.depth(), question.locator()), (Depth::Light, vec![genesis]));
    let behind = chain_behind(genesis, 2, ProofOfWork::limit_bits(Network::Regtest));
    assert_eq!(probe.judge(&question, &behind, 2, &mut rng()), Chain::Ours);
    assert_eq!(probe.judge(&question, &[], 0, &mut rng()), Chain::Ours, "a chain of one block");
    assert_eq!(probe.judge(&question, &[], 7, &mut rng()), Chain::Unknown);
    let elsewhere = chain_behind(BlockHash([1; 32]), 2, ProofOfWork::limit_bits(Network::Regtest));
    assert_eq!(probe.judge(&question, &elsewhere, 2, &mut rng()), Chain::Other);
}

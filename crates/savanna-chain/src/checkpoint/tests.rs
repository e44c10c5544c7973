//! The published lists, and lists of one's own.

use super::*;

const PUBLIC: [Network; 2] = [Network::Mainnet, Network::Testnet];

/// The greatest distance between two published checkpoints, in blocks.
const MOST_APART: u32 = 400;

fn hash(text: &str) -> BlockHash {
    text.parse().unwrap()
}

#[test]
fn the_published_lists_are_whole() {
    let lasts = [
        (14_444, 3_522_460, "000000000045b3f5233ab807e6ca23c991b92fe6726cb268793452af3e22f4f9"),
        (11_313, 4_518_360, "00002e1b5ad147980b508a71b3901f9499cdd2be2f2f3c95c46c3446989f3a7a"),
    ];
    for (network, (count, height, last)) in PUBLIC.into_iter().zip(lasts) {
        let list = Checkpoints::of(network);
        assert_eq!((list.len(), list.last()), (count, (height, hash(last))), "{network}");
        assert_eq!(list.iter().next(), Some((0, network.genesis_hash())));
        let heights: Vec<u32> = list.iter().map(|(height, _)| height).collect();
        for pair in heights.windows(2) {
            assert!(pair[0] < pair[1] && pair[1] - pair[0] <= MOST_APART, "{network} {pair:?}");
        }
    }
    assert_eq!(MAINNET.len() + TESTNET.len(), (14_444 + 11_313) * RECORD_LEN, "no bytes are left over");
}

#[test]
fn lines_of_the_published_lists_stand_where_they_belong() {
    let main = Checkpoints::of(Network::Mainnet);
    let at_800 = hash("00000003d45d644c0bb4c12cdda2f1c697ec21840ab806fb119ea93350d7b21c");
    assert_eq!(main.at(800), Some(at_800));
    assert_eq!((main.at(799), main.at(801)), (None, None));
    assert_eq!(main.last_at_or_below(1_199), (800, at_800));
    assert_eq!(main.first_above(799), Some((800, at_800)));
    assert_eq!(main.first_above(3_522_459), Some(main.last()));
    assert_eq!(main.first_above(3_522_460), None);
    assert_eq!(main.last_at_or_below(u32::MAX), main.last());
    let at_400 = hash("000393fe014f5ff5de7c9f0aa669ee074c9a7743a6bdc1d1686149b4b36090d8");
    assert_eq!(Checkpoints::of(Network::Testnet).first_above(0), Some((400, at_400)));
}

#[test]
fn published_hashes_carry_the_zeroes_that_their_targets_force() {
    for network in PUBLIC {
        let limit = crate::ProofOfWork::of(network).limit();
        for (height, hash) in Checkpoints::of(network).iter() {
            assert!(limit.allows(hash), "{network} {height}");
        }
    }
}

#[test]
fn every_lookup_agrees_with_a_plain_search() {
    let list =
        [0, 1, 5, 400, 401, u32::MAX].map(|height| (height, BlockHash([u8::try_from(height % 251).unwrap(); 32])));
    let checkpoints = Checkpoints::new(list).unwrap();
    assert_eq!(checkpoints.iter().collect::<Vec<_>>(), list);
    for height in (0..500).chain([u32::MAX - 1, u32::MAX]) {
        let at = list.iter().find(|each| each.0 == height).map(|each| each.1);
        assert_eq!(checkpoints.at(height), at);
        assert_eq!(checkpoints.first_above(height), list.into_iter().find(|each| each.0 > height));
        assert_eq!(Some(checkpoints.last_at_or_below(height)), list.into_iter().rfind(|each| each.0 <= height));
    }
}

#[test]
fn lists_that_do_not_begin_at_the_first_block_or_ascend_are_refused() {
    let of = |heights: &[u32]| Checkpoints::new(heights.iter().map(|&height| (height, BlockHash::ZERO)));
    assert_eq!(of(&[]), Err(CheckpointsError::NoGenesis));
    assert_eq!(of(&[1, 2]), Err(CheckpointsError::NoGenesis));
    assert_eq!(of(&[0, 0]), Err(CheckpointsError::NotAscending { height: 0 }));
    assert_eq!(of(&[0, 7, 6]), Err(CheckpointsError::NotAscending { height: 6 }));
    assert_eq!(of(&[0]).unwrap().last(), (0, BlockHash::ZERO));
    let regtest = Checkpoints::of(Network::Regtest);
    assert_eq!((regtest.len(), regtest.last()), (1, (0, Network::Regtest.genesis_hash())));
    assert_eq!(regtest.first_above(0), None);
}

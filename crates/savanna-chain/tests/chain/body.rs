//! The rules of a block's body, and who is to blame when one is broken.

use savanna_chain::{
    BlockError, TransactionVersion, Upgrade, check_body, merkle_root, parse, transactions, upgrade_at,
};
use savanna_wire::{Block, BlockHeader, MAX_BLOCK_LEN, MerkleRoot, Network, TxId, write_compact_size};
use zebra_test::vectors::BAD_BLOCK_MAINNET_202_BYTES;

use crate::layout::{Maker, Plan};
use crate::{Random, block, real_blocks, regtest, with_body};

/// The bytes of each transaction of a block.
fn parts(block: &Block) -> Vec<Vec<u8>> {
    transactions(block).unwrap().map(|view| view.unwrap().bytes().to_vec()).collect()
}

fn body_of(transactions: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    write_compact_size(&mut body, transactions.len() as u64);
    body.extend(transactions.concat());
    body
}

/// Makes a block whose header commits to `transactions`.
fn committing(transactions: &[Vec<u8>]) -> Block {
    let (_, _, real) = real_blocks().next().unwrap();
    let ids: Vec<TxId> = transactions.iter().map(|bytes| parse(bytes).unwrap().0.txid()).collect();
    let header = BlockHeader { merkle_root: merkle_root(&ids), ..real.header().clone() };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.extend(body_of(transactions));
    block(&bytes)
}

/// A coinbase of `version` with this script and, where the version has one, this expiry height.
fn coinbase(version: u8, script: &[u8], expiry: u32) -> Vec<u8> {
    let mut bytes = match version {
        1 => vec![1, 0, 0, 0],
        4 => vec![4, 0, 0, 0x80, 0x85, 0x20, 0x2f, 0x89],
        5 => vec![5, 0, 0, 0x80, 0x0a, 0x27, 0xa7, 0x26],
        other => panic!("no coinbase of version {other}"),
    };
    if version == 5 {
        bytes.extend([0; 8]);
        bytes.extend(expiry.to_le_bytes());
    }
    bytes.push(1);
    bytes.extend([0; 32]);
    bytes.extend([0xff; 4]);
    write_compact_size(&mut bytes, script.len() as u64);
    bytes.extend(script);
    bytes.extend([0xff; 4]);
    bytes.push(0);
    match version {
        1 => bytes.extend([0; 4]),
        4 => {
            bytes.extend([0; 4]);
            bytes.extend(expiry.to_le_bytes());
            bytes.extend([0; 8 + 3]);
        }
        _ => bytes.extend([0; 3]),
    }
    bytes
}

fn payment(version: u32) -> Vec<u8> {
    Maker::new(Random::new()).make(Plan { version, inputs: 2, outputs: 1, ..Plan::default() })
}

fn refusal(network: Network, height: u32, block: &Block) -> BlockError {
    check_body(network, height, block).unwrap_err()
}

#[test]
fn every_real_body_is_taken() {
    for (network, height, block) in real_blocks() {
        let summary = check_body(network, height, &block).unwrap_or_else(|error| panic!("{network} {height}: {error}"));
        assert_eq!(summary.transactions, parts(&block).len());
        if height > 0 {
            assert!(check_body(network, height + 1, &block).is_err(), "{network} {height}: a height too far");
        }
    }
}

#[test]
fn a_real_block_with_a_bent_height_is_refused() {
    let bad = block(&BAD_BLOCK_MAINNET_202_BYTES);
    let error = refusal(Network::Mainnet, 202, &bad);
    assert!(matches!(error, BlockError::MerkleRoot { .. } | BlockError::CoinbaseHeight { .. }), "{error}");
}

#[test]
fn adversary_21_a_repeated_tail_with_the_same_root_is_a_mutation() {
    let mut tried = 0;
    for (network, height, real) in real_blocks() {
        let honest = parts(&real);
        // A level with an odd node somewhere lets that node's leaves be repeated (CVE-2012-2459).
        let mut width = 1;
        while width < honest.len() {
            let nodes = honest.len().div_ceil(width);
            if nodes % 2 == 1 && honest.len().is_multiple_of(width) {
                let mut longer = honest.clone();
                longer.extend_from_slice(&honest[honest.len() - width..]);
                let body = body_of(&longer);
                if real.header().encoded_len() + body.len() <= MAX_BLOCK_LEN {
                    let forged = with_body(&real, &body);
                    assert_eq!(forged.hash(), real.hash());
                    let error = refusal(network, height, &forged);
                    assert!(matches!(error, BlockError::Repeated(_)), "{network} {height}: {error}");
                    assert!(error.is_mutation());
                    tried += 1;
                }
            }
            width *= 2;
        }
    }
    println!("{tried} forgeries");
    assert!(tried > 10);
}

#[test]
fn adversary_21_a_foreign_body_never_marks_the_hash_bad() {
    for (network, height, real) in real_blocks() {
        let honest = parts(&real);
        let mut forgeries = vec![
            body_of(&[]),
            body_of(&honest[1..]),
            body_of(&honest[..honest.len() - 1]),
            body_of(&[&honest[..], &[payment(4)]].concat()),
            body_of(&[&[payment(5)], &honest[1..]].concat()),
            [real.body(), &[0]].concat(),
            real.body()[..real.body().len() - 1].to_vec(),
            Vec::new(),
        ];
        if honest.len() > 1 {
            let mut swapped = honest.clone();
            swapped.swap(0, honest.len() - 1);
            forgeries.push(body_of(&swapped));
        }
        for body in forgeries {
            let error = refusal(network, height, &with_body(&real, &body));
            assert!(error.is_mutation(), "{network} {height}: {error}");
        }
    }
}

#[test]
fn adversary_21_no_flipped_bit_of_a_real_body_marks_the_hash_bad() {
    let mut random = Random::new();
    let (mut flips, mut unbound) = (0, 0);
    for (network, height, real) in real_blocks() {
        let modern = parts(&real).iter().any(|bytes| parse(bytes).unwrap().0.version() >= TransactionVersion::V5);
        let mut body = real.body().to_vec();
        for _ in 0..if body.len() > 100_000 { 8 } else { 64 } {
            let bit = random.below(body.len() * 8);
            body[bit / 8] ^= 1 << (bit % 8);
            match check_body(network, height, &with_body(&real, &body)) {
                Err(error) => assert!(error.is_mutation(), "{network} {height} bit {bit}: {error}"),
                Ok(_) if modern => unbound += 1,
                Ok(_) => panic!("{network} {height}: bit {bit} is not bound"),
            }
            body[bit / 8] ^= 1 << (bit % 8);
            flips += 1;
        }
    }
    println!("{flips} bits flipped, {unbound} in witness bytes that nothing binds");
}

#[test]
fn every_flipped_bit_of_a_body_before_v5_is_noticed() {
    let (network, height, real) = real_blocks().find(|&(_, height, _)| height == 202).unwrap();
    let mut body = real.body().to_vec();
    for bit in 0..body.len() * 8 {
        body[bit / 8] ^= 1 << (bit % 8);
        assert!(refusal(network, height, &with_body(&real, &body)).is_mutation(), "bit {bit}");
        body[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_flipped_bit_of_an_id_or_its_place_moves_the_root() {
    let mut random = Random::new();
    for count in [1, 2, 3, 7, 64, 100] {
        let mut ids: Vec<TxId> = (0..count).map(|_| TxId(std::array::from_fn(|_| random.byte()))).collect();
        let root = merkle_root(&ids);
        for at in 0..count {
            for bit in (0..256).step_by(37) {
                ids[at].0[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(merkle_root(&ids), root);
                ids[at].0[bit / 8] ^= 1 << (bit % 8);
            }
        }
        if count > 1 {
            ids.swap(0, count - 1);
            assert_ne!(merkle_root(&ids), root);
        }
    }
    assert_eq!(merkle_root(&[]), MerkleRoot([0; 32]));
}

#[test]
fn the_first_transaction_is_the_coinbase_and_no_other_is() {
    let good = coinbase(4, &[0x53, 0], 0);
    let check = |list: &[Vec<u8>]| check_body(Network::Mainnet, 3, &committing(list));
    assert_eq!(check(&[good.clone(), payment(4)]).unwrap().transactions, 2);
    assert_eq!(check(&[payment(4)]), Err(BlockError::NoCoinbase));
    let second = coinbase(4, &[0x53, 1], 0);
    assert_eq!(check(&[good.clone(), payment(4), second]), Err(BlockError::SecondCoinbase { index: 2 }));
    let mut spending = good.clone();
    spending[8 + 1 + 32..][..4].fill(0);
    assert_eq!(check(&[spending]), Err(BlockError::NoCoinbase), "output 0 of a transaction named zero");
    assert_eq!(check(&[]), Err(BlockError::Empty));
    for error in [BlockError::NoCoinbase, BlockError::SecondCoinbase { index: 2 }, BlockError::Empty] {
        assert!(!error.is_mutation(), "the header commits to it");
    }
}

#[test]
fn a_coinbase_script_has_2_to_100_bytes_and_begins_with_the_height() {
    let check = |version, script: &[u8], height| {
        check_body(Network::Mainnet, height, &committing(&[coinbase(version, script, height)])).map(drop)
    };
    let long = |length: usize| [&[2, 0xca, 0][..], &vec![7; length - 3]].concat();
    assert_eq!(check(1, &[0x53, 0], 3), Ok(()));
    assert_eq!(check(1, &long(100), 202), Ok(()));
    for (version, committed) in [(1, true), (4, true), (5, false)] {
        let wrong_length = |length| Err(BlockError::CoinbaseScript { length, committed });
        assert_eq!(check(version, &[0x53], 3), wrong_length(1));
        assert_eq!(check(version, &long(101), 202), wrong_length(101));
        assert_eq!(check(version, &[], 3), wrong_length(0));
        let error = BlockError::CoinbaseHeight { height: 4, committed };
        assert_eq!(check(version, &[0x53, 0], 4), Err(error));
        assert_eq!(error.is_mutation(), !committed, "a v5 script is bound by nothing that is checked");
    }
}

#[test]
fn from_nu5_a_coinbase_expires_at_its_height() {
    let first = Upgrade::Nu5.activation_height(Network::Mainnet).unwrap();
    for height in [first - 1, first, first + 100] {
        let script = [&[3], &height.to_le_bytes()[..3]].concat();
        let check = |version, expiry| {
            check_body(Network::Mainnet, height, &committing(&[coinbase(version, &script, expiry)])).map(drop)
        };
        for version in [4, 5] {
            assert_eq!(check(version, height), Ok(()));
            let error = BlockError::CoinbaseExpiry { height, expiry: Some(0) };
            assert_eq!(check(version, 0), if height < first { Ok(()) } else { Err(error) });
            assert!(!error.is_mutation());
        }
    }
}

#[test]
fn from_nu7_transactions_are_of_v5_or_v6() {
    for network in [Network::Mainnet, Network::Testnet] {
        let first = Upgrade::Nu7.activation_height(network).unwrap();
        for height in [first - 1, first] {
            assert_eq!(upgrade_at(network, height) == Upgrade::Nu7, height == first);
            let script = [&[3], &height.to_le_bytes()[..3]].concat();
            for version in 1..=6 {
                let list = [coinbase(5, &script, height), payment(version)];
                let result = check_body(network, height, &committing(&list)).map(|summary| summary.transactions);
                if height == first && version < 5 {
                    let error = result.unwrap_err();
                    assert!(matches!(error, BlockError::RetiredVersion { index: 1, .. }), "{error}");
                    assert!(!error.is_mutation());
                } else {
                    assert_eq!(result, Ok(2));
                }
            }
        }
    }
}

#[test]
fn before_sapling_a_transaction_has_at_most_100_000_bytes() {
    let coinbase_at = |height: u32| coinbase(1, &[&[3], &height.to_le_bytes()[..3]].concat(), height);
    let padded = |version: u8, length: usize| {
        let mut plain = coinbase(version, &[], 0);
        // The input spends something, so that this is no coinbase; what is missing goes into its script.
        let prevout = if version == 1 { 5 } else { 21 };
        plain[prevout] = 1;
        let script = vec![0; length - plain.len() - 4];
        plain.splice(
            prevout + 36..=prevout + 36,
            [0xfe].into_iter().chain(u32::try_from(script.len()).unwrap().to_le_bytes()).chain(script),
        );
        assert_eq!(plain.len(), length);
        plain
    };
    for network in [Network::Mainnet, Network::Testnet] {
        let sapling = Upgrade::Sapling.activation_height(network).unwrap();
        for (version, is_mutation) in [(1, false), (5, true)] {
            let check = |height, length| {
                let list = [coinbase_at(height), padded(version, length)];
                check_body(network, height, &committing(&list)).map(drop)
            };
            let error = BlockError::TransactionLength { index: 1, length: 100_001, committed: !is_mutation };
            assert_eq!(check(sapling - 1, 100_000), Ok(()));
            assert_eq!(check(sapling - 1, 100_001), Err(error));
            assert_eq!(check(sapling, 100_001), Ok(()));
            assert_eq!(
                error.is_mutation(),
                is_mutation,
                "the length of a v5 script is bound by nothing that is checked"
            );
        }
    }
    let list = [coinbase(1, &[0x53, 0], 0), padded(1, 100_001)];
    assert!(check_body(Network::Regtest, 3, &committing(&list)).is_ok(), "nobody knows when Sapling begins there");
}

#[test]
fn the_genesis_block_alone_needs_no_height() {
    for (network, height, real) in real_blocks().filter(|&(_, height, _)| height == 0) {
        assert_eq!(real.hash(), network.genesis_hash());
        assert!(check_body(network, height, &real).is_ok());
        let script = parts(&real);
        assert_eq!(parse(&script[0]).unwrap().0.coinbase_script().unwrap().len(), 77);
    }
    let other = committing(&[coinbase(1, &[4, 1, 2, 3, 4], 0)]);
    assert!(check_body(Network::Mainnet, 0, &other).is_err());
}

#[test]
fn adversary_21_an_inner_node_posing_as_a_transaction_is_a_mutation() {
    // Version, one input with an empty script, one output with a script of four bytes: 64 bytes and no coinbase.
    let mut posing = vec![1, 0, 0, 0, 1];
    posing.extend([7; 36]);
    posing.extend([0, 7, 7, 7, 7, 1]);
    posing.extend([0; 8]);
    posing.extend([4, 1, 2, 3, 4, 0, 0, 0, 0]);
    assert_eq!(posing.len(), 64);
    let error = refusal(Network::Mainnet, 3, &committing(&[posing.clone()]));
    assert_eq!(error, BlockError::InnerNode);
    assert!(error.is_mutation());
    let honest = committing(&[coinbase(4, &[0x53, 0], 0), posing]);
    assert!(check_body(Network::Mainnet, 3, &honest).is_ok(), "the length alone is no fault");
}

#[test]
fn adversary_21_witness_bytes_of_a_v6_coinbase_bring_no_judgement() {
    let recorded = regtest::recorded();
    let shielded = recorded.iter().find(|recorded| recorded.kind == "shielded").unwrap();
    let mut body = shielded.block.body().to_vec();
    let last = body.len() - 1;
    body[last] ^= 1;
    assert!(check_body(Network::Regtest, 1, &with_body(&shielded.block, &body)).is_ok());
}

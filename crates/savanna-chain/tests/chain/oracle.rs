//! Ids against zcash_primitives, which reads the same bytes.

use proptest::strategy::{Strategy, ValueTree};
use savanna_chain::{
    PRE_V5_AUTH_DIGEST, TransactionVersion, merkle_root, parse, transaction_id, transactions, upgrade_at,
};
use savanna_wire::{AuthDigest, TransactionId, TxId};
use zcash_primitives::transaction::{Transaction, testing::arb_tx};
use zcash_protocol::consensus::BranchId;

use crate::{real_blocks, salted_runner};

/// What zcash_primitives makes of bytes: the transaction, and its names.
fn oracle(bytes: &[u8], branch: BranchId) -> (Transaction, TxId, AuthDigest) {
    let mut rest = bytes;
    let transaction = Transaction::read(&mut rest, branch).unwrap();
    assert!(rest.is_empty(), "the oracle leaves {} bytes", rest.len());
    let id = TxId(*transaction.txid().as_ref());
    let auth = if transaction.version().has_orchard() {
        AuthDigest(transaction.auth_commitment().as_bytes().try_into().unwrap())
    } else {
        PRE_V5_AUTH_DIGEST
    };
    (transaction, id, auth)
}

fn agree(bytes: &[u8], branch: BranchId) -> (Transaction, TxId) {
    let (transaction, id, auth) = oracle(bytes, branch);
    let (view, length) = parse(bytes).unwrap();
    assert_eq!((length, view.bytes()), (bytes.len(), bytes));
    assert_eq!((view.txid(), view.auth_digest()), (id, auth));
    let whole = if transaction.version().has_orchard() {
        assert_eq!(view.branch_id(), Some(u32::from(transaction.consensus_branch_id())));
        TransactionId::Witnessed(id, auth)
    } else {
        TransactionId::Legacy(id)
    };
    assert_eq!(transaction_id(bytes), Some(whole));
    if view.version() >= TransactionVersion::V3 {
        assert_eq!(view.expiry_height(), Some(u32::from(transaction.expiry_height())));
    }
    assert_eq!(view.is_coinbase(), transaction.transparent_bundle().is_some_and(|bundle| bundle.is_coinbase()));
    (transaction, id)
}

#[test]
fn ids_and_merkle_roots_of_every_real_block_are_the_oracles() {
    let (mut blocks, mut seen, mut joinsplits, mut shielded, mut orchard) = (0, [0; 6], 0, 0, 0);
    for (network, height, block) in real_blocks() {
        let branch = BranchId::try_from(upgrade_at(network, height).branch_id()).unwrap();
        let mut ids = Vec::new();
        for view in transactions(&block).unwrap() {
            let view = view.unwrap();
            let (transaction, id) = agree(view.bytes(), branch);
            ids.push(id);
            seen[view.version() as usize] += 1;
            joinsplits += u32::from(transaction.sprout_bundle().is_some());
            shielded += u32::from(transaction.sapling_bundle().is_some());
            orchard += u32::from(transaction.orchard_bundle().is_some());
        }
        assert_eq!(merkle_root(&ids), block.header().merkle_root, "{network} {height}");
        blocks += 1;
    }
    println!(
        "{blocks} blocks, by version {seen:?}; {joinsplits} with JoinSplits, {shielded} Sapling, {orchard} Orchard"
    );
    assert!(blocks > 80 && seen[..5].iter().all(|&count| count > 0));
    assert!(joinsplits > 0 && shielded > 0 && orchard > 0);
}

/// Holds `cases` generated transactions of a branch against the oracle; counts those with Sapling, Orchard and
/// Ironwood, and those whose Sapling part lacks spends or lacks outputs.
fn generated(branch: BranchId, versions: &[TransactionVersion], cases: u32) -> [u32; 5] {
    let mut parts = [0; 5];
    let mut runner = salted_runner(cases, branch.into());
    for _ in 0..cases {
        let mut bytes = Vec::new();
        arb_tx(branch).new_tree(&mut runner).unwrap().current().write(&mut bytes).unwrap();
        let (read, _) = agree(&bytes, branch);
        assert!(versions.contains(&parse(&bytes).unwrap().0.version()));
        parts[0] += u32::from(read.sapling_bundle().is_some());
        parts[1] += u32::from(read.orchard_bundle().is_some());
        parts[2] += u32::from(read.ironwood_bundle().is_some());
        parts[3] += u32::from(read.sapling_bundle().is_some_and(|bundle| bundle.shielded_spends().is_empty()));
        parts[4] += u32::from(read.sapling_bundle().is_some_and(|bundle| bundle.shielded_outputs().is_empty()));
    }
    println!("{branch:?}: {cases} transactions, with Sapling, Orchard, Ironwood, no spends, no outputs: {parts:?}");
    parts
}

#[test]
fn ids_of_generated_v1_to_v3_transactions_are_the_oracles() {
    generated(BranchId::Sprout, &[TransactionVersion::V1, TransactionVersion::V2], 32);
    generated(BranchId::Overwinter, &[TransactionVersion::V3], 32);
}

#[test]
fn ids_of_generated_v4_transactions_are_the_oracles() {
    let [sapling, ..] = generated(BranchId::Canopy, &[TransactionVersion::V4], 24);
    assert!(sapling > 0);
}

#[test]
fn ids_of_generated_v5_transactions_are_the_oracles() {
    for branch in [BranchId::Nu5, BranchId::Nu6, BranchId::Nu6_2] {
        let [sapling, orchard, ..] = generated(branch, &[TransactionVersion::V5], 16);
        assert!(sapling > 0 && orchard > 0);
    }
}

#[test]
fn ids_of_generated_v6_transactions_are_the_oracles() {
    for branch in [BranchId::Nu6_3, BranchId::Nu7] {
        let parts = generated(branch, &[TransactionVersion::V6], 24);
        assert!(parts[..3].iter().all(|&count| count > 0), "{parts:?}");
    }
}

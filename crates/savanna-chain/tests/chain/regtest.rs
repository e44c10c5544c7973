//! v6 coinbases that zebrad mined, against what it says about them.

use savanna_chain::{TransactionVersion, check_body, check_work, merkle_root, parse, transaction_id, transactions};
use savanna_wire::{AuthDigest, Block, BlockHash, MerkleRoot, Network, TransactionId, TxId};

use crate::block;

/// One line of the recorded file.
pub(crate) struct Recorded {
    pub(crate) kind: &'static str,
    pub(crate) height: u32,
    pub(crate) block: Block,
    hash: BlockHash,
    root: MerkleRoot,
    ids: Vec<TransactionId>,
}

pub(crate) fn recorded() -> Vec<Recorded> {
    include_str!("../data/regtest-nu7.txt").lines().map(read).collect()
}

fn read(line: &'static str) -> Recorded {
    let fields: Vec<&str> = line.split(' ').collect();
    let [kind, height, hash, root, txids, auths, hex] = fields[..] else { panic!("{} fields", fields.len()) };
    let ids = txids.split(',').zip(auths.split(','));
    let ids = ids
        .map(|(id, auth)| TransactionId::Witnessed(id.parse::<TxId>().unwrap(), auth.parse::<AuthDigest>().unwrap()));
    Recorded {
        kind,
        height: height.parse().unwrap(),
        block: block(&bytes_of(hex)),
        hash: hash.parse().unwrap(),
        root: root.parse().unwrap(),
        ids: ids.collect(),
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn v6_coinbases_are_named_as_zebrad_names_them() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 5);
    for Recorded { kind, height, block, hash, root, ids } in &recorded {
        assert_eq!((block.hash(), block.header().merkle_root), (*hash, *root), "{kind} {height}");
        let views: Vec<_> = transactions(block).unwrap().map(Result::unwrap).collect();
        assert_eq!(views.iter().map(|view| view.id()).collect::<Vec<_>>(), *ids, "{kind} {height}");
        assert_eq!(views[0].version(), TransactionVersion::V6);
        assert_eq!(views[0].expiry_height(), Some(*height));
        assert_eq!(views[0].branch_id(), Some(0x7719_0ad9));
        assert!(views[0].is_coinbase());
        let txids: Vec<TxId> = ids.iter().map(|id| id.txid()).collect();
        assert_eq!(merkle_root(&txids), *root);
        assert_eq!(check_body(Network::Regtest, *height, block).unwrap().transactions, ids.len());
        assert_eq!(check_work(Network::Regtest, block.header(), *hash), Ok(()));
    }
}

#[test]
fn a_shielded_coinbase_pays_into_ironwood() {
    let recorded = recorded();
    let shielded = recorded.iter().find(|recorded| recorded.kind == "shielded").unwrap();
    let coinbase = transactions(&shielded.block).unwrap().next().unwrap().unwrap();
    assert!(coinbase.bytes().len() > 5_000, "an action, its proof and its signatures");
}

#[test]
fn every_bit_of_a_v6_transaction_is_bound_by_its_two_digests() {
    for Recorded { block, ids, .. } in recorded().iter().filter(|recorded| recorded.height == 1) {
        let mut bytes = transactions(block).unwrap().next().unwrap().unwrap().bytes().to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(transaction_id(&bytes), Some(ids[0]), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(parse(&bytes).unwrap().0.id(), ids[0]);
    }
}

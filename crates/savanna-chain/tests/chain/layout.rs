//! Where transactions end: bytes made by hand, cut short, bent and made of noise.

use proptest::collection::vec;
use proptest::prelude::*;
use savanna_chain::{BlockError, TransactionError, TransactionVersion, parse, transaction_id, transactions};
use savanna_wire::{Block, DecodeError, TransactionId, write_compact_size};
use zcash_primitives::transaction::Transaction;
use zcash_protocol::consensus::BranchId;

use crate::{Random, real_blocks, regtest::recorded, runner, with_body};

/// How many of each part a transaction is to have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    pub(crate) version: u32,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) joinsplits: usize,
    pub(crate) spends: usize,
    pub(crate) sapling_outputs: usize,
    pub(crate) actions: usize,
    pub(crate) ironwood: usize,
}

/// Writes transactions by the layouts of ZIP-225, ZIP-229 and the protocol specification, filled with noise.
pub(crate) struct Maker {
    pub(crate) random: Random,
    bytes: Vec<u8>,
}

impl Maker {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, bytes: Vec::new() }
    }

    fn noise(&mut self, length: usize) {
        for _ in 0..length {
            self.bytes.push(self.random.byte());
        }
    }

    fn zeroes(&mut self, length: usize) {
        self.bytes.resize(self.bytes.len() + length, 0);
    }

    fn count(&mut self, count: usize) {
        write_compact_size(&mut self.bytes, count as u64);
    }

    fn transparent(&mut self, plan: Plan) {
        self.count(plan.inputs);
        for _ in 0..plan.inputs {
            self.noise(36);
            self.script();
            self.noise(4);
        }
        self.count(plan.outputs);
        for _ in 0..plan.outputs {
            self.zeroes(8);
            self.script();
        }
    }

    fn script(&mut self) {
        let length = self.random.below(300);
        self.count(length);
        self.noise(length);
    }

    fn joinsplits(&mut self, count: usize, each: usize) {
        self.count(count);
        for _ in 0..count {
            // Two amounts, which the oracle wants in range.
            self.zeroes(16);
            self.noise(each - 16);
        }
        if count > 0 {
            self.noise(96);
        }
    }

    fn sapling(&mut self, plan: Plan) {
        let (spends, outputs) = (plan.spends, plan.sapling_outputs);
        self.count(spends);
        self.noise(96 * spends);
        self.count(outputs);
        self.noise(756 * outputs);
        if spends + outputs > 0 {
            self.noise(8 + if spends > 0 { 32 } else { 0 } + (192 + 64) * spends + 192 * outputs + 64);
        }
    }

    fn actions(&mut self, count: usize) {
        self.count(count);
        if count > 0 {
            self.noise(820 * count + 1 + 8 + 32);
            self.count(2720 + 2272 * count);
            self.noise(2720 + 2272 * count + 64 * count + 64);
        }
    }

    pub(crate) fn make(&mut self, plan: Plan) -> Vec<u8> {
        let header: &[u8] = match plan.version {
            1 => &[1, 0, 0, 0],
            2 => &[2, 0, 0, 0],
            3 => &[3, 0, 0, 0x80, 0x70, 0x82, 0xc4, 0x03],
            4 => &[4, 0, 0, 0x80, 0x85, 0x20, 0x2f, 0x89],
            5 => &[5, 0, 0, 0x80, 0x0a, 0x27, 0xa7, 0x26],
            6 => &[6, 0, 0, 0x80, 0x98, 0xb6, 0x84, 0xd8],
            other => panic!("no version {other}"),
        };
        self.bytes = header.to_vec();
        if plan.version >= 5 {
            self.noise(12);
        }
        self.transparent(plan);
        match plan.version {
            1 => self.noise(4),
            2 => {
                self.noise(4);
                self.joinsplits(plan.joinsplits, 1802);
            }
            3 => {
                self.noise(8);
                self.joinsplits(plan.joinsplits, 1802);
            }
            4 => {
                self.noise(8);
                self.zeroes(8);
                self.count(plan.spends);
                self.noise(384 * plan.spends);
                self.count(plan.sapling_outputs);
                self.noise(948 * plan.sapling_outputs);
                self.joinsplits(plan.joinsplits, 1698);
                self.noise(if plan.spends + plan.sapling_outputs > 0 { 64 } else { 0 });
            }
            version => {
                self.sapling(plan);
                self.actions(plan.actions);
                if version == 6 {
                    self.actions(plan.ironwood);
                }
            }
        }
        std::mem::take(&mut self.bytes)
    }
}

/// Transactions of every version with every part and without.
fn made_by_hand() -> Vec<Vec<u8>> {
    let mut maker = Maker::new(Random::new());
    let mut made = Vec::new();
    for version in 1..=6 {
        for n in [0, 1, 2] {
            let plan = Plan {
                version,
                inputs: n,
                outputs: 2 - n,
                joinsplits: n,
                spends: n,
                sapling_outputs: 2 - n,
                actions: n,
                ironwood: 2 - n,
            };
            made.push(maker.make(plan));
            made.push(maker.make(Plan { version, inputs: 1, spends: n, ..Plan::default() }));
        }
    }
    made
}

#[test]
fn made_transactions_end_where_they_were_made_to_end() {
    for bytes in made_by_hand() {
        let (view, length) = parse(&bytes).unwrap();
        assert_eq!(length, bytes.len());
        assert_eq!(view.version() as usize + 1, usize::from(bytes[0]));
        let longer = [&bytes[..], &[0x51, 0xff]].concat();
        let (again, same) = parse(&longer).unwrap();
        assert_eq!((again.id(), same), (view.id(), length));
        assert_eq!(transaction_id(&longer), None);
        assert_eq!(transaction_id(&bytes), Some(view.id()));
    }
}

#[test]
fn joinsplits_made_by_hand_are_read_as_the_oracle_reads_them() {
    let mut maker = Maker::new(Random::new());
    for (version, branch) in [(2, BranchId::Sprout), (3, BranchId::Overwinter), (4, BranchId::Canopy)] {
        for joinsplits in [0, 1, 2, 5] {
            let bytes = maker.make(Plan { version, inputs: 1, outputs: 2, joinsplits, ..Plan::default() });
            let mut rest = &bytes[..];
            let theirs = Transaction::read(&mut rest, branch).unwrap();
            assert!(rest.is_empty());
            assert_eq!(theirs.sprout_bundle().map_or(0, |bundle| bundle.joinsplits.len()), joinsplits);
            let (view, length) = parse(&bytes).unwrap();
            assert_eq!(length, bytes.len());
            assert_eq!(&view.txid().0, theirs.txid().as_ref());
            assert_eq!(view.expiry_height(), (version > 2).then(|| u32::from(theirs.expiry_height())));
        }
    }
}

#[test]
fn v1_has_no_joinsplit_field() {
    let bytes = Maker::new(Random::new()).make(Plan { version: 1, inputs: 1, outputs: 1, ..Plan::default() });
    let mut as_v2 = bytes.clone();
    as_v2[0] = 2;
    assert!(parse(&as_v2).is_err(), "the count of JoinSplits is missing");
    as_v2.push(0);
    assert_eq!(parse(&as_v2).unwrap().1, bytes.len() + 1);
}

/// Every place to cut at; in a build without optimisation only some of a long transaction.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(if cfg!(debug_assertions) && length > 4_096 { 61 } else { 1 })
}

fn refuses_every_cut(bytes: &[u8]) {
    for at in cuts(bytes.len()) {
        assert!(parse(&bytes[..at]).is_err(), "{at} of {}", bytes.len());
    }
}

#[test]
fn a_transaction_cut_short_at_any_byte_is_refused() {
    made_by_hand().iter().for_each(|bytes| refuses_every_cut(bytes));
    for (_, _, block) in real_blocks() {
        transactions(&block).unwrap().for_each(|view| refuses_every_cut(view.unwrap().bytes()));
    }
    for recorded in recorded() {
        transactions(&recorded.block).unwrap().for_each(|view| refuses_every_cut(view.unwrap().bytes()));
    }
}

#[test]
fn unknown_versions_and_groups_are_refused() {
    let base = Maker::new(Random::new()).make(Plan { version: 4, inputs: 1, outputs: 1, ..Plan::default() });
    let refused = |header: [u8; 8]| {
        let bytes = [&header, &base[8..]].concat();
        assert!(matches!(parse(&bytes), Err(TransactionError::UnknownVersion { .. })), "{header:02x?}");
    };
    refused([0, 0, 0, 0, 0x85, 0x20, 0x2f, 0x89]);
    refused([3, 0, 0, 0, 0x85, 0x20, 0x2f, 0x89]);
    refused([1, 0, 0, 0x80, 0, 0, 0, 0]);
    refused([2, 0, 0, 0x80, 0, 0, 0, 0]);
    refused([4, 0, 0, 0x80, 0x86, 0x20, 0x2f, 0x89]);
    refused([5, 0, 0, 0x80, 0x85, 0x20, 0x2f, 0x89]);
    refused([7, 0, 0, 0x80, 0x98, 0xb6, 0x84, 0xd8]);
    refused([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
}

/// The places in a transaction where a count stands, each with the transaction up to it.
fn before_counts() -> Vec<Vec<u8>> {
    let mut places = Vec::new();
    let headers: [(&[u8], usize); 6] = [
        (&[1, 0, 0, 0], 0),
        (&[2, 0, 0, 0], 0),
        (&[3, 0, 0, 0x80, 0x70, 0x82, 0xc4, 0x03], 0),
        (&[4, 0, 0, 0x80, 0x85, 0x20, 0x2f, 0x89], 0),
        (&[5, 0, 0, 0x80, 0x0a, 0x27, 0xa7, 0x26], 12),
        (&[6, 0, 0, 0x80, 0x98, 0xb6, 0x84, 0xd8], 12),
    ];
    for (header, fixed) in headers {
        let start = [header, &vec![0; fixed]].concat();
        places.push(start.clone());
        places.push([&start[..], &[1], &[0; 36]].concat());
        places.push([&start[..], &[0]].concat());
        places.push([&start[..], &[0, 1], &[0; 8]].concat());
        let tail: &[usize] = match header[0] {
            1 => &[],
            2 => &[6],
            3 => &[10],
            4 => &[18, 19, 20],
            5 => &[2, 3, 4],
            _ => &[2, 3, 4, 5],
        };
        places.extend(tail.iter().map(|&zeroes| [&start[..], &vec![0; zeroes]].concat()));
    }
    places
}

#[test]
fn adversary_1_millions_of_declared_elements_cost_what_arrived() {
    for before in before_counts() {
        for (count, named) in [
            (&[0xfe, 0, 0, 0, 2][..], "32 MiB"),
            (&[0xfe, 1, 0, 0, 2], "more than 32 MiB"),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "all that a number holds"),
            (&[0xfd, 0xfc, 0], "non-canonical"),
        ] {
            let bytes = [&before[..], count, &[0; 200]].concat();
            let error = parse(&bytes).unwrap_err();
            assert!(matches!(error, TransactionError::Decode(_)), "{named}: {error}");
        }
    }
}

#[test]
fn adversary_1_a_block_that_declares_millions_of_transactions_is_refused_at_the_first_missing() {
    let (_, _, real) = real_blocks().next().unwrap();
    let body = [&[0xfe, 0, 0, 0, 2], &real.body()[1..]].concat();
    let lying: Block = with_body(&real, &body);
    let items: Vec<_> = transactions(&lying).unwrap().collect();
    assert_eq!(items.len(), 2);
    let missing = TransactionError::Decode(DecodeError::UnexpectedEnd { what: "transaction", needed: 4, left: 0 });
    assert_eq!(items[1].clone().unwrap_err(), BlockError::Transaction { index: 1, error: missing });
}

/// The beginning of a transaction, so that noise behind it is read as one.
fn beginning() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => proptest::sample::select(before_counts()), 1 => vec(any::<u8>(), 0..8)]
}

#[test]
fn noise_never_panics_and_what_is_read_is_named_once() {
    let small = prop_oneof![3 => 0..4_u8, 1 => any::<u8>()];
    let noise = (beginning(), vec(small, 0..4_000));
    runner(4_000)
        .run(&noise, |(mut bytes, noise)| {
            bytes.extend(noise);
            if let Ok((view, length)) = parse(&bytes) {
                prop_assert_eq!(view.bytes(), &bytes[..length]);
                prop_assert_eq!(transaction_id(&bytes[..length]), Some(view.id()));
                prop_assert_eq!(matches!(view.id(), TransactionId::Legacy(_)), view.version() < TransactionVersion::V5);
                let _ = (view.is_coinbase(), view.coinbase_script(), view.expiry_height(), view.branch_id());
            }
            Ok(())
        })
        .unwrap();
}

//! Targets and times against headers that a node mined, real ones, and the rules written down the plain way.

use savanna_chain::{
    CONTEXT_LEN, Context, ContextError, HeaderChain, HeaderError, Inserted, Parameters, ProofOfWork, Root, Target,
};
use savanna_wire::{BlockHash, BlockHeader, MerkleRoot, Network, Solution};

use crate::plain::{percent_of, plain_bits, plain_median};
use crate::{NOW, Random, real_blocks};

const LIMIT: u32 = 0x200f_0f0f;
const CLOSED: &[u8] = include_bytes!("../data/closed-testnet-nu7.bin");

/// The rules of the network on which the headers of [`CLOSED`] were mined.
fn closed() -> Parameters {
    let limit = Target::from_compact(LIMIT).unwrap();
    let proof_of_work = ProofOfWork::Unchecked { limit };
    Parameters {
        proof_of_work,
        begins_at_limit: false,
        blossom: Some(1),
        nu7: Some(130),
        ..Parameters::of(Network::Testnet)
    }
}

fn closed_headers() -> Vec<(BlockHeader, BlockHash)> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let hash = |bytes: &[u8]| -> [u8; 32] { bytes.try_into().unwrap() };
    let header = |bytes: &[u8]| {
        let header = BlockHeader {
            version: word(&bytes[..4]),
            previous: BlockHash(hash(&bytes[4..36])),
            merkle_root: MerkleRoot(hash(&bytes[36..68])),
            commitment: hash(&bytes[68..100]),
            time: word(&bytes[100..104]),
            bits: word(&bytes[104..108]),
            nonce: hash(&bytes[108..]),
            solution: Solution::new(vec![0; Solution::LEN]).unwrap(),
        };
        let hash = header.hash();
        (header, hash)
    };
    CLOSED.chunks_exact(BlockHeader::FIXED_LEN).map(header).collect()
}

fn closed_chain() -> HeaderChain {
    HeaderChain::with_root(closed(), Root::genesis(Network::Regtest))
}

#[test]
fn headers_mined_across_nu7_have_the_targets_expected_and_no_other_passes() {
    let mut chain = closed_chain();
    let headers = closed_headers();
    let mut targets = std::collections::BTreeSet::new();
    for (header, hash) in &headers {
        let context = chain.context(header.previous).unwrap();
        let (time, bits, median) = (header.time, header.bits, context.median_time());
        assert_eq!(context.expected_bits(time), bits, "height {}", context.height());
        for wrong in [bits - 1, bits + 1, LIMIT] {
            let refused = context.check(time, wrong, NOW);
            assert_eq!(
                refused,
                Err(ContextError::Bits { expected: bits, found: wrong }),
                "height {}",
                context.height()
            );
        }
        assert_eq!(context.check(median, bits, NOW), Err(ContextError::TooOld { by: 0 }));
        assert_eq!(context.check(median - 1, bits, NOW), Err(ContextError::TooOld { by: 1 }));
        assert_eq!(context.check(median + 1, bits, NOW), Ok(()));
        let wrong = BlockHeader { bits: bits + 1, ..header.clone() };
        let refused = chain.insert(&wrong, wrong.hash(), NOW);
        assert!(matches!(refused, Err(HeaderError::Context(ContextError::Bits { .. }))));
        assert_eq!(chain.insert(header, *hash, NOW), Ok(Inserted::Extended));
        assert_eq!(closed().proof_of_work.check(header, *hash), Ok(()));
        targets.insert(bits);
    }
    assert_eq!((chain.tip().0, chain.side_len()), (420, 0));
    assert!(targets.len() > 400, "{} different targets", targets.len());
}

#[test]
fn a_run_is_checked_as_one_header_after_the_other_is() {
    let headers = closed_headers();
    let mut chain = closed_chain();
    assert_eq!(chain.check(&headers, NOW), Ok(()));
    assert_eq!(chain.tip().0, 0, "nothing is kept");
    headers[..200].iter().for_each(|(header, hash)| _ = chain.insert(header, *hash, NOW).unwrap());
    assert_eq!(chain.check(&headers[100..], NOW), Ok(()), "what is known is passed over");
    assert_eq!(chain.check(&[], NOW), Ok(()));

    let hole = chain.check(&headers[201..], NOW).unwrap_err();
    assert_eq!((hole.index, hole.error), (0, HeaderError::Orphan { previous: headers[200].1 }));
    let mut wrong = headers.clone();
    wrong[300].0.bits -= 1;
    let refused = chain.check(&wrong[150..], NOW).unwrap_err();
    assert_eq!(refused.index, 150);
    let found = wrong[300].0.bits;
    assert_eq!(refused.error, HeaderError::Context(ContextError::Bits { expected: found + 1, found }));
}

#[test]
fn adversary_19_a_branch_of_easy_targets_costs_neither_memory_nor_a_proof() {
    let headers = closed_headers();
    let mut chain = closed_chain();
    headers.iter().for_each(|(header, hash)| _ = chain.insert(header, *hash, NOW).unwrap());
    let (fork, mut flood) = (headers[300].1, Vec::new());
    let mut previous = fork;
    for number in 0..160 {
        let time = headers[300].0.time + 25 * (number + 1);
        let header = BlockHeader { previous, bits: LIMIT, time, ..headers[300].0.clone() };
        previous = header.hash();
        flood.push((header, previous));
    }
    let expected = headers[301].0.bits;
    let easy = HeaderError::Context(ContextError::Bits { expected, found: LIMIT });
    assert_eq!(chain.check(&flood, NOW).unwrap_err().error, easy);
    for (index, (header, hash)) in flood.iter().enumerate() {
        let orphan = HeaderError::Orphan { previous: header.previous };
        assert_eq!(chain.insert(header, *hash, NOW), Err(if index == 0 { easy } else { orphan }));
    }
    assert_eq!((chain.side_len(), chain.tip().0), (0, 420));
}

#[test]
fn what_is_ahead_of_our_clock_alone_is_no_fault() {
    let (header, hash) = closed_headers().remove(0);
    let mut chain = closed_chain();
    let clock = u64::from(header.time) - 7_200;
    let refused = chain.insert(&header, hash, clock - 10).unwrap_err();
    assert_eq!(refused, HeaderError::Context(ContextError::Future { by: 10 }));
    assert!(!ContextError::Future { by: 10 }.is_fault());
    assert!(!ContextError::TooFewKnown { known: 0, needed: 1 }.is_fault());
    assert!(ContextError::TooOld { by: 0 }.is_fault() && ContextError::TooFarAhead { by: 1 }.is_fault());
    let wrong = BlockHeader { bits: LIMIT, ..header.clone() };
    let refused = chain.insert(&wrong, wrong.hash(), 0).unwrap_err();
    assert!(matches!(refused, HeaderError::Context(error) if error.is_fault()), "a fault is told before the clock");
    assert_eq!(chain.insert(&header, hash, clock), Ok(Inserted::Extended), "it is taken once its time has come");
    assert_eq!(Context::new(closed(), 0, [(7, LIMIT)]).unwrap().check(8, 0x200c_a63f, u64::MAX), Ok(()), "no overflow");
}

#[test]
fn a_root_above_the_first_block_needs_what_targets_depend_on() {
    let headers = closed_headers();
    let mut whole = closed_chain();
    headers.iter().for_each(|(header, hash)| _ = whole.insert(header, *hash, NOW).unwrap());
    let root = Root { height: 200, entry: whole.entry_at(200).unwrap(), work: whole.work() };
    let mut chain = HeaderChain::with_root(closed(), root);
    for height in 201..313 {
        let (header, hash) = &headers[height as usize - 1];
        let known = height as usize - 200;
        let refused = HeaderError::Context(ContextError::TooFewKnown { known, needed: CONTEXT_LEN });
        assert_eq!(chain.insert(header, *hash, NOW), Err(refused));
        chain.restore(whole.entry_at(height).unwrap());
    }
    for (header, hash) in &headers[312..] {
        assert_eq!(chain.insert(header, *hash, NOW), Ok(Inserted::Extended));
    }
    assert_eq!(chain.tip(), whole.tip());
}

/// The context of the child of a header at `below` of `time`, on an even chain of hard targets.
fn even_context(network: Network, below: u32, time: u32) -> Context {
    let parameters = Parameters::of(network);
    let spacing = parameters.spacing(below);
    let known = (0..).map(|depth| (time - spacing * depth, 0x1d00_ffff));
    Context::new(parameters, below, known.take(CONTEXT_LEN)).unwrap()
}

#[test]
fn late_blocks_of_testnet_have_the_easiest_target_from_the_height_it_was_agreed() {
    let limit = ProofOfWork::limit_bits(Network::Testnet);
    let of = |height: u32| {
        let mut found = real_blocks().filter(|(network, at, _)| (*network, *at) == (Network::Testnet, height));
        found.next().unwrap().2.header().clone()
    };
    for (height, is_easy) in [(299_188, true), (299_189, true), (299_202, true)] {
        let (parent, block) = (of(height - 1), of(height));
        assert_eq!(block.previous, parent.hash());
        assert_eq!(block.bits == limit, is_easy, "{height}");
        assert_eq!(block.time - parent.time > 900, is_easy, "{height}");
        let context = even_context(Network::Testnet, height - 1, parent.time);
        assert_eq!(context.check(block.time, block.bits, NOW), Ok(()), "{height}");
        let before = even_context(Network::Testnet, 299_186, parent.time);
        assert!(before.check(block.time, block.bits, NOW).unwrap_err().is_fault(), "not before that height");
    }
    assert_ne!(of(299_187).bits, limit);

    for (below, gap) in [(299_187, 900), (583_998, 900), (583_999, 450), (4_465_024, 450), (4_465_025, 450)] {
        let context = even_context(Network::Testnet, below, 1_000_000);
        assert_ne!(context.expected_bits(1_000_000 + gap), limit, "{below}");
        assert_eq!(context.expected_bits(1_000_000 + gap + 1), limit, "{below}");
    }
    assert_ne!(
        even_context(Network::Mainnet, 1_000_000, 1_000_000).expected_bits(2_000_000),
        limit,
        "mainnet knows no such rule"
    );
}

#[test]
fn times_are_bounded_by_the_median_from_the_heights_agreed() {
    let too_far = Err(ContextError::TooFarAhead { by: 1 });
    for (network, below, is_bounded) in [
        (Network::Mainnet, 1_000, true),
        (Network::Testnet, 653_604, false),
        (Network::Testnet, 653_605, true),
        (Network::Testnet, 4_600_000, true),
    ] {
        let context = even_context(network, below, 100_000_000);
        let most = context.median_time() + 5_400;
        let bits = |time| context.expected_bits(time);
        assert_eq!(context.check(most, bits(most), NOW), Ok(()));
        let beyond = context.check(most + 1, bits(most + 1), NOW);
        assert_eq!(beyond, if is_bounded { too_far } else { Ok(()) }, "{network} {below}");
    }
    let first = |network| {
        let genesis = Root::genesis(network).entry;
        let context = Context::new(Parameters::of(network), 0, [(genesis.time, genesis.bits)]).unwrap();
        context.check(genesis.time + 50_000, genesis.bits, NOW)
    };
    assert_eq!(first(Network::Mainnet), Ok(()), "the first block after genesis came eight hours late");
}

#[test]
fn regtest_has_one_target_whatever_the_times() {
    let mut context = Context::new(Parameters::of(Network::Regtest), 0, [(1_296_688_602, LIMIT)]).unwrap();
    let mut random = Random::new();
    for _ in 0..300 {
        let time = context.median_time() + 1 + random.upto(2_000);
        assert_eq!(context.check(time, LIMIT, NOW), Ok(()));
        assert!(context.check(time, LIMIT - 1, NOW).is_err());
        context.push(time, LIMIT);
    }
}

/// Rules at random: heights within reach of a short chain, limits up to the greatest.
fn any_parameters(random: &mut Random) -> Parameters {
    let limits = [0x1f07_ffff, 0x2007_ffff, LIMIT, 0x207f_ffff, 0x2100_ffff];
    let limit = Target::from_compact(limits[random.below(limits.len())]).unwrap();
    let begins_at_limit = random.below(2) == 0;
    let mut height = || (random.below(3) > 0).then(|| random.upto(260));
    Parameters {
        proof_of_work: ProofOfWork::Unchecked { limit },
        retargets: true,
        begins_at_limit,
        blossom: height(),
        nu7: height(),
        min_difficulty_from: height(),
        max_time_from: height(),
    }
}

#[test]
fn every_target_is_the_one_that_the_plain_rules_say() {
    let mut random = Random::new();
    let mut at_limit = [0_u32; 2];
    for _ in 0..30 {
        let (parameters, pace) = (any_parameters(&mut random), 1 + random.upto(3));
        let limit = parameters.proof_of_work.limit().to_compact();
        let mut chain = vec![(1_000_000, limit)];
        let mut context = Context::new(parameters, 0, chain.iter().copied()).unwrap();
        for height in 1..300 {
            assert_eq!(context.height(), height);
            let (median, spacing) = (plain_median(&chain, chain.len()), parameters.spacing(height));
            assert_eq!(context.median_time(), median);
            let parent = chain.last().unwrap().0;
            let likely = parent + random.upto(spacing * pace);
            let edge = parent + parameters.min_difficulty_gap(height).unwrap_or(0);
            let times = [likely, median + 1 + random.upto(50), edge, edge + 1].map(|time| time.max(median + 1));
            for time in times {
                let expected = plain_bits(&parameters, &chain, time);
                assert_eq!(context.expected_bits(time), expected, "height {height} of {parameters:?}");
            }
            let time = times[usize::from(random.below(10) == 0)];
            let bits = context.expected_bits(time);
            at_limit[usize::from(bits == limit)] += 1;
            chain.push((time, bits));
            context.push(time, bits);
            if height % 37 == 0 {
                let fresh = Context::new(parameters, height, chain.iter().rev().copied()).unwrap();
                assert_eq!(fresh.expected_bits(time + 9), context.expected_bits(time + 9));
            }
        }
    }
    assert!(at_limit.iter().all(|&count| count > 500), "{at_limit:?} below and at the limit");
}

#[test]
fn a_target_moves_within_its_bounds_and_with_the_time_taken() {
    let mut random = Random::new();
    for round in 0..400 {
        let nu7 = (round % 2 == 0).then_some(0);
        let parameters = Parameters { nu7, ..Parameters::of(Network::Mainnet) };
        let pace = 1 + random.upto(400);
        let mut time = 100_000_000;
        let known: Vec<(u32, u32)> = (0..CONTEXT_LEN)
            .map(|_| {
                time -= random.upto(pace);
                (time, 0x1c01_0000 + random.upto(0x006e_ffff))
            })
            .collect();
        let expected = |known: &[(u32, u32)]| {
            let context = Context::new(parameters, 3_600_000, known.iter().copied()).unwrap();
            context.expected_bits(context.median_time() + 1)
        };
        let (bits, slower, mut later) = (expected(&known), random.upto(2_000), known.clone());
        later.iter_mut().take(11).for_each(|(time, _)| *time += slower);
        assert!(expected(&later) >= bits, "more time, easier target");

        let window = parameters.averaging_window(3_600_001);
        let targets = known.iter().take(window).map(|&(_, bits)| bits);
        let (least, most) = (targets.clone().min().unwrap(), targets.max().unwrap());
        // Compact forms are rounded down.
        assert!(bits >= percent_of(least, 84) - 1 && bits <= percent_of(most, 132), "{bits:#x}");
    }
}

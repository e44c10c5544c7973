//! Proof of work on real headers, and on headers one bit away from them.

use savanna_chain::{ProofOfWork, Target, TargetError, Work, WorkError, check_work};
use savanna_wire::{BlockHash, BlockHeader, Network, Reader, Solution};

use crate::{Random, real_blocks};

/// Flips one bit of a header and returns what then is wrong with it, with its old hash standing for the new one: so the
/// cheap rule about the hash has been met and Equihash is asked.
fn flipped(network: Network, bytes: &mut [u8], hash: BlockHash, bit: usize) -> Option<WorkError> {
    bytes[bit / 8] ^= 1 << (bit % 8);
    let header = BlockHeader::decode(&mut Reader::new(bytes, "header"));
    bytes[bit / 8] ^= 1 << (bit % 8);
    match header {
        Ok(header) => Some(check_work(network, &header, hash).expect_err("a flipped bit was taken")),
        Err(_) => None,
    }
}

fn bytes_of(header: &BlockHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes
}

#[test]
fn every_real_header_is_accepted() {
    let mut headers = 0;
    for (network, height, block) in real_blocks() {
        assert_eq!(check_work(network, block.header(), block.hash()), Ok(()), "{network} {height}");
        headers += 1;
    }
    assert!(headers > 80, "{headers}");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "minutes without optimisation; run with --release")]
fn every_flipped_bit_of_five_real_headers_is_refused() {
    let headers: Vec<_> = real_blocks().collect();
    let mut by_equihash = 0;
    for (network, height, block) in headers.iter().step_by(headers.len() / 5).take(5) {
        let mut bytes = bytes_of(block.header());
        let mut undecodable = 0;
        for bit in 0..bytes.len() * 8 {
            match flipped(*network, &mut bytes, block.hash(), bit) {
                Some(WorkError::Equihash) => by_equihash += 1,
                Some(_) => {}
                None => undecodable += 1,
            }
        }
        println!("{network} {height}: {} bits, {undecodable} of them in the length", bytes.len() * 8);
        assert_eq!(undecodable, 24, "the length of the solution");
    }
    assert!(by_equihash > 5 * 8 * 1400, "{by_equihash}");
}

#[test]
fn a_sample_of_flipped_bits_of_every_real_header_is_refused() {
    let mut random = Random::new();
    let mut by_equihash = 0;
    for (network, _, block) in real_blocks() {
        let mut bytes = bytes_of(block.header());
        for _ in 0..24 {
            let bit = random.below(bytes.len() * 8);
            by_equihash += u32::from(flipped(network, &mut bytes, block.hash(), bit) == Some(WorkError::Equihash));
        }
    }
    assert!(by_equihash > 1_000, "{by_equihash}");
}

#[test]
fn adversary_19_equihash_comes_after_everything_that_is_cheap() {
    let (network, _, block) = real_blocks().nth(1).unwrap();
    let worthless = Solution::new(vec![0; Solution::LEN]).unwrap();
    let with = |change: fn(&mut BlockHeader), hash| {
        let mut header = BlockHeader { solution: worthless.clone(), ..block.header().clone() };
        change(&mut header);
        check_work(network, &header, hash).unwrap_err()
    };
    let high = BlockHash([0xff; 32]);
    assert_eq!(with(|_| {}, block.hash()), WorkError::Equihash);
    assert_eq!(with(|_| {}, high), WorkError::HashAboveTarget);
    assert_eq!(with(|header| header.bits = 0x2007_ffff, block.hash()), WorkError::TooEasy);
    assert_eq!(with(|header| header.bits = 0x1f08_0000, block.hash()), WorkError::TooEasy);
    assert_eq!(with(|header| header.bits = 0, high), WorkError::Target(TargetError::Zero));
    assert_eq!(with(|header| header.bits = 0x1f80_0001, high), WorkError::Target(TargetError::Negative));
    assert_eq!(with(|header| header.bits = 0x2301_0000, high), WorkError::Target(TargetError::Overflow));
    assert_eq!(with(|header| header.version = 3, high), WorkError::Version(3));
    assert_eq!(with(|header| header.version = 0x8000_0004, high), WorkError::Version(0x8000_0004));
    let short = |header: &mut BlockHeader| header.solution = Solution::new(vec![0; Solution::REGTEST_LEN]).unwrap();
    assert_eq!(with(short, block.hash()), WorkError::SolutionLength(36));
}

#[test]
fn the_odd_version_of_thousands_of_real_headers_is_allowed() {
    let (network, _, block) = real_blocks().nth(1).unwrap();
    let header = BlockHeader { version: 536_870_912, ..block.header().clone() };
    assert_eq!(check_work(network, &header, block.hash()), Err(WorkError::Equihash), "no complaint of the version");
}

#[test]
fn regtest_takes_either_length_and_proves_nothing() {
    let (_, _, block) = real_blocks().next().unwrap();
    for length in [Solution::LEN, Solution::REGTEST_LEN] {
        let solution = Solution::new(vec![0; length]).unwrap();
        let header = BlockHeader { solution, bits: 0x200f_0f0f, ..block.header().clone() };
        assert_eq!(check_work(Network::Regtest, &header, BlockHash([0xff; 32])), Ok(()));
        let too_easy = BlockHeader { bits: 0x200f_0f10, ..header.clone() };
        assert_eq!(check_work(Network::Regtest, &too_easy, BlockHash([0xff; 32])), Err(WorkError::TooEasy));
        let old = BlockHeader { version: 3, ..header };
        assert_eq!(check_work(Network::Regtest, &old, BlockHash([0xff; 32])), Err(WorkError::Version(3)));
    }
}

#[test]
fn compact_targets_are_read_as_bitcoin_reads_them() {
    let refused = [
        (0, TargetError::Zero),
        (0x0012_3456, TargetError::Zero),
        (0x0200_0056, TargetError::Zero),
        (0x0300_0000, TargetError::Zero),
        (0xff00_0000, TargetError::Zero),
        (0x0080_0000, TargetError::Zero),
        (0x04fe_dcba, TargetError::Negative),
        (0x1f80_0001, TargetError::Negative),
        (0x2300_0001 | 1 << 8, TargetError::Overflow),
        (0x2200_0100, TargetError::Overflow),
        (0x2101_0000, TargetError::Overflow),
        (0xff12_3456, TargetError::Overflow),
    ];
    for (bits, error) in refused {
        assert_eq!(Target::from_compact(bits), Err(error), "{bits:#010x}");
    }
    let read = [
        (0x0112_3456, 0x0112_0000, "12"),
        (0x0212_3456, 0x0212_3400, "1234"),
        (0x0312_3456, 0x0312_3456, "123456"),
        (0x0412_3456, 0x0412_3456, "12345600"),
        (0x0500_9234, 0x0500_9234, "92340000"),
        (0x0400_0080, 0x0300_8000, "8000"),
    ];
    for (bits, canonical, hex) in read {
        let target = Target::from_compact(bits).unwrap();
        assert_eq!(format!("{target:?}"), format!("Target({hex:0>64})"), "{bits:#010x}");
        assert_eq!(target.to_compact(), canonical, "{bits:#010x}");
        assert_eq!(Target::from_compact(canonical), Ok(target));
    }
    for bits in [0x2200_00ff, 0x2100_ffff, 0x207f_ffff] {
        assert!(Target::from_compact(bits).is_ok(), "{bits:#010x} just fits");
    }
    for network in [Network::Mainnet, Network::Testnet, Network::Regtest] {
        let limit = ProofOfWork::of(network).limit();
        assert_eq!(limit.to_compact(), ProofOfWork::limit_bits(network));
        assert_eq!(Target::from_compact(ProofOfWork::limit_bits(network)), Ok(limit));
    }
}

#[test]
fn real_bits_are_canonical() {
    for (_, _, block) in real_blocks() {
        let bits = block.header().bits;
        assert_eq!(Target::from_compact(bits).unwrap().to_compact(), bits);
    }
}

#[test]
fn work_is_the_number_of_hashes_expected() {
    let work = |bits| Target::from_compact(bits).unwrap().work().to_string();
    assert_eq!(work(0x1f07_ffff), "8192");
    assert_eq!(work(0x2007_ffff), "32");
    assert_eq!(work(0x200f_0f0f), "17");
    assert_eq!(work(0x1d00_ffff), "4295032833");
    assert_eq!(work(0x2100_ffff), "1");
    assert_eq!(work(0x0300_0001), (ethnum::U256::MAX / 2 + 1).to_string());
    let most = Target::from_compact(0x0300_0001).unwrap().work();
    assert_eq!(most.plus(most).plus(most), Work::from_le_bytes([0xff; 32]), "a sum that does not fit stays at the top");
    assert_eq!(Work::from_le_bytes(most.to_le_bytes()), most);
    assert!(Work::ZERO < most);
}

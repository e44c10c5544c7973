//! How far reading and naming transactions stays behind hashing their bytes.

#![allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use std::time::{Duration, Instant};

use savanna_chain::{Entry, HeaderChain, Inserted, Root, parse, transactions};
use savanna_wire::{BlockHash, Network, sha256d};

use crate::layout::{Maker, Plan};
use crate::{Random, real_blocks};

/// The shortest of many runs of two things, taken in turns so that both meet the same machine.
fn race(mut one: impl FnMut(), mut other: impl FnMut()) -> (Duration, Duration) {
    let timed = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..40).fold((Duration::MAX, Duration::MAX), |(best, other_best), _| {
        (best.min(timed(&mut one)), other_best.min(timed(&mut other)))
    })
}

/// Prints and holds to its bound how naming `block` compares with hashing it.
fn measure(name: &str, block: &[u8], count: usize, hash: impl Fn(&[u8])) {
    let naming = || {
        let mut rest = block;
        for _ in 0..count {
            let (view, length) = parse(rest).unwrap();
            std::hint::black_box(view.id());
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
    };
    let (naming, hashing) = race(naming, || hash(block));
    let share = hashing.as_secs_f64() / naming.as_secs_f64();
    println!("{name}: {count} transactions, {} bytes: {naming:?}, {:.0} % of the bound", block.len(), share * 100.0);
    assert!(share >= 0.5, "{name}: {share}");
}

/// The lengths of what ZIP-244 has hashed for one transaction of a plan: as many hashes, however short, are the bound.
fn nodes(plan: Plan) -> Vec<usize> {
    // Scripts are of 0 to 299 bytes.
    const SCRIPT: usize = 150;
    let (inputs, outputs) = (plan.inputs, plan.outputs);
    let mut nodes = vec![20, 128, 96, SCRIPT * inputs];
    if inputs + outputs > 0 {
        nodes.extend([36 * inputs, 4 * inputs, (9 + SCRIPT) * outputs]);
    }
    nodes.push(if inputs + outputs > 0 { 96 } else { 0 });
    let (spends, outputs) = (plan.spends, plan.sapling_outputs);
    if spends + outputs > 0 {
        nodes.extend([32 * spends, 96 * spends, 64, 116 * outputs, 512 * outputs, 128 * outputs, 96, 72]);
        nodes.push(256 * spends + 192 * outputs + 64);
    } else {
        nodes.extend([0, 0]);
    }
    for actions in [plan.actions, plan.ironwood] {
        if actions > 0 {
            nodes.extend([148 * actions, 512 * actions, 160 * actions, 137, 2720 + 2272 * actions + 64 * actions + 64]);
        } else {
            nodes.extend([0, 0]);
        }
    }
    nodes.truncate(if plan.version == 5 { nodes.len() - 2 } else { nodes.len() });
    nodes
}

fn sha(bytes: &[u8]) {
    std::hint::black_box(sha256d(bytes));
}

#[test]
#[ignore = "a measurement: run alone with --release"]
fn naming_a_block_takes_at_most_twice_the_hashing() {
    let (_, _, largest) = real_blocks().max_by_key(|(_, _, block)| block.bytes().len()).unwrap();
    let parts: Vec<Vec<u8>> = transactions(&largest).unwrap().map(|view| view.unwrap().bytes().to_vec()).collect();
    measure("the largest real block", &parts.concat(), parts.len(), sha);

    let mut maker = Maker::new(Random::new());
    let plans = [
        ("v4 shielded", Plan { version: 4, spends: 2, sapling_outputs: 2, ..Plan::default() }),
        ("v5 transparent", Plan { version: 5, inputs: 2, outputs: 2, ..Plan::default() }),
        ("v5 with many inputs", Plan { version: 5, inputs: 400, outputs: 2, ..Plan::default() }),
        ("v5 Sapling", Plan { version: 5, spends: 2, sapling_outputs: 2, ..Plan::default() }),
        ("v5 Orchard", Plan { version: 5, actions: 2, ..Plan::default() }),
        ("v6 Ironwood", Plan { version: 6, actions: 2, ironwood: 2, ..Plan::default() }),
        ("v6 with many actions", Plan { version: 6, ironwood: 300, ..Plan::default() }),
    ];
    for (name, plan) in plans {
        let (mut block, mut count) = (Vec::new(), 0);
        while block.len() < 1_900_000 {
            block.extend(maker.make(plan));
            count += 1;
        }
        let nodes = nodes(plan);
        measure(name, &block, count, |block| {
            if plan.version < 5 {
                return sha(block);
            }
            for &length in std::iter::repeat_n(&nodes, count).flatten() {
                std::hint::black_box(blake2b_simd::blake2b(&block[..length]));
            }
        });
    }
}

/// Resident memory in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "a measurement: run alone with --release"]
fn three_and_a_half_million_headers_take_less_than_100_bytes_each() {
    const HEADERS: u32 = 3_500_000;
    let mut random = Random::new();
    let entry = Root::genesis(Network::Mainnet).entry;
    let (before, start) = (resident(), Instant::now());
    let mut chain = HeaderChain::new(Network::Mainnet);
    for _ in 0..HEADERS {
        let hash = BlockHash(std::array::from_fn(|_| random.byte()));
        let previous = chain.tip().1;
        assert_eq!(chain.attach(Entry { hash, ..entry }, previous), Ok(Inserted::Extended));
    }
    let each = (resident() - before) / u64::from(HEADERS);
    println!("{HEADERS} headers in {:?}, {each} bytes each", start.elapsed());
    assert!(each < 100, "{each}");
    let start = Instant::now();
    assert_eq!(chain.find_fork(&chain.locator()), Some(HEADERS));
    println!("a locator made and found in {:?}", start.elapsed());
}

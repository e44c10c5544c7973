//! How far reading and naming transactions stays behind hashing their bytes.

#![allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use std::time::{Duration, Instant};

use savanna_chain::{parse, transactions};
use savanna_wire::sha256d;

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

fn blake2b(bytes: &[u8]) {
    std::hint::black_box(blake2b_simd::blake2b(bytes));
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
        measure(name, &block, count, if plan.version < 5 { sha } else { blake2b });
    }
}

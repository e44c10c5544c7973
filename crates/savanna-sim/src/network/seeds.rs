//! One test over several seeds, and how to run the one that failed again.

use std::env;

/// The variable that names the only seed to run.
const SEED: &str = "SAVANNA_SEED";

/// The variable that says how many seeds to run, instead of what the test asks for.
const SEEDS: &str = "SAVANNA_SEEDS";

/// Runs `test` with `count` seeds; or, if `SAVANNA_SEED` is set, with that one; or with `SAVANNA_SEEDS` many.
///
/// The test called `name` that panics says with which seed, and how to run that alone.
pub fn over_seeds(name: &str, count: u64, mut test: impl FnMut(u64)) {
    let number = |variable: &str| env::var(variable).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let seeds = match number(SEED) {
        Some(seed) => seed..=seed,
        None => 1..=number(SEEDS).unwrap_or(count),
    };
    for seed in seeds {
        let report = Report { name, seed };
        test(seed);
        drop(report);
    }
}

/// Tells the seed if the test ends by a panic.
struct Report<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { name, seed } = self;
            eprintln!("\n{name} failed with seed {seed}; again: {SEED}={seed} cargo test -p savanna-sim {name}\n");
        }
    }
}

//! Whole nodes on simulated lines, under a clock that jumps: they follow the chain through latency, loss, rifts and bad company.
//!
//! `SAVANNA_SEED` names the first seed, `SAVANNA_SEEDS` how many follow one another.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod habits;
mod node;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::{Report, live};

/// How many seeds a run of the whole suite takes.
const FEW: u64 = 16;

/// How many are tried where there is time.
const MANY: u64 = 1_000;

#[test]
fn nodes_agree_after_every_trouble() {
    run(FEW);
}

/// In this world a peer leaves its branch for a shorter way on one that is known already.
#[test]
fn a_peer_that_goes_back_to_a_branch_we_know_is_not_blamed() {
    one(949);
}

#[test]
#[ignore = "takes minutes"]
fn nodes_agree_after_every_trouble_of_a_thousand_seeds() {
    run(MANY);
}

/// Runs a world for each seed, on every core.
fn run(count: u64) {
    let first = variable("SAVANNA_SEED").unwrap_or(1);
    let count = variable("SAVANNA_SEEDS").unwrap_or(count);
    let next = AtomicU64::new(first);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let reports = thread::scope(|scope| {
        let work = || {
            let mut reports = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count {
                    return reports;
                }
                reports.push(one(seed));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<Report>>()
    });
    let total = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let slowest = reports.iter().map(|report| report.agreed_after).max().unwrap_or_default();
    println!(
        "{} worlds of {} nodes, {} of them bad, {} blocks, {} reorganisations, {} h of their time; the slowest agreed after {:.1} s",
        reports.len(),
        total(|report| report.nodes as u64),
        total(|report| report.bad as u64),
        total(|report| u64::from(report.blocks)),
        total(|report| u64::from(report.reorganised)),
        total(|report| report.age.as_secs()) / 3600,
        slowest.as_secs_f64(),
    );
    assert!(count < MANY || total(|report| u64::from(report.reorganised)) > 0, "no world was ever torn for long");
}

fn one(seed: u64) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(seed))));
    lived.unwrap_or_else(|panic| {
        eprintln!("SAVANNA_SEED={seed}");
        std::panic::resume_unwind(panic)
    })
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

//! `savanna archive verify`: everything that can be checked, checked again on all cores.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use savanna_store::{BlockStore, Options, Tip};
use serde::Serialize;

use super::progress::Steps;
use super::{UNVERIFIED, open, print, size, tip_of};
use crate::cli::ReportArgs;

mod checks;

use checks::Checks;

/// How many blocks a thread takes at a time.
const RUN: u32 = 256;

/// How many damaged heights are told of, the lowest. Of the rest it is told how many they are.
const MAX_TOLD: usize = 100;

/// How often it is shown how far it has come.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What it came to, in the order of its keys.
#[derive(Debug, Serialize)]
struct Outcome {
    network: &'static str,
    tip_height: u32,
    tip_hash: String,
    blocks: u64,
    bytes: u64,
    seconds: f64,
    damaged: u64,
    damage: Vec<Damage>,
    verified: Vec<String>,
    not_verified: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct Damage {
    height: u32,
    what: String,
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    next: AtomicU32,
    blocks: AtomicU64,
    bytes: AtomicU64,
    damaged: AtomicU64,
    /// The lowest of the damaged heights, with what is wrong there.
    damage: Mutex<BTreeMap<u32, String>>,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let store = open(&args.dir, Options::default())?;
    let tip = tip_of(&store)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let checks = Checks::new(&store, now);
    let outcome = verify(&store, &checks, tip);
    if args.json {
        print(&serde_json::to_string(&outcome)?)?;
    } else {
        print(&to_text(&outcome))?;
    }
    match outcome.damaged {
        0 => Ok(()),
        1 => bail!("{} is damaged at height {}", args.dir.display(), heights(&outcome)),
        many => bail!("{} is damaged at {many} heights: {}", args.dir.display(), heights(&outcome)),
    }
}

fn verify(store: &BlockStore, checks: &Checks<'_>, tip: Tip) -> Outcome {
    let shared = Shared::default();
    let all = u64::from(tip.height) + 1;
    let steps = Steps::new("verified", all);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(checks, tip.height, &shared))).collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            steps.show(shared.blocks.load(Ordering::Relaxed), shared.bytes.load(Ordering::Relaxed));
            thread::park_timeout(BETWEEN_LOOKS);
        }
    });
    let seconds = steps.finish();
    let damage = shared.damage.into_inner().unwrap_or_else(PoisonError::into_inner);
    Outcome {
        network: store.network().name(),
        tip_height: tip.height,
        tip_hash: tip.hash.to_string(),
        blocks: shared.blocks.into_inner(),
        bytes: shared.bytes.into_inner(),
        seconds: (seconds * 1e3).round() / 1e3,
        damaged: shared.damaged.into_inner(),
        damage: damage.into_iter().map(|(height, what)| Damage { height, what }).collect(),
        verified: checks.verified(tip.height),
        not_verified: UNVERIFIED,
    }
}

/// Takes one run of heights after another until all are taken.
fn work(checks: &Checks<'_>, last: u32, shared: &Shared) {
    loop {
        let taken = shared.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (next <= last).then(|| next.saturating_add(RUN))
        });
        let Ok(first) = taken else { return };
        checks.check_run(first, last.min(first.saturating_add(RUN - 1)), |height, found| {
            shared.blocks.fetch_add(1, Ordering::Relaxed);
            match found {
                Ok(length) => {
                    shared.bytes.fetch_add(length, Ordering::Relaxed);
                }
                Err(what) => shared.note(height, what),
            }
        });
    }
}

impl Shared {
    fn note(&self, height: u32, what: String) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        damage.insert(height, what);
        if damage.len() > MAX_TOLD {
            damage.pop_last();
        }
    }
}

/// Lists heights, runs of them as one.
fn heights(outcome: &Outcome) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for Damage { height, .. } in &outcome.damage {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*height) => *last = *height,
            Some(_) | None => runs.push((*height, *height)),
        }
    }
    let runs = runs.into_iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a} to {b}") });
    let mut listed = runs.collect::<Vec<_>>().join(", ");
    if outcome.damaged > outcome.damage.len() as u64 {
        listed += " and further ones above";
    }
    listed
}

fn to_text(outcome: &Outcome) -> String {
    let mut lines: Vec<String> =
        outcome.damage.iter().map(|one| format!("height {}: {}", one.height, one.what)).collect();
    let Outcome { tip_height, tip_hash, blocks, bytes, seconds, .. } = outcome;
    lines.push(format!("height {tip_height}: {tip_hash}"));
    let verdict = match outcome.damaged {
        0 => "nothing is wrong".to_owned(),
        1 => "1 is wrong".to_owned(),
        many => format!("{many} are wrong"),
    };
    lines.push(format!("{blocks} blocks ({}) checked in {seconds:.1} s: {verdict}", size(*bytes)));
    lines.extend(outcome.verified.iter().map(|what| format!("verified: {what}")));
    lines.push(format!("not verified: {}", outcome.not_verified));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_in_a_row_are_told_as_one() {
        let damage: Vec<Damage> =
            [3, 4, 5, 9, 11, 12].map(|height| Damage { height, what: String::new() }).into_iter().collect();
        let outcome = Outcome {
            network: "regtest",
            tip_height: 20,
            tip_hash: String::new(),
            blocks: 21,
            bytes: 0,
            seconds: 0.0,
            damaged: 6,
            damage,
            verified: Vec::new(),
            not_verified: UNVERIFIED,
        };
        assert_eq!(heights(&outcome), "3 to 5, 9, 11 to 12");
        assert_eq!(heights(&Outcome { damaged: 7, ..outcome }), "3 to 5, 9, 11 to 12 and further ones above");
    }

    #[test]
    fn of_much_damage_the_lowest_heights_are_told() {
        let shared = Shared::default();
        for height in (0..1000).rev() {
            shared.note(height, String::new());
        }
        let told = shared.damage.into_inner().unwrap();
        assert_eq!((told.len(), told.last_key_value().map(|(height, _)| *height)), (MAX_TOLD, Some(99)));
    }
}

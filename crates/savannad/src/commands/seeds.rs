//! The seeds of a node: who is asked, and who answered.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use savanna_net::{LOOKUP_DEADLINE, Target, resolve};
use savanna_peerset::{DiscoveryCounts, SeedAnswer, Seeds};
use savanna_wire::{Network, PeerAddr};
use tokio::sync::watch;

/// The most addresses taken from one seed, so that none outnumbers the others by the length of its answer.
const MAX_PER_SEED: usize = 32;

/// DNS seeds that the operator names.
#[derive(Debug, Clone)]
pub(crate) struct NamedSeeds {
    pub(crate) names: Vec<Target>,
    pub(crate) network: Network,
}

impl Seeds for NamedSeeds {
    fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>> {
        let port = self.network.default_port();
        let look_up = |(name, seed): (Target, u8)| async move {
            let found = resolve(&name, port, LOOKUP_DEADLINE).await.ok()?;
            let addresses = found.into_iter().take(MAX_PER_SEED).map(PeerAddr::from).collect();
            Some(SeedAnswer { seed, addresses })
        };
        let lookups: Vec<_> = self.names.clone().into_iter().zip(0..).map(look_up).collect();
        async move { join_all(lookups).await.into_iter().flatten().collect() }.boxed()
    }
}

/// Seeds of which is told who answers.
#[derive(Debug, Clone)]
pub(crate) struct Watched<S> {
    seeds: S,
    told: watch::Sender<BTreeSet<u8>>,
}

impl<S> Watched<S> {
    /// Watches seeds, and returns what tells which answered when they were last asked.
    pub(crate) fn new(seeds: S) -> (Self, watch::Receiver<BTreeSet<u8>>) {
        let (told, answered) = watch::channel(BTreeSet::new());
        (Self { seeds, told }, answered)
    }
}

impl<S: Seeds + Sync> Seeds for Watched<S> {
    fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>> {
        let (asking, told) = (self.seeds.ask(), self.told.clone());
        async move {
            let answers = asking.await;
            told.send_replace(answers.iter().map(|answer| answer.seed).collect());
            answers
        }
        .boxed()
    }
}

/// Says why nobody was found: which seeds did not answer, and what became of dials.
pub(crate) fn why_nobody(names: &[String], answered: &BTreeSet<u8>, counts: &DiscoveryCounts) -> String {
    let mut reasons = Vec::new();
    if counts.seeds_asked > 0 && !names.is_empty() {
        let seeds = names.iter().zip(0..);
        let silent: Vec<_> = seeds.filter(|(_, seed)| !answered.contains(seed)).map(|(name, _)| &**name).collect();
        if !silent.is_empty() {
            reasons.push(format!("{} did not answer", silent.join(", ")));
        }
        if silent.len() < names.len() && counts.seeded.new + counts.seeded.known == 0 {
            reasons.push("the seeds name nobody who may be dialled".to_owned());
        }
    }
    let failures = counts.dials.iter().filter(|(outcome, _)| **outcome != "connected");
    let failures: Vec<_> = failures.map(|(outcome, count)| format!("{count} {}", outcome.replace('_', " "))).collect();
    if !failures.is_empty() {
        reasons.push(format!("dials led to no peer ({})", failures.join(", ")));
    }
    reasons.join("; ")
}

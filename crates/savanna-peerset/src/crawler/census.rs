//! A census: what a crawl found, and what that says about the network.
//!
//! # Security
//! What nodes say is theirs to invent. Medians and percentiles are given instead of means and extremes, so that one liar
//! moves nothing; nothing here is our clock or our height.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use savanna_book::{Netgroup, Prefix};
use savanna_chain::Upgrade;
use savanna_wire::{Network, ProtocolVersion, UserAgent};

use super::{Changes, Ending, Introduction, NetworkKind, Outcome, Record};

pub use lag::Lag;

mod lag;

/// What a crawl found.
#[derive(Debug, Clone)]
pub struct Census {
    /// The network that was crawled.
    pub network: Network,
    /// When it began, by our clock, in Unix seconds.
    pub began: i64,
    /// How long it took.
    pub took: Duration,
    /// Whether no node was left at its end to be asked for the first time.
    pub is_complete: bool,
    /// How many addresses are not among the nodes because a bound kept them out; as many or more, at
    /// [`MAX_PASSED_OVER`](super::MAX_PASSED_OVER).
    pub passed_over: usize,
    /// The nodes, by address.
    pub records: Vec<Record>,
    /// What is different from the census before, if there was one.
    pub changes: Option<Changes>,
}

/// How many nodes there are of each outcome. They add up to `known`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// All nodes that were heard of.
    pub known: usize,
    /// See [`Outcome::Reached`].
    pub reached: usize,
    /// See [`Outcome::Refused`].
    pub refused: usize,
    /// See [`Outcome::Silent`].
    pub silent: usize,
    /// See [`Outcome::Obsolete`].
    pub obsolete: usize,
    /// See [`Outcome::OtherChain`].
    pub other_chain: usize,
    /// See [`Outcome::Unroutable`].
    pub unroutable: usize,
    /// See [`Outcome::Untried`].
    pub untried: usize,
}

/// An upgrade of the network, and how many of its nodes can follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeReadiness {
    /// The upgrade.
    pub upgrade: Upgrade,
    /// Its first height, where the network has one.
    pub activation_height: Option<u32>,
    /// The version that a node must speak from then on.
    pub version: ProtocolVersion,
    /// How many nodes speak it, or a later one.
    pub ready: usize,
    /// How many do not.
    pub left_behind: usize,
}

/// How many nodes of a kind of network there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindCount {
    /// The kind.
    pub kind: NetworkKind,
    /// How many are known.
    pub known: usize,
    /// How many of them said who they are, and belong to the network.
    pub alive: usize,
}

/// How values are spread, by rank: a tenth of them are at most `p10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread<T> {
    /// How many values there are.
    pub count: usize,
    /// The least.
    pub least: T,
    /// The first decile.
    pub p10: T,
    /// The middle.
    pub median: T,
    /// The ninth decile.
    pub p90: T,
    /// The 99th percentile.
    pub p99: T,
    /// The greatest.
    pub greatest: T,
}

impl<T: Ord + Copy> Spread<T> {
    /// Ranks values; `None` if there are none.
    #[must_use]
    pub fn of(mut values: Vec<T>) -> Option<Self> {
        values.sort_unstable();
        let count = values.len();
        let at = |percent: usize| values.get((count * percent / 100).min(count.saturating_sub(1))).copied();
        Some(Self {
            count,
            least: at(0)?,
            p10: at(10)?,
            median: at(50)?,
            p90: at(90)?,
            p99: at(99)?,
            greatest: at(100)?,
        })
    }
}

impl Census {
    /// Counts the nodes by outcome.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for record in &self.records {
            summary.count(record.outcome);
        }
        summary
    }

    /// Iterates over the nodes that said who they are and belong to the network, obsolete ones included: those that the
    /// figures below are about.
    pub fn alive(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| matches!(record.outcome, Outcome::Reached | Outcome::Obsolete))
    }

    /// Iterates over the nodes of other chains that share the magic.
    pub fn other_chains(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.outcome == Outcome::OtherChain)
    }

    /// Counts how the conversations with nodes of an outcome ended, the most common ending first.
    #[must_use]
    pub fn endings(&self, outcome: Outcome) -> Vec<(Ending, usize)> {
        let of_outcome = self.records.iter().filter(|record| record.outcome == outcome);
        tally(of_outcome.filter_map(|record| record.ending))
    }

    /// Counts the software in use, the most common first.
    #[must_use]
    pub fn user_agents(&self) -> Vec<(UserAgent, usize)> {
        tally(self.introductions().map(|introduction| introduction.user_agent.clone()))
    }

    /// Counts the protocol versions spoken, the most common first.
    #[must_use]
    pub fn versions(&self) -> Vec<(ProtocolVersion, usize)> {
        tally(self.introductions().map(|introduction| introduction.version))
    }

    /// Counts who can follow which upgrade and who would be left behind, in the order of the upgrades.
    #[must_use]
    pub fn upgrades(&self) -> Vec<UpgradeReadiness> {
        let versions: Vec<_> = self.introductions().map(|introduction| introduction.version).collect();
        let readiness = |upgrade: Upgrade| {
            let version = upgrade.protocol_version(self.network);
            let ready = versions.iter().filter(|spoken| **spoken >= version).count();
            let activation_height = upgrade.activation_height(self.network);
            UpgradeReadiness { upgrade, activation_height, version, ready, left_behind: versions.len() - ready }
        };
        Upgrade::ALL.into_iter().map(readiness).collect()
    }

    /// Ranks the heights claimed.
    #[must_use]
    pub fn heights(&self) -> Option<Spread<i32>> {
        Spread::of(self.introductions().map(|introduction| introduction.height).collect())
    }

    /// Counts how far nodes are behind the median height.
    #[must_use]
    pub fn lag(&self) -> Lag {
        let told = |record: &Record| Some((record.introduction.as_deref()?.height, record.last_seen));
        Lag::of(self.network, &self.alive().filter_map(told).collect::<Vec<_>>())
    }

    /// Counts how many nodes set each bit of their services, by the number of the bit.
    #[must_use]
    pub fn services(&self) -> Vec<(u8, usize)> {
        let mut counts = BTreeMap::new();
        for introduction in self.introductions() {
            for bit in (0..64_u8).filter(|bit| introduction.services.0 >> bit & 1 == 1) {
                *counts.entry(bit).or_insert(0) += 1;
            }
        }
        counts.into_iter().collect()
    }

    /// Counts nodes by the part of their network, the most common first.
    #[must_use]
    pub fn groups(&self) -> Vec<(Netgroup, usize)> {
        tally(self.alive().map(Record::group))
    }

    /// Counts nodes by the kind of their network, in the order of [`NetworkKind::ALL`].
    #[must_use]
    pub fn kinds(&self) -> Vec<KindCount> {
        let count = |kind| KindCount {
            kind,
            known: self.records.iter().filter(|record| record.kind() == kind).count(),
            alive: self.alive().filter(|record| record.kind() == kind).count(),
        };
        NetworkKind::ALL.map(count).to_vec()
    }

    /// Counts the hosts: nodes that differ in their port alone are one, and so are IPv6 addresses of one /64.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts_by(|_| ()).get(&()).copied().unwrap_or(0)
    }

    /// Counts the hosts by something that their nodes say.
    ///
    /// # Security
    /// A host can be several nodes at no cost. Where there are far fewer hosts than nodes, the nodes are few people's.
    #[must_use]
    pub fn hosts_by<T: Ord>(&self, said: impl Fn(&Introduction) -> T) -> BTreeMap<T, usize> {
        let mut hosts = BTreeMap::<T, BTreeSet<Prefix>>::new();
        for record in self.alive() {
            if let Some(introduction) = &record.introduction {
                hosts.entry(said(introduction)).or_default().insert(Prefix::of(record.address.host));
            }
        }
        hosts.into_iter().map(|(said, hosts)| (said, hosts.len())).collect()
    }

    /// Ranks the round trips measured.
    #[must_use]
    pub fn round_trips(&self) -> Option<Spread<Duration>> {
        Spread::of(self.introductions().filter_map(|introduction| introduction.round_trip).collect())
    }

    /// Ranks how long connecting took.
    #[must_use]
    pub fn connect_times(&self) -> Option<Spread<Duration>> {
        Spread::of(self.introductions().filter_map(|introduction| introduction.connect).collect())
    }

    fn introductions(&self) -> impl Iterator<Item = &Introduction> {
        self.alive().filter_map(|record| record.introduction.as_deref())
    }
}

impl Summary {
    /// Counts a node in.
    pub(super) const fn count(&mut self, outcome: Outcome) {
        self.known += 1;
        *self.of_mut(outcome) += 1;
    }

    /// Moves a node from one outcome to another.
    pub(super) const fn recount(&mut self, from: Outcome, to: Outcome) {
        *self.of_mut(from) -= 1;
        *self.of_mut(to) += 1;
    }

    const fn of_mut(&mut self, outcome: Outcome) -> &mut usize {
        match outcome {
            Outcome::Untried => &mut self.untried,
            Outcome::Reached => &mut self.reached,
            Outcome::Refused => &mut self.refused,
            Outcome::Silent => &mut self.silent,
            Outcome::Obsolete => &mut self.obsolete,
            Outcome::OtherChain => &mut self.other_chain,
            Outcome::Unroutable => &mut self.unroutable,
        }
    }
}

/// Counts equal values, the most common first, equal counts by value.
fn tally<T: Ord>(values: impl Iterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0_usize) += 1;
    }
    let mut tally: Vec<_> = counts.into_iter().collect();
    tally.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    tally
}

#[cfg(test)]
mod tests;

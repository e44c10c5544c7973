//! Who may be named at a moment, and what is known of each.

use std::collections::{BTreeMap, BTreeSet};

use savanna_book::{Handshake, Netgroup, UnixTime};
use savanna_peerset::crawler::Chain;
use savanna_wire::{PeerAddr, ProtocolVersion};

use super::{Ledger, Node};
use crate::servable::{Candidate, Height, Rules};
use crate::{LARGEST, Nameable, Refusal, Reliability, Roll, Sweep};

/// How many groups have to be ready for an upgrade that is near, until others are named no more, and what part of all good ones.
const READY_GROUPS: usize = 8;
const READY_PART: usize = 3;

/// Who may be named at a moment, and why others may not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vetting {
    /// Those that may; none when nothing is known of the present.
    pub roll: Roll,
    /// Whether nothing is known of the present.
    pub is_stale: bool,
    /// Whether nodes are named of which it is not known whether they stay, because too few do so far.
    pub is_provisional: bool,
    /// How many are refused for each reason. They and the good ones add up to those that are tracked.
    pub refused: BTreeMap<Refusal, usize>,
    /// How many are good, named or not.
    pub good: usize,
    /// The network's height, by what most groups say.
    pub height: Option<i32>,
}

/// What is known of a node, to be written down.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Where it listens.
    pub address: PeerAddr,
    /// Whether it may be named.
    pub verdict: Result<Nameable, Refusal>,
    /// How reliably it answers.
    pub reliability: &'a Reliability,
    /// When it was first heard of.
    pub first_heard: UnixTime,
    /// When it last answered.
    pub last_success: UnixTime,
    /// How many tries in a row it has not answered.
    pub failures: u8,
    /// What it said of itself.
    pub said: Option<&'a Handshake>,
    /// What its headers say about its chain.
    pub chain: Chain,
}

impl Ledger {
    /// Says who may be named, and counts why others may not.
    #[must_use]
    pub fn vet(&self, now: UnixTime) -> Vetting {
        let mut vetting = Vetting { is_stale: self.is_stale(now), height: self.height(now), ..Vetting::default() };
        let mut good = Vec::new();
        let rules = self.rules(now, vetting.height);
        vetting.is_provisional = !rules.asks_stay;
        let mut refuse = |reason| *vetting.refused.entry(reason).or_default() += 1;
        for node in self.nodes.iter().flatten() {
            match rules.judge(&node.candidate()) {
                Ok(nameable) => good.push((nameable, node)),
                Err(reason) => refuse(reason),
            }
        }
        if let Some(version) = self.preferred(&good, vetting.height) {
            let (ready, others): (Vec<_>, _) = good.into_iter().partition(|(_, node)| node.speaks(version));
            others.iter().for_each(|_| refuse(Refusal::NotReady));
            good = ready;
        }
        vetting.good = good.len();
        if !vetting.is_stale {
            vetting.roll.nodes = good.into_iter().map(|(nameable, _)| nameable).collect();
            vetting.roll.nodes.sort_unstable();
            vetting.roll.nodes.dedup_by_key(|nameable| nameable.ip);
        }
        vetting
    }

    /// Returns the nodes that may be named: none when nothing is known of the present.
    #[must_use]
    pub fn roll(&self, now: UnixTime) -> Roll {
        if self.is_stale(now) { Roll::default() } else { self.vet(now).roll }
    }

    /// Iterates over all that is known, by address.
    pub fn reports(&self, now: UnixTime) -> impl Iterator<Item = Report<'_>> {
        let height = self.height(now);
        let rules = self.rules(now, height);
        let good = self.nodes.iter().flatten().filter_map(|node| Some((rules.judge(&node.candidate()).ok()?, node)));
        let preferred = self.preferred(&good.collect::<Vec<_>>(), height);
        let is_ready = move |node: &Node| preferred.is_none_or(|version| node.speaks(version));
        let nodes = self.index.values().filter_map(|id| self.nodes[*id as usize].as_ref());
        nodes.map(move |node| Report {
            address: node.address,
            verdict: rules
                .judge(&node.candidate())
                .and_then(|nameable| if is_ready(node) { Ok(nameable) } else { Err(Refusal::NotReady) }),
            reliability: &node.reliability,
            first_heard: node.first_heard,
            last_success: node.last_success,
            failures: node.failures,
            said: node.said.as_deref(),
            chain: node.chain,
        })
    }

    /// Returns what a node must be. It must have stayed, unless so few have that they are neither as many as an answer names
    /// nor half of those that answer.
    fn rules(&self, now: UnixTime, height: Option<i32>) -> Rules {
        let (network, scope) = (self.config.network, self.config.scope);
        let mut rules = Rules { network, scope, floor: self.floor.version(), height, asks_stay: false, now };
        let good = self.nodes.iter().flatten().filter(|node| rules.judge(&node.candidate()).is_ok());
        let (mut all, mut stayed) = (0, 0);
        good.for_each(|node| (all, stayed) = (all + 1, stayed + usize::from(node.steadiness.has_stayed())));
        rules.asks_stay = stayed >= LARGEST || stayed * 2 >= all;
        rules
    }

    /// Returns the version that is named alone, if an upgrade is near and enough groups speak it.
    ///
    /// # Security
    /// Versions are claims. So a group has one voice, and it takes a third of them to have the others named no more.
    fn preferred(&self, good: &[(Nameable, &Node)], height: Option<i32>) -> Option<ProtocolVersion> {
        let version = self.floor.preferred(height)?;
        let ready = good.iter().filter(|(_, node)| node.speaks(version));
        let groups: BTreeSet<_> = ready.map(|(_, node)| Netgroup::of(node.address.host)).collect();
        let all: BTreeSet<_> = good.iter().map(|(_, node)| Netgroup::of(node.address.host)).collect();
        (groups.len() >= READY_GROUPS && groups.len() * READY_PART >= all.len()).then_some(version)
    }

    /// Returns the network's height: the median over groups of the medians within them.
    ///
    /// # Security
    /// Heights are claims. So a group has one voice, and half of the groups have to lie to move the median.
    fn height(&self, now: UnixTime) -> Option<i32> {
        let mut groups = BTreeMap::<Netgroup, Vec<i32>>::new();
        for (node, said) in self.present(now) {
            groups.entry(Netgroup::of(node.address.host)).or_default().push(self.height_of(node, said, now));
        }
        median(groups.into_values().filter_map(median).collect())
    }

    /// Returns what the last hour or so has found, for the floor.
    pub(super) fn sweep(&self, now: UnixTime) -> Sweep {
        let mut sweep = Sweep::default();
        for (node, said) in self.present(now) {
            if node.reliability.is_good_so_far() {
                let view = sweep.groups.entry(Netgroup::of(node.address.host)).or_default();
                view.nodes.push((said.version, self.height_of(node, said, now)));
            }
        }
        sweep
    }

    fn height_of(&self, node: &Node, said: &Handshake, now: UnixTime) -> i32 {
        Height { claimed: said.height, at: node.last_success }.by(self.config.network, now)
    }

    /// Iterates over the nodes of this chain that are there, at this moment, as far as is known.
    fn present(&self, now: UnixTime) -> impl Iterator<Item = (&Node, &Handshake)> {
        let is_present = move |node: &&Node| {
            let is_fresh = now.since(node.last_success) <= Rules::FRESH_FOR && node.failures < Rules::GONE_AFTER;
            node.chain == Chain::Ours && is_fresh
        };
        let version = self.floor.version();
        let nodes = self.nodes.iter().flatten().filter(is_present);
        nodes.filter_map(move |node| Some((node, node.said.as_deref().filter(|said| said.version >= version)?)))
    }
}

impl Node {
    fn candidate(&self) -> Candidate<'_> {
        Candidate {
            address: self.address,
            said: self.said.as_deref(),
            chain: self.chain,
            reliability: &self.reliability,
            steadiness: self.steadiness,
            last_success: self.last_success,
            failures: self.failures,
        }
    }

    fn speaks(&self, version: ProtocolVersion) -> bool {
        self.said.as_ref().is_some_and(|said| said.version >= version)
    }
}

fn median(mut values: Vec<i32>) -> Option<i32> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

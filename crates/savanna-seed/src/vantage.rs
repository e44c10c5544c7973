//! What several machines see of one network, made one.

use std::collections::BTreeMap;
use std::sync::Arc;

use savanna_book::UnixTime;
use savanna_wire::{PeerAddr, Services};

use crate::{Ledger, Nameable, Refusal, Roll, Rules};

/// What a vantage point saw of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The node.
    pub address: PeerAddr,
    /// What it offers, if it may be named from there.
    pub good: Option<Services>,
    /// Whether it answered the last time that it was asked from there.
    pub is_reached: bool,
}

/// What a vantage point saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VantagePoint {
    /// When it last reported, by the clock that all share.
    pub at: UnixTime,
    /// The nodes that it tried and has an opinion on.
    pub sightings: Arc<[Sighting]>,
}

/// What comes of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Union {
    /// The nodes that most vantage points find good, of those that tried them.
    pub roll: Roll,
    /// How many vantage points had a voice.
    pub heard: usize,
    /// How many had none because they have not reported for too long.
    pub stale: usize,
    /// How many had none because they reach next to nobody.
    pub offline: usize,
}

impl VantagePoint {
    /// Tells what a ledger saw. Nodes that were not tried, those that it has not known for long enough, and those on networks that
    /// this machine has no way to, are left to others.
    #[must_use]
    pub fn of(ledger: &Ledger, now: UnixTime) -> Self {
        let has_none = [Refusal::Untried, Refusal::Port, Refusal::Unroutable, Refusal::New];
        let has_opinion = |refusal: Refusal| !has_none.contains(&refusal);
        let sightings = ledger.reports(now).filter(|report| report.verdict.err().is_none_or(has_opinion));
        let sightings = sightings.map(|report| Sighting {
            address: report.address,
            good: report.verdict.ok().map(|nameable| nameable.services),
            is_reached: report.failures == 0 && now.since(report.last_success) <= Rules::FRESH_FOR,
        });
        // In a small network nobody may have been asked for a while, and what is known is still of the present.
        let at = if ledger.is_stale(now) { ledger.last_heard() } else { now };
        Self { at, sightings: sightings.collect() }
    }

    fn reached(&self) -> usize {
        self.sightings.iter().filter(|sighting| sighting.is_reached).count()
    }
}

/// Makes one roll of what several vantage points see. The same reports give the same roll, whoever asks.
///
/// A node is named when more than half of the vantage points that tried it find it good: of two, both. One that has not reported for
/// `stale_after` seconds, or whose clock is ahead by more, has no voice, and neither has one that reaches less than a tenth of what the best of the others does: it is
/// offline itself. Without a voice left, nobody is named.
///
/// What a node offers is what all who find it good have seen.
#[must_use]
pub fn merge(points: &[VantagePoint], stale_after: u32, now: UnixTime) -> Union {
    let mut union = Union::default();
    let (fresh, stale): (Vec<_>, Vec<_>) =
        points.iter().partition(|point| now.since(point.at).max(point.at.since(now)) <= stale_after);
    let most = fresh.iter().map(|point| point.reached()).max().unwrap_or(0);
    let (online, offline): (Vec<_>, Vec<_>) =
        fresh.into_iter().partition(|point| point.reached() > 0 && point.reached() * 10 >= most);
    (union.heard, union.stale, union.offline) = (online.len(), stale.len(), offline.len());
    let mut votes = BTreeMap::<PeerAddr, Votes>::new();
    for sighting in online.iter().flat_map(|point| point.sightings.iter()) {
        votes.entry(sighting.address).or_default().count(sighting.good);
    }
    let named = votes.into_iter().filter(|(_, votes)| votes.good * 2 > votes.all);
    let nameable = |(address, votes): (PeerAddr, Votes)| {
        Some(Nameable { ip: address.socket_addr()?.ip(), services: votes.services })
    };
    union.roll.nodes = named.filter_map(nameable).collect();
    union.roll.nodes.sort_unstable();
    union.roll.nodes.dedup_by_key(|nameable| nameable.ip);
    union
}

#[derive(Debug)]
struct Votes {
    all: usize,
    good: usize,
    services: Services,
}

impl Default for Votes {
    fn default() -> Self {
        Self { all: 0, good: 0, services: Services(u64::MAX) }
    }
}

impl Votes {
    fn count(&mut self, good: Option<Services>) {
        self.all += 1;
        if let Some(services) = good {
            self.good += 1;
            self.services = Services(self.services.0 & services.0);
        }
    }
}

#[cfg(test)]
mod tests;

//! How fast peers may come in, whatever place there is: one network, its surroundings, all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::slots::Netgroup;

/// How many networks are remembered of each size; beyond them newcomers are shed, until a bucket has filled up again.
const MAX_BUCKETS: usize = 1024;

/// How often something may happen: a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How often in a row, after a long rest. With 0 it never happens.
    pub burst: u32,
    /// How long a token takes to come back. With zero there is no limit.
    pub every: Duration,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { burst: 1, every: Duration::ZERO };

    /// Returns whether a bucket that would be full at `full_at` has a token.
    fn has_token(self, full_at: Duration, now: Duration) -> bool {
        let Some(missing) = self.burst.checked_sub(1) else { return false };
        full_at <= now.saturating_add(self.every.saturating_mul(missing))
    }

    /// Takes a token and returns when the bucket would be full again.
    fn take(self, full_at: Duration, now: Duration) -> Duration {
        full_at.max(now).saturating_add(self.every)
    }
}

/// How fast peers may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptRates {
    /// From one IPv4 /24 or one IPv6 /64.
    pub netgroup: Rate,
    /// From one IPv4 /16 or one IPv6 /32.
    pub range: Rate,
    /// From anywhere.
    pub all: Rate,
}

impl AcceptRates {
    /// What suits a node on the public network: its places can be taken in seconds, by many networks and not by one.
    pub const PUBLIC: Self = Self {
        netgroup: Rate { burst: 4, every: Duration::from_secs(5) },
        range: Rate { burst: 16, every: Duration::from_secs(2) },
        all: Rate { burst: 64, every: Duration::from_micros(62_500) },
    };

    /// What suits nodes that share one machine.
    pub const LOCAL: Self = Self { netgroup: Rate::UNLIMITED, range: Rate::UNLIMITED, all: Rate::UNLIMITED };
}

/// Decides who comes in too fast, without IO.
///
/// # Security
/// Against a flood of connections. What a network is refused costs nobody else a token: only what is admitted is taken from
/// the buckets of all, so one network, however many addresses it has, takes its own share and no more. A bucket that is full
/// is not kept, so the memory is that of what was admitted lately.
#[derive(Debug)]
pub(crate) struct Admission {
    rates: AcceptRates,
    /// When the bucket of each network will be full.
    netgroups: BTreeMap<Netgroup, Duration>,
    ranges: BTreeMap<Netgroup, Duration>,
    all: Duration,
}

impl Admission {
    pub(crate) const fn new(rates: AcceptRates) -> Self {
        Self { rates, netgroups: BTreeMap::new(), ranges: BTreeMap::new(), all: Duration::ZERO }
    }

    /// Returns whether a connection from `ip` may come in, and counts it if so.
    pub(crate) fn admit(&mut self, ip: IpAddr, now: Duration) -> bool {
        let AcceptRates { netgroup: near, range: around, all } = self.rates;
        let netgroup = Netgroup::from(ip);
        let range = netgroup.range();
        let netgroup_full_at = self.netgroups.get(&netgroup).copied().unwrap_or_default();
        let range_full_at = self.ranges.get(&range).copied().unwrap_or_default();
        let is_admitted = near.has_token(netgroup_full_at, now)
            && around.has_token(range_full_at, now)
            && all.has_token(self.all, now)
            && has_room(&mut self.netgroups, now)
            && has_room(&mut self.ranges, now);
        if is_admitted {
            note(&mut self.netgroups, netgroup, near.take(netgroup_full_at, now), now);
            note(&mut self.ranges, range, around.take(range_full_at, now), now);
            self.all = all.take(self.all, now);
        }
        is_admitted
    }
}

/// Returns whether another bucket may be kept, after those were forgotten that are full, if need be.
fn has_room(buckets: &mut BTreeMap<Netgroup, Duration>, now: Duration) -> bool {
    if buckets.len() >= MAX_BUCKETS {
        buckets.retain(|_, full_at| *full_at > now);
    }
    buckets.len() < MAX_BUCKETS
}

fn note(buckets: &mut BTreeMap<Netgroup, Duration>, group: Netgroup, full_at: Duration, now: Duration) {
    if full_at > now {
        buckets.insert(group, full_at);
    }
}

#[cfg(test)]
mod tests;

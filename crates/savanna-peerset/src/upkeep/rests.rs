//! Which addresses of the book are left alone for a while, because their connection ended soon.

use std::collections::BTreeMap;
use std::time::Duration;

use savanna_wire::PeerAddr;

/// How long an address rests whose connection did not last; each further time doubles it.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// How many addresses are remembered; beyond them the one that rests the shortest is forgotten.
const MAX_RESTS: usize = 256;

/// The addresses that rest. Of dials that failed the book keeps account; a handshake that succeeded is a success to it.
///
/// # Security
/// A peer that hangs up at once would be dialled in a circle.
#[derive(Debug, Default)]
pub(super) struct Rests(BTreeMap<PeerAddr, Rest>);

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Duration,
    times: u32,
}

impl Rests {
    pub(super) fn rest(&mut self, address: PeerAddr, now: Duration) {
        if self.0.len() >= MAX_RESTS && !self.0.contains_key(&address) {
            let shortest = self.0.iter().min_by_key(|(_, rest)| rest.until).map(|(address, _)| *address);
            shortest.map(|address| self.0.remove(&address));
        }
        let rest = self.0.entry(address).or_insert(Rest { until: now, times: 0 });
        rest.until = now + FIRST.saturating_mul(1 << rest.times.min(10)).min(LONGEST);
        rest.times += 1;
    }

    /// Returns the addresses that rest.
    pub(super) fn resting(&self, now: Duration) -> impl Iterator<Item = PeerAddr> + '_ {
        self.0.iter().filter(move |(_, rest)| now < rest.until).map(|(address, _)| *address)
    }

    pub(super) fn forget(&mut self, address: PeerAddr) {
        self.0.remove(&address);
    }
}

//! Telling that our own network is down.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::NetworkKind;

/// Whether there is a way out, by what dials come to.
///
/// # Security
/// Whoever makes up addresses without a way could have the crawl pause. So there are few pauses, and none while others answer.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Where somebody has answered: there was a way once.
    answered: BTreeSet<NetworkKind>,
    in_a_row: usize,
    pauses: usize,
    until: Option<Duration>,
}

impl Outage {
    /// So many dials in a row without a way, and nobody who answers in between, are an outage.
    pub(super) const FLOOD: usize = 16;
    /// How long nobody is dialled then.
    pub(super) const PAUSE: Duration = Duration::from_secs(10);
    /// How many pauses a crawl has at most.
    const MAX_PAUSES: usize = 60;

    /// Notes that somebody answered, be it with a refusal.
    pub(super) fn answer(&mut self, kind: NetworkKind) {
        self.answered.insert(kind);
        self.in_a_row = 0;
    }

    /// Notes that there was no way to a node; says whether the fault may be ours.
    pub(super) fn no_route(&mut self, kind: NetworkKind, now: Duration) -> bool {
        if !self.answered.contains(&kind) {
            return false;
        }
        if !self.is_pausing(now) {
            self.in_a_row += 1;
            if self.in_a_row >= Self::FLOOD && self.pauses < Self::MAX_PAUSES {
                self.in_a_row = 0;
                self.pauses += 1;
                self.until = Some(now + Self::PAUSE);
            }
        }
        true
    }

    pub(super) fn is_pausing(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Returns when the last pause ends, or ended.
    pub(super) const fn until(&self) -> Option<Duration> {
        self.until
    }
}

//! Whether it is the peers who are out of reach, or we.

use std::collections::BTreeSet;
use std::time::Duration;

use savanna_peer::Now;
use savanna_wire::PeerAddr;

/// So many addresses in a row lead nowhere, while nobody is connected, before it is we who count as out of reach.
const OFFLINE_AFTER: usize = 64;

/// So many in a row no longer tell against the addresses, even while somebody is connected: a connection that is dead takes a
/// while to be found out.
const DOUBTFUL_AFTER: usize = 16;

/// How long dialling pauses between two addresses then: to begin with, and at most. A network that is back is noticed within
/// the latter.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// By how much the clocks may drift apart between two looks, in seconds, before the machine counts as having slept.
const SLEPT: u64 = 60;

/// How long after a sleep failures tell nothing of peers: the machine's network takes a while to wake.
const WAKING: Duration = Duration::from_secs(15);

/// What is known of our own reach.
#[derive(Debug, Default)]
pub(super) struct Weather {
    failed: BTreeSet<PeerAddr>,
    pause: Duration,
    paused_until: Duration,
    last: Option<Now>,
    waking_until: Duration,
}

impl Weather {
    /// Looks at the clocks; returns whether the machine has slept since the last look.
    ///
    /// The monotonic clock stands still in a sleep, the calendar does not.
    pub(super) fn look(&mut self, now: Now) -> bool {
        let Some(last) = self.last.replace(now) else { return false };
        let elapsed = now.monotonic.saturating_sub(last.monotonic).as_secs();
        let has_slept = now.unix.saturating_sub(last.unix) > i64::try_from(elapsed + SLEPT).unwrap_or(i64::MAX);
        if has_slept {
            self.waking_until = now.monotonic + WAKING;
            self.clear();
        }
        has_slept
    }

    /// Notes that an address leads nowhere. Returns whether that tells against it.
    pub(super) fn silent(&mut self, address: PeerAddr, is_anybody_connected: bool, now: Duration) -> bool {
        if self.failed.len() < OFFLINE_AFTER {
            self.failed.insert(address);
        } else {
            self.pause = self.pause.mul_f64(1.25).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
        is_anybody_connected && self.failed.len() <= DOUBTFUL_AFTER && now >= self.waking_until
    }

    /// Notes that somebody answered: we can be heard. Returns whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        let was_offline = self.is_offline();
        self.clear();
        was_offline
    }

    /// Returns whether we count as out of reach.
    pub(super) fn is_offline(&self) -> bool {
        self.failed.len() >= OFFLINE_AFTER
    }

    /// Notes that an address is dialled.
    pub(super) fn dialed(&mut self, now: Duration) {
        self.paused_until = now + self.pause;
    }

    /// Returns until when no address is to be dialled.
    pub(super) fn pause(&self) -> Duration {
        if self.is_offline() { self.paused_until } else { Duration::ZERO }
    }

    fn clear(&mut self) {
        self.failed.clear();
        (self.pause, self.paused_until) = (Duration::ZERO, Duration::ZERO);
    }
}

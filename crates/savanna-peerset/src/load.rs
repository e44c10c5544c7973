//! How near a peer is, how fast, and how much it has to do.

use std::time::Duration;

/// What a peer is taken to be until it has been measured: good enough to be tried, no better than a good one.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(200);
const ASSUMED_RATE: f64 = 1_000_000.0;

/// How much of what was known a new measurement leaves.
const MEMORY: f64 = 0.75;

/// How many hashes a peer may have in flight to begin with.
pub(crate) const FIRST_WINDOW: usize = 16;

/// How many a fast peer may have in flight.
pub(crate) const WIDEST_WINDOW: usize = 48;

/// How many a slow peer may have in flight, as long as it delivers.
const SLOW_WINDOW: usize = 4;

/// A window holds what the peer delivers in this time.
const HORIZON: f64 = 1.0;

/// How long a peer that gave nothing is asked for lists only where nobody else is left; it doubles each time, so many times.
const FIRST_REST: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 6;

/// Measures one peer.
///
/// # Security
/// Only what a peer delivers makes it fast; what it claims or announces does not. Being late, or answering without a single
/// block, halves its window, down to one hash, and costs it its place: until it delivers again it is asked where nobody else is
/// left, and now and then for one block that another is asked for too. So a peer that stalls holds nothing up.
#[derive(Debug)]
pub(crate) struct Load {
    round_trip: Option<Duration>,
    /// Bytes and blocks delivered and the seconds it took, each fading.
    bytes: f64,
    blocks: f64,
    seconds: f64,
    last_delivery: Duration,
    window: usize,
    /// How many times in a row it gave nothing, when last, and until when it rests.
    barren: u32,
    barren_at: Duration,
    rests_until: Duration,
    /// Small questions in flight.
    pub(crate) small: usize,
    /// Hashes in flight, and the bytes they are expected to be.
    pub(crate) hashes: usize,
    pub(crate) pending_bytes: u64,
}

impl Load {
    pub(crate) const fn new(round_trip: Option<Duration>) -> Self {
        Self {
            round_trip,
            bytes: 0.0,
            blocks: 0.0,
            seconds: 0.0,
            last_delivery: Duration::ZERO,
            window: FIRST_WINDOW,
            barren: 0,
            barren_at: Duration::ZERO,
            rests_until: Duration::ZERO,
            small: 0,
            hashes: 0,
            pending_bytes: 0,
        }
    }

    /// Returns how many more hashes the peer may be asked for.
    pub(crate) const fn room(&self) -> usize {
        self.window.saturating_sub(self.hashes)
    }

    pub(crate) const fn window(&self) -> usize {
        self.window
    }

    /// Returns whether the last it was asked for came.
    pub(crate) const fn is_trusted(&self) -> bool {
        self.barren == 0
    }

    /// Returns whether it has ever answered a small question.
    pub(crate) const fn is_measured(&self) -> bool {
        self.round_trip.is_some()
    }

    /// Returns whether it has ever delivered anything.
    pub(crate) const fn is_proven(&self) -> bool {
        self.blocks > 0.0
    }

    /// Returns whether a peer that gave nothing may show again what it can do.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.barren > 0 && self.hashes == 0 && now >= self.rests_until
    }

    /// Notes that it is given a chance: the next comes after as long a rest.
    pub(crate) fn give_chance(&mut self, now: Duration) {
        self.rests_until = now + FIRST_REST * (1 << self.barren.saturating_sub(1).min(MAX_DOUBLINGS));
    }

    /// Returns how long one more small question is likely to take.
    pub(crate) fn small_wait(&self) -> Duration {
        let waiting = u32::try_from(self.small).unwrap_or(u32::MAX);
        let nearness = self.round_trip.unwrap_or(ASSUMED_ROUND_TRIP);
        nearness.saturating_mul(waiting.saturating_add(1)).saturating_add(self.transfer(self.pending_bytes))
    }

    /// Returns how long one more list of `bytes` is likely to take.
    pub(crate) fn bulk_wait(&self, bytes: u64) -> Duration {
        let nearness = self.round_trip.unwrap_or(ASSUMED_ROUND_TRIP);
        nearness.saturating_add(self.transfer(self.pending_bytes.saturating_add(bytes)))
    }

    /// Notes that a small question was answered.
    pub(crate) fn answered(&mut self, took: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => took,
            Some(known) => known.mul_f64(MEMORY) + took.mul_f64(1.0 - MEMORY),
        });
    }

    /// Notes that an answer has been waited for so long already.
    pub(crate) fn late(&mut self, waited: Duration) {
        self.round_trip = Some(self.round_trip.unwrap_or(waited).max(waited));
    }

    /// Notes what a list brought that was asked for at `begun`.
    ///
    /// Lists come one behind the other, so the time of one begins where the one before it ended.
    pub(crate) fn delivered(&mut self, blocks: usize, bytes: u64, begun: Duration, now: Duration) {
        self.fade(blocks as f64, bytes as f64, now.saturating_sub(begun.max(self.last_delivery)));
        self.last_delivery = now;
        self.barren = 0;
        // A list takes a round trip at the least.
        let took = now.saturating_sub(begun);
        self.round_trip = Some(self.round_trip.map_or(took, |known| known.min(took)));
        let deserved = self.deserved_window();
        self.window = if deserved > self.window {
            (self.window + blocks).min(deserved)
        } else if deserved < self.window {
            self.window - 1
        } else {
            self.window
        };
    }

    /// Notes that a list is overdue, or brought nothing.
    pub(crate) fn stalled(&mut self, begun: Duration, now: Duration) {
        self.fade(0.0, 0.0, now.saturating_sub(begun.max(self.last_delivery)));
        self.window = (self.window / 2).max(1);
        // Of lists that were asked for together, one fault is counted.
        if self.barren == 0 || begun > self.barren_at {
            self.barren += 1;
            self.barren_at = now;
            self.give_chance(now);
        }
    }

    fn fade(&mut self, blocks: f64, bytes: f64, took: Duration) {
        self.blocks = self.blocks * MEMORY + blocks;
        self.bytes = self.bytes * MEMORY + bytes;
        self.seconds = self.seconds * MEMORY + took.as_secs_f64();
    }

    fn deserved_window(&self) -> usize {
        (SLOW_WINDOW..WIDEST_WINDOW)
            .rev()
            .find(|window| *window as f64 * self.seconds <= self.blocks * HORIZON)
            .map_or(SLOW_WINDOW, |window| window + 1)
    }

    /// Returns how long so many bytes take.
    fn transfer(&self, bytes: u64) -> Duration {
        let rate = if self.seconds > 0.0 { self.bytes / self.seconds } else { ASSUMED_RATE };
        // A peer that has only ever stalled is not infinitely slow, only slower than the rest.
        Duration::from_secs_f64((bytes as f64 / rate.max(1_000.0)).min(1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_window_grows_with_what_is_delivered_and_no_further_than_its_bound() {
        let mut load = Load::new(None);
        assert_eq!(load.window(), FIRST_WINDOW);
        for turn in 0..20 {
            load.delivered(8, 480_000, ms(turn * 50), ms(turn * 50 + 50));
            assert!(load.window() <= WIDEST_WINDOW);
        }
        assert_eq!(load.window(), WIDEST_WINDOW);
        for turn in 0..200 {
            load.delivered(1, 60_000, ms(1_000 + turn * 1_000), ms(2_000 + turn * 1_000));
        }
        assert_eq!(load.window(), SLOW_WINDOW);
    }

    #[test]
    fn adversary_22_a_peer_that_stalls_soon_holds_one_hash() {
        let mut load = Load::new(None);
        let fresh = load.bulk_wait(1_000_000);
        for turn in 0..4 {
            load.stalled(ms(turn * 500), ms(turn * 500 + 500));
        }
        assert_eq!(load.window(), 1);
        assert!(load.bulk_wait(1_000_000) > 10 * fresh);
    }

    #[test]
    fn waiting_grows_with_what_is_in_flight() {
        let mut load = Load::new(Some(ms(10)));
        assert_eq!(load.small_wait(), ms(10));
        load.small = 2;
        assert_eq!(load.small_wait(), ms(30));
        load.pending_bytes = 1_000_000;
        assert_eq!(load.small_wait(), ms(1_030));
        load.late(ms(500));
        load.answered(ms(100));
        assert_eq!(load.round_trip, Some(ms(400)));
    }
}

//! How long nodes are left alone.

use rand_chacha::rand_core::Rng;

use savanna_book::UnixTime;
use savanna_peerset::crawler::Chain;

use super::silence::BEFORE_TURN;
use super::{Ledger, Node};
use crate::Steadiness;

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// Between the conversations with a node that answers, in seconds: from and below.
const GOOD: (u32, u32) = (30 * MINUTE, HOUR);

/// The same until it is known to stay: shorter than absences are, so that none is missed.
const WATCHED: (u32, u32) = (7 * MINUTE, 9 * MINUTE);
const _: () = assert!(WATCHED.1 < Steadiness::GAP, "what is watched so is believed to stay");

/// The same while it answers and is not good: after an absence of ours, say.
const DOUBTFUL: (u32, u32) = (14 * MINUTE, 16 * MINUTE);

/// How soon a node is asked again that was there before: its first failure may have been ours, in seconds.
const AGAIN: u32 = 5 * MINUTE;

/// The first rest of a node that never answered, in seconds. Each failure doubles it.
const NEVER_ANSWERED: u32 = 10 * MINUTE;

/// The longest rest of a node that was there before, as long as no rule ignores it, in seconds.
const LONGEST: u32 = HOUR;

/// How long a node rests that is of another chain, in seconds.
const OTHER_CHAIN: u32 = DAY;

/// How long a try rests that we could not make, in seconds. It doubles for a node that never answered: of its version of IP this
/// machine may have none, or nobody may have such a place.
const UNSETTLED: u32 = MINUTE;

/// How long what a node showed of its chain is believed, in seconds.
pub(super) const SHOW_AGAIN: u32 = 12 * HOUR;

impl Ledger {
    /// Says when a node is tried next, after a try that counts.
    pub(super) fn rest(&mut self, id: u32, was_there: bool, now: UnixTime) {
        if self.forget_hopeless(id) {
            return;
        }
        let Some(node) = self.nodes[id as usize].as_ref() else { return };
        let rest = if was_there {
            // Whoever comes and goes too often is not watched, or it would be asked the more for that.
            let is_watched = !node.steadiness.has_stayed() && !node.steadiness.is_flapping();
            let is_good = node.reliability.is_good_so_far();
            let (from, below) = if is_watched {
                WATCHED
            } else if is_good {
                GOOD
            } else {
                DOUBTFUL
            };
            self.between(from, below)
        } else {
            let usual = usual_rest(node);
            let rules = node.reliability.ignore().max(node.reliability.ban()).unwrap_or(0);
            self.between(usual - usual / 8, usual + usual / 8).max(rules)
        };
        self.schedule(id, now.plus(rest));
    }

    /// Says when a node is tried next, after a try that says nothing of it.
    ///
    /// # Security
    /// Whoever tells addresses that have no route would otherwise have them tried every minute, and hold their places for ever.
    pub(super) fn rest_unsettled(&mut self, id: u32, now: UnixTime) {
        let is_offline = self.is_offline(now);
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        let mut rest = UNSETTLED;
        if !node.is_proven() && !is_offline {
            rest = UNSETTLED.saturating_mul(1 << u32::from(node.failures).min(16)).min(DAY);
            node.failures = node.failures.saturating_add(1);
        }
        self.schedule(id, now.plus(rest));
    }

    /// Says when a node is tried next that did not answer while nobody did.
    pub(super) fn rest_offline(&mut self, id: u32, now: UnixTime) {
        let is_proven = self.nodes[id as usize].as_ref().is_some_and(Node::is_proven);
        self.schedule(id, now.plus(if is_proven { UNSETTLED } else { NEVER_ANSWERED }));
    }

    /// Says when a node is tried next that was asked too soon after it was asked before.
    pub(super) fn rest_refused(&mut self, id: u32, now: UnixTime) {
        self.schedule(id, now.plus(BEFORE_TURN));
    }

    fn schedule(&mut self, id: u32, next: UnixTime) {
        if let Some(node) = self.nodes[id as usize].as_mut() {
            node.next = next;
            let set = if node.is_proven() { &mut self.proven } else { &mut self.unproven };
            set.insert((next, id));
        }
    }

    fn between(&mut self, from: u32, below: u32) -> u32 {
        let drawn = (u64::from(self.rng.next_u32()) * u64::from(below.saturating_sub(from))) >> 32;
        from.saturating_add(u32::try_from(drawn).unwrap_or(0))
    }
}

/// Returns the rest after a failure, before any rule.
fn usual_rest(node: &Node) -> u32 {
    let doublings = u32::from(node.failures.saturating_sub(1)).min(16);
    if node.chain == Chain::Other {
        OTHER_CHAIN
    } else if node.is_proven() {
        AGAIN.saturating_mul(1 << doublings).min(LONGEST)
    } else {
        NEVER_ANSWERED.saturating_mul(1 << doublings).min(DAY)
    }
}

impl Node {
    /// Follows a clock that was set back.
    pub(super) fn set_back(&mut self, seconds: u32) {
        self.reliability.set_back(seconds);
        self.steadiness.set_back(seconds);
        for time in [
            &mut self.first_heard,
            &mut self.last_success,
            &mut self.asked,
            &mut self.ended,
            &mut self.shown,
            &mut self.next,
        ] {
            *time = time.minus(seconds);
        }
    }
}

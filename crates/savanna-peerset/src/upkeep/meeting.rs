//! When to meet a peer again that we are connected to.

use std::time::Duration;

/// How long after the first peer has come somebody is met again, if nobody else is known; each further time doubles it.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(600);

/// Says when to ask anew for addresses who has been asked already.
///
/// A peer answers once a connection. So a node that came when its peers knew nobody would hear of nobody: it meets them again, on
/// a connection of its own beside the one that is there.
#[derive(Debug)]
pub(super) struct Meeting {
    is_meeting: bool,
    rest: Duration,
    next: Option<Duration>,
}

impl Meeting {
    pub(super) const fn new() -> Self {
        Self { is_meeting: false, rest: FIRST, next: None }
    }

    /// Notes whether there are peers, and nobody else to dial although more are wanted.
    pub(super) fn observe(&mut self, is_hungry: bool, now: Duration) {
        if !is_hungry {
            self.next = None;
        } else if self.next.is_none() {
            self.next = Some(now + self.rest);
        }
    }

    /// Returns when somebody is to be met.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next.filter(|_| !self.is_meeting)
    }

    pub(super) const fn begin(&mut self) {
        self.is_meeting = true;
    }

    /// Notes what came of it.
    pub(super) fn end(&mut self, has_learned: bool, now: Duration) {
        self.is_meeting = false;
        self.rest = if has_learned { FIRST } else { (self.rest * 2).min(LONGEST) };
        self.next = Some(now + self.rest);
    }
}

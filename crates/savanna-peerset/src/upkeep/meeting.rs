//! When to meet a peer again that we are connected to, and how.

use std::time::Duration;

use savanna_wire::PeerAddr;

use super::links::Purpose;

/// How long after the first peer has come somebody is met again, if nobody else is known; each further time doubles it.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(600);

/// Says when to ask anew for addresses who has been asked already.
///
/// A peer answers once a connection. So a node that came when its peers knew nobody would hear of nobody: it meets them again on
/// another connection. Where peers take one connection a host, the first has to end before.
#[derive(Debug)]
pub(super) struct Meeting {
    /// Whether a connection beside the first one is taken.
    is_beside: bool,
    stage: Stage,
    rest: Duration,
    next: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// Somebody is met beside its connection.
    Beside,
    /// Somebody's connection is about to end.
    Leaving(PeerAddr, Purpose),
    /// It has ended, and the next may begin.
    Gone(PeerAddr, Purpose),
    /// The next has begun.
    Back(PeerAddr),
}

impl Meeting {
    pub(super) const fn new(is_beside: bool) -> Self {
        Self { is_beside, stage: Stage::Waiting, rest: FIRST, next: None }
    }

    /// Returns whether a peer is met beside its connection, and not in its place.
    pub(super) const fn is_beside(&self) -> bool {
        self.is_beside
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
        self.next.filter(|_| self.stage == Stage::Waiting)
    }

    pub(super) const fn begin_beside(&mut self) {
        self.stage = Stage::Beside;
    }

    pub(super) const fn begin_return(&mut self, peer: PeerAddr, purpose: Purpose) {
        self.stage = Stage::Leaving(peer, purpose);
    }

    /// Notes that nobody can be met at this moment.
    pub(super) fn put_off(&mut self, now: Duration) {
        self.next = Some(now + self.rest);
    }

    /// Notes that a connection ended; returns whether that was for this.
    pub(super) fn left(&mut self, peer: PeerAddr, now: Duration) -> bool {
        match self.stage {
            Stage::Leaving(leaving, purpose) if leaving == peer => {
                self.stage = Stage::Gone(peer, purpose);
                true
            }
            Stage::Back(back) if back == peer => {
                self.end(false, now);
                false
            }
            Stage::Waiting | Stage::Beside | Stage::Leaving(..) | Stage::Gone(..) | Stage::Back(_) => false,
        }
    }

    /// Takes who is to be dialled again.
    pub(super) const fn take_gone(&mut self) -> Option<(PeerAddr, Purpose)> {
        let Stage::Gone(peer, purpose) = self.stage else { return None };
        self.stage = Stage::Back(peer);
        Some((peer, purpose))
    }

    /// Notes what a peer has answered, if it is the one that came back.
    pub(super) fn answered(&mut self, peer: PeerAddr, has_learned: bool, now: Duration) {
        if self.stage == Stage::Back(peer) {
            self.end(has_learned, now);
        }
    }

    /// Notes that a connection beside the first one was not to be had.
    pub(super) fn refused(&mut self, now: Duration) {
        self.is_beside = false;
        self.stage = Stage::Waiting;
        self.put_off(now);
    }

    /// Notes what came of it.
    pub(super) fn end(&mut self, has_learned: bool, now: Duration) {
        self.stage = Stage::Waiting;
        self.rest = if has_learned { FIRST } else { (self.rest * 2).min(LONGEST) };
        self.next = Some(now + self.rest);
    }
}

//! What is going to happen, in the order in which it will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{ConnectionId, HostId};

/// Something that happens at its time, unless it has been overtaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    /// A host begins, or begins again.
    Start(HostId),
    /// A node's deadline passes.
    Wake(HostId),
    /// Somebody's dial reaches the host that it is for, if there is one. Named by the dialling end.
    Syn(ConnectionId),
    /// The answer to a dial comes back.
    SynAck(ConnectionId),
    /// Nobody has answered a dial.
    DialTimeout(ConnectionId),
    /// A segment reaches this end.
    Arrival(ConnectionId),
    /// The other side has made room for what this end sends.
    Writable(ConnectionId),
    /// TCP gives up what has been on its way to this end for too long.
    GiveUp(ConnectionId),
}

/// Happenings by time; those of one moment in the order in which they were put in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    pushed: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Duration, happening: Happening) {
        self.pushed += 1;
        self.heap.push(Reverse((at, self.pushed, happening)));
    }

    /// Takes the next happening, if it is not after `end`.
    pub(super) fn pop_until(&mut self, end: Duration) -> Option<(Duration, Happening)> {
        let Reverse((at, _, _)) = self.heap.peek()?;
        if *at > end {
            return None;
        }
        self.heap.pop().map(|Reverse((at, _, happening))| (at, happening))
    }
}

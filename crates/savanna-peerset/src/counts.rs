//! Numbers for whoever watches.

use savanna_peer::RequestKind;

/// How many peers there are, as one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PeerCounts {
    /// Peers that take any question at once.
    pub ready: usize,
    /// Peers that are being asked as much of some kind as they are asked at a time.
    pub unready: usize,
}

impl PeerCounts {
    /// Returns the number of all peers: the sum of the others, so it always fits them.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.ready + self.unready
    }
}

/// How a question to one peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallOutcome {
    /// The peer answered, perhaps in part.
    Answered,
    /// The peer had nothing of what it was asked for.
    NotFound,
    /// The peer did not answer in time.
    TimedOut,
    /// The connection ended first.
    Closed,
    /// The answer was no longer wanted.
    Cancelled,
}

impl CallOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Answered, Self::NotFound, Self::TimedOut, Self::Closed, Self::Cancelled];

    /// Returns the name in snake case, for logs and metric labels.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotFound => "not_found",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How many kinds of requests there are.
const KINDS: usize = RequestKind::ALL.len();

/// How many questions were put to peers, by kind and outcome, since the set began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestCounts {
    sent: [u64; KINDS],
    ended: [[u64; CallOutcome::ALL.len()]; KINDS],
    spared: u64,
}

impl RequestCounts {
    /// Returns how many questions of a kind were put to peers.
    #[must_use]
    pub const fn sent(&self, kind: RequestKind) -> u64 {
        self.sent[kind as usize]
    }

    /// Returns how many questions of a kind ended in a way.
    #[must_use]
    pub const fn ended(&self, kind: RequestKind, outcome: CallOutcome) -> u64 {
        self.ended[kind as usize][outcome as usize]
    }

    /// Returns how many questions of a kind are in flight.
    #[must_use]
    pub fn in_flight(&self, kind: RequestKind) -> u64 {
        self.sent(kind) - self.ended[kind as usize].iter().sum::<u64>()
    }

    /// Returns how many announcements of blocks went to nobody because the peer was known to have the block.
    #[must_use]
    pub const fn spared(&self) -> u64 {
        self.spared
    }

    /// Returns every kind with every outcome and its count.
    pub fn iter(&self) -> impl Iterator<Item = (RequestKind, CallOutcome, u64)> + '_ {
        RequestKind::ALL.into_iter().flat_map(move |kind| {
            CallOutcome::ALL.into_iter().map(move |outcome| (kind, outcome, self.ended(kind, outcome)))
        })
    }

    pub(crate) const fn count_spared(&mut self) {
        self.spared += 1;
    }

    pub(crate) const fn count_sent(&mut self, kind: RequestKind) {
        self.sent[kind as usize] += 1;
    }

    pub(crate) const fn count_ended(&mut self, kind: RequestKind, outcome: CallOutcome) {
        self.ended[kind as usize][outcome as usize] += 1;
    }
}

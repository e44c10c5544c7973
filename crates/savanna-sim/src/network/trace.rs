//! What happened: as one number, and the last of it in words.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::{ConnectionId, HostId};

/// How many entries are kept for the report of a failure.
const TAIL: usize = 40;

/// Something that a node was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Start,
    Timer,
    Connected(ConnectionId),
    Refused(ConnectionId),
    Unanswered(ConnectionId),
    Bytes(ConnectionId, usize),
    Writable(ConnectionId),
    Closed(ConnectionId),
    PoweredOff,
    Stopped,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => write!(f, "starts"),
            Self::Timer => write!(f, "wakes"),
            Self::Connected(id) => write!(f, "{id} connected"),
            Self::Refused(id) => write!(f, "{id} refused"),
            Self::Unanswered(id) => write!(f, "{id} unanswered"),
            Self::Bytes(id, count) => write!(f, "{id} {count} bytes"),
            Self::Writable(id) => write!(f, "{id} has room"),
            Self::Closed(id) => write!(f, "{id} closed"),
            Self::PoweredOff => write!(f, "is powered off"),
            Self::Stopped => write!(f, "is stopped"),
        }
    }
}

/// Everything that happened, condensed.
#[derive(Debug, Default)]
pub(super) struct Trace {
    hash: u64,
    count: u64,
    tail: VecDeque<(Duration, HostId, Told)>,
}

impl Trace {
    pub(super) fn record(&mut self, at: Duration, host: HostId, told: Told) {
        let (kind, id, detail) = match told {
            Told::Start => (1, None, 0),
            Told::Timer => (2, None, 0),
            Told::Connected(id) => (3, Some(id), 0),
            Told::Refused(id) => (4, Some(id), 0),
            Told::Unanswered(id) => (5, Some(id), 0),
            Told::Bytes(id, count) => (6, Some(id), count as u64),
            Told::Writable(id) => (7, Some(id), 0),
            Told::Closed(id) => (8, Some(id), 0),
            Told::PoweredOff => (9, None, 0),
            Told::Stopped => (10, None, 0),
        };
        let end = id.map_or(0, ConnectionId::number);
        self.mix(at.as_secs() << 30 | u64::from(at.subsec_nanos()));
        self.mix(u64::from(host.0) << 32 | kind);
        self.mix(end << 32 | detail);
        self.count += 1;
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back((at, host, told));
    }

    /// Takes the bytes that a node was handed.
    pub(super) fn mix_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    fn mix(&mut self, word: u64) {
        // One round of a multiplicative hash: enough to tell two runs apart.
        let mixed = (self.hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ mixed >> 29;
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} things happened, with the hash {:016x}; the last of them:", self.count, self.hash)?;
        self.tail.iter().try_for_each(|(at, host, told)| writeln!(f, "{:>12.6} {host} {told}", at.as_secs_f64()))
    }
}

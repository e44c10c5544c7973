//! Counting what is asked and answered, without saying by whom.

use std::sync::atomic::{AtomicU64, Ordering};

use hickory_proto::rr::RecordType;

const KINDS: [&str; 10] = ["a", "aaaa", "ns", "soa", "dnskey", "ds", "nsec", "any", "txt", "other"];
const TRANSPORTS: [&str; 2] = ["udp", "tcp"];

/// What became of a question that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    NoData,
    NoName,
    Refused,
    NotImplemented,
    FormatError,
    BadVersion,
    Truncated,
}

const OUTCOMES: [&str; 8] = ["answered", "nodata", "nxdomain", "refused", "notimp", "formerr", "badvers", "truncated"];

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What was asked and what was said, to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: RecordType,
    pub(crate) outcome: Outcome,
}

/// How many questions of one sort were answered in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The type that was asked for: one of ten words.
    pub kind: &'static str,
    /// What was answered: one of eight words.
    pub outcome: &'static str,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// How many.
    pub count: u64,
}

/// What a service did since it began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Questions that were answered, by sort; sorts that never came are left out.
    pub answered: Vec<Count>,
    /// Questions that were too many of their prefix, and got nothing.
    pub limited: u64,
    /// Questions that were too many of their prefix, and were told to come again over TCP.
    pub slipped: u64,
    /// Messages that deserved no answer, and got none.
    pub ignored: u64,
    /// Answers that the system did not take.
    pub unsent: u64,
    /// TCP connections that were closed at once, since there were too many.
    pub connections_refused: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    answered: [[[AtomicU64; TRANSPORTS.len()]; OUTCOMES.len()]; KINDS.len()],
    pub(crate) limited: AtomicU64,
    pub(crate) slipped: AtomicU64,
    pub(crate) ignored: AtomicU64,
    pub(crate) unsent: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, said: Said, transport: Transport) {
        one_more(&self.answered[place(said.kind)][said.outcome as usize][transport as usize]);
    }

    pub(crate) fn read(&self) -> Counts {
        let mut counts = Counts {
            answered: Vec::new(),
            limited: self.limited.load(Ordering::Relaxed),
            slipped: self.slipped.load(Ordering::Relaxed),
            ignored: self.ignored.load(Ordering::Relaxed),
            unsent: self.unsent.load(Ordering::Relaxed),
            connections_refused: self.connections_refused.load(Ordering::Relaxed),
        };
        for (kind, outcomes) in KINDS.into_iter().zip(&self.answered) {
            for (outcome, transports) in OUTCOMES.into_iter().zip(outcomes) {
                for (transport, count) in TRANSPORTS.into_iter().zip(transports) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        counts.answered.push(Count { kind, outcome, transport, count });
                    }
                }
            }
        }
        counts
    }
}

pub(crate) fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

#[allow(clippy::wildcard_enum_match_arm, reason = "whatever else is asked for is one kind here")]
const fn place(kind: RecordType) -> usize {
    match kind {
        RecordType::A => 0,
        RecordType::AAAA => 1,
        RecordType::NS => 2,
        RecordType::SOA => 3,
        RecordType::DNSKEY => 4,
        RecordType::DS => 5,
        RecordType::NSEC => 6,
        RecordType::ANY => 7,
        RecordType::TXT => 8,
        _ => 9,
    }
}

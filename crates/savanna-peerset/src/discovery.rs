//! What is known of how peers are found, as one snapshot for whoever watches.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use savanna_book::BookCounts;

use crate::gossip::Learned;
use crate::{Purpose, SharedBook, Upkeep};

/// How peers are found and kept: numbers since the start, and of this moment where they say so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DiscoveryCounts {
    /// Dials with their handshakes, by a bounded label of the outcome.
    pub dials: BTreeMap<&'static str, u64>,
    /// Addresses in use, dialled or connected, by purpose, at this moment.
    pub links: BTreeMap<Purpose, usize>,
    /// How many peers are wanted at this moment.
    pub target: usize,
    /// Whether nobody can be reached at this moment, for which no peer is blamed.
    pub is_offline: bool,
    /// The addresses of the book at this moment.
    pub book: BookCounts,
    /// Addresses that peers answered when asked.
    pub answered: Learned,
    /// Addresses that peers told unasked.
    pub told: Learned,
    /// Addresses that seeds named.
    pub seeded: Learned,
    /// How often seeds were asked.
    pub seeds_asked: u64,
    /// How many addresses were passed on.
    pub relayed: u64,
    /// Bans by the operator at this moment.
    pub bans: usize,
    /// Ranges of hosts that misbehaved at this moment.
    pub marks: usize,
}

/// Counts how peers are found. Clones count the same.
#[derive(Debug, Clone)]
pub struct Discovery(Arc<watch::Sender<DiscoveryCounts>>);

impl Discovery {
    /// Begins to count.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(DiscoveryCounts::default())))
    }

    /// Returns the counts, as they change.
    #[must_use]
    pub fn counts(&self) -> watch::Receiver<DiscoveryCounts> {
        self.0.subscribe()
    }

    pub(crate) fn note_dial(&self, outcome: &'static str) {
        self.0.send_modify(|counts| *counts.dials.entry(outcome).or_default() += 1);
    }

    pub(crate) fn note_answer(&self, learned: Learned) {
        self.0.send_modify(|counts| counts.answered += learned);
    }

    pub(crate) fn note_told(&self, learned: Learned) {
        self.0.send_modify(|counts| counts.told += learned);
    }

    pub(crate) fn note_relayed(&self, addresses: usize) {
        self.0.send_modify(|counts| counts.relayed += addresses as u64);
    }

    pub(crate) fn note_seeds(&self, learned: Learned) {
        self.0.send_modify(|counts| {
            counts.seeded += learned;
            counts.seeds_asked += 1;
        });
    }

    /// Notes how things stand.
    pub(crate) fn note_plan(&self, plan: &Upkeep, book: &SharedBook) {
        let links = Purpose::ALL.map(|purpose| (purpose, plan.count(purpose))).into();
        let (target, is_offline) = (plan.target(), plan.is_offline());
        let (book, bans, marks) = book.with(|book| {
            let penalties = book.penalties();
            (book.counts(), penalties.bans().count(), penalties.marks().count())
        });
        self.0.send_if_modified(|counts| {
            let before = (&counts.links, counts.target, counts.is_offline, counts.book, counts.bans, counts.marks);
            let is_changed = before != (&links, target, is_offline, book, bans, marks);
            (counts.links, counts.target, counts.is_offline) = (links, target, is_offline);
            (counts.book, counts.bans, counts.marks) = (book, bans, marks);
            is_changed
        });
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self::new()
    }
}

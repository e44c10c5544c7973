//! What outlives a crawl: where the next goes on, and what it is compared with.

use std::time::Duration;

use savanna_peer::Now;
use savanna_wire::Network;

use super::super::{Change, Changes, Outcome, Record, Software};
use super::{MAX_KNOWN, MEET_AGAIN, Plan, State};

/// How long a node is remembered that was not heard from.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a crawl leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The network.
    pub network: Network,
    /// When the crawl ended, by our clock, in Unix seconds.
    pub ended: i64,
    /// Whether nothing was left to ask.
    pub is_complete: bool,
    /// The nodes.
    pub nodes: Vec<SavedNode>,
}

/// A node, as one crawl leaves it for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedNode {
    /// What came of asking it.
    pub record: Record,
    /// What it said in the census before the one that the record is of.
    pub before: Option<Software>,
}

impl Plan {
    /// Takes what a crawl of the same network left.
    ///
    /// Behind a complete one everybody is asked again, and what they said then is what [`Changes`] are about. One that was
    /// interrupted goes on where it was, unless that is longer ago than [`MEET_AGAIN`].
    pub fn resume(&mut self, saved: Saved, now: Now) {
        if saved.network != self.config.network {
            return;
        }
        let elapsed = now.unix.saturating_sub(saved.ended);
        let goes_on = !saved.is_complete && (0..MEET_AGAIN.as_secs().cast_signed()).contains(&elapsed);
        for SavedNode { mut record, before } in saved.nodes {
            if self.index.contains_key(&record.address) || self.index.len() >= MAX_KNOWN || is_forgotten(&record, now) {
                continue;
            }
            let said = record.introduction.as_deref().map(Software::from);
            let before = if saved.is_complete { said } else { before };
            self.has_baseline |= saved.is_complete || before.is_some();
            if !goes_on {
                record = Record { last_seen: record.last_seen, ..Record::new(record.address, record.first_seen) };
            }
            let is_settled = record.outcome != Outcome::Untried;
            self.settle(SavedNode { record, before });
            if is_settled && let Some(node) = self.nodes.len().checked_sub(1) {
                self.rest(u32::try_from(node).unwrap_or(u32::MAX), MEET_AGAIN, now);
            }
        }
    }

    /// Returns what the next crawl is to know.
    #[must_use]
    pub fn saved(&self, now: Now) -> Saved {
        let nodes = self
            .nodes
            .iter()
            .map(|node| SavedNode { record: node.record.clone(), before: node.before.as_deref().cloned() });
        Saved {
            network: self.config.network,
            ended: now.unix,
            is_complete: self.is_exhausted(),
            nodes: nodes.collect(),
        }
    }

    /// Compares with the census before.
    pub(super) fn changes(&self) -> Option<Changes> {
        let mut changes = Changes::default();
        for node in self.index.values().map(|node| &self.nodes[*node as usize]) {
            let address = node.record.address;
            let after = node.record.introduction.as_deref().map(Software::from);
            match (node.before.as_deref(), after) {
                (None, Some(_)) => changes.new.push(address),
                (Some(before), Some(after)) if *before != after => {
                    changes.changed.push(Change { address, before: before.clone(), after });
                }
                (Some(_), None) if node.state == State::Resting => changes.gone.push(address),
                (None | Some(_), _) => {}
            }
        }
        self.has_baseline.then_some(changes)
    }
}

fn is_forgotten(record: &Record, now: Now) -> bool {
    let last = record.last_seen.unwrap_or(record.first_seen);
    now.unix.saturating_sub(last) > FORGET_AFTER.as_secs().cast_signed()
}

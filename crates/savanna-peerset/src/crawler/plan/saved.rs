//! What outlives a crawl: where the next goes on, and what it is compared with.

use std::time::Duration;

use savanna_peer::Now;
use savanna_wire::Network;

use super::super::{Change, Changes, Outcome, Record, Software};
use super::{MEET_AGAIN, Plan};

/// How long a node is remembered that was not heard from.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many censuses a node is asked in that never said a word.
///
/// # Security
/// Against made-up addresses that a crawl would otherwise carry along for a month.
const MAX_MISSED: u8 = 2;

/// How many nodes a crawl begins with at most: there is always room for new ones.
const MAX_KEPT: usize = super::MAX_KNOWN / 3 * 2;

/// What a crawl leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The network.
    pub network: Network,
    /// When the crawl ended, by our clock, in Unix seconds.
    pub ended: i64,
    /// Whether no node was left to be asked for the first time.
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
    /// How many censuses before that one asked it without hearing a word.
    pub missed: u8,
}

impl Plan {
    /// Takes what a crawl of the same network left.
    ///
    /// One that was interrupted goes on where it was, unless that is longer ago than [`MEET_AGAIN`]. Otherwise everybody is
    /// asked again, and what they said last is what [`Changes`] are about.
    pub fn resume(&mut self, mut saved: Saved, now: Now) {
        if saved.network != self.config.network {
            return;
        }
        let elapsed = now.unix.saturating_sub(saved.ended);
        let goes_on = !saved.is_complete && (0..MEET_AGAIN.as_secs().cast_signed()).contains(&elapsed);
        saved.nodes.sort_by_key(|node| node.record.last_seen.is_none());
        for node in saved.nodes {
            let address = node.record.address;
            let Some(node) = (if goes_on { Some(node) } else { again(node, saved.is_complete, now) }) else { continue };
            // A crawl of a network of one's own may have left private addresses.
            if self.index.contains_key(&address) || !self.config.scope.admits(address) {
                continue;
            }
            if self.index.len() >= MAX_KEPT {
                self.pass_over(address);
                continue;
            }
            self.has_baseline |= saved.is_complete || node.before.is_some();
            let is_settled = !node.record.is_unsettled();
            self.settle(node);
            if is_settled && let Some(node) = self.nodes.len().checked_sub(1) {
                self.rest(u32::try_from(node).unwrap_or(u32::MAX), MEET_AGAIN, now);
            }
        }
    }

    /// Returns what the next crawl is to know.
    #[must_use]
    pub fn saved(&self, now: Now) -> Saved {
        let mut saved = self.begin_save();
        self.save_on(&mut saved, usize::MAX, now);
        saved
    }

    /// Begins a copy of what the next crawl is to know; [`save_on`](Self::save_on) fills it.
    #[must_use]
    pub const fn begin_save(&self) -> Saved {
        Saved { network: self.config.network, ended: self.began.unix, is_complete: true, nodes: Vec::new() }
    }

    /// Copies some more nodes; says whether that were the last. Each is as it was when it was copied.
    pub fn save_on(&self, saved: &mut Saved, at_most: usize, now: Now) -> bool {
        // Nodes are added behind the others, and never taken away.
        for node in self.nodes.iter().skip(saved.nodes.len()).take(at_most) {
            saved.is_complete &= !node.record.is_unsettled();
            let before = node.before.as_deref().cloned();
            saved.nodes.push(SavedNode { record: node.record.clone(), before, missed: node.missed });
        }
        saved.ended = now.unix;
        saved.nodes.len() >= self.nodes.len()
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
                (Some(_), None) if is_gone(&node.record) => changes.gone.push(address),
                (None | Some(_), _) => {}
            }
        }
        self.has_baseline.then_some(changes)
    }
}

/// Makes of what one census left of a node what the next begins with; nothing if it is forgotten.
fn again(SavedNode { record, before, missed }: SavedNode, was_complete: bool, now: Now) -> Option<SavedNode> {
    let said = record.introduction.as_deref().map(Software::from);
    let missed = match record.outcome {
        _ if said.is_some() => 0,
        Outcome::Untried => missed,
        Outcome::Reached
        | Outcome::Refused
        | Outcome::Silent
        | Outcome::Obsolete
        | Outcome::OtherChain
        | Outcome::Unroutable => missed.saturating_add(1),
    };
    if is_forgotten(&record, now) || (record.last_seen.is_none() && missed >= MAX_MISSED) {
        return None;
    }
    // Who was told of as gone is not told of again.
    let before = said.or(before.filter(|_| !(was_complete && is_gone(&record))));
    let record = Record { last_seen: record.last_seen, ..Record::new(record.address, record.first_seen) };
    Some(SavedNode { record, before, missed })
}

/// Returns whether a node was asked, and is not there. Where there was no way, nobody knows.
const fn is_gone(record: &Record) -> bool {
    matches!(record.outcome, Outcome::Refused | Outcome::Silent)
}

fn is_forgotten(record: &Record, now: Now) -> bool {
    let last = record.last_seen.unwrap_or(record.first_seen);
    now.unix.saturating_sub(last) > FORGET_AFTER.as_secs().cast_signed()
}

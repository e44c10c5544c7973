//! One peer, as the set sees it.

use std::collections::BTreeSet;

use savanna_peer::RequestKind;
use savanna_wire::Inventory;

use super::{Call, CallId, Traits};
use crate::load::Load;
use crate::request::{is_exclusive, needs_chain};

/// How many small questions a peer is asked at once.
pub(crate) const MAX_SMALL: usize = 16;

/// A peer and what it is being asked.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) serves_chain: bool,
    pub(super) load: Load,
    pub(super) calls: BTreeSet<CallId>,
    /// What it is being asked for by way of lists.
    pub(super) asked: BTreeSet<Inventory>,
    /// The kinds of which it answers one at a time and is being asked.
    pub(super) busy: u16,
}

impl Peer {
    pub(super) const fn new(traits: Traits) -> Self {
        let Traits { serves_chain, round_trip } = traits;
        Self { serves_chain, load: Load::new(round_trip), calls: BTreeSet::new(), asked: BTreeSet::new(), busy: 0 }
    }

    /// Returns whether a small question of the kind may be put to it.
    pub(super) const fn is_small_open(&self, kind: RequestKind) -> bool {
        self.load.small < MAX_SMALL && self.busy & 1 << kind as u16 == 0 && self.serves(kind)
    }

    /// Returns whether it can answer the kind at all.
    pub(super) const fn serves(&self, kind: RequestKind) -> bool {
        self.serves_chain || !needs_chain(kind)
    }

    /// Returns whether any question may be put to it.
    pub(super) const fn is_ready(&self) -> bool {
        self.load.small < MAX_SMALL && self.busy == 0 && self.load.room() > 0
    }

    /// Notes that a question is put to it.
    pub(super) fn begin(&mut self, call: &Call) {
        self.calls.insert(call.id);
        self.load.pending_bytes += call.expected_bytes;
        self.load.hashes += call.items.len();
        self.asked.extend(call.items.iter().map(|(_, item)| *item));
        if call.items.is_empty() {
            self.load.small += 1;
        }
        if is_exclusive(call.kind) {
            self.busy |= 1 << call.kind as u16;
        }
    }

    /// Takes back what the question held.
    pub(super) fn end(&mut self, call: &Call) {
        self.calls.remove(&call.id);
        self.load.pending_bytes -= call.expected_bytes;
        self.load.hashes -= call.items.len();
        for (_, item) in &call.items {
            self.asked.remove(item);
        }
        if call.items.is_empty() {
            self.load.small -= 1;
        }
        if is_exclusive(call.kind) {
            self.busy &= !(1 << call.kind as u16);
        }
    }
}

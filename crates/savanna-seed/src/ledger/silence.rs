//! Whether anybody answers. If nobody does, it is this machine that is offline, or the network that is gone.

use savanna_book::{Handshake, UnixTime};
use savanna_peerset::crawler::Chain;
use savanna_wire::Services;

use super::{Ledger, Node, Tried};
use crate::LedgerConfig;

/// How many nodes at most are asked out of turn at a time, to find out whether anybody answers.
const CANARIES: usize = 4;

/// How far apart they begin, in seconds.
const CANARY_EVERY: u32 = 2;

/// How long a node is left alone after it was asked anything, in seconds: Zebra lets an address in once in 119 s, and what it
/// refuses would look like an absence.
const REFUSES: u32 = 125;

/// How long until its next turn a node that answered out of turn is left alone at least, in seconds; one that is due sooner has
/// its turn at once.
pub(super) const BEFORE_TURN: u32 = 150;
const _: () = assert!(BEFORE_TURN > REFUSES, "a turn is not refused");

/// So many nodes that were there, asked and missed one after the other, are a silence. One or two may have gone.
const MISSING: usize = 3;

impl LedgerConfig {
    /// How long nobody may have answered where too few could be asked to say more, in seconds: each of the smallest networks'
    /// nodes can be asked twice.
    pub const SMALL_STALE_AFTER: u32 = 300;
}
const _: () =
    assert!(LedgerConfig::SMALL_STALE_AFTER > 2 * BEFORE_TURN - REFUSES / 2, "a lone node has a second chance");

impl Ledger {
    /// Returns whether nobody has answered for so long that nothing is known of the present.
    #[must_use]
    pub fn is_stale(&self, now: UnixTime) -> bool {
        self.is_silent(1, now)
    }

    /// Returns whether nobody has answered for half as long.
    pub(super) fn is_offline(&self, now: UnixTime) -> bool {
        self.answered > 0 && self.is_silent(2, now)
    }

    /// Returns whether nobody has answered for a part of the time that makes a ledger stale.
    ///
    /// That nobody could be asked is no silence: in a small network all have been asked of late, and are left alone.
    fn is_silent(&self, part: u32, now: UnixTime) -> bool {
        let after = if self.missing.len() >= MISSING { 0 } else { LedgerConfig::SMALL_STALE_AFTER };
        self.last_heard == UnixTime::NEVER || now.since(self.last_heard) > self.config.stale_after.max(after) / part
    }

    /// Returns a node to be asked because nobody has answered for a while: the good ones, one after the other.
    pub(super) fn canary(&self, now: UnixTime) -> Option<u32> {
        let is_early = now.since(self.last_canary) < CANARY_EVERY;
        let is_heard = self.last_heard != UnixTime::NEVER && now.since(self.last_heard) <= self.config.stale_after / 4;
        if is_early || is_heard || self.canaries >= CANARIES {
            return None;
        }
        let rested = self.proven.iter().filter_map(|(_, id)| {
            let node = self.nodes[*id as usize].as_ref().filter(|node| now.since(node.asked) >= REFUSES)?;
            let is_useless = !self.vouches(node) || !node.reliability.is_good_so_far();
            Some((is_useless, node.failures, node.asked, *id))
        });
        rested.min().map(|(.., id)| id)
    }

    /// Returns whether a node that could be asked out of turn has its turn so soon that it may as well have it.
    pub(super) fn is_nearly_due(&self, id: u32, now: UnixTime) -> bool {
        let is_due = |node: &Node| node.next <= now.plus(BEFORE_TURN);
        !self.is_offline(now) && self.nodes[id as usize].as_ref().is_some_and(is_due)
    }

    /// Notes whether anybody is there.
    ///
    /// # Security
    /// Only those who could be named count: a few that are of no use would keep the names of a dead network alive.
    pub(super) fn listen(&mut self, id: u32, tried: &Tried, now: UnixTime) {
        let vouches = match tried {
            Tried::Unsettled => return,
            Tried::Met { said, chain: Chain::Ours } => self.is_of_use(said),
            Tried::Met { .. } | Tried::Missed | Tried::HungUp => false,
        };
        if vouches {
            self.leave_silence_out(now);
            self.last_heard = now;
            self.missing.clear();
        } else if self.missing.len() < MISSING
            && self.nodes[id as usize].as_ref().is_some_and(|node| self.is_awaited(node))
        {
            self.missing.insert(id);
        }
    }

    /// Notes what came of a try out of turn: it says that somebody is there and of which chain, and weighs nothing.
    pub(super) fn note_canary(&mut self, id: u32, tried: Tried, now: UnixTime) {
        let Some(node) = self.nodes[id as usize].as_mut() else { return };
        if let Tried::Met { said, chain: chain @ (Chain::Ours | Chain::Behind | Chain::Other) } = tried {
            node.said = Some(Box::new(said));
            node.chain = chain;
            if chain != Chain::Other {
                node.failures = 0;
                node.last_success = now;
                node.next = node.next.max(now.plus(BEFORE_TURN));
            }
        }
        self.proven.insert((node.next, id));
    }

    /// Leaves a time out in which nobody answered, when somebody does: nothing is known of it.
    fn leave_silence_out(&mut self, now: UnixTime) {
        if self.is_offline(now) && self.last_heard != UnixTime::NEVER {
            let silence = now.since(self.last_heard);
            for node in self.nodes.iter_mut().flatten() {
                node.reliability.skip(silence, now);
                node.steadiness.skip(silence, now);
            }
        }
    }

    /// Returns whether a node is expected to answer: it did the last time, and was of use.
    fn is_awaited(&self, node: &Node) -> bool {
        node.failures == 0 && self.vouches(node) && node.reliability.is_good_so_far()
    }

    /// Returns whether a node showed this chain, and is of use to newcomers, by what is known of it.
    pub(super) fn vouches(&self, node: &Node) -> bool {
        node.chain == Chain::Ours && node.said.as_ref().is_some_and(|said| self.is_of_use(said))
    }

    fn is_of_use(&self, said: &Handshake) -> bool {
        said.version >= self.floor.version() && said.services.contains(Services::NODE_NETWORK)
    }

    /// Returns whether a node that hung up without a word may have done so because it was asked of late.
    pub(super) fn was_too_soon(&self, id: u32, now: UnixTime) -> bool {
        self.nodes[id as usize].as_ref().is_some_and(|node| now.since(node.ended) < REFUSES)
    }
}

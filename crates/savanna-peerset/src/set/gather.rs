//! A list of blocks or transactions, asked of many peers in parts and put together again.

use std::collections::BTreeSet;
use std::time::Duration;

use savanna_net::PeerId;
use savanna_peer::{Missing, Request, RequestKind, Response};
use savanna_wire::Inventory;

use crate::Config;
use crate::network::{Call, Network, Output, Pick};
use crate::request::{Fetched, Outcome, RequestError, RequestId};

use super::Progress;
use super::item::{Arrived, Item, State, assemble, block_hash};

/// For how many items in a row a peer is looked for in vain, until the list waits for an answer to make room.
const MAX_VAIN: usize = 64;

/// A list that is being fetched.
#[derive(Debug)]
pub(super) struct Gather {
    id: RequestId,
    kind: RequestKind,
    /// In the caller's order, which is the order in which they are asked for.
    items: Vec<Item>,
    /// What is to be asked for, by index.
    waiting: BTreeSet<usize>,
    /// How many items have not ended.
    left: usize,
    /// How many copies of items are in flight.
    in_flight: usize,
    /// How many bytes are kept here, or by the stream's reader.
    held: u64,
    limit: u64,
    attempts: usize,
    is_streamed: bool,
    /// Whether an item has ended since this was last asked.
    moved: bool,
}

impl Gather {
    /// Begins a list; what is in it twice counts once.
    pub(super) fn new(
        id: RequestId,
        kind: RequestKind,
        ids: Vec<Inventory>,
        is_streamed: bool,
        config: &Config,
    ) -> Self {
        let mut known = BTreeSet::new();
        let unique = ids.into_iter().filter(|id| known.insert(*id));
        let items: Vec<Item> = unique.map(Item::new).collect();
        Self {
            id,
            kind,
            waiting: (0..items.len()).collect(),
            left: items.len(),
            items,
            in_flight: 0,
            held: 0,
            limit: if is_streamed { config.streamed_bytes } else { config.gathered_bytes },
            attempts: config.attempts,
            is_streamed,
            moved: false,
        }
    }

    /// Asks for as much as there is room for, here and at the peers.
    pub(super) fn advance(&mut self, network: &mut Network, now: Duration) -> Progress {
        while !self.waiting.is_empty() && self.has_room(network) && network.is_bulk_open(self.kind) {
            let Some((first, peer)) = self.next(network, now) else { break };
            self.ask(first, peer, network, now);
            self.give_chance(first, network, now);
        }
        if self.left > 0 && self.in_flight == 0 && !self.is_streamed && !self.has_room(network) {
            self.give_up(Missing::Dropped, network);
        }
        if self.left == 0 {
            Progress::Done(self.conclude())
        } else if self.waiting.is_empty() {
            Progress::Asked
        } else {
            Progress::Hungry
        }
    }

    /// Takes what a peer answered; returns whether other peers are still being asked for any of what came.
    pub(super) fn answered(
        &mut self,
        call: &Call,
        result: Result<Response, savanna_peer::RequestError>,
        network: &mut Network,
        now: Duration,
    ) -> bool {
        self.in_flight -= call.items.len();
        for (index, _) in &call.items {
            self.items[*index].copies -= 1;
        }
        let Arrived { found, missing } = match result {
            Ok(response) => response.into(),
            Err(error) => {
                self.failed(call, &error, network, now);
                return false;
            }
        };
        for (id, _) in found.iter().filter(|(id, _)| matches!(id, Inventory::Block(_))) {
            network.registry.share(call.peer, *id, now);
        }
        let (delivered, is_shared) = self.take(call, found, network);
        self.lacking(call, &missing, delivered.0 > 0, network, now);
        let is_answer = delivered.0 > 0 || missing.iter().any(|(_, why)| *why != Missing::TimedOut);
        network.measure(call, is_answer.then_some(delivered), now);
        is_shared
    }

    /// Gives parts of a late question to other peers too.
    pub(super) fn hedge(&mut self, parts: &[usize]) {
        for index in parts {
            let item = &mut self.items[*index];
            if item.is_wanted() {
                item.lack = item.lack.or(Some(Missing::TimedOut));
                self.waiting.insert(*index);
            }
        }
    }

    /// Notes that a stream's reader took so many bytes; returns whether that makes room which was lacking.
    pub(super) fn taken(&mut self, bytes: u64, network: &Network) -> bool {
        let was_full = !self.has_room(network);
        // What is asked for in the room that this makes has its time from here on.
        self.moved |= self.held > 0;
        self.held = self.held.saturating_sub(bytes);
        was_full && self.has_room(network)
    }

    /// Returns whether anything came or ended since the last call, or whether it is the reader who keeps the stream waiting.
    pub(super) fn take_moved(&mut self, network: &Network) -> bool {
        let is_readers_turn = self.is_streamed && self.in_flight == 0 && !self.has_room(network);
        std::mem::take(&mut self.moved) || is_readers_turn
    }

    /// Returns whether all that a question asks for has come by other ways.
    pub(super) fn is_idle(&self, call: &Call) -> bool {
        call.items.iter().all(|(index, _)| !self.items[*index].is_wanted())
    }

    /// Returns whether nobody was asked for any of it, though there are peers to ask: they are busy with other lists.
    pub(super) fn awaits_turn(&self, network: &Network) -> bool {
        let is_untried = |item: &Item| item.is_wanted() && item.tried.is_empty() && item.lack.is_none();
        self.items.iter().all(is_untried) && network.has_peer_for(self.kind)
    }

    /// Ends with what there is.
    pub(super) fn expire(&mut self, network: &mut Network) -> Result<Outcome, RequestError> {
        let is_untried = self.items.iter().all(|item| item.tried.is_empty());
        if is_untried && !network.has_peer_for(self.kind) && !self.is_streamed {
            return Err(RequestError::NoPeers);
        }
        self.give_up(Missing::TimedOut, network);
        self.conclude()
    }

    /// Forgets a question that was abandoned.
    pub(super) fn abandoned(&mut self, call: &Call) {
        self.in_flight -= call.items.len();
        for (index, _) in &call.items {
            self.items[*index].copies -= 1;
        }
    }

    /// Whether what is in flight and one item more are likely to fit. One message always does.
    fn has_room(&self, network: &Network) -> bool {
        let expected = network.block_size.reserve(self.kind, self.in_flight + 1);
        self.held + self.in_flight as u64 == 0 || self.held.saturating_add(expected) <= self.limit
    }

    /// Finds the first item that can be asked for, and whom to ask. Ends those on the way that nobody has.
    fn next(&mut self, network: &mut Network, now: Duration) -> Option<(usize, PeerId)> {
        let affords_retry = network.retries.affords(now);
        let (mut at, mut vain) = (0, 0);
        while vain < MAX_VAIN
            && let Some(index) = self.waiting.range(at..).next().copied()
        {
            at = index + 1;
            let item = &self.items[index];
            if item.lack.is_some() && !affords_retry {
                network.starved = true;
                continue;
            }
            let pick = if item.attempts < self.attempts {
                network.pick_bulk(self.kind, &item.id, &item.tried, now)
            } else {
                Pick::Never
            };
            match pick {
                Pick::Peer(peer) => return Some((index, peer)),
                Pick::Later => vain += 1,
                Pick::Never if item.copies > 0 => {
                    self.waiting.remove(&index);
                }
                Pick::Never => self.end_missing(index, self.items[index].lack.unwrap_or(Missing::NotFound), network),
            }
        }
        None
    }

    /// Asks a peer for an item and for as many of those after it as go into a message.
    fn ask(&mut self, first: usize, peer: PeerId, network: &mut Network, now: Duration) {
        let is_retry = self.items[first].lack.is_some();
        let mut room = network.message_len(peer, self.kind).max(1);
        let mut parts = Vec::with_capacity(room);
        for index in self.waiting.range(first..) {
            let item = &self.items[*index];
            // A retry that is paid for carries others with it; without one, none slips in.
            let is_admitted = (is_retry || item.lack.is_none()) && network.takes(peer, &item.id, &item.tried, now);
            if is_admitted && item.attempts < self.attempts {
                parts.push((*index, item.id));
                room -= 1;
            }
            let expected = network.block_size.reserve(self.kind, self.in_flight + parts.len() + 1);
            if room == 0 || self.held.saturating_add(expected) > self.limit {
                break;
            }
        }
        for (index, _) in &parts {
            self.waiting.remove(index);
            let item = &mut self.items[*index];
            item.copies += 1;
            item.attempts += 1;
            item.tried.push(peer);
        }
        if is_retry {
            network.retries.pay()
        } else {
            network.retries.earn()
        }
        self.put(peer, parts, network, now);
    }

    /// Asks a peer that gave nothing of late for an item that another is being asked for, so that nothing waits for it.
    fn give_chance(&mut self, index: usize, network: &mut Network, now: Duration) {
        let item = &self.items[index];
        if let Some(peer) = network.pick_chance(self.kind, &item.id, &item.tried, now) {
            let id = item.id;
            self.items[index].copies += 1;
            self.items[index].tried.push(peer);
            self.put(peer, vec![(index, id)], network, now);
            network.mark_chance();
        }
    }

    fn put(&mut self, peer: PeerId, parts: Vec<(usize, Inventory)>, network: &mut Network, now: Duration) {
        self.in_flight += parts.len();
        let ids = parts.iter().map(|(_, id)| *id);
        let question = if self.kind == RequestKind::Blocks {
            Request::Blocks(ids.filter_map(block_hash).collect())
        } else {
            Request::Transactions(ids.filter_map(Inventory::transaction_id).collect())
        };
        network.ask(self.id, peer, question, parts, now);
    }

    /// Keeps, or hands on, what came and was asked for. Returns how many and how many bytes, and whether others are still
    /// being asked for any of it.
    fn take(&mut self, call: &Call, found: Vec<(Inventory, State)>, network: &mut Network) -> ((usize, u64), bool) {
        let (mut count, mut sum, mut is_shared) = (0, 0, false);
        for (id, state) in found {
            let Some((index, _)) = call.items.iter().find(|(_, asked)| *asked == id) else { continue };
            let bytes = state.len();
            count += 1;
            sum += bytes;
            if let State::Block(_) = state {
                network.block_size.observe(bytes);
            }
            let item = &mut self.items[*index];
            if !item.is_wanted() {
                continue;
            }
            is_shared |= item.copies > 0;
            self.held += bytes;
            item.state = match state {
                State::Block(block) if self.is_streamed => {
                    let fetched = Fetched { hash: block.hash(), result: Ok((call.peer, block)) };
                    network.outputs.push_back(Output::Fetched(self.id, fetched));
                    State::Delivered
                }
                kept
                @ (State::Wanted | State::Block(_) | State::Transaction(_) | State::Delivered | State::Missing) => kept,
            };
            self.end(*index);
        }
        ((count, sum), is_shared)
    }

    /// Puts back what a peer did not give.
    fn lacking(
        &mut self,
        call: &Call,
        lacks: &[(Inventory, Missing)],
        is_progress: bool,
        network: &mut Network,
        now: Duration,
    ) {
        for (index, id) in &call.items {
            let item = &mut self.items[*index];
            if !item.is_wanted() {
                continue;
            }
            // What is not even named was dropped.
            let why = lacks.iter().find(|(lacking, _)| lacking == id).map_or(Missing::Dropped, |(_, why)| *why);
            match why {
                // It served a part and dropped the rest: it may well have it, and is asked again at once.
                Missing::Dropped if is_progress => item.forgive(call),
                // Silence about all that was asked is a way to say no.
                Missing::Dropped | Missing::NotFound => {
                    item.lack = Some(why);
                    network.registry.miss(call.peer, *id, now);
                }
                Missing::TimedOut => item.lack = Some(why),
            }
            self.waiting.insert(*index);
        }
    }

    fn failed(&mut self, call: &Call, error: &savanna_peer::RequestError, network: &mut Network, now: Duration) {
        for (index, _) in &call.items {
            let item = &mut self.items[*index];
            if !item.is_wanted() {
                continue;
            }
            if matches!(error, savanna_peer::RequestError::Closed(_)) {
                item.forgive(call);
            }
            item.lack = Some(Missing::TimedOut);
            self.waiting.insert(*index);
        }
        network.measure(call, None, now);
    }

    fn end(&mut self, index: usize) {
        self.waiting.remove(&index);
        self.left -= 1;
        self.moved = true;
    }

    fn end_missing(&mut self, index: usize, why: Missing, network: &mut Network) {
        let item = &mut self.items[index];
        item.state = State::Missing;
        item.lack = Some(why);
        if let (true, Some(hash)) = (self.is_streamed, block_hash(item.id)) {
            network.outputs.push_back(Output::Fetched(self.id, Fetched { hash, result: Err(why) }));
        }
        self.end(index);
    }

    fn give_up(&mut self, why: Missing, network: &mut Network) {
        for index in 0..self.items.len() {
            if self.items[index].is_wanted() {
                self.end_missing(index, why, network);
            }
        }
    }

    fn conclude(&mut self) -> Result<Outcome, RequestError> {
        if self.is_streamed {
            return Ok(Outcome::Streamed);
        }
        assemble(self.kind, std::mem::take(&mut self.items)).map(Outcome::Gathered)
    }
}

//! What we ask of the peer: a table of requests in flight, matched to messages by content and by order.
//!
//! Behind each question goes a `ping`, its fence. Peers answer in order, so the fence's `pong` says that the question has been
//! answered as far as it ever will be. A question that was cancelled, or whose time is over, stays in the table until the
//! peer's answers have gone past it: so its late answer is neither taken for that of another nor held against the peer.

mod fetch;
mod find;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use savanna_wire::{
    AddrV2, Block, BlockHash, BlockHeader, Bounded, Inventory, Locator, MAX_LOCATOR, Message, ProtocolVersion,
    Transaction, TransactionId,
};

use self::fetch::Fetch;
use self::find::{Find, Wants};
use crate::keepalive::Asked;
use crate::outbox::Outbox;
use crate::patience::Patience;
use crate::{
    Busy, CloseReason, MAX_BLOCKS, MAX_GETDATA_BLOCKS, MAX_TRANSACTIONS, Request, RequestError, RequestId, RequestKind,
    Response,
};

/// How many blocks may be wanted at once: a full window and the next message of it.
const MAX_WANTED_BLOCKS: usize = MAX_BLOCKS + MAX_GETDATA_BLOCKS;

/// How many fences are remembered; beyond, the oldest goes first.
const MAX_FENCES: usize = 512;

/// How a request ends.
pub(crate) type Done = (RequestId, Result<Response, RequestError>);

/// The table.
#[derive(Debug)]
pub(crate) struct Requests {
    next_id: u64,
    next_order: u64,
    fences: VecDeque<Fence>,
    blocks: Fetch<Block, BlockHash>,
    transactions: Fetch<Transaction, TransactionId>,
    finds: Find,
    done: VecDeque<Done>,
}

/// A `ping` on its way behind a question.
#[derive(Debug, Clone, Copy)]
struct Fence {
    nonce: u64,
    order: u64,
}

/// What asking needs of the session.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) rng: &'a mut ChaCha8Rng,
    pub(crate) negotiated: ProtocolVersion,
    pub(crate) now: Duration,
    /// The scale of deadlines.
    pub(crate) clock: &'a Patience,
    pub(crate) timeout: Duration,
}

impl Line<'_> {
    /// Returns the deadline of something before which the peer has `ahead` things to send.
    ///
    /// A full message's worth of blocks has the whole time for itself, and so has what follows it.
    fn deadline(&self, ahead: usize) -> Duration {
        let messages = u32::try_from(ahead / MAX_GETDATA_BLOCKS).unwrap_or(u32::MAX);
        self.clock.read(self.now).saturating_add(self.timeout.saturating_mul(messages.saturating_add(1)))
    }
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self {
            next_id: 0,
            next_order: 0,
            fences: VecDeque::new(),
            blocks: Fetch::new(),
            transactions: Fetch::new(),
            finds: Find::default(),
            done: VecDeque::new(),
        }
    }

    /// Asks the peer something.
    pub(crate) fn begin(&mut self, request: &Request, line: &mut Line<'_>) -> Result<RequestId, Busy> {
        let kind = request.kind();
        if let Some(error) = too_long(request) {
            return Ok(self.end(Err(error)));
        }
        let (question, wants) = match *request {
            Request::Ping => (None, Wants::Pong { sent: line.now }),
            Request::Peers => (Some(Message::GetAddr), Wants::Peers { one: None, is_past_fence: false }),
            Request::MempoolIds => (Some(Message::Mempool), Wants::TransactionIds),
            Request::FindBlocks { ref locator, stop } => {
                let question = Message::GetBlocks(wire_locator(locator, stop, line.negotiated));
                (Some(question), Wants::BlockHashes { stop, held: None })
            }
            Request::FindHeaders { ref locator, stop } => {
                (Some(Message::GetHeaders(wire_locator(locator, stop, line.negotiated))), Wants::Headers)
            }
            Request::Blocks(ref hashes) => return self.fetch_blocks(hashes, line),
            Request::Transactions(ref ids) => return self.fetch_transactions(ids, line),
            Request::PushTransaction(_)
            | Request::AdvertiseTransactions(_)
            | Request::AdvertiseBlock(_)
            | Request::AdvertisePeers(_) => return Ok(self.end(Ok(Response::Nil))),
        };
        if self.finds.is_busy(kind) {
            return Err(Busy(kind));
        }
        let id = self.id();
        let deadline = line.deadline(self.blocks.expected());
        if let Some(question) = question {
            line.outbox.send(&question);
        }
        let order = self.fence(line);
        self.finds.ask(id, order, deadline, wants);
        Ok(id)
    }

    fn fetch_blocks(&mut self, hashes: &[BlockHash], line: &mut Line<'_>) -> Result<RequestId, Busy> {
        let hashes = unique(hashes);
        let (wanted, expected) = (self.blocks.wanted(), self.blocks.expected());
        if wanted + hashes.len() > MAX_WANTED_BLOCKS || expected + hashes.len() > 2 * MAX_WANTED_BLOCKS {
            return Err(Busy(RequestKind::Blocks));
        }
        let id = self.id();
        self.blocks.open(id, hashes.iter().copied().collect(), Vec::new());
        for message in hashes.chunks(MAX_GETDATA_BLOCKS) {
            let deadline = line.deadline(self.blocks.expected());
            let items = message.iter().copied().map(Inventory::Block).collect();
            line.outbox.send(&Message::GetData(Bounded::truncated(items)));
            let order = self.fence(line);
            self.blocks.ask(id, order, deadline, message.iter().copied().collect());
        }
        Ok(id)
    }

    fn fetch_transactions(&mut self, ids: &[TransactionId], line: &mut Line<'_>) -> Result<RequestId, Busy> {
        let can_ask = |id: &TransactionId| is_askable(*id, line.negotiated);
        let (askable, lacking): (Vec<_>, Vec<_>) = unique(ids).into_iter().partition(can_ask);
        let (wanted, expected) = (self.transactions.wanted(), self.transactions.expected());
        if wanted + askable.len() > MAX_TRANSACTIONS || expected + askable.len() > 2 * MAX_TRANSACTIONS {
            return Err(Busy(RequestKind::Transactions));
        }
        let id = self.id();
        let asked: BTreeSet<_> = askable.iter().copied().collect();
        self.transactions.open(id, asked.clone(), lacking);
        if !askable.is_empty() {
            let deadline = line.deadline(self.blocks.expected());
            let items = askable.into_iter().map(Inventory::from).collect();
            line.outbox.send(&Message::GetData(Bounded::truncated(items)));
            let order = self.fence(line);
            self.transactions.ask(id, order, deadline, asked);
        }
        Ok(id)
    }

    /// Opens a request that ends at once.
    fn end(&mut self, result: Result<Response, RequestError>) -> RequestId {
        let id = self.id();
        self.done.push_back((id, result));
        id
    }

    /// Returns what has been asked so far, for a heartbeat behind it.
    pub(crate) fn asked(&self) -> Asked {
        let messages = self.blocks.expected().div_ceil(MAX_GETDATA_BLOCKS);
        Asked { order: self.next_order, block_messages: u32::try_from(messages).unwrap_or(u32::MAX) }
    }

    /// Returns whether the peer has yet to answer anything.
    pub(crate) fn awaits_answers(&self) -> bool {
        !self.fences.is_empty() || self.blocks.expected() > 0 || self.transactions.expected() > 0
    }

    /// Takes a `pong`; returns whether it answers a fence or a ping of ours.
    pub(crate) fn pong(&mut self, nonce: u64, clock: &Patience, now: Duration) -> bool {
        let Some(at) = self.fences.iter().position(|fence| fence.nonce == nonce) else { return false };
        if let Some(Fence { order, .. }) = self.fences.remove(at) {
            self.blocks.fence(order);
            self.transactions.fence(order);
            self.finds.fence(order, clock, now);
        }
        true
    }

    /// Notes that the peer has answered everything asked before a place.
    pub(crate) fn reached(&mut self, order: u64) {
        self.blocks.forget_before(order);
        self.transactions.forget_before(order);
        self.finds.forget_before(order);
    }

    /// Returns a block that was held as a possible answer, unless the next message proves it one.
    pub(crate) fn release(&mut self, next: &Message) -> Option<BlockHash> {
        if let Message::Pong(nonce) = next
            && let Some(fence) = self.fences.iter().find(|fence| fence.nonce == *nonce)
            && self.finds.holds_at(fence.order)
        {
            return None;
        }
        self.finds.release()
    }

    /// Takes a block; returns whether it had been asked for.
    pub(crate) fn block(&mut self, block: &Block) -> bool {
        self.blocks.deliver(block.hash(), block)
    }

    /// Takes a transaction; returns whether it had been asked for.
    pub(crate) fn transaction(&mut self, id: TransactionId, transaction: &Transaction) -> bool {
        self.transactions.deliver(id, transaction)
    }

    /// Takes the peer's word that it lacks something; returns whether it had been asked for.
    ///
    /// # Security
    /// Only what we asked this peer for counts, so that `notfound` steers nothing else.
    pub(crate) fn lacks(&mut self, item: Inventory) -> bool {
        match item {
            Inventory::Block(hash) => self.blocks.lacks(hash),
            Inventory::FilteredBlock(_) => false,
            Inventory::Tx(id) => self.transactions.lacks(TransactionId::Legacy(id)),
            Inventory::Wtx(id, digest) => self.transactions.lacks(TransactionId::Witnessed(id, digest)),
        }
    }

    /// Takes addresses; returns whether they had been asked for.
    pub(crate) fn addresses(&mut self, entries: &[AddrV2]) -> bool {
        self.finds.addresses(entries)
    }

    /// Takes announced blocks; returns whether they had been asked for, or may have been.
    pub(crate) fn block_hashes(&mut self, hashes: &[BlockHash]) -> bool {
        self.finds.block_hashes(hashes)
    }

    /// Takes headers; returns whether they had been asked for.
    pub(crate) fn headers(&mut self, headers: Vec<BlockHeader>) -> bool {
        self.finds.headers(headers)
    }

    /// Takes announced transactions; gives them back if they are news.
    pub(crate) fn transaction_ids(&mut self, ids: Vec<TransactionId>) -> Result<(), Vec<TransactionId>> {
        self.finds.transaction_ids(ids)
    }

    /// Lets deadlines pass.
    pub(crate) fn expire(&mut self, clock: &Patience, now: Duration) {
        self.blocks.expire(clock, now);
        self.transactions.expire(clock, now);
        self.finds.expire(clock, now);
    }

    /// Returns the first deadline and the request it is for.
    pub(crate) fn deadline(&self) -> Option<(Duration, RequestId)> {
        [self.blocks.deadline(), self.transactions.deadline(), self.finds.deadline()].into_iter().flatten().min()
    }

    /// Forgets a request; what the peer still sends for it is dropped.
    pub(crate) fn cancel(&mut self, id: RequestId) {
        self.blocks.cancel(id);
        self.transactions.cancel(id);
        self.finds.cancel(id);
    }

    /// Ends every open request.
    pub(crate) fn close(&mut self, reason: &CloseReason) {
        let open = [self.blocks.close(), self.transactions.close(), self.finds.close()].concat();
        self.fences.clear();
        self.done.extend(open.into_iter().map(|id| (id, Err(RequestError::Closed(reason.clone())))));
    }

    /// Returns the next request that has ended.
    pub(crate) fn poll(&mut self) -> Option<Done> {
        if let Some((id, result)) = self.blocks.poll() {
            return Some((id, result.map(Response::Blocks)));
        }
        if let Some((id, result)) = self.transactions.poll() {
            return Some((id, result.map(Response::Transactions)));
        }
        self.finds.poll().or_else(|| self.done.pop_front())
    }

    /// Returns the bytes of what open requests have gathered.
    pub(crate) fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.found().map(|block| block.bytes().len()).sum();
        let transactions: usize = self.transactions.found().map(|transaction| transaction.bytes().len()).sum();
        blocks + transactions
    }

    fn id(&mut self) -> RequestId {
        self.next_id += 1;
        RequestId(self.next_id)
    }

    /// Sends a fence and returns its place.
    fn fence(&mut self, line: &mut Line<'_>) -> u64 {
        let (nonce, order) = (line.rng.next_u64(), self.next_order);
        self.next_order += 1;
        if self.fences.len() == MAX_FENCES {
            self.fences.pop_front();
        }
        self.fences.push_back(Fence { nonce, order });
        line.outbox.send(&Message::Ping(nonce));
        order
    }
}

/// Returns whether a negotiated version has a form for a transaction's name (ZIP-239).
pub(crate) fn is_askable(id: TransactionId, negotiated: ProtocolVersion) -> bool {
    match id {
        TransactionId::Legacy(_) => true,
        TransactionId::Witnessed(..) => negotiated >= ProtocolVersion::WTX,
    }
}

fn wire_locator(hashes: &[BlockHash], stop: Option<BlockHash>, version: ProtocolVersion) -> Locator {
    Locator { version, hashes: Bounded::truncated(hashes.to_vec()), stop: stop.unwrap_or(BlockHash::ZERO) }
}

/// Leaves the first of equal elements, in the order given.
fn unique<T: Ord + Copy>(elements: &[T]) -> Vec<T> {
    let mut seen = BTreeSet::new();
    elements.iter().copied().filter(|element| seen.insert(*element)).collect()
}

fn too_long(request: &Request) -> Option<RequestError> {
    let (len, limit) = match request {
        Request::FindBlocks { locator, .. } | Request::FindHeaders { locator, .. } => (locator.len(), MAX_LOCATOR),
        Request::Blocks(hashes) => (hashes.len(), MAX_BLOCKS),
        Request::Transactions(ids) => (ids.len(), MAX_TRANSACTIONS),
        Request::AdvertiseTransactions(ids) => (ids.len(), crate::MAX_ADVERTISED),
        Request::AdvertisePeers(peers) => (peers.len(), crate::MAX_ADVERTISED_PEERS),
        Request::Ping
        | Request::Peers
        | Request::MempoolIds
        | Request::PushTransaction(_)
        | Request::AdvertiseBlock(_) => return None,
    };
    (len > limit).then_some(RequestError::TooLong { len, limit })
}

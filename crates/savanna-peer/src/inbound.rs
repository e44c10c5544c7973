//! What the peer asks of us.
//!
//! Questions wait in one queue, in the order in which they came, and are answered in that order: the protocol has no other
//! way to tell the answers apart. A `ping` behind a question waits for its turn too, since its `pong` tells the peer that the
//! question has been answered.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use savanna_wire::{
    BlockHash, Bounded, Frame, Inventory, Locator, MAX_HEADERS, Message, ProtocolVersion, TransactionId,
};

use crate::budget::Bucket;
use crate::outbox::Outbox;
use crate::requests::is_askable;
use crate::{
    Direction, Event, InboundId, MAX_ADVERTISED, MAX_BLOCK_HASHES, MAX_GETDATA_BLOCKS, MAX_TRANSACTIONS, Missing,
    Request, Response, gossip,
};

/// How many questions may be open: at the inbound service, or answered there and waiting for an answer before theirs.
const MAX_OPEN: usize = 4;

/// How many entries wait in the queue, and their bytes, before nothing more is read.
///
/// Both are far above what a node with a full window of requests asks at once. Reading on while earlier questions wait lets two
/// nodes that ask much of each other take each other's answers, instead of both waiting for the other to read.
const MAX_QUEUE: usize = 512;
const MAX_QUEUE_BYTES: usize = 256 * 1024;

/// The bytes of blocks or transactions after which an answer is cut; the first is always sent.
const MAX_ANSWER_BYTES: usize = 1_000_000;

/// How many `inv` one answer to `mempool` takes at most.
const MAX_MEMPOOL_MESSAGES: usize = 2;

/// How many pings may wait to be excused as fences.
const MAX_FENCES: u32 = 256;

/// The peer's questions.
#[derive(Debug)]
pub(crate) struct Inbound {
    direction: Direction,
    /// Whether addresses are answered as `addrv2`.
    addrv2: bool,
    next_id: u64,
    queue: VecDeque<Entry>,
    queue_bytes: usize,
    open: usize,
    held_bytes: usize,
    has_asked_peers: bool,
    fences: u32,
    searches: Bucket,
    throttled: bool,
}

#[derive(Debug)]
enum Entry {
    /// A `ping`.
    Ping(u64),
    /// A question that has not been passed on.
    Waiting(Request),
    /// A question that the inbound service has.
    Open(InboundId, Request),
    /// An answer that waits for those before it.
    Answered(Vec<Frame>),
}

impl Inbound {
    /// Questions at once for which the chain or the mempool is searched, and the time in which one more is earned.
    const SEARCHES: u32 = 1000;
    const SEARCH_PERIOD: Duration = Duration::from_millis(10);

    pub(crate) fn new(direction: Direction, addrv2: bool, now: Duration) -> Self {
        Self {
            direction,
            addrv2,
            next_id: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
            open: 0,
            held_bytes: 0,
            has_asked_peers: false,
            fences: 0,
            searches: Bucket::new(Self::SEARCH_PERIOD, Self::SEARCHES, Self::SEARCHES, now),
            throttled: false,
        }
    }

    /// Takes a `ping`; returns whether it may be the fence behind a question, which costs the peer nothing.
    pub(crate) fn ping(&mut self, nonce: u64) -> bool {
        self.push(Entry::Ping(nonce), 8);
        let is_fence = self.fences > 0;
        self.fences = self.fences.saturating_sub(1);
        is_fence
    }

    /// Takes a `getaddr`; returns false if we do not answer it.
    ///
    /// # Security
    /// Answered once, and only to a peer that dialled us, so that nobody maps our address book by asking again or everywhere.
    pub(crate) fn peers(&mut self) -> bool {
        if self.direction == Direction::Outbound || self.has_asked_peers {
            return false;
        }
        self.has_asked_peers = true;
        self.wait(Request::Peers);
        true
    }

    /// Takes a `getblocks`.
    pub(crate) fn find_blocks(&mut self, locator: Locator) {
        let (locator, stop) = search(locator);
        self.wait(Request::FindBlocks { locator, stop });
    }

    /// Takes a `getheaders`.
    pub(crate) fn find_headers(&mut self, locator: Locator) {
        let (locator, stop) = search(locator);
        self.wait(Request::FindHeaders { locator, stop });
    }

    /// Takes a `mempool`.
    pub(crate) fn mempool(&mut self) {
        self.wait(Request::MempoolIds);
    }

    /// Takes a `getdata`, of which it keeps the first blocks and the first transactions, each once; returns false if it names
    /// none.
    pub(crate) fn fetch(&mut self, items: &[Inventory]) -> bool {
        let blocks = firsts(items, MAX_GETDATA_BLOCKS, |item| match item {
            Inventory::Block(hash) => Some(hash),
            Inventory::FilteredBlock(_) | Inventory::Tx(_) | Inventory::Wtx(..) => None,
        });
        let transactions = firsts(items, MAX_TRANSACTIONS, Inventory::transaction_id);
        let is_question = !blocks.is_empty() || !transactions.is_empty();
        if !blocks.is_empty() {
            self.wait(Request::Blocks(blocks));
        }
        if !transactions.is_empty() {
            self.wait(Request::Transactions(transactions));
        }
        is_question
    }

    fn wait(&mut self, request: Request) {
        self.fences = (self.fences + 1).min(MAX_FENCES);
        let bytes = weight(&request);
        self.push(Entry::Waiting(request), bytes);
    }

    fn push(&mut self, entry: Entry, bytes: usize) {
        self.queue_bytes += bytes + size_of::<Entry>();
        self.queue.push_back(entry);
    }

    /// Takes the inbound service's answer. One of another kind than the question is none.
    pub(crate) fn respond(&mut self, id: InboundId, response: Response, negotiated: ProtocolVersion, outbox: &Outbox) {
        let place = self.queue.iter_mut().find(|entry| matches!(entry, Entry::Open(open, _) if *open == id));
        if let Some(entry) = place
            && let Entry::Open(_, request) = std::mem::replace(entry, Entry::Answered(Vec::new()))
        {
            let messages = match (&request, response) {
                (Request::Peers, Response::Peers(peers)) => {
                    gossip::addresses(&peers, self.addrv2).into_iter().collect()
                }
                (_, response) => answer(&request, response, negotiated),
            };
            let frames: Vec<_> = messages.iter().map(|message| outbox.frame(message)).collect();
            self.queue_bytes = self.queue_bytes.saturating_sub(weight(&request));
            self.held_bytes += frames.iter().map(Frame::len).sum::<usize>();
            *entry = Entry::Answered(frames);
        }
    }

    /// Sends what has its turn, and passes questions on while the peer reads what it is sent.
    pub(crate) fn pump(&mut self, outbox: &mut Outbox, events: &mut VecDeque<Event>, now: Duration) {
        loop {
            match self.queue.front_mut() {
                Some(Entry::Ping(nonce)) if !outbox.is_above_mark() => outbox.send(&Message::Pong(*nonce)),
                Some(Entry::Answered(frames)) => {
                    self.open -= 1;
                    self.held_bytes -= frames.iter().map(Frame::len).sum::<usize>();
                    frames.drain(..).for_each(|frame| outbox.queue(frame));
                }
                Some(Entry::Ping(_) | Entry::Waiting(_) | Entry::Open(..)) | None => break,
            }
            let bytes = if let Some(Entry::Ping(_)) = self.queue.pop_front() { 8 } else { 0 };
            self.queue_bytes = self.queue_bytes.saturating_sub(bytes + size_of::<Entry>());
        }
        self.pass_on(outbox, events, now);
    }

    fn pass_on(&mut self, outbox: &Outbox, events: &mut VecDeque<Event>, now: Duration) {
        self.throttled = false;
        for entry in &mut self.queue {
            if self.open >= MAX_OPEN || outbox.is_above_mark() {
                return;
            }
            let Entry::Waiting(request) = entry else { continue };
            if is_search(request) && !self.searches.take(1, now) {
                self.throttled = true;
                return;
            }
            self.next_id += 1;
            self.open += 1;
            let (id, request) = (InboundId(self.next_id), request.clone());
            events.push_back(Event::Request { id, request: request.clone() });
            *entry = Entry::Open(id, request);
        }
    }

    /// Returns whether so much waits that nothing more is to be read.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= MAX_QUEUE || self.queue_bytes >= MAX_QUEUE_BYTES
    }

    /// Returns when a question that waits for the peer's own rate may be passed on.
    pub(crate) fn throttled_until(&self) -> Option<Duration> {
        self.throttled.then(|| self.searches.when(1))
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.queue_bytes + self.held_bytes
    }

    /// Forgets every question.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        (self.queue_bytes, self.held_bytes, self.open, self.throttled) = (0, 0, 0, false);
    }
}

fn search(locator: Locator) -> (Vec<BlockHash>, Option<BlockHash>) {
    (locator.hashes.into_vec(), Some(locator.stop).filter(|stop| *stop != BlockHash::ZERO))
}

/// Picks the first `most` different things of one kind.
fn firsts<T: Ord + Copy>(items: &[Inventory], most: usize, pick: impl Fn(Inventory) -> Option<T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    items.iter().filter_map(|item| pick(*item)).filter(|thing| seen.insert(*thing)).take(most).collect()
}

/// Returns whether answering takes a walk along the chain or through the mempool.
const fn is_search(request: &Request) -> bool {
    matches!(request, Request::FindBlocks { .. } | Request::FindHeaders { .. } | Request::MempoolIds)
}

/// Returns the bytes that a waiting question takes.
fn weight(request: &Request) -> usize {
    match request {
        Request::FindBlocks { locator, .. } | Request::FindHeaders { locator, .. } => size_of_val(&locator[..]),
        Request::Blocks(hashes) => size_of_val(&hashes[..]),
        Request::Transactions(ids) => size_of_val(&ids[..]),
        Request::Ping
        | Request::Peers
        | Request::MempoolIds
        | Request::PushTransaction(_)
        | Request::AdvertiseTransactions(_)
        | Request::AdvertiseBlock(_)
        | Request::AdvertisePeers(_) => 0,
    }
}

/// Turns the service's response into messages, but for addresses.
fn answer(request: &Request, response: Response, negotiated: ProtocolVersion) -> Vec<Message> {
    match (request, response) {
        (Request::FindBlocks { .. }, Response::BlockHashes(hashes)) if !hashes.is_empty() => {
            let items = hashes.into_iter().take(MAX_BLOCK_HASHES).map(Inventory::Block).collect();
            vec![Message::Inv(Bounded::truncated(items))]
        }
        (Request::FindHeaders { .. }, Response::Headers(mut headers)) => {
            headers.truncate(MAX_HEADERS);
            vec![Message::Headers(Bounded::truncated(headers))]
        }
        (Request::MempoolIds, Response::TransactionIds(ids)) => mempool(&ids, negotiated),
        (Request::Blocks(asked), Response::Blocks(answer)) => {
            let found = answer.found.into_iter().map(|block| (block.bytes().len(), Message::Block(block)));
            deliver(found, asked, &answer.missing, Inventory::Block)
        }
        (Request::Transactions(asked), Response::Transactions(answer)) => {
            let found = answer.found.into_iter().map(|each| (each.bytes().len(), Message::Tx(each)));
            deliver(found, asked, &answer.missing, Inventory::from)
        }
        _ => Vec::new(),
    }
}

/// Delivers what was found, as far as one answer goes, and names what is lacking. What was cut is passed over in silence.
fn deliver<Id: Ord + Copy>(
    found: impl Iterator<Item = (usize, Message)>,
    asked: &[Id],
    missing: &[(Id, Missing)],
    name: impl Fn(Id) -> Inventory,
) -> Vec<Message> {
    let mut sent = 0;
    let within = found.take(asked.len()).take_while(|(bytes, _)| {
        sent += bytes;
        sent <= MAX_ANSWER_BYTES || sent == *bytes
    });
    let mut messages: Vec<_> = within.map(|(_, message)| message).collect();
    let lacking = missing.iter().filter(|(id, why)| *why == Missing::NotFound && asked.contains(id));
    let lacking: Vec<_> = lacking.map(|(id, _)| name(*id)).collect();
    if !lacking.is_empty() {
        messages.push(Message::NotFound(Bounded::truncated(lacking)));
    }
    messages
}

/// Lists the mempool: one `inv`, though it be empty; more if one does not hold it.
fn mempool(ids: &[TransactionId], negotiated: ProtocolVersion) -> Vec<Message> {
    let known = ids.iter().copied().filter(|id| is_askable(*id, negotiated));
    let items: Vec<_> = known.take(MAX_MEMPOOL_MESSAGES * MAX_ADVERTISED).map(Inventory::from).collect();
    if items.is_empty() {
        return vec![Message::Inv(Bounded::default())];
    }
    items.chunks(MAX_ADVERTISED).map(|part| Message::Inv(Bounded::truncated(part.to_vec()))).collect()
}

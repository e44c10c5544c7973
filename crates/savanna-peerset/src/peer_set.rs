//! The front end: the network as a tower service.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;
use tower::Service;

use savanna_net::{Clock, PeerId, Spawner};
use savanna_peer::{CloseReason, Gossip, LocalReason, Offence, Request, Response};
use savanna_wire::{BlockHash, PeerAddr, sha256d};

use crate::driver::{Command, Driver, Ends, Notice, Reply};
use crate::event::{Event, Events, MAX_EVENTS};
use crate::judge::Judge;
use crate::request::{Answer, Ask, Fetched, Outcome, RequestError, RequestId};
use crate::{Config, Inbound, Peer, PeerCounts, RequestCounts, Set};

/// How many requests may wait between the handles of a set and its task.
const QUEUE: usize = 256;

/// How many peers may wait to be taken in.
const JOIN_QUEUE: usize = 64;

/// How many bytes of a stream its reader takes at most before the set is told that there is room for as many more.
const TOLD_AFTER: u64 = 256 * 1024;

/// The network as one service: whom to ask is the set's business.
///
/// Clones are handles of the same set. When all of them, all unfinished [`ResponseFuture`]s and all [`BlockStream`]s are gone,
/// the set ends, and with it its hold on the peers.
///
/// As a service it is ready when its queue has room, and being ready reserves nothing, neither here nor at any peer.
///
/// | request | goes to | ends with |
/// |---|---|---|
/// | `Blocks`, `Transactions` | many peers, in parts; those who announced an item before others | what came, in the order of the request, and what did not |
/// | `AdvertiseBlock`, `AdvertiseTransactions` | every peer | `Nil` |
/// | `AdvertisePeers` | two peers | `Nil` |
/// | everything else | the nearer of two random peers; another one where that fails or is late | its answer |
#[derive(Clone)]
pub struct PeerSet {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    room: Room,
}

struct Shared {
    next_id: AtomicU64,
    deadline: Duration,
    notices: mpsc::UnboundedSender<Notice>,
    joins: mpsc::Sender<Box<dyn Peer>>,
    peers: watch::Receiver<PeerCounts>,
    requests: watch::Receiver<RequestCounts>,
    events: broadcast::WeakSender<Event>,
}

impl PeerSet {
    /// Makes a set of no peers, and runs it on `spawner` until it is unused or told to stop.
    ///
    /// `gossip` is the other end of what [`NodeConfig::gossip`](savanna_net::NodeConfig) was given.
    #[must_use]
    pub fn spawn(
        config: Config,
        seed: [u8; 32],
        gossip: Option<mpsc::Receiver<(PeerId, Gossip)>>,
        clock: Clock,
        spawner: &Spawner,
    ) -> Self {
        let (command_sender, commands) = mpsc::channel(QUEUE);
        let (notice_sender, notices) = mpsc::unbounded_channel();
        let (join_sender, joins) = mpsc::channel(JOIN_QUEUE);
        let (peers, peer_counts) = watch::channel(PeerCounts::default());
        let (requests, request_counts) = watch::channel(RequestCounts::default());
        let events = broadcast::Sender::new(MAX_EVENTS);
        let shared = Shared {
            next_id: AtomicU64::new(0),
            deadline: config.deadline,
            notices: notice_sender,
            joins: join_sender,
            peers: peer_counts,
            requests: request_counts,
            events: events.downgrade(),
        };
        let set = Set::new(config, seed, clock.now().monotonic);
        let inbound = Inbound::new(config.inbound, sha256d(&[&seed[..], b"inbound"].concat()));
        let ends = Ends { commands, notices, joins, gossip, events, peers, requests };
        spawner.spawn(Driver::new(set, inbound, clock, ends, spawner.stop()));
        Self { commands: command_sender, shared: Arc::new(shared), room: Room(None) }
    }

    /// Takes a peer in. A set that has ended drops it, and one that dialled us may find no place, or take that of another: as
    /// [`Config::inbound`] says.
    pub async fn add(&self, peer: impl Peer) {
        let _ = self.shared.joins.send(Box::new(peer)).await;
    }

    /// Returns a service that asks `peers` distinct peers the same question.
    #[must_use]
    pub fn distinct(&self, peers: usize) -> Distinct {
        Distinct { set: self.clone(), peers, grace: None }
    }

    /// Asks a peer, and another one where that one is gone, fails or is late. Attributes the answer to the peer that gave it.
    ///
    /// For questions that follow one another, as those for headers do: whoever answered the last is likely to answer the next.
    pub fn following(&self, peer: PeerId, request: Request) -> ResponseFuture<Vec<Answer>> {
        self.ask(Ask::Following(request, peer), answers)
    }

    /// Fetches blocks, at most [`MAX_HASHES`](crate::MAX_HASHES), and hands them on as they come, each with the peer that gave it.
    ///
    /// They are asked for in the order given, of many peers at once, and come in any order: in parts of up to sixteen, since a
    /// part is handed on when its peer has ended it. The stream may hold as many bytes
    /// as [`Config::streamed_bytes`] says until it is read; then nothing more is asked for.
    ///
    /// # Errors
    /// [`RequestError::TooLong`], [`RequestError::Overloaded`], or [`RequestError::Closed`] if the set has ended.
    pub async fn blocks(&self, hashes: Vec<BlockHash>) -> Result<BlockStream, RequestError> {
        let (admitted, verdict) = oneshot::channel();
        let (sender, items) = mpsc::unbounded_channel();
        let id = self.next_id();
        let left = hashes.iter().collect::<BTreeSet<_>>().len();
        let guard = Guard { id, shared: Arc::clone(&self.shared), is_armed: true };
        let stream = BlockStream { items, left, taken: 0, guard };
        let reply = Reply::Stream { admitted: Some(admitted), items: sender };
        let command = Command { id, ask: Ask::Stream(hashes), reply };
        match timeout(self.shared.deadline, self.commands.send(command)).await {
            Err(_) => return Err(RequestError::Overloaded),
            Ok(Err(_)) => return Err(ended()),
            Ok(Ok(())) => {}
        }
        verdict.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(stream)
    }

    /// Blames the peer that gave an answer: its connection is closed, and no other is touched.
    pub fn report(&self, peer: PeerId, offence: Offence) {
        let _ = self.shared.notices.send(Notice::Report(peer, offence));
    }

    /// Tells of a peer that dialled us and is this node, by where it says that it dialled.
    ///
    /// # Security
    /// Whoever we have dialled knows a nonce of ours, and can claim any address: it is believed only where a dial of ours to that
    /// very address was closed at the same time.
    pub fn note_ourselves(&self, address: PeerAddr) {
        if let Some(events) = self.shared.events.upgrade() {
            let _ = events.send(Event::MetOurselves { address });
        }
    }

    /// Returns how many peers there are, as it changes.
    #[must_use]
    pub fn peers(&self) -> watch::Receiver<PeerCounts> {
        self.shared.peers.clone()
    }

    /// Returns how many questions were put to peers, as it changes.
    #[must_use]
    pub fn requests(&self) -> watch::Receiver<RequestCounts> {
        self.shared.requests.clone()
    }

    /// Listens to what happens from here on.
    #[must_use]
    pub fn events(&self) -> Events {
        let sender = self.shared.events.upgrade();
        Events(sender.map_or_else(|| broadcast::Sender::new(1).subscribe(), |sender| sender.subscribe()))
    }

    /// Returns where events are told from, for who holds no handle.
    pub(crate) fn occurrences(&self) -> broadcast::WeakSender<Event> {
        self.shared.events.clone()
    }

    /// Returns what tells single peers something, for who holds no handle.
    pub(crate) fn teller(&self) -> Teller {
        Teller(self.shared.notices.clone())
    }

    /// Returns where peers are taken in, for who holds no handle.
    pub(crate) fn joins(&self) -> mpsc::Sender<Box<dyn Peer>> {
        self.shared.joins.clone()
    }

    fn next_id(&self) -> RequestId {
        RequestId(self.shared.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn ask<T>(&self, ask: Ask, unpack: fn(Outcome) -> T) -> ResponseFuture<T> {
        let id = self.next_id();
        let (reply, answer) = oneshot::channel();
        let queueing = match self.commands.try_send(Command { id, ask, reply: Reply::Once(reply) }) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
            Err(mpsc::error::TrySendError::Full(command)) => {
                let (commands, deadline) = (self.commands.clone(), self.shared.deadline);
                Some(Box::pin(async move {
                    // A set that has ended drops the command, by which the answer's channel tells.
                    timeout(deadline, commands.send(command)).await.is_ok()
                }) as BoxFuture<'static, bool>)
            }
        };
        let guard = Guard { id, shared: Arc::clone(&self.shared), is_armed: true };
        ResponseFuture { queueing, answer, unpack, guard }
    }
}

impl Service<Request> for PeerSet {
    type Response = Response;
    type Error = RequestError;
    type Future = ResponseFuture<Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        self.room.poll(&self.commands, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.ask(Ask::One(request), |outcome| match outcome {
            Outcome::Answers(answers) => answers.into_iter().next().map_or(Response::Nil, |answer| answer.response),
            Outcome::Gathered(response) => response,
            Outcome::Streamed => Response::Nil,
        })
    }
}

/// Asks several distinct peers the same question, and attributes each answer to the peer that gave it.
///
/// A peer that fails is replaced by another as long as there is one; fewer answers than wanted come when peers run out.
/// Lists are not split: each peer is asked for the whole, which must not be longer than one peer admits.
#[derive(Debug, Clone)]
pub struct Distinct {
    set: PeerSet,
    peers: usize,
    grace: Option<Duration>,
}

impl Distinct {
    /// Lets the slower half of those who are asked take no longer than this after the quicker half: who is later is left out.
    #[must_use]
    pub fn within(self, grace: Duration) -> Self {
        Self { grace: Some(grace), ..self }
    }
}

impl Service<Request> for Distinct {
    type Response = Vec<Answer>;
    type Error = RequestError;
    type Future = ResponseFuture<Vec<Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        self.set.room.poll(&self.set.commands, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let ask = match self.grace {
            None => Ask::Distinct(request, self.peers),
            Some(grace) => Ask::Graced(request, self.peers, grace),
        };
        self.set.ask(ask, answers)
    }
}

/// The answer to a request. Dropping it cancels the request, with all that it has in flight.
#[must_use = "a request is cancelled when its future is dropped"]
pub struct ResponseFuture<T> {
    /// Resolves to whether the queue had room in time.
    queueing: Option<BoxFuture<'static, bool>>,
    answer: oneshot::Receiver<Result<Outcome, RequestError>>,
    unpack: fn(Outcome) -> T,
    guard: Guard,
}

impl<T> Future for ResponseFuture<T> {
    type Output = Result<T, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(queueing) = &mut this.queueing {
            let has_room = ready!(queueing.as_mut().poll(cx));
            this.queueing = None;
            if !has_room {
                this.guard.is_armed = false;
                return Poll::Ready(Err(RequestError::Overloaded));
            }
        }
        let result = ready!(Pin::new(&mut this.answer).poll(cx)).unwrap_or_else(|_| Err(ended()));
        this.guard.is_armed = false;
        Poll::Ready(result.map(this.unpack))
    }
}

/// Blocks as they come. Dropping it cancels what is left.
#[must_use = "a stream is cancelled when it is dropped"]
pub struct BlockStream {
    items: mpsc::UnboundedReceiver<Fetched>,
    /// How many blocks are yet to be delivered, or told missing.
    left: usize,
    /// Bytes of blocks taken that the set has not been told of.
    taken: u64,
    guard: Guard,
}

impl BlockStream {
    /// Waits for the next block, or the lack of one; returns nothing after the last, or when the set has ended: then
    /// [`is_whole`](Self::is_whole) tells which.
    ///
    /// # Cancel safety
    /// No block is lost.
    pub async fn next(&mut self) -> Option<Fetched> {
        poll_fn(|cx| self.poll_fetched(cx)).await
    }

    /// Returns whether every block was handed on, or told missing.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.left == 0
    }

    fn poll_fetched(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fetched>> {
        let fetched = self.items.poll_recv(cx);
        self.left -= usize::from(matches!(fetched, Poll::Ready(Some(_))));
        match &fetched {
            Poll::Ready(Some(Fetched { result: Ok((_, block)), .. })) => self.taken += block.bytes().len() as u64,
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => self.guard.is_armed = false,
            Poll::Pending => {}
        }
        // Whoever takes all that is there tells so once.
        if self.taken >= TOLD_AFTER || self.taken > 0 && fetched.is_pending() {
            let _ = self.guard.shared.notices.send(Notice::Taken(self.guard.id, std::mem::take(&mut self.taken)));
        }
        fetched
    }
}

impl Stream for BlockStream {
    type Item = Fetched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Fetched>> {
        self.poll_fetched(cx)
    }
}

/// Tells single peers something. It keeps nothing alive.
pub(crate) struct Teller(mpsc::UnboundedSender<Notice>);

impl Teller {
    /// Tells a peer something that it does not answer; one that is gone misses it.
    pub(crate) fn tell(&self, peer: PeerId, statement: Request) {
        let _ = self.0.send(Notice::Tell(peer, statement));
    }

    /// Says by whom it is judged who is kept out, and that the judgement may have changed.
    pub(crate) fn judge(&self, judge: Judge) {
        let _ = self.0.send(Notice::Judge(judge));
    }
}

/// Cancels a request unless it has ended.
struct Guard {
    id: RequestId,
    shared: Arc<Shared>,
    is_armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_armed {
            let _ = self.shared.notices.send(Notice::Cancelled(self.id));
        }
    }
}

/// Waits for room in the queue. A clone waits for itself.
struct Room(Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>);

impl Room {
    fn poll(&mut self, commands: &mpsc::Sender<Command>, cx: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        if commands.is_closed() {
            return Poll::Ready(Err(ended()));
        }
        if self.0.is_none() && commands.capacity() > 0 {
            return Poll::Ready(Ok(()));
        }
        let waiting = self.0.get_or_insert_with(|| {
            let commands = commands.clone();
            Box::pin(async move { drop(commands.reserve_owned().await) })
        });
        ready!(waiting.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(if commands.is_closed() { Err(ended()) } else { Ok(()) })
    }
}

impl Clone for Room {
    fn clone(&self) -> Self {
        Self(None)
    }
}

fn answers(outcome: Outcome) -> Vec<Answer> {
    match outcome {
        Outcome::Answers(answers) => answers,
        Outcome::Gathered(_) | Outcome::Streamed => Vec::new(),
    }
}

/// What is said of a set that has ended.
const fn ended() -> RequestError {
    RequestError::Closed(CloseReason::Local(LocalReason::Shutdown))
}

impl fmt::Debug for PeerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSet").field("peers", &*self.shared.peers.borrow()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ResponseFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("request", &self.guard.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for BlockStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockStream").field("request", &self.guard.id).finish_non_exhaustive()
    }
}

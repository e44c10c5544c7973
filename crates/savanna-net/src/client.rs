//! The front end of a connection: a service that asks one peer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tower::Service;

use savanna_peer::{CloseReason, LocalReason, PeerInfo, Request, RequestError, Response};
use savanna_wire::PeerAddr;

/// How many requests may wait between the clients of a connection and its driver.
pub(crate) const QUEUE: usize = 16;

/// Numbers a connection, for the life of its node. Never used again, unlike an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer-{}", self.0)
    }
}

/// A request on its way to the driver, and where its answer is waited for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    /// When waiting for the peer's attention becomes pointless.
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Response, RequestError>>,
}

/// What the clients of a connection and its driver both see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: PeerId,
    pub(crate) info: PeerInfo,
    pub(crate) address: Option<PeerAddr>,
    /// How long a request may wait before it is put to the peer.
    pub(crate) patience: Duration,
    /// In microseconds; zero until one is known.
    round_trip: AtomicU64,
    close: OnceLock<CloseReason>,
    cancelled: AtomicBool,
    /// Wakes the driver for the two fields above.
    driver: AtomicWaker,
    /// Clients that found the queue full.
    for_room: Mutex<Vec<Waker>>,
}

impl Shared {
    pub(crate) fn new(id: PeerId, info: PeerInfo, address: Option<PeerAddr>, patience: Duration) -> Self {
        Self {
            id,
            info,
            address,
            patience,
            round_trip: AtomicU64::new(0),
            close: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            driver: AtomicWaker::new(),
            for_room: Mutex::default(),
        }
    }

    pub(crate) fn set_round_trip(&self, measured: Duration) {
        let micros = u64::try_from(measured.as_micros()).unwrap_or(u64::MAX);
        self.round_trip.store(micros.max(1), Ordering::Relaxed);
    }

    /// Has the driver's task woken by what clients do.
    pub(crate) fn register_driver(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
    }

    /// Returns why a client wants the connection closed, once one does.
    pub(crate) fn wants_close(&self) -> Option<&CloseReason> {
        self.close.get()
    }

    /// Returns whether a response future was dropped since the last call.
    pub(crate) fn take_cancelled(&self) -> bool {
        self.cancelled.swap(false, Ordering::AcqRel)
    }

    /// Tells waiting clients that the queue may have room, or will never have any.
    pub(crate) fn wake_for_room(&self) {
        let waiting = std::mem::take(&mut *self.for_room.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    fn wait_for_room(&self, cx: &Context<'_>) {
        let mut waiting = self.for_room.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
    }
}

/// Asks one peer. Clones ask the same peer over the same connection.
///
/// When every client and every unfinished [`ResponseFuture`] of a connection is gone, the connection ends.
///
/// As a service it is ready when its queue has room, and being ready reserves nothing: what finds the queue full after all,
/// or too many requests of its kind at the peer, waits inside its future. Such waiting ends after the request timeout of the
/// connection's configuration with [`RequestError::TimedOut`]; the peer then has as long again to answer.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Ask>,
    closed: watch::Receiver<Option<CloseReason>>,
}

impl Client {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        queue: mpsc::Sender<Ask>,
        closed: watch::Receiver<Option<CloseReason>>,
    ) -> Self {
        Self { shared, queue, closed }
    }

    /// Returns the number of the connection.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.shared.id
    }

    /// Returns what the handshake told of the peer.
    #[must_use]
    pub fn info(&self) -> &PeerInfo {
        &self.shared.info
    }

    /// Returns the address that was dialled, or that the peer came from.
    #[must_use]
    pub fn peer_addr(&self) -> Option<PeerAddr> {
        self.shared.address
    }

    /// Returns the round trip that was measured last.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match self.shared.round_trip.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Returns whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed() || self.closed.borrow().is_some()
    }

    /// Waits for the end of the connection and returns the reason.
    ///
    /// # Cancel safety
    /// Nothing is lost: the reason stays.
    pub async fn closed(&self) -> CloseReason {
        let mut closed = self.closed.clone();
        let ended = closed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        ended.unwrap_or(ABORTED)
    }

    /// Ends the connection for all who use it. The first reason given is the one that counts.
    pub fn close(&self, reason: CloseReason) {
        let _ = self.shared.close.set(reason);
        self.shared.driver.wake();
    }

    /// Asks the peer, without waiting for readiness first.
    pub fn ask(&self, request: Request) -> ResponseFuture {
        let deadline = Instant::now() + self.shared.patience;
        let (reply, answer) = oneshot::channel();
        let awaiting = Awaiting { answer, _keep_alive: self.queue.clone() };
        let state = match self.queue.try_send(Ask { request, deadline, reply }) {
            Ok(()) => State::Asked(awaiting),
            Err(mpsc::error::TrySendError::Full(ask)) => {
                State::Queueing { queued: Box::pin(queue(self.queue.clone(), ask)), then: Some(awaiting) }
            }
            Err(mpsc::error::TrySendError::Closed(_)) => State::Refused,
        };
        ResponseFuture { shared: Arc::clone(&self.shared), closed: self.closed.clone(), state }
    }
}

impl Service<Request> for Client {
    type Response = Response;
    type Error = RequestError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        if !self.is_closed() && self.queue.capacity() == 0 {
            self.shared.wait_for_room(cx);
        }
        // Asked again, because what was registered for may have happened in between.
        if self.is_closed() {
            return Poll::Ready(Err(RequestError::Closed(reason(&self.closed))));
        }
        if self.queue.capacity() == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        self.ask(request)
    }
}

/// What clients see of a connection whose driver was ended from outside.
pub(crate) const ABORTED: CloseReason = CloseReason::Local(LocalReason::Shutdown);

fn reason(closed: &watch::Receiver<Option<CloseReason>>) -> CloseReason {
    closed.borrow().clone().unwrap_or(ABORTED)
}

/// Waits for room in the queue, at most until the request's deadline.
async fn queue(queue: mpsc::Sender<Ask>, ask: Ask) -> Queued {
    match timeout_at(ask.deadline, queue.reserve()).await {
        Err(_) => Queued::TimedOut,
        Ok(Err(_)) => Queued::Closed,
        Ok(Ok(room)) => {
            room.send(ask);
            Queued::Sent
        }
    }
}

#[derive(Debug)]
enum Queued {
    Sent,
    TimedOut,
    Closed,
}

enum State {
    /// The queue was full; its future sends the request when there is room.
    Queueing {
        queued: Pin<Box<dyn Future<Output = Queued> + Send + Sync>>,
        then: Option<Awaiting>,
    },
    /// The driver has the request.
    Asked(Awaiting),
    /// The connection had ended.
    Refused,
    Done,
}

/// Waits for an answer, and keeps the connection until it has come.
struct Awaiting {
    answer: oneshot::Receiver<Result<Response, RequestError>>,
    _keep_alive: mpsc::Sender<Ask>,
}

/// The answer to a request. Dropping it cancels the request; keeping it keeps the connection.
#[must_use = "a request is cancelled when its future is dropped"]
pub struct ResponseFuture {
    shared: Arc<Shared>,
    closed: watch::Receiver<Option<CloseReason>>,
    state: State,
}

impl Future for ResponseFuture {
    type Output = Result<Response, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let State::Queueing { queued, then } = &mut this.state {
            let queued = ready!(queued.as_mut().poll(cx));
            this.state = match (queued, then.take()) {
                (Queued::Sent, Some(awaiting)) => State::Asked(awaiting),
                (Queued::TimedOut, _) => {
                    this.state = State::Done;
                    return Poll::Ready(Err(RequestError::TimedOut));
                }
                (Queued::Sent | Queued::Closed, _) => State::Refused,
            };
        }
        let result = match &mut this.state {
            State::Asked(awaiting) => ready!(Pin::new(&mut awaiting.answer).poll(cx)),
            State::Refused => Ok(Err(RequestError::Closed(reason(&this.closed)))),
            State::Queueing { .. } | State::Done => return Poll::Pending,
        };
        // The driver answers everything before it ends, unless it was itself ended from outside.
        let result = result.unwrap_or_else(|_| Err(RequestError::Closed(reason(&this.closed))));
        this.state = State::Done;
        Poll::Ready(result)
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        if matches!(self.state, State::Queueing { .. } | State::Asked(_)) {
            // First the receiver goes, by which the driver knows whose answer is unwanted; then the driver looks.
            self.state = State::Done;
            self.shared.cancelled.store(true, Ordering::Release);
            self.shared.driver.wake();
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("peer", &self.shared.id).finish_non_exhaustive()
    }
}

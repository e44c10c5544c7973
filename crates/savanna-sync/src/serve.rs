//! Serving the chain to peers, straight from the archive.
//!
//! An [`ArchiveService`] is the inbound service of a node that keeps an [`Archive`]: a tower service from what a peer asks to what
//! it is answered. Blocks go out as they were stored, with the checksum that they came with. Each kind of work has a bound
//! ([`Limits`]), and what comes of it can be counted ([`ServeCounts`]).

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tower::Service;

use savanna_net::Standing;
use savanna_peer::{Missing, Partial, Request, Response};
use savanna_store::StoreError;
use savanna_wire::{Block, BlockHash, Services, TransactionId};

use answer::Part;
use budget::{Allowance, Budget, Held, Kind, Pace, Repeats};
use counts::{Counters, add};

mod answer;
mod archive;
mod budget;
mod counts;

pub use archive::Archive;
pub use budget::Limits;
pub use counts::ServeCounts;

/// How long a question waits for its turn. It is shorter than connections wait for an answer: silence is then of our choice.
const PATIENCE: Duration = Duration::from_secs(4);

/// Answers peers from an archive: headers, hashes and blocks. It has no transactions, and leaves addresses to others by answering
/// [`Response::Nil`].
///
/// A clone is the service of another peer: each connection works on a clone of its own, in which its peer's budgets are. What
/// serving takes in all, the clones share.
///
/// While the archive is not whole, as [`yielding_to`](Self::yielding_to) tells, peers are served at
/// [`Limits::rate_while_syncing`], so that our own chain comes first.
///
/// # Security
/// Blocks count against the budgets until their bytes are written to a socket, so a peer that asks and does not read holds a bounded
/// part of memory, and gets no more. Telling a peer again what it was told is paced: its next question waits.
pub struct ArchiveService<T> {
    shared: Arc<Shared<T>>,
    peer: Arc<Peer>,
    standing: Option<watch::Receiver<Standing>>,
}

/// What all connections share.
struct Shared<T> {
    archive: Arc<T>,
    budget: Budget,
    pace: Pace,
    counters: Counters,
}

/// What one connection has for itself.
struct Peer {
    allowance: Allowance,
    repeats: Mutex<Repeats>,
}

impl<T: Archive> ArchiveService<T> {
    /// Makes a service that reads from `archive`.
    #[must_use]
    pub fn new(archive: Arc<T>, limits: Limits) -> Self {
        let (budget, pace) = (Budget::new(&limits), Pace::new(&limits));
        let peer = Arc::new(Peer::new(&budget));
        let shared = Shared { archive, budget, pace, counters: Counters::default() };
        Self { shared: Arc::new(shared), peer, standing: None }
    }

    /// Serves at a lower rate while the node does not offer [`Services::NODE_NETWORK`]: its own archive is not whole then.
    #[must_use]
    pub fn yielding_to(self, standing: watch::Receiver<Standing>) -> Self {
        Self { standing: Some(standing), ..self }
    }

    /// Returns what was served by this service and its clones.
    #[must_use]
    pub fn counts(&self) -> ServeCounts {
        self.shared.counters.snapshot(self.shared.budget.held())
    }

    fn answer(&self, request: Request) -> BoxFuture<'static, Response> {
        let call = self.call_of_this_peer();
        match request {
            Request::FindHeaders { locator, stop } => call.find_headers(locator, stop).boxed(),
            Request::FindBlocks { locator, stop } => call.find_blocks(locator, stop).boxed(),
            Request::Blocks(hashes) => call.blocks(hashes).boxed(),
            Request::MempoolIds => ready(Response::TransactionIds(Vec::new())).boxed(),
            Request::Transactions(ids) => ready(no_transactions(ids)).boxed(),
            Request::Ping
            | Request::Peers
            | Request::PushTransaction(_)
            | Request::AdvertiseTransactions(_)
            | Request::AdvertiseBlock(_)
            | Request::AdvertisePeers(_) => ready(Response::Nil).boxed(),
        }
    }

    fn call_of_this_peer(&self) -> Call<T> {
        let is_paced = self.standing.as_ref().is_some_and(|standing| {
            let offered = standing.borrow().services;
            !offered.contains(Services::NODE_NETWORK)
        });
        Call { shared: Arc::clone(&self.shared), peer: Arc::clone(&self.peer), is_paced }
    }
}

impl<T: Archive> Service<Request> for ArchiveService<T> {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.answer(request).map(Ok).boxed()
    }
}

impl<T> Clone for ArchiveService<T> {
    /// Makes the service of another peer.
    fn clone(&self) -> Self {
        let peer = Arc::new(Peer::new(&self.shared.budget));
        Self { shared: Arc::clone(&self.shared), peer, standing: self.standing.clone() }
    }
}

impl<T> fmt::Debug for ArchiveService<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveService").field("counters", &self.shared.counters).finish_non_exhaustive()
    }
}

impl Peer {
    fn new(budget: &Budget) -> Self {
        Self { allowance: budget.allowance(), repeats: Mutex::default() }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question of a peer's.
struct Call<T> {
    shared: Arc<Shared<T>>,
    peer: Arc<Peer>,
    is_paced: bool,
}

/// A turn to read.
struct Turn {
    _place: OwnedSemaphorePermit,
}

impl<T: Archive> Call<T> {
    async fn find_headers(self, locator: Vec<BlockHash>, stop: Option<BlockHash>) -> Response {
        let read = move |archive: &T| answer::headers(archive, &locator, stop);
        let Some(headers) = self.search(Kind::Headers, read).await else { return Response::Nil };
        add(&self.shared.counters.headers, headers.len());
        Response::Headers(headers)
    }

    async fn find_blocks(self, locator: Vec<BlockHash>, stop: Option<BlockHash>) -> Response {
        let read = move |archive: &T| answer::hashes(archive, &locator, stop);
        let Some(hashes) = self.search(Kind::Hashes, read).await else { return Response::Nil };
        add(&self.shared.counters.hashes, hashes.len());
        Response::BlockHashes(hashes)
    }

    /// Reads part of the chain; nothing if that fails, or there is no room for it in time.
    async fn search<I: Send + 'static>(
        &self,
        kind: Kind,
        read: impl FnOnce(&T) -> Result<Part<I>, StoreError> + Send + 'static,
    ) -> Option<Vec<I>> {
        let turn = self.in_time(self.turn_to_search()).await?;
        let (shared, is_paced) = (Arc::clone(&self.shared), self.is_paced);
        let part = self.read(turn, move || {
            let part = read(&shared.archive);
            shared.charge(is_paced, part.as_ref().map_or(0, |part| part.items.len() * kind.weight()));
            part
        });
        let part = part.await?.map_err(|error| self.shared.failed(&error)).ok()?;
        self.peer.repeats().note(kind, part.last, Instant::now());
        Some(part.items)
    }

    async fn blocks(self, hashes: Vec<BlockHash>) -> Response {
        let room = async {
            let held = self.shared.budget.reserve(&self.peer.allowance).await?;
            Some((held, self.turn().await?))
        };
        let Some((held, turn)) = self.in_time(room).await else { return nothing_of(hashes) };
        let (shared, is_paced) = (Arc::clone(&self.shared), self.is_paced);
        let read = self.read(turn, move || {
            let answer = shared.blocks(&hashes, held);
            let bytes = answer.found.iter().map(|block| block.bytes().len()).sum();
            shared.charge(is_paced, bytes);
            (answer, bytes)
        });
        let Some((answer, bytes)) = read.await else { return Response::Nil };
        self.shared.counters.served(&answer, bytes);
        Response::Blocks(answer)
    }

    async fn turn_to_search(&self) -> Option<Turn> {
        let ready_at = self.peer.repeats().ready_at();
        if let Some(ready_at) = ready_at.filter(|at| *at > Instant::now()) {
            add(&self.shared.counters.repeated, 1);
            sleep_until(ready_at).await;
        }
        self.turn().await
    }

    async fn turn(&self) -> Option<Turn> {
        let (place, has_waited) = self.shared.pace.turn(self.is_paced).await?;
        add(&self.shared.counters.paced, usize::from(has_waited));
        Some(Turn { _place: place })
    }

    async fn in_time<R>(&self, waiting: impl Future<Output = Option<R>>) -> Option<R> {
        let outcome = timeout(PATIENCE, waiting).await.ok().flatten();
        add(&self.shared.counters.overloaded, usize::from(outcome.is_none()));
        outcome
    }

    /// Reads on a thread that may block. The turn ends with the read, though nobody waits for it any more.
    async fn read<R: Send + 'static>(&self, turn: Turn, read: impl FnOnce() -> R + Send + 'static) -> Option<R> {
        let reading = spawn_blocking(move || {
            let outcome = read();
            drop(turn);
            outcome
        });
        reading.await.ok()
    }
}

impl<T: Archive> Shared<T> {
    /// Books what was read, though whoever asked may have gone away meanwhile.
    fn charge(&self, is_paced: bool, bytes: usize) {
        if is_paced {
            self.pace.charge(bytes, Instant::now());
        }
    }

    /// Reads blocks, each of which holds its bytes' place in the budget.
    fn blocks(&self, hashes: &[BlockHash], mut held: Held) -> Partial<Block, BlockHash> {
        let mut answer = answer::blocks(&*self.archive, hashes, |error| self.failed(&error));
        let keep = |block: Block| match held.split(block.bytes().len()) {
            Some(part) => block.keeping(part),
            None => block,
        };
        answer.found = answer.found.into_iter().map(keep).collect();
        answer
    }

    /// Notes that the archive could not be read. It is told of once: how often it happens is the peers' choice.
    fn failed(&self, error: &StoreError) {
        add(&self.counters.failed, 1);
        if !self.counters.has_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "a peer could not be served; further failures are counted");
        }
    }
}

/// Says nothing of blocks: whoever asked may ask again.
fn nothing_of(hashes: Vec<BlockHash>) -> Response {
    let missing = hashes.into_iter().map(|hash| (hash, Missing::Dropped)).collect();
    Response::Blocks(Partial { found: Vec::new(), missing })
}

/// Says that transactions are not here.
fn no_transactions(ids: Vec<TransactionId>) -> Response {
    let missing = ids.into_iter().map(|id| (id, Missing::NotFound)).collect();
    Response::Transactions(Partial { found: Vec::new(), missing })
}

#[cfg(test)]
mod tests;

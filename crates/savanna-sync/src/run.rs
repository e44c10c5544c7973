//! Joins the state machines to peers, a clock and a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use savanna_chain::HeaderChain;
use savanna_peer::{CloseReason, LocalReason, Offence, Request, RequestError, Response};
use savanna_store::Tip;
use savanna_wire::{BlockHash, BlockHeader, Network};
use tokio::time::{Instant, sleep_until, timeout_at};
use tower::Service;

use crate::download::{Action, Answer, AskId, Download, Fault, Limits};
use crate::headers::{HeaderAction, HeaderFault, Headers};
use crate::{Gone, Peer, Progress, Store, Summary, SyncError};

mod ask;
mod disk;
mod goal;

#[cfg(test)]
mod tests;

use ask::{Event, fetch, find_headers, off_thread};
use disk::{Disk, Written, restore, write};

/// How many bytes one write to the store holds, about.
const RUN_BYTES: usize = 8 * 1024 * 1024;

/// What to fetch and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The height to stop at; without one, the tip of the chain with the most work.
    pub until: Option<u32>,
    /// How much may be under way at once.
    pub limits: Limits,
}

/// Fetches the chain with the most work from `peers` into `store`, and returns once it is there, checked and durable.
///
/// It goes on from what the store holds, and cuts that back to the fork if another branch has more work. Peers that misbehave
/// or stall are closed; the others stay open. `progress` is told what happens, and must not block.
///
/// # Errors
/// [`SyncError`]. What was stored is made durable then, too, unless it is the store that failed.
///
/// # Cancel safety
/// Dropping the future ends all requests; a write that has begun ends by itself. Blocks stored within the last ten seconds, at
/// most some 128 MiB, may be lost if the machine stops, and none if only the program does.
///
/// # Security
/// Every peer is asked for its chain before the end is believed, so that one that withholds blocks (eclipse by a lagging or
/// lying peer) is outweighed by any honest one.
pub async fn sync<Id, S, T, F>(
    peers: Vec<Peer<Id, S>>,
    store: Arc<T>,
    options: Options,
    progress: F,
) -> Result<Summary, SyncError>
where
    Id: Copy + Ord + Debug + Send + 'static,
    S: Service<Request, Response = Response, Error = RequestError> + Clone + Send + 'static,
    S::Future: Send,
    T: Store,
    F: FnMut(Progress<Id>),
{
    let started = Instant::now();
    let restored = Arc::clone(&store);
    let chain = off_thread(move || restore(restored.as_ref())).await??;
    let mut run = Run::new(peers, store, chain, options, started, progress);
    let result = run.drive().await;
    let flushed = run.flush().await;
    let tip = result?;
    flushed?;
    Ok(run.summary(tip))
}

struct Run<Id, S, T, F> {
    started: Instant,
    network: Network,
    until: Option<u32>,
    store: Arc<T>,
    peers: BTreeMap<Id, Peer<Id, S>>,
    headers: Headers<Id>,
    download: Download<Id>,
    events: FuturesUnordered<BoxFuture<'static, Event<Id>>>,
    asks: BTreeMap<AskId, AbortHandle>,
    header_asks: BTreeMap<Id, AbortHandle>,
    /// When all peers were last asked for their tips.
    round_at: Duration,
    /// Whether anything has come since.
    moved: bool,
    disk: Disk,
    blocks: u64,
    bytes: u64,
    /// Peers that answered, but for those let go of.
    answered: BTreeSet<Id>,
    /// How many peers went, and how many of them because of invalid headers.
    gone: (usize, usize),
    progress: F,
}

impl<Id, S, T, F> Run<Id, S, T, F>
where
    Id: Copy + Ord + Debug + Send + 'static,
    S: Service<Request, Response = Response, Error = RequestError> + Clone + Send + 'static,
    S::Future: Send,
    T: Store,
    F: FnMut(Progress<Id>),
{
    fn new(
        peers: Vec<Peer<Id, S>>,
        store: Arc<T>,
        chain: HeaderChain,
        options: Options,
        started: Instant,
        progress: F,
    ) -> Self {
        let tip = store.tip();
        let first = tip.map_or(0, |tip| tip.height + 1);
        let mut run = Self {
            started,
            network: store.network(),
            until: options.until,
            store,
            peers: peers.into_iter().map(|peer| (peer.id, peer)).collect(),
            headers: Headers::new(chain, options.until),
            download: Download::new(first, options.limits),
            events: FuturesUnordered::new(),
            asks: BTreeMap::new(),
            header_asks: BTreeMap::new(),
            round_at: Duration::ZERO,
            moved: false,
            disk: Disk::new(tip),
            blocks: 0,
            bytes: 0,
            answered: BTreeSet::new(),
            gone: (0, 0),
            progress,
        };
        for &id in run.peers.keys() {
            run.headers.handle_joined(id);
            run.download.handle_joined(id);
        }
        run
    }

    /// Runs to the goal, and returns the store's tip there.
    async fn drive(&mut self) -> Result<Tip, SyncError> {
        loop {
            let now = self.now();
            self.headers.handle_timeout(now);
            self.download.handle_timeout(now);
            self.ask_for_headers(now);
            self.feed();
            self.ask_for_blocks(now);
            self.write(now);
            if let Some(tip) = self.outcome(now)? {
                return Ok(tip);
            }
            let deadlines = [self.headers.poll_timeout(now), self.download.poll_timeout(now), self.disk.poll_timeout()];
            let deadline = deadlines.into_iter().flatten().min().map(|at| self.started + at);
            if let Some(event) = self.next_event(deadline).await? {
                self.handle(event)?;
            }
        }
    }

    /// Waits for something to happen, or for the deadline.
    async fn next_event(&mut self, deadline: Option<Instant>) -> Result<Option<Event<Id>>, SyncError> {
        match (self.events.is_empty(), deadline) {
            (false, Some(at)) => Ok(timeout_at(at, self.events.next()).await.ok().flatten()),
            (false, None) => Ok(self.events.next().await),
            (true, Some(at)) => {
                sleep_until(at).await;
                Ok(None)
            }
            // Nothing is under way only if nothing is left to be done, which the outcome has ruled out.
            (true, None) => Err(SyncError::Interrupted),
        }
    }

    fn handle(&mut self, event: Event<Id>) -> Result<(), SyncError> {
        match event {
            Event::Answer { ask, peer, at, result } => self.handle_answer(ask, peer, at, result),
            Event::Headers { peer, result } => self.handle_headers(peer, result),
            Event::Written(written) => self.handle_written(&written?),
            Event::Interrupted => return Err(SyncError::Interrupted),
            Event::Nothing => {}
        }
        Ok(())
    }

    fn handle_answer(&mut self, ask: AskId, peer: Id, at: Instant, result: Result<Answer, RequestError>) {
        self.asks.remove(&ask);
        match result {
            Ok(answer) => {
                if answer.found.iter().any(|(_, verdict)| verdict.is_ok()) {
                    self.answered.insert(peer);
                }
                self.download.handle_answer(ask, answer, at.duration_since(self.started));
            }
            Err(RequestError::TimedOut) => self.download.handle_failed(ask, self.now()),
            Err(_) => self.remove(peer, Gone::Closed),
        }
    }

    fn handle_headers(&mut self, peer: Id, result: Result<Option<Vec<(BlockHeader, BlockHash)>>, RequestError>) {
        self.header_asks.remove(&peer);
        let headers = match result {
            Ok(Some(headers)) => headers,
            Ok(None) => return self.headers.handle_invalid(peer),
            Err(RequestError::TimedOut) => return self.headers.handle_failed(peer),
            Err(_) => return self.remove(peer, Gone::Closed),
        };
        let change = self.headers.handle_headers(peer, &headers);
        self.answered.insert(peer);
        if change.new > 0 {
            self.moved = true;
            let (height, _) = self.headers.chain().tip();
            (self.progress)(Progress::Headers { height });
        }
        if let Some(fork) = change.fork {
            self.rewind(fork);
        }
    }

    /// Goes back to the fork, since the chain above it is another one.
    fn rewind(&mut self, fork: u32) {
        self.download.rewind(fork);
        if self.disk.rewind(fork) {
            (self.progress)(Progress::Reorganised { fork });
        }
    }

    fn handle_written(&mut self, written: &Written) {
        self.moved |= written.tip != self.disk.tip();
        self.disk.handle_written(written, self.now());
        self.blocks += written.blocks;
        self.bytes += written.bytes as u64;
        self.download.handle_stored(written.bytes);
        if let (Some(tip), 1..) = (written.tip, written.blocks) {
            let (target, height) = (self.target(), tip.height);
            let (blocks, bytes) = (self.blocks, self.bytes);
            (self.progress)(Progress::Stored { height, target, blocks, bytes });
        }
    }

    fn ask_for_headers(&mut self, now: Duration) {
        while let Some(action) = self.headers.poll_action(now) {
            match action {
                HeaderAction::Ask { peer, locator } => self.find_headers(peer, locator),
                HeaderAction::Cancel(peer) => self.cancel_headers(peer),
                HeaderAction::Disconnect { peer, fault } => self.remove(peer, Gone::Headers(fault)),
            }
        }
    }

    fn find_headers(&mut self, peer: Id, locator: Vec<BlockHash>) {
        let Some(asked) = self.peers.get(&peer) else { return };
        let (answer, abort) = abortable(find_headers(peer, asked.service.clone(), self.network, locator));
        self.header_asks.insert(peer, abort);
        self.watch(answer);
    }

    fn cancel_headers(&mut self, peer: Id) {
        if let Some(abort) = self.header_asks.remove(&peer) {
            abort.abort();
        }
    }

    /// Tells the download what to fetch next, as far as it has room and the chain is known.
    fn feed(&mut self) {
        let target = self.target();
        let first = self.download.next_height();
        let room = u32::try_from(self.download.room()).unwrap_or(u32::MAX);
        let end = first.saturating_add(room).min(target.saturating_add(1));
        let chain = self.headers.chain();
        self.download.extend((first..end).map_while(|height| chain.hash_at(height)));
    }

    fn ask_for_blocks(&mut self, now: Duration) {
        while let Some(action) = self.download.poll_action(now) {
            match action {
                Action::Ask { peer, ask, blocks } => self.fetch(peer, ask, blocks),
                Action::Cancel(ask) => {
                    if let Some(abort) = self.asks.remove(&ask) {
                        abort.abort();
                    }
                }
                Action::Disconnect { peer, fault } => self.remove(peer, Gone::Blocks(fault)),
            }
        }
    }

    fn fetch(&mut self, peer: Id, ask: AskId, blocks: Vec<(u32, BlockHash)>) {
        let Some(asked) = self.peers.get(&peer) else { return };
        let (answer, abort) = abortable(fetch(peer, asked.service.clone(), self.network, ask, blocks));
        self.asks.insert(ask, abort);
        self.watch(answer);
    }

    fn watch(&self, answer: Abortable<impl Future<Output = Event<Id>> + Send + 'static>) {
        self.events.push(Box::pin(async { answer.await.unwrap_or(Event::Nothing) }));
    }

    /// Hands the next blocks to the disk.
    fn write(&mut self, now: Duration) {
        let Some(job) = self.disk.next_job(now, || self.download.take_run(RUN_BYTES)) else { return };
        let store = Arc::clone(&self.store);
        self.events.push(Box::pin(async move {
            let written = off_thread(move || write(store.as_ref(), job)).await;
            Event::Written(written.and_then(|written| written.map_err(SyncError::Store)))
        }));
    }

    fn remove(&mut self, id: Id, why: Gone) {
        let Some(peer) = self.peers.remove(&id) else { return };
        self.headers.handle_left(id);
        self.download.handle_left(id);
        self.cancel_headers(id);
        match why {
            Gone::Closed => {}
            Gone::Headers(HeaderFault::Invalid | HeaderFault::Looping) | Gone::Blocks(Fault::WrongBody) => {
                (peer.close)(CloseReason::Misbehaved(Offence::InvalidAnswer));
            }
            Gone::Headers(HeaderFault::LowWork | HeaderFault::Silent) | Gone::Blocks(Fault::Stalled) => {
                (peer.close)(CloseReason::Local(LocalReason::Evicted));
            }
        }
        if why != Gone::Closed {
            self.answered.remove(&id);
        }
        self.gone.0 += 1;
        self.gone.1 += usize::from(why == Gone::Headers(HeaderFault::Invalid));
        (self.progress)(Progress::PeerGone { peer: id, why });
    }

    async fn flush(&mut self) -> Result<(), SyncError> {
        let store = Arc::clone(&self.store);
        off_thread(move || store.flush()).await?.map_err(SyncError::Store)
    }

    fn summary(&self, tip: Tip) -> Summary {
        Summary {
            tip_height: tip.height,
            tip_hash: tip.hash,
            blocks: self.blocks,
            bytes: self.bytes,
            elapsed: self.now(),
            peers: self.answered.len(),
            refetched: self.download.refetched(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

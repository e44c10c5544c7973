//! Joins the state machines to the network, a clock and a disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use savanna_chain::Checkpoints;
use savanna_net::PeerId;
use savanna_peer::Offence;
use savanna_peerset::{Fetched, RequestError};
use savanna_store::Tip;
use savanna_wire::{BlockHash, BlockHeader, Network};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::download::{Action, Arrival, AskId, Download};
use crate::ground::Ground;
use crate::headers::{Answer, HeaderAction, Headers, Heard, Whom};
use crate::{Fault, Found, Progress, Source, Store, Summary, SyncError};

mod ask;
mod branch;
mod detour;
mod disk;
mod follow;
mod goal;
mod ground;
mod news;
mod options;

#[cfg(test)]
mod tests;

use ask::{Event, Flow, check, check_headers, off_thread};
use detour::Detour;
use disk::{Cut, Disk, Restored, Written, restore, write};
use goal::{Company, Touch};
use ground::Way;

pub use follow::follow;
pub use news::{News, news};
pub use options::Options;

/// Fetches the chain with the most work from `source` into `store`, and returns once it is there, checked and durable.
///
/// It goes on from what the store holds, and cuts that back to the fork if another branch has more work. Peers that give
/// what is wrong are reported to the source. `progress` is told what happens, and must not block.
///
/// # Errors
/// [`SyncError`]. What was stored is made durable then, too, unless it is the store that failed.
///
/// # Cancel safety
/// Dropping the future ends all requests; a write that has begun ends by itself. Blocks stored within the last ten seconds, at
/// most some 128 MiB, may be lost if the machine stops, and none if only the program does.
///
/// # Security
/// Several peers are asked for their chains before the end is believed, so that one that withholds blocks (eclipse by a lagging
/// or lying peer) is outweighed by any honest one.
pub async fn sync<N, T, F>(source: N, store: Arc<T>, options: Options, progress: F) -> Result<Summary, SyncError>
where
    N: Source,
    T: Store,
    F: FnMut(Progress),
{
    let started = Instant::now();
    let checkpoints = options.checkpoints.clone().unwrap_or_else(|| Checkpoints::of(store.network()));
    let (held, known) = (Arc::clone(&store), checkpoints.clone());
    let restored = off_thread(move || restore(held.as_ref(), &known)).await??;
    let mut run = Run::new(source, store, restored, checkpoints, &options, started, progress);
    let result = run.drive().await;
    let flushed = run.flush().await;
    let tip = result?;
    flushed?;
    Ok(run.summary(tip))
}

/// Of how many peers is kept that they answered, and that they were reported; beyond them the oldest connection is forgotten.
const MAX_REMEMBERED: usize = 4_096;

/// Remembers a peer, and returns whether it was not known.
fn remember(peers: &mut BTreeSet<PeerId>, peer: PeerId) -> bool {
    let is_new = peers.insert(peer);
    if peers.len() > MAX_REMEMBERED {
        peers.pop_first();
    }
    is_new
}

struct Run<N, T, F> {
    started: Instant,
    network: Network,
    until: Option<u32>,
    clock: fn() -> u64,
    source: N,
    company: Company,
    store: Arc<T>,
    checkpoints: Checkpoints,
    /// By what the chain becomes known.
    way: Way,
    detour: Detour,
    headers: Headers,
    download: Download,
    events: FuturesUnordered<BoxFuture<'static, Event>>,
    flows: BTreeMap<AskId, AbortHandle>,
    header_ask: Option<AbortHandle>,
    /// Numbers the questions for headers, so that an answer to one that was forgotten is not taken for another's.
    header_asks: u64,
    /// Headers that wait to be checked, one answer after the other.
    unchecked: VecDeque<Vec<Found>>,
    is_checking: bool,
    /// When several peers were last asked for their tips.
    round_at: Duration,
    /// How many peers there were then.
    surveyed: usize,
    /// Whether anything has come since.
    moved: bool,
    disk: Disk,
    touch: Touch,
    blocks: u64,
    bytes: u64,
    /// The last peers that gave something, but for those reported.
    answered: BTreeSet<PeerId>,
    reported: BTreeSet<PeerId>,
    progress: F,
}

impl<N, T, F> Run<N, T, F>
where
    N: Source,
    T: Store,
    F: FnMut(Progress),
{
    fn new(
        source: N,
        store: Arc<T>,
        Restored { chain, anchors }: Restored,
        checkpoints: Checkpoints,
        options: &Options,
        started: Instant,
        progress: F,
    ) -> Self {
        // What the store holds above the chain's last block is of another chain.
        let foot = store.tip().map(|_| chain.tip());
        let first = foot.map_or(0, |(height, _)| height + 1);
        let ground = Ground::new(&checkpoints, foot, options.until);
        let mut disk = Disk::new(store.tip());
        foot.into_iter().for_each(|(height, hash)| disk.part(Tip { height, hash }));
        let way = ground
            .map_or_else(|| Way::up(store.network(), &chain, options.until), |ground| Way::Ground(Box::new(ground)));
        Self {
            started,
            network: store.network(),
            until: options.until,
            clock: options.clock,
            source,
            company: Company::new(options),
            store,
            checkpoints,
            way,
            detour: Detour::default(),
            headers: Headers::new(chain, options.until).above(anchors),
            download: Download::new(first, options.limits),
            events: FuturesUnordered::new(),
            flows: BTreeMap::new(),
            header_ask: None,
            header_asks: 0,
            unchecked: VecDeque::new(),
            is_checking: false,
            round_at: Duration::ZERO,
            surveyed: 0,
            moved: false,
            disk,
            touch: Touch::default(),
            blocks: 0,
            bytes: 0,
            answered: BTreeSet::new(),
            reported: BTreeSet::new(),
            progress,
        }
    }

    /// Runs to the goal, and returns the store's tip there.
    async fn drive(&mut self) -> Result<Tip, SyncError> {
        loop {
            let now = self.step();
            if let Some(tip) = self.outcome(now)? {
                return Ok(tip);
            }
            if let Some(event) = self.next_event(self.started + self.deadline(now)).await {
                self.handle(event)?;
            }
        }
    }

    /// Does what there is to do, and returns the moment.
    fn step(&mut self) -> Duration {
        let now = self.now();
        if self.company.look(self.source.peers(), now) {
            self.headers.wake(now);
        }
        self.headers.handle_timeout(now);
        self.download.handle_timeout(now);
        self.explore(now);
        self.ask_for_headers(now);
        self.feed();
        self.ask_for_blocks();
        self.write(now);
        now
    }

    /// Returns when there is something to do though nothing happens.
    fn deadline(&self, now: Duration) -> Duration {
        let headers_at = self.headers.poll_timeout().filter(|_| self.is_by_headers());
        let deadlines = [headers_at, self.explore_at(), self.download.poll_timeout(), self.disk.poll_timeout()];
        deadlines.into_iter().flatten().fold(self.company.look_again_at(now), Duration::min)
    }

    /// Waits for something to happen, or for the deadline.
    async fn next_event(&mut self, deadline: Instant) -> Option<Event> {
        if self.events.is_empty() {
            sleep_until(deadline).await;
            return None;
        }
        timeout_at(deadline, self.events.next()).await.ok().flatten()
    }

    fn handle(&mut self, event: Event) -> Result<(), SyncError> {
        match event {
            Event::Came { ask, fetched, flow } => self.handle_came(ask, fetched, flow),
            Event::Arrived { ask, arrivals } => self.handle_arrivals(ask, arrivals),
            Event::Found { number, found } => self.handle_found(number, found),
            Event::Listed { ask, lists } => self.handle_listed(ask, lists),
            Event::Rooted(chain) => self.handle_rooted(*chain?),
            Event::Headers(answers) => self.handle_headers(&answers?),
            Event::Written(written) => self.handle_written(&written?),
            Event::Interrupted => return Err(SyncError::Interrupted),
            Event::Nothing => {}
        }
        Ok(())
    }

    fn handle_came(&mut self, ask: AskId, fetched: Vec<(u32, Fetched)>, flow: Option<Flow>) {
        match flow {
            Some(flow) => self.events.push(Box::pin(flow.next())),
            None => drop(self.flows.remove(&ask)),
        }
        if !fetched.is_empty() {
            self.events.push(Box::pin(check(self.network, ask, fetched)));
        }
    }

    fn handle_arrivals(&mut self, ask: AskId, arrivals: Vec<Arrival>) {
        let good = arrivals.iter().filter_map(|arrival| arrival.result.as_ref().ok());
        let good = good.filter(|delivery| delivery.verdict.is_ok()).map(|delivery| delivery.peer);
        for peer in good.filter(|peer| !self.reported.contains(peer)) {
            remember(&mut self.answered, peer);
        }
        let now = self.now();
        if arrivals.iter().any(|arrival| arrival.result.is_ok()) {
            self.touch.hear(now);
        }
        let sights = self.download.handle_arrivals(ask, arrivals, now);
        self.handle_sights(&sights, now);
    }

    /// Takes headers that have yet to be checked, so that what follows them can be asked for at once.
    fn handle_found(&mut self, number: u64, found: Result<Vec<Found>, RequestError>) {
        if number != self.header_asks {
            return;
        }
        self.header_ask = None;
        let Ok(found) = found else { return self.headers.handle_failed(self.now()) };
        self.touch.hear(self.now());
        let heard = |Found { peer, headers }: &Found| {
            let last = headers.last().map(BlockHeader::hash);
            Heard { peer: *peer, count: headers.len(), last }
        };
        let heard: Vec<Heard> = found.iter().map(heard).collect();
        if self.headers.handle_heard(&heard, self.now()) {
            self.unchecked.push_back(found);
            self.check_headers();
        }
    }

    fn check_headers(&mut self) {
        if !self.is_checking
            && let Some(found) = self.unchecked.pop_front()
        {
            self.is_checking = true;
            // All that came before is in the tree, or refused.
            let unix = (self.clock)();
            let judged = found.into_iter().map(|found| self.headers.judge(found, unix)).collect();
            self.events.push(Box::pin(check_headers(self.network, Arc::clone(&self.store), judged)));
        }
    }

    fn handle_headers(&mut self, answers: &[Answer]) {
        self.is_checking = false;
        if !self.is_by_headers() {
            return;
        }
        let change = self.headers.handle_answers(answers, self.now(), (self.clock)());
        if change.moot {
            self.unchecked.clear();
            self.header_ask.take().iter().for_each(AbortHandle::abort);
        }
        self.check_headers();
        let good = answers.iter().filter(|answer| answer.headers.is_ok()).map(|answer| answer.peer);
        for peer in good.filter(|peer| !self.reported.contains(peer)) {
            remember(&mut self.answered, peer);
        }
        if change.new > 0 {
            self.moved = true;
            let (height, _) = self.headers.chain().tip();
            (self.progress)(Progress::Headers { height });
        }
        if let Some(fork) = change.fork {
            self.rebase(fork);
        }
    }

    fn handle_written(&mut self, written: &Written) {
        self.moved |= written.tip != self.disk.tip();
        self.disk.handle_written(written, self.now());
        self.blocks += written.blocks;
        self.bytes += written.bytes as u64;
        self.download.handle_stored(written.bytes);
        if let Some(Cut { fork, old, new, .. }) = written.cut {
            (self.progress)(Progress::Reorganised { fork, old, new, left: old.height - fork });
        }
        (self.progress)(Progress::Download(self.download.counts()));
        if let (Some(tip), 1..) = (written.tip, written.blocks) {
            self.headers.handle_stored(tip.height);
            let (target, height) = (self.target(), tip.height);
            let (blocks, bytes) = (self.blocks, self.bytes);
            (self.progress)(Progress::Stored { height, target, blocks, bytes });
        }
    }

    fn ask_for_headers(&mut self, now: Duration) {
        if !self.is_by_headers() {
            return;
        }
        while let Some(action) = self.headers.poll_action(now) {
            match action {
                HeaderAction::Ask { whom, locator } => self.find_headers(whom, locator),
                HeaderAction::Report { peer, fault } => self.report(peer, Fault::Headers(fault)),
            }
        }
    }

    fn find_headers(&mut self, whom: Whom, locator: Vec<BlockHash>) {
        if matches!(whom, Whom::Several(_)) {
            self.surveyed = self.source.peers();
        }
        let (answers, abort) = abortable(self.source.find_headers(locator, whom));
        if let Some(before) = self.header_ask.replace(abort) {
            before.abort();
        }
        self.header_asks += 1;
        let number = self.header_asks;
        self.events.push(Box::pin(async move {
            answers.await.map_or(Event::Nothing, |found| Event::Found { number, found })
        }));
    }

    fn ask_for_blocks(&mut self) {
        while let Some(action) = self.download.poll_action() {
            match action {
                Action::Ask { ask, blocks } => self.fetch(ask, &blocks),
                Action::Cancel(ask) => {
                    if let Some(abort) = self.flows.remove(&ask) {
                        abort.abort();
                    }
                }
                Action::Report(peer) => self.report(peer, Fault::WrongBody),
            }
        }
    }

    fn fetch(&mut self, ask: AskId, blocks: &[(u32, BlockHash)]) {
        let fetched = self.source.blocks(blocks.iter().map(|&(_, hash)| hash).collect());
        let (flow, abort) = Flow::new(ask, blocks, fetched);
        self.flows.insert(ask, abort);
        self.events.push(Box::pin(flow.next()));
    }

    /// Hands the next blocks to the disk.
    fn write(&mut self, now: Duration) {
        let is_due = self.is_cut_due();
        let unix = (self.clock)();
        let bytes = self.disk.takes(is_due);
        let run = if bytes > 0 { self.download.take_run(bytes) } else { Vec::new() };
        let run = self.keep(run);
        let Some(job) = self.disk.next_job(now, is_due, unix, |_| run) else { return };
        let store = Arc::clone(&self.store);
        self.events.push(Box::pin(async move {
            let written = off_thread(move || write(store.as_ref(), job)).await;
            Event::Written(written.and_then(|written| written.map_err(SyncError::Store)))
        }));
    }

    fn report(&mut self, peer: PeerId, why: Fault) {
        self.answered.remove(&peer);
        if remember(&mut self.reported, peer) {
            self.source.report(peer, Offence::InvalidAnswer);
            (self.progress)(Progress::Reported { peer, why });
        }
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
            short_of: self.short_of(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

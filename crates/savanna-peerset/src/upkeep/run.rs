//! The task that does what the plan says.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tower::Service;

use savanna_book::{Book, Config};
use savanna_net::{Clock, Network, Spawner};
use savanna_peer::{CloseReason, Gossip, LocalReason, Now, Request, Response};
use savanna_wire::{AddrV2, PeerAddr};

use super::watched::{Watched, Work};
use super::{Action, Admission, DialFailure, Purpose, Upkeep};
use crate::discovery::Discovery;
use crate::event::{Event, Events};
use crate::seeds::{NoSeeds, SeedAnswer, Seeds};
use crate::{Peer, PeerCounts, PeerSet, SharedBook};

/// How long a new peer has to answer for the addresses that it knows.
const ADDRESSES_WITHIN: Duration = Duration::from_secs(20);

impl PeerSet {
    /// Keeps the set connected to the addresses that were named and to nobody else, in a task of its own, until the set ends or
    /// `spawner` stops.
    ///
    /// `dial` leads from an address to a peer: a [`Dialer`](super::Dialer), or a stand-in.
    pub fn keep_connected<D, P>(&self, plan: Upkeep, dial: D, clock: Clock, spawner: &Spawner)
    where
        D: Service<PeerAddr, Response = P, Error = DialFailure, Future: Send + 'static> + Send + 'static,
        P: Peer,
    {
        let unused = SharedBook::new(Book::new(Config::new(Network::Regtest), [0; 32], [0; 32]));
        self.keep_discovering(plan, &unused, &Discovery::new(), dial, NoSeeds, clock, spawner);
    }

    /// Keeps the set connected as planned, with addresses from `book`, in a task of its own, until the set ends or `spawner`
    /// stops. What becomes of it is counted in `discovery`.
    #[allow(clippy::too_many_arguments, reason = "each is a part of the node, and none has another")]
    pub fn keep_discovering<D, P>(
        &self,
        plan: Upkeep,
        book: &SharedBook,
        discovery: &Discovery,
        dial: D,
        seeds: impl Seeds,
        clock: Clock,
        spawner: &Spawner,
    ) where
        D: Service<PeerAddr, Response = P, Error = DialFailure, Future: Send + 'static> + Send + 'static,
        P: Peer,
    {
        let keeper = Keeper {
            plan,
            book: book.clone(),
            discovery: discovery.clone(),
            dial,
            seeds: Box::new(seeds),
            clock,
            dials: FuturesUnordered::new(),
            ends: FuturesUnordered::new(),
            asks: FuturesUnordered::new(),
            asking: None,
            meeting: None,
            held: BTreeMap::new(),
            counts: self.peers(),
            events: self.events(),
            occurrences: self.occurrences(),
            joins: self.joins(),
        };
        let mut stop = spawner.stop();
        spawner.spawn(async move {
            let joins = keeper.joins.clone();
            let (mut closed, mut stopped) = (pin!(joins.closed()), pin!(stop.stopped()));
            let mut running = pin!(keeper.run());
            poll_fn(|cx| {
                let is_over = closed.as_mut().poll(cx).is_ready() || stopped.as_mut().poll(cx).is_ready();
                if is_over { Poll::Ready(()) } else { running.as_mut().poll(cx) }
            })
            .await;
        });
    }
}

struct Keeper<D, P> {
    plan: Upkeep,
    book: SharedBook,
    discovery: Discovery,
    dial: D,
    seeds: Box<dyn Seeds>,
    clock: Clock,
    dials: FuturesUnordered<BoxFuture<'static, Dialed<P>>>,
    ends: FuturesUnordered<BoxFuture<'static, (PeerAddr, CloseReason)>>,
    /// Peers that are being asked for addresses.
    asks: FuturesUnordered<BoxFuture<'static, (PeerAddr, Vec<AddrV2>)>>,
    asking: Option<BoxFuture<'static, Vec<SeedAnswer>>>,
    /// A peer that is being met again.
    meeting: Option<BoxFuture<'static, (PeerAddr, Option<Vec<AddrV2>>)>>,
    /// The connections that we dialled.
    held: BTreeMap<PeerAddr, Held<P>>,
    counts: watch::Receiver<PeerCounts>,
    events: Events,
    occurrences: broadcast::WeakSender<Event>,
    joins: mpsc::Sender<Box<dyn Peer>>,
}

/// What became of a dial.
struct Dialed<P> {
    address: PeerAddr,
    purpose: Purpose,
    result: Result<P, DialFailure>,
}

struct Held<P> {
    peer: Arc<P>,
    work: Arc<Work>,
    /// Whether it is closed once it has told the addresses that it knows.
    is_leaving: bool,
}

enum Happening<P> {
    Dialed(Dialed<P>),
    Ended(PeerAddr, CloseReason),
    Answered(PeerAddr, Vec<AddrV2>),
    Met(PeerAddr, Option<Vec<AddrV2>>),
    Seeded(Vec<SeedAnswer>),
    Counted(PeerCounts),
    Heard(Event),
    Rested,
    Over,
}

impl<D, P> Keeper<D, P>
where
    D: Service<PeerAddr, Response = P, Error = DialFailure, Future: Send + 'static>,
    P: Peer,
{
    async fn run(mut self) {
        let mut is_changed = true;
        loop {
            let now = self.clock.now();
            self.note_work();
            while let Some(action) = self.book.with(|book| self.plan.poll_action(book, now)) {
                self.act(action);
                is_changed = true;
            }
            if is_changed {
                self.discovery.note_plan(&self.plan, &self.book);
            }
            let happening = self.next(now).await;
            // What peers announce comes all the time, and changes nothing that is counted.
            is_changed = !matches!(happening, Happening::Heard(_) | Happening::Counted(_));
            match happening {
                Happening::Dialed(Dialed { address, result: Ok(peer), .. }) => {
                    if !self.take_in(address, peer).await {
                        return;
                    }
                }
                Happening::Dialed(Dialed { address, purpose, result: Err(failure) }) => {
                    self.discovery.note_dial(failure.label());
                    self.end(address, &failure);
                    if let Some(events) = self.occurrences.upgrade() {
                        let _ = events.send(Event::DialFailed { address, purpose, failure });
                    }
                }
                Happening::Ended(address, reason) => {
                    self.held.remove(&address);
                    self.end(address, &reason.into());
                }
                Happening::Answered(address, addresses) => self.learn(address, &addresses),
                Happening::Met(address, addresses) => {
                    let now = self.clock.now();
                    let learned = self.book.with(|book| self.plan.handle_met(address, addresses.as_deref(), book, now));
                    self.discovery.note_answer(learned);
                }
                Happening::Seeded(answers) => {
                    let now = self.clock.now();
                    let learned = self.book.with(|book| self.plan.handle_seeds(&answers, book, now));
                    self.discovery.note_seeds(learned);
                }
                Happening::Counted(counts) => self.plan.handle_counts(counts, self.clock.now()),
                Happening::Heard(event) => self.hear(&event),
                Happening::Rested => {}
                Happening::Over => return,
            }
        }
    }

    /// Tells the plan what its peers have done since.
    fn note_work(&mut self) {
        for (address, held) in &self.held {
            if let Some(at) = held.work.asked() {
                self.plan.handle_asked(*address, at);
            }
            if let Some(at) = held.work.delivered() {
                self.plan.handle_delivered(*address, at);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial(address, purpose) => {
                tracing::trace!(%address, purpose = purpose.label(), "dialling");
                let dialing = self.dial.call(address);
                self.dials.push(Box::pin(async move { Dialed { address, purpose, result: dialing.await } }));
            }
            Action::LetGo(address) => {
                if let Some(held) = self.held.get(&address) {
                    held.peer.close(CloseReason::Local(LocalReason::Evicted));
                }
            }
            Action::Meet(address) => {
                let dialing = self.dial.call(address);
                self.meeting = Some(Box::pin(async move {
                    let Ok(peer) = dialing.await else { return (address, None) };
                    let addresses = addresses_of(&peer).await;
                    peer.close(CloseReason::Local(LocalReason::Unused));
                    (address, Some(addresses))
                }));
            }
            Action::AskSeeds => {
                tracing::debug!("asking the seeds");
                self.asking = Some(self.seeds.ask());
            }
        }
    }

    /// Takes a peer in, as far as the plan has a place for it. Returns whether the set is still there.
    async fn take_in(&mut self, address: PeerAddr, peer: P) -> bool {
        self.discovery.note_dial("connected");
        let peer = Arc::new(peer);
        let now = self.clock.now();
        let admission = self.book.with(|book| self.plan.handle_connected(address, peer.info(), book, now));
        let closed = peer.closed();
        self.ends.push(Box::pin(async move { (address, closed.await) }));
        let (stays, asks) = match admission {
            Admission::Keep { asks } => (true, asks),
            Admission::Meet => (false, true),
            Admission::LetGo => (false, false),
        };
        let work = Arc::new(Work::default());
        self.held.insert(address, Held { peer: Arc::clone(&peer), work: Arc::clone(&work), is_leaving: !stays });
        if asks {
            let asked = Arc::clone(&peer);
            self.asks.push(Box::pin(async move { (address, addresses_of(&*asked).await) }));
        } else if !stays {
            peer.close(CloseReason::Local(LocalReason::Unused));
        }
        if stays {
            return self.joins.send(Box::new(Watched::new(peer, work, self.clock))).await.is_ok();
        }
        true
    }

    fn end(&mut self, address: PeerAddr, failure: &DialFailure) {
        let now = self.clock.now();
        self.book.with(|book| self.plan.handle_ended(address, failure, book, now));
    }

    fn learn(&mut self, address: PeerAddr, addresses: &[AddrV2]) {
        let now = self.clock.now();
        let learned = self.book.with(|book| self.plan.handle_addresses(address, addresses, book, now));
        self.discovery.note_answer(learned);
        if let Some(held) = self.held.get(&address).filter(|held| held.is_leaving) {
            held.peer.close(CloseReason::Local(LocalReason::Unused));
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Gossip { gossip: Gossip::Block(hash), .. } => self.plan.handle_block(*hash, self.clock.now()),
            Event::Gossip { gossip: Gossip::Peers(_), .. } => self.plan.handle_learned(),
            Event::MetOurselves { address } => {
                let now = self.clock.now();
                self.book.with(|book| self.plan.handle_ourselves(*address, book, now));
            }
            Event::Gossip { .. }
            | Event::Joined { .. }
            | Event::Left { .. }
            | Event::DialFailed { .. }
            | Event::Lagged(_) => {}
        }
    }

    async fn next(&mut self, now: Now) -> Happening<P> {
        let when = self.clock.instant(self.plan.poll_timeout(now));
        let mut rested = pin!(sleep_until(when));
        let mut counts = self.counts.clone();
        let mut counted = pin!(self.counts.changed());
        let mut heard = pin!(self.events.next());
        poll_fn(|cx| {
            if let Poll::Ready(Some(dialed)) = self.dials.poll_next_unpin(cx) {
                return Poll::Ready(Happening::Dialed(dialed));
            }
            if let Poll::Ready(Some((address, reason))) = self.ends.poll_next_unpin(cx) {
                return Poll::Ready(Happening::Ended(address, reason));
            }
            if let Poll::Ready(Some((address, addresses))) = self.asks.poll_next_unpin(cx) {
                return Poll::Ready(Happening::Answered(address, addresses));
            }
            if let Some((address, addresses)) = poll_option(&mut self.meeting, cx) {
                return Poll::Ready(Happening::Met(address, addresses));
            }
            if let Some(answers) = poll_option(&mut self.asking, cx) {
                return Poll::Ready(Happening::Seeded(answers));
            }
            if let Poll::Ready(changed) = counted.as_mut().poll(cx) {
                let counts = *counts.borrow_and_update();
                return Poll::Ready(changed.map_or(Happening::Over, |()| Happening::Counted(counts)));
            }
            if let Poll::Ready(event) = heard.as_mut().poll(cx) {
                return Poll::Ready(event.map_or(Happening::Over, Happening::Heard));
            }
            rested.as_mut().poll(cx).map(|()| Happening::Rested)
        })
        .await
    }
}

/// Asks a peer for the addresses that it knows.
async fn addresses_of<P: Peer>(peer: &P) -> Vec<AddrV2> {
    match timeout(ADDRESSES_WITHIN, peer.ask(Request::Peers)).await {
        Ok(Ok(Response::Peers(addresses))) => addresses,
        Ok(Ok(_) | Err(_)) | Err(_) => Vec::new(),
    }
}

fn poll_option<T>(waiting: &mut Option<BoxFuture<'static, T>>, cx: &mut Context<'_>) -> Option<T> {
    let Poll::Ready(done) = waiting.as_mut()?.as_mut().poll(cx) else { return None };
    *waiting = None;
    Some(done)
}

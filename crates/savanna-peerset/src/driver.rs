//! The task that runs a set: it carries questions to peers and answers back, and decides nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Sleep, sleep_until};

use savanna_book::Standing;
use savanna_net::{Clock, PeerId, Stop};
use savanna_peer::{CloseReason, Direction, Gossip, LocalReason, Offence, Request, Response};
use savanna_wire::{Host, Inventory, Services};

use crate::counts::{PeerCounts, RequestCounts};
use crate::early::Early;
use crate::event::Event;
use crate::judge::Judge;
use crate::network::{CallId, Output, Traits};
use crate::request::{Ask, Fetched, Outcome, RequestError, RequestId};
use crate::{Inbound, Peer, Set, Verdict};

/// How much of one kind is taken before the others have their turn.
const TURN: usize = 64;

/// A request on its way to the set.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) id: RequestId,
    pub(crate) ask: Ask,
    pub(crate) reply: Reply,
}

/// Where the outcome of a request goes.
#[derive(Debug)]
pub(crate) enum Reply {
    Once(oneshot::Sender<Result<Outcome, RequestError>>),
    Stream {
        /// Is told, once, whether the stream was admitted.
        admitted: Option<oneshot::Sender<Result<(), RequestError>>>,
        /// Holds no more than the set lets be fetched before it is read.
        items: mpsc::UnboundedSender<Fetched>,
    },
}

/// What must reach the set without waiting: at most one for each request, block and report.
#[derive(Debug)]
pub(crate) enum Notice {
    Cancelled(RequestId),
    Taken(RequestId, u64),
    Report(PeerId, Offence),
    Tell(PeerId, Request),
    Judge(Judge),
}

/// What the driver and its handles share, at the driver's end.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) notices: mpsc::UnboundedReceiver<Notice>,
    pub(crate) joins: mpsc::Receiver<Box<dyn Peer>>,
    pub(crate) gossip: Option<mpsc::Receiver<(PeerId, Gossip)>>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) peers: watch::Sender<PeerCounts>,
    pub(crate) requests: watch::Sender<RequestCounts>,
}

type Answered = Result<(CallId, PeerId, Result<Response, savanna_peer::RequestError>), Aborted>;

/// Runs a set.
pub(crate) struct Driver {
    set: Set,
    inbound: Inbound,
    judge: Judge,
    clock: Clock,
    ends: Ends,
    peers: BTreeMap<PeerId, Box<dyn Peer>>,
    early: Early,
    closings: FuturesUnordered<BoxFuture<'static, (PeerId, CloseReason)>>,
    calls: FuturesUnordered<BoxFuture<'static, Answered>>,
    aborts: BTreeMap<CallId, AbortHandle>,
    /// What peers are being told that they do not answer.
    statements: FuturesUnordered<BoxFuture<'static, ()>>,
    replies: BTreeMap<RequestId, Reply>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to: never later than the set's next deadline.
    armed: Option<Duration>,
    stopped: BoxFuture<'static, ()>,
    is_unused: bool,
}

impl Driver {
    pub(crate) fn new(set: Set, inbound: Inbound, clock: Clock, ends: Ends, mut stop: Stop) -> Self {
        Self {
            set,
            inbound,
            judge: Judge::default(),
            clock,
            ends,
            peers: BTreeMap::new(),
            early: Early::default(),
            closings: FuturesUnordered::new(),
            calls: FuturesUnordered::new(),
            aborts: BTreeMap::new(),
            statements: FuturesUnordered::new(),
            replies: BTreeMap::new(),
            timer: Box::pin(sleep_until(clock.instant(Duration::ZERO))),
            armed: None,
            stopped: Box::pin(async move { stop.stopped().await }),
            is_unused: false,
        }
    }

    fn poll_calls(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut is_moved = false;
        for _ in 0..TURN {
            let Poll::Ready(Some(answered)) = self.calls.poll_next_unpin(cx) else { break };
            is_moved = true;
            if let Ok((call, peer, result)) = answered {
                self.aborts.remove(&call);
                if let Ok(response) = &result {
                    self.inbound.handle_response(peer, response, now);
                }
                self.set.handle_response(call, result, now);
            }
        }
        is_moved
    }

    /// Comes after the answers: what a peer said before it left counts.
    fn poll_closings(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut is_moved = false;
        while let Poll::Ready(Some((peer, reason))) = self.closings.poll_next_unpin(cx) {
            is_moved = true;
            tracing::debug!(%peer, %reason, "peer left");
            self.peers.remove(&peer);
            self.inbound.handle_left(peer);
            self.set.handle_left(peer, now);
            let _ = self.ends.events.send(Event::Left { peer, reason });
        }
        is_moved
    }

    fn poll_notices(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut is_moved = false;
        while self.statements.poll_next_unpin(cx) == Poll::Ready(Some(())) {}
        while let Poll::Ready(Some(notice)) = self.ends.notices.poll_recv(cx) {
            is_moved = true;
            match notice {
                Notice::Cancelled(request) => {
                    self.replies.remove(&request);
                    self.set.cancel(request, now);
                }
                Notice::Tell(peer, statement) => {
                    if let Some(held) = self.peers.get(&peer) {
                        let told = held.ask(statement);
                        self.statements.push(Box::pin(async move { drop(told.await) }));
                    }
                }
                Notice::Judge(judge) => {
                    self.judge = judge;
                    self.bar(now);
                }
                Notice::Taken(request, bytes) => self.set.handle_taken(request, bytes, now),
                Notice::Report(peer, offence) => {
                    if let Some(held) = self.peers.get(&peer) {
                        held.close(CloseReason::Misbehaved(offence));
                        self.set.handle_left(peer, now);
                    }
                }
            }
        }
        is_moved
    }

    /// Closes the connections of those who are kept out; not of those who came in though they were discouraged.
    fn bar(&mut self, now: Duration) {
        for (id, held) in &self.peers {
            let is_barred = match self.judge.standing(host(&**held)) {
                Standing::Fine => false,
                Standing::Discouraged => !self.inbound.is_discouraged(*id),
                Standing::Banned => true,
            };
            if is_barred {
                held.close(CloseReason::Local(LocalReason::Barred));
                self.set.handle_left(*id, now);
            }
        }
    }

    fn poll_joins(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut is_moved = false;
        while let Poll::Ready(Some(peer)) = self.ends.joins.poll_recv(cx) {
            is_moved = true;
            self.join(peer, now);
        }
        is_moved
    }

    fn join(&mut self, peer: Box<dyn Peer>, now: Duration) {
        let id = peer.id();
        if self.peers.contains_key(&id) {
            return;
        }
        let told = self.early.take(id);
        let info = peer.info().clone();
        let standing = self.judge.standing(host(&*peer));
        if standing == Standing::Banned {
            return peer.close(CloseReason::Local(LocalReason::Barred));
        }
        let is_discouraged = standing == Standing::Discouraged;
        if info.direction == Direction::Inbound && !self.has_place(&*peer, is_discouraged, now) {
            tracing::debug!(peer = %id, "no place for a peer that dialled us");
            return peer.close(CloseReason::Local(LocalReason::Evicted));
        }
        tracing::debug!(peer = %id, direction = ?info.direction, "peer joined");
        let serves_chain = info.remote.services.contains(Services::NODE_NETWORK);
        let traits = Traits { serves_chain, round_trip: peer.round_trip() };
        let closed = peer.closed();
        self.closings.push(Box::pin(async move { (id, closed.await) }));
        let _ = self.ends.events.send(Event::Joined { peer: id, info, address: peer.address() });
        self.peers.insert(id, peer);
        self.set.handle_joined(id, traits, now);
        for gossip in told {
            let _ = self.ends.events.send(Event::Gossip { peer: id, gossip });
        }
    }

    /// Finds a place for a peer that dialled us, at the cost of another if need be.
    fn has_place(&mut self, peer: &dyn Peer, is_discouraged: bool, now: Duration) -> bool {
        if self.inbound.is_full() {
            for (id, held) in &self.peers {
                if let Some(round_trip) = held.round_trip() {
                    self.inbound.handle_round_trip(*id, round_trip);
                }
            }
        }
        match self.inbound.handle_joined(peer.id(), host(peer), is_discouraged, now) {
            Verdict::Stays => true,
            Verdict::Refused => false,
            Verdict::Replaces(other) => {
                if let Some(held) = self.peers.get(&other) {
                    held.close(CloseReason::Local(LocalReason::Evicted));
                }
                self.set.handle_left(other, now);
                true
            }
        }
    }

    fn poll_gossip(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(channel) = &mut self.ends.gossip else { return false };
        for turn in 0..TURN {
            match channel.poll_recv(cx) {
                Poll::Ready(Some((peer, gossip))) => {
                    match &gossip {
                        Gossip::Block(hash) => self.set.handle_announced(peer, [Inventory::Block(*hash)], now),
                        Gossip::Transactions(ids) => {
                            self.set.handle_announced(peer, ids.iter().map(|id| Inventory::from(*id)), now);
                        }
                        Gossip::Peers(_) if !self.peers.contains_key(&peer) => {
                            self.early.keep(peer, gossip);
                            continue;
                        }
                        Gossip::Transaction(_) | Gossip::Peers(_) => {}
                    }
                    let _ = self.ends.events.send(Event::Gossip { peer, gossip });
                }
                Poll::Ready(None) => {
                    self.ends.gossip = None;
                    return true;
                }
                Poll::Pending => return turn > 0,
            }
        }
        true
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let mut is_moved = false;
        for _ in 0..TURN {
            match self.ends.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => {
                    is_moved = true;
                    self.begin(command, now);
                }
                Poll::Ready(None) => {
                    self.is_unused = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        is_moved
    }

    fn begin(&mut self, command: Command, now: Duration) {
        let Command { id, ask, reply } = command;
        if reply.is_unwanted() {
            return;
        }
        self.replies.insert(id, reply);
        self.set.request(id, ask, now);
        self.flush();
        if let Some(reply) = self.replies.get_mut(&id) {
            reply.admit(Ok(()));
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Duration) -> bool {
        let Some(when) = self.set.poll_timeout() else { return false };
        // Deadlines mostly move away as answers come: the timer is left as it is then, and found to be early.
        if self.armed.is_none_or(|armed| when < armed) {
            self.timer.as_mut().reset(self.clock.instant(when));
            self.armed = Some(when);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.armed = None;
        if when <= now {
            self.set.handle_timeout(now);
        }
        true
    }

    /// Does what the set wants done.
    fn flush(&mut self) {
        while let Some(output) = self.set.poll_output() {
            match output {
                Output::Call { call, peer, request } => {
                    let Some(held) = self.peers.get(&peer) else { continue };
                    let answer = held.ask(request);
                    let (abort, registration) = AbortHandle::new_pair();
                    self.aborts.insert(call, abort);
                    let answer = async move { (call, peer, answer.await) };
                    self.calls.push(Box::pin(Abortable::new(answer, registration)));
                }
                Output::Abandon(call) => {
                    if let Some(abort) = self.aborts.remove(&call) {
                        abort.abort();
                    }
                }
                Output::Fetched(request, fetched) => {
                    if let Some(Reply::Stream { items, .. }) = self.replies.get(&request) {
                        // Whoever stopped reading cancels the request as well.
                        let _ = items.send(fetched);
                    }
                }
                Output::Done(request, result) => {
                    if let Some(reply) = self.replies.remove(&request) {
                        reply.end(result);
                    }
                }
            }
        }
    }

    fn publish(&self) {
        let peers = self.set.peers();
        self.ends.peers.send_if_modified(|known| std::mem::replace(known, peers) != peers);
        let counts = self.set.counts();
        self.ends.requests.send_if_modified(|known| {
            let is_changed = known != counts;
            known.clone_from(counts);
            is_changed
        });
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.stopped.as_mut().poll(cx).is_ready() {
            let shutdown = || Err(RequestError::Closed(CloseReason::Local(LocalReason::Shutdown)));
            std::mem::take(&mut this.replies).into_values().for_each(|reply| reply.end(shutdown()));
            return Poll::Ready(());
        }
        loop {
            let now = this.clock.now().monotonic;
            let mut is_moved = this.poll_calls(cx, now);
            is_moved |= this.poll_closings(cx, now);
            is_moved |= this.poll_notices(cx, now);
            is_moved |= this.poll_joins(cx, now);
            is_moved |= this.poll_gossip(cx, now);
            is_moved |= this.poll_commands(cx, now);
            is_moved |= this.poll_timer(cx, now);
            this.flush();
            if !is_moved {
                break;
            }
        }
        this.publish();
        if this.is_unused && this.set.is_idle() { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn host(peer: &dyn Peer) -> Option<Host> {
    peer.address().map(|address| address.host)
}

impl Reply {
    fn is_unwanted(&self) -> bool {
        match self {
            Self::Once(reply) => reply.is_closed(),
            Self::Stream { admitted, items } => {
                items.is_closed() || admitted.as_ref().is_some_and(oneshot::Sender::is_closed)
            }
        }
    }

    fn admit(&mut self, verdict: Result<(), RequestError>) {
        if let Self::Stream { admitted, .. } = self
            && let Some(admitted) = admitted.take()
        {
            let _ = admitted.send(verdict);
        }
    }

    /// Ends the request; who does not wait for it any more misses nothing.
    fn end(mut self, result: Result<Outcome, RequestError>) {
        self.admit(result.as_ref().map(|_| ()).map_err(Clone::clone));
        if let Self::Once(reply) = self {
            let _ = reply.send(result);
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("set", &self.set).finish_non_exhaustive()
    }
}

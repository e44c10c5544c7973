//! The peers, what each is being asked, and whom to ask next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use savanna_net::PeerId;
use savanna_peer::{CloseReason, Request, RequestKind};
use savanna_wire::Inventory;

use crate::counts::{CallOutcome, PeerCounts, RequestCounts};
use crate::inventory::Registry;
use crate::load::Load;
use crate::request::{Fetched, Outcome, RequestError, RequestId, is_hedged, tells_nearness};
use crate::retry::RetryBudget;
use crate::size::BlockSize;

use draw::Draw;
use peer::Peer;

mod draw;
mod peer;

#[cfg(test)]
pub(crate) use peer::MAX_SMALL;

/// An answer is late when it takes so many times what it was expected to take.
const PATIENCE: u32 = 3;

/// How much longer than the fastest peer another may be expected to take before its answer counts as late all the same.
const LENIENCE: u32 = 4;

/// How long a peer that is to be asked first may be expected to take however near others are.
const NEAR: Duration = Duration::from_millis(200);

/// The bounds of patience.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);
const MOST_PATIENCE: Duration = Duration::from_secs(4);

/// How long a late list is given for each further part of it, before more parts are given to others.
const FURTHER_PATIENCE: Duration = Duration::from_millis(250);

/// Numbers a question to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

/// What a [`Set`](crate::Set) wants done.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "outputs are moved once, from the set to its driver")]
pub enum Output {
    /// A peer is to be asked; its answer goes to [`Set::handle_response`](crate::Set::handle_response).
    Call {
        /// Names the question.
        call: CallId,
        /// Whom to ask.
        peer: PeerId,
        /// What to ask.
        request: Request,
    },
    /// The answer to a question is no longer wanted.
    Abandon(CallId),
    /// A stream goes on.
    Fetched(RequestId, Fetched),
    /// A request has ended. Happens once for each that was not cancelled.
    Done(RequestId, Result<Outcome, RequestError>),
}

/// What is known of a peer when it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// Whether it serves the chain: others are not asked for headers and blocks.
    pub serves_chain: bool,
    /// How long a question and its answer take, if it has been measured.
    pub round_trip: Option<Duration>,
}

/// A question in flight.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) request: RequestId,
    pub(crate) peer: PeerId,
    pub(crate) kind: RequestKind,
    pub(crate) begun: Duration,
    /// Which parts of the request it asks for; none where it asks for the whole.
    pub(crate) items: Vec<(usize, Inventory)>,
    /// How many of the parts have been given to other peers too.
    pub(crate) hedged: usize,
    /// It shows what its peer can do, so it is let go on where another was quicker.
    pub(crate) is_chance: bool,
    expected_bytes: u64,
    /// How long its peer was likely to take.
    expected_wait: Duration,
    overdue: Duration,
    is_late: bool,
}

/// What passes at a certain time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A request has not been answered in time.
    Deadline(RequestId),
    /// A question to one peer takes suspiciously long.
    Overdue(CallId),
}

/// Whether, and how gladly, a peer is asked for one item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// This one is to be asked.
    Peer(PeerId),
    /// One may be asked later.
    Later,
    /// None is left who might have it.
    Never,
}

/// The peers and the questions in flight at them.
#[derive(Debug)]
pub(crate) struct Network {
    rng: ChaCha8Rng,
    peers: BTreeMap<PeerId, Peer>,
    calls: BTreeMap<CallId, Call>,
    next_call: u64,
    pub(crate) registry: Registry,
    pub(crate) retries: RetryBudget,
    /// The kinds of small questions that no peer takes in this round.
    stuck: u16,
    /// Whether a question waits for the retry budget alone.
    pub(crate) starved: bool,
    pub(crate) block_size: BlockSize,
    pub(crate) timers: BTreeSet<(Duration, Timer)>,
    pub(crate) counts: RequestCounts,
    pub(crate) outputs: VecDeque<Output>,
}

impl Network {
    pub(crate) fn new(seed: [u8; 32], now: Duration) -> Self {
        Self {
            rng: ChaCha8Rng::from_seed(seed),
            peers: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            registry: Registry::new(),
            retries: RetryBudget::new(now),
            stuck: 0,
            starved: false,
            block_size: BlockSize::new(),
            timers: BTreeSet::new(),
            counts: RequestCounts::default(),
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn join(&mut self, id: PeerId, traits: Traits) {
        self.peers.entry(id).or_insert_with(|| Peer::new(traits));
    }

    /// Forgets a peer and returns what it was being asked.
    pub(crate) fn leave(&mut self, id: PeerId) -> Vec<Call> {
        let calls = self.peers.get(&id).map(|peer| peer.calls.clone()).unwrap_or_default();
        let ended = calls.into_iter().filter_map(|call| {
            self.outputs.push_back(Output::Abandon(call));
            self.end(call, CallOutcome::Closed)
        });
        let ended = ended.collect();
        self.peers.remove(&id);
        self.registry.forget(id);
        ended
    }

    pub(crate) fn knows(&self, id: PeerId) -> bool {
        self.peers.contains_key(&id)
    }

    /// Returns the peers that need not be told of something.
    pub(crate) fn who_knows(&self, item: &Inventory, now: Duration) -> Vec<PeerId> {
        self.peers.keys().copied().filter(|peer| self.registry.is_known(*peer, item, now)).collect()
    }

    pub(crate) fn peer_counts(&self) -> PeerCounts {
        let ready = self.peers.values().filter(|peer| peer.is_ready()).count();
        PeerCounts { ready, unready: self.peers.len() - ready }
    }

    pub(crate) fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    /// Returns the number of the next question, by which [`calls_since`](Self::calls_since) tells those put from here on.
    pub(crate) const fn next_call(&self) -> u64 {
        self.next_call
    }

    pub(crate) fn calls_since(&self, first: u64) -> impl Iterator<Item = CallId> + use<> {
        (first..self.next_call).map(CallId)
    }

    /// Returns whether there is a peer for a kind of question, busy or not.
    pub(crate) fn has_peer_for(&self, kind: RequestKind) -> bool {
        self.peers.values().any(|peer| peer.serves(kind))
    }

    /// Begins to look anew at who is open.
    pub(crate) const fn begin_round(&mut self) {
        self.starved = false;
        self.stuck = 0;
    }

    /// Puts a question to a peer.
    pub(crate) fn ask(
        &mut self,
        request: RequestId,
        peer: PeerId,
        question: Request,
        items: Vec<(usize, Inventory)>,
        now: Duration,
    ) {
        let id = CallId(self.next_call);
        self.next_call += 1;
        let kind = question.kind();
        let expected_bytes = self.block_size.expect(kind, items.len());
        let load = self.peers.get(&peer).map(|peer| &peer.load);
        let wait = |load: &Load| if items.is_empty() { load.small_wait() } else { load.bulk_wait(expected_bytes) };
        let expected_wait = load.map_or(MOST_PATIENCE, wait);
        // Until then others may show how long it takes.
        let overdue = now + LEAST_PATIENCE;
        if is_hedged(kind) {
            self.timers.insert((overdue, Timer::Overdue(id)));
        }
        let (begun, hedged, is_late, is_chance) = (now, 0, false, false);
        let call = Call {
            id,
            request,
            peer,
            kind,
            begun,
            items,
            hedged,
            is_chance,
            expected_bytes,
            expected_wait,
            overdue,
            is_late,
        };
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.begin(&call);
        }
        self.calls.insert(id, call);
        self.counts.count_sent(kind);
        self.outputs.push_back(Output::Call { call: id, peer, request: question });
    }

    /// Returns how long a question may take. How slow its peer has been before excuses it no further than others are fast:
    /// patience with a peer that is slow on purpose would hold up the whole.
    fn patience(&self, call: &Call) -> Duration {
        let others = self.peers.iter().filter(|(id, peer)| **id != call.peer && peer.serves(call.kind));
        let least = if call.items.is_empty() {
            others.filter(|(_, peer)| peer.load.is_measured()).map(|(_, peer)| peer.load.small_wait()).min()
        } else {
            let proven = others.filter(|(_, peer)| peer.load.is_trusted() && peer.load.is_proven());
            // By now it is known better how long blocks are.
            let bytes = self.block_size.expect(call.kind, call.items.len());
            proven.map(|(_, peer)| peer.load.bulk_wait(bytes)).min()
        };
        let expected = least.map_or(call.expected_wait, |least| call.expected_wait.min(least.saturating_mul(LENIENCE)));
        expected.saturating_mul(PATIENCE).clamp(LEAST_PATIENCE, MOST_PATIENCE)
    }

    /// Marks the last question as a chance for its peer.
    pub(crate) fn mark_chance(&mut self) {
        if let Some(call) = self.calls.values_mut().next_back() {
            call.is_chance = true;
        }
    }

    /// Ends a question and gives back what it held at its peer.
    pub(crate) fn end(&mut self, id: CallId, outcome: CallOutcome) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.timers.remove(&(call.overdue, Timer::Overdue(id)));
        self.counts.count_ended(call.kind, outcome);
        if let Some(peer) = self.peers.get_mut(&call.peer) {
            peer.end(&call);
        }
        Some(call)
    }

    /// Ends a question whose answer is no longer wanted.
    pub(crate) fn abandon(&mut self, id: CallId) -> Option<Call> {
        let call = self.end(id, CallOutcome::Cancelled)?;
        self.outputs.push_back(Output::Abandon(id));
        Some(call)
    }

    /// Notes that a question is overdue, and when it will be more so. Returns which parts are to be given to others too:
    /// the oldest first, each time as many as all times before; and all at once where the peer has yet to deliver anything.
    pub(crate) fn overdue(&mut self, id: CallId, now: Duration) -> Option<(RequestId, Vec<usize>)> {
        let patience = self.patience(self.calls.get(&id)?);
        let call = self.calls.get_mut(&id)?;
        if !call.is_late && call.begun + patience > now {
            call.overdue = call.begun + patience;
            self.timers.insert((call.overdue, Timer::Overdue(id)));
            return None;
        }
        let is_proven = self.peers.get(&call.peer).is_some_and(|peer| peer.load.is_proven() && peer.load.is_trusted());
        let more = if is_proven || call.hedged > 0 { call.hedged.max(1) } else { call.items.len() };
        let parts: Vec<usize> = call.items.iter().skip(call.hedged).take(more).map(|(index, _)| *index).collect();
        call.hedged += parts.len();
        let is_first_time = !std::mem::replace(&mut call.is_late, true);
        if call.hedged < call.items.len() {
            call.overdue = now + FURTHER_PATIENCE;
            self.timers.insert((call.overdue, Timer::Overdue(id)));
        }
        if is_first_time && let Some(peer) = self.peers.get_mut(&call.peer) {
            if !call.items.is_empty() {
                peer.load.stalled(call.begun, now);
            } else if tells_nearness(call.kind) {
                peer.load.late(now.saturating_sub(call.begun));
            }
        }
        Some((call.request, parts))
    }

    /// Lets a peer's measurements follow from how a question of ours ended.
    pub(crate) fn measure(&mut self, call: &Call, delivered: Option<(usize, u64)>, now: Duration) {
        let Some(peer) = self.peers.get_mut(&call.peer) else { return };
        match delivered {
            _ if call.items.is_empty() && !tells_nearness(call.kind) => {}
            Some((_, _)) if call.items.is_empty() => peer.load.answered(now.saturating_sub(call.begun)),
            Some((count, bytes)) if count > 0 => peer.load.delivered(count, bytes, call.begun, now),
            // Many transactions are known to few. Whoever serves the chain has its blocks.
            Some(_) if call.kind == RequestKind::Blocks => peer.load.stalled(call.begun, now),
            Some(_) => {}
            None if call.items.is_empty() => peer.load.late(now.saturating_sub(call.begun)),
            None => peer.load.stalled(call.begun, now),
        }
    }

    /// Chooses whom to ask a small question: `first` if it can be asked now and is not far slower than another, or else the
    /// nearer of two at random.
    pub(crate) fn pick_small(&mut self, kind: RequestKind, first: Option<PeerId>, tried: &BTreeSet<PeerId>) -> Pick {
        if self.stuck & 1 << kind as u16 != 0 {
            return Pick::Later;
        }
        let mut draw = Draw::default();
        let (mut is_any_left, mut is_any_open) = (false, false);
        for (id, peer) in &self.peers {
            let (is_open, is_left) = (peer.is_small_open(kind), peer.serves(kind) && !tried.contains(id));
            is_any_open |= is_open;
            is_any_left |= is_left;
            if is_open && is_left {
                draw.offer(*id, &mut self.rng);
            }
        }
        if !is_any_open && is_any_left {
            self.stuck |= 1 << kind as u16;
        }
        match self.better(draw, |load| load.small_wait()) {
            Some(peer) => {
                Pick::Peer(first.filter(|first| self.is_near_enough(*first, peer, kind, tried)).unwrap_or(peer))
            }
            None if is_any_left => Pick::Later,
            None => Pick::Never,
        }
    }

    fn is_near_enough(&self, first: PeerId, other: PeerId, kind: RequestKind, tried: &BTreeSet<PeerId>) -> bool {
        let wait = |id| self.peers.get(&id).map_or(Duration::MAX, |peer| peer.load.small_wait());
        let is_open = self.peers.get(&first).is_some_and(|peer| peer.is_small_open(kind)) && !tried.contains(&first);
        is_open && wait(first) <= wait(other).saturating_mul(LENIENCE).max(NEAR)
    }

    /// Returns whether any peer may be asked for more of a list. While there are peers to trust, others open nothing: they are
    /// asked for what those cannot give when there is room at one of those, as there is after each answer.
    pub(crate) fn is_bulk_open(&self, kind: RequestKind) -> bool {
        let mut is_any_trusted = false;
        let mut is_open = false;
        for peer in self.peers.values().filter(|peer| peer.serves(kind)) {
            if peer.load.is_trusted() && !std::mem::replace(&mut is_any_trusted, true) {
                is_open = false;
            }
            is_open |= peer.load.room() > 0 && (peer.load.is_trusted() || !is_any_trusted);
        }
        is_open
    }

    /// Chooses whom to ask for an item of a list: two at random, of whom the faster. Those who announced it go before others,
    /// and those who gave nothing when they were asked last come after all of them.
    pub(crate) fn pick_bulk(&mut self, kind: RequestKind, item: &Inventory, tried: &[PeerId], now: Duration) -> Pick {
        let (mut announcers, mut others, mut last) = (Draw::default(), Draw::default(), Draw::default());
        let (mut is_anyone, mut is_any_left, mut is_any_trusted) = (false, false, false);
        for (id, peer) in &self.peers {
            if !peer.serves(kind) {
                continue;
            }
            is_anyone = true;
            if tried.contains(id) || self.registry.is_missing(*id, item, now) {
                continue;
            }
            is_any_left = true;
            is_any_trusted |= peer.load.is_trusted();
            if peer.load.room() == 0 || peer.asked.contains(item) {
                continue;
            }
            let is_announced = self.registry.is_announced(*id, item, now);
            let draw = match (peer.load.is_trusted(), is_announced) {
                (true, true) => &mut announcers,
                (true, false) => &mut others,
                (false, _) => &mut last,
            };
            draw.offer(*id, &mut self.rng);
        }
        let trusted = if announcers.seen > 0 { announcers } else { others };
        let draw = if is_any_trusted { trusted } else { last };
        let bytes = self.block_size.expect(kind, 1);
        match self.better(draw, |load| load.bulk_wait(bytes)) {
            Some(peer) => Pick::Peer(peer),
            // Nobody has said no where nobody is there to say it.
            None if is_any_left || !is_anyone => Pick::Later,
            None => Pick::Never,
        }
    }

    /// Chooses a peer that gave nothing when it was asked last, to be asked for an item that another is asked for too.
    pub(crate) fn pick_chance(
        &mut self,
        kind: RequestKind,
        item: &Inventory,
        tried: &[PeerId],
        now: Duration,
    ) -> Option<PeerId> {
        let is_missing = |id: &PeerId| tried.contains(id) || self.registry.is_missing(*id, item, now);
        let mut due = self.peers.iter_mut().filter(|(_, peer)| peer.serves(kind) && peer.load.is_due(now));
        let (id, peer) = due.find(|(id, _)| !is_missing(id))?;
        peer.load.give_chance(now);
        Some(*id)
    }

    /// Returns whether a chosen peer may be asked for one more item.
    pub(crate) fn takes(&self, peer: PeerId, item: &Inventory, tried: &[PeerId], now: Duration) -> bool {
        !tried.contains(&peer)
            && !self.registry.is_missing(peer, item, now)
            && self.peers.get(&peer).is_some_and(|peer| !peer.asked.contains(item))
    }

    /// Returns how many hashes the next message to a peer may name: not the whole window, so that one message is on its way
    /// while the answer to another comes, and no more than a peer is likely to serve.
    pub(crate) fn message_len(&self, peer: PeerId, kind: RequestKind) -> usize {
        let Some(load) = self.peers.get(&peer).map(|peer| &peer.load) else { return 0 };
        load.room().min((load.window() / 2).max(1)).min(self.block_size.served_at_once(kind))
    }

    fn better(&self, draw: Draw, wait: impl Fn(&Load) -> Duration) -> Option<PeerId> {
        let wait = |id: &PeerId| self.peers.get(id).map_or(Duration::MAX, |peer| wait(&peer.load));
        match draw.two {
            [Some(one), Some(other)] => Some(if wait(&other) < wait(&one) { other } else { one }),
            [one, other] => one.or(other),
        }
    }

    /// Returns why a peer's questions ended when it left.
    pub(crate) const fn left() -> savanna_peer::RequestError {
        savanna_peer::RequestError::Closed(CloseReason::ClosedByPeer)
    }

    #[cfg(test)]
    pub(crate) fn assert_idle(&self) {
        assert!(self.calls.is_empty() && self.timers.is_empty(), "{:?} {:?}", self.calls, self.timers);
        for (id, peer) in &self.peers {
            assert!(peer.calls.is_empty() && peer.asked.is_empty() && peer.busy == 0, "{id}: {peer:?}");
            let load = &peer.load;
            assert_eq!((load.small, load.hashes, load.pending_bytes), (0, 0, 0), "{id}: {peer:?}");
        }
    }

    #[cfg(test)]
    pub(crate) fn window(&self, id: PeerId) -> (usize, usize) {
        self.peers.get(&id).map_or((0, 0), |peer| (peer.load.hashes, peer.load.window()))
    }
}

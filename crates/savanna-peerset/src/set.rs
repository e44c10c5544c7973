//! The set: many peers, many requests, and what is asked of whom.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use savanna_net::PeerId;
use savanna_peer::{Missing, Partial, Request, RequestKind, Response};
use savanna_wire::Inventory;

use crate::Config;
use crate::counts::{CallOutcome, PeerCounts, RequestCounts};
use crate::network::{Call, CallId, Network, Output, Timer, Traits};
use crate::request::{ANNOUNCEMENT_DEADLINE, Ask, MAX_HASHES, Outcome, RequestError, RequestId, audience};

use gather::Gather;
use spread::Spread;

mod gather;
mod item;
mod spread;

/// Decides which peer is asked what, without IO.
///
/// It knows peers by number. Time is an argument, on any scale that never goes back; randomness comes from a seed, so a run
/// replays. There are four kinds of methods: getters, inputs (`handle_*`), application calls (`request`, `cancel`) and
/// outputs (`poll_*`), which are to be drained after each of the others.
#[derive(Debug)]
pub struct Set {
    config: Config,
    network: Network,
    requests: BTreeMap<RequestId, Pending>,
    /// The requests with something left to ask, which are served in turn.
    hungry: BTreeSet<RequestId>,
    /// The one that asked last: after it the turn is the next one's.
    served: RequestId,
}

#[derive(Debug)]
struct Pending {
    deadline: Duration,
    /// When the deadline is looked at next: it may have been put off since.
    armed: Duration,
    calls: BTreeSet<CallId>,
    work: Work,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there are few requests, and most are of the large kind")]
enum Work {
    Spread(Spread),
    Gather(Gather),
}

/// How far a request has come.
#[derive(Debug)]
enum Progress {
    /// There is more to ask.
    Hungry,
    /// All that is needed has been asked.
    Asked,
    /// It has ended.
    Done(Result<Outcome, RequestError>),
}

impl Set {
    /// Makes a set of no peers.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Duration) -> Self {
        let network = Network::new(seed, now);
        Self { config, network, requests: BTreeMap::new(), hungry: BTreeSet::new(), served: RequestId(0) }
    }

    /// Returns how many peers there are.
    #[must_use]
    pub fn peers(&self) -> PeerCounts {
        self.network.peer_counts()
    }

    /// Returns how many questions were put to peers.
    #[must_use]
    pub const fn counts(&self) -> &RequestCounts {
        &self.network.counts
    }

    /// Returns whether no request is unfinished.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Takes a peer in.
    pub fn handle_joined(&mut self, peer: PeerId, traits: Traits, now: Duration) {
        self.network.join(peer, traits);
        self.dispatch(now);
    }

    /// Lets a peer go: what it was being asked is asked of others.
    pub fn handle_left(&mut self, peer: PeerId, now: Duration) {
        for call in self.network.leave(peer) {
            self.answered(&call, Err(Network::left()), now);
        }
        self.dispatch(now);
    }

    /// Notes that a peer announced blocks or transactions.
    pub fn handle_announced(&mut self, peer: PeerId, items: impl IntoIterator<Item = Inventory>, now: Duration) {
        if self.network.knows(peer) {
            items.into_iter().for_each(|item| self.network.registry.announce(peer, item, now));
        }
    }

    /// Takes the answer to a question. One that was abandoned is ignored.
    pub fn handle_response(
        &mut self,
        call: CallId,
        result: Result<Response, savanna_peer::RequestError>,
        now: Duration,
    ) {
        if let Some(call) = self.network.end(call, outcome(&result)) {
            self.answered(&call, result, now);
            self.dispatch(now);
        }
    }

    /// Notes that the reader of a stream took so many bytes of blocks.
    pub fn handle_taken(&mut self, request: RequestId, bytes: u64, now: Duration) {
        if let Some(Pending { work: Work::Gather(gather), .. }) = self.requests.get_mut(&request)
            && gather.taken(bytes, &self.network)
        {
            self.dispatch(now);
        }
    }

    /// Lets every deadline pass that is due.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some((when, timer)) = self.network.timers.first().copied()
            && when <= now
        {
            self.network.timers.pop_first();
            match timer {
                Timer::Deadline(request) => self.expire(request, now),
                Timer::Overdue(call) => self.overdue(call, now),
            }
        }
        self.dispatch(now);
    }

    /// Begins a request under a number that no unfinished one has. Requests are served in turn, in the order of their numbers.
    pub fn request(&mut self, id: RequestId, ask: Ask, now: Duration) {
        let work = match self.admit(id, ask) {
            Ok(work) => work,
            Err(error) => return self.network.outputs.push_back(Output::Done(id, Err(error))),
        };
        let is_announcement = matches!(&work, Work::Spread(spread) if spread.is_for_everyone());
        let patience =
            if is_announcement { ANNOUNCEMENT_DEADLINE.min(self.config.deadline) } else { self.config.deadline };
        let deadline = now + patience;
        self.network.timers.insert((deadline, Timer::Deadline(id)));
        self.requests.insert(id, Pending { deadline, armed: deadline, calls: BTreeSet::new(), work });
        self.hungry.insert(id);
        self.dispatch(now);
    }

    /// Forgets a request and gives back all that it held. Nothing more is said of it.
    pub fn cancel(&mut self, id: RequestId, now: Duration) {
        self.finish(id);
        self.dispatch(now);
    }

    /// Returns what is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.network.outputs.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let timer = self.network.timers.first().map(|(when, _)| *when);
        let token = self.network.starved.then(|| self.network.retries.when());
        timer.into_iter().chain(token).min()
    }

    fn admit(&self, id: RequestId, ask: Ask) -> Result<Work, RequestError> {
        if self.requests.len() >= self.config.requests {
            return Err(RequestError::Overloaded);
        }
        let gather = |kind, items: Vec<Inventory>, is_streamed| match items.len() {
            len if len > MAX_HASHES => Err(RequestError::TooLong { len, limit: MAX_HASHES }),
            _ => Ok(Work::Gather(Gather::new(id, kind, items, is_streamed, &self.config))),
        };
        let spread = |request, want: usize| Spread::new(request, want.max(1), self.config.attempts);
        match ask {
            Ask::One(Request::Blocks(hashes)) => gather(RequestKind::Blocks, item::blocks(hashes), false),
            Ask::One(Request::Transactions(ids)) => gather(RequestKind::Transactions, item::transactions(ids), false),
            Ask::Stream(hashes) => gather(RequestKind::Blocks, item::blocks(hashes), true),
            Ask::One(request) => {
                let want = audience(request.kind());
                Ok(Work::Spread(spread(request, want)))
            }
            Ask::Following(request, peer) => Ok(Work::Spread(spread(request, 1).following(peer))),
            Ask::Distinct(request, want) => Ok(Work::Spread(spread(request, want))),
            Ask::Graced(request, want, grace) => Ok(Work::Spread(spread(request, want).graced(grace))),
        }
    }

    /// Serves the requests that have something to ask, from the one after that which asked last, and round: so an old list does
    /// not take each place as it becomes free.
    fn dispatch(&mut self, now: Duration) {
        loop {
            self.network.begin_round();
            let mut is_freed = false;
            let last = self.served;
            for (mut at, end) in [(Bound::Excluded(last), Bound::Unbounded), (Bound::Unbounded, Bound::Included(last))]
            {
                while let Some(id) = self.hungry.range((at, end)).next().copied() {
                    at = Bound::Excluded(id);
                    is_freed |= self.advance(id, now);
                }
            }
            // What a request gives back at its end, one before it may have waited for.
            if !is_freed {
                return;
            }
        }
    }

    /// Lets a request ask what it can; returns whether its end gave something back.
    fn advance(&mut self, id: RequestId, now: Duration) -> bool {
        let Some(pending) = self.requests.get_mut(&id) else {
            self.hungry.remove(&id);
            return false;
        };
        let first = self.network.next_call();
        let progress = match &mut pending.work {
            Work::Spread(spread) => spread.advance(id, &mut self.network, now),
            Work::Gather(gather) => gather.advance(&mut self.network, now),
        };
        if self.network.next_call() > first {
            self.served = id;
        }
        pending.calls.extend(self.network.calls_since(first));
        match progress {
            Progress::Hungry => false,
            Progress::Asked => {
                self.hungry.remove(&id);
                false
            }
            Progress::Done(result) => self.done(id, result),
        }
    }

    fn answered(&mut self, call: &Call, result: Result<Response, savanna_peer::RequestError>, now: Duration) {
        let Some(pending) = self.requests.get_mut(&call.request) else { return };
        pending.calls.remove(&call.id);
        self.hungry.insert(call.request);
        match &mut pending.work {
            Work::Spread(spread) => {
                spread.answered(call, result, &mut self.network, now);
                let ends = spread.take_grace().map(|grace| now + grace).filter(|ends| *ends < pending.armed);
                if let Some(ends) = ends {
                    self.network.timers.remove(&(pending.armed, Timer::Deadline(call.request)));
                    self.network.timers.insert((ends, Timer::Deadline(call.request)));
                    (pending.deadline, pending.armed) = (ends, ends);
                }
            }
            Work::Gather(gather) => {
                let is_shared = gather.answered(call, result, &mut self.network, now);
                if gather.take_moved(&self.network) {
                    pending.deadline = now + self.config.deadline;
                }
                if is_shared {
                    abandon_idle(&mut pending.calls, gather, &mut self.network);
                }
            }
        }
    }

    fn overdue(&mut self, call: CallId, now: Duration) {
        let Some((request, parts)) = self.network.overdue(call, now) else { return };
        let Some(pending) = self.requests.get_mut(&request) else { return };
        self.hungry.insert(request);
        match &mut pending.work {
            Work::Spread(spread) => spread.hedge(),
            Work::Gather(gather) => gather.hedge(&parts),
        }
    }

    fn expire(&mut self, id: RequestId, now: Duration) {
        let Some(pending) = self.requests.get_mut(&id) else { return };
        if let Work::Gather(gather) = &mut pending.work
            && (gather.take_moved(&self.network) || gather.awaits_turn(&self.network))
        {
            pending.deadline = now + self.config.deadline;
        }
        if pending.deadline > now {
            pending.armed = pending.deadline;
            self.network.timers.insert((pending.armed, Timer::Deadline(id)));
            return;
        }
        let result = match &mut pending.work {
            Work::Spread(spread) => spread.conclude(&self.network),
            Work::Gather(gather) => gather.expire(&mut self.network),
        };
        self.done(id, result);
    }

    fn done(&mut self, id: RequestId, result: Result<Outcome, RequestError>) -> bool {
        self.network.outputs.push_back(Output::Done(id, result));
        self.finish(id)
    }

    /// Forgets a request; returns whether it had anything to give back.
    fn finish(&mut self, id: RequestId) -> bool {
        self.hungry.remove(&id);
        let Some(pending) = self.requests.remove(&id) else { return false };
        self.network.timers.remove(&(pending.armed, Timer::Deadline(id)));
        for call in &pending.calls {
            self.network.abandon(*call);
        }
        !pending.calls.is_empty()
    }
}

/// Abandons the questions that have nothing left to bring.
fn abandon_idle(calls: &mut BTreeSet<CallId>, gather: &mut Gather, network: &mut Network) {
    let idle = calls.iter().filter(|id| network.call(**id).is_some_and(|call| !call.is_chance && gather.is_idle(call)));
    for id in idle.copied().collect::<Vec<_>>() {
        calls.remove(&id);
        if let Some(call) = network.abandon(id) {
            gather.abandoned(&call);
        }
    }
}

/// Names how a question ended.
fn outcome(result: &Result<Response, savanna_peer::RequestError>) -> CallOutcome {
    match result {
        Ok(Response::Blocks(list)) => list_outcome(list),
        Ok(Response::Transactions(list)) => list_outcome(list),
        Ok(_) => CallOutcome::Answered,
        Err(savanna_peer::RequestError::Closed(_)) => CallOutcome::Closed,
        Err(_) => CallOutcome::TimedOut,
    }
}

fn list_outcome<T, Id>(list: &Partial<T, Id>) -> CallOutcome {
    if !list.found.is_empty() || list.missing.is_empty() {
        CallOutcome::Answered
    } else if list.missing.iter().all(|(_, why)| *why == Missing::TimedOut) {
        CallOutcome::TimedOut
    } else {
        CallOutcome::NotFound
    }
}

#[cfg(test)]
mod tests;

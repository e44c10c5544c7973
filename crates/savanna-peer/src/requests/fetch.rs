//! Fetching things by name: blocks and transactions, many requests in flight.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::patience::Patience;
use crate::{Missing, Partial, RequestError, RequestId};

/// How a fetch ends.
pub(super) type Fetched<T, Id> = (RequestId, Result<Partial<T, Id>, RequestError>);

/// The requests for one kind of thing, and the `getdata` messages that carry them.
///
/// A thing answers every request that wants it: its name binds what it is. Each request asks for itself, so two requests
/// for one thing bring it twice; the second copy is awaited, and dropped. What the peer says it lacks, or passes over in
/// silence, counts for the request whose `getdata` it was.
#[derive(Debug)]
pub(super) struct Fetch<T, Id> {
    open: BTreeMap<RequestId, Gathering<T, Id>>,
    asked: VecDeque<Asked<Id>>,
    done: VecDeque<Fetched<T, Id>>,
}

/// A request on its way.
#[derive(Debug)]
struct Gathering<T, Id> {
    wanted: BTreeSet<Id>,
    answer: Partial<T, Id>,
}

/// One `getdata`, and what of it the peer has yet to say something about.
#[derive(Debug)]
struct Asked<Id> {
    order: u64,
    owner: RequestId,
    deadline: Duration,
    is_overdue: bool,
    expected: BTreeSet<Id>,
}

impl<T: Clone, Id: Ord + Copy> Fetch<T, Id> {
    pub(super) const fn new() -> Self {
        Self { open: BTreeMap::new(), asked: VecDeque::new(), done: VecDeque::new() }
    }

    /// Opens a request; `lacking` is known to be out of the peer's reach.
    pub(super) fn open(&mut self, id: RequestId, wanted: BTreeSet<Id>, lacking: Vec<Id>) {
        let missing = lacking.into_iter().map(|id| (id, Missing::NotFound)).collect();
        self.open.insert(id, Gathering { wanted, answer: Partial { found: Vec::new(), missing } });
        self.finish(id);
    }

    /// Notes that a `getdata` was sent for a part of a request.
    pub(super) fn ask(&mut self, owner: RequestId, order: u64, deadline: Duration, expected: BTreeSet<Id>) {
        self.asked.push_back(Asked { order, owner, deadline, is_overdue: false, expected });
    }

    /// Returns how many things open requests want.
    pub(super) fn wanted(&self) -> usize {
        self.open.values().map(|gathering| gathering.wanted.len()).sum()
    }

    /// Returns how many things the peer may yet send, for requests that are gone too.
    pub(super) fn expected(&self) -> usize {
        self.asked.iter().map(|asked| asked.expected.len()).sum()
    }

    pub(super) fn found(&self) -> impl Iterator<Item = &T> {
        self.open.values().flat_map(|gathering| &gathering.answer.found)
    }

    /// Takes a thing; returns whether it had been asked for.
    pub(super) fn deliver(&mut self, id: Id, thing: &T) -> bool {
        if self.expect_no_more(id).is_none() {
            return false;
        }
        let takers: Vec<_> =
            self.open.iter_mut().filter_map(|(request, each)| each.wanted.remove(&id).then_some(*request)).collect();
        for request in takers {
            if let Some(gathering) = self.open.get_mut(&request) {
                gathering.answer.found.push(thing.clone());
            }
            self.finish(request);
        }
        true
    }

    /// Takes the peer's word that it lacks a thing; returns whether it had been asked for.
    pub(super) fn lacks(&mut self, id: Id) -> bool {
        let Some(owner) = self.expect_no_more(id) else { return false };
        self.miss(owner, [id], Missing::NotFound);
        true
    }

    /// Ends the `getdata` at a place whose fence was answered, and forgets what was given up before it.
    pub(super) fn fence(&mut self, order: u64) {
        if let Some(at) = self.asked.iter().position(|asked| asked.order == order)
            && let Some(asked) = self.asked.remove(at)
        {
            self.miss(asked.owner, asked.expected, Missing::Dropped);
        }
        self.forget_before(order);
    }

    /// Forgets what was given up and asked before a place that the peer's answers have reached.
    pub(super) fn forget_before(&mut self, order: u64) {
        let open = &self.open;
        self.asked.retain(|asked| asked.order >= order || (open.contains_key(&asked.owner) && !asked.is_overdue));
    }

    /// Lets deadlines pass.
    pub(super) fn expire(&mut self, clock: &Patience, now: Duration) {
        let due = |asked: &&mut Asked<Id>| !asked.is_overdue && clock.is_due(asked.deadline, now);
        let mut late = Vec::new();
        for asked in self.asked.iter_mut().filter(due) {
            asked.is_overdue = true;
            late.push((asked.owner, asked.expected.clone()));
        }
        for (owner, expected) in late {
            self.miss(owner, expected, Missing::TimedOut);
        }
    }

    /// Returns the first deadline and the request it is for.
    pub(super) fn deadline(&self) -> Option<(Duration, RequestId)> {
        let runs = |asked: &&Asked<Id>| !asked.is_overdue && self.open.contains_key(&asked.owner);
        self.asked.iter().filter(runs).map(|asked| (asked.deadline, asked.owner)).min()
    }

    pub(super) fn cancel(&mut self, id: RequestId) {
        self.open.remove(&id);
    }

    /// Forgets everything and returns the requests that were open.
    pub(super) fn close(&mut self) -> Vec<RequestId> {
        self.asked.clear();
        std::mem::take(&mut self.open).into_keys().collect()
    }

    pub(super) fn poll(&mut self) -> Option<Fetched<T, Id>> {
        self.done.pop_front()
    }

    /// Strikes a thing off the first message that asked for it; returns whose message it was.
    fn expect_no_more(&mut self, id: Id) -> Option<RequestId> {
        let at = self.asked.iter_mut().position(|asked| asked.expected.remove(&id))?;
        let owner = self.asked[at].owner;
        if self.asked[at].expected.is_empty() {
            self.asked.remove(at);
        }
        Some(owner)
    }

    fn miss(&mut self, owner: RequestId, ids: impl IntoIterator<Item = Id>, reason: Missing) {
        if let Some(gathering) = self.open.get_mut(&owner) {
            for id in ids {
                if gathering.wanted.remove(&id) {
                    gathering.answer.missing.push((id, reason));
                }
            }
            self.finish(owner);
        }
    }

    fn finish(&mut self, id: RequestId) {
        if self.open.get(&id).is_some_and(|gathering| gathering.wanted.is_empty())
            && let Some(Gathering { answer, .. }) = self.open.remove(&id)
        {
            let is_late = !answer.missing.is_empty() && answer.missing.iter().all(|(_, why)| *why == Missing::TimedOut);
            let result = if answer.found.is_empty() && is_late { Err(RequestError::TimedOut) } else { Ok(answer) };
            self.done.push_back((id, result));
        }
    }
}

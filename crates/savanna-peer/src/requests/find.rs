//! Questions whose answers carry no name: at most one of each kind is open, and a fence behind each delimits it.

use std::collections::VecDeque;
use std::time::Duration;

use savanna_wire::{AddrV2, BlockHash, BlockHeader, TransactionId};

use crate::patience::Patience;
use crate::{MAX_BLOCK_HASHES, RequestError, RequestId, RequestKind, Response};

/// How long an `addr` may follow the fence behind its `getaddr`.
///
/// A peer that answers in order has answered by then; one that spreads its answers at random (zcashd, over minutes) cannot be
/// waited for. What came until then, if only one entry or none, is the answer.
const ADDRESSES_LINGER: Duration = Duration::from_secs(2);

/// How many questions of one kind that were given up may still be open at the peer before the next is refused.
const MAX_GIVEN_UP: usize = 4;

/// How many pings may be on their way.
const MAX_PINGS: usize = 8;

/// What answers a question.
#[derive(Debug)]
pub(super) enum Wants {
    /// Its own `pong`.
    Pong { sent: Duration },
    /// An `addr` of more than one entry. One entry may be the peer's own announcement: it is kept for want of better.
    Peers { one: Option<AddrV2>, is_past_fence: bool },
    /// An `inv` of blocks. One block that is not the stop may be news: it is held until the next message shows.
    BlockHashes { stop: Option<BlockHash>, held: Option<BlockHash> },
    /// A `headers`.
    Headers,
    /// An `inv` of transactions only.
    TransactionIds,
}

impl Wants {
    const fn kind(&self) -> RequestKind {
        match self {
            Self::Pong { .. } => RequestKind::Ping,
            Self::Peers { .. } => RequestKind::Peers,
            Self::BlockHashes { .. } => RequestKind::FindBlocks,
            Self::Headers => RequestKind::FindHeaders,
            Self::TransactionIds => RequestKind::MempoolIds,
        }
    }

    /// Returns what it means that the peer answered the fence behind the question and not the question.
    fn silence(self, now: Duration) -> Response {
        match self {
            Self::Pong { sent } => Response::Pong(now.saturating_sub(sent)),
            Self::Peers { one, .. } => Response::Peers(one.into_iter().collect()),
            Self::BlockHashes { held, .. } => Response::BlockHashes(held.into_iter().collect()),
            Self::Headers => Response::Headers(Vec::new()),
            Self::TransactionIds => Response::TransactionIds(Vec::new()),
        }
    }
}

#[derive(Debug)]
struct Asked {
    order: u64,
    /// Nobody, once the question was cancelled or its time is over: the answer is then taken and dropped.
    owner: Option<RequestId>,
    deadline: Duration,
    wants: Wants,
}

/// The questions that the peer has not yet answered, in the order in which it will.
#[derive(Debug, Default)]
pub(super) struct Find {
    asked: VecDeque<Asked>,
    done: VecDeque<(RequestId, Result<Response, RequestError>)>,
}

impl Find {
    /// Returns whether no further question of a kind may be asked.
    pub(super) fn is_busy(&self, kind: RequestKind) -> bool {
        let most = if kind == RequestKind::Ping { MAX_PINGS } else { 1 };
        let of_kind = || self.asked.iter().filter(|asked| asked.wants.kind() == kind);
        let open = of_kind().filter(|asked| asked.owner.is_some()).count();
        open >= most || of_kind().count() >= most + MAX_GIVEN_UP
    }

    pub(super) fn ask(&mut self, owner: RequestId, order: u64, deadline: Duration, wants: Wants) {
        if matches!(wants, Wants::Peers { .. }) {
            self.asked.retain(|asked| !matches!(asked.wants, Wants::Peers { is_past_fence: true, .. }));
        }
        self.asked.push_back(Asked { order, owner: Some(owner), deadline, wants });
    }

    /// Takes addresses; returns whether they had been asked for.
    pub(super) fn addresses(&mut self, entries: &[AddrV2]) -> bool {
        let Some(at) = self.first(RequestKind::Peers) else { return false };
        if entries.len() > 1 {
            self.answer(at, || Response::Peers(entries.to_vec()));
            return true;
        }
        if let Wants::Peers { one, .. } = &mut self.asked[at].wants {
            *one = one.or(entries.first().copied());
        }
        entries.is_empty()
    }

    /// Takes announced blocks; returns whether they had been asked for, or may have been.
    pub(super) fn block_hashes(&mut self, hashes: &[BlockHash]) -> bool {
        let Some(at) = self.first(RequestKind::FindBlocks) else { return false };
        let has_owner = self.asked[at].owner.is_some();
        if let ([one], Wants::BlockHashes { stop, held }) = (hashes, &mut self.asked[at].wants)
            && *stop != Some(*one)
        {
            if has_owner {
                *held = Some(*one);
            }
            return has_owner;
        }
        self.answer(at, || Response::BlockHashes(hashes.iter().take(MAX_BLOCK_HASHES).copied().collect()));
        true
    }

    /// Returns the block that was held as a possible answer and turned out to be news.
    pub(super) fn release(&mut self) -> Option<BlockHash> {
        self.asked.iter_mut().find_map(|asked| match &mut asked.wants {
            Wants::BlockHashes { held, .. } => held.take(),
            Wants::Pong { .. } | Wants::Peers { .. } | Wants::Headers | Wants::TransactionIds => None,
        })
    }

    /// Returns whether the fence at a place belongs to the question that holds a block.
    pub(super) fn holds_at(&self, order: u64) -> bool {
        let holds = |wants: &Wants| matches!(wants, Wants::BlockHashes { held: Some(_), .. });
        self.asked.iter().any(|asked| asked.order == order && asked.owner.is_some() && holds(&asked.wants))
    }

    /// Takes headers; returns whether they had been asked for.
    pub(super) fn headers(&mut self, headers: Vec<BlockHeader>) -> bool {
        let Some(at) = self.first(RequestKind::FindHeaders) else { return false };
        self.answer(at, || Response::Headers(headers));
        true
    }

    /// Takes announced transactions; gives them back if they are news.
    pub(super) fn transaction_ids(&mut self, ids: Vec<TransactionId>) -> Result<(), Vec<TransactionId>> {
        let Some(at) = self.first(RequestKind::MempoolIds) else { return Err(ids) };
        if self.asked[at].owner.is_none() {
            self.asked.remove(at);
            return if ids.is_empty() { Ok(()) } else { Err(ids) };
        }
        self.answer(at, || Response::TransactionIds(ids));
        Ok(())
    }

    /// Ends the question at a place whose fence was answered, and forgets what was given up before it.
    pub(super) fn fence(&mut self, order: u64, clock: &Patience, now: Duration) {
        self.forget_before(order);
        let Some(at) = self.asked.iter().position(|asked| asked.order == order) else { return };
        if let Wants::Peers { is_past_fence, .. } = &mut self.asked[at].wants {
            *is_past_fence = true;
            let linger = clock.read(now).saturating_add(ADDRESSES_LINGER);
            self.asked[at].deadline = self.asked[at].deadline.min(linger);
        } else if let Some(Asked { owner: Some(owner), wants, .. }) = self.asked.remove(at) {
            self.done.push_back((owner, Ok(wants.silence(now))));
        }
    }

    /// Forgets what was given up and asked before a place that the peer's answers have reached.
    pub(super) fn forget_before(&mut self, order: u64) {
        self.asked.retain(|asked| asked.owner.is_some() || asked.order >= order);
    }

    /// Lets deadlines pass.
    pub(super) fn expire(&mut self, clock: &Patience, now: Duration) {
        for asked in self.asked.iter_mut().filter(|asked| clock.is_due(asked.deadline, now)) {
            let Some(owner) = asked.owner.take() else { continue };
            let result = match asked.wants {
                Wants::Peers { one: Some(one), .. } => Ok(Response::Peers(vec![one])),
                Wants::Peers { one: None, is_past_fence: true } => Ok(Response::Peers(Vec::new())),
                Wants::Peers { one: None, is_past_fence: false }
                | Wants::Pong { .. }
                | Wants::BlockHashes { .. }
                | Wants::Headers
                | Wants::TransactionIds => Err(RequestError::TimedOut),
            };
            self.done.push_back((owner, result));
        }
    }

    /// Returns the first deadline and the request it is for.
    pub(super) fn deadline(&self) -> Option<(Duration, RequestId)> {
        self.asked.iter().filter_map(|asked| Some((asked.deadline, asked.owner?))).min()
    }

    pub(super) fn cancel(&mut self, id: RequestId) {
        for asked in self.asked.iter_mut().filter(|asked| asked.owner == Some(id)) {
            asked.owner = None;
        }
    }

    /// Forgets everything and returns the requests that were open.
    pub(super) fn close(&mut self) -> Vec<RequestId> {
        std::mem::take(&mut self.asked).into_iter().filter_map(|asked| asked.owner).collect()
    }

    pub(super) fn poll(&mut self) -> Option<(RequestId, Result<Response, RequestError>)> {
        self.done.pop_front()
    }

    /// Finds the question of a kind that the peer answers next.
    fn first(&self, kind: RequestKind) -> Option<usize> {
        self.asked.iter().position(|asked| asked.wants.kind() == kind)
    }

    fn answer(&mut self, at: usize, response: impl FnOnce() -> Response) {
        if let Some(Asked { owner: Some(owner), .. }) = self.asked.remove(at) {
            self.done.push_back((owner, Ok(response())));
        }
    }
}

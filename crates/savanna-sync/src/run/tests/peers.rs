//! Peers in this process: services that answer from a chain, each with its habits.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use savanna_peer::{CloseReason, Missing, Partial, Request, RequestError, Response};
use savanna_sim::regtest::with_wrong_body;
use savanna_wire::{Block, BlockHash};
use tower::Service;

use crate::Peer;

/// How a peer answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Habit {
    /// Time before an answer with headers.
    pub(super) headers_take: Duration,
    /// It sends no more headers than these in an answer.
    pub(super) headers_at_most: Option<usize>,
    /// Time for each block.
    pub(super) pace: Duration,
    /// Once it has sent so many blocks it answers no question for blocks.
    pub(super) silent_after: Option<usize>,
    /// Its bodies are wrong.
    pub(super) lies: bool,
    /// Its headers do not link.
    pub(super) invents: bool,
    /// It drops what is beyond so many blocks.
    pub(super) at_most: Option<usize>,
    /// Heights that it lacks.
    pub(super) lacks: Range<usize>,
    /// It closes its connection once it has sent so many blocks.
    pub(super) closes_after: Option<usize>,
    /// Once it has sent so many blocks it has this chain.
    pub(super) grows: VecDeque<(usize, Vec<Block>)>,
}

#[derive(Debug)]
struct State {
    habit: Habit,
    chain: Vec<Block>,
    heights: BTreeMap<BlockHash, usize>,
    sent: usize,
}

/// A service that answers as a peer does.
#[derive(Debug, Clone)]
pub(super) struct Fake(Arc<Mutex<State>>);

/// What connections were closed, and why.
pub(super) type Closed = Arc<Mutex<BTreeMap<u32, CloseReason>>>;

/// Makes a peer with a chain.
pub(super) fn peer(id: u32, chain: &[Block], habit: Habit, closed: &Closed) -> Peer<u32, Fake> {
    let mut state = State { habit, chain: Vec::new(), heights: BTreeMap::new(), sent: 0 };
    state.take(chain.to_vec());
    let closed = Arc::clone(closed);
    let close = move |reason| assert_eq!(closed.lock().unwrap().insert(id, reason), None, "closed twice");
    Peer::new(id, Fake(Arc::new(Mutex::new(state))), close)
}

impl Service<Request> for Fake {
    type Response = Response;
    type Error = RequestError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, RequestError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut state = self.0.lock().unwrap();
        let (after, answer) = if let Request::FindHeaders { locator, .. } = &request {
            state.headers(locator)
        } else if let Request::Blocks(hashes) = &request {
            state.blocks(hashes)
        } else {
            panic!("a synchronisation does not ask {request:?}")
        };
        drop(state);
        Box::pin(async move {
            match after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            answer
        })
    }
}

impl State {
    fn take(&mut self, chain: Vec<Block>) {
        self.heights = chain.iter().enumerate().map(|(height, block)| (block.hash(), height)).collect();
        self.chain = chain;
    }

    fn headers(&self, locator: &[BlockHash]) -> (Option<Duration>, Result<Response, RequestError>) {
        let fork = locator.iter().find_map(|hash| self.heights.get(hash)).expect("everyone shares the genesis block");
        let following = self.chain[fork + 1..].iter().map(|block| block.header().clone());
        let most = self.habit.headers_at_most.unwrap_or(160);
        let headers =
            if self.habit.invents { following.step_by(2).take(160).collect() } else { following.take(most).collect() };
        (Some(self.habit.headers_take), Ok(Response::Headers(headers)))
    }

    fn blocks(&mut self, hashes: &[BlockHash]) -> (Option<Duration>, Result<Response, RequestError>) {
        assert!(hashes.len() <= 16);
        if self.habit.closes_after.is_some_and(|limit| self.sent >= limit) {
            return (Some(Duration::ZERO), Err(RequestError::Closed(CloseReason::ClosedByPeer)));
        }
        if self.habit.silent_after.is_some_and(|limit| self.sent >= limit) {
            return (None, Err(RequestError::TimedOut));
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for &hash in hashes {
            match self.heights.get(&hash) {
                Some(height) if self.habit.lacks.contains(height) => missing.push((hash, Missing::NotFound)),
                None => missing.push((hash, Missing::NotFound)),
                Some(_) if self.habit.at_most.is_some_and(|most| found.len() >= most) => {
                    missing.push((hash, Missing::Dropped));
                }
                Some(&height) if self.habit.lies => found.push(with_wrong_body(&self.chain[height])),
                Some(&height) => found.push(self.chain[height].clone()),
            }
        }
        self.sent += found.len();
        if self.habit.grows.front().is_some_and(|(limit, _)| self.sent >= *limit)
            && let Some((_, chain)) = self.habit.grows.pop_front()
        {
            self.take(chain);
        }
        let takes = self.habit.pace * u32::try_from(found.len()).unwrap();
        let answer = Ok(Response::Blocks(Partial { found, missing }));
        (Some(takes), answer)
    }
}

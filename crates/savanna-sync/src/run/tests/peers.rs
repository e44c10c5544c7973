//! A peer set of peers in this process, which answer from a chain, each with its habits.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use savanna_net::{Clock, PeerAddr, PeerId, Tasks, session_config};
use savanna_peer::{CloseReason, Direction, Missing, Partial, PeerInfo, Request, RequestError, Response};
use savanna_peerset::{Config, Peer, PeerSet};
use savanna_sim::regtest::with_wrong_body;
use savanna_wire::{Block, BlockHash, Network, Services, Version, VersionAddr};
use tokio::sync::watch;

/// How a peer answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Habit {
    /// It answers questions for hashes with none.
    pub(super) unlisted: bool,
    /// It lists hashes of nothing: each but those at so many heights is another.
    pub(super) mislists: Option<usize>,
    /// Time before an answer with headers or hashes.
    pub(super) headers_take: Duration,
    /// It sends no more headers or hashes than these in an answer.
    pub(super) headers_at_most: Option<usize>,
    /// It answers no question for headers or hashes.
    pub(super) hides: bool,
    /// Time for each block.
    pub(super) pace: Duration,
    /// Once it has sent so many blocks it answers no question for blocks.
    pub(super) silent_after: Option<usize>,
    /// Its bodies are wrong.
    pub(super) lies: bool,
    /// It knows no hash of any locator, and answers from the first block on.
    pub(super) stranger: bool,
    /// Its headers and hashes do not link.
    pub(super) invents: bool,
    /// It answers every question at once, and with nothing.
    pub(super) empty: bool,
    /// It drops what is beyond so many blocks.
    pub(super) at_most: Option<usize>,
    /// Heights that it lacks.
    pub(super) lacks: Range<usize>,
    /// It closes its connection once it has sent so many blocks.
    pub(super) closes_after: Option<usize>,
    /// Once it has sent so many blocks it has this chain.
    pub(super) grows: VecDeque<(usize, Vec<Block>)>,
}

/// Why we closed which connections.
pub(super) type Closed = Arc<Mutex<BTreeMap<PeerId, CloseReason>>>;

/// A peer set, and what it runs on.
pub(super) struct Net {
    pub(super) set: PeerSet,
    pub(super) closed: Closed,
    peers: Vec<Arc<Mutex<State>>>,
    _tasks: Tasks,
}

impl Net {
    /// Makes a set of peers, each with a chain and a habit.
    pub(super) async fn of(peers: impl IntoIterator<Item = (&[Block], Habit)>) -> Self {
        let tasks = Tasks::new();
        let set = PeerSet::spawn(Config::PUBLIC, [7; 32], None, Clock::start(), &tasks.spawner());
        let mut net = Self { set, closed: Closed::default(), peers: Vec::new(), _tasks: tasks };
        for (chain, habit) in peers {
            net.join(chain, habit).await;
        }
        net
    }

    /// Adds a peer, and returns its number.
    pub(super) async fn join(&mut self, chain: &[Block], habit: Habit) -> PeerId {
        let id = PeerId(u64::try_from(self.peers.len()).unwrap());
        let fake = Fake::new(id, chain, habit, &self.closed);
        self.peers.push(Arc::clone(&fake.state));
        self.set.add(fake).await;
        id
    }

    /// Lets a peer lack blocks.
    pub(super) fn lack(&self, peer: usize, heights: Range<usize>) {
        self.peers[peer].lock().unwrap().habit.lacks = heights;
    }

    /// Lets a peer answer nothing, or all that it is asked.
    pub(super) fn silence(&self, peer: usize, is_silent: bool) {
        let habit = &mut self.peers[peer].lock().unwrap().habit;
        (habit.hides, habit.silent_after) = (is_silent, is_silent.then_some(0));
    }

    /// Gives a peer another chain.
    pub(super) fn give(&self, peer: usize, chain: &[Block]) {
        self.peers[peer].lock().unwrap().take(chain.to_vec());
    }
}

#[derive(Debug)]
struct State {
    habit: Habit,
    chain: Vec<Block>,
    heights: BTreeMap<BlockHash, usize>,
    sent: usize,
}

/// A peer that answers from a chain.
struct Fake {
    id: PeerId,
    info: PeerInfo,
    state: Arc<Mutex<State>>,
    end: watch::Sender<Option<CloseReason>>,
    closed: Closed,
}

type Answer = (Option<Duration>, Result<Response, RequestError>);

impl Fake {
    fn new(id: PeerId, chain: &[Block], habit: Habit, closed: &Closed) -> Self {
        let mut state = State { habit, chain: Vec::new(), heights: BTreeMap::new(), sent: 0 };
        state.take(chain.to_vec());
        let (state, end) = (Arc::new(Mutex::new(state)), watch::Sender::new(None));
        Self { id, info: info(), state, end, closed: Arc::clone(closed) }
    }
}

impl Peer for Fake {
    fn id(&self) -> PeerId {
        self.id
    }

    fn info(&self) -> &PeerInfo {
        &self.info
    }

    fn address(&self) -> Option<PeerAddr> {
        None
    }

    fn round_trip(&self) -> Option<Duration> {
        None
    }

    fn ask(&self, request: Request) -> BoxFuture<'static, Result<Response, RequestError>> {
        let mut state = self.state.lock().unwrap();
        let (after, answer) = if let Request::FindHeaders { locator, .. } = &request {
            state.headers(locator)
        } else if let Request::FindBlocks { locator, stop } = &request {
            state.hashes(locator, *stop)
        } else if let Request::Blocks(hashes) = &request {
            state.blocks(hashes)
        } else {
            panic!("a synchronisation does not ask {request:?}")
        };
        if let Err(RequestError::Closed(reason)) = &answer {
            self.end.send_replace(Some(reason.clone()));
        }
        Box::pin(async move {
            match after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            answer
        })
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        let mut end = self.end.subscribe();
        Box::pin(async move { end.wait_for(Option::is_some).await.unwrap().clone().unwrap() })
    }

    fn close(&self, reason: CloseReason) {
        assert_eq!(self.closed.lock().unwrap().insert(self.id, reason.clone()), None, "closed twice");
        self.end.send_replace(Some(reason));
    }
}

impl State {
    fn take(&mut self, chain: Vec<Block>) {
        self.heights = chain.iter().enumerate().map(|(height, block)| (block.hash(), height)).collect();
        self.chain = chain;
    }

    fn headers(&self, locator: &[BlockHash]) -> Answer {
        let fork = locator.iter().find_map(|hash| self.heights.get(hash)).expect("everyone shares the genesis block");
        let first = if self.habit.stranger { 0 } else { fork + 1 };
        let following = self.chain[first..].iter().map(|block| block.header().clone());
        let most = if self.habit.empty { 0 } else { self.habit.headers_at_most.unwrap_or(160) };
        let headers =
            if self.habit.invents { following.step_by(2).take(160).collect() } else { following.take(most).collect() };
        let after = (!self.habit.hides).then_some(self.habit.headers_take);
        (after, Ok(Response::Headers(headers)))
    }

    fn hashes(&self, locator: &[BlockHash], stop: Option<BlockHash>) -> Answer {
        let fork = locator.iter().find_map(|hash| self.heights.get(hash)).unwrap_or(&0);
        let last = stop.and_then(|stop| self.heights.get(&stop).copied()).unwrap_or(usize::MAX);
        let following = self.chain.iter().enumerate().skip(fork + 1).take(last.saturating_sub(*fork));
        let following = following.map(|(height, block)| match self.habit.mislists {
            Some(every) if !height.is_multiple_of(every) => BlockHash(savanna_wire::sha256d(&block.hash().0)),
            Some(_) | None => block.hash(),
        });
        let most = if self.habit.empty || self.habit.unlisted { 0 } else { self.habit.headers_at_most.unwrap_or(500) };
        let hashes =
            if self.habit.invents { following.step_by(2).take(500).collect() } else { following.take(most).collect() };
        let after = (!self.habit.hides).then_some(self.habit.headers_take);
        (after, Ok(Response::BlockHashes(hashes)))
    }

    fn blocks(&mut self, hashes: &[BlockHash]) -> Answer {
        assert!(hashes.len() <= 16);
        if self.habit.closes_after.is_some_and(|limit| self.sent >= limit) {
            return (Some(Duration::ZERO), Err(RequestError::Closed(CloseReason::ClosedByPeer)));
        }
        if self.habit.silent_after.is_some_and(|limit| self.sent >= limit) {
            return (None, Err(RequestError::TimedOut));
        }
        if self.habit.empty {
            let missing = hashes.iter().map(|&hash| (hash, Missing::Dropped)).collect();
            return (Some(Duration::ZERO), Ok(Response::Blocks(Partial { found: Vec::new(), missing })));
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
        (Some(takes), Ok(Response::Blocks(Partial { found, missing })))
    }
}

fn info() -> PeerInfo {
    let config = session_config(Network::Regtest);
    let remote = Version {
        version: config.version,
        services: Services::NODE_NETWORK,
        time: 0,
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr::UNSPECIFIED,
        nonce: 0,
        user_agent: config.user_agent,
        height: 0,
        relay: false,
    };
    PeerInfo { direction: Direction::Outbound, remote, negotiated: config.version }
}

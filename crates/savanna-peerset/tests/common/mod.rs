//! Stand-ins for peers, without sockets.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use savanna_net::{Clock, PeerId, Tasks, session_config};
use savanna_peer::{
    CloseReason, Direction, Gossip, Missing, Partial, PeerInfo, Request, RequestError as PeerError, Response,
};
use savanna_peerset::{Config, Peer, PeerSet};
use savanna_wire::{
    Block, BlockHash, BlockHeader, MerkleRoot, Network, PeerAddr, Services, Solution, Version, VersionAddr,
};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

pub(crate) const SEED: [u8; 32] = [7; 32];

/// Longer than anything takes that is awaited here.
pub(crate) async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(600), awaited).await.expect("it takes too long")
}

/// Lets every task run that can.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A set, and what it runs on.
pub(crate) struct Net {
    pub(crate) set: PeerSet,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) gossip: mpsc::Sender<(PeerId, Gossip)>,
}

impl Net {
    pub(crate) fn new() -> Self {
        let (tasks, clock) = (Tasks::new(), Clock::start());
        let (gossip, heard) = mpsc::channel(16);
        let set = PeerSet::spawn(Config::PUBLIC, SEED, Some(heard), clock, &tasks.spawner());
        Self { set, clock, tasks, gossip }
    }

    pub(crate) async fn add(&self, peer: &Fake) {
        self.set.add(peer.clone()).await;
        settle().await;
    }
}

type Behaviour = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, PeerError>> + Send + Sync>;

/// A peer that does what it is told, and notes what it is asked.
#[derive(Clone)]
pub(crate) struct Fake {
    id: PeerId,
    info: PeerInfo,
    address: Option<PeerAddr>,
    behaviour: Behaviour,
    /// How many questions were put to it, and how many of them are still waited for.
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) waiting: Arc<AtomicUsize>,
    pub(crate) closed: Arc<watch::Sender<Option<CloseReason>>>,
}

impl Fake {
    pub(crate) fn new<F>(id: u64, behaviour: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Response, PeerError>> + Send + 'static,
    {
        Self {
            id: PeerId(id),
            info: info(),
            address: None,
            behaviour: Arc::new(move |request| behaviour(request).boxed()),
            asked: Arc::default(),
            waiting: Arc::default(),
            closed: Arc::new(watch::Sender::new(None)),
        }
    }

    /// A peer that answers all questions after a while, from a chain that it holds.
    pub(crate) fn serving(id: u64, chain: &Arc<Vec<Block>>, delay: Duration) -> Self {
        let chain = Arc::clone(chain);
        Self::new(id, move |request| {
            let response = serve(&chain, request);
            async move {
                tokio::time::sleep(delay).await;
                Ok(response)
            }
        })
    }

    /// A peer that never answers.
    pub(crate) fn silent(id: u64) -> Self {
        Self::new(id, |_| pending())
    }

    /// A peer that dialled us.
    pub(crate) const fn inbound(mut self) -> Self {
        self.info.direction = Direction::Inbound;
        self
    }

    /// A peer at an address.
    pub(crate) fn at<F>(id: u64, address: PeerAddr, behaviour: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Response, PeerError>> + Send + 'static,
    {
        Self { address: Some(address), ..Self::new(id, behaviour) }
    }

    pub(crate) fn number(&self) -> u64 {
        self.id.0
    }

    pub(crate) fn hang_up(&self) {
        self.end(CloseReason::ClosedByPeer);
    }

    pub(crate) fn end(&self, reason: CloseReason) {
        self.closed.send_replace(Some(reason));
    }

    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.closed.borrow().clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how many copies of the peer are held, this one included.
    pub(crate) fn copies(&self) -> usize {
        Arc::strong_count(&self.behaviour)
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
        self.address
    }

    fn round_trip(&self) -> Option<Duration> {
        None
    }

    fn ask(&self, request: Request) -> BoxFuture<'static, Result<Response, PeerError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (answer, guard) = ((self.behaviour)(request), Waiting(Arc::clone(&self.waiting)));
        async move {
            let _guard = guard;
            answer.await
        }
        .boxed()
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        let mut closed = self.closed.subscribe();
        async move { closed.wait_for(Option::is_some).await.unwrap().clone().unwrap() }.boxed()
    }

    fn close(&self, reason: CloseReason) {
        self.closed.send_replace(Some(reason));
    }
}

struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

/// Answers as a peer that holds a chain.
pub(crate) fn serve(chain: &[Block], request: Request) -> Response {
    match request {
        Request::Ping => Response::Pong(Duration::from_millis(1)),
        Request::FindBlocks { locator, .. } => {
            let known = chain.iter().position(|block| locator.contains(&block.hash()));
            let from = known.map_or(0, |at| at + 1);
            Response::BlockHashes(chain[from..].iter().take(500).map(Block::hash).collect())
        }
        Request::Blocks(hashes) => {
            let find = |hash: &BlockHash| chain.iter().find(|block| block.hash() == *hash).cloned();
            let missing = hashes.iter().filter(|hash| find(hash).is_none()).map(|hash| (*hash, Missing::NotFound));
            Response::Blocks(Partial { found: hashes.iter().filter_map(find).collect(), missing: missing.collect() })
        }
        _ => Response::Nil,
    }
}

/// Makes blocks that follow each other.
pub(crate) fn chain(length: u32, block_len: usize) -> Arc<Vec<Block>> {
    let mut previous = BlockHash::ZERO;
    let blocks = (0..length).map(|time| {
        let header = BlockHeader {
            version: 4,
            previous,
            merkle_root: MerkleRoot([0; 32]),
            commitment: [0; 32],
            time,
            bits: 0x200f_0f0f,
            nonce: [0; 32],
            solution: Solution::new([0; 36]).unwrap(),
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        bytes.resize(block_len, 0);
        let block = Block::new(bytes.into()).unwrap();
        previous = block.hash();
        block
    });
    Arc::new(blocks.collect())
}

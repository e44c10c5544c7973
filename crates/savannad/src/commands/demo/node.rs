//! What the demo's nodes answer: the first blocks of mainnet, each in its own manner.

use std::convert::Infallible;
use std::future::{Future, Ready, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use anyhow::Context as _;
use bytes::Bytes;
use savanna_peer::{Missing, Partial, Request, Response};
use savanna_wire::{Block, BlockHash};
use tower::Service;

/// The blocks 0 to 10 of mainnet, each behind its length as four little-endian bytes.
static MAINNET_0_TO_10: &[u8] = include_bytes!("../../../data/mainnet-0-10.bin");

/// A short chain in memory, oldest block first.
#[derive(Debug, Clone)]
pub(super) struct Chain(Arc<[Block]>);

impl Chain {
    /// Reads the embedded blocks.
    pub(super) fn mainnet() -> anyhow::Result<Self> {
        let mut rest = MAINNET_0_TO_10;
        let mut blocks = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length))?;
            let (bytes, after) = after.split_at_checked(length).context("the embedded blocks are cut short")?;
            blocks.push(Block::new(Bytes::from_static(bytes))?);
            rest = after;
        }
        Ok(Self(blocks.into()))
    }

    /// Returns the height of the last block.
    pub(super) fn height(&self) -> u32 {
        u32::try_from(self.0.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn genesis(&self) -> BlockHash {
        self.0.first().map_or(BlockHash::ZERO, Block::hash)
    }

    fn find(&self, hash: BlockHash) -> Option<&Block> {
        self.0.iter().find(|block| block.hash() == hash)
    }

    /// Returns the blocks after the last one that the locator shares with this chain.
    fn after(&self, locator: &[BlockHash]) -> &[Block] {
        let shared = self.0.iter().rposition(|block| locator.contains(&block.hash()));
        &self.0[shared.map_or(0, |at| at + 1)..]
    }
}

/// How a node treats those who ask it for blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Delivers them.
    Honest,
    /// Never answers.
    Stalls,
    /// Delivers the right header with a changed body.
    Lies,
}

impl Manner {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::Stalls => "stalls",
            Self::Lies => "lies",
        }
    }
}

/// How many blocks a node was asked for and has sent.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) asked: AtomicUsize,
    pub(super) sent: AtomicUsize,
}

/// The inbound service of a demo node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    chain: Chain,
    manner: Manner,
    tally: Arc<Tally>,
}

impl Node {
    pub(super) fn new(chain: Chain, manner: Manner) -> Self {
        Self { chain, manner, tally: Arc::default() }
    }

    pub(super) fn height(&self) -> u32 {
        self.chain.height()
    }

    /// Returns the hash of its first block.
    pub(super) fn genesis(&self) -> BlockHash {
        self.chain.genesis()
    }

    pub(super) const fn manner(&self) -> Manner {
        self.manner
    }

    pub(super) const fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    fn answer(&self, request: &Request) -> Response {
        match request {
            Request::FindHeaders { locator, .. } => {
                Response::Headers(self.chain.after(locator).iter().map(|block| block.header().clone()).collect())
            }
            Request::FindBlocks { locator, .. } => {
                Response::BlockHashes(self.chain.after(locator).iter().map(Block::hash).collect())
            }
            Request::Blocks(hashes) => Response::Blocks(self.blocks(hashes)),
            Request::Ping
            | Request::Peers
            | Request::Transactions(_)
            | Request::MempoolIds
            | Request::PushTransaction(_)
            | Request::AdvertiseTransactions(_)
            | Request::AdvertiseBlock(_)
            | Request::AdvertisePeers(_) => Response::Nil,
        }
    }

    fn blocks(&self, hashes: &[BlockHash]) -> Partial<Block, BlockHash> {
        let mut answer = Partial::complete(Vec::new());
        for hash in hashes {
            match self.chain.find(*hash).and_then(|block| self.deliver(block)) {
                Some(block) => {
                    self.tally.sent.fetch_add(1, Ordering::Relaxed);
                    answer.found.push(block);
                }
                None => answer.missing.push((*hash, Missing::NotFound)),
            }
        }
        answer
    }

    fn deliver(&self, block: &Block) -> Option<Block> {
        if self.manner != Manner::Lies {
            return Some(block.clone());
        }
        let mut bytes = block.bytes().to_vec();
        *bytes.last_mut()? ^= 1;
        Block::new(bytes.into()).ok()
    }
}

impl Service<Request> for Node {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if let Request::Blocks(hashes) = &request {
            self.tally.asked.fetch_add(hashes.len(), Ordering::Relaxed);
        }
        if self.manner == Manner::Stalls && matches!(request, Request::Blocks(_)) {
            return Box::pin(pending());
        }
        let answer: Ready<_> = ready(Ok(self.answer(&request)));
        Box::pin(answer)
    }
}

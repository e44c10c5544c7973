//! A network of stand-ins under a virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;
use savanna_peer::MAX_GETDATA_BLOCKS;
use savanna_wire::{Block, BlockHash, BlockHeader, MerkleRoot, Solution};

use super::super::*;
use crate::Fetched;
use crate::load::WIDEST_WINDOW;
use crate::network::MAX_SMALL;
use crate::request::is_exclusive;

/// Blocks that are told apart by their nonces.
pub(super) static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| (0..600).map(block).collect());

fn block(number: u16) -> Block {
    let mut nonce = [0; 32];
    nonce[..2].copy_from_slice(&number.to_be_bytes());
    let header = BlockHeader {
        version: 4,
        previous: BlockHash::ZERO,
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: 0,
        bits: 0x200f_0f0f,
        nonce,
        solution: Solution::new([0; 36]).unwrap(),
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.resize(1_000, 0);
    Block::new(Bytes::from(bytes)).unwrap()
}

pub(super) fn hashes(range: std::ops::Range<usize>) -> Vec<BlockHash> {
    BLOCKS[range].iter().map(Block::hash).collect()
}

pub(super) fn find(hash: BlockHash) -> Block {
    static BY_HASH: LazyLock<BTreeMap<BlockHash, Block>> =
        LazyLock::new(|| BLOCKS.iter().map(|block| (block.hash(), block.clone())).collect());
    BY_HASH[&hash].clone()
}

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) const SERVES: Traits = Traits { serves_chain: true, round_trip: None };

/// A question at a stand-in.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) call: CallId,
    pub(super) peer: PeerId,
    /// For which request.
    pub(super) of: RequestId,
    pub(super) request: Request,
}

impl Asked {
    pub(super) fn hashes(&self) -> Vec<BlockHash> {
        match &self.request {
            Request::Blocks(hashes) => hashes.clone(),
            other => panic!("asked {other:?}"),
        }
    }
}

/// A set with everything that it wants written down and checked.
pub(super) struct World {
    pub(super) set: Set,
    pub(super) now: Duration,
    pub(super) peers: BTreeSet<PeerId>,
    pub(super) asked: Vec<Asked>,
    pub(super) total_asked: usize,
    pub(super) open: BTreeMap<RequestId, Ask>,
    pub(super) done: BTreeMap<RequestId, Result<Outcome, RequestError>>,
    pub(super) fetched: BTreeMap<RequestId, Vec<Fetched>>,
    next: u64,
}

impl World {
    pub(super) fn new(config: Config, seed: u8) -> Self {
        Self {
            set: Set::new(config, [seed; 32], Duration::ZERO),
            now: Duration::ZERO,
            peers: BTreeSet::new(),
            asked: Vec::new(),
            total_asked: 0,
            open: BTreeMap::new(),
            done: BTreeMap::new(),
            fetched: BTreeMap::new(),
            next: 0,
        }
    }

    pub(super) fn with_peers(count: u64, seed: u8) -> Self {
        let mut world = Self::new(Config::PUBLIC, seed);
        (0..count).for_each(|peer| world.join(PeerId(peer), SERVES));
        world
    }

    pub(super) fn join(&mut self, peer: PeerId, traits: Traits) {
        self.peers.insert(peer);
        self.set.handle_joined(peer, traits, self.now);
        self.drain();
    }

    pub(super) fn leave(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.set.handle_left(peer, self.now);
        self.drain();
        assert!(self.asked.iter().all(|asked| asked.peer != peer), "{peer} still holds something");
    }

    pub(super) fn ask(&mut self, ask: Ask) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        self.open.insert(id, ask.clone());
        self.set.request(id, ask, self.now);
        self.drain();
        id
    }

    pub(super) fn cancel(&mut self, id: RequestId) {
        self.open.remove(&id);
        self.set.cancel(id, self.now);
        self.drain();
    }

    /// Takes a question from the list and answers it.
    pub(super) fn answer(&mut self, call: CallId, result: Result<Response, savanna_peer::RequestError>) {
        self.asked.retain(|asked| asked.call != call);
        self.set.handle_response(call, result, self.now);
        self.drain();
    }

    /// Answers with all that is asked for.
    pub(super) fn serve(&mut self, asked: &Asked) {
        let found = asked.hashes().into_iter().map(find).collect();
        self.answer(asked.call, Ok(Response::Blocks(Partial::complete(found))));
    }

    pub(super) fn refuse(&mut self, asked: &Asked, why: Missing) {
        let missing = asked.hashes().into_iter().map(|hash| (hash, why)).collect();
        self.answer(asked.call, Ok(Response::Blocks(Partial { found: Vec::new(), missing })));
    }

    /// Reads so many bytes of a stream.
    pub(super) fn read(&mut self, id: RequestId, bytes: u64) {
        self.set.handle_taken(id, bytes, self.now);
        self.drain();
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(when) = self.set.poll_timeout().filter(|when| *when <= end) {
            self.now = self.now.max(when);
            self.set.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Returns what a peer is being asked.
    pub(super) fn at(&self, peer: u64) -> Vec<Asked> {
        self.asked.iter().filter(|asked| asked.peer == PeerId(peer)).cloned().collect()
    }

    pub(super) fn result(&self, id: RequestId) -> &Result<Outcome, RequestError> {
        self.done.get(&id).unwrap_or_else(|| panic!("{id:?} has not ended"))
    }

    /// Checks that nothing is held any more.
    pub(super) fn assert_idle(&self) {
        assert!(self.open.is_empty(), "unfinished: {:?}", self.open);
        assert!(self.asked.is_empty() && self.set.is_idle() && self.set.hungry.is_empty());
        self.set.network.assert_idle();
        for (kind, _, _) in self.set.counts().iter() {
            assert_eq!(self.set.counts().in_flight(kind), 0);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.set.poll_output() {
            match output {
                Output::Call { call, peer, request } => {
                    assert!(self.peers.contains(&peer), "{peer} is asked and is not there");
                    let of = self.set.network.call(call).map_or(RequestId(u64::MAX), |call| call.request);
                    self.asked.push(Asked { call, peer, of, request });
                    self.total_asked += 1;
                }
                Output::Abandon(call) => {
                    let before = self.asked.len();
                    self.asked.retain(|asked| asked.call != call);
                    assert_eq!(self.asked.len(), before - 1, "{call:?} was not in flight");
                }
                Output::Fetched(request, fetched) => {
                    assert!(self.open.contains_key(&request), "{request:?} has ended");
                    if let Ok((_, block)) = &fetched.result {
                        assert_eq!(block.hash(), fetched.hash);
                    }
                    self.fetched.entry(request).or_default().push(fetched);
                }
                Output::Done(request, result) => {
                    let ask = self.open.remove(&request).unwrap_or_else(|| panic!("{request:?} ended twice"));
                    self.check_result(request, &ask, &result);
                    self.done.insert(request, result);
                }
            }
        }
        self.check_peers();
    }

    fn check_result(&self, id: RequestId, ask: &Ask, result: &Result<Outcome, RequestError>) {
        match (ask, result) {
            (_, Err(_)) => {}
            (Ask::One(Request::Blocks(wanted)), Ok(Outcome::Gathered(Response::Blocks(list)))) => {
                let found: Vec<_> = list.found.iter().map(Block::hash).collect();
                let lacking: Vec<_> = list.missing.iter().map(|(hash, _)| *hash).collect();
                let in_order = |part: &[BlockHash]| wanted.iter().filter(|hash| part.contains(hash)).eq(part);
                assert!(in_order(&found) && in_order(&lacking), "another order");
                assert_eq!(found.len() + lacking.len(), wanted.len());
                assert!(found.iter().all(|hash| !lacking.contains(hash)));
            }
            (Ask::One(Request::Transactions(_)), Ok(Outcome::Gathered(Response::Transactions(_)))) => {}
            (Ask::Stream(wanted), Ok(Outcome::Streamed)) => {
                let told = self.fetched.get(&id).map(Vec::as_slice).unwrap_or_default();
                let told_once: BTreeSet<_> = told.iter().map(|fetched| fetched.hash).collect();
                assert_eq!((told.len(), told_once), (wanted.len(), wanted.iter().copied().collect()));
            }
            // Everybody knew it.
            (Ask::One(Request::AdvertiseBlock(_)), Ok(Outcome::Gathered(Response::Nil))) => {}
            (Ask::One(_), Ok(Outcome::Answers(answers))) => assert!(!answers.is_empty()),
            (Ask::Following(..), Ok(Outcome::Answers(answers))) => assert_eq!(answers.len(), 1),
            (Ask::Distinct(_, want) | Ask::Graced(_, want, _), Ok(Outcome::Answers(answers))) => {
                let peers: BTreeSet<_> = answers.iter().map(|answer| answer.peer).collect();
                assert!(peers.len() == answers.len() && (1..=*want).contains(&answers.len()));
            }
            (ask, other) => panic!("{ask:?} ended with {other:?}"),
        }
    }

    fn check_peers(&self) {
        let counts = self.set.peers();
        assert_eq!((counts.total(), counts.ready + counts.unready), (self.peers.len(), self.peers.len()));
        for peer in &self.peers {
            let asked = || self.asked.iter().filter(|asked| asked.peer == *peer);
            let mut all = BTreeSet::new();
            let (mut hashes, mut small, mut kinds) = (0, 0, BTreeSet::new());
            for question in asked() {
                match &question.request {
                    Request::Blocks(list) => {
                        assert!((1..=MAX_GETDATA_BLOCKS).contains(&list.len()));
                        assert!(list.iter().all(|hash| all.insert(*hash)), "asked twice at once");
                        hashes += list.len();
                    }
                    Request::Transactions(ids) => hashes += ids.len(),
                    other => {
                        small += 1;
                        assert!(kinds.insert(other.kind()) || !is_exclusive(other.kind()));
                    }
                }
            }
            assert!(hashes <= WIDEST_WINDOW && small <= MAX_SMALL);
            assert_eq!(hashes, self.set.network.window(*peer).0);
        }
    }
}

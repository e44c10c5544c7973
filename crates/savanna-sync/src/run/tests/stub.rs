//! A source that no peer set is like.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use savanna_peerset::{Fetched, RequestError};
use savanna_wire::Block;

use super::super::*;
use crate::{Found, Listed};

/// Answers from a chain, tells of as many blocks of a question as it likes, and has peers or none.
#[derive(Clone)]
pub(super) struct Stub {
    pub(super) chain: Arc<Vec<Block>>,
    /// Ends a stream after so many blocks.
    pub(super) at_most: usize,
    /// What it says of how many peers it has, by how long it exists.
    pub(super) peers: fn(Duration) -> usize,
    /// Whether it says that others are about to come, by how long it exists.
    pub(super) gathers: fn(Duration) -> bool,
    pub(super) since: Instant,
    pub(super) reported: Arc<Mutex<Vec<PeerId>>>,
}

impl Stub {
    pub(super) fn new(chain: Vec<Block>) -> Self {
        let (chain, since) = (Arc::new(chain), Instant::now());
        Self { chain, at_most: usize::MAX, peers: |_| 1, gathers: |_| false, since, reported: Arc::default() }
    }
}

impl Source for Stub {
    fn find_headers(&self, locator: Vec<BlockHash>, _: Whom) -> BoxFuture<'static, Result<Vec<Found>, RequestError>> {
        if self.peers() == 0 {
            return Box::pin(async { Err(RequestError::NoPeers) });
        }
        // The first of its peers has nothing.
        let is_alone = self.peers() == 1 && self.is_gathering();
        let fork = locator.iter().find_map(|hash| self.chain.iter().position(|block| block.hash() == *hash)).unwrap();
        let most = if is_alone { 0 } else { 160 };
        let headers = self.chain[fork + 1..].iter().take(most).map(|block| block.header().clone()).collect();
        Box::pin(async move { Ok(vec![Found { peer: PeerId(1), headers }]) })
    }

    /// Whoever it stands for lists nothing.
    fn find_blocks(
        &self,
        _: Vec<BlockHash>,
        _: Option<BlockHash>,
        _: Whom,
    ) -> BoxFuture<'static, Result<Vec<Listed>, RequestError>> {
        let result = if self.peers() == 0 { Err(RequestError::NoPeers) } else { Ok(Vec::new()) };
        Box::pin(async { result })
    }

    fn blocks(&self, hashes: Vec<BlockHash>) -> BoxStream<'static, Fetched> {
        let chain = Arc::clone(&self.chain);
        let peers = if self.peers() == 0 { 0 } else { self.at_most };
        let fetched = move |hash: BlockHash| {
            let block = chain.iter().find(|block| block.hash() == hash).cloned();
            block.map(|block| Fetched { hash, result: Ok((PeerId(1), block)) })
        };
        let paced = stream::iter(hashes.into_iter().filter_map(fetched).take(peers));
        paced
            .then(|fetched| async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                fetched
            })
            .boxed()
    }

    fn report(&self, peer: PeerId, _: Offence) {
        self.reported.lock().unwrap().push(peer);
    }

    fn peers(&self) -> usize {
        (self.peers)(self.since.elapsed())
    }

    fn is_gathering(&self) -> bool {
        (self.gathers)(self.since.elapsed())
    }
}

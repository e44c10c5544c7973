//! The network, as far as a synchronisation needs it.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use savanna_net::PeerId;
use savanna_peer::{Offence, Request, Response};
use savanna_peerset::{self as peerset, Fetched, PeerSet, RequestError};
use savanna_wire::{BlockHash, BlockHeader};
use tower::ServiceExt;

use crate::headers::Whom;

/// How long the slower half of several peers has once the quicker half has answered.
const GRACE: Duration = Duration::from_secs(1);

/// Headers that a peer answered with, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The peer.
    pub peer: PeerId,
    /// Its headers.
    pub headers: Vec<BlockHeader>,
}

/// Hashes of blocks that a peer answered with, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The peer.
    pub peer: PeerId,
    /// The hashes.
    pub hashes: Vec<BlockHash>,
}

/// Where a chain comes from: many peers as one. Whom to ask, and whom else when that takes long, is its business.
///
/// A [`PeerSet`] is one.
pub trait Source: Send + Sync + 'static {
    /// Asks for the headers that follow a locator; of several peers, as many as there are.
    ///
    /// Dropping the future cancels.
    ///
    /// # Errors
    /// [`RequestError`] if nobody answers.
    fn find_headers(&self, locator: Vec<BlockHash>, whom: Whom)
    -> BoxFuture<'static, Result<Vec<Found>, RequestError>>;

    /// Asks for the hashes of the blocks that follow a locator, up to and with `stop`; of several peers, as many as there are.
    ///
    /// Dropping the future cancels.
    ///
    /// # Errors
    /// [`RequestError`] if nobody answers.
    fn find_blocks(
        &self,
        locator: Vec<BlockHash>,
        stop: Option<BlockHash>,
        whom: Whom,
    ) -> BoxFuture<'static, Result<Vec<Listed>, RequestError>>;

    /// Fetches blocks, and hands each on as it comes, in any order. Dropping the stream cancels.
    ///
    /// Of each hash the stream tells once; those that it ends without are missing.
    fn blocks(&self, hashes: Vec<BlockHash>) -> BoxStream<'static, Fetched>;

    /// Blames the peer that gave an answer: it is to be asked no more.
    fn report(&self, peer: PeerId, offence: Offence);

    /// Returns how many peers there are.
    fn peers(&self) -> usize;

    /// Returns whether peers are still being reached for the first time, whose word is worth waiting for.
    fn is_gathering(&self) -> bool {
        false
    }
}

impl Source for PeerSet {
    fn find_headers(
        &self,
        locator: Vec<BlockHash>,
        whom: Whom,
    ) -> BoxFuture<'static, Result<Vec<Found>, RequestError>> {
        let answers = put(self.clone(), Request::FindHeaders { locator, stop: None }, whom);
        Box::pin(async move {
            let headers = answers.await?.into_iter().filter_map(|answer| {
                // An answer to another question is as good as none.
                if let Response::Headers(headers) = answer.response {
                    Some(Found { peer: answer.peer, headers })
                } else {
                    None
                }
            });
            Ok(headers.collect())
        })
    }

    fn find_blocks(
        &self,
        locator: Vec<BlockHash>,
        stop: Option<BlockHash>,
        whom: Whom,
    ) -> BoxFuture<'static, Result<Vec<Listed>, RequestError>> {
        let answers = put(self.clone(), Request::FindBlocks { locator, stop }, whom);
        Box::pin(async move {
            let lists = answers.await?.into_iter().filter_map(|answer| {
                if let Response::BlockHashes(hashes) = answer.response {
                    Some(Listed { peer: answer.peer, hashes })
                } else {
                    None
                }
            });
            Ok(lists.collect())
        })
    }

    fn blocks(&self, hashes: Vec<BlockHash>) -> BoxStream<'static, Fetched> {
        let set = self.clone();
        let admitted = stream::once(async move { Self::blocks(&set, hashes).await });
        admitted.filter_map(|admitted| async { admitted.ok() }).flatten().boxed()
    }

    fn report(&self, peer: PeerId, offence: Offence) {
        Self::report(self, peer, offence);
    }

    fn peers(&self) -> usize {
        Self::peers(self).borrow().total()
    }
}

/// Puts a question to those who are meant.
async fn put(set: PeerSet, request: Request, whom: Whom) -> Result<Vec<peerset::Answer>, RequestError> {
    match whom {
        Whom::Anybody => set.distinct(1).oneshot(request).await,
        Whom::First(peer) => set.following(peer, request).await,
        Whom::Several(peers) => set.distinct(peers).within(GRACE).oneshot(request).await,
    }
}

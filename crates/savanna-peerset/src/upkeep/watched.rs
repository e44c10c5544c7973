//! What a peer has done for us, noted as it passes by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use savanna_net::{Clock, PeerId};
use savanna_peer::{CloseReason, PeerInfo, Request, RequestError, Response};
use savanna_wire::PeerAddr;

use crate::Peer;

/// When a peer was asked for blocks last, and when it delivered some.
#[derive(Default)]
pub(super) struct Work {
    asked: Moment,
    delivered: Moment,
}

impl Work {
    pub(super) fn asked(&self) -> Option<Duration> {
        self.asked.get()
    }

    pub(super) fn delivered(&self) -> Option<Duration> {
        self.delivered.get()
    }
}

/// A moment in nanoseconds, or none.
#[derive(Default)]
struct Moment(AtomicU64);

impl Moment {
    fn set(&self, now: Duration) {
        self.0.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        let nanos = self.0.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }
}

/// A peer whose answers are noted.
///
/// # Security
/// What a peer says of itself and what it announces is free of cost, and counts for nothing. An answer to our own question is
/// at least what we asked for; whether it is true, the one who asked judges, and reports the peer if not.
pub(super) struct Watched<P> {
    peer: Arc<P>,
    work: Arc<Work>,
    clock: Clock,
}

impl<P> Watched<P> {
    pub(super) const fn new(peer: Arc<P>, work: Arc<Work>, clock: Clock) -> Self {
        Self { peer, work, clock }
    }
}

impl<P> fmt::Debug for Watched<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl<P: Peer> Peer for Watched<P> {
    fn id(&self) -> PeerId {
        self.peer.id()
    }

    fn info(&self) -> &PeerInfo {
        self.peer.info()
    }

    fn address(&self) -> Option<PeerAddr> {
        self.peer.address()
    }

    fn round_trip(&self) -> Option<Duration> {
        self.peer.round_trip()
    }

    fn ask(&self, request: Request) -> BoxFuture<'static, Result<Response, RequestError>> {
        let is_for_blocks =
            matches!(request, Request::Blocks(_) | Request::FindBlocks { .. } | Request::FindHeaders { .. });
        let answer = self.peer.ask(request);
        if !is_for_blocks {
            return answer;
        }
        let (work, clock) = (Arc::clone(&self.work), self.clock);
        work.asked.set(clock.now().monotonic);
        async move {
            let result = answer.await;
            if result.as_ref().is_ok_and(delivers) {
                work.delivered.set(clock.now().monotonic);
            }
            result
        }
        .boxed()
    }

    fn closed(&self) -> BoxFuture<'static, CloseReason> {
        self.peer.closed()
    }

    fn close(&self, reason: CloseReason) {
        self.peer.close(reason);
    }
}

/// Returns whether there is anything of a chain in an answer.
fn delivers(response: &Response) -> bool {
    match response {
        Response::Blocks(list) => !list.found.is_empty(),
        Response::Headers(headers) => !headers.is_empty(),
        Response::BlockHashes(hashes) => !hashes.is_empty(),
        Response::Nil
        | Response::Pong(_)
        | Response::Peers(_)
        | Response::Transactions(_)
        | Response::TransactionIds(_) => false,
    }
}

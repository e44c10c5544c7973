//! Questions to peers, each a future that ends with an answer already checked.

use savanna_peer::{Request, RequestError, Response};
use savanna_wire::{BlockHash, BlockHeader, Network};
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::disk::Written;
use crate::download::{Answer, AskId};
use crate::{SyncError, verify};

/// Something that was waited for.
pub(super) enum Event<Id> {
    Answer {
        ask: AskId,
        peer: Id,
        at: Instant,
        result: Result<Answer, RequestError>,
    },
    Headers {
        peer: Id,
        result: Result<Option<Vec<(BlockHeader, BlockHash)>>, RequestError>,
    },
    Written(Result<Written, SyncError>),
    Interrupted,
    /// It was cancelled meanwhile.
    Nothing,
}

/// Asks a peer for headers and checks them.
pub(super) async fn find_headers<Id, S>(peer: Id, service: S, network: Network, locator: Vec<BlockHash>) -> Event<Id>
where
    S: Service<Request, Response = Response, Error = RequestError>,
{
    let result = match service.oneshot(Request::FindHeaders { locator, stop: None }).await {
        Ok(Response::Headers(headers)) => match off_thread(move || verify::headers(network, headers)).await {
            Ok(checked) => Ok(checked.ok()),
            Err(_) => return Event::Interrupted,
        },
        // An answer to another question is as good as none.
        Ok(_) => Err(RequestError::TimedOut),
        Err(error) => Err(error),
    };
    Event::Headers { peer, result }
}

/// Asks a peer for blocks and checks their bodies.
pub(super) async fn fetch<Id, S>(
    peer: Id,
    service: S,
    network: Network,
    ask: AskId,
    blocks: Vec<(u32, BlockHash)>,
) -> Event<Id>
where
    S: Service<Request, Response = Response, Error = RequestError>,
{
    let hashes = blocks.iter().map(|&(_, hash)| hash).collect();
    let response = service.oneshot(Request::Blocks(hashes)).await;
    // The time that the check takes is ours, not the peer's.
    let at = Instant::now();
    let result = match response {
        Ok(Response::Blocks(partial)) => match off_thread(move || verify::bodies(network, &blocks, partial)).await {
            Ok(answer) => Ok(answer),
            Err(_) => return Event::Interrupted,
        },
        Ok(_) => Err(RequestError::TimedOut),
        Err(error) => Err(error),
    };
    Event::Answer { ask, peer, at, result }
}

/// Runs what blocks or computes where it keeps no async thread from its work.
pub(super) async fn off_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, SyncError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SyncError::Interrupted)
}

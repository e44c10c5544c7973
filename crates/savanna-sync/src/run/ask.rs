//! Questions to the network, and what comes of them, already checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{AbortHandle, Abortable, BoxStream, ReadyChunks, abortable};
use savanna_peer::Missing;
use savanna_peerset::{Fetched, RequestError};
use savanna_store::StoreError;
use savanna_wire::{BlockHash, Network};

use super::disk::{Restored, Written};
use crate::download::{Arrival, AskId};
use crate::ground::ListId;
use crate::headers::{Answer, Judged};
use crate::{Found, Listed, Store, SyncError, verify};

/// How many blocks at most are checked in one go.
const CHUNK: usize = 32;

/// How many bytes of blocks are checked where they come in: some 50 µs, which is less than it costs to wake another thread twice.
const AT_ONCE: usize = 48 * 1024;

/// Something that was waited for.
pub(super) enum Event {
    /// Blocks came, or the lack of them. The flow goes on unless it has ended.
    Came {
        ask: AskId,
        fetched: Vec<(u32, Fetched)>,
        flow: Option<Flow>,
    },
    /// Bodies were checked.
    Arrived {
        ask: AskId,
        arrivals: Vec<Arrival>,
    },
    /// Headers came.
    Found {
        /// The question's number.
        number: u64,
        found: Result<Vec<Found>, RequestError>,
    },
    /// Headers were checked.
    Headers(Result<Vec<Answer>, SyncError>),
    /// Lists of hashes came, for a question of known ground, or for the climb.
    Listed {
        ask: Option<ListId>,
        lists: Result<Vec<Listed>, RequestError>,
    },
    /// The chain above the last checkpoint can be built on.
    Rooted(Result<Box<Restored>, SyncError>),
    Written(Result<Written, SyncError>),
    Interrupted,
    /// It was cancelled meanwhile.
    Nothing,
}

/// Checks headers.
pub(super) async fn check_headers<T: Store>(network: Network, store: Arc<T>, found: Vec<Judged>) -> Event {
    let check = move || found.into_iter().map(|judged| verify::judged(network, judged, store.as_ref())).collect();
    let checked = off_thread(check).await;
    Event::Headers(checked.and_then(|checked: Result<_, StoreError>| Ok(checked?)))
}

/// Checks bodies.
pub(super) async fn check(network: Network, ask: AskId, fetched: Vec<(u32, Fetched)>) -> Event {
    let lengths = fetched.iter().filter_map(|(_, fetched)| Some(fetched.result.as_ref().ok()?.1.bytes().len()));
    if lengths.sum::<usize>() <= AT_ONCE {
        return Event::Arrived { ask, arrivals: verify::bodies(network, fetched) };
    }
    match off_thread(move || verify::bodies(network, fetched)).await {
        Ok(arrivals) => Event::Arrived { ask, arrivals },
        Err(_) => Event::Interrupted,
    }
}

/// The answers to a question for blocks, as they come.
pub(super) struct Flow {
    ask: AskId,
    /// What has not come yet.
    open: BTreeMap<BlockHash, u32>,
    chunks: ReadyChunks<Abortable<BoxStream<'static, Fetched>>>,
}

impl Flow {
    pub(super) fn new(
        ask: AskId,
        blocks: &[(u32, BlockHash)],
        fetched: BoxStream<'static, Fetched>,
    ) -> (Self, AbortHandle) {
        let (fetched, abort) = abortable(fetched);
        let open = blocks.iter().map(|&(height, hash)| (hash, height)).collect();
        (Self { ask, open, chunks: fetched.ready_chunks(CHUNK) }, abort)
    }

    /// Waits for what comes next. At the end, what has not come is missing.
    pub(super) async fn next(mut self) -> Event {
        let ask = self.ask;
        if self.open.is_empty() {
            return Event::Came { ask, fetched: Vec::new(), flow: None };
        }
        let Some(chunk) = self.chunks.next().await else {
            let missing = |(hash, height)| (height, Fetched { hash, result: Err(Missing::TimedOut) });
            return Event::Came { ask, fetched: self.open.into_iter().map(missing).collect(), flow: None };
        };
        let open = &mut self.open;
        let fetched = chunk.into_iter().filter_map(|fetched| Some((open.remove(&fetched.hash)?, fetched))).collect();
        Event::Came { ask, fetched, flow: Some(self) }
    }
}

/// Runs what blocks or computes where it keeps no async thread from its work.
pub(super) async fn off_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, SyncError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SyncError::Interrupted)
}

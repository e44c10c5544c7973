//! Whether the goal is reached, or out of reach.

use std::fmt::Debug;
use std::time::Duration;

use savanna_peer::{Request, RequestError, Response};
use savanna_store::Tip;
use tower::Service;

use super::Run;
use crate::download::Failure;
use crate::{Progress, Store, SyncError};

/// How long what peers said of their tips counts. Older, they are asked again before the end is believed.
const FRESH: Duration = Duration::from_secs(10);

impl<Id, S, T, F> Run<Id, S, T, F>
where
    Id: Copy + Ord + Debug + Send + 'static,
    S: Service<Request, Response = Response, Error = RequestError> + Clone + Send + 'static,
    S::Future: Send,
    T: Store,
    F: FnMut(Progress<Id>),
{
    /// Returns the height to be reached, as far as the chain is known.
    pub(super) fn target(&self) -> u32 {
        let (tip, _) = self.headers.chain().tip();
        self.until.map_or(tip, |until| until.min(tip))
    }

    /// Returns the store's tip if the goal is reached.
    pub(super) fn outcome(&mut self, now: Duration) -> Result<Option<Tip>, SyncError> {
        // What has come in order is kept, however this ends.
        if self.disk.is_busy() {
            return Ok(None);
        }
        if let Some(failure) = self.download.failure(now) {
            return Err(match failure {
                Failure::Unavailable { height } => SyncError::Unavailable { height },
                Failure::Invalid { height, hash, error } => SyncError::InvalidBlock { height, hash, error },
            });
        }
        if let (Some(tip), Some(until)) = (self.disk.tip(), self.until)
            && tip.height >= until
            && (self.headers.is_done() || self.blocks == 0)
        {
            return Ok(Some(tip));
        }
        if self.peers.is_empty() {
            let (gone, invalid) = self.gone;
            return Err(if gone > 0 && gone == invalid { SyncError::InvalidHeaders } else { SyncError::NoPeers });
        }
        let (height, hash) = self.headers.chain().tip();
        let Some(tip) = self.disk.tip().filter(|tip| tip.hash == hash && self.headers.is_done()) else {
            return Ok(None);
        };
        if self.moved && now >= self.round_at + FRESH {
            (self.round_at, self.moved) = (now, false);
            self.headers.ask_again();
            self.ask_for_headers(now);
            return Ok(None);
        }
        match self.until {
            Some(until) if until > height => Err(SyncError::TooShort { height, until }),
            Some(_) | None => Ok(Some(tip)),
        }
    }
}

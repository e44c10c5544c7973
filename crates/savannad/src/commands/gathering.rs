//! What peers are asked by while the first of them are on their way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use savanna_net::{PeerAddr, PeerId};
use savanna_peer::Offence;
use savanna_peerset::{Fetched, PeerSet, RequestError};
use savanna_sync::headers::Whom;
use savanna_sync::{Found, Listed, Source};
use savanna_wire::BlockHash;

/// So many of the peers that are found are enough to believe where the chain ends; fewer are, so long after the first.
///
/// # Security
/// The first that answers may be the one that withholds blocks.
const ENOUGH: usize = 8;
const GATHERED_WITHIN: Duration = Duration::from_secs(5);

/// A peer set whose first peers are on their way.
pub(crate) struct Gathering {
    set: PeerSet,
    first: First,
}

/// Whose word is worth waiting for.
enum First {
    /// Each of those that were named, until it was there once or could not be reached.
    Named { named: usize, gone: Gone, is_settled: AtomicBool },
    /// Some of those that are found, of whom the first came at a moment.
    Found(OnceLock<Instant>),
}

/// The peers, by their first addresses, that were not reached, or have left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gone(Arc<Mutex<BTreeSet<PeerAddr>>>);

impl Gone {
    pub(crate) fn note(&self, peer: PeerAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Gathering {
    /// Waits for so many peers that were named, but for those that are gone.
    pub(crate) const fn of_named(set: PeerSet, named: usize, gone: Gone) -> Self {
        Self { set, first: First::Named { named, gone, is_settled: AtomicBool::new(false) } }
    }

    /// Waits for some of the peers that are found.
    pub(crate) const fn of_found(set: PeerSet) -> Self {
        Self { set, first: First::Found(OnceLock::new()) }
    }
}

impl Source for Gathering {
    fn find_headers(
        &self,
        locator: Vec<BlockHash>,
        whom: Whom,
    ) -> BoxFuture<'static, Result<Vec<Found>, RequestError>> {
        self.set.find_headers(locator, whom)
    }

    fn find_blocks(
        &self,
        locator: Vec<BlockHash>,
        stop: Option<BlockHash>,
        whom: Whom,
    ) -> BoxFuture<'static, Result<Vec<Listed>, RequestError>> {
        self.set.find_blocks(locator, stop, whom)
    }

    fn blocks(&self, hashes: Vec<BlockHash>) -> BoxStream<'static, Fetched> {
        Source::blocks(&self.set, hashes)
    }

    fn report(&self, peer: PeerId, offence: Offence) {
        self.set.report(peer, offence);
    }

    fn peers(&self) -> usize {
        let peers = Source::peers(&self.set);
        match &self.first {
            First::Named { named, gone, is_settled } => {
                is_settled.fetch_or(peers + gone.len() >= *named, Ordering::Relaxed);
            }
            First::Found(since) => {
                if peers > 0 {
                    since.get_or_init(Instant::now);
                }
            }
        }
        peers
    }

    fn is_gathering(&self) -> bool {
        let peers = self.peers();
        match &self.first {
            First::Named { is_settled, .. } => !is_settled.load(Ordering::Relaxed),
            First::Found(since) => peers < ENOUGH && since.get().is_none_or(|since| since.elapsed() < GATHERED_WITHIN),
        }
    }
}

//! Following the chain, whatever becomes of the disk.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use savanna_peerset::PeerSet;
use savanna_store::BlockStore;
use savanna_sync::download::Limits;
use savanna_sync::{Options, Progress, SyncError, Trouble, follow, news};
use tokio::sync::watch;
use tokio::time::sleep;

use super::chain::{Chain, Complaint, Kind};
use super::disk::Disk;
use super::neighbours::Neighbours;
use crate::commands::gathering::Gathering;
use crate::config::{Config, number};

/// How long there may be no peer before that is told: time for what the book knows, then for the seeds, then for those they name.
const FIRST_PEER_WITHIN: Duration = Duration::from_secs(20);

/// How long it takes until the chain is taken up again after a fault of this program.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// Everything that following needs.
pub(super) struct Following {
    set: PeerSet,
    store: Arc<BlockStore>,
    options: Options,
    chain: Arc<watch::Sender<Chain>>,
    neighbours: Neighbours,
    disk: Disk,
}

impl Following {
    pub(super) fn new(
        config: &Config,
        set: PeerSet,
        store: Arc<BlockStore>,
        chain: Arc<watch::Sender<Chain>>,
        neighbours: Neighbours,
        disk: Disk,
    ) -> Self {
        let limits = Limits { bytes: number(config.sync_memory), ..Limits::default() };
        // The hasher's keys are the system's randomness.
        let seed = RandomState::new().build_hasher().finish();
        let options = Options { limits, seed, first_peer_within: FIRST_PEER_WITHIN, ..Options::default() };
        Self { set, store, options, chain, neighbours, disk }
    }

    /// Follows the chain for ever: when the disk fails, the archive is opened again.
    pub(super) async fn run(self) {
        loop {
            let source = Gathering::of_found(self.set.clone());
            let news = news(self.set.events());
            let told = |progress: Progress| self.hear(&progress);
            let error = follow(source, Arc::clone(&self.store), self.options.clone(), news, told).await;
            self.chain.send_modify(Chain::stop);
            if let SyncError::Store(error) = error {
                tracing::error!(%error, "the chain cannot be kept");
                self.disk.recover(error).await;
                tracing::info!("the chain can be kept again");
            } else {
                tracing::error!(%error, "following the chain was cut short");
                let sentence = if matches!(error, SyncError::Contradicted { .. }) {
                    let dir = self.store.dir().display();
                    format!("{error}: end this node, then move {dir} away, or name another directory with --dir")
                } else {
                    format!("following the chain was cut short: {error}; it is taken up again")
                };
                self.chain.send_modify(|chain| chain.stumble(Complaint { kind: Kind::Other, sentence }));
                sleep(AFTER_FAULT).await;
            }
            self.chain.send_modify(Chain::take_up);
        }
    }

    /// Takes what happens, and logs what a person wants to know.
    fn hear(&self, progress: &Progress) {
        let tip = self.store.tip();
        let was_synced = self.chain.borrow().is_synced;
        self.chain.send_modify(|chain| chain.note(progress, tip, |trouble| self.explain(trouble)));
        match progress {
            Progress::Synced { height, hash } if !was_synced => tracing::info!(height, %hash, "at the tip"),
            Progress::Tip { height, hash } => tracing::info!(height, %hash, "new tip"),
            Progress::Behind { height, target } => tracing::info!(height, target, "fallen behind the tip"),
            Progress::Reorganised { fork, old, new, left } => {
                tracing::info!(fork, left, old = %old.hash, new = %new.hash, "another branch has more work");
            }
            Progress::Reported { peer, why } => tracing::debug!(?peer, ?why, "a peer was blamed"),
            Progress::Trouble(trouble) => tracing::warn!("{}", self.explain(trouble).sentence),
            Progress::Recovered => tracing::info!("the trouble is over"),
            Progress::Headers { .. } | Progress::Stored { .. } | Progress::Synced { .. } | _ => {}
        }
    }

    /// Finds words for trouble, with what is known besides.
    fn explain(&self, trouble: &Trouble) -> Complaint {
        let (kind, known) = match trouble {
            Trouble::NoPeers => (Kind::NoPeers, self.neighbours.why_nobody()),
            Trouble::Silent => (Kind::Silent, None),
            Trouble::InvalidHeaders => (Kind::InvalidHeaders, None),
            Trouble::Undelivered { .. } => (Kind::Undelivered, None),
            Trouble::InvalidBlock { .. } => (Kind::InvalidBlock, None),
            Trouble::Clock => (Kind::Clock, self.neighbours.clock_off()),
            Trouble::DeepFork { .. } => (Kind::DeepFork, None),
            Trouble::Unreached { .. } => (Kind::Unreached, None),
            _ => (Kind::Other, None),
        };
        let sentence = known.map_or_else(|| trouble.to_string(), |known| format!("{trouble}: {known}"));
        Complaint { kind, sentence }
    }
}

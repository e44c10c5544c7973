//! Peers that nobody named: found by seeds and by the address book of earlier runs.

use std::collections::BTreeSet;
use std::future::pending;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use savanna::Node;
use savanna_peerset::{DiscoveryCounts, Events, Seeds};
use savanna_wire::Network;
use tokio::sync::watch;

use crate::commands::gathering::Gathering;
use crate::commands::seeds::{Watched, why_nobody};
use crate::telemetry::Telemetry;

/// How long there may be no peer before the first: time for what the book knows, then for the seeds, then for those they name.
pub(super) const FIRST_PEER_WITHIN: Duration = Duration::from_secs(30);

/// A node that finds its own peers, and how that goes.
pub(super) struct Search {
    node: Node,
    network: Network,
    /// The seeds that answered when they were last asked.
    answered: watch::Receiver<BTreeSet<u8>>,
    counts: watch::Receiver<DiscoveryCounts>,
}

impl Search {
    /// Begins to look for peers, with the address book that is kept in a directory.
    pub(super) async fn start(
        network: Network,
        dir: &Path,
        seeds: impl Seeds + Sync,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Self> {
        let (seeds, answered) = Watched::new(seeds);
        let builder = Node::builder(network).dir(dir).seeds(seeds).traffic(telemetry.traffic());
        let node = builder.start().await.context("no peer can be looked for")?;
        telemetry.find(&node);
        let counts = node.discovery();
        Ok(Self { node, network, answered, counts })
    }

    /// Returns how many addresses are known.
    pub(super) fn known(&self) -> u32 {
        self.node.book().with(|book| book.counts().total())
    }

    /// Returns what the peers are asked by.
    pub(super) fn source(&self) -> Gathering {
        Gathering::of_found(self.node.peer_set().clone())
    }

    pub(super) fn events(&self) -> Events {
        self.node.events()
    }

    /// Waits until it is clear that nobody will be found: seeds name nobody, and nobody is known from before.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn is_in_vain(&mut self) {
        let is_in_vain = |counts: &DiscoveryCounts| {
            let named = counts.seeded.new + counts.seeded.known;
            let in_use: usize = counts.links.values().sum();
            counts.seeds_asked > 0 && named == 0 && counts.book.total() == 0 && in_use == 0
        };
        if self.counts.wait_for(is_in_vain).await.is_err() {
            // The node has ended, and the sync ends with it.
            pending().await
        }
    }

    /// Says why there is no peer.
    pub(super) fn why(&self) -> String {
        let names: Vec<_> = self.network.dns_seeds().iter().map(|name| (*name).to_owned()).collect();
        why_nobody(&names, &self.answered.borrow(), &self.counts.borrow())
    }

    /// Ends the node and keeps its address book. Connections have `bound` to end.
    pub(super) async fn end(self, bound: Duration) {
        self.node.shutdown(bound).await;
    }
}

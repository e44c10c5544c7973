//! Whether there is hope of a peer, and why there is none.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use savanna_peerset::Event;
use tokio::sync::mpsc;

use super::dial::Missed;
use super::find::Search;
use super::progress::Reporter;

/// How it stands with the peers.
pub(super) enum Outlook {
    /// Some were named, and nobody else will do.
    Named(Named),
    /// They are looked for.
    Found(Search),
}

/// How it stands with peers that were named.
pub(super) struct Named {
    /// The addresses that have not failed yet.
    untried: BTreeSet<String>,
    misses: mpsc::UnboundedReceiver<Missed>,
    has_joined: bool,
}

impl Named {
    pub(super) const fn new(addresses: BTreeSet<String>, misses: mpsc::UnboundedReceiver<Missed>) -> Self {
        Self { untried: addresses, misses, has_joined: false }
    }

    async fn is_in_vain(&mut self, reporter: &Reporter) {
        while let Some(missed) = self.misses.recv().await {
            reporter.miss(&missed);
            self.untried.remove(&missed.peer);
            if self.untried.is_empty() && !self.has_joined {
                return;
            }
        }
        pending().await
    }
}

impl Outlook {
    /// Takes what happens to the peers.
    pub(super) const fn hear(&mut self, event: &Event) {
        match self {
            Self::Named(named) => named.has_joined |= matches!(event, Event::Joined { .. }),
            Self::Found(_) => {}
        }
    }

    /// Waits until it is clear that nobody can be reached, and tells the reporter of dials meanwhile.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn is_in_vain(&mut self, reporter: &Reporter) {
        match self {
            Self::Named(named) => named.is_in_vain(reporter).await,
            Self::Found(search) => search.is_in_vain().await,
        }
    }

    /// Says why there is no peer; nothing if there is nothing to say.
    pub(super) fn why(&self, reporter: &Reporter) -> String {
        match self {
            Self::Named(_) => reporter.trouble().join("; "),
            Self::Found(search) => search.why(),
        }
    }

    /// Ends what looks for peers, within a bound.
    pub(super) async fn end(self, bound: Duration) {
        match self {
            Self::Named(_) => {}
            Self::Found(search) => search.end(bound).await,
        }
    }
}

//! What the node notices of those around it: who could not be reached, and what their clocks say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use savanna_peerset::{DiscoveryCounts, Event, Events, Purpose, TransactionCounts, TransactionWatch};
use tokio::sync::watch;

use super::chain::{Chain, Complaint, Kind};
use crate::commands::seeds::why_nobody;
use crate::config::Config;

/// How many peers' clocks are remembered, and how many there have to be before they are believed.
const MOST_CLOCKS: usize = 31;
const FEWEST_CLOCKS: usize = 3;

/// How far, in seconds, peers' clocks may be from ours. They tell it rounded to five minutes, and headers may be two hours ahead.
const CLOCK_TOLERANCE: i64 = 30 * 60;

/// How many named peers that cannot be reached are told of.
const MOST_FAILURES: usize = 8;

/// What is noticed of peers. Clones notice together.
#[derive(Clone)]
pub(super) struct Neighbours {
    seeds: Arc<[String]>,
    answered: watch::Receiver<BTreeSet<u8>>,
    counts: watch::Receiver<DiscoveryCounts>,
    chain: Arc<watch::Sender<Chain>>,
    heard: Arc<Mutex<Heard>>,
    transactions: Arc<Mutex<TransactionWatch>>,
    began: Instant,
}

#[derive(Default)]
struct Heard {
    /// By how many seconds peers' clocks were ahead of ours.
    clocks: VecDeque<i64>,
    /// What became of the last dial of each named peer that is not there.
    failures: BTreeMap<String, String>,
}

impl Neighbours {
    pub(super) fn new(
        config: &Config,
        answered: watch::Receiver<BTreeSet<u8>>,
        counts: watch::Receiver<DiscoveryCounts>,
        chain: Arc<watch::Sender<Chain>>,
    ) -> Self {
        let seeds = config.dns_seeds.iter().map(ToString::to_string).collect();
        let (heard, transactions) = (Arc::default(), Arc::default());
        Self { seeds, answered, counts, chain, heard, transactions, began: Instant::now() }
    }

    /// Listens to what happens to peers.
    pub(super) async fn listen(self, mut events: Events) {
        while let Some(event) = events.next().await {
            self.watched().handle_event(&event, self.began.elapsed());
            match event {
                Event::Joined { info, address, .. } => {
                    let name = address.map(|address| address.to_string()).unwrap_or_default();
                    self.heard().failures.remove(&name);
                    self.note_clock(info.remote.time, unix_now());
                }
                Event::DialFailed { address, purpose: Purpose::Named, failure } => {
                    tracing::debug!(%address, %failure, "a named peer was not reached");
                    let mut heard = self.heard();
                    if heard.failures.len() < MOST_FAILURES {
                        heard.failures.insert(address.to_string(), failure.to_string());
                    }
                }
                Event::DialFailed { .. }
                | Event::Left { .. }
                | Event::Gossip { .. }
                | Event::MetOurselves { .. }
                | Event::Lagged(_)
                | _ => {}
            }
        }
    }

    /// Returns the chain that the node follows.
    pub(super) fn chain(&self) -> watch::Receiver<Chain> {
        self.chain.subscribe()
    }

    /// Returns how many transactions peers announce.
    pub(super) fn transactions(&self) -> TransactionCounts {
        self.watched().counts(self.began.elapsed())
    }

    /// Says why there is no peer.
    pub(super) fn why_nobody(&self) -> Option<String> {
        let failures: Vec<_> =
            self.heard().failures.iter().map(|(peer, failure)| format!("{peer}: {failure}")).collect();
        let others = why_nobody(&self.seeds, &self.answered.borrow(), &self.counts.borrow());
        let all: Vec<_> = failures.into_iter().chain([others]).filter(|reason| !reason.is_empty()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Says how far peers' clocks are from ours, if that is far.
    pub(super) fn clock_off(&self) -> Option<String> {
        let ahead = self.heard().median()?;
        let minutes = ahead.unsigned_abs() / 60;
        let side = if ahead > 0 { "late" } else { "early" };
        (minutes > 0).then(|| format!("by the clocks of its peers it is about {minutes} minutes {side}"))
    }

    /// Takes what a peer's clock says. It is data for a sentence, and nobody's clock is set by it.
    fn note_clock(&self, theirs: i64, ours: i64) {
        let mut heard = self.heard();
        if heard.clocks.len() >= MOST_CLOCKS {
            heard.clocks.pop_front();
        }
        heard.clocks.push_back(theirs.saturating_sub(ours));
        let is_off = heard.clocks.len() >= FEWEST_CLOCKS
            && heard.median().is_some_and(|ahead| ahead.saturating_abs() >= CLOCK_TOLERANCE);
        drop(heard);
        let off = self.clock_off().filter(|_| is_off);
        let complaint =
            off.map(|off| Complaint { kind: Kind::Clock, sentence: format!("look at this computer's clock: {off}") });
        if let Some(Complaint { sentence, .. }) = &complaint
            && !self.chain.borrow().is_clock_doubted()
        {
            tracing::warn!("{sentence}");
        }
        self.chain.send_if_modified(|chain| chain.doubt_clock(complaint));
    }

    fn watched(&self) -> MutexGuard<'_, TransactionWatch> {
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn median(&self) -> Option<i64> {
        let mut clocks: Vec<_> = self.clocks.iter().copied().collect();
        clocks.sort_unstable();
        clocks.get(clocks.len() / 2).copied()
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours() -> Neighbours {
        Neighbours {
            seeds: Arc::from(["seed.example".to_owned()]),
            answered: watch::channel(BTreeSet::new()).1,
            counts: watch::channel(DiscoveryCounts::default()).1,
            chain: Arc::new(watch::Sender::new(Chain::default())),
            heard: Arc::default(),
            transactions: Arc::default(),
            began: Instant::now(),
        }
    }

    #[test]
    fn adversary_13_one_peers_clock_says_nothing_and_three_say_by_how_much() {
        let neighbours = neighbours();
        let now = 1_800_000_000;
        neighbours.note_clock(i64::MAX, now);
        assert_eq!(neighbours.chain.borrow().trouble(), None);
        neighbours.note_clock(now + 7_200, now);
        neighbours.note_clock(i64::MIN, now);
        let sentence = neighbours.chain.borrow().trouble().map(|trouble| trouble.sentence.clone()).unwrap();
        assert!(sentence.ends_with("about 120 minutes late"), "{sentence}");
        for _ in 0..MOST_CLOCKS {
            neighbours.note_clock(now - 300, now);
        }
        assert_eq!(neighbours.chain.borrow().trouble(), None);
        assert!(neighbours.heard().clocks.len() <= MOST_CLOCKS);
    }

    #[test]
    fn why_there_is_nobody_is_told_of_seeds_and_of_named_peers() {
        let mut neighbours = neighbours();
        assert_eq!(neighbours.why_nobody(), None);
        let mut counts = DiscoveryCounts::default();
        counts.seeds_asked = 1;
        neighbours.counts = watch::channel(counts).1;
        assert_eq!(neighbours.why_nobody().unwrap(), "seed.example did not answer");
        neighbours.heard().failures.insert("192.0.2.1:1".to_owned(), "refused".to_owned());
        assert_eq!(neighbours.why_nobody().unwrap(), "192.0.2.1:1: refused; seed.example did not answer");
    }
}

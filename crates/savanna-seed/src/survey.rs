//! The survey without end: holds the conversations that the ledger plans, and publishes who may be named.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use savanna_book::{Handshake, UnixTime};
use savanna_net::Clock;
use savanna_peerset::crawler::{Chain, Ending, Errand, Introduction, Meeting, Surveyor};
use savanna_wire::PeerAddr;

use crate::{ChainProbe, Ledger, LedgerConfig, Question, Roll, SHORTEST_TTL, Snapshot, Tried, Try, Vetting};

/// How often the ledger is asked whether somebody is due unless said otherwise.
const TURN: Duration = Duration::from_secs(1);

/// How often who may be named is published unless said otherwise.
const PUBLISH_EVERY: Duration = Duration::from_secs(5);

const _: () = assert!(
    LedgerConfig::STALE_AFTER as u64 + PUBLISH_EVERY.as_secs() + TURN.as_secs() < SHORTEST_TTL as u64,
    "when the network dies nobody is named within the time to live"
);

/// How a survey goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SurveyConfig {
    /// How often the ledger is asked at least whether somebody is due.
    pub look_every: Duration,
    /// How often who may be named is judged anew and published: whole seconds.
    pub publish_every: Duration,
    /// How long the first conversations go on until anybody is named, whole seconds: so that the first answers name more than the first
    /// few who answered. With somewhat more than [`Steadiness::STAY`](crate::Steadiness::STAY) nobody is ever named who may only come and go.
    pub settle_for: Duration,
}

impl Default for SurveyConfig {
    fn default() -> Self {
        Self { look_every: TURN, publish_every: PUBLISH_EVERY, settle_for: Duration::ZERO }
    }
}

/// What a survey has done since it began. Every number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SurveyCounts {
    /// Conversations that ended.
    pub tries: u64,
    /// In which the node showed that it is of this chain.
    pub met: u64,
    /// In which it did not answer.
    pub missed: u64,
    /// In which it showed another chain, or one that ends early.
    pub other_chain: u64,
    /// In which it spoke, and did not show its chain.
    pub unproven: u64,
    /// That could not be held because of this machine.
    pub unsettled: u64,
    /// Addresses that nodes told.
    pub told: u64,
    /// Of them, those that were new and had room.
    pub taken: u64,
    /// How often the floor moved by observation.
    pub floor_moves: u64,
}

/// What is published: who may be named, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Who may be named, and how many may not for which reason.
    pub vetting: Vetting,
    /// How many nodes are tracked.
    pub tracked: usize,
    /// How many conversations go on.
    pub trying: usize,
    /// What was done so far.
    pub counts: SurveyCounts,
    /// When it was judged.
    pub at: UnixTime,
}

/// Surveys a network without end.
#[derive(Debug)]
pub struct Survey {
    config: SurveyConfig,
    ledger: Ledger,
    probe: ChainProbe,
    rng: ChaCha8Rng,
    surveyor: Surveyor,
    clock: Clock,
    counts: SurveyCounts,
    roll: watch::Sender<Arc<Roll>>,
    published: watch::Sender<Arc<Published>>,
}

type Meetings = FuturesUnordered<BoxFuture<'static, (Question, Meeting)>>;

impl Survey {
    /// Makes a survey that goes on from what the ledger knows. Nobody is named before somebody has answered.
    ///
    /// The surveyor's configuration is best one of [`survey_config`](savanna_peerset::crawler::survey_config).
    #[must_use]
    pub fn new(
        config: SurveyConfig,
        ledger: Ledger,
        probe: ChainProbe,
        surveyor: Surveyor,
        clock: Clock,
        seed: [u8; 32],
    ) -> Self {
        Self {
            config,
            ledger,
            probe,
            rng: ChaCha8Rng::from_seed(seed),
            surveyor,
            clock,
            counts: SurveyCounts::default(),
            roll: watch::Sender::new(Arc::default()),
            published: watch::Sender::new(Arc::default()),
        }
    }

    /// Returns where the nodes appear that may be named. It changes only when they do.
    #[must_use]
    pub fn rolls(&self) -> watch::Receiver<Arc<Roll>> {
        self.roll.subscribe()
    }

    /// Returns where all numbers appear, each time that they are judged anew.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Returns what is known.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns what is known, to be told something: an address, an attested floor.
    #[must_use]
    pub const fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Returns what is known, to be kept.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot()
    }

    /// Surveys until the future is dropped. `turn` is called with the ledger once in [`SurveyConfig::look_every`], for who keeps it,
    /// dumps it or introduces addresses.
    ///
    /// # Cancel safety
    /// Dropping the future hangs up all conversations. The nodes talked to then are tried again a minute after the next
    /// call. The ledger keeps what was learned; the roll stays as it was published last.
    pub async fn run(&mut self, mut turn: impl FnMut(&mut Ledger, UnixTime)) {
        let mut meetings = Meetings::new();
        let mut turns = interval_at(Instant::now(), self.config.look_every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first = self.now();
        let mut judged = None;
        self.ledger.forget_tries(first);
        loop {
            while let Some(next) = self.ledger.poll_try(self.now()) {
                meetings.push(Box::pin(self.meeting(&next)));
            }
            tokio::select! {
                Some((question, meeting)) = meetings.next() => self.note(&question, meeting),
                _ = turns.tick() => {
                    let now = self.now();
                    turn(&mut self.ledger, now);
                }
            }
            let now = self.now();
            if judged.is_none_or(|judged| has_passed(self.config.publish_every, judged, now)) {
                judged = Some(now);
                self.publish(has_passed(self.config.settle_for, first, now));
            }
        }
    }

    fn meeting(&mut self, next: &Try) -> impl Future<Output = (Question, Meeting)> + Send + use<> {
        let question = self.probe.question(next.depth, &mut self.rng);
        let errand = Errand {
            address: next.address,
            locator: question.locator(),
            stop: question.stop(),
            asks_addresses: next.asks_addresses,
        };
        let meeting = self.surveyor.meet(errand);
        async move { (question, meeting.await) }
    }

    fn note(&mut self, question: &Question, meeting: Meeting) {
        let now = self.now();
        let Meeting { address, introduction, ending, lacks_files, headers, told } = meeting;
        self.counts.tries += 1;
        let tried = match introduction {
            None if lacks_files || is_our_fault(ending) => {
                self.counts.unsettled += 1;
                Tried::Unsettled
            }
            None => {
                self.counts.missed += 1;
                if ending == Ending::ClosedByPeer { Tried::HungUp } else { Tried::Missed }
            }
            Some(introduction) => {
                let judge = |headers: Vec<_>| self.probe.judge(question, &headers, introduction.height, &mut self.rng);
                let chain = headers.map_or(Chain::Unknown, judge);
                self.count(chain);
                Tried::Met { said: said(introduction), chain }
            }
        };
        let is_ours = matches!(tried, Tried::Met { chain: Chain::Ours, .. });
        self.ledger.note(address, tried, now);
        // What other chains' nodes tell are other chains' nodes.
        if let Some(told) = told.filter(|_| is_ours) {
            self.hear(address, &told, now);
        }
    }

    fn hear(&mut self, teller: PeerAddr, told: &[savanna_wire::AddrV2], now: UnixTime) {
        self.counts.told += told.len() as u64;
        self.counts.taken += self.ledger.hear(teller, told, now) as u64;
    }

    const fn count(&mut self, chain: Chain) {
        match chain {
            Chain::Ours => self.counts.met += 1,
            Chain::Behind | Chain::Other => self.counts.other_chain += 1,
            Chain::Unknown => self.counts.unproven += 1,
        }
    }

    fn publish(&mut self, is_settled: bool) {
        let now = self.now();
        if self.ledger.review_floor(now) {
            self.counts.floor_moves += 1;
            tracing::info!(floor = self.ledger.floor().version.0, "the network is past an upgrade: the floor rises");
        }
        let mut vetting = self.ledger.vet(now);
        if !is_settled {
            vetting.roll = Roll::default();
        }
        self.roll.send_if_modified(|roll| {
            let is_new = **roll != vetting.roll;
            if is_new {
                *roll = Arc::new(vetting.roll.clone());
            }
            is_new
        });
        let (tracked, trying, counts) = (self.ledger.tracked(), self.ledger.trying(), self.counts);
        self.published.send_replace(Arc::new(Published { vetting, tracked, trying, counts, at: now }));
    }

    fn now(&self) -> UnixTime {
        UnixTime::from(self.clock.now().unix)
    }
}

/// Returns whether so much time has passed, by a clock that may have been set back.
const fn has_passed(time: Duration, since: UnixTime, now: UnixTime) -> bool {
    now.since(since) as u64 >= time.as_secs() || now.0 < since.0
}

/// Returns whether a conversation failed for want of something on this side.
const fn is_our_fault(ending: Ending) -> bool {
    match ending {
        // Of another version of IP than this machine has, a node may well be there for others.
        Ending::NoRoute | Ending::Local => true,
        Ending::Complete
        | Ending::ConnectionRefused
        | Ending::DialTimedOut
        | Ending::DialFailed
        | Ending::ClosedByPeer
        | Ending::TimedOut
        | Ending::Malformed
        | Ending::Misbehaved
        | Ending::OurSelf
        | Ending::Incompatible => false,
    }
}

fn said(introduction: Introduction) -> Handshake {
    let Introduction { version, services, user_agent, height, .. } = introduction;
    Handshake { version, services, height, user_agent }
}

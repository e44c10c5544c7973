//! One network that is seeded: its survey, what is kept of it, and who is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::join_all;
use savanna_book::UnixTime;
use savanna_net::{
    Clock, Connector, Handshake, LOOKUP_DEADLINE, NodeConfig, Spawner, Standing, Target, Traffic, resolve,
};
use savanna_peerset::crawler::{Surveyor, survey_config};
use savanna_seed::{
    ChainProbe, Ledger, LedgerConfig, LedgerStore, LedgerStoreError, Published, Roll, SeedService, Share, Snapshot,
    Survey, SurveyConfig, Union,
};
use savanna_wire::{Network, PeerAddr, ProtocolVersion, Services, sha256d};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::commands::crawl::believed;
use crate::config::{SeedConfig, ZoneConfig, number};

/// How often what is known is kept.
const KEPT_EVERY: Duration = Duration::from_secs(5 * 60);

/// How long a copy of what is known may take: the survey hands one out about once a second.
const COPY_DEADLINE: Duration = Duration::from_secs(4);

/// How often those who name nodes are asked: while nobody is good, and afterwards.
const ASKED_SOON: Duration = Duration::from_secs(60);
const ASKED_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long the first conversations on a public network go on until anybody is named.
const SETTLE_FOR: Duration = Duration::from_secs(30);

/// A copy of what is known, for who waits for it.
type Copy = oneshot::Sender<Snapshot>;

/// A network that is seeded. Clones are the same.
#[derive(Clone)]
pub(super) struct Seeded {
    pub(super) config: Arc<ZoneConfig>,
    pub(super) rolls: watch::Receiver<Arc<Roll>>,
    pub(super) published: watch::Receiver<Arc<Published>>,
    pub(super) standing: watch::Receiver<Standing>,
    copies: mpsc::Sender<Copy>,
    introductions: mpsc::Sender<Introduced>,
    store: Arc<Mutex<LedgerStore>>,
}

/// The survey of a network, to be run.
pub(super) struct Surveying {
    survey: Survey,
    published: watch::Receiver<Arc<Published>>,
    standing: watch::Sender<Standing>,
    copies: mpsc::Receiver<Copy>,
    introductions: mpsc::Receiver<Introduced>,
    share: Option<Share>,
}

/// Opens what is known of a network, and makes its survey and what answers peers.
///
/// # Errors
/// A sentence that a person can act on.
pub(super) async fn open(
    config: &SeedConfig,
    zone: &ZoneConfig,
    traffic: &Traffic,
    spawner: &Spawner,
) -> anyhow::Result<(Seeded, Surveying, Handshake<SeedService>)> {
    let (network, clock) = (zone.network, Clock::start());
    let (dir, name) = (config.dir.clone(), network);
    let opened = spawn_blocking(move || LedgerStore::open(&dir, name)).await?.map_err(of_store)?;
    if let Some(aside) = &opened.set_aside {
        tracing::warn!("{aside}");
    }
    let surveying = NodeConfig { traffic: traffic.clone(), ..survey_config(network) };
    let secret = surveying.seed;
    let now = UnixTime::from(clock.now().unix);
    let ledger = ledger(zone, opened.snapshot, derive(secret, b"ledger"), now);
    if ledger.tracked() == 0 && zone.peers.is_empty() && zone.dns_seeds.is_empty() {
        bail!("{network}: nobody is known to begin with: name a node with --peer");
    }
    let standing = watch::Sender::new(Standing { height: 0, services: offered(zone), floor: ledger.floor().version });
    let mut answering = NodeConfig { traffic: traffic.clone(), ..NodeConfig::new(network) };
    answering.session.required_services = Services::NONE;
    answering.standing = Some(standing.subscribe());
    // So the survey knows its own door when it comes by.
    answering.session.self_key = surveying.session.self_key;
    let connector = Connector::direct().with_traffic(traffic.clone());
    let surveyor = Surveyor::new(surveying, connector, clock, spawner.clone());
    let settle_for = if network == Network::Regtest { Duration::ZERO } else { SETTLE_FOR };
    let survey_config = SurveyConfig { settle_for, ..SurveyConfig::default() };
    let survey =
        Survey::new(survey_config, ledger, ChainProbe::of(network), surveyor, clock, derive(secret, b"survey"));
    let (mut rolls, published) = (survey.rolls(), survey.published());
    let share = config.sharing(zone)?.map(|sharing| {
        let (share, sharing) = Share::new(sharing, clock, derive(secret, b"share"));
        let all = watch::Sender::new(Arc::default());
        rolls = all.subscribe();
        spawner.spawn(sharing.run());
        spawner.spawn(pass_on(share.unions(), all));
        share
    });
    let service = SeedService::new(network, rolls.clone(), clock, derive(secret, b"answers"));
    let handshake = Handshake::new(answering, service, clock, spawner.clone());
    let (copies, wanted) = mpsc::channel(4);
    let (introductions, introduced) = mpsc::channel(4);
    let seeded = Seeded {
        config: Arc::new(zone.clone()),
        rolls,
        published: published.clone(),
        standing: standing.subscribe(),
        copies,
        introductions,
        store: Arc::new(Mutex::new(opened.store)),
    };
    let surveying = Surveying { survey, published, standing, copies: wanted, introductions: introduced, share };
    Ok((seeded, surveying, handshake))
}

/// Makes a ledger that goes on from what was kept, with the floor that the operator says.
pub(super) fn ledger(zone: &ZoneConfig, kept: Option<Snapshot>, seed: [u8; 32], now: UnixTime) -> Ledger {
    let config =
        LedgerConfig { scope: zone.scope(), capacity: number(zone.capacity), ..LedgerConfig::new(zone.network) };
    let mut ledger = Ledger::of(config, seed);
    if let Some(kept) = kept {
        ledger.resume(kept, now);
    }
    if let Some(version) = i32::try_from(zone.floor).ok().filter(|version| *version > 0) {
        ledger.attest_floor(ProtocolVersion(version), &zone.floor_by, now);
    }
    ledger
}

const fn offered(zone: &ZoneConfig) -> Services {
    if zone.offers_chain { Services::NODE_NETWORK } else { Services::NONE }
}

impl Surveying {
    /// Surveys without end.
    pub(super) async fn run(self) {
        let Self { mut survey, published, standing, mut copies, mut introductions, mut share } = self;
        let turn = |ledger: &mut Ledger, now: UnixTime| {
            while let Ok(Introduced { named, seeded }) = introductions.try_recv() {
                ledger.introduce(named, now);
                for (seed, addresses) in seeded {
                    ledger.hear_seed(seed, addresses, now);
                }
            }
            if let Ok(copy) = copies.try_recv() {
                // Who has given up waiting needs none.
                let _ = copy.send(ledger.snapshot());
            }
            if let Some(share) = &mut share {
                share.follow(ledger, now);
            }
            let height = published.borrow().vetting.height.and_then(|height| u32::try_from(height).ok()).unwrap_or(0);
            let floor = ledger.floor().version;
            standing.send_if_modified(|standing| {
                let next = Standing { height, floor, ..*standing };
                std::mem::replace(standing, next) != next
            });
        };
        survey.run(turn).await;
    }
}

impl Seeded {
    pub(super) fn network(&self) -> Network {
        self.config.network
    }

    /// Returns a copy of what is known.
    ///
    /// # Errors
    /// If the survey does not hand one out in time.
    pub(super) async fn copy(&self) -> anyhow::Result<Snapshot> {
        let (copy, copied) = oneshot::channel();
        let asking = async {
            self.copies.send(copy).await.ok()?;
            copied.await.ok()
        };
        let copied = timeout(COPY_DEADLINE, asking).await.ok().flatten();
        copied.ok_or_else(|| anyhow!("the survey of {} gives no answer", self.network()))
    }

    /// Keeps what is known.
    ///
    /// # Errors
    /// If it cannot be had, or the disk refuses it.
    pub(super) async fn keep(&self) -> anyhow::Result<()> {
        let (snapshot, store) = (self.copy().await?, Arc::clone(&self.store));
        let kept = spawn_blocking(move || store.lock().unwrap_or_else(PoisonError::into_inner).save(&snapshot)).await?;
        kept.context("what is known of nodes was not kept")
    }

    /// Keeps what is known every few minutes. A disk that stays full is told of once.
    pub(super) async fn keep_on(self) {
        let mut failing = None;
        loop {
            sleep(KEPT_EVERY).await;
            let failure = self.keep().await.err().map(|error| format!("{error:#}"));
            match &failure {
                Some(error) if failure != failing => tracing::warn!("{error}"),
                None if failing.is_some() => tracing::info!("what is known of nodes is kept again"),
                Some(_) | None => {}
            }
            failing = failure;
        }
    }

    /// Says when nodes begin to be named, and when none is any more.
    pub(super) async fn watch(mut self) {
        let network = self.network();
        let mut names_any = false;
        while self.rolls.changed().await.is_ok() {
            let nodes = self.rolls.borrow_and_update().nodes.len();
            if names_any != (nodes > 0) {
                names_any = nodes > 0;
                match names_any {
                    true => tracing::info!(%network, nodes, "newcomers are told of nodes"),
                    false => {
                        tracing::warn!(%network, "newcomers are told of nobody: no good node is known to be there")
                    }
                }
            }
        }
    }

    /// Asks those who name nodes, without end: the operator's and the network's other seeds.
    pub(super) async fn introduce(self) {
        let mut failures = Vec::new();
        loop {
            let (found, failed) = self.look_up().await;
            if failed != failures {
                failed.iter().for_each(|failure| tracing::warn!(network = %self.network(), "{failure}"));
                failures = failed;
            }
            let has_found = !found.is_empty();
            if self.introductions.send(found).await.is_err() {
                return;
            }
            let is_settled = has_found && self.published.borrow().vetting.good > 0;
            sleep(if is_settled { ASKED_EVERY } else { ASKED_SOON }).await;
        }
    }

    async fn look_up(&self) -> (Introduced, Vec<String>) {
        let own = |target: &&Target| !target.to_string().eq_ignore_ascii_case(self.config.name.trim_end_matches('.'));
        let peers = self.config.peers.iter().map(|target| (None, target));
        let seeds = self.config.dns_seeds.iter().filter(own);
        let targets: Vec<_> = peers.chain((0..=u8::MAX).map(Some).zip(seeds)).collect();
        let port = self.network().default_port();
        let lookups = targets.iter().map(|(_, target)| resolve(target, port, LOOKUP_DEADLINE));
        let (mut found, mut failures) = (Introduced::default(), Vec::new());
        for ((seed, target), result) in targets.iter().zip(join_all(lookups).await) {
            match result.map(|addresses| believed(self.network(), target, addresses)) {
                Ok(addresses) => match seed {
                    None => found.named.extend(addresses),
                    Some(seed) => found.seeded.push((*seed, addresses.into_iter().collect())),
                },
                Err(error) => failures.push(error.to_string()),
            }
        }
        (found, failures)
    }
}

/// Addresses to begin a survey with.
#[derive(Debug, Default)]
pub(super) struct Introduced {
    /// Those that the operator named.
    named: Vec<PeerAddr>,
    /// Those that each of the network's other seeds named.
    seeded: Vec<(u8, Vec<PeerAddr>)>,
}

impl Introduced {
    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.seeded.iter().all(|(_, addresses)| addresses.is_empty())
    }
}

/// Passes on whom all machines together name.
async fn pass_on(mut unions: watch::Receiver<Arc<Union>>, rolls: watch::Sender<Arc<Roll>>) {
    while unions.changed().await.is_ok() {
        let roll = unions.borrow_and_update().roll.clone();
        rolls.send_if_modified(|before| {
            let is_new = **before != roll;
            if is_new {
                *before = Arc::new(roll);
            }
            is_new
        });
    }
}

/// Derives a seed for one purpose from another.
pub(super) fn derive(seed: [u8; 32], purpose: &[u8]) -> [u8; 32] {
    sha256d(&[&seed[..], purpose].concat())
}

/// Explains why what is known cannot be read.
pub(super) fn of_store(error: LedgerStoreError) -> anyhow::Error {
    if let LedgerStoreError::Locked { .. } = &error {
        return anyhow!("{error}: another seeder runs on this directory; end it, or name another with --dir");
    }
    anyhow::Error::new(error).context("what is known of nodes cannot be read")
}

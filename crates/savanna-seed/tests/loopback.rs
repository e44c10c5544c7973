//! A survey over real connections: a network of a thousand peers, most of whom are not worth naming, hours within seconds.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(missing_docs, reason = "tests")]

mod dns_support;
mod loopback_network;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use dns_support::{MAIN, Service, addresses, ask, keys, lenient, zone};
use hickory_proto::rr::RecordType;
use loopback_network::{HEIGHT, Kind, NETWORK, Peers, first};
use savanna_net::{Clock, Connector, Tasks};
use savanna_peerset::crawler::{Scope, Surveyor, survey_config};
use savanna_seed::{Ledger, LedgerConfig, Published, Refusal, Roll, Snapshot, Steadiness, Survey, SurveyConfig};
use tokio::sync::watch;
use tokio::time::sleep;

const SEED: u64 = 20_261_122;
const BEGINS: i64 = 1_790_000_000;
const MINUTE: i64 = 60;

/// The calendar of the rehearsal. It moves on when all conversations are over that are due: however slow the machine is, the same
/// is seen.
static NOW: AtomicI64 = AtomicI64::new(BEGINS);

fn now() -> i64 {
    NOW.load(Ordering::SeqCst)
}

/// Has a network of 1,000 peers surveyed until it is known who stays, an hour longer, and until all of it has died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_good_of_a_thousand_peers_are_named_and_none_of_the_others_ever_is() {
    println!("seed {SEED}");
    let clock = Clock::told(&NOW);
    let peers = Peers::new(clock, SEED);
    peers.listen().await;
    let snapshot = converges(&peers, clock).await;
    dies(&peers, snapshot, clock).await;
}

fn survey(peers: &Peers, clock: Clock, tasks: &Tasks, settle_for: Duration) -> Survey {
    let surveyor = Surveyor::new(survey_config(NETWORK), Connector::direct(), clock, tasks.spawner());
    let ledger = LedgerConfig { scope: Scope::Private, ..LedgerConfig::new(NETWORK) };
    let config = SurveyConfig { look_every: Duration::from_millis(2), settle_for, ..SurveyConfig::default() };
    Survey::new(config, Ledger::new(ledger, HEIGHT, [7; 32]), peers.probe(), surveyor, clock, [8; 32])
}

/// What was seen of all that was published.
#[derive(Debug, Default)]
struct Seen {
    /// Those named at any time.
    ever: BTreeSet<IpAddr>,
    /// After how many minutes all good ones were named.
    all_after: Option<i64>,
    /// The fewest good ones named from then on.
    least: usize,
    published: u32,
    /// Those who come and go, and were good at a time by the rules that Bitcoin's seeders share.
    flapping: BTreeSet<IpAddr>,
    last: Arc<Published>,
}

impl Seen {
    fn note(&mut self, peers: &Peers, ledger: &Ledger, last: Arc<Published>) {
        let nodes = &last.vetting.roll.nodes;
        let good = nodes.iter().filter(|node| peers.kind(node.ip) == Kind::Good).count();
        self.ever.extend(nodes.iter().map(|node| node.ip));
        self.published += 1;
        if good == 300 && self.all_after.is_none() {
            (self.all_after, self.least) = (Some((now() - BEGINS) / MINUTE), good);
        }
        self.least = self.least.min(good);
        for report in ledger.reports(now().into()).filter(|report| report.reliability.is_good()) {
            let ip = report.address.socket_addr().unwrap().ip();
            if matches!(peers.kind(ip), Kind::Flapping { .. }) {
                self.flapping.insert(ip);
            }
        }
        self.last = last;
    }
}

async fn converges(peers: &Peers, clock: Clock) -> Snapshot {
    let tasks = Tasks::new();
    let settle_for = Duration::from_secs(u64::from(Steadiness::STAY) + 15 * 60);
    let mut survey = survey(peers, clock, &tasks, settle_for);
    survey.ledger_mut().introduce([first()], now().into());
    let (mut seen, mut published) = (Seen::default(), survey.published());
    let (over, mut is_over) = watch::channel(false);
    let turn = |ledger: &mut Ledger, _| {
        if published.has_changed().unwrap() {
            seen.note(peers, ledger, Arc::clone(&published.borrow_and_update()));
        }
        if ledger.trying() == 0 {
            NOW.fetch_add(5, Ordering::SeqCst);
        }
        over.send_replace(now() >= BEGINS + 150 * MINUTE);
    };
    tokio::select! {
        () = survey.run(turn) => unreachable!("it goes on without end"),
        is_over = is_over.wait_for(|is_over| *is_over) => assert!(*is_over.unwrap()),
    }
    let (counts, refused) = (seen.last.counts, &seen.last.vetting.refused);
    println!(
        "{} published, all good ones named after {:?} minutes, at least {} from then on; {} who come and go good by the \
         shared rules; {counts:?}; {refused:?}",
        seen.published,
        seen.all_after,
        seen.least,
        seen.flapping.len()
    );
    let others = seen.ever.iter().map(|ip| (ip, peers.kind(*ip))).filter(|(_, kind)| *kind != Kind::Good);
    assert_eq!(others.collect::<Vec<_>>(), [], "seed {SEED}");
    assert!(seen.all_after.is_some_and(|minutes| minutes <= 90), "seed {SEED}: {:?}", seen.all_after);
    assert!(seen.least >= 297, "seed {SEED}: {}", seen.least);
    assert_eq!(seen.last.tracked, 1_200, "all were told of");
    for (reason, count) in [(Refusal::OtherChain, 200), (Refusal::Obsolete, 200), (Refusal::Silent, 200)] {
        assert!(refused.get(&reason).is_some_and(|each| *each >= count), "{reason:?}: {refused:?}");
    }
    assert!(seen.flapping.len() > 50, "otherwise nothing was shown of them");
    survey.snapshot()
}

/// The survey goes on from what was kept, and DNS tells what it finds: within the time to live of the network's last answer,
/// nothing.
async fn dies(peers: &Peers, snapshot: Snapshot, clock: Clock) {
    let tasks = Tasks::new();
    let mut survey = survey(peers, clock, &tasks, Duration::ZERO);
    survey.ledger_mut().resume(snapshot, now().into());
    let service = Service::of([zone(MAIN, Some(keys()))], lenient()).await;
    let (published, question) = (survey.published(), ask(MAIN, RecordType::A));
    let (told, mut is_told) = watch::channel(0);
    let until = AtomicI64::new(now());
    let turn = |_: &mut Ledger, _| {
        if now() < until.load(Ordering::SeqCst) {
            NOW.fetch_add(1, Ordering::SeqCst);
        }
    };
    let story = async {
        let named = loop {
            let named = addresses(&service.udp(&question).await);
            if !named.is_empty() {
                break named;
            }
            until.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(named.len(), 25);
        assert!(named.iter().all(|ip| peers.kind(*ip) == Kind::Good), "{named:?}");
        peers.die();
        let died = now();
        // What is published at most six seconds before is what is asked for.
        for (seconds, is_empty) in [(30, false), (60, true), (600, true)] {
            until.store(died + seconds, Ordering::SeqCst);
            is_told.wait_for(|told| *told >= died + seconds - 6).await.unwrap();
            let named = addresses(&service.udp(&question).await);
            assert_eq!(named.is_empty(), is_empty, "{seconds} s after the network died: {named:?}");
        }
    };
    tokio::select! {
        () = survey.run(turn) => unreachable!("it goes on without end"),
        () = tell(&service, published, told) => unreachable!("as does this"),
        () = story => {}
    }
    assert_eq!(*survey.rolls().borrow().as_ref(), Roll::default());
    service.end().await;
}

async fn tell(service: &Service, mut published: watch::Receiver<Arc<Published>>, told: watch::Sender<i64>) {
    while published.changed().await.is_ok() {
        let published = Arc::clone(&published.borrow_and_update());
        service.zones.update(MAIN, published.vetting.roll.clone(), dns_support::now()).await.unwrap();
        told.send_replace(published.at.0.into());
    }
    std::future::pending::<()>().await;
}

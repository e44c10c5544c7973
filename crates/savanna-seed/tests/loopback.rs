//! A survey over real connections: a network of a thousand peers, most of whom are not worth naming, hours within seconds.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(missing_docs, reason = "tests")]

mod dns_support;
mod loopback_network;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dns_support::{MAIN, Service, addresses, ask, keys, lenient, zone};
use hickory_proto::rr::RecordType;
use loopback_network::{HEIGHT, Kind, NETWORK, Peers, first};
use savanna_net::{Clock, Connector, Tasks};
use savanna_peerset::crawler::{Scope, Surveyor, survey_config};
use savanna_seed::{Ledger, LedgerConfig, Published, Refusal, Roll, Snapshot, Steadiness, Survey, SurveyConfig};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

const SEED: u64 = 20_261_122;
const BEGINS: i64 = 1_790_000_000;
/// How many times as fast the days go by.
const TIMES: u32 = 360;
const MINUTE: u32 = 60;

/// Returns what so many seconds of the rehearsal take.
fn real(seconds: u32, times: u32) -> Duration {
    Duration::from_secs(seconds.into()) / times
}

fn survey(peers: &Peers, clock: Clock, tasks: &Tasks, config: SurveyConfig, ledger: LedgerConfig) -> Survey {
    let surveyor = Surveyor::new(survey_config(NETWORK), Connector::direct(), clock, tasks.spawner());
    Survey::new(config, Ledger::new(ledger, HEIGHT, [7; 32]), peers.probe(), surveyor, clock, [8; 32])
}

fn on_loopback(stale_after: u32) -> LedgerConfig {
    LedgerConfig { scope: Scope::Private, stale_after, ..LedgerConfig::new(NETWORK) }
}

/// What was seen of all that was published.
#[derive(Debug, Default)]
struct Seen {
    /// Those named at any time.
    ever: BTreeSet<IpAddr>,
    /// Minutes until all good ones were named.
    all_after: Option<u32>,
    /// The fewest good ones named from then on.
    least: usize,
    published: u32,
    last: Arc<Published>,
}

/// Has a network of 1,000 peers surveyed until it is known who stays, half an hour longer, and until all of it has died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_good_of_a_thousand_peers_are_named_and_none_of_the_others_ever_is() {
    println!("seed {SEED}");
    let clock = Clock::rehearse(BEGINS, TIMES);
    let peers = Peers::new(clock, SEED);
    peers.listen().await;
    let snapshot = converges(&peers, clock).await;
    dies(&peers, snapshot, clock.now().unix).await;
}

async fn converges(peers: &Peers, clock: Clock) -> Snapshot {
    let tasks = Tasks::new();
    let config = SurveyConfig {
        look_every: real(15, TIMES),
        publish_every: real(30, TIMES),
        settle_for: real(Steadiness::STAY + 6 * MINUTE, TIMES),
    };
    let mut survey = survey(peers, clock, &tasks, config, on_loopback(3_600));
    survey.ledger_mut().introduce([first()], clock.now().unix.into());
    let (seen, published) = (Mutex::new(Seen::default()), survey.published());
    let mut flapping_by_windows = BTreeSet::new();
    let turn = |ledger: &mut Ledger, now| {
        for report in ledger.reports(now) {
            let ip = report.address.socket_addr().unwrap().ip();
            if matches!(peers.kind(ip), Kind::Flapping { .. }) && report.reliability.is_good() {
                flapping_by_windows.insert(ip);
            }
        }
    };
    tokio::select! {
        () = survey.run(turn) => unreachable!("it goes on without end"),
        () = watch_all(peers, published, &seen) => unreachable!("as does this"),
        () = sleep(real(120 * MINUTE, TIMES)) => {}
    }
    let seen = seen.into_inner().unwrap();
    let (counts, refused) = (seen.last.counts, &seen.last.vetting.refused);
    println!(
        "{} published, all good ones named after {:?} minutes, at least {} from then on; {} flapping ones good by the early \
         rule; {counts:?}; {refused:?}",
        seen.published,
        seen.all_after,
        seen.least,
        flapping_by_windows.len()
    );
    let others: Vec<_> =
        seen.ever.iter().map(|ip| (ip, peers.kind(*ip))).filter(|(_, kind)| *kind != Kind::Good).collect();
    assert_eq!(others, [], "seed {SEED}");
    assert!(seen.all_after.is_some_and(|minutes| minutes <= 90), "seed {SEED}: {:?}", seen.all_after);
    assert!(seen.least >= 297, "seed {SEED}: {}", seen.least);
    assert_eq!(seen.last.tracked, 1_200, "all were told of");
    for (reason, count) in [(Refusal::OtherChain, 200), (Refusal::Obsolete, 200), (Refusal::Silent, 200)] {
        assert!(refused.get(&reason).is_some_and(|each| *each >= count), "{reason:?}: {refused:?}");
    }
    assert!(flapping_by_windows.len() > 50, "otherwise nothing was shown of them");
    survey.snapshot()
}

async fn watch_all(peers: &Peers, mut published: watch::Receiver<Arc<Published>>, seen: &Mutex<Seen>) {
    while published.changed().await.is_ok() {
        let last = Arc::clone(&published.borrow_and_update());
        let mut seen = seen.lock().unwrap();
        let nodes = &last.vetting.roll.nodes;
        let good = nodes.iter().filter(|node| peers.kind(node.ip) == Kind::Good).count();
        seen.ever.extend(nodes.iter().map(|node| node.ip));
        seen.published += 1;
        if good == 300 && seen.all_after.is_none() {
            (seen.all_after, seen.least) = (Some((last.at.0 - u32::try_from(BEGINS).unwrap()) / MINUTE), good);
        }
        seen.least = seen.least.min(good);
        seen.last = last;
    }
    std::future::pending::<()>().await;
}

/// The survey goes on from what was kept, with the intervals of a seeder, and DNS tells what it finds: within the time to live
/// of the network's last answer, nothing.
async fn dies(peers: &Peers, snapshot: Snapshot, begins: i64) {
    const SLOWER: u32 = 8;
    let (tasks, clock) = (Tasks::new(), Clock::rehearse(begins, SLOWER));
    let usual = SurveyConfig::default();
    let config =
        SurveyConfig { look_every: usual.look_every / SLOWER, publish_every: usual.publish_every / SLOWER, ..usual };
    let mut survey = survey(peers, clock, &tasks, config, on_loopback(LedgerConfig::STALE_AFTER));
    survey.ledger_mut().resume(snapshot, clock.now().unix.into());
    let service = Service::of([zone(MAIN, Some(keys()))], lenient()).await;
    let published = survey.published();
    let question = ask(MAIN, RecordType::A);
    let story = async {
        let named = loop {
            let named = addresses(&service.udp(&question).await);
            if !named.is_empty() {
                break named;
            }
            sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(named.len(), 25);
        assert!(named.iter().all(|ip| peers.kind(*ip) == Kind::Good), "{named:?}");
        peers.die();
        let died = Instant::now();
        while !addresses(&service.udp(&question).await).is_empty() {
            let passed = died.elapsed() * SLOWER;
            assert!(passed <= Duration::from_secs(60), "still named {passed:?} after the network died");
            sleep(Duration::from_millis(20)).await;
        }
        println!("empty {:?} after the network died", died.elapsed() * SLOWER);
        sleep(real(30, SLOWER)).await;
        assert_eq!(addresses(&service.udp(&question).await), Vec::<IpAddr>::new());
    };
    tokio::select! {
        () = survey.run(|_, _| ()) => unreachable!("it goes on without end"),
        () = tell(&service, published) => unreachable!("as does this"),
        () = story => {}
    }
    assert_eq!(*survey.rolls().borrow().as_ref(), Roll::default());
    service.end().await;
}

async fn tell(service: &Service, mut published: watch::Receiver<Arc<Published>>) {
    while published.changed().await.is_ok() {
        let roll = published.borrow_and_update().vetting.roll.clone();
        service.zones.update(MAIN, roll, dns_support::now()).await.unwrap();
    }
    std::future::pending::<()>().await;
}

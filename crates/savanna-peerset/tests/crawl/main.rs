//! The crawl over real sockets, on loopback.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod farm;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use farm::{Farm, Habit};
use savanna_net::{Clock, Connector, Network, Tasks};
use savanna_peerset::crawler::{
    Census, Ending, MAX_DIALS, MAX_TALKS, Outcome, Plan, PlanConfig, Scope, Surveyor, survey_config,
};
use savanna_wire::PeerAddr;

/// Crawls from one address, and returns what was found and how many were in flight at most.
async fn crawl(from: PeerAddr) -> (Census, usize) {
    let (tasks, clock) = (Tasks::new(), Clock::start());
    let config = PlanConfig { network: Network::Regtest, scope: Scope::Private, overlays: false, until: None };
    let mut plan = Plan::new(config, [3; 32], clock.now());
    plan.introduce([from], clock.now());
    let surveyor = Surveyor::new(survey_config(Network::Regtest), Connector::direct(), clock, tasks.spawner());
    let mut most = 0;
    surveyor.run(&mut plan, |plan| most = most.max(plan.progress().in_flight)).await;
    assert!(plan.is_exhausted());
    (plan.census(clock.now()), most)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_census_misses_no_live_peer_among_the_silent_and_the_rude() {
    let mut raw = vec![Habit::HangsUp; 50];
    raw.extend([Habit::SaysNothing; 50]);
    let farm = Farm::start(300, &raw).await;
    let began = Instant::now();
    let (census, most) = crawl(farm.address(0).into()).await;
    let summary = census.summary();
    assert_eq!((summary.known, summary.reached, summary.refused, summary.silent), (400, 300, 50, 50));
    assert!(most <= MAX_DIALS + MAX_TALKS);
    // Two handshake deadlines with the rest between them, and room for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    assert_eq!(census.endings(Outcome::Refused), [(Ending::ClosedByPeer, 50)]);
    assert_eq!(census.endings(Outcome::Silent), [(Ending::TimedOut, 50)]);
    assert_eq!(census.round_trips().unwrap().count, 300);
    assert!(census.alive().all(|record| record.introduction.as_ref().unwrap().told.is_some_and(|told| told > 1)));
    assert_eq!(census.heights().unwrap().greatest, 299);
    for (number, visits) in farm.visits().iter().enumerate() {
        let (total, at_once) = (visits.total.load(Ordering::Relaxed), visits.most.load(Ordering::Relaxed));
        let allowed = if number < 300 { 1 } else { 2 };
        assert!(total <= allowed && at_once == 1, "peer {number} was connected to {total} times, {at_once} at once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_addresses_pushed_unasked_lead_nowhere() {
    let mut raw = vec![Habit::HangsUp; 40];
    raw.push(Habit::Pushes);
    let farm = Farm::start(0, &raw).await;
    let (census, _) = crawl(farm.address(40).into()).await;
    assert_eq!((census.summary().known, census.summary().reached), (1, 1));
    assert!(farm.visits()[..40].iter().all(|visits| visits.total.load(Ordering::Relaxed) == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_node_that_tells_late_is_waited_for_where_few_are_known() {
    let farm = Farm::start(0, &[Habit::TellsLate, Habit::HangsUp]).await;
    let (census, _) = crawl(farm.address(0).into()).await;
    assert_eq!((census.summary().known, census.summary().reached, census.summary().refused), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adversary_12_who_hangs_up_behind_its_version_is_counted_by_it() {
    let farm = Farm::start(0, &[Habit::OnlyVersion]).await;
    let (census, _) = crawl(farm.address(0).into()).await;
    let [record] = &census.records[..] else { panic!("{} nodes", census.records.len()) };
    assert_eq!((record.outcome, record.ending), (Outcome::Reached, Some(Ending::ClosedByPeer)));
    let introduction = record.introduction.as_ref().unwrap();
    assert_eq!((introduction.height, introduction.version.0), (-5, 170_190));
    assert_eq!(introduction.user_agent.to_string(), r"/Raw:\x1b[31m/");
}

use savanna_peerset::crawler::Scope;
use savanna_wire::Network;

use super::*;
use crate::LedgerConfig;

const NOW: UnixTime = UnixTime(1_790_000_000);

fn share() -> Share {
    let config = ShareConfig::new("host=/nowhere", "a", Network::Mainnet, Scope::Public).unwrap();
    Share::new(config, Clock::start(), [1; 32]).0
}

#[tokio::test]
async fn a_ledger_is_followed_in_time_and_not_each_time() {
    let ledger = Ledger::of(LedgerConfig::new(Network::Mainnet), [1; 32]);
    let mut share = share();
    let mut offers = share.own.subscribe();
    let mut is_offered = |now| {
        share.follow(&ledger, now);
        let is_new = offers.has_changed().unwrap();
        offers.mark_unchanged();
        is_new
    };
    assert!(is_offered(NOW), "at once");
    assert!((1..7).all(|seconds| !is_offered(NOW.plus(seconds))));
    assert!(is_offered(NOW.plus(7)), "twice in a round");
    assert!(is_offered(NOW.minus(86_400)), "a clock that was set back is no reason to wait a day");
}

#[tokio::test]
async fn what_is_offered_is_as_old_as_it_was_whatever_the_clock_says() {
    let share = share();
    let offered = |at| {
        share.offer(VantagePoint { at, sightings: Arc::default() });
        share.own.borrow().as_ref().unwrap().at
    };
    let now = UnixTime::from(share.clock.now().unix);
    let age = steady(&share.clock).since(offered(now.minus(50)));
    assert!((50..=52).contains(&age), "{age}");
    assert!(offered(now.plus(9_999)) <= steady(&share.clock), "nothing is of the future");
    assert_eq!(offered(UnixTime::NEVER), UnixTime::NEVER);
}

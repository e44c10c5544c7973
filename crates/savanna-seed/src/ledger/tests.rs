use savanna_chain::Upgrade;
use savanna_wire::{AddrV2, Services, UserAgent};

use super::*;
use crate::{Authority, Roll, VantagePoint};

mod liars;
mod refusing;
mod simulation;
mod space;

const START: UnixTime = UnixTime(1_790_000_000);
const HEIGHT: u32 = 3_522_460;
const HOUR: u32 = 60 * 60;

fn config(capacity: usize) -> LedgerConfig {
    LedgerConfig { capacity, ..LedgerConfig::new(Network::Mainnet) }
}

fn ledger(capacity: usize) -> Ledger {
    Ledger::new(config(capacity), HEIGHT, [7; 32])
}

/// A public address: the groups are all different up to 50,000.
fn address(number: u32) -> PeerAddr {
    let [_, a, b, c] = number.to_be_bytes();
    let [high, low] = [20 + b / 2, c];
    format!("{high}.{low}.{}.{}:8233", 1 + a, 1 + b % 2).parse().unwrap()
}

fn said() -> Handshake {
    Handshake {
        version: ProtocolVersion(170_190),
        services: Services(5),
        height: i32::try_from(HEIGHT).unwrap() + 40_000,
        user_agent: UserAgent::new(&b"/Savanna:0.1.0/"[..]).unwrap(),
    }
}

fn met() -> Tried {
    Tried::Met { said: said(), chain: Chain::Ours }
}

fn told(addresses: impl IntoIterator<Item = PeerAddr>) -> Vec<AddrV2> {
    let entry = |address| AddrV2 { time: 0, services: Services::NONE, address };
    addresses.into_iter().map(entry).collect()
}

/// Holds all conversations that are due for so many seconds, ten at a time.
fn play(ledger: &mut Ledger, from: UnixTime, seconds: u32, mut of: impl FnMut(&Try, UnixTime) -> Tried) -> UnixTime {
    let mut now = from;
    while now < from.plus(seconds) {
        while let Some(next) = ledger.poll_try(now) {
            let tried = of(&next, now);
            ledger.note(next.address, tried, now);
        }
        now = now.plus(10);
    }
    now
}

#[test]
fn a_node_that_answers_is_named_at_once_and_stays_named() {
    let mut ledger = ledger(100);
    ledger.introduce([address(1)], START);
    assert_eq!(ledger.roll(START), Roll::default());
    let first = ledger.poll_try(START).unwrap();
    assert_eq!(first, Try { address: address(1), depth: Depth::Deep, asks_addresses: true });
    assert_eq!(ledger.poll_try(START), None, "one conversation at a time");
    ledger.note(address(1), met(), START);
    assert_eq!(ledger.roll(START).nodes.len(), 1);
    let mut deep = 0;
    let mut now = START;
    for minute in 0..48 * 60 {
        now = play(&mut ledger, now, 60, |next, _| {
            deep += usize::from(next.depth == Depth::Deep);
            met()
        });
        assert_eq!(ledger.roll(now).nodes.len(), 1, "minute {minute}");
    }
    assert!((3..=4).contains(&deep), "its chain is shown anew twice a day: {deep}");
}

#[test]
fn a_newcomer_is_named_after_an_hour_once_enough_others_are_known_to_stay() {
    let mut ledger = ledger(100);
    ledger.introduce((0..30).map(address), START);
    let now = play(&mut ledger, START, HOUR, |_, _| met());
    let vetting = ledger.vet(now);
    assert_eq!(
        (vetting.roll.nodes.len(), vetting.is_provisional),
        (30, true),
        "in the first hour it is enough to answer"
    );
    let now = play(&mut ledger, now, 1_000, |_, _| met());
    ledger.introduce([address(40)], now);
    let now = play(&mut ledger, now, HOUR, |_, _| met());
    let vetting = ledger.vet(now);
    assert_eq!((vetting.roll.nodes.len(), vetting.is_provisional), (30, false));
    assert_eq!(vetting.refused, BTreeMap::from([(Refusal::New, 1)]));
    let opinions = VantagePoint::of(&ledger, now).sightings;
    assert_eq!(opinions.len(), 30, "of the newcomer others may know more");
    let now = play(&mut ledger, now, 1_000, |_, _| met());
    assert_eq!(ledger.roll(now).nodes.len(), 31);
}

#[test]
fn a_node_that_goes_is_named_no_longer_than_until_its_second_failure() {
    let mut ledger = ledger(100);
    ledger.introduce([address(1), address(2)], START);
    let now = play(&mut ledger, START, 40 * 24 * HOUR, |_, _| met());
    assert_eq!(ledger.roll(now).nodes.len(), 2);
    let gone = |next: &Try, _| if next.address == address(1) { Tried::Missed } else { met() };
    let now = play(&mut ledger, now, HOUR + 400, gone);
    assert_eq!(ledger.roll(now).nodes.len(), 1);
    assert_eq!(ledger.refusals(now), BTreeMap::from([(Refusal::Failing, 1)]));
}

#[test]
fn nobody_is_named_once_nobody_answers_and_nobody_is_blamed() {
    let mut ledger = ledger(1_000);
    ledger.introduce((0..50).map(address), START);
    let mut now = play(&mut ledger, START, 12 * HOUR, |_, _| met());
    let before: Vec<_> = ledger.reports(now).map(|report| *report.reliability).collect();
    assert_eq!(ledger.roll(now).nodes.len(), 50);
    let last_heard = ledger.last_heard();
    let mut asked = 0;
    for _ in 0..24 * 360 {
        now = play(&mut ledger, now, 10, |_, _| {
            asked += 1;
            Tried::Missed
        });
        let is_over = now.since(last_heard) > LedgerConfig::STALE_AFTER;
        assert_eq!(ledger.roll(now).nodes.is_empty(), is_over, "{} s", now.since(last_heard));
    }
    let blamed = ledger.reports(now).zip(&before).filter(|(report, before)| *report.reliability != **before).count();
    assert!(blamed <= 8, "only what was tried in the first minute counts: {blamed}");
    assert!(asked > 24 * 60, "somebody is asked every minute: {asked}");
    // The network is back: the first answer names all who were good and met within three hours, the rest follow.
    let now = play(&mut ledger, now, 30 * 60, |_, _| met());
    assert!(ledger.roll(now).nodes.len() >= 45, "{:?}", ledger.vet(now));
}

#[test]
fn a_restart_names_nobody_before_somebody_answers() {
    let mut before = ledger(100);
    before.introduce((0..20).map(address), START);
    let now = play(&mut before, START, 12 * HOUR, |_, _| met());
    let mut after = ledger(100);
    after.resume(before.snapshot(), now);
    assert_eq!(after.snapshot(), before.snapshot());
    assert_eq!(after.roll(now), Roll::default());
    let now = play(&mut after, now, 10, |_, _| met());
    assert_eq!(after.roll(now).nodes.len(), 20);
}

#[test]
fn what_we_could_not_try_says_nothing() {
    let mut ledger = ledger(100);
    ledger.introduce([address(1)], START);
    let mut tries = 0;
    let now = play(&mut ledger, START, 600, |_, _| {
        tries += 1;
        Tried::Unsettled
    });
    // After one, two, four minutes.
    assert_eq!((tries, ledger.refusals(now)), (4, BTreeMap::from([(Refusal::Untried, 1)])));
    let now = START.plus(900);
    let next = ledger.poll_try(now).unwrap();
    ledger.forget_tries(now);
    ledger.note(next.address, met(), now.plus(1));
    assert_eq!((ledger.trying(), ledger.refusals(now)), (0, BTreeMap::from([(Refusal::Untried, 1)])));
}

#[test]
fn what_is_noted_unasked_is_not_heard() {
    let mut ledger = ledger(100);
    ledger.introduce([address(1)], START);
    ledger.note(address(1), met(), START);
    ledger.note(address(2), met(), START);
    assert_eq!((ledger.tracked(), ledger.roll(START)), (1, Roll::default()));
}

#[test]
fn conversations_are_bounded_and_some_are_kept_for_those_who_answered() {
    let mut ledger = ledger(5_000);
    ledger.introduce((0..100).map(address), START);
    let now = play(&mut ledger, START, 10, |_, _| met());
    ledger.introduce((100..3_000).map(address), now);
    let mut asked = Vec::new();
    while let Some(next) = ledger.poll_try(now) {
        asked.push(next.address);
    }
    assert_eq!((asked.len(), ledger.trying()), (MAX_TRIES - FOR_PROVEN, MAX_TRIES - FOR_PROVEN));
    let later = now.plus(2 * HOUR);
    ledger.note(asked[0], met(), later);
    while ledger.poll_try(later).is_some() {}
    assert_eq!(ledger.trying(), MAX_TRIES);
}

#[test]
fn only_who_could_be_named_is_taken_from_what_is_told() {
    let mut ledger = ledger(100);
    let bad = ["1.1.1.1:8234", "10.0.0.1:8233", "127.0.0.1:8233", "0.0.0.0:8233", "[2001:db8::1]:8233", "1.1.1.1:8033"];
    assert_eq!(ledger.hear(address(1), &told(bad.map(|text| text.parse().unwrap())), START), 0);
    let good: PeerAddr = "1.1.1.1:8233".parse().unwrap();
    assert_eq!(ledger.hear(address(1), &told([good, good]), START), 1);
    assert_eq!(ledger.hear(address(2), &told([good]), START), 0);
}

#[test]
fn adversary_16_a_flood_of_addresses_displaces_itself() {
    let mut ledger = ledger(1_600);
    ledger.introduce((0..800).map(address), START);
    let now = play(&mut ledger, START, 20 * HOUR, |_, _| met());
    let before = ledger.roll(now);
    assert_eq!(before.nodes.len(), 800);
    // One teller makes up addresses all over the world, another fills his own range.
    let mut taken = [0, 0];
    for turn in 0..200_u32 {
        taken[0] +=
            ledger.hear(address(1), &told((0..1_000).map(|each| address(10_000 + 1_000 * (turn % 30) + each))), now);
        let own = (0..1_000).map(|each| format!("210.1.{}.{}:8233", turn, each % 250).parse().unwrap());
        taken[1] += ledger.hear(address(2), &told(own), now);
    }
    assert!(taken[0] <= 100 && taken[1] <= 100, "a sixteenth each: {taken:?}");
    assert_eq!(ledger.roll(now), before);
    // Many tellers, more than there is room for: whoever is good stays, and so the ledger's size.
    for teller in 1_000..2_000 {
        ledger.hear(address(teller), &told((0..60).map(|each| address(12_000 + 37 * (teller - 1_000) + each))), now);
    }
    assert_eq!(ledger.tracked(), 1_600);
    assert_eq!(ledger.roll(now), before);
    // What never answers makes room for those who come later.
    let now = play(&mut ledger, now, 3 * HOUR, |next, _| {
        if before.nodes.iter().any(|node| next.address.socket_addr().unwrap().ip() == node.ip) {
            met()
        } else {
            Tried::Missed
        }
    });
    assert!(ledger.hear(address(3), &told((49_000..49_050).map(address)), now) > 25);
    assert_eq!(ledger.roll(now), before);
}

#[test]
fn adversary_13_a_clock_that_jumps_leaves_the_schedule_whole() {
    let mut ledger = ledger(100);
    ledger.introduce((0..20).map(address), START);
    let now = play(&mut ledger, START, 12 * HOUR, |_, _| met());
    for jump in [now.minus(300 * 24 * HOUR), now, now.plus(300 * 24 * HOUR), UnixTime(u32::MAX - 100_000), now] {
        let now = play(&mut ledger, jump, 2 * HOUR, |_, _| met());
        assert_eq!(ledger.roll(now).nodes.len(), 20, "{jump:?}: {:?}", ledger.vet(now));
    }
}

#[test]
fn the_floor_follows_the_network_and_drops_those_who_stay_behind() {
    let mut ledger = ledger(100);
    assert_eq!(ledger.floor().version, ProtocolVersion(170_160));
    ledger.introduce((0..30).map(address), START);
    let is_old = |address: PeerAddr| (0..5).any(|each| address == self::address(each));
    let mut now = START;
    for _ in 0..6 * 60 {
        now = play(&mut ledger, now, 60, |next, _| {
            let version = ProtocolVersion(if is_old(next.address) { 170_160 } else { 170_190 });
            Tried::Met { said: Handshake { version, ..said() }, chain: Chain::Ours }
        });
        ledger.review_floor(now);
    }
    assert_eq!(ledger.floor().version, ProtocolVersion(170_190));
    assert!(matches!(ledger.floor().authority, Authority::Observed { of: 30, .. }), "{:?}", ledger.floor());
    assert_eq!(ledger.refusals(now), BTreeMap::from([(Refusal::Obsolete, 5)]));
}

#[test]
fn before_an_upgrade_those_who_are_ready_are_named_alone_if_they_are_enough() {
    for (ready, named) in [(7, 20), (8, 8)] {
        let mut ledger = ledger(100);
        ledger.introduce((0..20).map(address), START);
        let near = Upgrade::Nu7.activation_height(Network::Mainnet).unwrap() - 1_000;
        let now = play(&mut ledger, START, 10, |next, _| {
            let is_ready = (0..ready).any(|each| next.address == address(each));
            let version = ProtocolVersion(if is_ready { 170_190 } else { 170_160 });
            let height = i32::try_from(near).unwrap();
            Tried::Met { said: Handshake { version, height, ..said() }, chain: Chain::Ours }
        });
        let vetting = ledger.vet(now);
        assert_eq!((vetting.roll.nodes.len(), vetting.good), (named, named));
        assert_eq!(vetting.refused.get(&Refusal::NotReady).copied().unwrap_or(0), 20 - named);
        let reported = ledger.reports(now).filter(|report| report.verdict == Err(Refusal::NotReady)).count();
        assert_eq!(reported, 20 - named, "whoever writes it down sees the same");
    }
}

#[test]
fn adversary_13_few_groups_do_not_move_the_height() {
    let mut ledger = ledger(4_000);
    ledger.introduce((0..20).map(address), START);
    // Four hundred liars of two groups.
    let liars: Vec<PeerAddr> =
        (0..400).map(|each| format!("200.{}.1.{}:8233", each % 2, 1 + each / 2).parse().unwrap()).collect();
    ledger.introduce(liars.clone(), START);
    let now = play(&mut ledger, START, 60, |next, _| {
        let height = if liars.contains(&next.address) { i32::MAX } else { said().height };
        Tried::Met { said: Handshake { height, ..said() }, chain: Chain::Ours }
    });
    let vetting = ledger.vet(now);
    assert_eq!((vetting.roll.nodes.len(), vetting.refused.get(&Refusal::Ahead)), (20, Some(&400)));
}

/// Prints what 50,000 nodes take, all of which have answered; the bound leaves room for what the allocator keeps.
#[cfg(target_os = "linux")]
#[test]
fn fifty_thousand_nodes_take_little_memory() {
    let resident = || -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        4_096 * pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident();
    let mut ledger = ledger(LedgerConfig::CAPACITY);
    let group = |number: u32| -> PeerAddr {
        format!("{}.{}.{}.{}:8233", 20 + number % 150, number / 150 % 250, number / 37_500, 1).parse().unwrap()
    };
    ledger.introduce((0..50_000).map(group), START);
    play(&mut ledger, START, 10, |_, _| met());
    let taken = resident().saturating_sub(before);
    let tracked = ledger.tracked() as u64;
    println!("{tracked} nodes take {} KiB, {} bytes each", taken / 1_024, taken / tracked);
    assert_eq!(tracked, 50_000);
    assert!(ledger.roll(START.plus(10)).nodes.len() > 45_000, "but for private ranges, all are named");
    assert!(taken < 150 << 20, "{taken}");
}

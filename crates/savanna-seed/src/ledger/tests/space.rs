//! Who is taken in, and who goes for it.

use super::*;

fn of_range(number: u32) -> PeerAddr {
    let [_, _, high, low] = number.to_be_bytes();
    format!("60.9.{high}.{low}:8233").parse().unwrap()
}

#[test]
fn adversary_16_a_range_full_of_nobodies_has_room_for_a_node() {
    let mut ledger = ledger(LedgerConfig::CAPACITY);
    ledger.introduce((0..50).map(address), START);
    let now = play(&mut ledger, START, 10, |_, _| met());
    ledger.hear(address(1), &told((0..3_125).map(of_range)), now);
    ledger.hear(address(2), &told((3_125..6_250).map(of_range)), now);
    assert_eq!(ledger.tracked(), 6_300);
    let is_nobody = |address: PeerAddr| Netgroup::of(address.host) == Netgroup::of(of_range(0).host);
    let now = play(&mut ledger, now, 300, |next, _| if is_nobody(next.address) { Tried::Missed } else { met() });
    assert_eq!(ledger.hear(address(3), &told([of_range(7_000)]), now), 1, "the range is full of what failed");
    assert_eq!(ledger.hear(address(1), &told([address(9_000)]), now), 1, "the teller may tell of another");
    assert!(ledger.tracked() <= 6_301);
    play(&mut ledger, now, 4 * 24 * HOUR, |next, _| match is_nobody(next.address) {
        true => Tried::Missed,
        false => met(),
    });
    assert_eq!(ledger.tracked(), 51, "what has not answered for days is forgotten");
}

/// Addresses without a route are tried ever less, and make room.
#[test]
fn adversary_16_addresses_that_have_no_route_hold_no_places() {
    let mut ledger = ledger(LedgerConfig::CAPACITY);
    ledger.introduce((0..50).map(address), START);
    let now = play(&mut ledger, START, 10, |_, _| met());
    ledger.hear(address(1), &told((0..3_125).map(of_range)), now);
    let is_of_range = |address: PeerAddr| Netgroup::of(address.host) == Netgroup::of(of_range(0).host);
    let mut tries = 0;
    let now = play(&mut ledger, now, 24 * HOUR, |next, _| match is_of_range(next.address) {
        true => {
            tries += 1;
            Tried::Unsettled
        }
        false => met(),
    });
    assert!(tries <= 12 * 3_125, "{tries}");
    assert_eq!(ledger.hear(address(1), &told([address(9_000)]), now), 1);
}

#[test]
fn what_the_operator_named_is_tried_for_ever() {
    let mut ledger = ledger(100);
    ledger.introduce([address(0)], START);
    play(&mut ledger, START, 20 * 24 * HOUR, |_, _| Tried::Missed);
    assert_eq!(ledger.tracked(), 1);
}

/// Of one /64, which costs its owner nothing, eight are taken.
#[test]
fn adversary_23_a_subnet_full_of_nodes_that_answer_is_few_of_them() {
    let mut ledger = ledger(1_000);
    ledger.introduce((0..50).map(address), START);
    let now = play(&mut ledger, START, 10, |_, _| met());
    let sybil = |subnet: u32, each: u32| format!("[2a01:4f8:{subnet:x}:1::{each:x}]:8233").parse::<PeerAddr>().unwrap();
    let taken = ledger.hear(address(1), &told((1..60).map(|each| sybil(1, each))), now);
    assert_eq!(taken, 8);
    // Subnets by the dozen, of one group that answers, fill no more than that group's part.
    for subnet in 2..40 {
        ledger.hear(address(subnet), &told((1..60).map(|each| sybil(subnet, each))), now);
    }
    play(&mut ledger, now, HOUR, |_, _| met());
    assert_eq!(ledger.tracked(), 50 + 125);
}

/// A ledger filled by sybils that answer has room for a node of a group that has few.
#[test]
fn adversary_23_crowds_that_answer_make_room_for_those_who_are_few() {
    let mut ledger = ledger(400);
    for group in 0..8 {
        let crowd = (0..50).map(|each| format!("{}.7.{each}.1:8233", 100 + group).parse().unwrap());
        ledger.introduce(crowd, START);
    }
    let now = play(&mut ledger, START, 2 * HOUR, |_, _| met());
    assert_eq!((ledger.tracked(), ledger.roll(now).nodes.len()), (400, 400));
    let new = ledger.hear(address(1), &told((10..40).map(address)), now);
    assert!(new >= 20, "{new} of 30 found room");
    assert_eq!(ledger.tracked(), 400);
}

#[test]
fn what_is_nowhere_is_not_introduced() {
    let mut ledger = ledger(100);
    let nowhere = ["[::]:8233", "0.0.0.0:8233", "224.0.0.1:8233", "1.1.1.1:0"];
    ledger.introduce(nowhere.map(|text| text.parse().unwrap()), START);
    assert_eq!(ledger.tracked(), 0);
}

/// The clock was a month ahead while the ledger was kept, and is right after the start.
#[test]
fn adversary_13_a_start_after_a_clock_that_was_ahead_goes_on_at_once() {
    let ahead = START.plus(30 * 24 * HOUR);
    let mut before = ledger(100);
    before.introduce((0..20).map(address), ahead);
    let kept = play(&mut before, ahead, 12 * HOUR, |_, _| met());
    let mut after = ledger(100);
    after.resume(before.snapshot(), START.plus(12 * HOUR));
    let mut tries = 0;
    let now = play(&mut after, START.plus(12 * HOUR), 2 * HOUR, |next, _| {
        tries += usize::from(next.asks_addresses);
        met()
    });
    assert!(tries >= 20 && after.roll(now).nodes.len() == 20, "{tries} tries after {kept:?}: {:?}", after.vet(now));
}

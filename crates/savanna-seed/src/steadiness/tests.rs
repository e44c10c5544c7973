use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

const START: UnixTime = UnixTime(1_790_000_000);

/// Tries so many seconds apart.
fn played(tries: &str, apart: u32) -> Steadiness {
    let mut steadiness = Steadiness::NEW;
    for (at, each) in (0_u32..).zip(tries.bytes()) {
        steadiness.note(each == b'1', START.plus(at * apart));
    }
    steadiness
}

#[test]
fn a_node_has_stayed_after_an_hour_without_an_absence() {
    for (tries, apart, has_stayed) in [
        ("", 480, false),
        ("1", 480, false),
        ("11111111", 480, false),
        ("111111111", 480, true),
        ("0111111111", 480, true),
        // One failure before, and the hour begins anew.
        ("1111111011111111", 480, false),
        ("11111110111111111", 480, true),
        // One behind it may be ours; two in a row are not.
        ("1111111110", 480, true),
        ("11111111101", 480, true),
        ("11111111100", 480, false),
        ("111111111001", 480, false),
        ("111111111010101", 480, true),
        // What was not looked at does not count, until it is known to stay.
        ("1111111111", Steadiness::GAP, true),
        ("1111111111", Steadiness::GAP + 1, false),
    ] {
        assert_eq!(played(tries, apart).has_stayed(), has_stayed, "{tries} every {apart} s");
    }
    let mut stayed = played("111111111", 480);
    stayed.note(true, START.plus(7 * 24 * 60 * 60));
    assert!(stayed.has_stayed(), "later tries may be far apart");
}

#[test]
fn a_node_that_comes_and_goes_does_not_stay_by_chance() {
    let mut steadiness = played("10101011", 480);
    assert!(steadiness.is_flapping());
    let mut now = START.plus(8 * 480);
    for turn in 0..24 {
        assert!(!steadiness.has_stayed(), "turn {turn}");
        steadiness.note(true, now);
        now = now.plus(480);
    }
    // A day of tries later it is one like others, and has to stay for an hour from there.
    (0..20).for_each(|turn| steadiness.note(true, now.plus(turn * 480)));
    assert!(steadiness.has_stayed());
}

#[test]
fn a_time_of_which_nothing_is_known_is_no_stay() {
    let mut steadiness = played("11111", 480);
    let now = START.plus(4 * 480 + 7_200);
    steadiness.skip(7_200, now);
    steadiness.note(true, now.plus(480));
    assert!(!steadiness.has_stayed());
    (2..5).for_each(|turn| steadiness.note(true, now.plus(turn * 480)));
    assert!(steadiness.has_stayed());
    steadiness.set_back(1_000_000);
    assert!(steadiness.has_stayed());
    assert_eq!(Steadiness::from_bytes(steadiness.to_bytes()), steadiness);
}

#[test]
fn changes_are_counted_over_the_last_tries() {
    let changes = |tries: &str| {
        let mut steadiness = Steadiness::NEW;
        tries.bytes().for_each(|each| steadiness.note(each == b'1', START));
        steadiness.changes()
    };
    for (tries, count) in [("", 0), ("1", 0), ("0", 0), ("11", 0), ("01", 1), ("10", 1), ("0011", 1), ("010101", 5)] {
        assert_eq!(changes(tries), count, "{tries}");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for _ in 0..200 {
        let tries: String =
            (0..rng.next_u32() % 100).map(|_| if rng.next_u32() % 2 == 0 { '0' } else { '1' }).collect();
        let last: Vec<u8> = tries.bytes().skip(tries.len().saturating_sub(31)).collect();
        let expected = last.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes(&tries) as usize, expected, "{tries}");
    }
    assert_eq!(changes(&"1".repeat(1_000)), 0);
}

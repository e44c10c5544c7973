use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

const START: UnixTime = UnixTime(1_790_000_000);
const SECONDS: [f64; 5] = [7_200.0, 28_800.0, 86_400.0, 604_800.0, 2_592_000.0];

/// A history of tries: how many seconds after the one before, and whether the node was there.
type History = Vec<(u32, bool)>;

fn played(history: &[(u32, bool)]) -> Reliability {
    let (mut reliability, mut now) = (Reliability::NEW, START);
    for (after, was_there) in history {
        now = now.plus(*after);
        reliability.note(*was_there, now);
    }
    reliability
}

/// The formulas as sums over the whole history, each try weighed by all that lies behind it.
fn by_sums(history: &[(u32, bool)], window: f64) -> (f64, f64, f64) {
    let ages: Vec<f64> =
        history.iter().enumerate().map(|(at, (after, _))| if at == 0 { 1_000.0 } else { f64::from(*after) }).collect();
    let (mut weight, mut count, mut reliability) = (0.0, 0.0, 0.0);
    for (at, (_, was_there)) in history.iter().enumerate() {
        let behind: f64 = ages[at + 1..].iter().sum();
        let kept = (-behind / window).exp();
        let own = 1.0 - (-ages[at] / window).exp();
        count += kept;
        weight += own * kept;
        reliability += if *was_there { own * kept } else { 0.0 };
    }
    (weight, count, reliability)
}

fn is_good_by_sums(history: &[(u32, bool)]) -> Option<bool> {
    let good = history.iter().filter(|(_, was_there)| *was_there).count();
    if !history.is_empty() && history.len() <= 3 && good * 2 >= history.len() {
        return Some(true);
    }
    let mut is_good = false;
    for (window, (least, more_than)) in
        SECONDS.into_iter().zip([(0.85, 2.0), (0.70, 4.0), (0.55, 8.0), (0.45, 16.0), (0.35, 32.0)])
    {
        let (_, count, reliability) = by_sums(history, window);
        // What stands on a threshold is for rounding to decide.
        if (reliability - least).abs() < 1e-4 || (count - more_than).abs() < 1e-3 {
            return None;
        }
        is_good |= reliability > least && count > more_than;
    }
    Some(is_good)
}

/// Rests in seconds by a rule of the window, threshold, count and rest; `None` where rounding decides.
fn rests_by_sums(history: &[(u32, bool)], rules: &[(usize, f64, f64, u32)]) -> Option<Option<u32>> {
    if is_good_by_sums(history)? {
        return Some(None);
    }
    for (window, below, more_than, rest) in rules {
        let (weight, count, reliability) = by_sums(history, SECONDS[*window]);
        let best = reliability - weight + 1.0;
        if (best - below).abs() < 1e-4 || (count - more_than).abs() < 1e-3 {
            return None;
        }
        if best < *below && count > *more_than {
            return Some(Some(*rest));
        }
    }
    Some(None)
}

fn histories() -> impl Iterator<Item = (u64, History)> {
    (0..400_u64).map(|seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let often = if seed % 4 == 0 { 4 } else { 101 };
        let (length, chance) = (1 + rng.next_u32() % 120, rng.next_u32() % often);
        let spans = [60, 2_000, 4_000, 30_000, 400_000];
        let longest = spans[(rng.next_u32() % 5) as usize];
        let one = |rng: &mut ChaCha8Rng| (rng.next_u32() % longest, rng.next_u32() % 100 < chance);
        (seed, (0..length).map(|_| one(&mut rng)).collect())
    })
}

#[test]
fn windows_agree_with_sums_over_the_whole_history() {
    let (mut judged, mut good, mut ignored, mut banned) = (0, 0, 0, 0);
    for (seed, history) in histories() {
        let reliability = played(&history);
        for (at, window) in Window::ALL.into_iter().enumerate() {
            let (weight, count, share) = by_sums(&history, SECONDS[at]);
            let sums = reliability.sums[at];
            assert!((f64::from(sums.weight) - weight).abs() < 1e-5, "seed {seed}, {window:?}: weight {weight}");
            assert!((f64::from(sums.reliability) - share).abs() < 1e-5, "seed {seed}, {window:?}: reliability {share}");
            assert!((f64::from(sums.count) - count).abs() < 1e-4 * count, "seed {seed}, {window:?}: count {count}");
        }
        if let Some(expected) = is_good_by_sums(&history) {
            assert_eq!(reliability.is_good(), expected, "seed {seed}");
            (judged, good) = (judged + 1, good + usize::from(expected));
        }
        let ignore = [(4, 0.20, 2.0, 864_000), (3, 0.16, 2.0, 259_200), (2, 0.12, 2.0, 28_800), (1, 0.08, 2.0, 7_200)];
        if let Some(expected) = rests_by_sums(&history, &ignore) {
            assert_eq!(reliability.ignore(), expected, "seed {seed}");
            ignored += usize::from(expected.is_some());
        }
        let ban = [(4, 0.15, 32.0, 2_592_000), (3, 0.10, 16.0, 604_800), (2, 0.05, 8.0, 86_400)];
        if let Some(expected) = rests_by_sums(&history, &ban) {
            assert_eq!(reliability.ban(), expected, "seed {seed}");
            banned += usize::from(expected.is_some());
        }
    }
    assert!(
        judged > 350 && good > 50 && good < judged - 50 && ignored > 20 && banned > 2,
        "{judged} {good} {ignored} {banned}"
    );
}

#[test]
fn cases_worked_by_hand() {
    const HOUR: u32 = 3_600;
    let every = |after: u32, tries: usize, was_there: bool| vec![(after, was_there); tries];
    // Of a node that was there at each try, a window knows 1 − e^(−age/window), and e^(−1.9) is just under 0.15.
    let cases: [(&str, History, bool); 12] = [
        ("no try", vec![], false),
        ("one success", vec![(0, true)], true),
        ("one failure", vec![(0, false)], false),
        ("one of two", vec![(0, false), (HOUR, true)], true),
        ("one of three", vec![(0, true), (HOUR, false), (HOUR, false)], false),
        ("two of three", vec![(0, true), (HOUR, false), (HOUR, true)], true),
        // The fourth: 1,000 s and 3 × 30 min are 6,400 s, and 1 − e^(−0.89) is 0.59.
        ("four tries in two hours", every(HOUR / 2, 4, true), false),
        // 1,000 s and 7 × 30 min are 13,600 s, and 1 − e^(−1.89) is 0.849.
        ("eight tries in half-hours", every(HOUR / 2, 8, true), false),
        ("nine tries in half-hours", every(HOUR / 2, 9, true), true),
        // 1,000 s and 3 × 4,300 s are 13,900 s: 0.855 of two hours, and a count of 1 + 0.550 + 0.303 + 0.167.
        ("four tries at the rests of a ledger", every(4_300, 4, true), true),
        // Twelve hours of presence are 0.79 of eight, then five of absence leave 0.42 of eight, and 0.32 of a day.
        (
            "half a day, and gone for five hours",
            [every(HOUR / 2, 24, true), every(HOUR / 2, 10, false)].concat(),
            false,
        ),
        // A month of presence lasts for weeks, which is why failures in a row are looked at besides.
        ("thirty days, and gone for ten", [every(HOUR, 720, true), every(HOUR, 240, false)].concat(), true),
    ];
    for (name, history, is_good) in cases {
        assert_eq!(played(&history).is_good(), is_good, "{name}");
    }
}

#[test]
fn who_never_answers_is_ignored_longer_and_longer_and_then_banned() {
    let absent =
        |days: u32, tries_a_day: u32| played(&vec![(86_400 / tries_a_day, false); (days * tries_a_day) as usize]);
    assert_eq!((absent(1, 1).ignore(), absent(1, 1).ban()), (None, None));
    // A day of absence leaves e^(−0.96 × 3) = 0.056 of eight hours.
    assert_eq!(absent(1, 24).ignore(), Some(2 * 3_600));
    assert_eq!(absent(2, 24).ignore(), Some(0).map(|_| 2 * 3_600));
    assert_eq!(absent(3, 24).ignore(), Some(8 * 3_600));
    assert_eq!(absent(14, 24).ignore(), Some(3 * 86_400));
    assert_eq!(absent(60, 4).ignore(), Some(10 * 86_400));
    assert_eq!(
        (absent(4, 24).ban(), absent(17, 24).ban(), absent(60, 4).ban()),
        (Some(86_400), Some(7 * 86_400), Some(30 * 86_400))
    );
    assert_eq!(played(&[(3_600, true); 100]).ignore(), None);
}

#[test]
fn a_clock_that_jumps_breaks_nothing() {
    let mut reliability = played(&[(2_000, true); 50]);
    let before = reliability;
    reliability.note(true, UnixTime(1));
    assert_eq!(reliability.share(Window::Week), before.share(Window::Week), "no time has passed");
    reliability.note(true, UnixTime(u32::MAX));
    reliability.note(false, UnixTime::NEVER);
    for window in Window::ALL {
        assert!((0.0..=1.0).contains(&reliability.share(window)));
    }
    assert_eq!(Reliability::from_bytes(&reliability.to_bytes()), Some(reliability));
}

#[test]
fn adversary_27_bytes_that_were_never_written_are_not_read() {
    let good = played(&[(2_000, true); 5]);
    for word in 0..15 {
        for bad in [f32::NAN, f32::INFINITY, -0.5, f32::NEG_INFINITY] {
            let mut bytes = good.to_bytes();
            bytes[word * 4..][..4].copy_from_slice(&bad.to_le_bytes());
            assert_eq!(Reliability::from_bytes(&bytes), None, "{word}: {bad}");
        }
    }
    let mut bytes = good.to_bytes();
    bytes[64..68].copy_from_slice(&6_u32.to_le_bytes());
    assert_eq!(Reliability::from_bytes(&bytes), None, "more successes than tries");
}

/// The rule that Bitcoin's seeders share for who was hardly tried yet. Who is named by it, and until when, is for the ledger.
#[test]
fn the_early_rule_is_at_most_three_tries_and_half_of_them_good() {
    for (tries, is_good) in [
        ("", false),
        ("0", false),
        ("1", true),
        ("00", false),
        ("01", true),
        ("10", true),
        ("11", true),
        ("000", false),
        ("001", false),
        ("010", false),
        ("100", false),
        ("011", true),
        ("101", true),
        ("110", true),
        ("111", true),
        ("1111", false),
    ] {
        let history: History = tries.bytes().map(|each| (600, each == b'1')).collect();
        assert_eq!(played(&history).is_good(), is_good, "{tries:?}");
    }
}

#[test]
fn a_node_is_promising_until_the_windows_can_tell_if_it_was_there_half_of_the_time() {
    const MINUTE: u32 = 60;
    // 1,000 s and 18.9 hours are 69,000 s: a day's window knows 0.55 of its time.
    for (history, is_promising) in [
        (vec![], false),
        (vec![(0, false)], false),
        (vec![(0, true)], true),
        (vec![(30 * MINUTE, true); 38], true),
        (vec![(30 * MINUTE, true); 39], false),
        (vec![(0, true), (30 * MINUTE, false)], false),
        (vec![(0, true), (30 * MINUTE, true), (5 * MINUTE, false)], true),
    ] {
        assert_eq!(played(&history).is_promising(), is_promising, "{history:?}");
    }
    let with_a_failure =
        [vec![(30 * MINUTE, true); 30], vec![(30 * MINUTE, false)], vec![(30 * MINUTE, true); 8]].concat();
    assert!(!played(&with_a_failure).is_promising() && played(&with_a_failure).is_good(), "no gap between the two");
}

//! What peers are told.

use savanna_wire::MAX_ADDRESSES;

use super::*;

const HOUR: u32 = 60 * 60;

fn filled(count: u32) -> Book {
    let mut book = book();
    for number in 0..count {
        book.add(heard(numbered(number), NOW), Source::Gossip(numbered(number % 64).host), NOW);
    }
    book
}

#[test]
fn an_answer_tells_half_of_the_book_and_a_thousand_at_most() {
    for (count, most) in [(1, 1), (2, 1), (100, 50), (8000, MAX_ADDRESSES)] {
        let mut book = filled(count);
        let known = book.counts().total() as usize;
        assert_eq!(book.answer(Family::V4, NOW).len(), most.min(known.div_ceil(2)));
    }
    assert!(book().answer(Family::V4, NOW).is_empty());
}

#[test]
fn adversary_16_asking_often_shows_no_more_of_the_book() {
    let mut book = filled(1000);
    let first = book.answer(Family::V4, NOW).to_vec();
    for number in 1000..2000 {
        book.add(heard(numbered(number), NOW), Source::Config, NOW);
    }
    for seconds in 0..600 {
        assert_eq!(book.answer(Family::V4, NOW.plus(seconds)), first);
    }
    assert_ne!(book.answer(Family::V4, NOW.plus(600)), first);
    // A node on two networks is not known by its answers, and a clock set back does not freeze them.
    let over_tor = book.answer(Family::Tor, NOW.plus(600)).to_vec();
    assert_ne!(book.answer(Family::V4, NOW.plus(600)), over_tor);
    assert_ne!(book.answer(Family::Tor, NOW), over_tor);
}

#[test]
fn what_a_new_node_tells_is_soon_told_anew() {
    let mut book = filled(10);
    let first = book.answer(Family::V4, NOW).to_vec();
    for number in 10..1000 {
        book.add(heard(numbered(number), NOW), Source::Config, NOW);
    }
    assert_eq!(book.answer(Family::V4, NOW.plus(29)), first);
    assert!(book.answer(Family::V4, NOW.plus(30)).len() > 400);
}

#[test]
fn times_are_rounded_down_and_what_was_not_seen_lately_is_not_told() {
    let mut book = book();
    let (fresh, old, seed) = (numbered(1), numbered(2), numbered(3));
    book.add(heard(fresh, NOW.minus(HOUR - 60)), Source::Gossip(host("9.9.9.9")), NOW);
    book.add(heard(old, NOW.minus(HOUR + 60)), Source::Gossip(host("9.9.9.9")), NOW);
    book.add(heard(seed, NOW), Source::Dns(0), NOW);
    let told: Vec<_> = book.answer(Family::V4, NOW).to_vec();
    assert_eq!(told.iter().map(|entry| entry.address).collect::<Vec<_>>(), [fresh]);
    assert_eq!(told[0].time % 1800, 0);
    assert!(NOW.minus(3 * HOUR + 1800).0 <= told[0].time && told[0].time <= NOW.minus(3 * HOUR - 60).0);
    // Whoever was reached is told of.
    book.handle_success(seed, handshake(), NOW);
    let later = NOW.plus(600);
    assert!(book.answer(Family::V4, later).iter().any(|entry| entry.address == seed));
}

#[test]
fn who_misbehaved_is_not_told_of() {
    let mut book = filled(2);
    book.penalties_mut().penalize(numbered(0).host, 100, NOW);
    assert_eq!(book.answer(Family::V4, NOW).iter().map(|e| e.address).collect::<Vec<_>>(), [numbered(1)]);
}

#[test]
fn news_reaches_the_same_two_peers_for_a_day_and_others_after_it() {
    let book = book();
    let peers: Vec<u64> = (0..50).collect();
    let told = book.told(numbered(1), NOW, &peers);
    assert_eq!(told.len(), 2);
    assert_ne!(told[0], told[1]);
    let reversed: Vec<u64> = peers.iter().rev().copied().collect();
    assert_eq!(book.told(numbered(1), NOW, &reversed), told);
    let days: BTreeSet<_> = (0..30).map(|day| book.told(numbered(1), NOW.plus(day * DAY), &peers)).collect();
    assert!(days.len() > 20);
    let within: BTreeSet<_> = (0..24).map(|hour| book.told(numbered(1), NOW.plus(hour * HOUR), &peers)).collect();
    assert_eq!(within.len(), 2, "a day begins once in 24 hours");
    let everyone: BTreeSet<_> = (0..200).flat_map(|number| book.told(numbered(number), NOW, &peers)).collect();
    assert!(everyone.len() > 45);
    assert_eq!(book.told(numbered(1), NOW, &[7]), [7]);
    assert!(book.told(numbered(1), NOW, &[]).is_empty());
}

#[test]
fn only_few_fresh_and_admitted_addresses_are_news() {
    let mut book = book();
    let is_news = |book: &Book, text: &str, time, count| book.is_news(&heard(address(text), time), count, NOW);
    assert!(is_news(&book, "1.1.1.1:8233", NOW, 10));
    assert!(is_news(&book, "1.1.1.1:8233", NOW.minus(600), 1));
    assert!(!is_news(&book, "1.1.1.1:8233", NOW, 11));
    assert!(!is_news(&book, "1.1.1.1:8233", NOW.minus(601), 1));
    assert!(!is_news(&book, "1.1.1.1:8233", UnixTime(u32::MAX), 1));
    assert!(!is_news(&book, "10.0.0.1:8233", NOW, 1));
    assert!(!is_news(&book, "1.1.1.1:8232", NOW, 1));
    book.own(address("1.1.1.1:8233"));
    assert!(!is_news(&book, "1.1.1.1:8233", NOW, 1));
}

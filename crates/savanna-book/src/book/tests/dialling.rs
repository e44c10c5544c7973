//! Which address is dialled, and what follows from how it went.

use super::*;

fn wanted() -> Wanted<'static> {
    Wanted::default()
}

#[test]
fn a_dial_under_way_is_not_begun_again_and_a_failure_is_followed_by_a_rest() {
    let mut book = book();
    let peer = numbered(1);
    book.add(heard(peer, NOW), Source::Dns(0), NOW);
    assert_eq!(book.pick(&wanted(), NOW), Some(peer));
    book.handle_attempt(peer, NOW);
    assert_eq!(book.pick(&wanted(), NOW.plus(59)), None);
    book.handle_failure(peer, Failure::Unreachable, NOW.plus(3));
    let rests_until = book.record(peer).unwrap().rests_until;
    assert!((45..=76).contains(&rests_until.since(NOW.plus(3))), "{rests_until:?}");
    assert_eq!(book.pick(&wanted(), rests_until.minus(1)), None);
    assert_eq!(book.pick(&wanted(), rests_until), Some(peer));
}

#[test]
fn rests_grow_with_failures_and_end_with_a_success() {
    let mut book = book();
    let (peer, other) = (numbered(1), numbered(2));
    assert!(befriend(&mut book, peer, NOW) && befriend(&mut book, other, NOW));
    let mut now = NOW;
    for failures in 1..=9 {
        now = now.plus(100_000);
        // Something has to succeed for failures to count.
        book.handle_success(other, handshake(), now);
        book.handle_attempt(peer, now.plus(1));
        book.handle_failure(peer, Failure::Unreachable, now.plus(2));
        let record = book.record(peer).unwrap();
        assert_eq!(record.failures, failures);
        let rest = record.rests_until.since(now.plus(2));
        let full = (60 << (failures - 1)).min(28_800);
        assert!(rest >= full * 3 / 4 && rest <= full * 5 / 4 + 1, "{failures}: {rest}");
    }
    book.handle_success(peer, handshake(), now);
    let record = book.record(peer).unwrap();
    assert_eq!((record.failures, record.rests_until, record.successes), (0, UnixTime::NEVER, 2));
}

#[test]
fn who_is_cut_off_counts_each_failure_once() {
    let mut book = book();
    let peer = numbered(1);
    assert!(befriend(&mut book, peer, NOW));
    for round in 1..50 {
        book.handle_attempt(peer, NOW.plus(round * 1000));
        book.handle_failure(peer, Failure::Unreachable, NOW.plus(round * 1000 + 3));
    }
    let record = book.record(peer).unwrap();
    assert_eq!((record.failures, record.attempts), (1, 50));
    assert!(record.rests_until.since(NOW.plus(49_003)) <= 76);
}

#[test]
fn a_peer_of_no_use_is_left_alone_for_a_day() {
    let mut book = book();
    let peer = numbered(1);
    book.add(heard(peer, NOW), Source::Dns(0), NOW);
    book.handle_failure(peer, Failure::Useless, NOW);
    assert_eq!(book.pick(&wanted(), NOW.plus(DAY / 4 * 3 - 1)), None);
    assert_eq!(book.pick(&wanted(), NOW.plus(DAY / 4 * 5 + 1)), Some(peer));
}

#[test]
fn choosing_passes_over_what_rests_and_what_is_excluded() {
    let mut book = book();
    for number in 0..300 {
        book.add(heard(numbered(number), NOW), Source::Dns((number % 5) as u8), NOW);
    }
    let mut groups = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    let mut picked = BTreeSet::new();
    for _ in 0..50 {
        let wanted = Wanted { groups: &groups, addresses: &addresses, ..Wanted::default() };
        let peer = book.pick(&wanted, NOW).unwrap();
        book.handle_attempt(peer, NOW);
        assert!(picked.insert(peer));
        assert!(groups.insert(Netgroup::of(peer.host)), "a group twice");
        addresses.insert(peer);
    }
}

#[test]
fn a_single_address_that_suits_is_found_among_thousands_that_do_not() {
    let mut book = book();
    for number in 0..3000 {
        book.add(heard(numbered(number), NOW), Source::Gossip(numbered(number % 50).host), NOW);
    }
    let special = address("99.1.2.3:8233");
    book.add(AddrV2 { services: Services(5), ..heard(special, NOW) }, Source::Config, NOW);
    let wanted = Wanted { services: Services(5), ..Wanted::default() };
    assert!(book.counts().total() > 2000);
    for _ in 0..20 {
        assert_eq!(book.pick(&wanted, NOW), Some(special));
        assert_eq!(book.feeler(&wanted, NOW), Some(special));
    }
    let overlay = Wanted { families: Families::NONE.with(Family::Tor), ..Wanted::default() };
    assert_eq!(book.pick(&overlay, NOW), None);
}

#[test]
fn half_of_the_picks_are_tried_however_few_they_are() {
    let mut book = book();
    for number in 0..2000 {
        book.add(heard(numbered(number), NOW), Source::Gossip(numbered(number % 50).host), NOW);
    }
    let friends: Vec<_> = (5000..5010).map(numbered).collect();
    friends.iter().for_each(|friend| assert!(befriend(&mut book, *friend, NOW)));
    let later = NOW.plus(DAY);
    let tried = (0..2000).filter(|_| friends.contains(&book.pick(&wanted(), later).unwrap())).count();
    assert!((900..1100).contains(&tried), "{tried}");
    assert!((0..200).all(|_| !friends.contains(&book.feeler(&wanted(), later).unwrap())));
}

#[test]
fn what_fails_is_chosen_seldom() {
    let mut book = book();
    let peers: Vec<_> = (0..20).map(numbered).collect();
    peers.iter().for_each(|peer| assert!(befriend(&mut book, *peer, NOW)));
    let (bad, good) = (peers[0], peers[1]);
    let mut now = NOW;
    for _ in 0..6 {
        now = now.plus(DAY);
        book.handle_success(good, handshake(), now);
        book.handle_failure(bad, Failure::Unreachable, now.plus(1));
    }
    let later = now.plus(2 * DAY);
    let picks = (0..2000).filter(|_| book.pick(&wanted(), later) == Some(bad)).count();
    assert!(picks > 0 && picks < 40, "{picks} of 2000, one in twenty without failures");
}

#[test]
fn an_incumbent_is_tested_before_it_loses_its_place() {
    for answers in [true, false] {
        let mut book = book();
        let incumbent = numbered(77);
        let challenger = rival(&book, incumbent);
        assert!(befriend(&mut book, incumbent, NOW));
        let later = NOW.plus(DAY);
        assert!(!befriend(&mut book, challenger, later));
        assert_eq!(book.tests_due(), 1);
        assert_eq!(book.poll_test(later), Some(incumbent));
        assert_eq!(book.poll_test(later), None, "each is returned once");
        book.handle_attempt(incumbent, later);
        if answers {
            book.handle_success(incumbent, handshake(), later.plus(1));
        } else {
            book.handle_failure(incumbent, Failure::Unreachable, later.plus(1));
        }
        assert_eq!(is_tried(&book, incumbent), answers);
        assert_eq!(is_tried(&book, challenger), !answers);
        assert!(book.record(incumbent).is_some() && book.record(challenger).is_some());
        assert_eq!(book.tests_due(), 0);
        book.tables.check();
    }
}

#[test]
fn an_incumbent_that_answered_lately_or_is_connected_is_not_tested() {
    let mut book = book();
    let incumbent = numbered(77);
    let challenger = rival(&book, incumbent);
    assert!(befriend(&mut book, incumbent, NOW));
    assert!(!befriend(&mut book, challenger, NOW.plus(60)));
    assert_eq!(book.poll_test(NOW.plus(60)), None);
    assert_eq!(book.tests_due(), 0);

    let later = NOW.plus(DAY);
    book.handle_success(challenger, handshake(), later);
    assert_eq!(book.poll_test(later), Some(incumbent));
    book.handle_seen(incumbent, later);
    book.handle_failure(incumbent, Failure::Unreachable, later.plus(9));
    assert!(is_tried(&book, incumbent) && !is_tried(&book, challenger));
}

#[test]
fn tests_are_bounded_and_expire_in_favour_of_the_incumbents() {
    let mut book = book();
    let later = NOW.plus(DAY);
    let mut incumbents = Vec::new();
    for number in 0..40 {
        let incumbent = numbered(number);
        if befriend(&mut book, incumbent, NOW) {
            incumbents.push(incumbent);
        }
    }
    for incumbent in &incumbents {
        let challenger = rival(&book, *incumbent);
        assert!(!befriend(&mut book, challenger, later));
    }
    assert_eq!(book.tests_due(), 16);
    let tested = book.poll_test(later).unwrap();
    assert_eq!(book.poll_test(later.plus(41 * 60)), None);
    assert_eq!(book.tests_due(), 0);
    book.handle_failure(tested, Failure::Unreachable, later.plus(42 * 60));
    assert!(incumbents.iter().all(|incumbent| is_tried(&book, *incumbent)));
}

#[test]
fn anchors_are_the_latest_few_of_different_groups() {
    let mut book = book();
    for number in 0..10 {
        assert!(book.anchor(numbered(number)));
    }
    assert_eq!(book.anchors(), [numbered(9), numbered(8), numbered(7), numbered(6)]);
    let neighbour = PeerAddr { port: 1234, ..numbered(7) };
    assert!(book.anchor(neighbour));
    assert_eq!(book.anchors(), [neighbour, numbered(9), numbered(8), numbered(6)]);
    assert!(!book.anchor(address("10.0.0.1:8233")));
    book.own(neighbour);
    assert_eq!(book.anchors(), [numbered(9), numbered(8), numbered(6)]);
}

#[test]
fn backoff_of_the_configuration_is_used() {
    let backoff = Backoff { first: 1000, longest: 1000 };
    let config = Config { backoff, ..Config::new(Network::Mainnet) };
    let mut book = Book::new(config, [1; 32], [2; 32]);
    book.add(heard(numbered(1), NOW), Source::Dns(0), NOW);
    book.handle_failure(numbered(1), Failure::Unreachable, NOW);
    assert!(book.record(numbered(1)).unwrap().rests_until.since(NOW) >= 750);
}

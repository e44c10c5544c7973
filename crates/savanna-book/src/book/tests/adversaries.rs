//! What enemies try, by the rows of the table.

use super::*;

const HOSTILE: &str = "66.6.6.6";

/// Offers 100,000 addresses of as many hosts in 16,384 groups, all told by one group of sources.
fn flood(book: &mut Book, now: UnixTime) -> Vec<Added> {
    let offer = |number: u32| {
        let teller = Host::V4(Ipv4Addr::new(66, 6, 0, 0) | Ipv4Addr::from(number & 0xffff));
        book.add(heard(numbered(number), now), Source::Gossip(teller), now)
    };
    (1_000_000..1_100_000).map(offer).collect()
}

fn is_hostile(peer: PeerAddr) -> bool {
    let Host::V4(ip) = peer.host else { return false };
    // The third byte of the hostile numbers: 1,000,000 is 0x0f4240.
    ip.octets()[2] >= 15
}

/// A book with some hundred honest addresses in either table, from eight sources.
fn honest() -> (Book, Vec<PeerAddr>) {
    let mut book = book();
    for number in 0..2000 {
        book.add(heard(numbered(number), NOW), Source::Gossip(numbered(50_000 + number % 8).host), NOW);
    }
    let friends = (10_000..10_200).map(numbered).filter(|friend| befriend(&mut book, *friend, NOW)).collect();
    (book, friends)
}

#[test]
fn adversary_11_our_own_address_leaves_the_book_and_stays_out() {
    let mut book = book();
    let own = numbered(1);
    assert!(befriend(&mut book, own, NOW));
    book.own(own);
    assert_eq!(book.record(own), None);
    assert_eq!(book.add(heard(own, NOW), Source::Gossip(host(HOSTILE)), NOW), Added::Refused(Refusal::Own));
    assert_eq!(book.own_addresses().collect::<Vec<_>>(), [own]);
    for number in 0..1000 {
        book.own(numbered(number));
    }
    assert_eq!(book.own_addresses().count(), Book::MAX_OWN);
    book.tables.check();
}

#[test]
fn adversary_13_impossible_times_count_as_long_ago_and_move_no_clock() {
    let times = [0, 1, 99_999_999, NOW.0 + 601, i32::MAX as u32, u32::MAX - 1, u32::MAX];
    let mut book = book();
    for (number, time) in (0..).zip(times) {
        assert_eq!(book.add(heard(numbered(number), UnixTime(time)), Source::Gossip(host(HOSTILE)), NOW), Added::New);
        assert_eq!(book.record(numbered(number)).unwrap().seen, NOW.minus(5 * DAY));
        // Nor does such a claim make a known address fresh.
        let own_word = Source::Gossip(numbered(number).host);
        book.add(heard(numbered(number), UnixTime(time)), own_word, NOW);
        assert_eq!(book.record(numbered(number)).unwrap().seen, NOW.minus(5 * DAY));
    }
    let slightly_ahead = numbered(100);
    book.add(heard(slightly_ahead, NOW.plus(600)), Source::Gossip(slightly_ahead.host), NOW);
    assert_eq!(book.record(slightly_ahead).unwrap().seen, NOW);
}

#[test]
fn adversary_13_heights_and_versions_at_their_extremes_are_kept_as_data() {
    let mut book = book();
    for (number, height, version) in [(1, i32::MIN, i32::MAX), (2, i32::MAX, i32::MIN), (3, -1, 0)] {
        let peer = numbered(number);
        book.add(heard(peer, NOW), Source::Dns(0), NOW);
        let claims = Handshake { height, version: ProtocolVersion(version), ..handshake() };
        book.handle_success(peer, claims.clone(), NOW);
        assert_eq!(book.record(peer).unwrap().handshake, Some(claims));
    }
}

#[test]
fn adversary_13_our_own_clock_may_jump_and_nothing_breaks() {
    let moments = [NOW, UnixTime(0), UnixTime(u32::MAX), NOW.minus(400 * DAY), NOW.plus(400 * DAY), NOW];
    let mut book = book();
    for (round, now) in (0..).zip(moments) {
        for number in 0..50 {
            let peer = numbered(round * 20 + number);
            book.add(heard(peer, now), Source::Gossip(host(HOSTILE)), now);
            book.handle_attempt(peer, now);
            match number % 3 {
                0 => book.handle_success(peer, handshake(), now),
                1 => book.handle_failure(peer, Failure::Unreachable, now),
                _ => book.handle_seen(peer, now),
            }
        }
        book.penalties_mut().penalize(numbered(round).host, 10, now);
        assert!(book.answer(Family::V4, now).iter().all(|entry| entry.time <= now.0));
        book.poll_test(now);
        book.tables.check();
    }
    // What rests since the clock was ahead is dialled all the same.
    let peer = numbered(1);
    book.own = BTreeSet::new();
    book.penalties_mut().lift(crate::Prefix::of(peer.host));
    book.handle_failure(peer, Failure::Unreachable, NOW.plus(400 * DAY));
    let only = |peer| move |other: &PeerAddr| *other != peer;
    let others: BTreeSet<_> = book.tables.iter().map(|entry| entry.address).filter(only(peer)).collect();
    let wanted = Wanted { addresses: &others, ..Wanted::default() };
    assert_eq!(book.pick(&wanted, NOW), Some(peer));
}

#[test]
fn adversary_16_a_flood_from_one_source_stays_in_64_buckets_and_displaces_no_friend() {
    let (mut book, friends) = honest();
    let heard_before: BTreeSet<_> = book.tables.iter().map(|entry| entry.address).collect();
    let outcomes = flood(&mut book, NOW);
    book.tables.check();

    let hostile = book.tables.iter().filter(|entry| is_hostile(entry.address));
    let buckets: BTreeSet<_> = hostile.flat_map(|entry| entry.places().to_vec()).map(|slot| slot / 64).collect();
    assert!(buckets.len() <= 64, "{}", buckets.len());
    let taken = outcomes.iter().filter(|outcome| **outcome == Added::New).count();
    assert!(taken <= 4096 && outcomes.contains(&Added::Refused(Refusal::Full)), "{taken}");

    // All of those that answered, and all that were heard of before: a taken place is not given to the next.
    assert!(friends.len() > 190 && friends.iter().all(|friend| is_tried(&book, *friend)));
    assert!(heard_before.iter().all(|peer| book.record(*peer).is_some()));

    let later = NOW.plus(DAY);
    let picks = 4000;
    let honest = (0..picks).filter(|_| !is_hostile(book.pick(&Wanted::default(), later).unwrap())).count();
    assert!(honest >= picks * 8 / 10, "{honest} of {picks}");
}

#[test]
fn adversary_16_addresses_that_lead_nowhere_are_not_stored() {
    let mut book = book();
    let unroutable = [
        "0.0.0.0:8233",
        "127.0.0.1:8233",
        "10.0.0.1:8233",
        "192.168.1.1:8233",
        "224.0.0.1:8233",
        "255.255.255.255:8233",
        "169.254.0.1:8233",
        "[::]:8233",
        "[::1]:8233",
        "[ff02::1]:8233",
        "[fe80::1]:8233",
        "[fd00::1]:8233",
        "[2001:db8::1]:8233",
        "[::ffff:10.0.0.1]:8233",
    ];
    let source = Source::Gossip(host(HOSTILE));
    for text in unroutable {
        assert_eq!(book.add(heard(address(text), NOW), source, NOW), Added::Refused(Refusal::Unroutable), "{text}");
    }
    for port in [0, 8033, 18033, 16125, 26125, 8232, 18232, 18344] {
        let peer = PeerAddr { port, ..numbered(1) };
        assert_eq!(book.add(heard(peer, NOW), source, NOW), Added::Refused(Refusal::Port), "{port}");
    }
    let inbound = PeerAddr { port: 51_234, ..numbered(1) };
    assert_eq!(book.add(heard(inbound, NOW), Source::Inbound, NOW), Added::Refused(Refusal::InboundPort));
    assert_eq!(book.counts().total(), 0);
    // An inbound peer that announces where it listens tells of itself.
    assert_eq!(book.add(heard(numbered(1), NOW), Source::Gossip(numbered(1).host), NOW), Added::New);
}

#[test]
fn adversary_16_what_is_worth_nothing_is_replaced_first() {
    let mut book = book();
    flood(&mut book, NOW);
    let later = NOW.plus(31 * DAY);
    let taken = flood(&mut book, later).iter().filter(|outcome| **outcome == Added::Updated).count();
    assert!(taken > 0);
    // Unseen for a month, all of them give way to whoever else is placed there.
    let (mut displaced, much_later) = (0, later.plus(31 * DAY));
    for number in 0..3000 {
        let source = Source::Gossip(Host::V4(Ipv4Addr::new(66, 6, 1, 1)));
        displaced += usize::from(book.add(heard(numbered(number), much_later), source, much_later) == Added::New);
    }
    assert!(displaced > 1500, "{displaced}");
    book.tables.check();
}

#[test]
fn f11_pushed_addresses_do_not_steer_whom_we_dial() {
    let (mut book, friends) = honest();
    let later = NOW.plus(DAY);
    let picks_of_friends = |book: &mut Book| {
        (0..2000).filter(|_| friends.contains(&book.pick(&Wanted::default(), later).unwrap())).count()
    };
    let before = picks_of_friends(&mut book);
    flood(&mut book, NOW);
    let after = picks_of_friends(&mut book);
    assert!(before > 900 && after > 900, "{before} before, {after} after");
}

#[test]
fn adversary_23_a_group_of_addresses_that_all_answer_reaches_eight_buckets_of_tried() {
    let (mut book, friends) = honest();
    let answering = (0..=u16::MAX).map(|low| {
        let [c, d] = low.to_be_bytes();
        PeerAddr { host: Host::V4(Ipv4Addr::new(66, 6, c, d)), port: 8233 }
    });
    for peer in answering.step_by(7) {
        befriend(&mut book, peer, NOW.plus(DAY));
    }
    let hostile = book.tables.iter().filter(|entry| entry.is_tried && Netgroup::of(entry.address.host) == group());
    let buckets: BTreeSet<_> = hostile.flat_map(|entry| entry.places().to_vec()).map(|slot| slot / 64).collect();
    assert!(buckets.len() <= 8, "{}", buckets.len());
    assert!(friends.iter().all(|friend| is_tried(&book, *friend)));
    book.tables.check();

    // One connection to the group, and it is chosen no more.
    let groups = BTreeSet::from([group()]);
    let wanted = Wanted { groups: &groups, ..Wanted::default() };
    let later = NOW.plus(2 * DAY);
    assert!((0..2000).all(|_| Netgroup::of(book.pick(&wanted, later).unwrap().host) != group()));
}

fn group() -> Netgroup {
    Netgroup::of(host(HOSTILE))
}

#[test]
fn adversary_24_who_is_discouraged_is_neither_dialled_nor_taken_in() {
    let mut book = book();
    let (bad, good) = (numbered(1), numbered(2));
    assert!(befriend(&mut book, bad, NOW) && befriend(&mut book, good, NOW));
    assert_eq!(book.penalties_mut().penalize(bad.host, 100, NOW), Standing::Discouraged);
    let hour = NOW.plus(60 * 60);
    assert!((0..200).all(|_| book.pick(&Wanted::default(), hour) == Some(good)));
    let other_port = PeerAddr { port: 9999, ..bad };
    let refused = Added::Refused(Refusal::Penalized);
    assert_eq!(book.add(heard(other_port, hour), Source::Gossip(good.host), hour), refused);
    let day = NOW.plus(DAY);
    assert!((0..200).any(|_| book.pick(&Wanted::default(), day) == Some(bad)), "it is forgiven");
}

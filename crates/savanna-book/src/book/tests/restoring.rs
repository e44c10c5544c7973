//! Books that come back from a disk.

use savanna_wire::NativeIpv6;

use super::*;
use crate::{Mark, Prefix, Record, Restored, Snapshot, Table};

/// A book in which everything occurs.
fn lived_in() -> Book {
    let mut book = book();
    for number in 0..3000 {
        book.add(heard(numbered(number), NOW), Source::Gossip(numbered(number % 90).host), NOW);
        book.add(heard(numbered(number / 2), NOW), Source::Gossip(numbered(number % 70).host), NOW);
        let peer = numbered(number);
        book.handle_attempt(peer, NOW);
        match number % 5 {
            0 => book.handle_success(peer, handshake(), NOW),
            1 => book.handle_failure(peer, Failure::Unreachable, NOW),
            _ => {}
        }
    }
    book.penalties_mut().ban(Prefix::new(host("99.0.0.0"), 8), NOW.plus(DAY), NOW).unwrap();
    book.penalties_mut().penalize(host("98.1.2.3"), 50, NOW);
    (0..3).for_each(|number| assert!(book.anchor(numbered(number))));
    book
}

fn restore(snapshot: Snapshot) -> (Book, Restored) {
    let (book, restored) = Book::restore(Config::new(Network::Mainnet), snapshot, [9; 32], NOW);
    book.tables.check();
    (book, restored)
}

#[test]
fn a_book_comes_back_as_it_was() {
    let book = lived_in();
    let snapshot = book.snapshot();
    let several = |record: &&Record| matches!(&record.table, Table::New(buckets) if buckets.len() > 1);
    assert!(snapshot.records.iter().filter(several).count() > 100);
    assert!(book.counts().tried.total() > 500);
    let (back, restored) = restore(snapshot.clone());
    assert_eq!(restored, Restored { kept: snapshot.records.len() + 5, refused: 0 });
    assert_eq!(back.counts(), book.counts());
    let by_address = |mut snapshot: Snapshot| {
        snapshot.records.sort_by_key(|record| record.address);
        snapshot
    };
    assert_eq!(by_address(back.snapshot()), by_address(snapshot));
}

#[test]
fn a_book_takes_in_another_and_keeps_what_it_has() {
    let (mut book, snapshot) = (Book::new(Config::new(Network::Mainnet), [7; 32], [8; 32]), lived_in().snapshot());
    let (ours, theirs) = (numbered(5), snapshot.records.len());
    assert!(befriend(&mut book, ours, NOW.plus(60)) && book.anchor(ours));
    book.penalties_mut().penalize(host("98.1.2.3"), 60, NOW);
    let before = book.penalties().marks().collect::<Vec<_>>();
    let restored = book.merge(snapshot.clone(), NOW.plus(60));
    book.tables.check();
    // Under another secret a few find their places taken.
    let known = book.counts().total() as usize;
    assert!(known > theirs * 9 / 10 && known <= theirs, "{restored:?}");
    assert!(book.counts().tried.total() > 400, "{:?}", book.counts());
    assert_eq!(restored.kept + restored.refused, theirs + 1 + before.len() + snapshot.anchors.len());
    assert_eq!(book.record(ours).unwrap().last_success, NOW.plus(60));
    assert_eq!(book.penalties().marks().collect::<Vec<_>>(), before);
    assert_eq!((book.anchors().len(), book.anchors()[0], book.penalties().bans().count()), (4, ours, 1));
    assert_ne!(book.secret(), snapshot.secret);
}

#[test]
fn adversary_27_records_that_do_not_fit_are_refused_and_counted() {
    let snapshot = lived_in().snapshot();
    let count = snapshot.records.len();

    let mut twice = snapshot.clone();
    twice.records.extend(snapshot.records.clone());
    assert_eq!(restore(twice).1, Restored { kept: count + 5, refused: count });

    let mut foreign = snapshot.clone();
    for record in &mut foreign.records {
        record.address.host = Host::V4(Ipv4Addr::LOCALHOST);
    }
    foreign.bans[0].1 = NOW;
    foreign.marks[0].1 = Mark { points: 1, until: UnixTime::NEVER };
    foreign.anchors.clear();
    assert_eq!(restore(foreign).1, Restored { kept: 0, refused: count + 2 });

    // Under another secret most find a place, and all that do are where that secret puts them.
    let other = Snapshot { secret: [77; 32], ..snapshot };
    let restored = restore(other).1;
    assert_eq!(restored.kept + restored.refused, count + 5);
    assert!(restored.kept > count / 2, "{restored:?}");
}

#[test]
fn adversary_27_no_record_makes_a_book_panic() {
    let seed = 0x5eed;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let any_time = |rng: &mut ChaCha8Rng| UnixTime([0, 1, NOW.0, u32::MAX, rng.next_u32()][below(5, rng) as usize]);
    let mut snapshot = lived_in().snapshot();
    for record in &mut snapshot.records {
        record.seen = any_time(&mut rng);
        record.last_try = any_time(&mut rng);
        record.last_success = any_time(&mut rng);
        record.last_counted = any_time(&mut rng);
        record.rests_until = any_time(&mut rng);
        record.attempts = u16::MAX;
        record.successes = u16::MAX;
        record.failures = u8::MAX;
        if below(2, &mut rng) == 0 {
            record.address = numbered(below(2000, &mut rng));
        }
        record.table = match below(4, &mut rng) {
            0 => Table::Tried,
            1 => Table::New(Vec::new()),
            2 => Table::New((0..20).map(|_| u16::try_from(below(3000, &mut rng)).unwrap()).collect()),
            _ => Table::New(vec![u16::MAX; 9]),
        };
    }
    snapshot.anchors = (0..100).map(numbered).collect();
    let (mut book, _) = restore(snapshot);
    assert!(book.counts().total() > 100);
    for number in 0..3000 {
        let peer = numbered(number);
        book.handle_attempt(peer, NOW);
        book.handle_failure(peer, Failure::Unreachable, NOW);
        book.handle_success(peer, handshake(), NOW);
        book.pick(&Wanted::default(), NOW);
        book.poll_test(NOW);
    }
    book.answer(Family::V4, NOW);
    book.tables.check();
}

#[test]
fn groups_and_prefixes_survive_as_bytes_and_others_are_refused() {
    let hosts = [
        host("1.2.3.4"),
        host("2a01:4f8::1"),
        Host::TorV3([0xff; 32]),
        Host::I2p([0xab; 32]),
        Host::V6(NativeIpv6::new("2002:101:101::1".parse().unwrap()).unwrap()),
    ];
    for host in hosts {
        for prefix in [Prefix::of(host), Prefix::new(host, 9), Prefix::new(host, 0), Prefix::new(host, 255)] {
            assert_eq!(Prefix::from_bytes(prefix.to_bytes()), Some(prefix));
            assert!(prefix.covers(host), "{prefix}");
        }
    }
    for source in [Source::Dns(3), Source::Config, Source::Gossip(hosts[2])] {
        assert_eq!(Netgroup::from_bytes(source.group().to_bytes()), Some(source.group()));
    }
    let mut unmasked = Prefix::of(hosts[0]).to_bytes();
    unmasked[9] = 1;
    assert_eq!(Prefix::from_bytes(unmasked), None);
    unmasked = [5; Prefix::LEN];
    assert_eq!(Prefix::from_bytes(unmasked), None);
}

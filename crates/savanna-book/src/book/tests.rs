//! The book under friends and enemies.

use std::net::{IpAddr, Ipv4Addr};

use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_wire::{AddrV2, Host, Network, PeerAddr, ProtocolVersion, Services, UserAgent};

use super::*;
use crate::time::DAY;
use crate::{Backoff, Families, Netgroup};

mod adversaries;
mod answers;
mod dialling;
mod model;
mod restoring;

/// When the tests begin.
const NOW: UnixTime = UnixTime(1_790_000_000);

fn book() -> Book {
    Book::new(Config::new(Network::Mainnet), [1; 32], [2; 32])
}

fn address(text: &str) -> PeerAddr {
    text.parse().unwrap()
}

fn host(text: &str) -> Host {
    text.parse::<IpAddr>().unwrap().into()
}

/// The address with a number: each in another netgroup than its neighbours, all public.
fn numbered(number: u32) -> PeerAddr {
    let [_, c, b, a] = number.to_be_bytes();
    // 24 bits, of which the lower 16 choose among 64 × 256 groups.
    let ip = Ipv4Addr::new(20 + a % 64, b, c, 1 + a / 64);
    PeerAddr { host: Host::V4(ip), port: 8233 }
}

fn heard(address: PeerAddr, time: UnixTime) -> AddrV2 {
    AddrV2 { time: time.0, services: Services::NODE_NETWORK, address }
}

fn handshake() -> Handshake {
    Handshake {
        version: ProtocolVersion(170_190),
        services: Services::NODE_NETWORK,
        height: 3_500_000,
        user_agent: UserAgent::new(*b"/Savanna:0.1.0/").unwrap(),
    }
}

/// Takes in an address and brings it into `tried`, if its place there is free.
fn befriend(book: &mut Book, address: PeerAddr, now: UnixTime) -> bool {
    book.add(heard(address, now), Source::Config, now);
    book.handle_attempt(address, now);
    book.handle_success(address, handshake(), now);
    is_tried(book, address)
}

fn is_tried(book: &Book, address: PeerAddr) -> bool {
    book.record(address).is_some_and(|record| record.table == crate::Table::Tried)
}

/// Finds another address with the same place in `tried`.
fn rival(book: &Book, of: PeerAddr) -> PeerAddr {
    let slot = book.tables.tried_slot(of);
    let same_group = (0..=u16::MAX).map(|low| {
        let Host::V4(ip) = of.host else { panic!("{of}") };
        let [a, b, ..] = ip.octets();
        let [c, d] = low.to_be_bytes();
        PeerAddr { host: Host::V4(Ipv4Addr::new(a, b, c, d)), port: of.port }
    });
    same_group.into_iter().find(|other| *other != of && book.tables.tried_slot(*other) == slot).unwrap()
}

#[test]
fn labels_are_told_apart() {
    let refusals =
        [Refusal::Unroutable, Refusal::Port, Refusal::Own, Refusal::InboundPort, Refusal::Penalized, Refusal::Full];
    let outcomes = refusals.map(Added::Refused).into_iter().chain([Added::New, Added::Updated, Added::Known]);
    let labels: BTreeSet<_> = outcomes.map(Added::label).collect();
    assert_eq!(labels.len(), 9);
}

#[test]
fn what_is_heard_is_kept_with_its_source_and_counted_by_table_and_family() {
    let mut book = book();
    let v4 = numbered(1);
    let v6 = address("[2a01:4f8::1]:8233");
    let tor = PeerAddr { host: Host::TorV3([7; 32]), port: 8233 };
    for each in [v4, v6, tor] {
        assert_eq!(book.add(heard(each, NOW), Source::Gossip(host("9.9.9.9")), NOW), Added::New);
    }
    assert!(befriend(&mut book, v6, NOW));
    let counts = book.counts();
    assert_eq!(counts.new.of(Family::V4), 1);
    assert_eq!((counts.new.of(Family::V6), counts.tried.of(Family::V6)), (0, 1));
    assert_eq!(counts.new.of(Family::Tor), 1);
    assert_eq!(counts.total(), 3);
    let record = book.record(v4).unwrap();
    assert_eq!(record.source, Netgroup::of(host("9.9.0.0")));
    assert_eq!(record.seen, NOW.minus(2 * 60 * 60));
    assert_eq!(book.record(v6).unwrap().handshake, Some(handshake()));
    // The port is a part of the key.
    assert_eq!(book.record(PeerAddr { port: 8234, ..v4 }), None);
    book.tables.check();
}

#[test]
fn the_same_secret_and_seed_make_the_same_book() {
    let run = |secret, seed| {
        let mut book = Book::new(Config::new(Network::Mainnet), [secret; 32], [seed; 32]);
        for number in 0..500 {
            book.add(heard(numbered(number), NOW), Source::Gossip(numbered(number % 7).host), NOW);
        }
        let picks: Vec<_> = (0..50).map(|_| book.pick(&Wanted::default(), NOW)).collect();
        (book.snapshot(), picks)
    };
    assert_eq!(run(1, 2), run(1, 2));
    assert_ne!(run(1, 2).1, run(1, 3).1);
    let places = |secret| run(secret, 2).0.records.into_iter().map(|record| record.table).collect::<Vec<_>>();
    assert_ne!(places(1), places(2));
}

#[test]
fn an_address_takes_more_places_ever_less_often_and_eight_at_most() {
    let mut book = book();
    let famous = numbered(1);
    let mut offers = 0;
    let mut reached = [0; 9];
    for source in 0..20_000 {
        book.add(heard(famous, NOW), Source::Gossip(numbered(source).host), NOW);
        offers += 1;
        let places = book.tables.get(book.tables.find(famous).unwrap()).unwrap().places().len();
        if reached[places] == 0 {
            reached[places] = offers;
        }
    }
    book.tables.check();
    assert!(reached[8] > reached[4] && reached[8] > 100, "{reached:?}");
}

#[test]
fn what_the_operator_names_finds_a_place_in_a_full_book() {
    let mut book = book();
    for number in 0..3000 {
        assert_eq!(book.add(heard(numbered(number), NOW), Source::Config, NOW), Added::New);
        assert!(book.record(numbered(number)).is_some());
    }
    book.tables.check();
    assert!(book.counts().total() < 2800, "one source of addresses, the operator too, has 64 buckets");
}

#[test]
fn private_addresses_are_for_those_who_say_so() {
    let private = address("127.0.3.1:18344");
    let mut regtest = Book::new(Config::new(Network::Regtest), [1; 32], [2; 32]);
    assert_eq!(regtest.add(heard(private, NOW), Source::Config, NOW), Added::New);
    let public = Added::Refused(Refusal::Unroutable);
    assert_eq!(book().add(heard(address("127.0.3.1:8233"), NOW), Source::Config, NOW), public);
    let config = Config { admits_private: true, ..Config::new(Network::Mainnet) };
    let mut lenient = Book::new(config, [1; 32], [2; 32]);
    assert_eq!(lenient.add(heard(address("10.0.0.1:8233"), NOW), Source::Config, NOW), Added::New);
    assert_eq!(lenient.add(heard(address("0.0.0.0:8233"), NOW), Source::Config, NOW), public);
}

#[test]
fn gossip_does_not_change_what_a_peer_said_of_itself() {
    let mut book = book();
    let peer = numbered(1);
    assert!(befriend(&mut book, peer, NOW));
    let boast = AddrV2 { services: Services(u64::MAX), ..heard(peer, NOW) };
    book.add(boast, Source::Gossip(host("6.6.6.6")), NOW);
    let wanted = Wanted { services: Services(1 << 40), ..Wanted::default() };
    assert_eq!(book.pick(&wanted, NOW.plus(DAY)), None);
    assert_eq!(book.pick(&Wanted::default(), NOW.plus(DAY)), Some(peer));
}

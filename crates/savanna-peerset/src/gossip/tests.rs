use savanna_book::Config;
use savanna_net::session_config;
use savanna_wire::{Network, Version, VersionAddr};

use super::*;

const UNIX: u32 = 1_800_000_000;

fn address(number: u32) -> PeerAddr {
    std::net::SocketAddr::from((std::net::Ipv4Addr::from_bits((0x0b00 + number) << 16 | 1), 8233)).into()
}

fn entry(number: u32) -> AddrV2 {
    AddrV2 { time: UNIX - 60, services: Services::NODE_NETWORK, address: address(number) }
}

fn info(direction: Direction) -> PeerInfo {
    let config = session_config(Network::Mainnet);
    let remote = Version {
        version: config.version,
        services: Services::NODE_NETWORK,
        time: 0,
        receiver: VersionAddr { services: Services::NONE, address: "9.9.9.9:1".parse().unwrap() },
        sender: VersionAddr::UNSPECIFIED,
        nonce: 0,
        user_agent: config.user_agent,
        height: 0,
        relay: false,
    };
    PeerInfo { direction, remote, negotiated: config.version }
}

const fn at(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(seconds), unix: UNIX as i64 + seconds.cast_signed() }
}

fn book() -> Book {
    Book::new(Config::new(Network::Mainnet), [1; 32], [2; 32])
}

fn tellings(relay: &mut Relay, book: &mut Book, now: Now) -> Vec<(PeerId, Vec<AddrV2>)> {
    std::iter::from_fn(|| relay.poll_telling(book, now)).filter(|(_, told)| !told.is_empty()).collect()
}

fn crowd(relay: &mut Relay, peers: u32, direction: Direction) {
    for peer in 0..peers {
        relay.handle_joined(PeerId(peer.into()), Some(address(peer)), &info(direction), at(0));
    }
}

#[test]
fn fresh_addresses_are_passed_on_to_two_others_once() {
    let (mut relay, mut book) = (Relay::new(Services::NODE_NETWORK, &[], [1; 32]), book());
    crowd(&mut relay, 20, Direction::Inbound);
    let learned = relay.handle_told(PeerId(3), &[entry(500)], &mut book, at(0));
    assert_eq!(learned, Learned { new: 1, known: 0, refused: 0 });
    assert_eq!(relay.poll_timeout().map(|due| due <= HELD_FOR * 5), Some(true));
    let told = tellings(&mut relay, &mut book, at(60));
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(peer, entries)| *peer != PeerId(3) && *entries == [entry(500)]));
    // Others tell of it too, and those who were told tell it back.
    for peer in 0..20 {
        relay.handle_told(PeerId(peer), &[entry(500)], &mut book, at(61));
    }
    assert_eq!(tellings(&mut relay, &mut book, at(120)), []);
    assert_eq!(relay.poll_timeout(), None);
}

#[test]
fn adversary_16_stale_crowded_and_unroutable_addresses_go_no_further() {
    let (mut relay, mut book) = (Relay::new(Services::NODE_NETWORK, &[], [1; 32]), book());
    crowd(&mut relay, 20, Direction::Outbound);
    let old = AddrV2 { time: UNIX - 3600, ..entry(600) };
    let crowded: Vec<_> = (700..711).map(entry).collect();
    let private = AddrV2 { address: "10.0.0.1:8233".parse().unwrap(), ..entry(0) };
    let other_chain = AddrV2 { address: "5.5.5.5:8033".parse().unwrap(), ..entry(0) };
    assert_eq!(relay.handle_told(PeerId(1), &[old], &mut book, at(0)).new, 1);
    assert!(relay.handle_told(PeerId(1), &crowded, &mut book, at(0)).new >= 10);
    assert_eq!(relay.handle_told(PeerId(1), &[private, other_chain], &mut book, at(0)).refused, 2);
    assert_eq!(relay.poll_timeout(), None);
    // Nobody can be told without end, and nothing grows without bound.
    for number in 0..20_000_u32 {
        relay.handle_told(PeerId(1), &[entry(1000 + number)], &mut book, at(1));
    }
    for partner in relay.partners.values() {
        assert!(
            partner.known.len() <= MAX_KNOWN && partner.order.len() <= MAX_KNOWN && partner.pending.len() <= MAX_KNOWN
        );
    }
}

#[test]
fn peers_that_we_dialled_are_told_where_we_listen_and_we_are_not_stored() {
    let ours: PeerAddr = "7.7.7.7:8233".parse().unwrap();
    let (mut relay, mut book) = (Relay::new(Services::NODE_NETWORK, &[ours], [1; 32]), book());
    crowd(&mut relay, 2, Direction::Inbound);
    relay.handle_joined(PeerId(9), Some(address(9)), &info(Direction::Outbound), at(5));
    let told = tellings(&mut relay, &mut book, at(5));
    let announced = AddrV2 { time: UNIX + 5, services: Services::NODE_NETWORK, address: ours };
    assert_eq!(told, [(PeerId(9), vec![announced])]);
    let echoed = relay.handle_told(PeerId(0), &[announced], &mut book, at(6));
    assert_eq!((echoed.refused, book.counts().total()), (1, 0));
    assert_eq!(tellings(&mut relay, &mut book, at(3600)), []);
    assert_eq!(tellings(&mut relay, &mut book, at(4 * 24 * 3600)).len(), 1);
}

#[test]
fn where_we_are_seen_is_announced_when_networks_agree() {
    let anywhere: PeerAddr = "0.0.0.0:8233".parse().unwrap();
    let (mut relay, mut book) = (Relay::new(Services::NODE_NETWORK, &[anywhere], [1; 32]), book());
    crowd(&mut relay, 2, Direction::Outbound);
    assert_eq!(tellings(&mut relay, &mut book, at(0)), []);
    relay.handle_joined(PeerId(2), Some(address(2)), &info(Direction::Outbound), at(1));
    assert_eq!(relay.own_addresses().collect::<Vec<_>>(), ["9.9.9.9:8233".parse().unwrap()]);
    let told = tellings(&mut relay, &mut book, at(1));
    assert_eq!(told.len(), 3, "those who were there before are told as well: {told:?}");
}

#[test]
fn peers_whose_end_was_missed_make_room_for_those_who_come() {
    let mut relay = Relay::new(Services::NODE_NETWORK, &[], [1; 32]);
    crowd(&mut relay, 1100, Direction::Inbound);
    assert_eq!(relay.partners.len(), MAX_PARTNERS);
    assert!(relay.partners.contains_key(&PeerId(1099)) && !relay.partners.contains_key(&PeerId(0)));
}

#[test]
fn our_own_address_is_told_only_while_something_is_offered() {
    let ours: PeerAddr = "7.7.7.7:8233".parse().unwrap();
    let (mut relay, mut book) = (Relay::new(Services::NONE, &[ours], [1; 32]), book());
    crowd(&mut relay, 3, Direction::Outbound);
    assert_eq!((relay.poll_timeout(), tellings(&mut relay, &mut book, at(24 * 3600))), (None, vec![]));
    relay.set_services(Services::NODE_NETWORK);
    assert!(relay.poll_timeout().is_some_and(|due| due <= Duration::from_secs(24 * 3600)));
    let told = tellings(&mut relay, &mut book, at(24 * 3600));
    let announced = AddrV2 { time: UNIX + 24 * 3600, services: Services::NODE_NETWORK, address: ours };
    assert_eq!(told, [0, 1, 2].map(|peer| (PeerId(peer), vec![announced])));
    relay.set_services(Services::NONE);
    assert_eq!((relay.poll_timeout(), tellings(&mut relay, &mut book, at(9 * 24 * 3600))), (None, vec![]));
}

#[test]
fn an_address_that_its_voices_leave_behind_is_told_no_more() {
    let anywhere: PeerAddr = "0.0.0.0:8233".parse().unwrap();
    let (mut relay, mut book) = (Relay::new(Services::NODE_NETWORK, &[anywhere], [1; 32]), book());
    crowd(&mut relay, 3, Direction::Outbound);
    assert_eq!(tellings(&mut relay, &mut book, at(0)).len(), 3);
    relay.handle_left(PeerId(0), at(1));
    assert_eq!((relay.own_addresses().count(), tellings(&mut relay, &mut book, at(9 * 24 * 3600))), (0, vec![]));
}

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::Message;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_wire::Services;

use super::*;
use crate::dnssec::Keys;
use crate::roll::{Nameable, Roll};
use crate::serve::either::answer;
use crate::serve::library;
use crate::zone::{NameServer, Zone};

const NOW: u64 = 1_700_000_000;

fn roll(nodes: u8) -> Roll {
    let node = |i: u8| {
        let ip: IpAddr = match i % 3 {
            0 => Ipv6Addr::new(0x2a00, u16::from(i), 0, 0, 0, 0, 0, 1).into(),
            _ => Ipv4Addr::new(20 + i, 9, 1, 1).into(),
        };
        Nameable { ip, services: Services(if i.is_multiple_of(2) { 5 } else { 1 }) }
    };
    Roll { nodes: (0..nodes).map(node).collect() }
}

/// A signed zone with a server some names down, and an unsigned one.
async fn zones() -> Zones {
    let server = |name: &str, ip: Option<Ipv4Addr>| NameServer {
        name: name.to_owned(),
        addresses: ip.map(IpAddr::from).into_iter().collect(),
    };
    let keys = Keys::from_pkcs8(&Keys::generate().unwrap()).unwrap();
    let inside = server("a.ns.seed.example", Some(Ipv4Addr::new(192, 0, 2, 1)));
    let signed = Zone::new("seed.example", &[inside], "host.master@example.org", 60, Some(keys)).unwrap();
    let outside = server("ns.example.org", None);
    let plain = Zone::new("test.example", &[outside], "hostmaster@example.org", 60, None).unwrap();
    let zones = Zones::new([signed, plain], [1; 32], NOW).unwrap();
    zones.update("Seed.Example.", roll(120), NOW).await.unwrap();
    zones.update("test.example", roll(20), NOW).await.unwrap();
    zones
}

const NAMES: [&str; 14] = [
    "seed.example",
    "x1.seed.example",
    "x5.seed.example",
    "x9.seed.example",
    "xd.seed.example",
    "x2.seed.example",
    "ns.seed.example",
    "a.ns.seed.example",
    "b.x1.seed.example",
    "zzz.seed.example",
    "test.example",
    "x5.test.example",
    "example",
    "",
];
const KINDS: [u16; 16] = [1, 1, 28, 28, 2, 6, 48, 47, 46, 255, 43, 16, 252, 41, 0, 65_280];

fn chosen<T: Copy>(from: &[T], rng: &mut ChaCha8Rng) -> T {
    from[usize::try_from(rng.next_u32()).unwrap() % from.len()]
}

fn question(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = rng.next_u32().to_be_bytes()[..2].to_vec();
    bytes.extend_from_slice(&[u8::from(rng.next_u32().is_multiple_of(2)), chosen(&[0, 0x10, 0x20, 0x30], rng)]);
    let edns = !rng.next_u32().is_multiple_of(4);
    bytes.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    for label in chosen(&NAMES, rng).split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes().map(|b| if rng.next_u32().is_multiple_of(2) { b.to_ascii_uppercase() } else { b }));
    }
    bytes.push(0);
    bytes.extend_from_slice(&chosen(&KINDS, rng).to_be_bytes());
    bytes.extend_from_slice(&[0, chosen(&[1, 1, 1, 1, 1, 1, 1, 3], rng)]);
    if edns {
        let size: u16 = chosen(&[0, 512, 700, 1232, 4096, u16::MAX], rng);
        let [high, low] = size.to_be_bytes();
        let version = chosen(&[0, 0, 0, 0, 0, 0, 0, 1], rng);
        bytes.extend_from_slice(&[0, 0, 41, high, low, 0, version, chosen(&[0, 0x80], rng), 0, 0]);
        let cookie: &[u8] = b"\x00\x0a\x00\x08cookies!";
        let options = if rng.next_u32().is_multiple_of(2) { cookie } else { &[] };
        bytes.push(u8::try_from(options.len()).unwrap());
        bytes.extend_from_slice(options);
    }
    bytes
}

#[tokio::test]
async fn both_ways_answer_in_the_same_bytes() {
    let zones = zones().await;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut ready, mut out, mut by_library) = (0, Vec::new(), Vec::new());
    for i in 0..20_000 {
        let packet = question(&mut rng);
        let transport = chosen(&[Transport::Udp, Transport::Tcp], &mut rng);
        let pick = rng.next_u64();
        let Some(said) = by_bytes(&zones, &packet, transport, pick, &mut out) else { continue };
        ready += 1;
        let judged = library::answer(&zones, &packet, transport, pick, &mut by_library);
        assert_eq!(judged, Some(said), "question {i}: {packet:?}");
        assert_eq!(out, by_library, "question {i}: {packet:?}");
    }
    assert!(ready > 8_000, "{ready} of 20,000 questions were plain");
}

#[tokio::test]
async fn every_answer_can_be_read_and_echoes_its_question() {
    let zones = zones().await;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut out = Vec::new();
    for _ in 0..20_000 {
        let packet = question(&mut rng);
        let said = answer(&zones, &packet, Transport::Udp, rng.next_u64(), &mut out).unwrap();
        let read = Message::from_vec(&out).unwrap();
        assert_eq!(out[..2], packet[..2]);
        assert_eq!(read.edns.is_some(), packet[11] == 1 && said.outcome != Outcome::FormatError);
        assert!(
            said.outcome == Outcome::FormatError
                || out[HEADER..].starts_with(&packet[HEADER..packet.len().min(HEADER + 8)])
        );
        let refused = matches!(said.outcome, Outcome::Refused | Outcome::BadVersion | Outcome::FormatError);
        assert_eq!(read.metadata.authoritative, !refused);
        assert!(read.answers.len() <= 26 && out.len() <= 1232);
    }
}

/// Bytes are changed, cut, doubled and put in; nothing panics, nothing that is an answer is answered, and what is sent is
/// bounded: by 512 bytes without EDNS, by 1,232 with it.
#[tokio::test]
async fn mutated_packets_do_no_harm() {
    let zones = zones().await;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3);
    println!("SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out = Vec::new();
    for _ in 0..100_000 {
        let mut packet = question(&mut rng);
        for _ in 0..=rng.next_u32() % 4 {
            mutate(&mut packet, &mut rng);
        }
        let said = answer(&zones, &packet, Transport::Udp, rng.next_u64(), &mut out);
        if packet.len() < HEADER || packet[2] & 0x80 != 0 {
            assert_eq!(said, None);
        }
        if said.is_some() {
            let most = if Message::from_vec(&packet).is_ok_and(|read| read.edns.is_some()) { 1232 } else { 512 };
            assert!(out.len() <= most.max(packet.len()), "{} bytes to {packet:?}", out.len());
            assert!(out[2] & 0x80 != 0 && out[..2] == packet[..2]);
        }
        if slipped(&packet, &mut out) {
            assert!(out.len() <= packet.len(), "a slip is no larger than its question");
        }
    }
}

fn mutate(packet: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let mut at = || usize::try_from(rng.next_u32()).unwrap() % (packet.len() + 1);
    let (one, other) = (at(), at());
    match rng.next_u32() % 6 {
        0 => packet.truncate(one),
        1 => packet.insert(one, rng.next_u32().to_be_bytes()[0]),
        2 => packet.extend_from_within(one.min(other)..one.max(other)),
        3 => drop(packet.drain(one.min(other)..one.max(other).min(one.min(other) + 4))),
        4 if one < packet.len() => packet[one] = chosen(&[0, 1, 0x3f, 0x40, 0xc0, 0xff], rng),
        _ if one < packet.len() => packet[one] ^= 1 << (rng.next_u32() % 8),
        _ => {}
    }
}

#[tokio::test]
async fn adversary_1_a_header_that_declares_much_is_malformed() {
    let zones = zones().await;
    for at in [4, 6, 8, 10] {
        let mut packet = [0; HEADER];
        packet[at..at + 2].fill(0xff);
        let mut out = Vec::new();
        let said = answer(&zones, &packet, Transport::Udp, 0, &mut out).unwrap();
        assert_eq!((said.outcome, out.len()), (Outcome::FormatError, HEADER));
    }
}

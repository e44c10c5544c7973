//! The DNS service, asked over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(missing_docs, clippy::wildcard_enum_match_arm, reason = "tests")]

mod dns_support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use dns_support::{MAIN, Service, TEST, addresses, ask, kinds, lenient, now, roll, with_edns, zone};
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, RecordType};
use savanna_book::Netgroup;
use savanna_seed::{Keys, Limits, NameServer, Roll, Zone, ZoneError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Reads how many records of which type are expected: `A 25, RRSIG 1`.
fn told(text: &str) -> BTreeMap<String, usize> {
    let pairs = text.split(", ").filter_map(|pair| pair.split_once(' '));
    pairs.map(|(kind, count)| (kind.to_owned(), count.parse().unwrap())).collect()
}

#[tokio::test]
async fn every_type_of_the_zone_is_answered_by_udp_and_tcp() {
    let service = Service::full(lenient()).await;
    let cases: [(&str, RecordType, &str, &str); 10] = [
        (MAIN, RecordType::A, "A 25", ""),
        (MAIN, RecordType::AAAA, "AAAA 25", ""),
        (MAIN, RecordType::NS, "NS 1", ""),
        (MAIN, RecordType::SOA, "SOA 1", ""),
        (MAIN, RecordType::DNSKEY, "DNSKEY 1", ""),
        (MAIN, RecordType::NSEC, "NSEC 1", ""),
        (MAIN, RecordType::ANY, "HINFO 1", ""),
        (MAIN, RecordType::TXT, "", "SOA 1"),
        (MAIN, RecordType::DS, "", "SOA 1"),
        ("a.ns.seed.example.org", RecordType::A, "A 1", ""),
    ];
    for (name, kind, answers, authorities) in cases {
        let message = with_edns(ask(name, kind), 1232, false);
        for answer in [service.udp(&message).await, service.tcp(&message).await] {
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{kind}");
            assert!(answer.metadata.authoritative && answer.metadata.recursion_desired);
            assert!(!answer.metadata.recursion_available && !answer.metadata.truncation);
            assert_eq!(kinds(&answer.answers), told(answers), "{kind}");
            assert_eq!(kinds(&answer.authorities), told(authorities), "{kind}");
            assert_eq!(answer.queries, message.queries);
        }
    }
    service.end().await;
}

#[tokio::test]
async fn what_is_not_ours_or_does_not_exist_is_told_so() {
    let service = Service::full(lenient()).await;
    let mut chaos = ask(MAIN, RecordType::A);
    chaos.queries[0].set_query_class(DNSClass::CH);
    let mut notify = ask(MAIN, RecordType::SOA);
    notify.metadata.op_code = OpCode::Notify;
    let mut twice = ask(MAIN, RecordType::A);
    twice.add_query(twice.queries[0].clone());
    let cases = [
        (ask("example.org", RecordType::A), ResponseCode::Refused),
        (ask("xseed.example.org", RecordType::A), ResponseCode::Refused),
        (ask(".", RecordType::NS), ResponseCode::Refused),
        (chaos, ResponseCode::Refused),
        (ask(MAIN, RecordType::AXFR), ResponseCode::Refused),
        (ask("nothing.seed.example.org", RecordType::AXFR), ResponseCode::Refused),
        (notify, ResponseCode::NotImp),
        (twice, ResponseCode::FormErr),
        (ask("nothing.seed.example.org", RecordType::A), ResponseCode::NXDomain),
        (ask("x2.seed.example.org", RecordType::A), ResponseCode::NXDomain),
        (ask("a.x1.seed.example.org", RecordType::A), ResponseCode::NXDomain),
        (ask("ns.seed.example.org", RecordType::A), ResponseCode::NoError),
        (ask("ns.seed.example.org", RecordType::ANY), ResponseCode::NoError),
    ];
    for (message, code) in cases {
        for answer in [service.udp(&message).await, service.tcp(&message).await] {
            assert_eq!(answer.metadata.response_code, code, "{}", message.queries[0]);
            assert!(answer.answers.is_empty());
            let ours = matches!(code, ResponseCode::NXDomain | ResponseCode::NoError);
            assert_eq!(kinds(&answer.authorities), told(if ours { "SOA 1" } else { "" }));
            assert_eq!(answer.metadata.authoritative, ours);
        }
    }
    let mut future = with_edns(ask(MAIN, RecordType::A), 1232, false);
    future.edns.as_mut().unwrap().set_version(1);
    let answer = service.udp(&future).await;
    // The number that signatures use too, by which name the library reads it.
    assert_eq!(u16::from(answer.metadata.response_code), 16);
    assert_eq!(answer.edns.unwrap().version(), 0);
    service.end().await;
}

#[tokio::test]
async fn an_answer_is_as_large_as_its_asker_allows() {
    let service = Service::full(lenient()).await;
    for dnssec in [false, true] {
        for size in [None, Some(0), Some(512), Some(1232), Some(4096)] {
            let plain = ask(MAIN, RecordType::AAAA);
            let message = size.map_or_else(|| plain.clone(), |size| with_edns(plain.clone(), size, dnssec));
            let bytes = service.raw(&message.to_vec().unwrap()).await.unwrap();
            let answer = Message::from_vec(&bytes).unwrap();
            let room = usize::from(size.unwrap_or(512).clamp(512, 1232));
            assert!(bytes.len() <= room, "{} bytes for {size:?}", bytes.len());
            assert_eq!(answer.metadata.truncation, room == 512, "{size:?}");
            assert_eq!(answer.answers.is_empty(), room == 512, "half a set is none");
            assert_eq!(answer.edns.is_some(), size.is_some());
            assert_eq!(answer.edns.map_or(1232, |edns| edns.max_payload()), 1232);
            let whole = service.tcp(&message).await;
            assert!(!whole.metadata.truncation);
            assert_eq!(addresses(&whole).len(), 25);
        }
    }
    service.end().await;
}

#[tokio::test]
async fn signatures_are_for_those_who_ask_for_them() {
    let service = Service::full(lenient()).await;
    let cases: [(&str, RecordType, &str, &str); 5] = [
        (MAIN, RecordType::A, "A 25, RRSIG 1", ""),
        (MAIN, RecordType::TXT, "", "SOA 1, NSEC 1, RRSIG 2"),
        ("ns.seed.example.org", RecordType::A, "", "SOA 1, NSEC 1, RRSIG 2"),
        // The name itself, and the wildcard that could stand for it.
        ("zz.seed.example.org", RecordType::A, "", "SOA 1, NSEC 2, RRSIG 3"),
        // One denial covers both.
        ("b.x1.seed.example.org", RecordType::A, "", "SOA 1, NSEC 1, RRSIG 2"),
    ];
    for (name, kind, answers, authorities) in cases {
        let answer = service.udp(&with_edns(ask(name, kind), 1232, true)).await;
        assert_eq!(kinds(&answer.answers), told(answers), "{name}");
        assert_eq!(kinds(&answer.authorities), told(authorities), "{name}");
        assert!(answer.edns.unwrap().flags().dnssec_ok);
        let answer = service.udp(&with_edns(ask(name, kind), 1232, false)).await;
        assert_eq!(kinds(&answer.answers).get("RRSIG"), None);
        assert_eq!(kinds(&answer.authorities).get("NSEC"), None);
        assert!(!answer.edns.unwrap().flags().dnssec_ok);
    }
    let unsigned = service.udp(&with_edns(ask(TEST, RecordType::A), 1232, true)).await;
    assert_eq!(kinds(&unsigned.answers), told("A 8"));
    service.end().await;
}

#[tokio::test]
async fn a_service_name_names_only_nodes_with_all_those_bits() {
    let service = Service::full(lenient()).await;
    let able: BTreeSet<IpAddr> = roll(120).nodes.iter().filter(|n| n.services.0 & 5 == 5).map(|n| n.ip).collect();
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let answer = service.udp(&with_edns(ask("x5.seed.example.org", RecordType::A), 1232, false)).await;
        seen.extend(addresses(&answer));
    }
    let of_family: BTreeSet<_> = able.iter().copied().filter(IpAddr::is_ipv4).collect();
    assert_eq!(seen, of_family, "all of them come to be named, and no other");
    let none = service.udp(&ask("x9.seed.example.org", RecordType::A)).await;
    assert_eq!(none.metadata.response_code, ResponseCode::NoError);
    assert!(none.answers.is_empty());
    service.end().await;
}

#[tokio::test]
async fn an_answer_has_one_of_a_netgroup_and_another_question_gets_others() {
    let service = Service::full(lenient()).await;
    let mut seen = BTreeSet::new();
    for _ in 0..50 {
        let named = addresses(&service.udp(&ask(MAIN, RecordType::A)).await);
        let groups: BTreeSet<_> = named.iter().map(|ip| Netgroup::of((*ip).into())).collect();
        assert_eq!(groups.len(), named.len());
        seen.insert(named);
    }
    assert!(seen.len() > 20, "{} different answers of 50", seen.len());
    service.end().await;
}

#[tokio::test]
async fn the_case_of_a_name_comes_back() {
    let service = Service::full(lenient()).await;
    for (name, kind) in [("SeEd.eXample.ORG", RecordType::A), ("NoThing.Seed.Example.org", RecordType::A)] {
        let message = ask(name, kind).to_vec().unwrap();
        let answer = service.raw(&message).await.unwrap();
        assert_eq!(answer[12..message.len()], message[12..]);
    }
    service.end().await;
}

#[tokio::test]
async fn zones_do_not_mix() {
    let service = Service::full(lenient()).await;
    let test: BTreeSet<IpAddr> = roll(12).nodes.iter().map(|node| node.ip).collect();
    let named = addresses(&service.udp(&ask(TEST, RecordType::A)).await);
    assert_eq!(named.len(), 8);
    assert!(named.iter().all(|ip| test.contains(ip)));
    let soa = service.udp(&ask(&format!("no.{TEST}"), RecordType::A)).await;
    assert_eq!(soa.authorities[0].name.to_ascii(), format!("{TEST}."));
    service.end().await;
}

#[tokio::test]
async fn an_empty_roll_names_nobody_at_once() {
    let service = Service::full(lenient()).await;
    let before = serial(&service).await;
    assert!(service.zones.is_ready(MAIN) && service.zones.is_ready(TEST) && !service.zones.is_ready("example.org"));
    service.zones.update(MAIN, Roll::default(), now()).await.unwrap();
    assert!(!service.zones.is_ready(MAIN));
    assert!(service.zones.is_ready(TEST));
    for name in [MAIN, "x1.seed.example.org"] {
        for kind in [RecordType::A, RecordType::AAAA] {
            let answer = service.udp(&with_edns(ask(name, kind), 1232, true)).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
            assert!(answer.answers.is_empty());
            assert_eq!(kinds(&answer.authorities), told("SOA 1, NSEC 1, RRSIG 2"));
            assert_eq!(answer.authorities[0].ttl, 60);
        }
    }
    assert!(serial(&service).await > before, "the serial moves");
    assert!(service.zones.update("example.org", Roll::default(), now()).await.is_err());
    service.end().await;
}

async fn serial(service: &Service) -> u32 {
    match service.udp(&ask(MAIN, RecordType::SOA)).await.answers[0].data {
        RData::SOA(ref soa) => soa.serial,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_prefix_gets_its_share_and_comes_back_over_tcp() {
    let service = Service::full(Limits { rate: 1, burst: 10, slip: 2, ..Limits::default() }).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let message = ask(MAIN, RecordType::A);
    let bytes = message.to_vec().unwrap();
    for _ in 0..30 {
        socket.send_to(&bytes, service.at).await.unwrap();
    }
    let (mut whole, mut slipped, mut answer) = (0, 0, vec![0; 2048]);
    while let Ok(len) = timeout(Duration::from_millis(500), socket.recv(&mut answer)).await {
        let read = Message::from_vec(&answer[..len.unwrap()]).unwrap();
        if read.metadata.truncation { slipped += 1 } else { whole += 1 }
    }
    assert!((10..=12).contains(&whole), "{whole} answers");
    assert!((9..=10).contains(&slipped), "{slipped} slips");
    assert_eq!(addresses(&service.tcp(&message).await).len(), 25, "TCP is not limited so");
    let counts = service.zones.counts();
    assert_eq!(counts.slipped, slipped);
    assert_eq!(counts.limited + counts.slipped + whole, 30);
    service.end().await;
}

#[tokio::test]
async fn adversary_26_tcp_connections_are_bounded_and_end() {
    let limits = Limits { connections_of_prefix: 3, idle: Duration::from_millis(300), questions: 2, ..lenient() };
    let service = Service::full(limits).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(TcpStream::connect(service.at).await.unwrap());
    }
    let mut fourth = TcpStream::connect(service.at).await.unwrap();
    let closed = timeout(Duration::from_secs(2), fourth.read_u8()).await.unwrap();
    assert!(closed.is_err(), "one too many is closed at once");
    assert_eq!(service.zones.counts().connections_refused, 1);
    // One byte of a question does not put the end off.
    idle[0].write_all(&[0]).await.unwrap();
    for stream in &mut idle {
        assert!(timeout(Duration::from_secs(2), stream.read_u8()).await.unwrap().is_err());
    }
    let mut stream = TcpStream::connect(service.at).await.unwrap();
    let bytes = ask(MAIN, RecordType::SOA).to_vec().unwrap();
    for _ in 0..2 {
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
    }
    assert!(timeout(Duration::from_secs(2), stream.read_u8()).await.unwrap().is_err(), "enough was asked");
    service.end().await;
}

#[tokio::test]
async fn answers_and_rubbish_get_nothing_and_the_next_question_gets_its_answer() {
    let service = Service::full(lenient()).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut answer = ask(MAIN, RecordType::A);
    answer.metadata.message_type = MessageType::Response;
    let long = vec![0x80; 5000];
    for silent in [&answer.to_vec().unwrap()[..], b"", b"\x12", &[0; 11], &long] {
        socket.send_to(silent, service.at).await.unwrap();
    }
    let malformed = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01";
    let reply = service.raw(malformed).await.unwrap();
    assert_eq!(reply, b"\x12\x34\x81\x01\x00\x00\x00\x00\x00\x00\x00\x00");
    assert_eq!(service.zones.counts().ignored, 5);
    assert_eq!(addresses(&service.udp(&ask(MAIN, RecordType::A)).await).len(), 25);
    let none = timeout(Duration::from_millis(100), socket.recv(&mut [0; 512])).await;
    assert!(none.is_err(), "nothing came back");
    service.end().await;
}

#[test]
fn a_zone_that_breaks_the_policy_is_none() {
    let outside = || vec![NameServer { name: "ns.example.net".to_owned(), addresses: Vec::new() }];
    let inside = |name: &str, with: bool| {
        let addresses = if with { vec![IpAddr::from([192, 0, 2, 1])] } else { Vec::new() };
        vec![NameServer { name: name.to_owned(), addresses }]
    };
    let new = |name: &str, servers: Vec<NameServer>, contact: &str, ttl| {
        Zone::new(name, &servers, contact, ttl, None).err().map(|error| error.to_string())
    };
    let contact = "hostmaster@example.org";
    assert_eq!(new(MAIN, outside(), contact, 60), None);
    assert_eq!(new(MAIN, inside("ns.seed.example.org", true), contact, 3600), None);
    for ttl in [0, 59, 3601] {
        assert_eq!(Zone::new(MAIN, &outside(), contact, ttl, None).unwrap_err(), ZoneError::Ttl(ttl));
    }
    for bad in ["", "example.org", "@example.org", "me@", "me@org", "a b@example.org"] {
        assert_eq!(Zone::new(MAIN, &outside(), bad, 60, None).unwrap_err(), ZoneError::Contact(bad.to_owned()));
    }
    for (name, servers) in [
        ("org", outside()),
        (".", outside()),
        ("a..b", outside()),
        (MAIN, Vec::new()),
        (MAIN, inside("ns.seed.example.org", false)),
        (MAIN, inside("ns.example.net", true)),
        (MAIN, inside("x1.seed.example.org", true)),
        (MAIN, inside(MAIN, true)),
    ] {
        assert!(new(name, servers, contact, 60).is_some(), "{name}");
    }
    let signed = zone(MAIN, Some(Keys::from_pkcs8(&Keys::generate().unwrap()).unwrap()));
    assert!(signed.ds().unwrap().starts_with("seed.example.org. IN DS "));
    assert_eq!(zone(MAIN, None).ds(), None);
}

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};
use savanna_wire::Services;

use super::*;
use crate::dnssec::Keys;
use crate::roll::Nameable;
use crate::zone::{Lookup, NameServer};

const NOW: u64 = 1_700_000_000;
const NAME: &[u8] = b"\x04seed\x07example\x00";

fn zones(ttl: u32, now: u64) -> Zones {
    let server = NameServer { name: "ns.example".to_owned(), addresses: Vec::new() };
    let keys = Keys::from_pkcs8(&Keys::generate().unwrap()).unwrap();
    let zone = Zone::new("seed.example", &[server], "hostmaster@example.org", ttl, Some(keys)).unwrap();
    Zones::new([zone], [1; 32], now).unwrap()
}

fn roll() -> Roll {
    let node = |i: u8| Nameable { ip: IpAddr::from(Ipv4Addr::new(20 + i, 9, 1, 1)), services: Services::NODE_NETWORK };
    Roll { nodes: (0..200).map(node).collect() }
}

fn answer(zones: &Zones, kind: RecordType, pick: u64) -> Vec<RData> {
    let prepared = zones.of(NAME).unwrap().prepared();
    let Some(Lookup::Ready(reply)) = prepared.find(NAME, kind, pick) else { panic!("not ready") };
    assert_eq!(reply.code, ResponseCode::NoError);
    reply.sections(true).0.into_iter().map(|record| record.data).collect()
}

fn serial(zones: &Zones) -> u32 {
    let RData::SOA(soa) = &answer(zones, RecordType::SOA, 0)[0] else { panic!("no SOA") };
    soa.serial
}

#[tokio::test]
async fn draws_and_signatures_are_renewed_each_ttl() {
    let zones = zones(60, NOW);
    zones.update("seed.example", roll(), NOW).await.unwrap();
    let first = (serial(&zones), answer(&zones, RecordType::A, 0));
    zones.renew(NOW + 59).await;
    assert_eq!(first, (serial(&zones), answer(&zones, RecordType::A, 0)));
    zones.renew(NOW + 60).await;
    assert!(serial(&zones) > first.0);
    assert_ne!(answer(&zones, RecordType::A, 0), first.1);
}

#[tokio::test]
async fn a_roll_that_nobody_renews_is_forgotten_whatever_the_ttl() {
    for ttl in [60, 3600] {
        let zones = zones(ttl, NOW);
        zones.update("seed.example", roll(), NOW).await.unwrap();
        zones.renew(NOW + ROLL_LIFE).await;
        assert!(zones.is_ready("seed.example"));
        zones.renew(NOW + ROLL_LIFE + 1).await;
        assert!(!zones.is_ready("seed.example"));
        assert_eq!(answer(&zones, RecordType::A, 0), []);
    }
}

#[tokio::test]
async fn adversary_13_a_roll_given_by_a_clock_that_was_ahead_is_forgotten_too() {
    let zones = zones(60, NOW);
    zones.update("seed.example", roll(), NOW + 86_400).await.unwrap();
    zones.renew(NOW).await;
    assert!(zones.is_ready("seed.example"));
    zones.renew(NOW + ROLL_LIFE + 1).await;
    assert!(!zones.is_ready("seed.example"));
}

#[tokio::test]
async fn the_serial_moves_on_within_a_second_and_over_a_restart() {
    let zones = zones(60, NOW);
    let mut last = serial(&zones);
    for _ in 0..3 {
        zones.update("seed.example", roll(), NOW).await.unwrap();
        assert!(serial(&zones) > last);
        last = serial(&zones);
    }
    zones.update("seed.example", roll(), NOW - 1000).await.unwrap();
    assert!(serial(&zones) > last, "a clock that turns back turns no serial back");
    assert!(serial(&self::zones(60, NOW + 60)) > serial(&zones));
}

#[tokio::test]
async fn a_signature_began_before_and_lasts_longer_than_what_it_signs_is_kept() {
    use hickory_proto::dnssec::rdata::DNSSECRData;
    let zones = zones(3600, NOW);
    zones.update("seed.example", roll(), NOW).await.unwrap();
    for kind in [RecordType::A, RecordType::NS, RecordType::SOA, RecordType::DNSKEY, RecordType::NSEC] {
        let data = answer(&zones, kind, 7);
        let Some(RData::DNSSEC(DNSSECRData::RRSIG(signature))) = data.last() else { panic!("{kind} is not signed") };
        let input = signature.input();
        assert_eq!(u64::from(input.sig_inception.get()), NOW - 3600);
        assert!(u64::from(input.sig_expiration.get()) >= NOW + 2 * 3600 + u64::from(input.original_ttl));
    }
}

#[test]
fn a_zone_within_another_is_refused() {
    let zone = |name: &str| {
        let server = NameServer { name: "ns.example.net".to_owned(), addresses: Vec::new() };
        Zone::new(name, &[server], "hostmaster@example.org", 60, None).unwrap()
    };
    for (one, other) in
        [("seed.example", "Seed.Example."), ("seed.example", "test.seed.example"), ("a.b.example", "b.example")]
    {
        let refused = Zones::new([zone(one), zone(other)], [0; 32], NOW);
        assert!(matches!(refused, Err(ZoneError::Within(..))), "{one} and {other}");
    }
    assert!(Zones::new([zone("seed.example"), zone("test.example")], [0; 32], NOW).is_ok());
}

#[test]
fn a_name_is_within_a_zone_by_whole_labels() {
    assert!(is_within(NAME, NAME));
    assert!(is_within(b"\x02x1\x04seed\x07example\x00", NAME));
    for outside in [&b"\x05xseed\x07example\x00"[..], b"\x07example\x00", b"\x00", b"\x0cxx\x04seed\x07example\x00"] {
        assert!(!is_within(outside, NAME), "{outside:?}");
    }
}

use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};

use savanna_wire::Services;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::*;
use crate::{Dns, Keys, Limits, NameServer, Nameable, Roll, Zone, Zones};

const NAME: &str = "seed.example.org";

/// Audits a seeder of ours, signed or not, that names so many nodes.
async fn audited(is_signed: bool, nodes: u8) -> Audit {
    let keys = is_signed.then(|| Keys::from_pkcs8(&Keys::generate().unwrap()).unwrap());
    let server = NameServer { name: "ns.example.net".to_owned(), addresses: Vec::new() };
    let zone = Zone::new(NAME, &[server], "hostmaster@example.org", 60, keys).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let zones = Zones::new([zone], [3; 32], now).unwrap();
    let node = |i: u8| Nameable { ip: Ipv4Addr::new(20 + i, 1, 1, 1).into(), services: Services(5) };
    zones.update(NAME, Roll { nodes: (0..nodes).map(node).collect() }, now).await.unwrap();
    let dns = Dns::bind(&["127.0.0.1:0".parse().unwrap()], zones, Limits::default(), 1).unwrap();
    let server = dns.local_addrs().unwrap()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move { dns.serve(async { drop(stopped.await) }).await.unwrap() });
    let audit = Audit::of(NAME, server, Network::Mainnet).await.unwrap();
    drop(stop);
    serving.await.unwrap();
    audit
}

fn verdict(audit: &Audit, check: &str) -> Option<Verdict> {
    audit.findings.iter().find(|finding| finding.check == check).map(|finding| finding.verdict)
}

#[tokio::test]
async fn our_own_seeder_passes() {
    let audit = audited(true, 40).await;
    for finding in &audit.findings {
        let expected = if finding.check == "aaaa" { Verdict::Noted } else { Verdict::Passed };
        assert_eq!(finding.verdict, expected, "{finding:?}");
    }
    for check in
        ["answers", "tcp", "edns", "plain", "a", "ttl", "diversity", "ns", "soa", "case", "dnssec", "service_names"]
    {
        assert!(verdict(&audit, check).is_some(), "{check}");
    }
    assert!(audit.named.len() > LARGEST, "several answers name more than one");
}

#[tokio::test]
async fn one_that_names_nobody_fails_and_one_without_signatures_does_not() {
    let audit = audited(true, 0).await;
    let failed: Vec<_> = audit.findings.iter().filter(|finding| finding.verdict == Verdict::Failed).collect();
    assert_eq!(failed.iter().map(|finding| finding.check).collect::<Vec<_>>(), ["diversity"], "{failed:?}");
    let audit = audited(false, 5).await;
    assert_eq!(verdict(&audit, "dnssec"), Some(Verdict::Noted));
    assert!(audit.findings.iter().all(|finding| finding.verdict != Verdict::Failed), "{audit:?}");
}

/// Answers every question by one datagram, made from the question.
async fn answering(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = vec![0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut question).await {
            let _ = socket.send_to(&answer(&question[..len]), from).await;
        }
    });
    at
}

#[tokio::test]
async fn a_server_that_refuses_fails_at_once() {
    let refused = |question: &[u8]| {
        let mut answer = question.to_vec();
        (answer[2], answer[3]) = (0x80, 5);
        answer
    };
    let audit = Audit::of(NAME, answering(refused).await, Network::Mainnet).await.unwrap();
    assert_eq!(audit.findings.len(), 1);
    assert_eq!(verdict(&audit, "answers"), Some(Verdict::Failed));
    assert!(audit.findings[0].detail.contains("Query Refused"), "{audit:?}");
}

#[tokio::test]
async fn adversary_5_a_server_that_sends_nonsense_fails_as_one_that_is_silent() {
    let nonsense = |question: &[u8]| [&question[..2], &[0xff; 700]].concat();
    let audit = Audit::of(NAME, answering(nonsense).await, Network::Mainnet).await.unwrap();
    assert_eq!(verdict(&audit, "answers"), Some(Verdict::Failed));
    assert!(audit.named.is_empty());
}

#[tokio::test]
async fn what_is_no_name_is_told_so() {
    for wrong in ["", ".", "a..b", &"x".repeat(64)] {
        let audit = Audit::of(wrong, SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), Network::Mainnet).await;
        assert_eq!(audit, Err(AuditError::Name(wrong.to_owned())));
    }
}

//! No log tells who asked.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(missing_docs, reason = "tests")]

mod dns_support;

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use dns_support::{MAIN, Service, ask, with_edns};
use hickory_proto::rr::RecordType;
use savanna_seed::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// An address that nothing else here has.
const CLIENT: &str = "127.0.0.77";

/// Keeps everything that is logged, of every target and level.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut Line(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut kept = self.0.lock().unwrap();
        write!(kept, "\n{}", event.metadata().target()).unwrap();
        event.record(&mut Line(&mut kept));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn no_log_of_any_level_holds_a_client() {
    let kept = Kept::default();
    tracing::subscriber::set_global_default(kept.clone()).unwrap();
    tracing::trace!(address = CLIENT, "a line that must be found");
    let service = Service::full(Limits { rate: 1, burst: 20, ..Limits::default() }).await;
    let socket = UdpSocket::bind((CLIENT, 0)).await.unwrap();
    let mut ports = vec![socket.local_addr().unwrap().port()];
    let questions = [
        ask(MAIN, RecordType::A),
        with_edns(ask(MAIN, RecordType::AAAA), 512, true),
        ask("nothing.seed.example.org", RecordType::A),
        ask("example.net", RecordType::A),
        ask(MAIN, RecordType::AXFR),
    ];
    for i in 0..60 {
        socket.send_to(&questions[i % questions.len()].to_vec().unwrap(), service.at).await.unwrap();
    }
    for malformed in [&b"\x12"[..], b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"] {
        socket.send_to(malformed, service.at).await.unwrap();
    }
    for question in &questions {
        let tcp = TcpSocket::new_v4().unwrap();
        tcp.bind((CLIENT.parse::<std::net::Ipv4Addr>().unwrap(), 0).into()).unwrap();
        let mut stream = tcp.connect(service.at).await.unwrap();
        ports.push(stream.local_addr().unwrap().port());
        let bytes = question.to_vec().unwrap();
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        assert!(stream.read_u16().await.unwrap() > 12);
        stream.write_all(b"\x00\x01\xff").await.unwrap();
    }
    assert!(service.zones.counts().answered.len() > 5);
    service.end().await;
    let log = kept.0.lock().unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(CLIENT)).collect();
    assert_eq!(lines.len(), 1, "only the test's own: {lines:#?}");
    for port in ports {
        assert!(!log.contains(&format!(":{port}")) && !log.contains(&format!("#{port}")));
    }
}

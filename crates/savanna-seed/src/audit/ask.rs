//! Asking one server one question, and reading what it says.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long a server has for its answer. It is asked this often by UDP, which loses datagrams.
const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: usize = 3;

/// How a question travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// One who asks a server.
#[derive(Debug)]
pub(super) struct Asker {
    server: SocketAddr,
    next: AtomicU16,
}

/// An answer, with the question as it was sent.
#[derive(Debug)]
pub(super) struct Asked {
    question: Vec<u8>,
    answer: Vec<u8>,
    message: Message,
}

impl Asker {
    pub(super) const fn new(server: SocketAddr) -> Self {
        Self { server, next: AtomicU16::new(1) }
    }

    /// Asks, with DNSSEC wanted, and `size` bytes taken if that is said. Returns nothing where no answer comes.
    pub(super) async fn ask(
        &self,
        name: &Name,
        kind: RecordType,
        transport: Transport,
        size: Option<usize>,
    ) -> Option<Asked> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(name.clone(), kind));
        if let Some(size) = size {
            let mut edns = Edns::new();
            // Signatures make an answer by UDP larger than it is for most who ask.
            edns.set_max_payload(u16::try_from(size).ok()?).set_dnssec_ok(transport == Transport::Tcp);
            message.set_edns(edns);
        }
        let question = message.to_vec().ok()?;
        for _ in 0..TRIES {
            let answering = async {
                match transport {
                    Transport::Udp => self.udp(&question).await,
                    Transport::Tcp => self.tcp(&question).await,
                }
            };
            if let Ok(Ok(answer)) = timeout(PATIENCE, answering).await
                && let Ok(message) = Message::from_vec(&answer)
            {
                return Some(Asked { question, answer, message });
            }
        }
        None
    }

    async fn udp(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(self.server).await?;
        socket.send(question).await?;
        let mut answer = vec![0; usize::from(u16::MAX)];
        loop {
            let len = socket.recv(&mut answer).await?;
            // Others may send here as well.
            if answer.get(..2) == question.get(..2) {
                answer.truncate(len);
                return Ok(answer);
            }
        }
    }

    async fn tcp(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.server).await?;
        let len = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes(), question].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

impl Asked {
    pub(super) const fn len(&self) -> usize {
        self.answer.len()
    }

    pub(super) const fn code(&self) -> ResponseCode {
        self.message.metadata.response_code
    }

    pub(super) const fn is_authoritative(&self) -> bool {
        self.message.metadata.authoritative
    }

    pub(super) const fn is_truncated(&self) -> bool {
        self.message.metadata.truncation
    }

    pub(super) const fn has_edns(&self) -> bool {
        self.message.edns.is_some()
    }

    /// Returns whether the question came back as it was sent.
    pub(super) fn is_echo(&self) -> bool {
        // The name, its last byte, a type and a class, behind the head of the message.
        let name = self.message.queries.first().map_or(0, |query| query.name().len());
        let question = 12..12 + name + 4;
        name > 0 && self.answer.get(question.clone()) == self.question.get(question)
    }

    /// Returns whether a record of a kind is in the answer, or in what stands there for none.
    pub(super) fn has(&self, kind: RecordType) -> bool {
        let mut records = self.message.answers.iter().chain(&self.message.authorities);
        records.any(|record| record.record_type() == kind)
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "of all records only two kinds have addresses")]
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let ip = |record: &Record| match record.data {
            RData::A(ip) => Some(IpAddr::V4(ip.0)),
            RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
            _ => None,
        };
        self.message.answers.iter().filter_map(ip).collect()
    }

    /// Returns how long the addresses may be kept.
    pub(super) fn ttls(&self) -> impl Iterator<Item = u32> {
        let is_address = |record: &&Record| matches!(record.record_type(), RecordType::A | RecordType::AAAA);
        self.message.answers.iter().filter(is_address).map(|record| record.ttl)
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "one kind of record is looked for")]
    pub(super) fn servers(&self) -> Vec<String> {
        let server = |record: &Record| match &record.data {
            RData::NS(server) => Some(server.0.to_ascii()),
            _ => None,
        };
        self.message.answers.iter().filter_map(server).collect()
    }

    /// Returns the contact and the serial.
    #[allow(clippy::wildcard_enum_match_arm, reason = "one kind of record is looked for")]
    pub(super) fn soa(&self) -> Option<(String, u32)> {
        self.message.answers.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some((soa.rname.to_ascii(), soa.serial)),
            _ => None,
        })
    }
}

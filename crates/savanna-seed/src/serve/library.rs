//! The questions that are not plain, or not about what is prepared: read, decided and written by the library.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use hickory_proto::op::{MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};

use super::answer::{LARGEST_DATAGRAM, is_answer, malformed, outcome, room};
use super::counts::Outcome;
use super::counts::{Said, Transport};
use super::question::{AskedEdns, HEADER};
use super::zones::Zones;
use crate::zone::{Lookup, Reply, edns, emit, wire};

/// The shortest question and the shortest record, in bytes: with the root's name and no data.
const SHORTEST_QUESTION: usize = 5;
const SHORTEST_RECORD: usize = 11;

/// Answers a message. Returns nothing if it deserves no answer.
pub(crate) fn answer(zones: &Zones, packet: &[u8], transport: Transport, pick: u64, out: &mut Vec<u8>) -> Option<Said> {
    if is_answer(packet) {
        return None;
    }
    let Some(request) = read(packet) else {
        let said = Said { kind: RecordType::ZERO, outcome: Outcome::FormatError };
        return malformed(packet, out).then_some(said);
    };
    let written = Written::default();
    let names = Names { zones: zones.clone(), transport, pick, said: Mutex::new(None) };
    // Nothing in there waits for anything.
    names.handle_request::<_, TokioTime>(&request, written.clone()).now_or_never()?;
    *out = std::mem::take(&mut *written.0.lock().unwrap_or_else(PoisonError::into_inner));
    let said = names.said.into_inner().unwrap_or_else(PoisonError::into_inner);
    said.filter(|_| !out.is_empty())
}

/// # Security
/// The library makes room for as many questions and records as a header declares; 12 bytes could make it take megabytes.
fn read(packet: &[u8]) -> Option<Request> {
    let (header, body) = packet.split_first_chunk::<HEADER>()?;
    let [.., a, b, c, d, e, f, g, h] = header.map(usize::from);
    let records = (c + e + g) * 256 + d + f + h;
    if (a * 256 + b) * SHORTEST_QUESTION + records * SHORTEST_RECORD > body.len() {
        return None;
    }
    // The library keeps the asker's address for those who want it; nobody here does.
    let nobody = (Ipv4Addr::UNSPECIFIED, 0).into();
    Request::from_bytes(packet.to_vec(), nobody, Protocol::Udp).ok()
}

/// Where the library writes to.
#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

#[async_trait::async_trait]
impl ResponseHandler for Written {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let metadata = *response.metadata();
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !emit(response, &mut bytes) {
            bytes.clear();
            return Err(NetError::from("an answer could not be written"));
        }
        Ok(info(metadata))
    }
}

fn info(metadata: Metadata) -> ResponseInfo {
    hickory_proto::op::Header { metadata, counts: hickory_proto::op::HeaderCounts::default() }.into()
}

/// The zones, as the library asks them.
struct Names {
    zones: Zones,
    transport: Transport,
    pick: u64,
    said: Mutex<Option<Said>>,
}

#[async_trait::async_trait]
impl RequestHandler for Names {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let asked = request.edns.as_ref().map(|e| AskedEdns { size: e.max_payload(), dnssec: e.flags().dnssec_ok });
        let decided = decide(&self.zones, request, self.pick);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = decided.code;
        metadata.authoritative = decided.reply.is_some();
        let dnssec = asked.is_some_and(|edns| edns.dnssec);
        let (answers, authorities) =
            decided.reply.as_ref().map_or_else(Default::default, |reply| reply.sections(dnssec));
        let ours = edns(dnssec, LARGEST_DATAGRAM);
        let build = |metadata, answers, authorities| {
            let mut builder = MessageResponseBuilder::from_message_request(request);
            if asked.is_some() {
                builder.edns(&ours);
            }
            builder.build(metadata, answers, authorities, [], [])
        };
        let mut outcome = decided.outcome;
        let mut whole = Vec::new();
        let fits = emit(build(metadata, &answers[..], &authorities[..]), &mut whole)
            && whole.len() <= room(asked, self.transport);
        let sent = if fits {
            to.send_response(build(metadata, &answers[..], &authorities[..])).await
        } else {
            outcome = Outcome::Truncated;
            metadata.truncation = true;
            to.send_response(build(metadata, &[], &[])).await
        };
        let kind = request.queries.queries().first().map_or(RecordType::ZERO, |query| query.query_type());
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(Said { kind, outcome });
        sent.unwrap_or_else(|_| info(metadata))
    }
}

/// What a question gets.
struct Decided {
    code: ResponseCode,
    outcome: Outcome,
    /// Nothing where we have no say.
    reply: Option<Reply>,
}

impl Decided {
    const fn without(code: ResponseCode, outcome: Outcome) -> Self {
        Self { code, outcome, reply: None }
    }
}

fn decide(zones: &Zones, request: &Request, pick: u64) -> Decided {
    let refused = Decided::without(ResponseCode::Refused, Outcome::Refused);
    let malformed = Decided::without(ResponseCode::FormErr, Outcome::FormatError);
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Decided::without(ResponseCode::BADVERS, Outcome::BadVersion);
    }
    if request.metadata.op_code != OpCode::Query {
        return Decided::without(ResponseCode::NotImp, Outcome::NotImplemented);
    }
    let [query] = request.queries.queries() else { return malformed };
    if request.metadata.message_type != MessageType::Query
        || !request.answers.is_empty()
        || !request.authorities.is_empty()
    {
        return malformed;
    }
    if query.query_class() != DNSClass::IN || request.signature.is_some() {
        return refused;
    }
    let name: &Name = query.name();
    let low = wire(name);
    let Some(zone) = zones.of(&low) else { return refused };
    let prepared = zone.prepared();
    let kind = query.query_type();
    let reply = match prepared.find(&low, kind, pick).unwrap_or_else(|| prepared.deny(name, kind)) {
        Lookup::Ready(reply) => reply.again(),
        Lookup::Absent(reply) => reply,
        Lookup::Refused => return refused,
    };
    Decided { code: reply.code, outcome: outcome(&reply), reply: Some(reply) }
}

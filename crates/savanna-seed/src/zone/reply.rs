//! One prepared answer: its records, and how it is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hickory_proto::op::{Edns, Metadata, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;

use super::wire;
use crate::dnssec::Keys;

/// The length of our EDNS record, in bytes.
pub(crate) const OPT_LEN: usize = 11;

/// Records of one owner and type, and their signature where the zone is signed.
#[derive(Debug)]
pub(crate) struct Rrset {
    owner: Name,
    ttl: u32,
    data: Data,
    signature: Option<Record>,
}

/// Addresses are kept short, since there are many.
#[derive(Debug)]
enum Data {
    V4(Box<[Ipv4Addr]>),
    V6(Box<[Ipv6Addr]>),
    Other(Box<[RData]>),
}

impl Rrset {
    /// Takes the addresses of one family.
    pub(crate) fn of_addresses(owner: &Name, ttl: u32, addresses: &[IpAddr]) -> Self {
        let v4 = addresses.iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None });
        let v6 = addresses.iter().filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
        let data = match addresses.first() {
            Some(IpAddr::V6(_)) => Data::V6(v6.collect()),
            Some(IpAddr::V4(_)) | None => Data::V4(v4.collect()),
        };
        Self { owner: owner.clone(), ttl, data, signature: None }
    }

    pub(crate) fn new(owner: &Name, ttl: u32, data: impl IntoIterator<Item = RData>) -> Self {
        Self { owner: owner.clone(), ttl, data: Data::Other(data.into_iter().collect()), signature: None }
    }

    /// Signs the records, if there are keys. Returns nothing if that fails.
    pub(crate) fn signed(mut self, keys: Option<&Keys>, zone: &Name, now: u32) -> Option<Self> {
        if let Some(keys) = keys {
            self.signature = Some(keys.sign(zone, &self.bare(), now)?);
        }
        Some(self)
    }

    pub(crate) fn kind(&self) -> RecordType {
        match &self.data {
            Data::V4(_) => RecordType::A,
            Data::V6(_) => RecordType::AAAA,
            Data::Other(data) => data.first().map_or(RecordType::ZERO, RData::record_type),
        }
    }

    fn bare(&self) -> Vec<Record> {
        let record = |data| Record::from_rdata(self.owner.clone(), self.ttl, data);
        match &self.data {
            Data::V4(ips) => ips.iter().map(|ip| record(RData::A((*ip).into()))).collect(),
            Data::V6(ips) => ips.iter().map(|ip| record(RData::AAAA((*ip).into()))).collect(),
            Data::Other(data) => data.iter().cloned().map(record).collect(),
        }
    }

    /// Returns the records, and with `dnssec` their signature.
    fn records(&self, dnssec: bool) -> impl Iterator<Item = Record> {
        self.bare().into_iter().chain(self.signature.iter().filter(move |_| dnssec).cloned())
    }
}

/// An answer. It is written ahead where the name that was asked for is known ahead.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: ResponseCode,
    answers: Vec<Arc<Rrset>>,
    authorities: Vec<Arc<Rrset>>,
    plain: Box<[u8]>,
    signed: Box<[u8]>,
}

impl Reply {
    /// Makes an answer that is written when it is asked for.
    pub(crate) fn new(code: ResponseCode, answers: Vec<Arc<Rrset>>, authorities: Vec<Arc<Rrset>>) -> Self {
        Self { code, answers, authorities, plain: Box::default(), signed: Box::default() }
    }

    /// Writes the answer ahead, for questions about `owner`. Returns nothing if that fails.
    pub(crate) fn written(mut self, owner: &Name) -> Option<Self> {
        self.plain = self.write(owner, false)?;
        self.signed = self.write(owner, true)?;
        Some(self)
    }

    /// Returns the same answer, to be written by another.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.code, self.answers.clone(), self.authorities.clone())
    }

    /// Says whether the answer has records of the type asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Returns the answer as it is sent, without EDNS; the identifier is 0, and the question's type is for the asked to put
    /// in. Returns nothing if it is not written ahead.
    pub(crate) fn bytes(&self, dnssec: bool) -> Option<&[u8]> {
        let bytes = if dnssec { &self.signed } else { &self.plain };
        if bytes.is_empty() { None } else { Some(bytes) }
    }

    /// Returns the records that answer, and those that tell of the zone. Denials are for those who ask for them.
    pub(crate) fn sections(&self, dnssec: bool) -> (Vec<Record>, Vec<Record>) {
        let told = |set: &&Arc<Rrset>| dnssec || set.kind() != RecordType::NSEC;
        (
            self.answers.iter().flat_map(|set| set.records(dnssec)).collect(),
            self.authorities.iter().filter(told).flat_map(|set| set.records(dnssec)).collect(),
        )
    }

    fn write(&self, owner: &Name, dnssec: bool) -> Option<Box<[u8]>> {
        let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend_from_slice(&wire(owner));
        question.extend_from_slice(&[0, 1, 0, 1]);
        let nobody = (Ipv4Addr::UNSPECIFIED, 0).into();
        let request = Request::from_bytes(question, nobody, Protocol::Udp).ok()?;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.authoritative = true;
        metadata.response_code = self.code;
        let (answers, authorities) = self.sections(dnssec);
        let mut bytes = Vec::new();
        let response = MessageResponseBuilder::from_message_request(&request).build(
            metadata,
            answers.iter(),
            authorities.iter(),
            [],
            [],
        );
        emit(response, &mut bytes).then(|| bytes.into())
    }
}

/// Our half of EDNS: as much as one datagram may hold without being cut to pieces on its way, and whether signatures are sent.
pub(crate) fn edns(dnssec: bool, largest: u16) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(largest).set_version(0).set_dnssec_ok(dnssec);
    edns
}

/// Writes a message whole, however large. Returns whether it could.
pub(crate) fn emit<'a>(
    response: hickory_server::zone_handler::MessageResponse<
        '_,
        'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
    >,
    bytes: &mut Vec<u8>,
) -> bool {
    bytes.clear();
    let mut encoder = BinEncoder::new(bytes);
    encoder.set_max_size(u16::MAX);
    response.destructive_emit(&mut encoder).is_ok()
}

//! From the bytes of a question to those of its answer.

use hickory_proto::op::ResponseCode;

use super::counts::{Outcome, Said, Transport};
use super::question::{AskedEdns, HEADER, Question};
use super::zones::Zones;
use crate::zone::{Lookup, OPT_LEN, Reply};

/// The largest datagram that is sent, in bytes, and the one that every asker takes.
///
/// # Security
/// Nobody can make us send a third party more, and no answer is cut to pieces on its way, which would let another slip
/// pieces of his own in.
pub(crate) const LARGEST_DATAGRAM: u16 = 1232;
const SMALLEST_DATAGRAM: u16 = 512;

const RESPONSE: u8 = 0x80;
const TRUNCATED: u8 = 0x02;
const OPCODE: u8 = 0x78;
const RECURSION_DESIRED: u8 = 0x01;
const CHECKING_DISABLED: u8 = 0x10;
const FORMAT_ERROR: u8 = 1;

/// Answers a plain question from bytes that are ready. Returns nothing for all others.
pub(crate) fn by_bytes(
    zones: &Zones,
    packet: &[u8],
    transport: Transport,
    pick: u64,
    out: &mut Vec<u8>,
) -> Option<Said> {
    let question = Question::read(packet)?;
    let prepared = zones.of(question.name())?.prepared();
    let Lookup::Ready(reply) = prepared.find(question.name(), question.kind, pick)? else { return None };
    let bytes = reply.bytes(question.edns.is_some_and(|edns| edns.dnssec))?;
    let said = |outcome| Some(Said { kind: question.kind, outcome });
    out.clear();
    if bytes.len() + question.edns.map_or(0, |_| OPT_LEN) > room(question.edns, transport) {
        truncated(packet, &question, true, out);
        return said(Outcome::Truncated);
    }
    out.extend_from_slice(bytes);
    out[..2].copy_from_slice(&packet[..2]);
    out[2] |= packet[2] & RECURSION_DESIRED;
    out[3] |= packet[3] & CHECKING_DISABLED;
    // The asker may have written the name in letters of either case, as a token against forgers.
    out[HEADER..question.end()].copy_from_slice(&packet[HEADER..question.end()]);
    with_edns(question.edns, out);
    said(outcome(reply))
}

/// Returns the largest answer that an asker takes.
pub(crate) fn room(edns: Option<AskedEdns>, transport: Transport) -> usize {
    usize::from(match (transport, edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => SMALLEST_DATAGRAM,
        (Transport::Udp, Some(edns)) => edns.size.clamp(SMALLEST_DATAGRAM, LARGEST_DATAGRAM),
    })
}

pub(crate) fn outcome(reply: &Reply) -> Outcome {
    match (reply.code, reply.is_empty()) {
        (ResponseCode::NoError, false) => Outcome::Answered,
        (ResponseCode::NoError, true) => Outcome::NoData,
        _ => Outcome::NoName,
    }
}

/// Tells the asker of a plain question to come again over TCP. Returns whether the message was one.
pub(crate) fn slipped(packet: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(question) = Question::read(packet) else { return false };
    out.clear();
    truncated(packet, &question, false, out);
    true
}

/// Half of a set of records is of no use, and none of it makes the smallest answer.
fn truncated(packet: &[u8], question: &Question, authoritative: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(&packet[..question.end()]);
    let authority = if authoritative { 0x04 } else { 0 };
    out[2] = RESPONSE | TRUNCATED | authority | packet[2] & RECURSION_DESIRED;
    out[3] = packet[3] & CHECKING_DISABLED;
    out[6..HEADER].fill(0);
    with_edns(question.edns, out);
}

fn with_edns(edns: Option<AskedEdns>, out: &mut Vec<u8>) {
    let Some(AskedEdns { dnssec, .. }) = edns else { return };
    // The prepared answers have no additional records.
    out[HEADER - 1] += 1;
    let [high, low] = LARGEST_DATAGRAM.to_be_bytes();
    out.extend_from_slice(&[0, 0, 41, high, low, 0, 0, u8::from(dnssec) << 7, 0, 0, 0]);
}

/// Writes that a message is malformed, repeating nothing of it but what tells the asker which one. Returns whether there is
/// a header to repeat from.
pub(crate) fn malformed(packet: &[u8], out: &mut Vec<u8>) -> bool {
    let Some([id, id_low, flags, ..]) = packet.first_chunk::<HEADER>() else { return false };
    out.clear();
    out.extend_from_slice(&[*id, *id_low, RESPONSE | flags & (OPCODE | RECURSION_DESIRED), FORMAT_ERROR]);
    out.resize(HEADER, 0);
    true
}

/// Says whether a message is itself an answer, or too short to be anything.
pub(crate) fn is_answer(packet: &[u8]) -> bool {
    packet.len() < HEADER || packet[2] & RESPONSE != 0
}

#[cfg(test)]
mod tests;

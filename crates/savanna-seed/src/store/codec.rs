//! A ledger as bytes, in pieces of a bounded length.
//!
//! Integers are little-endian. The first piece has the floor's decision and the number of the nodes; each further one has
//! nodes, and begins with how many.

use savanna_book::{Handshake, Netgroup, UnixTime};
use savanna_peerset::crawler::Chain;
use savanna_wire::{
    DecodeError, Host, MAX_USER_AGENT, NativeIpv6, PeerAddr, ProtocolVersion, Reader, Services, UserAgent,
    write_compact_size,
};

use crate::{Authority, Decision, Floor, Kept, Reliability, Snapshot, Steadiness};

/// How many nodes a piece holds.
const PIECE: usize = 1024;

pub(super) fn encode(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let mut head = Vec::new();
    write_decision(&mut head, &snapshot.floor);
    write_compact_size(&mut head, snapshot.nodes.len() as u64);
    let mut pieces = vec![head];
    for nodes in snapshot.nodes.chunks(PIECE) {
        let mut piece = Vec::with_capacity(nodes.len() * 200);
        write_compact_size(&mut piece, nodes.len() as u64);
        nodes.iter().for_each(|kept| write_node(&mut piece, kept));
        pieces.push(piece);
    }
    pieces
}

/// A node that no ledger would hold is left out.
///
/// # Errors
/// [`DecodeError`] if the pieces are not those of a snapshot.
pub(super) fn decode(pieces: &[Vec<u8>]) -> Result<Snapshot, DecodeError> {
    let (head, pieces) = pieces.split_first().ok_or(invalid("a ledger without a head"))?;
    let mut reader = Reader::new(head, "ledger");
    let floor = read_decision(&mut reader)?;
    let count = reader.compact_size(pieces.len() * PIECE)?;
    reader.finish()?;
    let (mut nodes, mut skipped) = (Vec::new(), 0);
    for piece in pieces {
        let mut reader = Reader::new(piece, "nodes");
        for _ in 0..reader.compact_size(PIECE)? {
            let node = read_node(&mut reader)?;
            skipped += usize::from(node.is_none());
            nodes.extend(node);
        }
        reader.finish()?;
    }
    if nodes.len() + skipped != count {
        return Err(invalid("number of nodes"));
    }
    Ok(Snapshot { nodes, floor })
}

const fn invalid(what: &'static str) -> DecodeError {
    DecodeError::Invalid { what }
}

fn write_decision(out: &mut Vec<u8>, decision: &Decision) {
    out.extend_from_slice(&decision.version.0.to_le_bytes());
    write_time(out, decision.since);
    match &decision.authority {
        Authority::Known => out.push(0),
        Authority::Observed { past, of } => {
            out.push(1);
            out.extend_from_slice(&past.to_le_bytes());
            out.extend_from_slice(&of.to_le_bytes());
        }
        Authority::Attested { by } => {
            out.push(2);
            write_bytes(out, by.as_bytes());
        }
    }
}

fn read_decision(reader: &mut Reader<'_>) -> Result<Decision, DecodeError> {
    let version = ProtocolVersion(reader.i32()?);
    let since = read_time(reader)?;
    let authority = match reader.u8()? {
        0 => Authority::Known,
        1 => Authority::Observed { past: reader.u32()?, of: reader.u32()? },
        2 => {
            let length = reader.compact_size(Floor::MAX_NAME)?;
            let by = String::from_utf8(reader.take(length)?.to_vec()).map_err(|_| invalid("name"))?;
            Authority::Attested { by }
        }
        _ => return Err(invalid("authority")),
    };
    Ok(Decision { version, since, authority })
}

fn write_node(out: &mut Vec<u8>, kept: &Kept) {
    match kept.address.host {
        Host::V4(ip) => out.extend_from_slice(&ip.to_ipv6_mapped().octets()),
        Host::V6(ip) => out.extend_from_slice(&ip.get().octets()),
        // None is ever taken in; the unspecified address is left out when it is read.
        Host::TorV3(_) | Host::I2p(_) | Host::Cjdns(_) => out.extend_from_slice(&[0; 16]),
    }
    out.extend_from_slice(&kept.address.port.to_le_bytes());
    out.extend_from_slice(&kept.source.to_bytes());
    out.extend_from_slice(&kept.reliability.to_bytes());
    out.extend_from_slice(&kept.steadiness.to_bytes());
    for time in [kept.first_heard, kept.last_success, kept.shown, kept.next] {
        write_time(out, time);
    }
    out.push(kept.failures);
    out.push(match kept.chain {
        Chain::Unknown => 0,
        Chain::Ours => 1,
        Chain::Behind => 2,
        Chain::Other => 3,
    });
    match &kept.said {
        None => out.push(0),
        Some(said) => {
            out.push(1);
            out.extend_from_slice(&said.version.0.to_le_bytes());
            out.extend_from_slice(&said.services.0.to_le_bytes());
            out.extend_from_slice(&said.height.to_le_bytes());
            write_bytes(out, said.user_agent.as_bytes());
        }
    }
}

/// Reads a node; nothing where it is of the right length and no node.
fn read_node(reader: &mut Reader<'_>) -> Result<Option<Kept>, DecodeError> {
    let ip = std::net::Ipv6Addr::from(reader.array::<16>()?);
    let host = ip.to_ipv4_mapped().map(Host::V4).or_else(|| NativeIpv6::new(ip).map(Host::V6));
    let host = host.filter(|_| !ip.is_unspecified());
    let port = u16::from_le_bytes(reader.array()?);
    let source = Netgroup::from_bytes(reader.array()?);
    let reliability = Reliability::from_bytes(&reader.array()?);
    let steadiness = Steadiness::from_bytes(reader.array()?);
    let [first_heard, last_success, shown, next] =
        [read_time(reader)?, read_time(reader)?, read_time(reader)?, read_time(reader)?];
    let failures = reader.u8()?;
    let chain = match reader.u8()? {
        0 => Some(Chain::Unknown),
        1 => Some(Chain::Ours),
        2 => Some(Chain::Behind),
        3 => Some(Chain::Other),
        _ => None,
    };
    let said = match reader.u8()? {
        0 => None,
        1 => Some(read_said(reader)?),
        _ => return Err(invalid("introduction")),
    };
    let (Some(host), Some(source), Some(reliability), Some(chain)) = (host, source, reliability, chain) else {
        return Ok(None);
    };
    let address = PeerAddr { host, port };
    Ok(Some(Kept {
        address,
        source,
        reliability,
        steadiness,
        said,
        chain,
        first_heard,
        last_success,
        shown,
        next,
        failures,
    }))
}

fn read_said(reader: &mut Reader<'_>) -> Result<Handshake, DecodeError> {
    let version = ProtocolVersion(reader.i32()?);
    let services = Services(reader.u64()?);
    let height = reader.i32()?;
    let length = reader.compact_size(MAX_USER_AGENT)?;
    let user_agent = UserAgent::new(reader.take(length)?).map_err(|_| invalid("user agent"))?;
    Ok(Handshake { version, services, height, user_agent })
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_compact_size(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_time(out: &mut Vec<u8>, time: UnixTime) {
    out.extend_from_slice(&time.0.to_le_bytes());
}

fn read_time(reader: &mut Reader<'_>) -> Result<UnixTime, DecodeError> {
    reader.u32().map(UnixTime)
}

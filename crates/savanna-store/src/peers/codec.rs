//! An address book as bytes, in pieces of a bounded length.
//!
//! Integers are little-endian. The first piece has the secret, the bans, the marks and the anchors; each further one has
//! records. Each piece begins with the number of what it holds.

use savanna_book::{Handshake, Mark, Netgroup, Prefix, Record, Snapshot, Table, UnixTime};
use savanna_wire::{
    CjdnsIpv6, DecodeError, Host, MAX_USER_AGENT, NativeIpv6, PeerAddr, ProtocolVersion, Reader, Services, UserAgent,
    write_compact_size,
};

/// How many records a piece holds.
const PIECE: usize = 1024;

/// More than a book holds of anything.
const MAX_COUNT: usize = 1 << 20;

/// The most buckets of `new` that a record names.
const MAX_BUCKETS: usize = 8;

const TRIED: u8 = 0xff;

pub(super) fn encode(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let mut head = snapshot.secret.to_vec();
    write_all(&mut head, &snapshot.bans, |out, (prefix, until)| {
        out.extend_from_slice(&prefix.to_bytes());
        write_time(out, *until);
    });
    write_all(&mut head, &snapshot.marks, |out, (prefix, mark)| {
        out.extend_from_slice(&prefix.to_bytes());
        out.extend_from_slice(&mark.points.to_le_bytes());
        write_time(out, mark.until);
    });
    write_all(&mut head, &snapshot.anchors, |out, anchor| write_address(out, *anchor));
    let mut pieces = vec![head];
    for records in snapshot.records.chunks(PIECE) {
        let mut piece = Vec::with_capacity(records.len() * 80);
        write_all(&mut piece, records, write_record);
        pieces.push(piece);
    }
    pieces
}

/// # Errors
/// [`DecodeError`] if the pieces are not those of a snapshot.
pub(super) fn decode(pieces: &[Vec<u8>]) -> Result<Snapshot, DecodeError> {
    let (head, pieces) =
        pieces.split_first().ok_or(DecodeError::Invalid { what: "an address book without a secret" })?;
    let mut reader = Reader::new(head, "address book");
    let secret = reader.array()?;
    let bans = read_all(&mut reader, |reader| Ok(read_prefix(reader)?.zip(Some(read_time(reader)?))))?;
    let marks = read_all(&mut reader, |reader| {
        let prefix = read_prefix(reader)?;
        let mark = Mark { points: reader.u32()?, until: read_time(reader)? };
        Ok(prefix.map(|prefix| (prefix, mark)))
    })?;
    let anchors = read_all(&mut reader, read_address)?;
    reader.finish()?;
    let mut records = Vec::new();
    for piece in pieces {
        let mut reader = Reader::new(piece, "addresses");
        records.extend(read_all(&mut reader, read_record)?);
        reader.finish()?;
    }
    Ok(Snapshot { secret, records, bans, marks, anchors })
}

fn write_all<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    write_compact_size(out, items.len() as u64);
    items.iter().for_each(|item| write(out, item));
}

/// Reads a list; what stands for nothing that there could be is left out.
fn read_all<T>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<Option<T>, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.compact_size(MAX_COUNT)?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.extend(read(reader)?);
    }
    Ok(items)
}

fn write_record(out: &mut Vec<u8>, record: &Record) {
    write_address(out, record.address);
    out.extend_from_slice(&record.source.to_bytes());
    out.extend_from_slice(&record.services.0.to_le_bytes());
    for time in [record.seen, record.last_try, record.last_success, record.last_counted, record.rests_until] {
        write_time(out, time);
    }
    out.extend_from_slice(&record.attempts.to_le_bytes());
    out.extend_from_slice(&record.successes.to_le_bytes());
    out.push(record.failures);
    match &record.table {
        Table::Tried => out.push(TRIED),
        Table::New(buckets) => {
            let buckets = &buckets[..buckets.len().min(MAX_BUCKETS)];
            // At most eight.
            out.push(u8::try_from(buckets.len()).unwrap_or(0));
            buckets.iter().for_each(|bucket| out.extend_from_slice(&bucket.to_le_bytes()));
        }
    }
    out.push(u8::from(record.handshake.is_some()));
    if let Some(handshake) = &record.handshake {
        out.extend_from_slice(&handshake.version.0.to_le_bytes());
        out.extend_from_slice(&handshake.services.0.to_le_bytes());
        out.extend_from_slice(&handshake.height.to_le_bytes());
        let user_agent = handshake.user_agent.as_bytes();
        write_compact_size(out, user_agent.len() as u64);
        out.extend_from_slice(user_agent);
    }
}

fn read_record(reader: &mut Reader<'_>) -> Result<Option<Record>, DecodeError> {
    let address = read_address(reader)?;
    let source = Netgroup::from_bytes(reader.array()?);
    let services = Services(reader.u64()?);
    let [seen, last_try, last_success, last_counted, rests_until] =
        [read_time(reader)?, read_time(reader)?, read_time(reader)?, read_time(reader)?, read_time(reader)?];
    let attempts = u16::from_le_bytes(reader.array()?);
    let successes = u16::from_le_bytes(reader.array()?);
    let failures = reader.u8()?;
    let table = read_table(reader)?;
    let handshake = if reader.u8()? == 0 { None } else { Some(read_handshake(reader)?) };
    let (Some(address), Some(source)) = (address, source) else { return Ok(None) };
    Ok(Some(Record {
        address,
        source,
        services,
        seen,
        last_try,
        last_success,
        last_counted,
        rests_until,
        attempts,
        successes,
        failures,
        handshake,
        table,
    }))
}

fn read_table(reader: &mut Reader<'_>) -> Result<Table, DecodeError> {
    let count = reader.u8()?;
    if count == TRIED {
        return Ok(Table::Tried);
    }
    let buckets = (0..count).map(|_| Ok(u16::from_le_bytes(reader.array()?)));
    buckets.collect::<Result<_, DecodeError>>().map(Table::New)
}

fn read_handshake(reader: &mut Reader<'_>) -> Result<Handshake, DecodeError> {
    let version = ProtocolVersion(reader.i32()?);
    let services = Services(reader.u64()?);
    let height = reader.i32()?;
    let length = reader.compact_size(MAX_USER_AGENT)?;
    let user_agent = UserAgent::new(reader.take(length)?).map_err(|_| DecodeError::Invalid { what: "user agent" })?;
    Ok(Handshake { version, services, height, user_agent })
}

fn write_address(out: &mut Vec<u8>, address: PeerAddr) {
    // The numbers are those of ZIP-155.
    match address.host {
        Host::V4(ip) => push(out, 1, &ip.octets()),
        Host::V6(ip) => push(out, 2, &ip.get().octets()),
        Host::TorV3(key) => push(out, 4, &key),
        Host::I2p(hash) => push(out, 5, &hash),
        Host::Cjdns(ip) => push(out, 6, &ip.get().octets()),
    }
    out.extend_from_slice(&address.port.to_be_bytes());
}

fn push(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn read_address(reader: &mut Reader<'_>) -> Result<Option<PeerAddr>, DecodeError> {
    let host = match reader.u8()? {
        1 => Some(Host::V4(reader.array::<4>()?.into())),
        2 => NativeIpv6::new(reader.array::<16>()?.into()).map(Host::V6),
        4 => Some(Host::TorV3(reader.array()?)),
        5 => Some(Host::I2p(reader.array()?)),
        6 => CjdnsIpv6::new(reader.array::<16>()?.into()).map(Host::Cjdns),
        _ => return Err(DecodeError::Invalid { what: "kind of host" }),
    };
    let port = reader.u16_be()?;
    Ok(host.map(|host| PeerAddr { host, port }))
}

fn read_prefix(reader: &mut Reader<'_>) -> Result<Option<Prefix>, DecodeError> {
    reader.array().map(Prefix::from_bytes)
}

fn write_time(out: &mut Vec<u8>, time: UnixTime) {
    out.extend_from_slice(&time.0.to_le_bytes());
}

fn read_time(reader: &mut Reader<'_>) -> Result<UnixTime, DecodeError> {
    reader.u32().map(UnixTime)
}

//! Any bytes, cut anywhere: the decoder never panics, reads the same however they are cut, and what it reads can be
//! written and read again.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use savanna_wire::{
    Checksum, Command, Decoded, Decoder, FrameError, HEADER_LEN, MAX_PAYLOAD, Magic, Message, Network, ProtocolVersion,
    encode,
};

const MAGIC: Magic = Network::Mainnet.magic();

fuzz_target!(|data: &[u8]| {
    let [choice, data @ ..] = data else { return };
    let cuts = usize::from(choice & 0x0f);
    let Some((sizes, stream)) = data.split_at_checked(2 * cuts) else { return };
    let sizes: Vec<usize> =
        sizes.chunks(2).map(|pair| 1 + usize::from(u16::from_le_bytes([pair[0], pair[1]]))).collect();
    let mut stream = stream.to_vec();
    if choice & 0x80 == 0 {
        repair(&mut stream);
    }
    let early = choice & 0x40 != 0;

    let whole = read([&stream[..]], early);
    let mut pieces = Vec::new();
    let mut rest = &stream[..];
    for size in sizes {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    assert_eq!(whole, read(pieces, early));

    for decoded in whole.0 {
        if let Decoded::Message(message) = decoded {
            let frame = encode(&message, MAGIC).concat();
            assert!(frame.len() <= HEADER_LEN + MAX_PAYLOAD);
            assert_eq!(read([&frame[..]], false), (vec![Decoded::Message(message)], None));
        }
    }
});

/// Reads a stream that arrives in `pieces`; an `early` one begins before the handshake, which a `verack` completes.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, early: bool) -> (Vec<Decoded>, Option<FrameError>) {
    let (mut decoder, mut buffer, mut seen) = (Decoder::new(MAGIC), BytesMut::new(), Vec::new());
    if !early {
        decoder.complete_handshake(ProtocolVersion::WTX);
    }
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(decoded)) => {
                    if decoded == Decoded::Message(Message::Verack) {
                        decoder.complete_handshake(ProtocolVersion::WTX);
                    }
                    seen.push(decoded);
                }
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

/// Makes frames of a stream, which chance would not: magic, checksum, and the command that its field's first byte counts.
fn repair(stream: &mut [u8]) {
    let mut rest = stream;
    while let Some((header, after)) = rest.split_first_chunk_mut::<HEADER_LEN>() {
        header[..4].copy_from_slice(&MAGIC.0);
        if let Some(command) = Command::ALL.get(usize::from(header[4])) {
            header[4..16].copy_from_slice(&command.field());
        }
        let declared = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
        let Some(length) = usize::try_from(declared).ok().filter(|length| *length <= after.len()) else { return };
        let (payload, next) = after.split_at_mut(length);
        header[20..].copy_from_slice(&Checksum::of(payload).0);
        rest = next;
    }
}

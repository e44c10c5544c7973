//! However a stream is cut, the same comes of it.

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use savanna_wire::{
    Command, Decoded, Decoder, DropReason, FrameError, MAX_HANDSHAKE_PAYLOAD, Message, ProtocolVersion,
};

use crate::{MAGIC, any, encoded, frame, frame_of_field, header};

/// A frame, and what has to come of it.
#[derive(Debug, Clone)]
struct Piece {
    bytes: Vec<u8>,
    becomes: Decoded,
}

impl Piece {
    fn message(message: Message) -> Self {
        Self { bytes: encoded(&message), becomes: Decoded::Message(message) }
    }

    fn dropped(bytes: Vec<u8>, reason: DropReason) -> Self {
        let length = bytes.len() - savanna_wire::HEADER_LEN;
        Self { bytes, becomes: Decoded::Dropped { reason, length } }
    }

    fn bad_checksum(message: &Message, flip: usize) -> Self {
        let mut bytes = encoded(message);
        bytes[20 + flip / 8] ^= 1 << (flip % 8);
        Self::dropped(bytes, DropReason::BadChecksum)
    }
}

/// A frame whose command nobody knows, or whose command field is malformed.
fn foreign() -> impl Strategy<Value = Piece> {
    let payload = || any::noise(prop_oneof![8 => 0..300_usize, 1 => 0..40_000_usize]);
    let unknown = ("x[a-z]{0,11}", payload())
        .prop_map(|(command, payload)| Piece::dropped(frame(&command, &payload), DropReason::UnknownCommand));
    let malformed = (any::<[u8; 12]>(), payload()).prop_map(|(mut field, payload)| {
        field[5] = 0;
        field[6] |= 1;
        Piece::dropped(frame_of_field(field, &payload), DropReason::MalformedCommand)
    });
    prop_oneof![unknown, malformed]
}

fn unknown_inventory() -> impl Strategy<Value = Piece> {
    let command = prop_oneof![Just("inv"), Just("getdata"), Just("notfound")];
    (command, prop_oneof![Just(0), Just(4), 6..u32::MAX], any::noise(0..200_usize)).prop_map(|(command, kind, rest)| {
        let payload = [&[9][..], &[2, 0, 0, 0], &[5; 32], &kind.to_le_bytes(), &rest].concat();
        Piece::dropped(frame(command, &payload), DropReason::UnknownInventory)
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        6 => any::message().prop_map(Piece::message),
        2 => foreign(),
        1 => (any::message(), 0..32_usize).prop_map(|(message, flip)| Piece::bad_checksum(&message, flip)),
        1 => unknown_inventory(),
    ]
}

/// What may come before the handshake is complete, within its limit.
fn early_piece() -> impl Strategy<Value = Piece> {
    let message = prop_oneof![
        any::version().prop_map(Message::Version),
        any::<u64>().prop_map(Message::Ping),
        Just(Message::GetAddr),
        any::message_of(Command::Reject),
    ];
    let piece = prop_oneof![
        4 => message.clone().prop_map(Piece::message),
        1 => (message, 0..32_usize).prop_map(|(message, flip)| Piece::bad_checksum(&message, flip)),
        1 => foreign(),
        1 => unknown_inventory(),
    ];
    piece.prop_filter("over the limit", |piece| piece.bytes.len() <= MAX_HANDSHAKE_PAYLOAD)
}

/// How a stream ends: in the middle of a frame, or with one that closes the connection.
fn end() -> impl Strategy<Value = (Vec<u8>, Option<FrameError>)> {
    let cut = (piece(), any::<prop::sample::Index>()).prop_map(|(piece, at)| {
        let at = at.index(piece.bytes.len());
        (piece.bytes[..at].to_vec(), None)
    });
    let foreign = (0..4_usize, any::<u8>(), piece()).prop_filter_map("the right magic", |(at, byte, piece)| {
        let mut bytes = piece.bytes;
        bytes[at] = byte;
        let found = savanna_wire::Magic([bytes[0], bytes[1], bytes[2], bytes[3]]);
        (found != MAGIC).then_some((bytes, Some(FrameError::Magic { expected: MAGIC, found })))
    });
    let long = ((2_097_153..=u32::MAX), any::noise(0..500_usize)).prop_map(|(length, rest)| {
        let bytes = [header("block", length), rest].concat();
        (bytes, Some(FrameError::Oversized { length, limit: savanna_wire::MAX_PAYLOAD }))
    });
    let malformed = any::noise(1..300_usize).prop_map(|payload| {
        let error = savanna_wire::DecodeError::Trailing { left: payload.len() };
        (frame("verack", &payload), Some(FrameError::Payload { command: Command::Verack, error }))
    });
    prop_oneof![2 => cut, 1 => foreign, 1 => long, 1 => malformed]
}

/// Reads a stream that arrives in `pieces`, with the handshake complete from the first `verack` on.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Decoded>, Option<FrameError>) {
    let (mut decoder, mut buffer, mut seen) = (Decoder::new(MAGIC), BytesMut::new(), Vec::new());
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

/// Cuts `bytes` into pieces of the given sizes, again and again.
fn cut<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    sizes.iter().cycle().map_while(move |size| {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn adversary_7_any_stream_cut_anywhere_becomes_the_same(
        early in vec(early_piece(), 0..4),
        late in vec(piece(), 0..12),
        (tail, error) in end(),
        sizes in vec(prop_oneof![1..4_usize, 1..30_usize, 1..3000_usize, 1..100_000_usize], 1..20),
    ) {
        let verack = Piece::message(Message::Verack);
        let pieces: Vec<Piece> = early.into_iter().chain([verack]).chain(late).collect();
        let mut stream: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
        stream.extend(tail);
        let expected: Vec<Decoded> = pieces.into_iter().map(|piece| piece.becomes).collect();

        let (whole, whole_error) = read([&stream[..]]);
        prop_assert_eq!(&whole, &expected);
        prop_assert_eq!(whole_error, error);
        prop_assert_eq!(read(cut(&stream, &sizes)), (expected, error));
    }

    #[test]
    fn adversary_5_bytes_without_meaning_never_panic_and_close_at_the_magic(
        noise in any::noise(4..3000_usize),
        sizes in vec(1..40_usize, 1..8),
    ) {
        prop_assume!(noise[..4] != MAGIC.0);
        let (seen, error) = read(cut(&noise, &sizes));
        prop_assert!(seen.is_empty());
        let foreign = matches!(error, Some(FrameError::Magic { .. }));
        prop_assert!(foreign, "{:?}", error);
    }

    #[test]
    fn a_stream_with_any_byte_changed_never_panics_and_is_read_the_same_however_cut(
        pieces in vec(piece(), 1..6),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sizes in vec(1..2000_usize, 1..12),
    ) {
        let mut stream = encoded(&Message::Verack);
        let shared = stream.len();
        stream.extend(pieces.iter().flat_map(|piece| piece.bytes.clone()));
        for (at, byte) in changes {
            let at = shared + at.index(stream.len() - shared);
            stream[at] = byte;
        }
        prop_assert_eq!(read([&stream[..]]), read(cut(&stream, &sizes)));
    }
}

/// One frame of each kind, all of them short.
fn one_of_each() -> Vec<Piece> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut pieces = vec![Piece::message(Message::Verack)];
    for command in Command::ALL {
        let message = loop {
            let message = any::message_of(command).new_tree(&mut runner).unwrap().current();
            if message.payload().len() <= 600 {
                break message;
            }
        };
        pieces.push(Piece::message(message));
        pieces.push(Piece::dropped(frame("sendheaders", &[1; 5]), DropReason::UnknownCommand));
    }
    pieces.push(Piece::bad_checksum(&Message::Ping(1), 0));
    pieces.push(Piece::dropped(frame_of_field(*b"ping\0\0\0x\0\0\0\0", &[2; 8]), DropReason::MalformedCommand));
    pieces.push(Piece::dropped(frame("inv", &[1, 99, 0, 0, 0]), DropReason::UnknownInventory));
    pieces.push(Piece::message(Message::Pong(2)));
    pieces
}

#[test]
fn adversary_7_one_of_each_cut_in_two_at_every_byte_becomes_the_same() {
    let pieces = one_of_each();
    let stream: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
    let expected: (Vec<Decoded>, _) = (pieces.into_iter().map(|piece| piece.becomes).collect(), None);
    assert_eq!(read([&stream[..]]), expected);
    assert_eq!(read(stream.chunks(1)), expected);
    for at in 1..stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(read([head, tail]), expected, "cut at byte {at}");
    }
}

#[test]
fn a_call_takes_one_frame_and_leaves_the_next() {
    let mut buffer = BytesMut::from(&[encoded(&Message::Ping(1)), encoded(&Message::Ping(2))].concat()[..]);
    let mut decoder = Decoder::new(MAGIC);
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(Decoded::Message(Message::Ping(1)))));
    assert_eq!(&buffer[..], &encoded(&Message::Ping(2))[..]);
    assert!(decoder.is_mid_frame(&buffer));
    assert_eq!(decoder.decode(&mut buffer), Ok(Some(Decoded::Message(Message::Ping(2)))));
    assert!(!decoder.is_mid_frame(&buffer));
}
